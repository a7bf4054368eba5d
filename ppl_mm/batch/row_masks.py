"""Masks of rows: the positions where they are True, and values put back at these positions."""

from jaxtyping import Bool, Float, Int
from torch import Tensor

from ppl_mm.batch.host_masks import on_host

__all__ = ["indices", "one_if_same", "put_rows"]


def indices(mask: Bool[Tensor, "..."]) -> Int[Tensor, " N"] | None:
    """Return the flat positions where ``mask`` is True, or None if it is True everywhere."""
    flat = mask.reshape(-1)
    return None if bool(flat.all()) else flat.nonzero().squeeze(-1)


def one_if_same(mask: Bool[Tensor, "*S B"]) -> Bool[Tensor, "*S #B"]:
    """Return one entry, (..., 1), if a mask (..., B) is the same in every row; else the mask.

    Rows are usually complete, so they have the same mask, and a result for one holds for all. A
    mask whose values are on another device is returned unchanged.
    """
    if not on_host(mask):
        return mask
    first = mask[..., :1]
    return first if bool((mask == first).all()) else mask


def put_rows(
    rows: Int[Tensor, " N"] | None, values: Float[Tensor, "..."], size: int, fill: float, dim: int
) -> Float[Tensor, "..."]:
    """Return ``values`` at some of ``size`` positions along ``dim``, and ``fill`` elsewhere.

    Args:
        rows: The positions of the values, or None if they fill all positions.
        values: The computed rows.
        size: The length of ``dim`` in the result.
        fill: The number that the other positions hold.
        dim: The dimension that ``rows`` indexes.
    """
    if rows is None:
        return values
    shape = list(values.shape)
    shape[dim] = size
    return values.new_full(shape, fill).index_copy(dim, rows, values)
