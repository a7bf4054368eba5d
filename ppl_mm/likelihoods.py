"""Likelihoods p(x_m | z): a decoder's output becomes a Pyro distribution.

A likelihood is called as ``likelihood(parameters, batch_dims=1, event_shape=None)``: all but the
first ``batch_dims`` dimensions of the parameters belong to the event. Log-probabilities are in
nats, summed over the event (pixels, classes, positions), one a row. ``check`` refuses data
outside the support, once, before training.

Source of the choices: Wu & Goodman 2018, arXiv:1802.05335, section 3 and its release.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "Laplace",
    "Likelihood",
    "MultiLabel",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "SoftBernoulli",
    "Tokens",
]


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


def _require(ok: Tensor | bool, name: str, expected: str, values: Tensor, fix: str) -> None:
    if not ok:
        low, high = (values.min().item(), values.max().item()) if values.numel() else (0, 0)
        raise ValueError(
            f"modality {name!r}: expected {expected}, got {values.dtype} of shape "
            f"{tuple(values.shape)} with values from {low} to {high}. {fix}"
        )


def _logits(likelihood: Likelihood, parameters: Any, what: str = "logits") -> Tensor:
    """The one tensor that the decoder must return."""
    if not isinstance(parameters, Tensor):
        raise TypeError(
            f"{type(likelihood).__name__}: the decoder must return {what} as one tensor, got "
            f"{type(parameters).__name__}."
        )
    return parameters


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

    def __call__(
        self, parameters: Tensor, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Bernoulli(logits)."""
        parameters = _logits(self, parameters)
        return dist.Bernoulli(logits=parameters).to_event(parameters.dim() - batch_dims)

    def check(self, name: str, values: Tensor) -> None:
        """Values are 0 or 1."""
        _floating_point(name, values)
        _require(
            ((values == 0) | (values == 1)).all(),
            name,
            "values 0 or 1",
            values,
            "Binarise the data, or use SoftBernoulli (grey targets) or ContinuousBernoulli.",
        )


@dataclass(frozen=True)
class MultiLabel(Bernoulli):
    """Several yes-or-no labels of one sample: independent Bernoullis, an event of shape (L,)."""


@dataclass(frozen=True)
class SoftBernoulli(Likelihood):
    """Grey values in [0, 1] as the targets of a Bernoulli: a score, not a density.

    score(x | l) = sum of x l - softplus(l). It equals the Bernoulli log-mass for x in {0, 1};
    in between it is **not normalised** over [0, 1], so a "log-likelihood" made of it compares
    only with models scored the same way. The papers' grey MNIST and FashionMNIST numbers are
    such scores; :func:`ppl_mm.log_likelihood` marks its result accordingly.
    """

    normalised: ClassVar[bool] = False

    def __call__(
        self, parameters: Tensor, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Bernoulli(logits) that accepts grey values."""
        parameters = _logits(self, parameters)
        bernoulli = dist.Bernoulli(logits=parameters, validate_args=False)
        return dist.Independent(bernoulli, parameters.dim() - batch_dims, validate_args=False)

    def check(self, name: str, values: Tensor) -> None:
        """Values lie in [0, 1]."""
        _in_unit_interval(name, values)


@dataclass(frozen=True)
class ContinuousBernoulli(Likelihood):
    """The density on [0, 1] proportional to exp(x l); parameters are logits l.

    Source: Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845.
    """

    def __call__(
        self, parameters: Tensor, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """ContinuousBernoulli(logits)."""
        parameters = _logits(self, parameters)
        return dist.ContinuousBernoulli(logits=parameters).to_event(parameters.dim() - batch_dims)

    def check(self, name: str, values: Tensor) -> None:
        """Values lie in [0, 1]."""
        _in_unit_interval(name, values)


def _floating_point(name: str, values: Tensor) -> None:
    fix = "Convert them: values.to(torch.get_default_dtype())."
    _require(values.is_floating_point(), name, "floating-point values", values, fix)


def _in_unit_interval(name: str, values: Tensor) -> None:
    _floating_point(name, values)
    _require(
        ((values >= 0) & (values <= 1)).all(),
        name,
        "values in [0, 1]",
        values,
        "Divide 8-bit pixels by 255.",
    )


@dataclass(frozen=True)
class Categorical(Likelihood):
    """One of C classes; parameters are logits (..., C).

    Data are class indices (integers, event shape ()) or one-hot vectors (event shape (C,));
    samples come in the form of the data, and as indices where there are none.

    Example:
        >>> logits = torch.zeros(2, 4)
        >>> Categorical()(logits).log_prob(torch.tensor([0, 3])).exp()
        tensor([0.2500, 0.2500])
        >>> Categorical()(logits, event_shape=(4,)).event_shape
        torch.Size([4])
    """

    def __call__(
        self, parameters: Tensor, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Categorical(logits), or OneHotCategorical(logits) for one-hot data."""
        parameters = _logits(self, parameters)
        if parameters.dim() != batch_dims + 1:
            raise ValueError(
                f"Categorical: expected logits with one event dimension (C,), "
                f"got {tuple(parameters.shape[batch_dims:])}."
            )
        if event_shape is not None and len(event_shape) == 1:
            return dist.OneHotCategorical(logits=parameters)
        return dist.Categorical(logits=parameters)

    def check(self, name: str, values: Tensor) -> None:
        """Values are indices from 0, or one-hot rows."""
        if values.dim() == 1:
            fix = "Give class indices as .long(), or one-hot vectors of shape (N, C)."
            _require(_is_integer(values), name, "integer class indices", values, fix)
            _require((values >= 0).all(), name, "class indices of at least 0", values, fix)
        else:
            one_hot = (values.dim() == 2) and bool(
                (((values == 0) | (values == 1)).all()) & (values.sum(-1) == 1).all()
            )
            fix = (
                "Each row needs exactly one 1; a missing label is missing, not a row of zeros. "
                "Class indices have shape (N,)."
            )
            _require(one_hot, name, "one-hot rows (N, C)", values, fix)


@dataclass(frozen=True)
class Normal(Likelihood):
    """Independent Normal values.

    Args:
        scale: The fixed standard deviation; the decoder returns loc. With None the scale is
            learned: the decoder returns a pair (loc, scale), scale > 0.
    """

    scale: float | None = None

    def __post_init__(self) -> None:
        _check_scale(type(self).__name__, self.scale)

    def __call__(
        self, parameters: Any, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Normal(loc, scale)."""
        loc, scale = _loc_scale(type(self).__name__, parameters, self.scale)
        return dist.Normal(loc, scale).to_event(loc.dim() - batch_dims)


@dataclass(frozen=True)
class Laplace(Likelihood):
    """Independent Laplace values, density exp(-|x - loc| / scale) / (2 scale).

    Args:
        scale: The fixed scale b (standard deviation b sqrt 2), 0.75 as in MMVAE and MMVAE+.
            With None it is learned: the decoder returns a pair (loc, scale), scale > 0.
    """

    scale: float | None = 0.75

    def __post_init__(self) -> None:
        _check_scale(type(self).__name__, self.scale)

    def __call__(
        self, parameters: Any, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Laplace(loc, scale)."""
        loc, scale = _loc_scale(type(self).__name__, parameters, self.scale)
        return dist.Laplace(loc, scale).to_event(loc.dim() - batch_dims)


def _check_scale(likelihood: str, scale: float | None) -> None:
    if scale is not None and not 0 < scale < float("inf"):
        raise ValueError(f"{likelihood}: expected a scale above 0 (or None), got {scale}.")


def _loc_scale(likelihood: str, parameters: Any, fixed: float | None) -> tuple[Tensor, Tensor]:
    if fixed is not None:
        if not isinstance(parameters, Tensor):
            raise ValueError(
                f"{likelihood}(scale={fixed}): the decoder must return loc alone, "
                f"got {type(parameters).__name__}."
            )
        return parameters, parameters.new_full((), fixed)
    if not (isinstance(parameters, tuple | list) and len(parameters) == 2):
        raise ValueError(
            f"{likelihood}(scale=None): the decoder must return a pair (loc, scale), "
            f"got {type(parameters).__name__}; or fix the scale."
        )
    return parameters[0], parameters[1]


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


@dataclass(frozen=True)
class Poisson(Likelihood):
    """Independent counts; parameters are log rates of the event's shape."""

    def __call__(
        self, parameters: Tensor, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Poisson(exp(parameters))."""
        parameters = _logits(self, parameters, "log rates")
        return _PoissonOfLogRate(parameters).to_event(parameters.dim() - batch_dims)

    def check(self, name: str, values: Tensor) -> None:
        """Values are whole numbers from 0."""
        _counts(name, values)


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
    _require(
        ((values >= 0) & (values == values.floor())).all(),
        name,
        "whole numbers of at least 0",
        values,
        "Counts must not be scaled or log-transformed.",
    )


def _is_integer(values: Tensor) -> bool:
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


class _TokenSequence(dist.Independent):
    """Independent categorical positions; the padding symbol counts for nothing."""

    def __init__(self, logits: Tensor, event_dims: int, padding: int) -> None:
        self.padding = padding
        super().__init__(dist.Categorical(logits=logits), event_dims)

    def expand(self, batch_shape: torch.Size, _instance: Any = None) -> "_TokenSequence":
        logits = self.base_dist.logits
        shape = torch.Size(batch_shape) + self.event_shape + logits.shape[-1:]
        return _TokenSequence(logits.expand(shape), len(self.event_shape), self.padding)

    def log_prob(self, value: Tensor) -> Tensor:
        log_prob = self.base_dist.log_prob(value).masked_fill(value == self.padding, 0.0)
        return log_prob.flatten(-len(self.event_shape)).sum(-1)


@dataclass(frozen=True)
class Tokens(Likelihood):
    """A sequence of T symbols out of V; parameters are logits (..., T, V), data integers (N, T).

    log p(x | z) = sum over positions t of log softmax(logits_t)[x_t].

    Args:
        padding: The symbol that fills the end of short sequences. Positions that hold it are
            not scored: the density is that of the sequence given its length. None scores all.
    """

    padding: int | None = None

    def __call__(
        self, parameters: Tensor, batch_dims: int = 1, event_shape: Sequence[int] | None = None
    ) -> TorchDistribution:
        """Independent Categorical positions."""
        parameters = _logits(self, parameters)
        event_dims = parameters.dim() - batch_dims - 1
        if event_dims < 1:
            raise ValueError(
                f"Tokens: expected logits (..., T, V), got {tuple(parameters.shape)} "
                f"with {batch_dims} batch dimensions."
            )
        if self.padding is None:
            return dist.Categorical(logits=parameters).to_event(event_dims)
        return _TokenSequence(parameters, event_dims, self.padding)

    def check(self, name: str, values: Tensor) -> None:
        """Values are symbol indices from 0."""
        fix = "Give symbol indices (N, T) as .long(), with padding included in the vocabulary."
        _require(_is_integer(values) and values.dim() > 1, name, "integers (N, T)", values, fix)
        _require((values >= 0).all(), name, "symbol indices of at least 0", values, fix)
