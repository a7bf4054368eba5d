"""A linear-Gaussian model whose prior sees c, in which every answer is known.

    z ~ Normal(P c + b, S),   x_t = A_t z + C_t c + d_t + s_t eps_t     t = a, b;  S diagonal

c is always observed and has no density. p(x_A | c), p(x_A | x_B, c) and p(z | x_S, c) are Gaussian.
"""

import pyro
import pyro.distributions as dist
import torch
from linear_gaussian_conditional import GIVEN, NOISE, SIZES, ConditionalGaussian, Z
from torch import Tensor, nn

from ppl_mm import Observations, models
from ppl_mm.distributions import ObservedPrior
from ppl_mm.programs.program import Program


class GaussianGivenObserved(ConditionalGaussian):
    """The parameters, data and exact answers; :meth:`mean` and :meth:`covariance` given c."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        g = torch.Generator().manual_seed(seed + 100)
        self.prior_slope = torch.randn(Z, GIVEN, generator=g)
        self.prior_bias = torch.randn(Z, generator=g)
        self.prior_scale = torch.tensor([0.6, 1.7])

    def model(self) -> models.ConditionalPrior:
        prior = ObservedPrior(self.modalities, Z, ("c",), hidden=())
        with torch.no_grad():
            prior.network.head.weight.zero_()
            prior.network.head.weight[:Z] = self.prior_slope
            prior.network.head.bias[:Z] = self.prior_bias
            prior.network.head.bias[Z:] = 2.0 * self.prior_scale.log()
        return models.ConditionalPrior(self.modalities, Z, ("c",), prior=prior)

    def prior_mean(self, c: Tensor) -> Tensor:
        """E[z | c]."""
        return c @ self.prior_slope.T + self.prior_bias

    def mean(self, c: Tensor, name: str) -> Tensor:
        """E[x_t | c]."""
        return super().mean(c, name) + self.prior_mean(c) @ self.weight[name].T

    def covariance(self, names: tuple[str, ...]) -> Tensor:
        """Of x_names given c, side by side."""
        weight = torch.cat([self.weight[n] for n in names])
        noise = torch.cat([torch.full((SIZES[n],), NOISE[n] ** 2) for n in names])
        return weight @ torch.diag(self.prior_scale**2) @ weight.T + torch.diag(noise)

    def sample(self, num_rows: int, seed: int = 1) -> Observations:
        """Complete rows; c is drawn from something far from Normal(0, I)."""
        g = torch.Generator().manual_seed(seed)
        c = 3.0 * torch.rand(num_rows, GIVEN, generator=g) - 1.0
        z = self.prior_scale * torch.randn(num_rows, Z, generator=g)
        values = {"c": c}
        for name, size in SIZES.items():
            noise = NOISE[name] * torch.randn(num_rows, size, generator=g)
            values[name] = z @ self.weight[name].T + self.mean(c, name) + noise
        return Observations(values)


class ExactGivenObserved(Program):
    """p(z | x_source, c) itself."""

    def __init__(self, toy: GaussianGivenObserved) -> None:
        super().__init__(toy.modalities, Z)
        self.toy = toy
        self.unused = nn.Parameter(torch.zeros(()))

    def posterior(self, obs: Observations) -> dist.MultivariateNormal:
        toy = self.toy
        precision = torch.diag(toy.prior_scale**-2).expand(*obs.shape, Z, Z)
        shift = torch.zeros(*obs.shape, Z)
        for name, weight in toy.weight.items():
            if name in obs.names:
                on = obs.source[name].to(weight.dtype) / NOISE[name] ** 2
                precision = precision + on[..., None, None] * (weight.T @ weight)
                rest = obs[name] - toy.mean(obs["c"], name)
                shift = shift + on[..., None] * (rest @ weight)
        loc = torch.linalg.solve(precision, shift.unsqueeze(-1)).squeeze(-1)
        return dist.MultivariateNormal(toy.prior_mean(obs["c"]) + loc, precision_matrix=precision)

    def forward(self, obs: Observations) -> None:
        with obs.plates():
            pyro.sample("z", self.posterior(obs))
