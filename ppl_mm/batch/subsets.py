"""All subsets of the modalities, while they are few enough to build something for each."""

from collections.abc import Sequence
from itertools import combinations

__all__ = ["MOST_MODALITIES", "check_all_subsets", "non_empty_subsets"]

MOST_MODALITIES = 8
"""The most modalities of which all 2^M - 1 = 255 subsets are built; of more, users name them."""


def check_all_subsets(names: Sequence[str], what: str, instead: str) -> None:
    """Raise ValueError where all subsets of the modalities are more than can be handled.

    Args:
        names: The modalities.
        what: The thing that has a part for each subset, for the message.
        instead: The remedy, for the message.
    """
    if len(names) > MOST_MODALITIES:
        raise ValueError(
            f"{what}: {len(names)} modalities have 2^{len(names)} - 1 = {2 ** len(names) - 1:,} "
            f"subsets; all of them are taken of at most {MOST_MODALITIES} modalities. {instead}"
        )


def non_empty_subsets(names: Sequence[str]) -> list[tuple[str, ...]]:
    """All of them, small ones first.

    Example:
        >>> non_empty_subsets(["a", "b"])
        [('a',), ('b',), ('a', 'b')]
    """
    sizes = range(1, len(names) + 1)
    return [subset for size in sizes for subset in combinations(names, size)]
