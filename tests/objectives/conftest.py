"""Guides whose answers are exact or whose noise is held, for the objectives' tests."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from linear_gaussian import LinearGaussian
from torch import Tensor, nn

from ppl_mm import Modality, Observations, likelihoods, networks
from ppl_mm.programs.program import Program


class HeldNormal(dist.Normal):
    """A Normal whose every reparameterised draw is loc + eps * scale, eps the same number."""

    eps = 0.7

    def rsample(self, sample_shape: torch.Size = torch.Size()) -> Tensor:  # noqa: B008
        return (self.loc + self.eps * self.scale).expand(self._extended_shape(sample_shape))


class HeldNormalAtMean(HeldNormal):
    eps = 0.0


class HeldNoise(Program):
    """The same posterior as another guide's, with the noise of every row and term held."""

    def __init__(self, guide: Program, family: type[HeldNormal]) -> None:
        super().__init__(guide.modalities, guide.latent_dim)
        self.guide, self.family = guide, family

    def posterior(self, obs: Observations) -> dist.Distribution:
        q = self.guide.posterior(obs).base_dist
        return self.family(q.loc, q.scale).to_event(1)

    def forward(self, obs: Observations) -> None:
        with obs.plates():
            pyro.sample("z", self.posterior(obs))


class LikelihoodExpert(nn.Module):
    """The Normal proportional to p(x_m | z) in z, for a decoder with one latent coordinate."""

    def __init__(self, weight: Tensor, bias: Tensor, noise: float) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
        self.noise = noise

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        square = (self.weight**2).sum()
        loc = (x - self.bias) @ self.weight / square
        return loc, (self.noise / square.sqrt()).expand_as(loc)


@pytest.fixture
def held_noise() -> Callable[..., HeldNoise]:
    """Hold a guide's noise: every draw is loc + 0.7 scale, or with ``eps=0`` the mean."""
    return lambda guide, eps=0.7: HeldNoise(guide, HeldNormal if eps else HeldNormalAtMean)


@pytest.fixture
def exact_experts() -> Callable[[LinearGaussian], list[Modality]]:
    """Modalities whose product with the prior expert is the exact posterior (latent size 1)."""

    def make(toy: LinearGaussian) -> list[Modality]:
        assert toy.latent_dim == 1
        experts = {
            n: partial(LikelihoodExpert, toy.weight[n], toy.bias[n], toy.noise[n])
            for n in toy.sizes
        }
        return [replace(m, encoder=lambda _, make=experts[m.name]: make()) for m in toy.modalities]

    return make


@pytest.fixture
def scalar_toy() -> Callable[..., LinearGaussian]:
    """From names to (slope, noise): with ``a=(2.0, 1.0)``, z ~ N(0, 1) and a ~ N(2 z, 1)."""

    def make(**slope_and_noise: tuple[float, float]) -> LinearGaussian:
        toy = LinearGaussian(dict.fromkeys(slope_and_noise, 1), latent_dim=1)
        toy.weight = {n: torch.tensor([[slope]]) for n, (slope, _) in slope_and_noise.items()}
        toy.bias = {n: torch.zeros(1) for n in slope_and_noise}
        toy.noise = {n: noise for n, (_, noise) in slope_and_noise.items()}
        toy.modalities = [toy._modality(n, 1.0) for n in toy.sizes]
        return toy

    return make


@pytest.fixture
def image_and_label() -> list[Modality]:
    """A binary image of 4 pixels and a label of 3 classes, with small networks."""
    image = Modality(
        "image",
        likelihoods.Bernoulli(),
        encoder=partial(networks.MLPEncoder, event_shape=(4,), hidden=(5,)),
        decoder=partial(networks.MLPDecoder, event_shape=(4,), hidden=(5,)),
    )
    label = Modality(
        "label",
        likelihoods.Categorical(),
        encoder=partial(networks.LabelEncoder, num_classes=3, hidden=(5,)),
        decoder=partial(networks.MLPDecoder, event_shape=(3,), hidden=(5,)),
    )
    return [image, label]


@pytest.fixture
def pairs() -> Observations:
    """Six complete rows for ``image_and_label``."""
    g = torch.Generator().manual_seed(3)
    image = torch.randint(2, (6, 4), generator=g).double()
    return Observations({"image": image, "label": torch.tensor([0, 1, 2, 1, 0, 2])})
