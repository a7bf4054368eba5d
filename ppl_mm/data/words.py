"""Digits as English words in a string of 8 characters, at a random place.

A string is 8 symbols of the 71 in ``ALPHABET``. It holds the word and blanks. The word starts
uniformly at 0 .. 7 - length, so the last character is always blank.

Source: Sutter et al. 2020 (mmJSD), arXiv:2006.08242, release: the text of MNIST-SVHN-Text. As
there, ``-`` has two symbols, and the second is never used.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from ppl_mm.arguments.tensors import Classes, Symbols
from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.networks.characters import LENGTH

__all__ = ["ALPHABET", "BLANK", "WORDS", "move_words", "spell", "write_words"]

ALPHABET = (
    "abcdefghijklmnopqrstuvwxyz0123456789-,;.!?:'\"\\/|_@#$%^&*~`+-=<>()[]{} \n"  # 71 symbols
)
"""Symbol -> character."""
BLANK = ALPHABET.index(" ")
"""The symbol of a blank, 69."""
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""Digit -> word."""


@typed
def write_words(digits: Classes, generator: torch.Generator | None = None) -> Int[Tensor, "N 8"]:
    """Write the word of each digit at a random place of a string.

    Args:
        digits: The digits 0..9, (N,).
        generator: The generator of the places.

    Returns:
        Symbols (N, 8) int64.

    Raises:
        ValueError: If a value is no digit.

    Example:
        >>> strings = write_words(torch.tensor([3, 1]))
        >>> [s.strip() for s in spell(strings)], strings.shape
        (['three', 'one'], torch.Size([2, 8]))
    """
    if not 0 <= int(digits.min()) <= int(digits.max()) <= 9:
        raise ValueError(
            f"digits: expected 0 to 9, got {int(digits.min())} to {int(digits.max())}."
        )
    at_start = torch.tensor([_symbols(word.ljust(LENGTH)) for word in WORDS])
    return _moved(at_start.to(digits.device)[digits], generator)


@typed
def spell(strings: Symbols) -> list[str]:
    """Return the text of each row of symbols (N, 8), 8 characters each.

    Raises:
        ValueError: If a value is no such symbol.
    """
    if not 0 <= int(strings.min()) <= int(strings.max()) < len(ALPHABET):
        raise ValueError(
            f"strings: expected symbols from 0 to {len(ALPHABET) - 1}, got {int(strings.min())} to "
            f"{int(strings.max())}."
        )
    return ["".join(ALPHABET[i] for i in row) for row in strings.tolist()]


def move_words(obs: Observations) -> Observations:
    """Draw new positions of the words of ``text``, on its device, as in every epoch.

    Example:
        >>> obs = Observations({"text": write_words(torch.tensor([7]))})
        >>> spell(move_words(obs)["text"])[0].strip()
        'seven'
    """
    return obs.replace("text", _moved(obs["text"]))


def _moved(strings: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Rotate each row so that its word starts at a random place."""
    written = strings != BLANK
    first, length = written.int().argmax(1), written.sum(1)
    draw = torch.rand(len(strings), generator=generator, device=strings.device)
    start = (draw * (LENGTH - length).clamp(min=1)).long()
    places = torch.arange(LENGTH, device=strings.device) + (first - start)[:, None]
    return strings.gather(1, places % LENGTH)


def _symbols(text: Sequence[str]) -> list[int]:
    return [ALPHABET.index(character) for character in text]
