"""The base class of likelihoods, and checks of data and of decoders' output."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.shapes import aligned

__all__ = [
    "Likelihood",
    "Parameters",
    "check_floating_point",
    "check_integers",
    "converted",
    "is_integer",
    "one_tensor",
    "pair",
    "require",
]

Parameters = Tensor | float | Sequence[Tensor | float] | Mapping[str, Tensor | float]
"""What a decoder returns: one tensor or several, of the shapes at :class:`Likelihood`."""


@typed
@dataclass(frozen=True)
class Likelihood:
    """The base class of likelihoods; subclass it for one of your own.

    A decoder sees B rows and returns the parameters, for events (values of one row) of shape D:

    - one parameter at least of shape (B, *D), which tells the event's shape. A likelihood of one
      parameter needs no more: logits (B, *D); (B, C) of classes, (B, *D, V) of tokens.
    - Any other may be of that shape too; smaller for each row, (B, *d), where d broadcasts against
      D aligned on the right: (B, 1), (B, 1, 1), (B, 4, 1) for D = (4, 5); or shared by all rows:
      D itself (a learned scale, the dispersion of each gene), a tensor without dimensions, or a
      number, as in ``(loc, 1.0)``. With scalar events, D = (), it is (B,), () or a number.

    A tensor of shape D is shared, whatever B is. What could be mistaken for one, (B, *D[1:]), is
    refused for every B unless D[0] is 1; write it as (B, 1, *D[1:]). So the same decoder means the
    same for every number of rows. All else is a ValueError that names the modality.

    Attributes:
        normalised: Whether ``log_prob`` is that of a density or mass. Another score cannot be
            compared with other likelihoods, and results that contain one say so.
        elementwise: Whether elements are independent given the parameters, which broadcast against
            each other as above; models then call the likelihood with all of them of one shape,
            (*batch, *D), and elements of a row may be missing. Where False, as it is unless a
            subclass says so, parameters have shapes of their own: each tensor keeps its shape
            (B, ...), and shared are only numbers and tensors without dimensions.

    Example:
        >>> import pyro.distributions as dist
        >>> from ppl_mm import likelihoods
        >>> class StudentT(likelihoods.Likelihood):
        ...     elementwise = True
        ...
        ...     def __call__(self, parameters, batch_dims=1, event_shape=None):
        ...         df, loc, scale = parameters
        ...         return dist.StudentT(df, loc, scale).to_event(loc.dim() - batch_dims)
        >>> from ppl_mm.distributions import Decoded
        >>> decoder = lambda z: (3.0, z.reshape(-1, 4, 5), z.mean(1, keepdim=True).exp())
        >>> Decoded(StudentT(), decoder, torch.zeros(7, 20)).sample().shape
        torch.Size([7, 4, 5])
    """

    normalised: ClassVar[bool] = True
    elementwise: ClassVar[bool] = False

    def __call__(
        self, parameters: Any, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """The distribution of the event, batch shape = the first ``batch_dims`` dimensions."""
        raise TypeError(f"{type(self).__name__} must define __call__(parameters, batch_dims).")

    def check(self, name: str, values: Tensor) -> None:
        """Raise ValueError unless ``values``, the observed rows (B, *D), lie in the support."""


def require(ok: Tensor | bool, name: str, expected: str, values: Tensor, fix: str) -> None:
    """Raise ValueError with the values' range and the remedy, unless ``ok``."""
    if not ok:
        low, high = (values.min().item(), values.max().item()) if values.numel() else (0, 0)
        raise ValueError(
            f"modality {name!r}: expected {expected}, got {values.dtype} of shape "
            f"{tuple(values.shape)} with values from {low} to {high}. {fix}"
        )


def one_tensor(likelihood: Likelihood, parameters: Parameters, what: str = "logits") -> Tensor:
    """The one tensor that the decoder must return."""
    if not isinstance(parameters, Tensor):
        raise TypeError(
            f"{type(likelihood).__name__}: the decoder must return {what} as one tensor, got "
            f"{type(parameters).__name__}."
        )
    return parameters


def pair(
    likelihood: str, parameters: Parameters, what: str, batch_dims: int, fix: str = ""
) -> tuple[Tensor, Tensor]:
    """The two parameters that the decoder must return, as views of one shape (*batch, *event)."""
    if not (isinstance(parameters, tuple | list) and len(parameters) == 2):
        raise ValueError(
            f"{likelihood}: the decoder must return a pair {what}, got "
            f"{type(parameters).__name__}{fix}."
        )
    first, second = aligned(parameters, batch_dims)
    return first, second


def check_floating_point(name: str, values: Tensor) -> None:
    """Raise unless values are floating-point numbers."""
    fix = converted(name, ".to(torch.get_default_dtype())")
    require(values.is_floating_point(), name, "floating-point values", values, fix)


def converted(name: str, conversion: str) -> str:
    """The line that gives a modality's values in another dtype."""
    line = f"obs = obs.replace({name!r}, obs[{name!r}]{conversion})"
    return f"Write {line}, which keeps what is missing."


def check_integers(name: str, values: Tensor, expected: str) -> None:
    """Raise unless values are integers; other whole numbers are told how to become some."""
    whole = not values.is_floating_point() or bool((values == values.floor()).all())
    fix = converted(name, ".long()") if whole else "They number classes or symbols: 0, 1, ..."
    require(is_integer(values), name, expected, values, fix)


def is_integer(values: Tensor) -> bool:
    """Whether values are integers; booleans are none."""
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
