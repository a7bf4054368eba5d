"""Run a network on the rows that count, and only on those.

An absent row must reach neither a network's output nor the statistics of its batch
normalisation, and costs nothing if it is never computed.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeGuard, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ppl_mm.batch.covariates import Covariates, covariates_for
from ppl_mm.batch.host_masks import on_host
from ppl_mm.batch.shapes import mapped

__all__ = [
    "at_least_float32",
    "default_dtype",
    "dtype_of",
    "eval_mode",
    "indices",
    "one_if_same",
    "put_rows",
    "run_network",
    "running_statistics",
]


def indices(mask: Bool[Tensor, "..."]) -> Int[Tensor, " N"] | None:
    """Flat positions of True in ``mask``, or None where all of it is True."""
    flat = mask.reshape(-1)
    return None if bool(flat.all()) else flat.nonzero().squeeze(-1)


def one_if_same(mask: Bool[Tensor, "*S B"]) -> Bool[Tensor, "*S #B"]:
    """One entry for all rows, (..., 1), where a mask (..., B) is the same in every row.

    Rows are usually complete and so have the same mask; a result for one then holds for all. A mask
    whose values only a device has stays as it is.
    """
    if not on_host(mask):
        return mask
    first = mask[..., :1]
    return first if bool((mask == first).all()) else mask


def put_rows(
    rows: Int[Tensor, " N"] | None, values: Float[Tensor, "..."], size: int, fill: float, dim: int
) -> Float[Tensor, "..."]:
    """Spread ``values`` over ``size`` positions along ``dim``, with ``fill`` elsewhere.

    Args:
        rows: Positions of the values, or None where they are all there.
        values: The computed rows.
        size: Length of ``dim`` in the result.
        fill: The number that the other positions hold.
        dim: The dimension that ``rows`` indexes.
    """
    if rows is None:
        return values
    shape = list(values.shape)
    shape[dim] = size
    return values.new_full(shape, fill).index_copy(dim, rows, values)


def run_network(
    network: Callable[..., Any],
    rows: Tensor,
    *more: Tensor,
    note: str | None = None,
    covariates: Covariates | None = None,
) -> Any:
    """``network(rows, *more)`` for rows with one batch dimension.

    A network that reads covariates is given those, ``network(rows, *more, covariates={...})``.

    Floating-point rows come in the network's own dtype, whatever theirs. One row has no batch
    statistics: batch normalisation then uses its running ones. Output of 16 bits, whose densities
    must not be rounded, comes back in float32. An error says in a note of its own which network it
    was and what it was given.
    """
    dtype = dtype_of(network) if isinstance(network, nn.Module) else None
    rows, *others = (_in_dtype(x, dtype) for x in (rows, *more))
    read = covariates_for(network, covariates or {})
    options = {"covariates": {n: _in_dtype(x, dtype) for n, x in read.items()}} if read else {}
    alone = len(rows) == 1 and isinstance(network, nn.Module) and network.training
    try:
        with running_statistics(cast(nn.Module, network)) if alone else nullcontext():
            return at_least_float32(network(rows, *others, **options))
    except Exception as error:
        if note is not None:
            error.add_note(f"In {note} of shape {tuple(rows.shape)}, {rows.dtype}.")
        raise


def dtype_of(network: nn.Module) -> torch.dtype | None:
    """What a network computes in: the dtype of its first floating-point parameter or buffer.

    None for a network that has neither.
    """
    return _first_dtype(network, "_parameters") or _first_dtype(network, "_buffers")


def _first_dtype(module: nn.Module, kind: str) -> torch.dtype | None:
    """As module.parameters() would find it, which takes ten times as long: every step asks."""
    for x in getattr(module, kind).values():
        if x is not None and x.is_floating_point():
            return x.dtype
    for child in module._modules.values():
        found = None if child is None else _first_dtype(child, kind)
        if found is not None:
            return found
    return None


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Inside, tensors that are made of Python's numbers have this dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _in_dtype(x: Tensor, dtype: torch.dtype | None) -> Tensor:
    return x if dtype is None or not x.is_floating_point() else x.to(dtype)


def at_least_float32(output: object) -> Any:
    """A tensor, or several, with half precision made single: densities must not be rounded."""
    return mapped(output, lambda x: x.float() if _is_half(x) else x)


def _is_half(x: object) -> TypeGuard[Tensor]:
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
