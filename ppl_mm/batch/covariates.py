"""Covariates: values that networks read and no model scores, such as the batch of a cell."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.nn import functional as F

from ppl_mm.arguments.shown import shown
from ppl_mm.batch.network_contracts import covariate_sizes, reads_covariates

__all__ = [
    "Covariates",
    "blank_covariates",
    "check_covariates",
    "check_read",
    "check_size",
    "columns_for",
    "covariates_for",
    "joined_covariates",
]

Covariates = Mapping[str, Tensor]
"""Name -> the covariates of some rows, (N,) or (N, C)."""


def covariates_for(network: object, given: Covariates) -> dict[str, Shaped[Tensor, "_ ..."]]:
    """The rows' covariates that a network reads.

    Raises:
        ValueError: For a covariate that it reads and the rows lack.
    """
    names = reads_covariates(network)
    for name in names:
        if name not in given:
            has = f"those given are {', '.join(map(repr, given))}" if given else "none is given"
            raise ValueError(
                f"covariate {name!r}: {type(network).__name__} reads it, and {has}; write "
                f"obs.with_covariates({{{name!r}: x}}), or Observations(..., covariates=...). What "
                "draws values without rows has no covariates, and takes no such network."
            )
    return {name: given[name] for name in names}


def check_covariates(
    given: Mapping[str, Shaped[Tensor, "N ..."]],
    size: int,
    device: torch.device,
    modalities: Sequence[str],
) -> dict[str, Shaped[Tensor, "N ..."]]:
    """The covariates of ``size`` rows, once each is complete.

    Raises:
        TypeError: For anything but a dict of dense tensors of real numbers.
        ValueError: For a modality's name, another number of rows or device, more than two
            dimensions, or NaN and infinity.
    """
    if not isinstance(given, Mapping):
        raise TypeError(
            f"covariates: expected a dict from names to tensors, got {type(given).__name__}."
        )
    for name, x in given.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"covariates: expected names like 'batch', got {shown(name)}.")
        if name in modalities:
            raise ValueError(
                f"covariate {name!r}: a modality has this name. A model scores modalities, and "
                "networks read covariates; give it another name."
            )
        dense = isinstance(x, Tensor) and x.layout == torch.strided and not x.is_complex()
        if not dense or x.is_nested or x.is_quantized:
            raise TypeError(
                f"covariate {name!r}: expected a dense tensor of real numbers, (N,) or (N, C), got "
                f"{type(x).__name__}; write torch.as_tensor(x)."
            )
        if x.dim() not in (1, 2) or len(x) != size:
            raise ValueError(
                f"covariate {name!r}: expected shape (N,) or (N, C) with N = {size}, got "
                f"{tuple(x.shape)}."
            )
        if x.device != device:
            raise ValueError(f"covariate {name!r}: the rows are on {device}, it is on {x.device}.")
        if x.is_floating_point() and not bool(x.isfinite().all()):
            row = int((~x.reshape(size, -1).isfinite().all(1)).nonzero()[0])
            raise ValueError(
                f"covariate {name!r}: row {row} holds NaN or infinity, and no covariate may be "
                "missing. Give a class of its own to rows where it is not known, or leave them out."
            )
    return {name: x.detach() for name, x in given.items()}


def check_read(network: object, given: Covariates) -> None:
    """Raise unless the rows have the covariates that a network reads, in the sizes that it names.

    Raises:
        TypeError: For classes as floating-point numbers.
        ValueError: For a covariate that the rows lack, classes beyond their number, or another
            number of columns.
    """
    found = covariates_for(network, given)
    for name, size in covariate_sizes(network).items():
        check_size(name, found[name], size)


def check_size(name: str, x: Shaped[Tensor, "N ..."], size: int) -> None:
    """Raise unless a covariate has classes 0 ... size - 1, (N,), or ``size`` columns."""
    if x.dim() == 2:
        if x.shape[1] != size:
            raise ValueError(
                f"covariate {name!r}: the network reads {size} columns, got {x.shape[1]}."
            )
    elif x.is_floating_point() and size > 1:
        raise TypeError(
            f"covariate {name!r}: expected integers from 0 to {size - 1}, the classes, got "
            f"{x.dtype}; write x.long(), or x[:, None] for a column of numbers."
        )
    elif not x.is_floating_point() and len(x):
        low, high = int(x.min()), int(x.max())
        if low < 0 or high >= size:
            raise ValueError(
                f"covariate {name!r}: the network knows the classes 0 to {size - 1}, got "
                f"{low if low < 0 else high}."
            )


def blank_covariates(networks: Iterable[object], size: int) -> dict[str, Float[Tensor, "{size} _"]]:
    """Zeros (size, C) for each covariate whose number C of classes or columns all networks name.

    They stand for no class, and for a number of 0.
    """
    found: dict[str, int | None] = {}
    for network in networks:
        sizes = covariate_sizes(network)
        for name in reads_covariates(network):
            own = sizes.get(name)
            found[name] = own if name not in found or found[name] == own else None
    return {name: torch.zeros(size, c) for name, c in found.items() if c is not None}


def columns_for(network: object, given: Covariates) -> dict[str, Shaped[Tensor, "_ ..."]]:
    """The covariates that a network reads as columns (N, C), classes as indicators.

    Those whose number C it does not name stay as they are.
    """
    found = covariates_for(network, given)
    for name, size in covariate_sizes(network).items():
        x = found[name]
        if x.dim() == 1:
            x = x[:, None] if x.is_floating_point() else F.one_hot(x.long(), size)
        found[name] = x.to(torch.get_default_dtype())
    return found


def joined_covariates(batches: Sequence[Covariates]) -> dict[str, Shaped[Tensor, "N ..."]]:
    """The covariates of batches, one after another.

    Raises:
        ValueError: If one lacks what another has, or they differ in shape or kind of number.
    """
    found = {}
    for name in {n: None for batch in batches for n in batch}:
        parts = [batch[name] for batch in batches if name in batch]
        if len(parts) < len(batches):
            raise ValueError(
                f"covariate {name!r}: some of the batches to join lack it, and no covariate may be "
                f"missing; write batch.with_covariates({{{name!r}: x}}) for those."
            )
        if len({(x.shape[1:], x.is_floating_point()) for x in parts}) > 1:
            kinds = ", ".join(f"{tuple(x.shape)} {x.dtype}" for x in parts)
            raise ValueError(f"covariate {name!r}: the batches to join have {kinds}.")
        found[name] = torch.cat(parts)
    return found
