"""The linear-Gaussian model, in which every answer is known.

    z ~ Normal(0, I_Z),   x_m = A_m z + b_m + s_m eps_m

p(x_S), p(x_A | x_B) and p(z | x_S) are Gaussian in closed form for every pattern of missingness.
"""

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ppl_mm import Modality, Observations, System, likelihoods, models, objectives
from ppl_mm.programs.program import Program

NAMES = ("a", "b", "c")


class LinearDecoder(nn.Module):
    """z -> A z + b, or (A z + b, s) for a learned scale."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.weight.T + self.bias


class LinearEncoder(nn.Module):
    """The exact diagonal of p(z | x_m) without the prior, or a wider or narrower one."""

    def __init__(self, weight: Tensor, bias: Tensor, noise: float, spread: float = 1.0) -> None:
        super().__init__()
        precision = weight.T @ weight / noise**2
        covariance = torch.linalg.inv(precision + torch.eye(len(precision)))
        self.map = nn.Parameter(covariance @ weight.T / noise**2)
        self.bias = nn.Parameter(bias.clone())
        self.log_scale = nn.Parameter((spread * covariance.diagonal().sqrt()).log())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loc = (x - self.bias) @ self.map.T
        return loc, self.log_scale.exp().expand_as(loc)  # an expanded view, as users write it


class Gaussian:
    """What linear-Gaussian models share: every pattern of missingness, and exact likelihoods."""

    sizes: dict[str, int]
    bias: dict[str, Tensor]

    def sample(self, num_rows: int, seed: int = 1) -> Observations:
        raise NotImplementedError

    def covariance(self, held: Sequence[str]) -> Tensor:
        """Of what is held, in this order."""
        raise NotImplementedError

    def mixed(self, rows_per_pattern: int = 1, seed: int = 1) -> Observations:
        """Every pattern of missingness, nothing observed included, in one batch."""
        names = list(self.sizes)
        patterns = torch.cartesian_prod(*[torch.tensor([True, False])] * len(names))
        patterns = patterns.reshape(-1, len(names)).repeat(rows_per_pattern, 1)
        complete = self.sample(len(patterns), seed)
        return Observations(complete.values, {n: patterns[:, i] for i, n in enumerate(names)})

    def log_p(self, obs: Observations, names: Sequence[str]) -> Tensor:
        """Exact log p of what each row has of ``names``, (N,)."""
        return torch.stack([self._row_log_p(obs, names, row) for row in range(len(obs))])

    def _row_log_p(self, obs: Observations, names: Sequence[str], row: int) -> Tensor:
        held = [n for n in names if bool(obs.present[n][row])]
        if not held:
            return torch.zeros(())
        x = torch.cat([obs.values[n][row] - self.bias[n] for n in held])
        normal = torch.distributions.MultivariateNormal(torch.zeros(len(x)), self.covariance(held))
        return normal.log_prob(x)


class LinearGaussian(Gaussian):
    """Modalities of different sizes with random decoders, and every exact answer.

    Args:
        sizes: D_m by name.
        latent_dim: Z.
        rank: Rank of the decoders; None for full.
        spread: Factor on the encoders' exact scales.
    """

    def __init__(
        self,
        sizes: dict[str, int] | None = None,
        latent_dim: int = 2,
        rank: int | None = None,
        spread: float = 1.0,
        seed: int = 0,
    ) -> None:
        g = torch.Generator().manual_seed(seed)
        self.sizes = sizes or {"a": 3, "b": 4, "c": 1}
        self.latent_dim = latent_dim
        self.weight, self.bias, self.noise = {}, {}, {}
        for i, (name, size) in enumerate(self.sizes.items()):
            weight = torch.randn(size, latent_dim, generator=g)
            if rank is not None:
                left = torch.randn(size, rank, generator=g)
                weight = left @ torch.randn(rank, latent_dim, generator=g)
            self.weight[name] = weight
            self.bias[name] = torch.randn(size, generator=g)
            self.noise[name] = 0.6 + 0.3 * i
        self.modalities = [self._modality(name, spread) for name in self.sizes]

    def _modality(self, name: str, spread: float) -> Modality:
        weight, bias, noise = self.weight[name], self.bias[name], self.noise[name]
        return Modality(
            name,
            likelihoods.Normal(scale=noise),
            encoder=lambda _: LinearEncoder(weight, bias, noise, spread),
            decoder=lambda _: LinearDecoder(weight, bias),
        )

    def model(self) -> models.SharedLatent:
        return models.SharedLatent(self.modalities, self.latent_dim)

    def exact_guide(self) -> "ExactPosterior":
        return ExactPosterior(self)

    def system(self, guide: nn.Module, objective: pyro.infer.ELBO | None = None) -> System:
        return System(self.model(), guide, objective or objectives.IWAE())

    def sample(self, num_rows: int, seed: int = 1) -> Observations:
        """Complete rows drawn from the model."""
        g = torch.Generator().manual_seed(seed)
        z = torch.randn(num_rows, self.latent_dim, generator=g)
        values = {}
        for name, weight in self.weight.items():
            noise = self.noise[name] * torch.randn(num_rows, len(weight), generator=g)
            values[name] = z @ weight.T + self.bias[name] + noise
        return Observations(values)

    def covariance(self, held: Sequence[str]) -> Tensor:
        weight = torch.cat([self.weight[n] for n in held])
        noise = torch.cat([torch.full((len(self.weight[n]),), self.noise[n] ** 2) for n in held])
        return weight @ weight.T + torch.diag(noise)


class ExactPosterior(Program):
    """p(z | x_source) itself, with full covariance, for every row, term and stratum."""

    def __init__(self, toy: LinearGaussian) -> None:
        super().__init__(toy.modalities, toy.latent_dim)
        self.toy = toy
        self.unused = nn.Parameter(torch.zeros(()))

    def posterior(self, obs: Observations) -> dist.MultivariateNormal:
        size = self.latent_dim
        precision = torch.eye(size).expand(*obs.shape, size, size)
        shift = torch.zeros(*obs.shape, size)
        for name in obs.names:
            weight, noise = self.toy.weight[name], self.toy.noise[name]
            on = obs.source[name].to(weight.dtype)
            precision = precision + on[..., None, None] * (weight.T @ weight / noise**2)
            shift = shift + on[..., None] * ((obs[name] - self.toy.bias[name]) @ weight / noise**2)
        loc = torch.linalg.solve(precision, shift.unsqueeze(-1)).squeeze(-1)
        return dist.MultivariateNormal(loc, precision_matrix=precision)

    def forward(self, obs: Observations) -> None:
        with obs.plates():
            pyro.sample("z", self.posterior(obs))
