"""Sentences of talks in English, and their translations into Vietnamese (IWSLT 2015).

    en    (70,) integers, an English sentence
    vi    (70,) integers, a Vietnamese one

A sentence is the symbols of its first 69 words at most, the end, and padding, as in
:mod:`ppl_mm.data.vocabulary`. ``DataSet.vocabularies`` holds the words, which are those of the
published vocabularies and keep their case. There are no classes.
:func:`ppl_mm.published.speech.find_iwslt` lists the files.

Source: Cettolo et al. 2015, "The IWSLT 2015 evaluation campaign"; split into words, with
vocabularies, by Luong & Manning 2015. As two modalities: Wu & Goodman 2018 (MVAE),
arXiv:1802.05335, section 7.
"""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.dataset import DataSet
from ppl_mm.data.registry import register
from ppl_mm.data.vocabulary import SPECIALS, Vocabulary
from ppl_mm.likelihoods import Tokens
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.published.speech import IWSLT_BY_HAND, IWSLT_PARTS, LANGUAGES, find_iwslt

__all__ = ["iwslt"]

_LATENT_DIM = 100
_FIRST = (
    "<unk>",
    "<s>",
    "</s>",
)  # The first words of a published vocabulary, which become SPECIALS.


Sentences = list[list[str]]


@register(modalities=LANGUAGES, sizes=None, by_hand=IWSLT_BY_HAND, find=find_iwslt)
@typed
def iwslt(
    folder: str | Path | None = None, *, length: int = 70, num_words: int | None = None
) -> DataSet:
    """Read pairs of sentences: the published 133,317 for training, 1,553 validation and 1,268 test.

    Pairs with an empty side are left out.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        length: The largest number of symbols of a sentence, including its end.
        num_words: The number of words of each published vocabulary to keep, the commonest in
            training; None for all. Fewer words save time and memory. All others then become the
            unknown word, and likelihoods are of sentences that do not tell these words apart.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: If ``length`` or ``num_words`` is below 1, the two sides of a part have
            different numbers of lines or none, or a vocabulary has another form.

    Source: see the module; length and D = 100 from Wu & Goodman 2018. The paper names neither
    the release nor the treatment of longer sentences.
    """
    files = find_iwslt(folder)
    sentences = {
        split: _sentences(files[part, "en"], files[part, "vi"])
        for split, part in IWSLT_PARTS.items()
    }
    vocabularies = {
        name: _vocabulary(files["vocab", name], sentences["train"][name], num_words)
        for name in LANGUAGES
    }
    parts = {
        split: Observations({n: vocabularies[n].encode_words(x, length) for n, x in both.items()})
        for split, both in sentences.items()
    }
    return DataSet(
        "iwslt",
        parts["train"],
        parts["validation"],
        parts["test"],
        modalities=tuple(_sentence(name, len(vocabularies[name]), length) for name in LANGUAGES),
        latent_dim=_LATENT_DIM,
        label=None,
        num_classes=None,
        vocabularies=vocabularies,
    )


def _sentences(en: Path, vi: Path) -> dict[str, Sentences]:
    """Read the words of the pairs of sentences without an empty side."""
    first, second = _lines(en), _lines(vi)
    if len(first) != len(second):
        raise ValueError(
            f"{en}: expected a line for each of {vi.name}, got {len(first)} lines and "
            f"{len(second)}. One of the two is not the original or is cut off: download it again."
        )
    pairs = [(x.split(), y.split()) for x, y in zip(first, second, strict=True)]
    pairs = [(x, y) for x, y in pairs if x and y]
    if not pairs:
        raise ValueError(f"{en}: expected sentences, got none; download it and {vi.name} again.")
    return {name: [pair[i] for pair in pairs] for i, name in enumerate(LANGUAGES)}


def _vocabulary(path: Path, train: Sentences, num_words: int | None) -> Vocabulary:
    words = _lines(path)
    if tuple(words[: len(_FIRST)]) != _FIRST or len(set(words)) < len(words):
        raise ValueError(
            f"{path}: expected a word a line, {', '.join(_FIRST)} first and none twice, got "
            f"{len(words)} lines, {', '.join(words[:3]) or 'nothing'} first; download it again."
        )
    words = words[len(_FIRST) :]
    if num_words is not None:
        count = Counter(word for sentence in train for word in sentence)
        words = sorted(words, key=lambda word: -count[word])[
            :num_words
        ]  # The first of equally common words comes first.
    return Vocabulary((*SPECIALS, *words))


def _lines(path: Path) -> list[str]:
    """Read the lines of a file. Bytes that are not UTF-8 become U+FFFD."""
    text = path.read_bytes().decode("utf-8", errors="replace").replace("\r\n", "\n")
    return text.removesuffix("\n").split("\n") if text else []


def _sentence(name: str, vocab_size: int, length: int) -> Modality:
    sizes: dict[str, Any] = {"length": length, "vocab_size": vocab_size}
    return Modality(
        name,
        Tokens(),
        partial(getattr(presets, f"iwslt_{name}_encoder"), **sizes),
        partial(getattr(presets, f"iwslt_{name}_decoder"), **sizes),
        features=partial(getattr(presets, f"iwslt_{name}_features"), **sizes),
    )
