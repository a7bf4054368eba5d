"""Counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from ppl_mm.likelihoods import densities
from ppl_mm.likelihoods.likelihood import Likelihood, one_tensor, pair, require
from ppl_mm.rows import at_least_float32
from ppl_mm.typed import typed

__all__ = ["NegativeBinomial", "Poisson"]


@typed
@dataclass(frozen=True)
class Poisson(Likelihood):
    """Independent counts; parameters are log rates of the event's shape."""

    def __call__(
        self, parameters: Tensor, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Poisson(exp(parameters))."""
        parameters = at_least_float32(one_tensor(self, parameters, "log rates"))
        return densities.Poisson(parameters).to_event(parameters.dim() - batch_dims)

    def check(self, name: str, values: Tensor) -> None:
        """Values are whole numbers from 0."""
        _counts(name, values)


@typed
@dataclass(frozen=True)
class NegativeBinomial(Likelihood):
    """Independent over-dispersed counts; parameters are a pair (total_count, logits).

    total_count > 0 and logits have the event's shape, or one of them is smaller or shared by all
    rows, see :class:`Likelihood`; the mean is total_count * exp(logits).
    """

    elementwise: ClassVar[bool] = True

    def __call__(
        self, parameters: Any, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """NegativeBinomial(total_count, logits)."""
        what = "(total_count, logits)"
        parameters = at_least_float32(parameters)
        total_count, logits = pair(type(self).__name__, parameters, what, batch_dims)
        counts = densities.NegativeBinomial(total_count, logits)
        return counts.to_event(logits.dim() - batch_dims)

    def check(self, name: str, values: Tensor) -> None:
        """Values are whole numbers from 0."""
        _counts(name, values)


def _counts(name: str, values: Tensor) -> None:
    require(
        ((values >= 0) & (values == values.floor())).all(),
        name,
        "whole numbers of at least 0",
        values,
        "Counts must not be scaled or log-transformed.",
    )
