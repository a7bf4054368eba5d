"""Small mixtures with experts of their own for every row, and the digests' toy T.

    T:  z ~ Normal(0, 1),   a = 0.8 ~ Normal(z, 0.5),   b = -0.4 ~ Normal(1.5 z, 0.7),
        q_a = Normal(0.6, 0.4),   q_b = Normal(-0.3, 0.5)

Rows that are copies of each other are independent draws; with parameters of their own, one
backward pass gives a gradient for each, and so its standard error.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Tensor, nn
from torch.distributions import Normal

from ppl_mm import Modality, Observations, guides, likelihoods, models
from ppl_mm.programs.program import Program

VALUES = {"a": 0.8, "b": -0.4, "c": 0.3}
SLOPES = {"a": 1.0, "b": 1.5, "c": -0.8}
NOISE = {"a": 0.5, "b": 0.7, "c": 0.9}
EXPERTS = {"a": (0.6, 0.4), "b": (-0.3, 0.5), "c": (0.2, 0.7)}
LOG_P = -3.15834  # log p(a, b) of T
PRIVATE = 0.6  # every decoder's slope in w


class RowExpert(nn.Module):
    """The same constant expert for every row, each row's parameters its own.

    ``rows`` says which rows the encoder will be given, where some are missing.
    """

    def __init__(self, loc: float, scale: float, num_rows: int, dim: int) -> None:
        super().__init__()
        # Coordinates that differ, so that none is another's copy.
        shift = 0.1 * torch.arange(dim)
        self.loc = nn.Parameter((loc + shift).repeat(num_rows, 1))
        self.log_scale = nn.Parameter((math.log(scale) - shift).repeat(num_rows, 1))
        self.rows: Tensor | slice = slice(None)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.loc[self.rows], self.log_scale[self.rows].exp()


class Slope(nn.Module):
    """features -> slope of u times the sum of the features of u, and likewise for w."""

    def __init__(self, slope: float, in_features: int, private: float) -> None:
        super().__init__()
        weight = torch.full((in_features,), slope)
        weight[1:] = private
        self.weight = nn.Parameter(weight)

    def forward(self, z: Tensor) -> Tensor:
        return (z * self.weight).sum(-1, keepdim=True)


def declare(num_rows: int = 1, names: str = "ab", private: float = PRIVATE) -> list[Modality]:
    """The modalities of T (and one more); decoders of u and w where they get two features."""

    def modality(name: str) -> Modality:
        experts = iter([EXPERTS[name], (0.3 * SLOPES[name], 0.6)])  # shared first, then private
        return Modality(
            name,
            likelihoods.Normal(scale=NOISE[name]),
            encoder=lambda dim: RowExpert(*next(experts), num_rows, dim),
            decoder=lambda size: Slope(SLOPES[name], size, private),
        )

    return [modality(name) for name in names]


def rows(num_rows: int = 1, names: str = "ab") -> Observations:
    """Copies of the same complete row."""
    return Observations({n: torch.full((num_rows, 1), VALUES[n]) for n in names})


@dataclass(frozen=True)
class Scene:
    """A model and a guide whose experts are per row, with rows for them."""

    model: Program
    guide: Any
    obs: Observations

    def experts(self) -> dict[str, RowExpert]:
        return {n: m for n, m in self.guide.named_modules() if isinstance(m, RowExpert)}

    def seeing(self, obs: Observations) -> "Scene":
        """The same with these rows, of which every encoder sees those that hold its modality."""
        for name, expert in self.experts().items():
            expert.rows = obs.evidence[name.split(".")[-1]].nonzero().squeeze(-1)
        return Scene(self.model, self.guide, obs)

    def row_gradients(self, objective: Any, seed: int = 0) -> dict[str, Tensor]:
        """The gradient of every row's bound for its experts' parameters, (rows, ...)."""
        self.backward(objective, seed)
        return {n: p.grad.flatten(1) for n, p in self.guide.named_parameters() if is_expert(n)}

    def shared_gradients(self, objective: Any, seed: int = 0) -> dict[str, Tensor]:
        """The gradient of all other parameters: decoders, priors, auxiliary priors."""
        self.backward(objective, seed)
        both = [*self.model.named_parameters(), *self.guide.named_parameters()]
        return {n: p.grad.clone() for n, p in both if not is_expert(n) and p.grad is not None}

    def backward(self, objective: Any, seed: int) -> Tensor:
        self.model.zero_grad()
        self.guide.zero_grad()
        torch.manual_seed(seed)
        value = objective.bound(self.model, self.guide, self.obs)
        if value.requires_grad:
            value.sum().backward()
        return value.detach()


def is_expert(name: str) -> bool:
    return name.endswith((".loc", ".log_scale"))


def toy_t(num_rows: int = 1, family: str = "normal") -> Scene:
    """Toy T under MMVAE's mixture of its two experts."""
    declared = declare(num_rows)
    model = models.SharedLatent(declared, 1, prior=family)
    return Scene(model, guides.MixtureOfExperts(declared, 1, prior=family), rows(num_rows))


def private_scene(
    num_rows: int = 1,
    family: str = "normal",
    shared: Callable[..., Any] = guides.MixtureOfExperts,
    names: str = "ab",
    private: float = PRIVATE,
) -> Scene:
    """Shared and private latents of one coordinate each, with auxiliary priors."""
    declared = declare(num_rows, names, private)
    guide = guides.SharedPrivate(shared(declared, 1, prior=family), 1, auxiliary="exp")
    for i, prior in enumerate(guide.auxiliary_priors.values()):
        nn.init.constant_(prior.raw, -0.4 - 0.2 * i)
    model = models.SharedPrivate(declared, 1, 1, prior=family)
    return Scene(model, guide, rows(num_rows, names))


class Record(Messenger):
    """The guide's draws, by site, without their last dim."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Tensor] = {}

    def _pyro_post_sample(self, msg: Any) -> None:
        if not msg["is_observed"]:
            self.values.setdefault(msg["name"], msg["value"].detach().squeeze(-1))


def recorded(objective: Any, scene: Scene, seed: int = 0) -> tuple[Tensor, dict[str, Tensor]]:
    """The value of every row, and the draws that it comes from."""
    torch.manual_seed(seed)
    with Record() as record, torch.no_grad():
        return objective.bound(scene.model, scene.guide, scene.obs), record.values


def set_experts(scene: Scene, **loc_and_variance: tuple[float, float]) -> Scene:
    """Give the experts of these modalities another location and variance."""
    for name, expert in scene.experts().items():
        if name.split(".")[-1] in loc_and_variance:
            loc, variance = loc_and_variance[name.split(".")[-1]]
            nn.init.constant_(expert.loc, loc)
            nn.init.constant_(expert.log_scale, 0.5 * math.log(variance))
    return scene


def log_p(name: str, mean: Tensor) -> Tensor:
    """log p of the modality's value, given its mean."""
    return Normal(mean, NOISE[name]).log_prob(torch.tensor(VALUES[name]))


def assert_mean(draws: Tensor, expected: Any = 0.0, sigmas: float = 4.0, slack: float = 0.0):
    """The mean over the first dim is ``expected`` within its own standard errors."""
    error = draws.std(0) / math.sqrt(len(draws))
    distance = (draws.mean(0) - expected).abs()
    assert (distance <= sigmas * error + slack + 1e-12).all(), (distance / error, draws.mean(0))


def standard_errors_off(draws: Tensor, expected: Any = 0.0) -> Tensor:
    """How many standard errors the mean over the first dim is from ``expected``."""
    return (draws.mean(0) - expected).abs() * math.sqrt(len(draws)) / draws.std(0)
