"""Sentences of talks in English and Vietnamese, each the other's translation (IWSLT 2015).

    en    (70,) integers, an English sentence
    vi    (70,) integers, a Vietnamese one

A sentence is the symbols of its first 69 words at most, the end, and padding, as in
:mod:`ppl_mm.data.vocabulary`; the words are those of the published vocabularies, upper and lower
case as they come, and ``DataSet.vocabularies`` tells them. The files: :func:`find_iwslt`. There
are no classes.

Source: Cettolo et al. 2015, "The IWSLT 2015 evaluation campaign"; split into words, with
vocabularies, by Luong & Manning 2015. As two modalities: Wu & Goodman 2018 (MVAE),
arXiv:1802.05335, section 7.
"""

from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from ppl_mm.data.dataset import DataSet
from ppl_mm.data.sources import BY_HAND, data_folder
from ppl_mm.data.vocabulary import SPECIALS, Vocabulary
from ppl_mm.likelihoods import Tokens
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.observations import Observations
from ppl_mm.typed import typed

__all__ = ["LANGUAGES", "find_iwslt", "iwslt"]

LANGUAGES = ("en", "vi")
_LATENT_DIM = 100
_PARTS = {"train": "train", "validation": "tst2012", "test": "tst2013"}
_FIRST = ("<unk>", "<s>", "</s>")  # of a published vocabulary; they become SPECIALS

Sentences = list[list[str]]


@typed
def iwslt(
    folder: str | Path | None = None, *, length: int = 70, num_words: int | None = None
) -> DataSet:
    """Pairs of sentences: the published 133,317 for training, 1,553 validation and 1,268 test.

    Pairs of which a side is empty are left out.

    Args:
        folder: The data folder; default ``PPL_MM_DATA``, or the user's cache.
        length: The largest number of symbols of a sentence, its end included.
        num_words: How many words of each published vocabulary to keep, the commonest in training;
            None for all. Fewer cost less time and memory, for a look: all others are then one,
            the unknown word, and likelihoods are of sentences that do not tell them apart.

    Raises:
        FileNotFoundError: If files are missing.
        ValueError: For a length or a number of words below 1; if the two sides of a part have
            different numbers of lines or none, or a vocabulary is not one of the published form.

    Source: as the module; length and D = 100 from Wu & Goodman 2018. Not given there: which
    release, and what becomes of longer sentences.
    """
    files = find_iwslt(folder)
    sentences = {
        split: _sentences(files[part, "en"], files[part, "vi"]) for split, part in _PARTS.items()
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


def find_iwslt(folder: str | Path | None = None) -> dict[tuple[str, str], Path]:
    """The published files in ``iwslt/`` of the data folder, a sentence or a word a line.

        train.en     train.vi       to train on
        tst2012.en   tst2012.vi     validation
        tst2013.en   tst2013.vi     test
        vocab.en     vocab.vi       the words that have a symbol, <unk>, <s> and </s> first

    Returns:
        What it is ("train", "tst2012", "tst2013" or "vocab") and the language -> the file.

    Raises:
        FileNotFoundError: If any is missing.
    """
    root = data_folder(folder) / "iwslt"
    kinds = (*_PARTS.values(), "vocab")
    files = {(kind, name): root / f"{kind}.{name}" for kind in kinds for name in LANGUAGES}
    missing = [path.name for path in files.values() if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"iwslt: {root} lacks {', '.join(missing)}. {BY_HAND['iwslt']}")
    return files


def _sentences(en: Path, vi: Path) -> dict[str, Sentences]:
    """The words of the sentences whose pair has an empty side in neither language."""
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
        words = sorted(words, key=lambda word: -count[word])[:num_words]  # of equals the first
    return Vocabulary((*SPECIALS, *words))


def _lines(path: Path) -> list[str]:
    """The lines of a file, whatever they hold. Bytes that are no UTF-8 become U+FFFD."""
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
