"""What all likelihoods share: the base class, and checks of data and of decoders' output."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from ppl_mm.typed import typed

__all__ = ["Likelihood", "check_floating_point", "is_integer", "one_tensor", "require"]


@typed
@dataclass(frozen=True)
class Likelihood:
    """What all likelihoods share; subclass it for one of your own.

    Attributes:
        normalised: Whether ``log_prob`` is that of a density or mass. A score that is not
            cannot be compared with other likelihoods, and results that contain it say so.
    """

    normalised: ClassVar[bool] = True

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


def one_tensor(likelihood: Likelihood, parameters: Any, what: str = "logits") -> Tensor:
    """The one tensor that the decoder must return."""
    if not isinstance(parameters, Tensor):
        raise TypeError(
            f"{type(likelihood).__name__}: the decoder must return {what} as one tensor, got "
            f"{type(parameters).__name__}."
        )
    return parameters


def check_floating_point(name: str, values: Tensor) -> None:
    """Raise unless values are floating-point numbers."""
    fix = "Convert them: values.to(torch.get_default_dtype())."
    require(values.is_floating_point(), name, "floating-point values", values, fix)


def is_integer(values: Tensor) -> bool:
    """Whether values are integers; booleans are none."""
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
