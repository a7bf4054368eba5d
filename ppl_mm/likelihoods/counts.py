"""Likelihoods of counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Shaped
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.rows import at_least_float32
from ppl_mm.batch.shapes import aligned
from ppl_mm.likelihoods import densities
from ppl_mm.likelihoods.likelihood import Likelihood, Parameters, one_tensor, pair, require

__all__ = ["NegativeBinomial", "Poisson", "ZeroInflatedNegativeBinomial"]


@typed
@dataclass(frozen=True)
class Poisson(Likelihood):
    """The likelihood of independent Poisson counts.

        log p(k | l) = sum of k l - exp(l) - log k!

    The decoder returns the log rates l, which have the event's shape. In float32 the log-mass is
    exact to 1e-5 for counts up to 1e10. Draws are floats of at least 0. For rates above 1e8 they
    are rounded Normal draws, clamped to the largest number of their dtype.

    Example:
        >>> p = Poisson()(torch.tensor([[1e7]]).log())
        >>> round(p.log_prob(torch.tensor([[1e7]])).item(), 4)
        -8.978
    """

    elementwise: ClassVar[bool] = True

    def __call__(
        self,
        parameters: Float[Tensor, "*batch_D"],
        batch_dims: int = 1,
        event_shape: Sequence[int] | None = None,
    ) -> TorchDistribution:
        """Return Poisson(exp(parameters))."""
        parameters = at_least_float32(one_tensor(self, parameters, "log rates"))
        return densities.Poisson(parameters).to_event(parameters.dim() - batch_dims)

    def check(self, name: str, values: Shaped[Tensor, "B *D"]) -> None:
        """Raise ValueError unless all values are whole numbers of at least 0."""
        _counts(name, values)


@typed
@dataclass(frozen=True)
class NegativeBinomial(Likelihood):
    """The likelihood of independent negative binomial counts, which are over-dispersed.

    The decoder returns a pair (total_count, logits) with total_count > 0. Both have the event's
    shape, or one of them is smaller or shared by all rows, see :class:`Likelihood`. The mean is
    total_count * exp(logits), and the variance is mean * (1 + exp(logits)). With the total count r
    and the logits l,

        log p(k) = sum of log Gamma(k + r) - log Gamma(r) - log k! + k l - (k + r) log(1 + exp(l))

    As r grows, this tends to the Poisson log-mass and keeps all its digits. Draws have the form of
    those of :class:`Poisson`.

    Example:
        >>> total_count = torch.tensor([[1e8]])
        >>> p = NegativeBinomial()((total_count, torch.log(3.0 / total_count)))
        >>> round(p.log_prob(torch.tensor([[4.0]])).item(), 4)  # Poisson: 4 log 3 - 3 - log 4!
        -1.7836
    """

    elementwise: ClassVar[bool] = True

    def __call__(
        self, parameters: Parameters, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Return NegativeBinomial(total_count, logits)."""
        what = "(total_count, logits)"
        parameters = at_least_float32(parameters)
        total_count, logits = pair(type(self).__name__, parameters, what, batch_dims)
        counts = densities.NegativeBinomial(total_count, logits)
        return counts.to_event(logits.dim() - batch_dims)

    def check(self, name: str, values: Shaped[Tensor, "B *D"]) -> None:
        """Raise ValueError unless all values are whole numbers of at least 0."""
        _counts(name, values)


@typed
@dataclass(frozen=True)
class ZeroInflatedNegativeBinomial(Likelihood):
    """The likelihood of independent negative binomial counts with extra zeros.

    The decoder returns a triple (total_count, logits, gate_logits). Each count is 0 with
    probability g = sigmoid(gate_logits), and otherwise has the distribution of
    :class:`NegativeBinomial`. Each parameter has the event's shape, or is smaller or shared by all
    rows, see :class:`Likelihood`.

        log p(0) = log( g + (1 - g) NB(0) ),    log p(k) = log(1 - g) + log NB(k)    for k > 0

    Example:
        >>> parameters = (torch.tensor([[1.0]]), torch.tensor([[0.0]]), torch.tensor([[0.0]]))
        >>> p = ZeroInflatedNegativeBinomial()(parameters)
        >>> p.log_prob(torch.tensor([[0.0]])).exp()  # 1/2 + 1/2 of NB(0), which is 1/2
        tensor([0.7500])

    Source: Lopez et al. 2018, Nature Methods 15 (scVI), who use it for counts of single cells.
    """

    elementwise: ClassVar[bool] = True

    def __call__(
        self, parameters: Parameters, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Return ZeroInflatedNegativeBinomial(total_count, logits, gate_logits)."""
        if not (isinstance(parameters, tuple | list) and len(parameters) == 3):
            raise ValueError(
                f"{type(self).__name__}: the decoder must return three tensors (total_count, "
                f"logits, gate_logits), got {type(parameters).__name__}."
            )
        each = aligned(at_least_float32(tuple(parameters)), batch_dims)
        total_count, logits, gate_logits = each
        counts = densities.ZeroInflatedNegativeBinomial(total_count, logits, gate_logits)
        return counts.to_event(logits.dim() - batch_dims)

    def check(self, name: str, values: Shaped[Tensor, "B *D"]) -> None:
        """Raise ValueError unless all values are whole numbers of at least 0."""
        _counts(name, values)


def _counts(name: str, values: Tensor) -> None:
    require(
        ((values >= 0) & (values == values.floor())).all(),
        name,
        "whole numbers of at least 0",
        values,
        "Counts must not be scaled or log-transformed.",
    )
