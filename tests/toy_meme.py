"""MEME's toy: scalar linear-Gaussian directions, in which every answer is known.

    d_s = Normal(1.3 z, 0.5),   d_t = Normal(0.7 z, 0.6),   e_s = Normal(0.4 s, 0.45),
    e_t = Normal(0.9 t, 0.7),   s = 0.8,  t = -0.5;  a third modality r for more than two

Second numbers are standard deviations. Rows are copies of each other, with draws of their own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import Normal

from ppl_mm import Modality, Observations, System, guides, likelihoods, models
from ppl_mm.distributions import PseudoInputPrior
from ppl_mm.objectives import MutualSupervisionELBO

Line = tuple[float, float]  # slope and standard deviation

DECODERS: dict[str, Line] = {"s": (1.3, 0.5), "t": (0.7, 0.6), "r": (-0.9, 0.5)}
ENCODERS: dict[str, Line] = {"s": (0.4, 0.45), "t": (0.9, 0.7), "r": (-0.6, 0.6)}
VALUES = {"s": 0.8, "t": -0.5, "r": 0.3}


class LineEncoder(nn.Module):
    """x -> Normal(slope x, scale)."""

    def __init__(self, slope: float, scale: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.slope * x, self.log_scale.exp().expand_as(x)


class LineDecoder(nn.Module):
    """z -> slope z."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))

    def forward(self, z: Tensor) -> Tensor:
        return self.slope * z


@dataclass(frozen=True)
class Toy:
    """Networks by name, and what is known of them."""

    decoders: Mapping[str, Line]
    encoders: Mapping[str, Line]
    values: Mapping[str, float]

    @property
    def names(self) -> list[str]:
        return list(self.values)

    def system(
        self,
        objective: Any = None,
        pseudo: Mapping[str, Sequence[float]] | None = None,
        names: Sequence[str] | None = None,
    ) -> System:
        """MEME on these networks; pseudo-inputs are those given, or seven of each."""
        grid = [-1.5, -1.0, -0.4, 0.1, 0.5, 0.9, 2.0]
        inputs = pseudo or {n: [x * (1 + 0.3 * i) for x in grid] for i, n in enumerate(self.names)}
        start = Observations({n: torch.tensor(u)[:, None] for n, u in inputs.items()})
        number = min(len(u) for u in inputs.values())
        declared = [self._modality(n) for n in names or self.names]
        prior = PseudoInputPrior(declared, 1, start, number)
        return System(
            models.SharedLatent(declared, 1, prior=prior),
            guides.MixtureOfExperts(declared, 1, prior=prior),
            objective or MutualSupervisionELBO(),
        )

    def _modality(self, name: str) -> Modality:
        return Modality(
            name,
            likelihoods.Normal(scale=self.decoders[name][1]),
            encoder=lambda _: LineEncoder(*self.encoders[name]),
            decoder=lambda _: LineDecoder(self.decoders[name][0]),
        )

    def rows(self, number: int = 1) -> Observations:
        """Copies of the same complete row."""
        return Observations({n: torch.full((number, 1), x) for n, x in self.values.items()})

    def conditional(self, system: System, i: str, given: Sequence[str]) -> float:
        """log p_i(x_i | x_given) in closed form: a mixture of Normals."""
        return math.log(
            sum(w * math.exp(self.explain(i, *part)) for w, part in self.prior(system, i, given))
        )

    def prior(
        self, system: System, i: str, given: Sequence[str]
    ) -> list[tuple[float, tuple[float, float]]]:
        """p_i(z | x_given) as (weight, (loc, scale)) of its components."""
        others = [n for n in self.names if n != i]
        parts = []
        for j in others:
            slope, scale = self.encoders[j]
            held = [self.values[j]] if j in given else self.pseudo(system, j)
            parts += [(1 / len(others) / len(held), (slope * x, scale)) for x in held]
        return parts

    def pseudo(self, system: System, name: str) -> list[float]:
        return system.model.prior.pseudo_inputs(name).flatten().tolist()

    def explain(self, i: str, loc: float, scale: float) -> float:
        """log of the integral of p(x_i | z) Normal(z; loc, scale^2)."""
        slope, noise = self.decoders[i]
        total = math.sqrt(slope**2 * scale**2 + noise**2)
        return Normal(slope * loc, total).log_prob(torch.tensor(self.values[i])).item()

    def exact(self, i: str, j: str) -> float:
        """L(i, j) for M to infinity, two modalities, without log p(x_j)."""
        (a, sigma), (alpha, tau) = self.decoders[i], self.encoders[j]
        v, m = self.posterior(i, j)
        x, y = (torch.tensor(self.values[n]) for n in (i, j))
        first = Normal(a * m, sigma).log_prob(x) - a**2 * v / (2 * sigma**2)
        second = Normal(alpha * y, tau).log_prob(torch.tensor(m)) - v / (2 * tau**2)
        return (first + second).item() + 0.5 * math.log(2 * math.pi * math.e * v)

    def posterior(self, i: str, j: str) -> tuple[float, float]:
        """Variance and mean of e_i(z | x_i) p(x_j | z), normalised."""
        (beta, kappa), (b, sigma) = self.encoders[i], self.decoders[j]
        v = 1 / (1 / kappa**2 + b**2 / sigma**2)
        return v, v * (beta * self.values[i] / kappa**2 + b * self.values[j] / sigma**2)


PAIR = Toy(
    {n: DECODERS[n] for n in "st"}, {n: ENCODERS[n] for n in "st"}, {n: VALUES[n] for n in "st"}
)
# Likelihoods so sharp that every expert is wider than what it proposes for: weights are bounded.
TRIPLE = Toy(DECODERS | {"t": (1.1, 0.5)}, ENCODERS, VALUES)


def random_toy(seed: int, names: str = "st") -> Toy:
    """Random lines and values."""
    g = torch.Generator().manual_seed(seed)

    def lines() -> dict[str, Line]:
        slopes = torch.randn(len(names), generator=g).tolist()
        scales = (0.3 + torch.rand(len(names), generator=g)).tolist()
        return dict(zip(names, zip(slopes, scales, strict=True), strict=True))

    decoders, encoders = lines(), lines()
    values = torch.randn(len(names), generator=g).tolist()
    return Toy(decoders, encoders, dict(zip(names, values, strict=True)))


def consistent() -> Toy:
    """The encoders are the posteriors under z ~ Normal(0, 1): both directions are one joint."""
    encoders = {}
    for name in "st":
        slope, noise = DECODERS[name]
        total = slope**2 + noise**2
        encoders[name] = (slope / total, noise / math.sqrt(total))
    return Toy(PAIR.decoders, encoders, PAIR.values)


class Recording(MutualSupervisionELBO):
    """Keeps r and l of every draw, and the value of every direction."""

    def _reduce(self, r: Tensor, others: Tensor) -> Tensor:
        self.r, self.l = r, others
        self.each = super()._reduce(r, others)
        return self.each


class Noise(Messenger):
    """Give the guide's z the noise of these numbers, (M, 1, B) or what broadcasts with it."""

    def __init__(self, noise: Tensor) -> None:
        super().__init__()
        self.noise = noise

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] == "z" and not msg["is_observed"] and msg["value"] is None:
            base = msg["fn"].base_dist
            value = base.loc + base.scale * self.noise[..., None]
            msg["value"], msg["done"] = value.expand(*msg["fn"].batch_shape, 1), True


def quadrature(toy: Toy, num_particles: int, points: int = 60, **options: Any) -> Tensor:
    """E[L_i] of every direction, (2,), over a grid of the draws' noise: a row a node."""
    nodes, weights = (torch.from_numpy(x) for x in np.polynomial.hermite_e.hermegauss(points))
    noise = torch.cartesian_prod(*[nodes] * num_particles).reshape(-1, num_particles).T
    weight = torch.cartesian_prod(*[weights] * num_particles).reshape(-1, num_particles).prod(1)
    objective = Recording(num_particles, **options)
    system = toy.system(objective)
    with torch.no_grad(), Noise(noise[:, None]):
        system(toy.rows(len(weight)))
    return (objective.each * weight).sum(1) / weight.sum()


def draw(toy: Toy, num_rows: int, *args: Any, seed: int = 0, **options: Any) -> Recording:
    """One run on copies of the row; what it recorded, without gradients."""
    objective = Recording(*args, **options)
    system = toy.system(objective)
    torch.manual_seed(seed)
    with torch.no_grad():
        system(toy.rows(num_rows))
    return objective
