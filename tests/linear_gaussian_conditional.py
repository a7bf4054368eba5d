"""A linear-Gaussian model with decoders that see c, in which every answer is known.

    z ~ Normal(0, I_2),   x_t = A_t z + C_t c + d_t + s_t eps_t     t = a, b

c is conditioned on and has no density. p(x_A | c), p(x_A | x_B, c) and p(z | x_S, c) are Gaussian.
"""

import pyro
import pyro.distributions as dist
import torch
from linear_gaussian import LinearDecoder, LinearEncoder
from torch import Tensor, nn

from ppl_mm import Modality, Observations, likelihoods, models
from ppl_mm.programs.program import Program

Z, SIZES, NOISE, GIVEN = 2, {"a": 3, "b": 2}, {"a": 1.2, "b": 0.9}, 2


class ConditionalGaussian:
    """The parameters, data and exact answers."""

    def __init__(self, seed: int = 0) -> None:
        g = torch.Generator().manual_seed(seed)
        self.weight = {n: torch.randn(d, Z, generator=g) for n, d in SIZES.items()}
        self.slope = {n: torch.randn(d, GIVEN, generator=g) for n, d in SIZES.items()}
        self.bias = {n: torch.randn(d, generator=g) for n, d in SIZES.items()}
        self.modalities = [*(self._target(n) for n in SIZES), self._given()]

    def _target(self, name: str) -> Modality:
        columns = torch.cat([self.weight[name], self.slope[name]], 1)
        return Modality(
            name,
            likelihoods.Normal(scale=NOISE[name]),
            encoder=lambda _: LinearEncoder(self.weight[name], self.bias[name], NOISE[name]),
            decoder=lambda _: LinearDecoder(columns, self.bias[name]),
        )

    def _given(self) -> Modality:
        """Its networks are not used, but that its decoder tells the shape of a value."""
        square = torch.eye(GIVEN)
        return Modality(
            "c",
            likelihoods.Normal(scale=1.0),
            encoder=lambda _: LinearEncoder(square, torch.zeros(GIVEN), 1.0),
            decoder=lambda _: LinearDecoder(square, torch.zeros(GIVEN)),
        )

    def model(self) -> models.ConditionalDecoder:
        return models.ConditionalDecoder(self.modalities, Z, given=("c",))

    def sample(self, num_rows: int, seed: int = 1) -> Observations:
        """Complete rows; c is drawn from something far from Normal(0, I)."""
        g = torch.Generator().manual_seed(seed)
        c = 3.0 * torch.rand(num_rows, GIVEN, generator=g) - 1.0
        z = torch.randn(num_rows, Z, generator=g)
        values = {"c": c}
        for name, size in SIZES.items():
            noise = NOISE[name] * torch.randn(num_rows, size, generator=g)
            values[name] = z @ self.weight[name].T + self.mean(c, name) + noise
        return Observations(values)

    def mean(self, c: Tensor, name: str) -> Tensor:
        """E[x_t | c]."""
        return c @ self.slope[name].T + self.bias[name]

    def covariance(self, names: tuple[str, ...]) -> Tensor:
        """Of x_names given c, side by side."""
        weight = torch.cat([self.weight[n] for n in names])
        noise = torch.cat([torch.full((SIZES[n],), NOISE[n] ** 2) for n in names])
        return weight @ weight.T + torch.diag(noise)

    def log_p(self, obs: Observations, names: tuple[str, ...]) -> Tensor:
        """log p(x_names | c) of complete rows."""
        x = torch.cat([obs[n] - self.mean(obs["c"], n) for n in names], 1)
        return dist.MultivariateNormal(torch.zeros(x.shape[1]), self.covariance(names)).log_prob(x)


class ExactConditional(Program):
    """p(z | x_source, c) itself; p(z) for rows without a target to look at."""

    def __init__(self, toy: ConditionalGaussian) -> None:
        super().__init__(toy.modalities, Z)
        self.toy = toy
        self.unused = nn.Parameter(torch.zeros(()))

    def posterior(self, obs: Observations) -> dist.MultivariateNormal:
        precision = torch.eye(Z).expand(*obs.shape, Z, Z)
        shift = torch.zeros(*obs.shape, Z)
        for name, weight in self.toy.weight.items():
            if name in obs.names:
                on = obs.source[name].to(weight.dtype) / NOISE[name] ** 2
                precision = precision + on[..., None, None] * (weight.T @ weight)
                rest = obs[name] - self.toy.mean(obs["c"], name)
                shift = shift + on[..., None] * (rest @ weight)
        loc = torch.linalg.solve(precision, shift.unsqueeze(-1)).squeeze(-1)
        return dist.MultivariateNormal(loc, precision_matrix=precision)

    def forward(self, obs: Observations) -> None:
        with obs.plates():
            pyro.sample("z", self.posterior(obs))
