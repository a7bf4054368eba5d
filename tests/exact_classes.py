"""A system in which every measure of classes is known: shared u and private w are the image.

    u, w_m ~ Normal(0, I_C),   x_m ~ Normal(shared u + private w_m, 0.1), as a (1, 1, C) image

Its exact classifier takes the largest of the C pixels. The guide reads u off the first modality
given, and w_m off a second channel that only the modality itself has, both without noise; where
nothing is given it draws from the prior.
"""

from collections.abc import Callable
from dataclasses import dataclass

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from ppl_mm import Modality, Observations, System, likelihoods, objectives
from ppl_mm.programs.program import Program

EPS = 1e-9


class Reads(nn.Module):
    """The exact classifier; its features are the pixels of the first channel."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, 0, 0]

    def features(self, images: Tensor) -> Tensor:
        return images[:, 0, 0]


class Image(Program):
    """The model."""

    def __init__(self, modalities, size, shared, private):
        super().__init__(modalities, size)
        self.shared, self.private = shared, private
        self.unused = nn.Parameter(torch.zeros(()))

    def forward(self, obs: Observations) -> None:
        prior = dist.Normal(torch.zeros(self.latent_dim), 1.0).to_event(1)
        with obs.plates():
            u = pyro.sample("u", prior)
            for name in self.names:
                w = pyro.sample(f"w_{name}", prior)
                u_, w_ = torch.broadcast_tensors(u, w)
                first = self.shared * u_ + self.private * w_
                image = torch.stack([first, w_], -2).unsqueeze(-2)  # (2, 1, C)
                x, scored = obs.filled(name)
                pyro.sample(name, dist.Normal(image, 0.1).to_event(3).mask(scored), obs=x)


class Exact(Program):
    """The guide."""

    def forward(self, obs: Observations) -> None:
        zero = torch.zeros(self.latent_dim)
        loc, scale = zero.expand(len(obs), -1), torch.ones(len(obs), 1)
        for name in reversed(obs.names):
            on = obs.source[name][:, None]
            loc = torch.where(on, obs[name][:, 0, 0], loc)
            scale = torch.where(on, EPS, scale)
        with obs.plates():
            pyro.sample("u", dist.Normal(loc, scale).to_event(1))
            for name in self.names:
                on = torch.zeros(len(obs), 1, dtype=torch.bool)
                own = zero
                if name in obs.names:
                    on, own = obs.source[name][:, None], obs[name][:, 1, 0]
                q = dist.Normal(torch.where(on, own, zero), torch.where(on, EPS, 1.0))
                pyro.sample(f"w_{name}", q.to_event(1))


@dataclass(frozen=True)
class Classes:
    """A toy: its system, rows whose first channel is one-hot, their labels, and classifiers."""

    system: System
    obs: Observations
    labels: Tensor
    classifiers: dict[str, nn.Module]


@pytest.fixture
def classes() -> Callable[..., Classes]:
    def build(
        names=("a", "b", "c"), num_rows=40, size=4, *, shared=1.0, private=0.0, seed=0
    ) -> Classes:
        g = torch.Generator().manual_seed(seed)
        labels = torch.randint(size, (num_rows,), generator=g)
        one_hot = torch.eye(size)[labels]
        values = {
            n: torch.stack([one_hot, torch.randn(num_rows, size, generator=g)], 1).unsqueeze(2)
            for n in names
        }
        missing = lambda *_, **__: nn.Identity()  # noqa: E731 - networks that are never run
        declared = [Modality(n, likelihoods.Normal(0.1), missing, missing) for n in names]
        system = System(
            Image(declared, size, shared, private), Exact(declared, size), objectives.IWAE()
        )
        return Classes(system, Observations(values), labels, {n: Reads() for n in names})

    return build
