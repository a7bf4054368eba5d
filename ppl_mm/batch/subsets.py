"""All subsets of the modalities, as long as there are few enough to have one's own of each."""

from collections.abc import Sequence
from itertools import combinations

__all__ = ["MOST_MODALITIES", "check_all_subsets", "non_empty_subsets"]

MOST_MODALITIES = 8
"""All 2^M - 1 = 255 subsets of so many modalities are built, of more only those that are named."""


def check_all_subsets(names: Sequence[str], what: str, instead: str) -> None:
    """Raise ValueError where all subsets of the modalities are more than can be handled.

    Args:
        names: The modalities.
        what: What would have something for each subset.
        instead: What to do instead.
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
