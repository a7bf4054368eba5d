"""Conversion of a decoder's output into the distribution of its rows."""

from collections.abc import Sequence
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from ppl_mm.batch.network_contracts import reads_elements, reads_value
from ppl_mm.batch.observed_elements import refuse_holes
from ppl_mm.batch.shapes import aligned, check_numbers, mapped, shape_of
from ppl_mm.likelihoods.likelihood import Likelihood

__all__ = ["check_factorises", "of_decoder"]


def of_decoder(
    likelihood: Likelihood,
    output: object,
    batch: torch.Size,
    event_shape: Sequence[int] | None = None,
    name: str | None = None,
) -> TorchDistribution:
    """Return the distribution that a decoder's output describes, with the rows' batch shape.

    Args:
        likelihood: The likelihood, which makes a distribution of parameters.
        output: The decoder's output for flat rows, one for each entry of ``batch``.
        batch: The batch shape of the rows.
        event_shape: The data's event shape, or None without data.
        name: The modality's name, for messages.

    Raises:
        TypeError: If the output holds anything but tensors and numbers, or several parameters
            where the likelihood takes one.
        ValueError: If a likelihood of several parameters gets another number of them, if
            :class:`Likelihood` does not allow their shapes, or if their event shape differs from
            the data's.
    """
    found: list[Any] = []
    mapped(output, found.append)
    try:
        parameters = iter(_of_rows(likelihood, found, batch, event_shape))
        p = likelihood(mapped(output, lambda _: next(parameters)), len(batch), event_shape)
        _check_shapes(likelihood, p, batch, event_shape)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{_of(name)}{error}") from error
    except Exception as error:
        shapes = ", ".join(str(shape_of(x)) for x in found)
        error.add_note(f"{_of(name)}the decoder's parameters have the shapes {shapes}.")
        raise
    return p


def check_factorises(name: str | None, likelihood: Likelihood, decoder: object) -> None:
    """Raise unless the elements of a modality's values are independent given z.

    Raises:
        ValueError: If the likelihood or the decoder does not factorise; it names the modality.
    """
    if not likelihood.elementwise:
        raise refuse_holes(name, f"the likelihood {type(likelihood).__name__}")
    if reads_value(decoder) and not reads_elements(decoder):
        raise refuse_holes(name, f"the decoder {type(decoder).__name__}, which reads values,")


def _of_rows(
    likelihood: Likelihood,
    found: Sequence[Any],
    batch: torch.Size,
    event_shape: Sequence[int] | None,
) -> list[Any]:
    """Return the decoder's tensors and numbers, with rows in their batch shape."""
    rows = batch.numel()
    if likelihood.elementwise:
        return [x.reshape(*batch, *x.shape[1:]) for x in aligned(found, (rows,), event_shape)]
    check_numbers(found)
    for x in found:
        if isinstance(x, Tensor) and x.dim() > 0 and len(x) != rows:
            kind = type(likelihood).__name__
            raise ValueError(
                f"{kind}: the decoder returned a tensor of shape {shape_of(x)} for B = {rows} "
                "rows, expected (B, ...). All rows share only numbers and tensors without "
                "dimensions, unless the likelihood says elementwise = True."
            )
    return [
        x.reshape(*batch, *x.shape[1:]) if isinstance(x, Tensor) and x.dim() > 0 else x
        for x in found
    ]


def _check_shapes(
    likelihood: Likelihood,
    p: TorchDistribution,
    batch: torch.Size,
    event_shape: Sequence[int] | None,
) -> None:
    if event_shape is None:
        return
    if tuple(p.event_shape) != tuple(event_shape):
        raise ValueError(
            f"the decoder's event shape is {tuple(p.event_shape)}, the data's "
            f"{tuple(event_shape)}. Change the decoder's output, whose largest parameter says the "
            "event's shape, or reshape the values."
        )
    if tuple(p.batch_shape) != tuple(batch):
        raise ValueError(
            f"{type(likelihood).__name__}: expected one distribution a row, batch shape "
            f"{tuple(batch)}, got {tuple(p.batch_shape)}."
        )


def _of(name: str | None) -> str:
    return "" if name is None else f"modality {name!r}: "
