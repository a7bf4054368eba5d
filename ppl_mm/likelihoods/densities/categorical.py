"""Categorical distributions of any number of classes."""

from collections.abc import Sequence
from typing import ClassVar

import pyro.distributions as dist
import torch
from pyro.distributions import constraints
from torch import Tensor

__all__ = ["Categorical", "OneHotCategorical", "Tokens"]

_LOGITS: dict[str, constraints.Constraint] = {"logits": constraints.real_vector}


class Categorical(dist.Categorical):
    """Index of one of C classes, with probabilities softmax(logits).

    The log-probabilities are logits - max - log sum exp(logits - max): torch subtracts a rounded
    log sum exp, which costs 5e-4 nats at logits of 10,000. Draws add up probabilities in float64:
    in float32 a class of 1e-5 is drawn 0.1 % too often.

    Example:
        >>> Categorical(torch.tensor([10000.0, 10001.0])).log_prob(torch.tensor([0, 1]))
        tensor([-1.3133, -0.3133])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = _LOGITS

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self.logits = self._param = torch.log_softmax(logits, -1)
        self._num_events = logits.shape[-1]
        shape = logits.shape[:-1]
        torch.distributions.Distribution.__init__(self, shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "Categorical":
        """The same under more batch dimensions."""
        return super().expand(batch_shape, _instance or self.__new__(type(self)))

    def sample(self, sample_shape: Sequence[int] = torch.Size()) -> Tensor:
        """Indices, sample shape then batch shape."""
        shape = self._extended_shape(sample_shape)
        rows = self.probs.detach().double().reshape(-1, self._num_events)
        draws = torch.multinomial(rows, torch.Size(sample_shape).numel(), replacement=True)
        return draws.T.reshape(shape)


class OneHotCategorical(dist.OneHotCategorical):
    """The same as one-hot vectors (C,).

    Torch asks float32 probabilities to add up to 1 within 1e-6, which those of thousands of classes
    do by chance; a softmax needs no such check.

    Example:
        >>> OneHotCategorical(torch.randn(64, 20_000)).event_shape
        torch.Size([20000])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = _LOGITS

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self._categorical = Categorical(logits, validate_args=validate_args)
        shapes = logits.shape[:-1], logits.shape[-1:]
        torch.distributions.Distribution.__init__(self, *shapes, validate_args=False)
        self._validate_args = self._categorical._validate_args

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "OneHotCategorical":
        """The same under more batch dimensions."""
        return super().expand(batch_shape, _instance or self.__new__(type(self)))

    @property
    def variance(self) -> Tensor:
        """p (1 - p) of each class, with 1 - p in float64: near 1, float32 has no digits left."""
        p = torch.softmax(self.logits.double(), -1)
        return (p * (1.0 - p)).to(self.logits.dtype)


class Tokens(dist.Independent):
    """Independent categorical positions; the padding symbol counts for nothing."""

    def __init__(self, logits: Tensor, event_dims: int, padding: int) -> None:
        self.padding = padding
        super().__init__(Categorical(logits), event_dims)

    def expand(self, batch_shape: Sequence[int], _instance: "Tokens | None" = None) -> "Tokens":
        """The same under more batch dimensions."""
        new = _instance or self.__new__(type(self))
        new.padding = self.padding
        return super().expand(batch_shape, new)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats of the symbols that are no padding."""
        log_prob = self.base_dist.log_prob(value).masked_fill(value == self.padding, 0.0)
        return log_prob.flatten(-len(self.event_shape)).sum(-1)
