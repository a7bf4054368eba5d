"""Models with one latent coordinate, whose likelihoods are integrated on a grid.

z ~ Normal(0, 1) or Laplace(0, 1),    x = f(z) + noise,    y ~ p(y | z), of several kinds
"""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ppl_mm import Modality, Observations, System, guides, likelihoods, models, objectives

KINDS = ("normal", "bernoulli", "categorical", "poisson", "laplace prior", "two modes")
SIZE = 3  # numbers of y, or classes
GRID = torch.linspace(-14, 14, 28_001, dtype=torch.float64)


class Curve(nn.Module):
    """a tanh(b z) + c, or of squares a z^2 + c."""

    def __init__(self, g: torch.Generator, size: int, square: bool = False) -> None:
        super().__init__()
        self.slope = nn.Parameter(0.5 + torch.rand(size, generator=g))
        self.height = nn.Parameter(1.5 * torch.randn(size, generator=g))
        self.shift = nn.Parameter(0.5 * torch.randn(size, generator=g))
        self.square = square

    def forward(self, z: Tensor) -> Tensor:
        bent = z**2 if self.square else torch.tanh(self.slope * z)
        return self.height * bent + self.shift


class Expert(nn.Module):
    """A guide's expert that knows little of what it sees."""

    def __init__(self, g: torch.Generator) -> None:
        super().__init__()
        self.pull = 0.3 * torch.randn((), generator=g)
        self.scale = 0.8 + torch.rand((), generator=g)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loc = self.pull * x.reshape(len(x), -1)[:, :1].double()
        return loc, self.scale * torch.ones_like(loc)


@dataclass
class GridToy:
    """One model, its guide and exact likelihoods."""

    system: System
    kind: str

    @classmethod
    def random(cls, kind: str, seed: int) -> "GridToy":
        g = torch.Generator().manual_seed(seed)
        noise = 0.4 + torch.rand((), generator=g).item()
        two = kind == "two modes"
        y = {
            "bernoulli": likelihoods.Bernoulli(),
            "categorical": likelihoods.Categorical(),
            "poisson": likelihoods.Poisson(),
        }.get(kind, likelihoods.Normal(noise))
        curves = [Curve(g, 2, square=two), Curve(g, SIZE)]
        experts = [Expert(g), Expert(g)]
        declared = [
            Modality("x", likelihoods.Normal(noise), lambda _: experts[0], lambda _: curves[0]),
            Modality("y", y, lambda _: experts[1], lambda _: curves[1]),
        ]
        prior = "laplace" if kind == "laplace prior" else "normal"
        model = models.SharedLatent(declared, 1, prior=prior)
        guide = guides.ProductOfExperts(declared, 1, prior_expert=True)
        return cls(System(model, guide, objectives.IWAE()), kind)

    def sample(self, num_rows: int, seed: int) -> Observations:
        """Rows of which a third lacks x, and a third y."""
        torch.manual_seed(seed)
        z = self.system.model.prior().sample((num_rows,))
        values = {n: self._fn(n, z).sample() for n in ("x", "y")}
        third = torch.arange(num_rows) % 3
        return Observations(values, {"x": third != 1, "y": third != 2})

    def log_p(self, obs: Observations, names: tuple[str, ...]) -> Tensor:
        """log p of what each row holds of the names, by the trapezoidal rule."""
        z = GRID[:, None]
        log_p = self.system.model.prior().log_prob(z)[:, None].expand(-1, len(obs))
        for n in names:
            each = self._fn(n, z[:, None]).log_prob(obs[n])
            log_p = log_p + torch.where(obs.present[n], each, 0.0)
        step = GRID[1] - GRID[0]
        return log_p.logsumexp(0) + step.log()

    def _fn(self, name: str, z: Tensor):
        modality = next(m for m in self.system.modalities if m.name == name)
        decoded = self.system.model.decoders[name](z)
        return modality.likelihood(decoded, batch_dims=z.dim() - 1)


QUESTIONS = [
    (target, given)
    for target, given in itertools.product([("x", "y"), ("x",), ("y",)], [(), ("x",), ("y",)])
    if not set(target) & set(given)
]
