"""Mixtures of posteriors, sampled by component or with one random component in each row."""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Independent, Laplace, Normal

from ppl_mm.batch.rows import unexpanded

__all__ = ["RandomMixture", "StratifiedMixture", "log_density"]


def log_density(
    fn: TorchDistribution, value: Float[Tensor, "*#batch Z"]
) -> Float[Tensor, "*batch"]:
    """``fn.log_prob(value)`` in nats, for many values of few Normal or Laplace distributions.

    Every draw is scored under every component: (K, S, C, B, Z) numbers, over which torch divides
    and subtracts, forth and back, what here has the size of the components, (C, B, Z).

    Example:
        >>> from torch.distributions import Independent, Laplace
        >>> q = Independent(Laplace(torch.zeros(2, 3), 2.0), 1)
        >>> value = torch.randn(5, 2, 3)
        >>> torch.allclose(log_density(q, value), q.log_prob(value))
        True
    """
    base = fn.base_dist if isinstance(fn, Independent) else None
    family = next((f for f in (Normal, Laplace) if isinstance(base, f)), None)
    if base is None or family is None or type(base).log_prob is not family.log_prob:
        return fn.log_prob(value)
    if fn.reinterpreted_batch_ndims != 1:
        return fn.log_prob(value)
    loc, scale = unexpanded(base.loc, keep=1), unexpanded(base.scale, keep=1)
    distance = (value - loc) * scale.reciprocal()
    if family is Laplace:
        return -distance.abs().sum(-1) - (2.0 * scale).log().sum(-1)
    constant = 0.5 * math.log(2.0 * math.pi) * value.shape[-1]
    return -0.5 * distance.square().sum(-1) - scale.log().sum(-1) - constant


class StratifiedMixture(TorchDistribution):
    """Index s of batch dim -2 draws from a component of its own; the density is the mixture's.

        log q(z) = logsumexp over c of ( log_weight_c + log q_c(z) )

    Gradients stay reparameterised and no component is missed. A component with log weight -inf
    has no part in the density; the caller weights its draws by zero.

    Args:
        components: The components, a distribution with rsample and batch shape (C, B).
        log_weight: (C, B), log-probabilities of the components.
        drawn: The number of the component that each index draws from, (S, B). With None, S = C and
            index c draws from component c.
        from_drawn: The distribution of the drawn components, batch shape (S, B).

    It has no registered KL on purpose: that of one component would silently replace the mixture's.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        components: TorchDistribution,
        log_weight: Float[Tensor, "C B"],
        drawn: Int[Tensor, "S B"] | None = None,
        from_drawn: TorchDistribution | None = None,
        batch_shape: torch.Size | None = None,
    ) -> None:
        self.components, self.log_weight, self.drawn = components, log_weight, drawn
        self.from_drawn = components if from_drawn is None else from_drawn
        batch_shape = self.from_drawn.batch_shape if batch_shape is None else batch_shape
        super().__init__(batch_shape, components.event_shape, validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "StratifiedMixture":
        """The same under more batch dimensions on the left, such as particles."""
        return StratifiedMixture(
            self.components, self.log_weight, self.drawn, self.from_drawn, torch.Size(batch_shape)
        )

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Float[Tensor, "*K S B Z"]:
        """One draw of the component of every index."""
        lead = self.batch_shape[: len(self.batch_shape) - len(self.from_drawn.batch_shape)]
        return self.from_drawn.rsample(torch.Size(sample_shape) + lead)

    @property
    def own(self) -> Bool[Tensor, "S C #B"]:
        """True where component c is the one that index s draws from, (S, C, B) or (S, C, 1)."""
        every = torch.arange(len(self.log_weight), device=self.log_weight.device)
        drawn = every[:, None] if self.drawn is None else self.drawn
        return drawn[:, None] == every[:, None]

    def log_prob_each(self, value: Float[Tensor, "*K B Z"]) -> Float[Tensor, "*K_C B"]:
        """log q_c(z) of every component c for values (..., S, B, Z), (..., S, C, B)."""
        # A new dim before B: the drawn stratum S stays, the components to compare stand at -2.
        return log_density(self.components, value.unsqueeze(-2 - len(self.event_shape)))

    def log_prob(self, value: Float[Tensor, "*#batch Z"]) -> Float[Tensor, "*batch"]:
        """Log-density of the mixture in nats, batch shape; value (..., S, B, Z)."""
        return torch.logsumexp(self.log_prob_each(value) + self.log_weight, -2)


class RandomMixture(TorchDistribution):
    """Every draw of every row takes a component at random; the density is the mixture's.

        log q(z) = logsumexp over c of ( log_weight_c + log q_c(z) )

    The weights are constants, so draws from the chosen component are reparameterised without
    bias. It takes the place of :class:`StratifiedMixture` without a plate of strata.

    Args:
        components: C distributions, each of the batch shape.
        log_weight: (C, *batch), log-probabilities; -inf where a component is not allowed.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, components: Sequence[TorchDistribution], log_weight: Float[Tensor, "C *B"]
    ) -> None:
        self.components, self.log_weight = tuple(components), log_weight
        first = self.components[0]
        super().__init__(first.batch_shape, first.event_shape, validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "RandomMixture":
        """The same under more batch dimensions on the left."""
        shape = torch.Size(batch_shape)
        weight = self.log_weight
        missing = len(shape) - (weight.dim() - 1)
        weight = weight.reshape(len(weight), *[1] * missing, *weight.shape[1:])
        components = [c.expand(shape) for c in self.components]
        return RandomMixture(components, weight.expand(len(weight), *shape))

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Float[Tensor, "*batch Z"]:
        """A draw of a random component for every row."""
        sample_shape = torch.Size(sample_shape)
        chosen = torch.distributions.Categorical(logits=self.log_weight.movedim(0, -1))
        index = chosen.sample(sample_shape)[(None, ..., *[None] * len(self.event_shape))]
        draws = torch.stack([c.rsample(sample_shape) for c in self.components])
        return draws.take_along_dim(index, 0).squeeze(0)

    def log_prob(self, value: Float[Tensor, "*#batch Z"]) -> Float[Tensor, "*batch"]:
        """Log-density of the mixture in nats."""
        return self.weighed([log_density(c, value) for c in self.components])

    def weighed(self, log_probs: Sequence[Float[Tensor, "*batch"]]) -> Float[Tensor, "*batch"]:
        """Log-density of the mixture from those of its components."""
        each = torch.stack(list(log_probs))
        lead = [1] * (each.dim() - self.log_weight.dim())  # of the values, as in draws
        weight = self.log_weight.reshape(len(each), *lead, *self.log_weight.shape[1:])
        return torch.logsumexp(each + weight, 0)

    @property
    def mean(self) -> Float[Tensor, "*batch Z"]:
        """The mixture's mean, (*batch, *event)."""
        return self._average([c.mean for c in self.components])

    @property
    def variance(self) -> Float[Tensor, "*batch Z"]:
        """The mixture's variance: within components and between them."""
        second = self._average([c.variance + c.mean**2 for c in self.components])
        return second - self.mean**2

    def _average(self, values: Sequence[Tensor]) -> Tensor:
        weight = self.log_weight.exp()[(..., *[None] * len(self.event_shape))]
        return (weight * torch.stack(tuple(values))).sum(0)
