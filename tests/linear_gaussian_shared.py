"""The linear-Gaussian model with a latent that all rows share, in which every answer is known.

    g ~ Normal(0, tau^2 I),   z ~ Normal(0, I),   x_m = A_m (z + g) + b_m + s_m eps_m

one g for all rows, outside the plate, and one z a row.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from linear_gaussian import LinearGaussian
from torch import Tensor, nn

from ppl_mm import Observations, guides
from ppl_mm.programs.program import Program

TAU = 0.8

Plates = Callable[[Observations], AbstractContextManager[Any]]


def as_rows(obs: Observations) -> AbstractContextManager[Any]:
    """The plates of the observations themselves."""
    return obs.plates()


class SharedShift(LinearGaussian):
    """See above.

    Args:
        reach: Of the latents: A_m times this. At 0 every loss is in closed form, whatever is drawn.
    """

    def __init__(self, reach: float = 1.0, **options: Any) -> None:
        super().__init__(**options)
        self.weight = {n: reach * w for n, w in self.weight.items()}
        self.modalities = [self._modality(name, 1.5) for name in self.sizes]

    def model(self, plates: Plates = as_rows) -> "Shifted":  # type: ignore[override]
        return Shifted(self, plates)

    def guide(self, plates: Plates = as_rows) -> "MeanField":
        return MeanField(self, plates)

    def posterior_guide(self, obs: Observations) -> "Posterior":
        """p(g | x_1 .. x_N) p(z | g, x), with which every ELBO is log p(x_1 .. x_N)."""
        return Posterior(self, obs)

    def log_p_of_all(self, obs: Observations) -> Tensor:
        """log p(x_1, ..., x_N) of everything present, exactly, ()."""
        parts = [
            (row, obs[n][row] - self.bias[n], self.weight[n], self.noise[n])
            for row in range(len(obs))
            for n in obs.names
            if bool(obs.present[n][row])
        ]
        values = torch.cat([x for _, x, _, _ in parts])
        weight = torch.cat([w for _, _, w, _ in parts])
        rows = torch.cat([torch.full((len(x),), row) for row, x, _, _ in parts])
        noise = torch.cat([torch.full((len(x),), s**2) for _, x, _, s in parts])
        own = (rows[:, None] == rows).to(weight.dtype)
        covariance = weight @ weight.T * (TAU**2 + own) + torch.diag(noise)
        normal = torch.distributions.MultivariateNormal(torch.zeros(len(values)), covariance)
        return normal.log_prob(values)


class Shifted(nn.Module):
    """The model, as a user writes it."""

    def __init__(self, toy: SharedShift, plates: Plates = as_rows) -> None:
        super().__init__()
        self.noise, self.plates = toy.noise, plates
        self.weight = nn.ParameterDict({n: w.clone() for n, w in toy.weight.items()})
        self.bias = nn.ParameterDict({n: b.clone() for n, b in toy.bias.items()})

    def forward(self, obs: Observations) -> None:
        zero = torch.zeros(2)
        g = pyro.sample("g", dist.Normal(zero, TAU).to_event(1))
        with self.plates(obs):
            z = pyro.sample("z", dist.Normal(zero, 1.0).to_event(1))
            for name in self.weight:
                x, scored = obs.filled(name)
                loc = (z + g) @ self.weight[name].T + self.bias[name]
                pyro.sample(
                    name, dist.Normal(loc, self.noise[name]).to_event(1).mask(scored), obs=x
                )


class MeanField(guides.ProductOfExperts):
    """q(g) q(z | x), the second by experts."""

    def __init__(self, toy: SharedShift, plates: Plates = as_rows) -> None:
        super().__init__(toy.modalities, 2)
        self.plates = plates
        self.loc = nn.Parameter(torch.tensor([0.7, -0.4]))
        self.log_scale = nn.Parameter(torch.tensor([-1.0, -0.5]))

    def of_g(self) -> dist.Distribution:
        return dist.Normal(self.loc, self.log_scale.exp()).to_event(1)

    def kl(self) -> Tensor:
        """KL( q(g) || p(g) ), written out."""
        scale = self.log_scale.exp()
        each = torch.log(TAU / scale) + (scale**2 + self.loc**2) / (2 * TAU**2) - 0.5
        return each.sum()

    def forward(self, obs: Observations) -> None:
        pyro.sample("g", self.of_g())
        with self.plates(obs):
            pyro.sample("z", self.posterior(obs))


class Posterior(Program):
    """The exact posterior of the shared and of the rows' own latents, drawn in this order."""

    def __init__(self, toy: SharedShift, obs: Observations) -> None:
        super().__init__(toy.modalities, 2)
        self.toy = toy
        precision, shift = torch.eye(2) / TAU**2, torch.zeros(2)
        for row in range(len(obs)):
            held = [n for n in obs.names if bool(obs.present[n][row])]
            if held:
                weight = torch.cat([toy.weight[n] for n in held])
                x = torch.cat([obs[n][row] - toy.bias[n] for n in held])
                by = torch.linalg.solve(toy.covariance(held), weight).T
                precision, shift = precision + by @ weight, shift + by @ x
        self.of_g = dist.MultivariateNormal(
            torch.linalg.solve(precision, shift), precision_matrix=precision
        )

    def forward(self, obs: Observations) -> None:
        toy = self.toy
        g = pyro.sample("g", self.of_g)
        precision = torch.eye(2).expand(*obs.shape, 2, 2)
        shift = torch.zeros(*obs.shape, 2)
        for name in obs.names:
            weight, noise = toy.weight[name], toy.noise[name]
            on = obs.source[name].to(weight.dtype)
            rest = obs[name] - toy.bias[name] - g @ weight.T
            precision = precision + on[..., None, None] * (weight.T @ weight / noise**2)
            shift = shift + on[..., None] * (rest @ weight / noise**2)
        loc = torch.linalg.solve(precision, shift.unsqueeze(-1)).squeeze(-1)
        with obs.plates():
            pyro.sample("z", dist.MultivariateNormal(loc, precision_matrix=precision))
