"""Every likelihood with its exact log-mass, mean and variance: what the tests here run over.

A new likelihood joins by a ``Line``. References are mpmath's, to 100 digits, at the very numbers
that the tensors hold. Parameters are the components of one row of a decoder's output, side by side.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mpmath import mp, mpf
from torch import Tensor

from ppl_mm import likelihoods

mp.dps = 100

Row = tuple[float, ...]
Exact = Callable[..., Any]


@dataclass(frozen=True)
class Line:
    """One likelihood.

    Attributes:
        likelihood: The likelihood.
        points: Pairs (parameters, value): what log p and its gradient are compared at.
        log_prob: (parameters, value) to the exact log-mass.
        mean: Parameters to the exact mean, a number or one for each element; None if there is none.
        variance: The same for the variance.
        output: From components (B, P) to what a decoder returns.
        positive: Components above 0, whose gradients are as large as 1 / component.
        draws: Parameters of which draws are compared with the moments; by default all.
        support: Values whose masses add up to 1, or edges of the panels of a density's integral.
    """

    likelihood: likelihoods.Likelihood
    points: Sequence[tuple[Row, Any]]
    log_prob: Exact
    mean: Exact | None
    variance: Exact | None
    support: Callable[[Row], Sequence[Any]]
    output: Callable[[Tensor], Any] = lambda components: components
    positive: tuple[int, ...] = ()
    density: bool = False
    draws: Sequence[Row] = ()

    @property
    def rows(self) -> list[Row]:
        """The parameters of all points, once each."""
        return list(dict.fromkeys(row for row, _ in self.points))


def pair(components: Tensor) -> tuple[Tensor, Tensor]:
    return components[:, :1], components[:, 1:]


def single(x: float) -> float:
    """The nearest float32."""
    return torch.tensor(x, dtype=torch.float32).item()


def crossed(rows: Sequence[Row], values: Sequence[Any]) -> list[tuple[Row, Any]]:
    rows = [tuple(map(single, row)) for row in rows]
    return [(row, single(x) if isinstance(x, float) else x) for row in rows for x in values]


# ------------------------------------------------------------------ 0 and 1, and between

LOGITS = [(x,) for x in (-1e4, -100.0, -20.0, -5.0, -1e-3, 0.0, 0.3, 8.0, 30.0, 1e4)]


def sigmoid(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def bernoulli(row: Any, x: Any) -> Any:
    return -x * mp.log1p(mp.exp(-row[0])) - (1 - x) * mp.log1p(mp.exp(row[0]))


def binary(likelihood: likelihoods.Likelihood, values: Sequence[float]) -> Line:
    return Line(
        likelihood,
        crossed(LOGITS, values),
        bernoulli,
        lambda row: sigmoid(row[0]),
        lambda row: sigmoid(row[0]) * sigmoid(-row[0]),
        lambda row: [0.0, 1.0],
    )


NEAR_AND_FAR = (0.0, 1e-30, 1e-6, 4.2e-3, 0.3, 0.4999, 0.5, 0.5001, 1.0, 5.0, 14.0, 20.0, 50.0)
CONTINUOUS = [(s * x,) for x in (*NEAR_AND_FAR, 200.0, 1e4, 1e6) for s in (1.0, -1.0)]


def continuous_bernoulli(row: Any, x: Any) -> Any:
    (logit,) = row
    return x * logit - (mp.log(mp.expm1(logit) / logit) if logit else 0)


def continuous_bernoulli_mean(row: Any) -> Any:
    (logit,) = row
    return -1 / mp.expm1(-logit) - 1 / logit if logit else mpf(1) / 2


def continuous_bernoulli_variance(row: Any) -> Any:
    (logit,) = row
    return 1 / logit**2 - 1 / (4 * mp.sinh(logit / 2) ** 2) if logit else mpf(1) / 12


def unit_interval(row: Row) -> list[float]:
    """Edges that halve towards both ends, where the densities of large logits lie."""
    near = [2.0**-k for k in range(1, 45)]
    return [0.0, *near[::-1], *(1.0 - x for x in near[1:]), 1.0]


# ------------------------------------------------------------------ counts

LOG_RATES = (-80.0, -10.0, -1.0, 0.0, 1.3, 5.0, math.log(1e3), math.log(1e5), math.log(1e7), 20.0)


def poisson(row: Any, k: Any) -> Any:
    return k * row[0] - mp.exp(row[0]) - mp.loggamma(k + 1)


def poisson_points() -> list[tuple[Row, float]]:
    rows = [(single(x),) for x in LOG_RATES]
    return [(row, k) for row in rows for k in counts_around(math.exp(row[0]), math.exp(row[0]))]


def counts_around(mean: float, variance: float) -> list[float]:
    """0 to 2, the mean, two standard deviations away from it, 1e6, and what is far too many."""
    some = {0.0, 1.0, 2.0, round(mean), round(mean + 2 * variance**0.5), 1e6, 10 * round(mean) + 9}
    return sorted(map(single, some))


def counts_window(mean: float, variance: float) -> list[float]:
    width = 14 * variance**0.5 + 40
    return [float(k) for k in range(max(0, int(mean - width)), int(mean + width))]


def poisson_window(row: Row) -> list[float]:
    return counts_window(math.exp(row[0]), math.exp(row[0]))


TOTAL_COUNTS = (1e-4, 0.3, 5.0, 1e4, 1e8, 1e15)
DISPERSED = [
    (single(r), single(math.log(mean / r))) for r in TOTAL_COUNTS for mean in (1e-3, 1.0, 3e2, 1e7)
]


def negative_binomial(row: Any, k: Any) -> Any:
    r, logit = row
    mass = mp.loggamma(k + r) - mp.loggamma(r) - mp.loggamma(k + 1)
    return mass + k * logit - (k + r) * mp.log1p(mp.exp(logit))


def negative_binomial_points() -> list[tuple[Row, float]]:
    found = []
    for r, logit in DISPERSED:
        mean = r * math.exp(logit)
        found += [((r, logit), k) for k in counts_around(mean, mean)]
    return found


def negative_binomial_window(row: Row) -> list[float]:
    r, logit = row
    mean = r * math.exp(logit)
    if r < 1.0 or logit > 5.0:
        return []  # a tail too long to add up
    return counts_window(mean, 9.0 * mean * (1.0 + math.exp(logit)))


def triple(components: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return components[:, :1], components[:, 1:2], components[:, 2:]


GATES = (-30.0, -1.0, 0.0, 5.0)


def zero_inflated(row: Any, k: Any) -> Any:
    counted = mp.exp(negative_binomial(row[:2], k)) / (1 + mp.exp(row[2]))
    return mp.log(counted + (0 if k else 1 / (1 + mp.exp(-row[2]))))


def zero_inflated_points() -> list[tuple[Row, float]]:
    found = []
    for (row, k), gate in zip(negative_binomial_points(), itertools.cycle(GATES), strict=False):
        found += [((*row, gate), k), ((*row, gate), 0.0)]
    return found


def zero_inflated_window(row: Row) -> list[float]:
    window = negative_binomial_window(row[:2])
    return window if not window or 0.0 in window else [0.0, *window]


def zero_inflated_mean(row: Any) -> Any:
    return row[0] * mp.exp(row[1]) / (1 + mp.exp(row[2]))


def zero_inflated_variance(row: Any) -> Any:
    m, rest = row[0] * mp.exp(row[1]), 1 / (1 + mp.exp(row[2]))
    return rest * (m * (1 + mp.exp(row[1])) + (1 - rest) * m**2)


# ------------------------------------------------------------------ classes

MANY = tuple(single(4.0 * math.sin(0.7 * i)) for i in range(60))
CLASSES: list[Row] = [(0.0, 0.0, 0.0), (1e4, 1e4 + 1, 9998.0), (-30.0, 0.5, 40.0), MANY]


def log_softmax(row: Any, i: int) -> Any:
    largest = max(row)
    return row[i] - largest - mp.log(mp.fsum(mp.exp(x - largest) for x in row))


def one_hot(i: int, n: int) -> tuple[float, ...]:
    return tuple(float(j == i) for j in range(n))


def softmax(row: Any) -> list[Any]:
    each = [mp.exp(x - max(row)) for x in row]
    return [x / mp.fsum(each) for x in each]


STRINGS: list[Row] = [(0.3, -1.0, 2.0, 5.0, 5.0, -7.0), (2e3, 2e3 + 1, 2e3 - 1, 30.0, -30.0, 0.0)]


def strings(symbols: int) -> list[tuple[int, ...]]:
    return list(itertools.product(range(symbols), repeat=2))


# ------------------------------------------------------------------ real values


def normal(loc: Any, scale: Any, x: Any) -> Any:
    return -(((x - loc) / scale) ** 2) / 2 - mp.log(scale) - mp.log(2 * mp.pi) / 2


def laplace(loc: Any, scale: Any, x: Any) -> Any:
    return -abs(x - loc) / scale - mp.log(2 * scale)


def log_normal(row: Any, x: Any) -> Any:
    return normal(row[0], row[1], mp.log(x)) - mp.log(x)


LOG_NORMALS = [(loc, scale) for loc in (-3.0, 0.0, 2.5) for scale in (0.05, 0.7, 1.5)]


def real(likelihood: Any, log_prob: Exact, factor: int, scale: float | None) -> Line:
    """Normal or Laplace, variance = factor scale^2; with a scale (a float32), it is fixed."""
    scales = [scale] if scale else [1e-30, 1e-3, 0.7, 1e10, 1e18]

    def of(row: Any) -> tuple[Any, Any]:
        return (row[0], mpf(scale)) if scale else row

    def edges(row: Row) -> list[float]:
        loc, width = (float(x) for x in of(row))
        steps = [0.0, *(2.0**k for k in range(-2, 10))]
        return [loc + s * width for s in (*(-x for x in steps[:0:-1]), *steps)]

    points = []
    for s, step, loc in itertools.product(scales, (-3.0, 0.25, 40.0), (0.0, 1.5)):
        row = (loc if s > 1e-6 else 0.0, s)
        points.append(
            (tuple(map(single, row if not scale else row[:1])), single(row[0] + step * s))
        )
    return Line(
        likelihood,
        points,
        lambda row, x: log_prob(*of(row), x),
        lambda row: of(row)[0],
        lambda row: factor * of(row)[1] ** 2,
        edges,
        output=(lambda components: components) if scale else pair,
        positive=() if scale else (1,),
        density=True,
    )


TABLE: dict[str, Line] = {
    "Bernoulli": binary(likelihoods.Bernoulli(), (0.0, 1.0)),
    "MultiLabel": binary(likelihoods.MultiLabel(), (0.0, 1.0)),
    "SoftBernoulli": binary(likelihoods.SoftBernoulli(), (0.0, 0.25, 0.9, 1.0)),
    "ContinuousBernoulli": Line(
        likelihoods.ContinuousBernoulli(),
        crossed(CONTINUOUS, (0.0, 1e-3, 0.5, 0.999, 1.0)),
        continuous_bernoulli,
        continuous_bernoulli_mean,
        continuous_bernoulli_variance,
        unit_interval,
        density=True,
    ),
    "Poisson": Line(
        likelihoods.Poisson(),
        poisson_points(),
        poisson,
        lambda row: mp.exp(row[0]),
        lambda row: mp.exp(row[0]),
        poisson_window,
    ),
    "NegativeBinomial": Line(
        likelihoods.NegativeBinomial(),
        negative_binomial_points(),
        negative_binomial,
        lambda row: row[0] * mp.exp(row[1]),
        lambda row: row[0] * mp.exp(row[1]) * (1 + mp.exp(row[1])),
        negative_binomial_window,
        output=pair,
        positive=(0,),
        draws=[row for row in DISPERSED if row[0] > 0.1 and row[1] < 2.0],
    ),
    "ZeroInflatedNegativeBinomial": Line(
        likelihoods.ZeroInflatedNegativeBinomial(),
        zero_inflated_points(),
        zero_inflated,
        zero_inflated_mean,
        zero_inflated_variance,
        zero_inflated_window,
        output=triple,
        positive=(0,),
        draws=[(*row, g) for row in DISPERSED if row[0] > 0.1 and row[1] < 2.0 for g in GATES],
    ),
    "Categorical": Line(
        likelihoods.Categorical(),
        crossed(CLASSES, (0, 1, 2)),
        log_softmax,
        None,
        None,
        lambda row: range(len(row)),
    ),
    "one-hot": Line(
        likelihoods.Categorical(),
        [(row, one_hot(i, len(row))) for row in CLASSES for i in range(3)],
        lambda row, x: log_softmax(row, x.index(1.0)),
        softmax,
        lambda row: [p * (1 - p) for p in softmax(row)],
        lambda row: [one_hot(i, len(row)) for i in range(len(row))],
    ),
    "Tokens": Line(
        likelihoods.Tokens(),
        crossed(STRINGS, strings(3)),
        lambda row, x: log_softmax(row[:3], x[0]) + log_softmax(row[3:], x[1]),
        None,
        None,
        lambda row: strings(3),
        output=lambda components: components.unflatten(-1, (2, 3)),
    ),
    "Tokens, padded": Line(
        likelihoods.Tokens(padding=2),
        crossed(STRINGS, [(0, 1), (1, 2), (2, 2)]),
        lambda row, x: sum(log_softmax(row[3 * t :][:3], s) for t, s in enumerate(x) if s != 2),
        None,
        None,
        lambda row: [],  # the density of a string given its length: see test_closed_forms.py
        output=lambda components: components.unflatten(-1, (2, 3)),
    ),
    "Normal": real(likelihoods.Normal(), normal, 1, None),
    "Normal, fixed": real(likelihoods.Normal(scale=0.25), normal, 1, 0.25),
    "Normal, fixed and tiny": real(likelihoods.Normal(scale=2.0**-83), normal, 1, 2.0**-83),
    "LogNormal": Line(
        likelihoods.LogNormal(),
        crossed(LOG_NORMALS, (1e-6, 0.2, 1.0, 7.0, 1e6)),
        log_normal,
        lambda row: mp.exp(row[0] + mpf(row[1]) ** 2 / 2),
        lambda row: mp.expm1(mpf(row[1]) ** 2) * mp.exp(2 * mpf(row[0]) + mpf(row[1]) ** 2),
        lambda row: [math.exp(row[0] + k * row[1]) for k in range(-12, 13)],
        output=pair,
        positive=(1,),
        density=True,
        draws=[row for row in LOG_NORMALS if row[1] < 1],
    ),
    "Laplace": real(likelihoods.Laplace(scale=None), laplace, 2, None),
    "Laplace, fixed": real(likelihoods.Laplace(), laplace, 2, 0.75),
}
