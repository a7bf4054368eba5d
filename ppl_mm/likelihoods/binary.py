"""Likelihoods of values that are 0 or 1, or lie between."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
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
    """The likelihood of independent binary values.

        log p(x | l) = sum of x l - softplus(l),    x in {0, 1}

    The decoder returns the logits l, which have the event's shape.

    Example:
        >>> p = Bernoulli()(torch.zeros(2, 3))
        >>> p.batch_shape, p.event_shape
        (torch.Size([2]), torch.Size([3]))
        >>> round(p.log_prob(torch.ones(2, 3))[0].item(), 4)
        -2.0794
    """

    elementwise: ClassVar[bool] = True

    def __call__(
        self,
        parameters: Float[Tensor, "*batch_D"],
        batch_dims: int = 1,
        event_shape: Sequence[int] | None = None,
    ) -> TorchDistribution:
        """Return Bernoulli(logits)."""
        parameters = at_least_float32(one_tensor(self, parameters))
        return densities.Bernoulli(logits=parameters).to_event(parameters.dim() - batch_dims)

    def check(self, name: str, values: Float[Tensor, "B *D"]) -> None:
        """Raise ValueError unless all values are 0 or 1."""
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
    """The likelihood of L yes-or-no labels of one sample, an event of shape (L,).

    The labels are independent Bernoulli variables given z.
    """


@typed
@dataclass(frozen=True)
class SoftBernoulli(Likelihood):
    """The Bernoulli score of grey values in [0, 1], which is not a density.

        score(x | l) = sum of x l - softplus(l)

    The score equals the Bernoulli log-mass for x in {0, 1}. Over [0, 1] it is **not normalised**,
    so a "log-likelihood" made of it can only be compared with those of models that use the same
    score. The papers' results on grey MNIST and FashionMNIST are such scores.
    :func:`ppl_mm.log_likelihood` marks a result that contains one.
    """

    elementwise: ClassVar[bool] = True
    normalised: ClassVar[bool] = False

    def __call__(
        self,
        parameters: Float[Tensor, "*batch_D"],
        batch_dims: int = 1,
        event_shape: Sequence[int] | None = None,
    ) -> TorchDistribution:
        """Return a Bernoulli(logits) that accepts grey values."""
        parameters = at_least_float32(one_tensor(self, parameters))
        bernoulli = densities.SoftBernoulli(logits=parameters)
        return bernoulli.to_event(parameters.dim() - batch_dims)

    def check(self, name: str, values: Float[Tensor, "B *D"]) -> None:
        """Raise ValueError unless all values lie in [0, 1]."""
        _in_unit_interval(name, values)


@typed
@dataclass(frozen=True)
class ContinuousBernoulli(Likelihood):
    """The likelihood of independent values in [0, 1] with a density proportional to exp(x l).

        log p(x | l) = sum of x l - log((exp(l) - 1) / l)

    The decoder returns the logits l, which have the event's shape. The density is exact at every
    logit, near 0 and far from it.

    Example:
        >>> p = ContinuousBernoulli()(torch.tensor([[50.0]]))
        >>> round(p.mean.item(), 4), round(p.log_prob(torch.ones(1, 1)).item(), 4)
        (0.98, 3.912)

    Source: Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845.
    """

    elementwise: ClassVar[bool] = True

    def __call__(
        self,
        parameters: Float[Tensor, "*batch_D"],
        batch_dims: int = 1,
        event_shape: Sequence[int] | None = None,
    ) -> TorchDistribution:
        """Return ContinuousBernoulli(logits)."""
        parameters = at_least_float32(one_tensor(self, parameters))
        return densities.ContinuousBernoulli(parameters).to_event(parameters.dim() - batch_dims)

    def check(self, name: str, values: Float[Tensor, "B *D"]) -> None:
        """Raise ValueError unless all values lie in [0, 1]."""
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
