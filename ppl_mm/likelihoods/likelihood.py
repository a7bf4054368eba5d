"""The base class of likelihoods, and checks of data and of decoders' outputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Integer, Shaped
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
"""What a decoder returns: one or several tensors, whose shapes :class:`Likelihood` explains."""


@typed
@dataclass(frozen=True)
class Likelihood:
    """The base class of likelihoods. A likelihood of your own is a subclass of it.

    A decoder sees B rows and returns parameters. An event, the value of one row, has shape D:

    - At least one parameter has shape (B, *D), which defines the event's shape. A likelihood with
      one parameter takes just this one: logits (B, *D), or (B, C) for classes and (B, *D, V) for
      tokens.
    - Every other parameter may have that shape too. It may be smaller for each row, (B, *d), where
      d broadcasts against D aligned on the right: (B, 1), (B, 1, 1) or (B, 4, 1) for D = (4, 5).
      It may be shared by all rows: a tensor of shape D (a learned scale, the dispersion of each
      gene), a tensor without dimensions, or a number, as in ``(loc, 1.0)``. With scalar events,
      D = (), it is (B,), () or a number.

    A tensor of shape D is shared for every B. The shape (B, *D[1:]) could be mistaken for it and is
    refused for every B unless D[0] is 1; write (B, 1, *D[1:]) instead. The meaning of a decoder's
    output therefore does not depend on the number of rows. Every other shape raises a ValueError
    that names the modality.

    Attributes:
        normalised: Whether ``log_prob`` is that of a density or mass. Another score cannot be
            compared with other likelihoods, and results that contain one say so.
        elementwise: Whether the elements of a value are independent given the parameters. If True,
            parameters broadcast against each other as above, models call the likelihood with all of
            them in one shape, (*batch, *D), and elements of a row may be missing. If False, which
            is the default, each tensor keeps its own shape (B, ...), and only numbers and tensors
            without dimensions are shared.

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
        """Return the distribution of the event.

        Its batch shape is that of the parameters' first ``batch_dims`` dimensions.
        """
        raise TypeError(f"{type(self).__name__} must define __call__(parameters, batch_dims).")

    def check(self, name: str, values: Shaped[Tensor, "B *D"]) -> None:
        """Raise ValueError unless ``values``, the observed rows (B, *D), lie in the support."""


def require(
    ok: Bool[Tensor, ""] | bool, name: str, expected: str, values: Shaped[Tensor, "B *D"], fix: str
) -> None:
    """Raise ValueError with the values' range and the remedy, unless ``ok``."""
    if not ok:
        low, high = (values.min().item(), values.max().item()) if values.numel() else (0, 0)
        raise ValueError(
            f"modality {name!r}: expected {expected}, got {values.dtype} of shape "
            f"{tuple(values.shape)} with values from {low} to {high}. {fix}"
        )


def one_tensor(
    likelihood: Likelihood, parameters: Parameters, what: str = "logits"
) -> Float[Tensor, "*batch_D"]:
    """Return the parameters if they are one tensor; raise TypeError otherwise."""
    if not isinstance(parameters, Tensor):
        raise TypeError(
            f"{type(likelihood).__name__}: the decoder must return {what} as one tensor, got "
            f"{type(parameters).__name__}."
        )
    return parameters


def pair(
    likelihood: str, parameters: Parameters, what: str, batch_dims: int, fix: str = ""
) -> tuple[Float[Tensor, "*batch_D"], Float[Tensor, "*batch_D"]]:
    """Return a decoder's two parameters as views of one shape, (*batch, *event)."""
    if not (isinstance(parameters, tuple | list) and len(parameters) == 2):
        raise ValueError(
            f"{likelihood}: the decoder must return a pair {what}, got "
            f"{type(parameters).__name__}{fix}."
        )
    first, second = aligned(parameters, batch_dims)
    return first, second


def check_floating_point(name: str, values: Float[Tensor, "B *D"]) -> None:
    """Raise ValueError unless values are floating-point numbers."""
    fix = converted(name, ".to(torch.get_default_dtype())")
    require(values.is_floating_point(), name, "floating-point values", values, fix)


def converted(name: str, conversion: str) -> str:
    """Return the remedy that converts a modality's values to another dtype."""
    line = f"obs = obs.replace({name!r}, obs[{name!r}]{conversion})"
    return f"Write {line}, which keeps what is missing."


def check_integers(name: str, values: Integer[Tensor, "B *D"], expected: str) -> None:
    """Raise ValueError unless values are integers.

    For whole numbers of another dtype the message holds the conversion.
    """
    whole = not values.is_floating_point() or bool((values == values.floor()).all())
    fix = converted(name, ".long()") if whole else "They number classes or symbols: 0, 1, ..."
    require(is_integer(values), name, expected, values, fix)


def is_integer(values: Shaped[Tensor, "..."]) -> bool:
    """Return whether values are integers; booleans do not count as integers."""
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
