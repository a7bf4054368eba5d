"""Values that are 0 or 1, or between."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.rows import at_least_float32
from ppl_mm.likelihoods import densities
from ppl_mm.likelihoods.likelihood import Likelihood, check_floating_point, one_tensor, require

__all__ = ["Bernoulli", "ContinuousBernoulli", "MultiLabel", "SoftBernoulli"]


@typed
@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Independent binary values; parameters are logits l of the event's shape.

    log p(x | l) = sum of x l - softplus(l), x in {0, 1}.

    Example:
        >>> p = Bernoulli()(torch.zeros(2, 3))
        >>> p.batch_shape, p.event_shape
        (torch.Size([2]), torch.Size([3]))
        >>> round(p.log_prob(torch.ones(2, 3))[0].item(), 4)
        -2.0794
    """

    elementwise: ClassVar[bool] = True

    def __call__(
        self, parameters: Tensor, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Bernoulli(logits)."""
        parameters = at_least_float32(one_tensor(self, parameters))
        return densities.Bernoulli(logits=parameters).to_event(parameters.dim() - batch_dims)

    def check(self, name: str, values: Tensor) -> None:
        """Values are 0 or 1."""
        check_floating_point(name, values)
        require(
            ((values == 0) | (values == 1)).all(),
            name,
            "values 0 or 1",
            values,
            "Binarise the data, or use SoftBernoulli (grey targets) or ContinuousBernoulli.",
        )


@typed
@dataclass(frozen=True)
class MultiLabel(Bernoulli):
    """Several yes-or-no labels of one sample: independent Bernoullis, an event of shape (L,)."""


@typed
@dataclass(frozen=True)
class SoftBernoulli(Likelihood):
    """Grey values in [0, 1] as the targets of a Bernoulli: a score, not a density.

    score(x | l) = sum of x l - softplus(l). It equals the Bernoulli log-mass for x in {0, 1};
    in between it is **not normalised** over [0, 1], so a "log-likelihood" made of it compares
    only with models scored the same way. The papers' grey MNIST and FashionMNIST numbers are
    such scores; :func:`ppl_mm.log_likelihood` marks its result accordingly.
    """

    elementwise: ClassVar[bool] = True
    normalised: ClassVar[bool] = False

    def __call__(
        self, parameters: Tensor, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Bernoulli(logits) that accepts grey values."""
        parameters = at_least_float32(one_tensor(self, parameters))
        bernoulli = densities.SoftBernoulli(logits=parameters)
        return bernoulli.to_event(parameters.dim() - batch_dims)

    def check(self, name: str, values: Tensor) -> None:
        """Values lie in [0, 1]."""
        _in_unit_interval(name, values)


@typed
@dataclass(frozen=True)
class ContinuousBernoulli(Likelihood):
    """The density on [0, 1] proportional to exp(x l); parameters are logits l.

    log p(x | l) = sum of x l - log((exp(l) - 1) / l), exact at every logit, near 0 and far from it.

    Example:
        >>> p = ContinuousBernoulli()(torch.tensor([[50.0]]))
        >>> round(p.mean.item(), 4), round(p.log_prob(torch.ones(1, 1)).item(), 4)
        (0.98, 3.912)

    Source: Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845.
    """

    elementwise: ClassVar[bool] = True

    def __call__(
        self, parameters: Tensor, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """ContinuousBernoulli(logits)."""
        parameters = at_least_float32(one_tensor(self, parameters))
        return densities.ContinuousBernoulli(parameters).to_event(parameters.dim() - batch_dims)

    def check(self, name: str, values: Tensor) -> None:
        """Values lie in [0, 1]."""
        _in_unit_interval(name, values)


def _in_unit_interval(name: str, values: Tensor) -> None:
    check_floating_point(name, values)
    require(
        ((values >= 0) & (values <= 1)).all(),
        name,
        "values in [0, 1]",
        values,
        "Divide 8-bit pixels by 255.",
    )
