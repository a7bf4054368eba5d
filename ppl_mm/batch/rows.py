"""Functions that run a network on observed rows only.

A missing row must affect neither a network's output nor the statistics of its batch normalisation.
A row that is left out also costs no computation.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeGuard, cast

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ppl_mm.batch.covariates import Covariates, covariates_for
from ppl_mm.batch.host_masks import on_host
from ppl_mm.batch.shapes import mapped
from ppl_mm.batch.unread import runs

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
    "unexpanded",
]


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


def unexpanded(x: Shaped[Tensor, "..."], keep: int = 0) -> Shaped[Tensor, "..."]:
    """Return the same numbers with size 1 along the dims that repeat them.

    Args:
        x: The tensor, which may have been expanded.
        keep: The number of trailing dims that keep their size.
    """
    strides = x.stride()[: x.dim() - keep]
    return x[tuple(slice(1) if stride == 0 else slice(None) for stride in strides)]


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


def run_network(
    network: Callable[..., Any],
    rows: Shaped[Tensor, "B ..."],
    *more: Shaped[Tensor, "B ..."],
    note: str | None = None,
    covariates: Covariates | None = None,
    held: Bool[Tensor, "..."] | None = None,
) -> Any:
    """Return ``network(rows, *more)`` for rows with one batch dimension.

    A network that reads covariates is called with them: ``network(rows, *more, covariates={...})``.

    Floating-point rows are converted to the network's own dtype. A single row has no batch
    statistics, so batch normalisation uses its running ones. An output of 16 bits is converted to
    float32, because densities must not be rounded. A note on an error names the network and its
    input. With a mask ``held`` of unread values the network sees all rows, and its output counts
    where the mask is True.
    """
    runs((network,), held)
    if held is not None:
        _refuse_batch_statistics(network)
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


def _refuse_batch_statistics(network: object) -> None:
    parts = network.modules() if isinstance(network, nn.Module) else ()
    if any(isinstance(part, _BatchNorm) and part.training for part in parts):
        raise RuntimeError("batch normalisation sees no rows but those that count")


def dtype_of(network: nn.Module) -> torch.dtype | None:
    """Return the dtype of a network's first floating-point parameter or buffer.

    It is None for a network that has neither.
    """
    return _first_dtype(network, "_parameters") or _first_dtype(network, "_buffers")


def _first_dtype(module: nn.Module, kind: str) -> torch.dtype | None:
    """Return the first dtype, ten times as fast as by module.parameters(); every step needs it."""
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
    """Make ``dtype`` the dtype of tensors that are made from Python's numbers in the context."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _in_dtype(x: Tensor, dtype: torch.dtype | None) -> Tensor:
    return x if dtype is None or not x.is_floating_point() else x.to(dtype)


def at_least_float32(output: object) -> Any:
    """Return a network's output with half-precision tensors converted to float32.

    Densities would be rounded in half precision.
    """
    return mapped(output, lambda x: x.float() if _is_half(x) else x)


def _is_half(x: object) -> TypeGuard[Tensor]:
    return isinstance(x, Tensor) and x.dtype in (torch.bfloat16, torch.float16)


def running_statistics(network: nn.Module) -> AbstractContextManager[None]:
    """Make batch normalisation use its running statistics in the context, without an update."""
    return eval_mode(*(m for m in network.modules() if isinstance(m, _BatchNorm)))


@contextmanager
def eval_mode(*modules: nn.Module) -> Iterator[None]:
    """Put modules into evaluation mode in the context, and restore each submodule's mode after."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    if any(training for _, training in modes):
        for module in modules:
            module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            if part.training != training:  # to set an attribute of a module takes longer
                part.training = training
