"""Categorical distributions of any number of classes."""

from collections.abc import Sequence
from typing import ClassVar

import pyro.distributions as dist
import torch
from jaxtyping import Float, Int, Integer
from pyro.distributions import constraints
from torch import Tensor

__all__ = ["Categorical", "OneHotCategorical", "Tokens"]

_LOGITS: dict[str, constraints.Constraint] = {"logits": constraints.real_vector}


class Categorical(dist.Categorical):
    """The distribution of a class index in 0, ..., C - 1, with probabilities softmax(logits).

    The log-probabilities are logits - max - log sum exp(logits - max). Torch's own class subtracts
    a rounded log sum exp, which costs 5e-4 nats at logits of 10,000. Sampling adds up probabilities
    in float64; float32 sums draw a class of probability 1e-5 too often, by 0.1 %.

    Example:
        >>> Categorical(torch.tensor([10000.0, 10001.0])).log_prob(torch.tensor([0, 1]))
        tensor([-1.3133, -0.3133])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = _LOGITS

    def __init__(
        self, logits: Float[Tensor, "*batch C"], validate_args: bool | None = None
    ) -> None:
        self.logits = self._param = torch.log_softmax(logits, -1)
        self._num_events = logits.shape[-1]
        shape = logits.shape[:-1]
        torch.distributions.Distribution.__init__(self, shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "Categorical":
        """Return the same distribution, expanded to a larger batch shape."""
        return super().expand(batch_shape, _instance or self.__new__(type(self)))

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Int[Tensor, "*sample_batch"]:
        """Return class indices whose shape is the sample shape followed by the batch shape."""
        shape = self._extended_shape(sample_shape)
        rows = self.probs.detach().double().reshape(-1, self._num_events)
        draws = torch.multinomial(rows, torch.Size(sample_shape).numel(), replacement=True)
        return draws.T.reshape(shape)


class OneHotCategorical(dist.OneHotCategorical):
    """The categorical distribution over one-hot vectors (C,).

    Torch checks that float32 probabilities add up to 1 within 1e-6. With thousands of classes,
    rounding decides whether they pass. A softmax needs no such check, so this class leaves it out.

    Example:
        >>> OneHotCategorical(torch.randn(64, 20_000)).event_shape
        torch.Size([20000])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = _LOGITS

    def __init__(
        self, logits: Float[Tensor, "*batch C"], validate_args: bool | None = None
    ) -> None:
        self._categorical = Categorical(logits, validate_args=validate_args)
        shapes = logits.shape[:-1], logits.shape[-1:]
        torch.distributions.Distribution.__init__(self, *shapes, validate_args=False)
        self._validate_args = self._categorical._validate_args

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "OneHotCategorical":
        """Return the same distribution, expanded to a larger batch shape."""
        return super().expand(batch_shape, _instance or self.__new__(type(self)))

    @property
    def variance(self) -> Float[Tensor, "*batch C"]:
        """The variance p (1 - p) of each class.

        1 - p is computed in float64, because float32 has no digits left for p near 1.
        """
        p = torch.softmax(self.logits.double(), -1)
        return (p * (1.0 - p)).to(self.logits.dtype)


class Tokens(dist.Independent):
    """Independent categorical positions; positions that hold the padding symbol are not scored."""

    def __init__(self, logits: Float[Tensor, "*batch T V"], event_dims: int, padding: int) -> None:
        self.padding = padding
        super().__init__(Categorical(logits), event_dims)

    def expand(self, batch_shape: Sequence[int], _instance: "Tokens | None" = None) -> "Tokens":
        """Return the same distribution, expanded to a larger batch shape."""
        new = _instance or self.__new__(type(self))
        new.padding = self.padding
        return super().expand(batch_shape, new)

    def log_prob(self, value: Integer[Tensor, "*#batch_D T"]) -> Float[Tensor, "*batch"]:
        """Return the log-probability, in nats, of all symbols except padding."""
        log_prob = self.base_dist.log_prob(value).masked_fill(value == self.padding, 0.0)
        return log_prob.flatten(-len(self.event_shape)).sum(-1)
