"""The linear-Gaussian model when single elements are missing, in which every answer is known."""

import pyro
import pyro.distributions as dist
import torch
from linear_gaussian import ExactPosterior, LinearGaussian
from torch import Tensor

from ppl_mm import Observations


def holed(complete: Observations, share: float = 0.4, seed: int = 3) -> Observations:
    """Rows that miss elements at random, whole modalities among them; the first row is whole."""
    generator = torch.Generator().manual_seed(seed)
    elements = {}
    for name in complete.names:
        held = torch.rand(complete[name].shape, generator=generator) >= share
        held[0] = True
        elements[name] = held
    nan = {n: x.masked_fill(~elements[n], torch.nan) for n, x in complete.values.items()}
    return Observations(nan, elements=elements)


class Exact:
    """Every row's Gaussian: of the elements that it has, and of the others given these."""

    def __init__(self, toy: LinearGaussian, obs: Observations) -> None:
        self.obs, self.names = obs, tuple(toy.sizes)
        self.mean = torch.cat([toy.bias[n] for n in self.names]).double()
        self.covariance = toy.covariance(self.names).double()
        self.values = torch.cat([obs[n] for n in self.names], 1).double()

    def held(self, row: int, names: tuple[str, ...]) -> Tensor:
        """Which of all elements, side by side, a row has of these modalities."""
        parts = []
        for name in self.names:
            whole = torch.ones(self.obs[name].shape[1], dtype=torch.bool)
            own = self.obs.elements[name][row] if name in self.obs.elements else whole
            parts.append(own & (name in names) & self.obs.present[name][row])
        return torch.cat(parts)

    def log_p(self, names: tuple[str, ...]) -> Tensor:
        """log p of what each row has of these modalities, (N,)."""
        found = []
        for row in range(len(self.obs)):
            held = self.held(row, names)
            normal = torch.distributions.MultivariateNormal(
                self.mean[held], self.covariance[held][:, held]
            )
            x = self.values[row, held]
            found.append(normal.log_prob(x) if len(x) else torch.zeros(()).double())
        return torch.stack(found)

    def conditional(self, row: int) -> tuple[Tensor, Tensor, Tensor]:
        """The elements that a row lacks given the others: mean, covariance and which they are."""
        held = self.held(row, self.names)
        across = self.covariance[~held][:, held]
        gain = across @ torch.linalg.inv(self.covariance[held][:, held])
        mean = self.mean[~held] + gain @ (self.values[row, held] - self.mean[held])
        return mean, self.covariance[~held][:, ~held] - gain @ across.T, ~held


class ExactOfElements(ExactPosterior):
    """p(z | the observed elements of x_source), with full covariance, or a wider one.

    Args:
        toy: The model.
        spread: A factor of the scales.
    """

    def __init__(self, toy: LinearGaussian, spread: float = 1.0) -> None:
        super().__init__(toy)
        self.spread = spread

    def posterior(self, obs: Observations) -> dist.MultivariateNormal:
        size = self.latent_dim
        precision = torch.eye(size).expand(*obs.shape, size, size)
        shift = torch.zeros(*obs.shape, size)
        for name in obs.names:
            weight, noise = self.toy.weight[name], self.toy.noise[name]
            held = obs.source[name][..., None] & obs.elements.get(name, torch.tensor(True))
            on = held.to(weight.dtype) / noise**2  # (..., B, D)
            precision = precision + torch.einsum("...d,di,dj->...ij", on, weight, weight)
            shift = shift + (on * (obs[name] - self.toy.bias[name])) @ weight
        loc = torch.linalg.solve(precision, shift.unsqueeze(-1)).squeeze(-1)
        return dist.MultivariateNormal(loc, precision_matrix=precision / self.spread**2)


class OwnModel(torch.nn.Module):
    """The linear-Gaussian model as a user writes it, without ``Decoded``."""

    def __init__(self, toy: LinearGaussian) -> None:
        super().__init__()
        self.modalities, self.latent_dim, self.noise = toy.modalities, toy.latent_dim, toy.noise
        self.weight = torch.nn.ParameterDict({n: w.clone() for n, w in toy.weight.items()})
        self.bias = torch.nn.ParameterDict({n: b.clone() for n, b in toy.bias.items()})

    def forward(self, obs: Observations) -> None:
        with obs.plates():
            z = pyro.sample("z", dist.Normal(torch.zeros(self.latent_dim), 1.0).to_event(1))
            for name in self.weight:
                x, scored = obs.filled(name)
                p = dist.Normal(z @ self.weight[name].T + self.bias[name], self.noise[name])
                pyro.sample(name, p.to_event(1).mask(scored), obs=x)
