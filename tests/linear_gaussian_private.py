"""The linear-Gaussian model with a shared and private latents, in which every answer is known.

    u, w_m ~ Normal(0, I),   x_m = A_m u + C_m w_m + b_m + s_m eps_m

p(x_S) is Gaussian: given by the joint of all modalities with blocks A_m A_n' (+ C_m C_m' + s_m^2).
"""

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from linear_gaussian import Gaussian, LinearDecoder, LinearEncoder
from torch import Tensor, nn

from ppl_mm import Modality, Observations, System, guides, likelihoods, models, objectives


class PrivateLinearGaussian(Gaussian):
    """Modalities of different sizes, each with a private latent of a size of its own.

    Args:
        spread: Factor on the scales of encoders, which are exact for their modality alone.
        sizes: D_m by name.
        private_dim: W_m by name, or of all.
        latent_dim: U.
    """

    def __init__(
        self,
        spread: float = 1.0,
        sizes: dict[str, int] | None = None,
        private_dim: dict[str, int] | int | None = None,
        latent_dim: int = 2,
        seed: int = 0,
    ) -> None:
        g = torch.Generator().manual_seed(seed)
        self.sizes = sizes or {"a": 3, "b": 2, "c": 1}
        self.latent_dim = latent_dim
        dims = {"a": 1, "b": 2, "c": 1} if private_dim is None else private_dim
        self.private_dim = dict.fromkeys(self.sizes, dims) if isinstance(dims, int) else dims
        self.shared, self.private, self.bias, self.noise = {}, {}, {}, {}
        for i, (name, size) in enumerate(self.sizes.items()):
            self.shared[name] = 0.7 * torch.randn(size, latent_dim, generator=g)
            self.private[name] = 0.7 * torch.randn(size, self.private_dim[name], generator=g)
            self.bias[name] = torch.randn(size, generator=g)
            self.noise[name] = 0.8 + 0.2 * i
        self.modalities = [self._modality(name, spread) for name in self.sizes]

    def _modality(self, name: str, spread: float) -> Modality:
        both = torch.cat([self.shared[name], self.private[name]], 1)
        bias, noise, dim = self.bias[name], self.noise[name], self.latent_dim
        kept = itertools.cycle([slice(0, dim), slice(dim, None)])  # shared, then private

        def encoder(_: int) -> nn.Module:
            return Rows(LinearEncoder(both, bias, noise, spread), next(kept))

        return Modality(
            name,
            likelihoods.Normal(scale=noise),
            encoder=encoder,
            decoder=lambda _: LinearDecoder(both, bias),
        )

    def system(self, shared: Any, objective: Any = None, **options: Any) -> System:
        """With a guide of u (a class or partial, given modalities and size), and private ones."""
        guide = guides.SharedPrivate(shared(self.modalities, self.latent_dim), self.private_dim)
        model = models.SharedPrivate(self.modalities, self.latent_dim, self.private_dim)
        return System(model, guide, objective or objectives.IWAE(**options))

    def sample(self, num_rows: int, seed: int = 1) -> Observations:
        """Complete rows drawn from the model."""
        g = torch.Generator().manual_seed(seed)
        u = torch.randn(num_rows, self.latent_dim, generator=g)
        values = {}
        for name, weight in self.private.items():
            w = torch.randn(num_rows, weight.shape[1], generator=g)
            noise = self.noise[name] * torch.randn(num_rows, len(weight), generator=g)
            values[name] = u @ self.shared[name].T + w @ weight.T + self.bias[name] + noise
        return Observations(values)

    def covariance(self, held: Sequence[str]) -> Tensor:
        shared = torch.cat([self.shared[n] for n in held])
        own = [
            self.private[n] @ self.private[n].T + self.noise[n] ** 2 * torch.eye(self.sizes[n])
            for n in held
        ]
        return shared @ shared.T + torch.block_diag(*own)


class Rows(nn.Module):
    """Some coordinates of an encoder's latent."""

    def __init__(self, encoder: nn.Module, kept: slice) -> None:
        super().__init__()
        self.encoder, self.kept = encoder, kept

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        loc, scale = self.encoder(x)
        return loc[:, self.kept], scale[:, self.kept]
