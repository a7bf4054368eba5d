"""The strings of MNIST-SVHN-Text, counted exactly."""

import torch

from ppl_mm import Observations
from ppl_mm.data import spell, write_words
from ppl_mm.data.words import ALPHABET, BLANK, WORDS, move_words

DIGITS = torch.arange(10).repeat_interleave(200)


def test_alphabet():
    assert len(ALPHABET) == 71
    assert len(set(ALPHABET)) == 70  # "-" twice
    assert (ALPHABET[0], ALPHABET[26], ALPHABET[36], ALPHABET[70]) == ("a", "0", "-", "\n")
    assert BLANK == 69
    assert ALPHABET.count("-") == 2


def test_every_string_holds_its_word_once_and_ends_in_a_blank():
    strings = write_words(DIGITS, torch.Generator().manual_seed(0))
    assert strings.shape == (2000, 8)
    assert torch.nn.functional.one_hot(strings, 71).sum((1, 2)).tolist() == [8] * 2000
    assert (strings[:, -1] == BLANK).all()
    for digit, text in zip(DIGITS.tolist(), spell(strings), strict=True):
        assert text.split() == [WORDS[digit]]


def places(strings):
    return (strings != BLANK).int().argmax(1)


def test_places_are_uniform():
    generator = torch.Generator().manual_seed(0)
    for digit, word in enumerate(WORDS):
        number = 8 - len(word)
        count = places(write_words(torch.full((6000,), digit), generator)).bincount()
        assert len(count) == number
        expected = 6000 / number
        assert ((count - expected).abs() < 4 * (expected * (1 - 1 / number)) ** 0.5).all()


def test_places_are_drawn_anew_and_words_stay():
    strings = write_words(DIGITS, torch.Generator().manual_seed(7))
    known = torch.arange(2000) % 3 > 0
    obs = Observations({"text": strings, "label": DIGITS}, {"text": known})
    moved = move_words(obs)
    assert torch.equal(moved["label"], DIGITS)
    assert torch.equal(moved.present["text"], known)
    before, after = spell(strings[known]), spell(moved["text"][known])
    assert [t.strip() for t in before] == [t.strip() for t in after]
    share = (places(moved["text"][known]) != places(strings[known])).double().mean()
    assert 0.6 < share < 0.85  # 1 - 1 / 3 for long words, 1 - 1 / 5 for short ones
    assert (moved["text"][~known] == 0).all()
