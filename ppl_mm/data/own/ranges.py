"""The numbers that a kind admits, and that torch's default float holds."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ppl_mm.batch.libraries import is_sparse
from ppl_mm.data.own.declaration import Kind
from ppl_mm.data.own.source import Rows

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = ["check_range"]

_LARGEST = 1e150  # Squares of larger numbers are infinite.
_BITS = (lambda x: (x == 0) | (x == 1), "0 or 1", 'kind = "category" has other levels')
_BY_KIND: dict[str, tuple[tuple[Callable[[Any], Any], str, str], ...]] = {
    "positive": ((lambda x: x > 0, "a value above 0", 'kind = "real" admits any number'),),
    "counts": (
        (
            lambda x: (x >= 0) & (x == np.floor(x)),
            "a whole number of at least 0",
            'kind = "real" admits any number; counts must not be scaled or log-transformed',
        ),
    ),
    "binary": (_BITS,),
    "label set": (_BITS,),
}
"""The numbers that a kind admits: a test, what is expected, and the remedy."""


def check_range(array: Any, rows: Rows, kind: Kind) -> None:
    """Raise for the first number that the kind, or a float of torch's default type, does not hold.

    Args:
        array: The numbers (n, D), NaN where missing; a sparse matrix misses none.
        rows: The rows that they are read from, for messages.
        kind: Their kind.
    """
    sparse = is_sparse(array)
    stored = array.data if sparse else array
    if kind == "positive" and sparse:
        raise ValueError(f"{rows.origin}: a sparse matrix holds zeros, which are not positive.")
    held = torch.finfo(torch.get_default_dtype())
    own = np.finfo(stored.dtype).max if stored.dtype.kind == "f" else np.inf
    most = min(held.max, _LARGEST, float(own))
    unit = "give it in another unit"
    checks: list[tuple[Callable[[Any], Any], str, str]] = [
        (np.isfinite, "a finite number", "leave the cell empty where the value is missing"),
        (lambda x: abs(x) <= most, f"a number of at most {most:.2g}", unit),
        *_BY_KIND.get(kind, ()),
    ]
    if kind == "positive":
        checks.append((lambda x: x >= held.tiny, f"a value of at least {held.tiny:.2g}", unit))
    if sparse:
        dense = "of a sparse matrix no single number is missing: give a dense one, or correct it"
        checks.insert(0, (lambda x: ~np.isnan(x), "a number", dense))
    for admits, expected, remedy in checks:
        wrong = ~admits(stored) if sparse else ~admits(stored) & ~np.isnan(stored)
        if wrong.any():
            i, column, got = _first(array, wrong)
            raise ValueError(f"{rows.at(i, column)}: expected {expected}, got {got:g}; {remedy}.")


def _first(array: "np.ndarray | csr_array", wrong: np.ndarray) -> tuple[int, int, float]:
    """Return the row, the column and the value of the first number that is wrong."""
    if is_sparse(array):
        place = int(wrong.argmax())
        row = int(np.searchsorted(array.indptr, place, side="right")) - 1
        return row, int(array.indices[place]), array.data[place]
    row, column = (int(x) for x in np.argwhere(wrong)[0])
    return row, column, array[row, column]
