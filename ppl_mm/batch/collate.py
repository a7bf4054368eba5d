"""Batches joined into one."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from ppl_mm.batch.batch import Batch
from ppl_mm.batch.checks import check_joinable
from ppl_mm.batch.masked import MASKS
from ppl_mm.batch.terms import Masks

__all__ = ["joined"]


def joined(
    batches: Sequence[Batch],
) -> tuple[dict[str, Shaped[Tensor, "B ..."]], dict[str, Bool[Tensor, "B ..."]], dict[str, Masks]]:
    """The values, the masks of elements and the four masks of batches, one after another.

    Raises:
        ValueError: For values that differ in shape, device or kind of number.
    """
    example: dict[str, Tensor] = {}
    for batch in batches:
        for name, x in batch.values.items():
            example.setdefault(name, x)
    for name in example:
        check_joinable(name, [b.values[name] for b in batches if name in b.values])
    masks = {
        kind: {
            n: torch.cat([_row_mask(b, kind, n, x.device) for b in batches])
            for n, x in example.items()
        }
        for kind in MASKS
    }
    values = {}
    for name, x in example.items():
        parts = [b.values.get(name, x.new_zeros(len(b), *x.shape[1:])) for b in batches]
        values[name] = torch.cat(parts)
    elements = {
        n: torch.cat([_elements(b, n, x) for b in batches])
        for n, x in example.items()
        if any(n in b.elements for b in batches)
    }
    return values, elements, masks


def _elements(batch: Batch, name: str, like: Tensor) -> Tensor:
    shape = (len(batch), *like.shape[1:])
    whole = torch.ones(shape, dtype=torch.bool, device=like.device)
    return batch.elements.get(name, whole)


def _row_mask(batch: Batch, kind: str, name: str, device: torch.device) -> Tensor:
    masks: Masks = getattr(batch, kind)
    if name in masks:
        return masks[name]
    if batch.names:
        return batch.false_mask()
    return torch.zeros(len(batch), dtype=torch.bool, device=device)
