"""Counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from ppl_mm.likelihoods.likelihood import Likelihood, one_tensor, require
from ppl_mm.typed import typed

__all__ = ["NegativeBinomial", "Poisson"]


class _PoissonOfLogRate(dist.Poisson):
    """Poisson that keeps the log rate: no log of an underflown rate."""

    def __init__(self, log_rate: Tensor, validate_args: bool | None = None) -> None:
        self.log_rate = log_rate
        super().__init__(log_rate.exp(), validate_args=validate_args)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> "_PoissonOfLogRate":
        return _PoissonOfLogRate(self.log_rate.expand(batch_shape), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return value * self.log_rate - self.log_rate.exp() - torch.lgamma(value + 1.0)


@typed
@dataclass(frozen=True)
class Poisson(Likelihood):
    """Independent counts; parameters are log rates of the event's shape."""

    def __call__(
        self, parameters: Tensor, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Poisson(exp(parameters))."""
        parameters = one_tensor(self, parameters, "log rates")
        return _PoissonOfLogRate(parameters).to_event(parameters.dim() - batch_dims)

    def check(self, name: str, values: Tensor) -> None:
        """Values are whole numbers from 0."""
        _counts(name, values)


@typed
@dataclass(frozen=True)
class NegativeBinomial(Likelihood):
    """Independent over-dispersed counts; parameters are a pair (total_count, logits).

    total_count > 0 and logits have the event's shape; the mean is total_count * exp(logits).
    """

    def __call__(
        self, parameters: Any, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """NegativeBinomial(total_count, logits)."""
        if not (isinstance(parameters, tuple | list) and len(parameters) == 2):
            raise ValueError(
                "NegativeBinomial: the decoder must return a pair (total_count, logits), "
                f"got {type(parameters).__name__}."
            )
        total_count, logits = parameters
        counts = dist.NegativeBinomial(total_count, logits=logits)
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
