"""Text as symbols of a vocabulary, which the training rows determine."""

from collections import Counter

import numpy as np

from ppl_mm.data.own.declaration import Symbols
from ppl_mm.data.vocabulary import SPECIALS, Vocabulary, split_words

__all__ = ["read_text"]

_LONGEST = {"words": 64, "characters": 128}  # The largest default lengths.
_TWICE = 2  # Rarer words of training rows become the unknown word.


def read_text(
    cells: list[str | None],
    training: np.ndarray,
    symbols: Symbols | None,
    length: int | None,
    origin: str,
) -> tuple[np.ndarray, Vocabulary]:
    """Read texts as symbols (n, T), with the end and padding of :mod:`ppl_mm.data.vocabulary`.

    Words in fewer than two training texts become the unknown word; every character of training
    texts has a symbol.

    Args:
        cells: The texts, None where missing.
        training: Whether a row is a training row, (n,).
        symbols: Words or characters; None takes words if texts have several words.
        length: The number T of symbols; None takes that of the longest training text with its end,
            at most 64 words or 128 characters.
        origin: The source's name in messages.

    Raises:
        ValueError: If no training row has a text.
    """
    known = [c for c, trains in zip(cells, training, strict=True) if trains and c is not None]
    if not known:
        raise ValueError(
            f"{origin}: no training row has a text; change the split, or leave the modality out."
        )
    if symbols is None:
        symbols = (
            "words" if sum(len(c.split()) > 1 for c in known) > len(known) / 2 else "characters"
        )
    split = split_words if symbols == "words" else list[str]
    texts = [split(c) for c in known]
    count = Counter(x for text in texts for x in text)
    least = _TWICE if symbols == "words" else 1
    vocabulary = Vocabulary((*SPECIALS, *(x for x, n in count.items() if n >= least)))
    longest = min(max(map(len, texts)) + 1, _LONGEST[symbols])
    sentences = [[] if c is None else split(c) for c in cells]
    return vocabulary.encode_words(sentences, length or longest).numpy(), vocabulary
