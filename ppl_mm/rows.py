"""Run a network on the rows that count, and only on those.

An absent row must reach neither a network's output nor the statistics of its batch
normalisation, and costs nothing if it is never computed.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ppl_mm.known import at_hand
from ppl_mm.shapes import mapped

__all__ = [
    "alike",
    "at_least_float32",
    "eval_mode",
    "indices",
    "put_rows",
    "run_network",
    "running_statistics",
]


def indices(mask: Tensor) -> Tensor | None:
    """Flat positions of True in ``mask``, or None where all of it is True."""
    flat = mask.reshape(-1)
    return None if bool(flat.all()) else flat.nonzero().squeeze(-1)


def alike(mask: Tensor) -> Tensor:
    """One entry for all rows, (..., 1), where a mask (..., B) is the same in every row.

    Complete rows, the usual ones, are alike, and what is worked out for one holds for all. A mask
    that only a device knows stays as it is.
    """
    if not at_hand(mask):
        return mask
    first = mask[..., :1]
    return first if bool((mask == first).all()) else mask


def put_rows(rows: Tensor | None, values: Tensor, size: int, fill: float, dim: int) -> Tensor:
    """Spread ``values`` over ``size`` positions along ``dim``, with ``fill`` elsewhere.

    Args:
        rows: Positions of the values, or None where they are all there.
        values: The computed rows.
        size: Length of ``dim`` in the result.
        fill: What the other positions hold.
        dim: The dimension that ``rows`` indexes.
    """
    if rows is None:
        return values
    shape = list(values.shape)
    shape[dim] = size
    return values.new_full(shape, fill).index_copy(dim, rows, values)


def run_network(network: Any, rows: Tensor, *more: Tensor, note: str | None = None) -> Any:
    """``network(rows, *more)`` for rows with one batch dimension.

    One row has no batch statistics: batch normalisation then uses its running ones. Under
    autocast the output, whose densities must not be rounded, comes back in float32. An error says
    in a note of its own which network it was and what it was given.
    """
    alone = len(rows) == 1 and getattr(network, "training", False)
    try:
        with running_statistics(network) if alone else nullcontext():
            return at_least_float32(network(rows, *more))
    except Exception as error:
        if note is not None:
            error.add_note(f"In {note} of shape {tuple(rows.shape)}, {rows.dtype}.")
        raise


def at_least_float32(output: Any) -> Any:
    """A tensor, or several, with half precision made single: densities must not be rounded."""
    return mapped(output, lambda x: x.float() if _is_half(x) else x)


def _is_half(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dtype in (torch.bfloat16, torch.float16)


def running_statistics(network: nn.Module) -> AbstractContextManager[None]:
    """Batch normalisation uses its running statistics inside, and leaves them alone."""
    return eval_mode(*(m for m in network.modules() if isinstance(m, _BatchNorm)))


@contextmanager
def eval_mode(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; every module and submodule in its former mode afterwards."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
