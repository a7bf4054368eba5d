"""Run a network on the rows that count, and only on those.

An absent row must reach neither a network's output nor the statistics of its batch
normalisation, and costs nothing if it is never computed.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ppl_mm.known import at_hand

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


def run_network(network: nn.Module, rows: Tensor, *more: Tensor) -> Any:
    """``network(rows, *more)`` for rows with one batch dimension.

    One row has no batch statistics: batch normalisation then uses its running ones. Under
    autocast the output, whose densities must not be rounded, comes back in float32.
    """
    if len(rows) == 1 and network.training:
        with running_statistics(network):
            return at_least_float32(network(rows, *more))
    return at_least_float32(network(rows, *more))


def at_least_float32(output: Any) -> Any:
    """A tensor, or several, with half precision made single: densities must not be rounded."""
    if isinstance(output, Tensor):
        return output.float() if output.dtype in (torch.bfloat16, torch.float16) else output
    if isinstance(output, dict):
        return {k: at_least_float32(v) for k, v in output.items()}
    return (
        tuple(at_least_float32(v) for v in output) if isinstance(output, tuple | list) else output
    )


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
