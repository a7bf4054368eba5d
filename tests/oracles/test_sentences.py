"""Vectors of sentences against their definition, in dense matrices and by hand."""

import math

import numpy as np
import pytest
import torch

from ppl_mm.data.vocabulary import EOS, PAD, Vocabulary
from ppl_mm.evaluation import SentenceEmbedding


@pytest.fixture
def tokens():
    """Sentences of 3 to 9 of 12 words, some much more frequent, filled up to 10 symbols."""
    g = torch.Generator().manual_seed(0)
    words = 3 + torch.multinomial(0.7 ** torch.arange(12.0), 200 * 10, True, generator=g)
    lengths = torch.randint(3, 10, (200, 1), generator=g)
    places = torch.arange(10)
    ended = words.reshape(200, 10).masked_fill(places == lengths, EOS)
    return ended.masked_fill(places > lengths, PAD)


def sentences(tokens):
    return [row[: row.index(EOS)] for row in tokens.tolist()]


def test_word_vectors_are_the_singular_directions_of_ppmi(tokens):
    counts = np.zeros((15, 15))
    for words in sentences(tokens):
        for i, w in enumerate(words):
            for c in words[max(i - 2, 0) : i] + words[i + 1 : i + 3]:
                counts[w, c] += 1
    of_word = counts.sum(1)
    ppmi = np.zeros((15, 15))
    for w, c in zip(*counts.nonzero(), strict=True):
        share = of_word[c] ** 0.75 / (of_word**0.75).sum()
        ppmi[w, c] = max(0.0, math.log(counts[w, c] / of_word[w] / share))
    u, s, _ = np.linalg.svd(ppmi)
    expected = (u[:, :6] * s[:6]) @ u[:, :6].T  # whatever the signs of the directions
    found = SentenceEmbedding.fit(tokens, 15, num_components=6, window=2)
    np.testing.assert_allclose(found.vectors @ found.vectors.T, expected, atol=1e-10)
    assert found.vectors[[0, EOS, PAD]].abs().max() < 1e-12  # no words


def test_sentences_are_damped_means_less_the_first_direction(tokens):
    found = SentenceEmbedding.fit(tokens, 15, num_components=6)
    words = [w for sentence in sentences(tokens) for w in sentence]
    p = np.bincount(words, minlength=15) / len(words)
    means = np.stack(
        [
            np.mean([1e-3 / (1e-3 + p[w]) * found.vectors[w].numpy() for w in sentence], 0)
            for sentence in sentences(tokens)
        ]
    )
    d = np.linalg.svd(means)[2][0]
    np.testing.assert_allclose(found(tokens), means - np.outer(means @ d, d), atol=1e-12)
    assert found.direction.norm().item() == pytest.approx(1.0)


def test_nothing_after_the_end_counts(tokens):
    found = SentenceEmbedding.fit(tokens, 15, num_components=6)
    ended = (tokens == EOS).cumsum(1) - (tokens == EOS).int() > 0
    noise = torch.where(ended, torch.randint(15, tokens.shape), tokens)
    assert torch.equal(found(noise), found(tokens))
    again = SentenceEmbedding.fit(noise, 15, num_components=6)
    torch.testing.assert_close(again(tokens).abs(), found(tokens).abs())
    empty = torch.full((1, 10), PAD)
    assert not found(empty).any()
    assert torch.equal(found(tokens.flip(0)), found(tokens).flip(0))


def test_a_string_without_ends_is_all_words():
    strings = torch.randint(5, (50, 4))
    found = SentenceEmbedding.fit(strings, 5, num_components=3, window=20, ends=())
    shuffled = strings[:, [2, 0, 3, 1]]
    torch.testing.assert_close(found(shuffled), found(strings))
    assert found(strings).abs().sum() > 0


def test_words_of_like_company_are_near():
    captions = [
        f"a {size} {bird} with {colour} wings"
        for size in ("small", "little")
        for bird in ("gull", "wren", "crow")
        for colour in ("red", "blue")
    ]
    vocabulary = Vocabulary.of(captions * 2)
    embed = SentenceEmbedding.fit(vocabulary.encode(captions), len(vocabulary), num_components=5)
    v = {w: embed.vectors[i] for i, w in enumerate(vocabulary.words)}
    near = torch.cosine_similarity(v["red"], v["blue"], dim=0)
    assert near > 0.9 > torch.cosine_similarity(v["red"], v["small"], dim=0)


def test_what_cannot_be_learned_from_is_refused(tokens):
    with pytest.raises(ValueError, match="expected fewer than the 15 symbols, got 15"):
        SentenceEmbedding.fit(tokens, 15, num_components=15)
    with pytest.raises(ValueError, match="symbols from 0 to 8, got 1 to 14"):
        SentenceEmbedding.fit(tokens, 9, num_components=3)
    with pytest.raises(ValueError, match=r"expected symbols \(N, T\) as integers"):
        SentenceEmbedding.fit(tokens.double(), 15, num_components=3)
    with pytest.raises(ValueError, match="sentences of more than one word"):
        SentenceEmbedding.fit(torch.tensor([[3, EOS], [4, EOS]]), 15, num_components=3)
