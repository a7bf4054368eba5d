"""Conversion of an index into the positions of the rows that it selects."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Int
from pyro.infer.util import is_validation_enabled
from torch import Tensor

from ppl_mm.batch.host_masks import on_host

__all__ = ["Index", "positions"]

Index = int | slice | Tensor | np.ndarray | Sequence[int] | Sequence[bool]
"""The kinds of index that select rows of a batch."""


def positions(index: Index, size: int) -> Int[Tensor, " N"]:
    """The rows, from 0 to size - 1, of a slice, of one integer or several, or of a mask (size,).

    Raises:
        TypeError: For an index of anything but integers or booleans.
        IndexError: For rows that there are not, or a mask of another length.
    """
    if isinstance(index, slice):
        try:
            return torch.from_numpy(np.arange(*index.indices(size)))
        except (TypeError, ValueError) as error:
            raise TypeError(f"rows: expected a slice of integers, got {index}: {error}.") from error
    rows = index if isinstance(index, Tensor) else _from_array(index)
    if rows.is_floating_point() or rows.is_complex():
        raise TypeError(f"rows: expected integers or booleans, got {rows.dtype}; write x.long().")
    if rows.dtype == torch.bool:
        if rows.shape != (size,):
            raise IndexError(
                f"rows: expected a mask of shape (B,) = ({size},), got {tuple(rows.shape)}."
            )
        return rows.nonzero()[:, 0]
    rows = rows.long().reshape(-1) if rows.dim() == 0 else rows.long()
    if rows.dim() > 1:
        raise IndexError(
            f"rows: expected one dimension, got an index of shape {tuple(rows.shape)}; write "
            "x.reshape(-1)."
        )
    if len(rows) == 0 or not (on_host(rows) or is_validation_enabled()):
        return rows
    first, last = (int(row) for row in rows.aminmax())
    if first < -size or last >= size:
        far = first if first < -size else last
        raise IndexError(f"row {far} is out of bounds: expected rows from {-size} to {size - 1}.")
    return rows if first >= 0 else torch.where(rows < 0, rows + size, rows)


def _from_array(index: int | np.ndarray | Sequence[int]) -> Tensor:
    try:
        array = np.array(index)
    except ValueError:  # lists of different lengths
        array = np.array(None)
    if array.size == 0:
        return torch.zeros(0, dtype=torch.int64)
    if array.dtype.kind not in "iub" or np.ma.is_masked(index):
        raise TypeError(
            f"rows: expected integers, booleans or a slice, got {type(index).__name__} of "
            f"{array.dtype}: {str(index)[:60]}. Write obs[[0, 2]] for rows, obs['x'] for the "
            "values of a modality, obs.only('x', 'y') for modalities."
        )
    return torch.from_numpy(array.astype(bool if array.dtype.kind == "b" else np.int64))
