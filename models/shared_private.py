"""A shared latent ``u``, and a private latent ``w_m`` for each modality.

    u   ~ p(u)                         u: (U,), Normal(0, I) unless told otherwise
    w_m ~ p(w_m)                       w_m: (W_m,), m = 1..M
    x_m ~ p_m(x_m | u, w_m)            independent given u and w

The generative side of MMVAE+ (Palumbo et al. 2023; its text has one w for all modalities, its code
and this model one each), DMVAE (Lee & Pavlovic 2021) and mmJSD (Sutter et al. 2020).
Sites: ``u``, ``w_<modality>``, and one observed site for each modality. Plate: ``data`` at dim -1.
A row that does not hold a modality, or in which it is not scored, adds exactly 0.
"""

from collections.abc import Mapping, Sequence

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.distributions import Decoded
from ppl_mm.distributions.prior import PriorLike, as_prior, family_named
from ppl_mm.modality import Modality, private_sizes
from ppl_mm.programs.contracts import Family
from ppl_mm.programs.networks import check_decoder, decoder_of
from ppl_mm.programs.program import Program

__all__ = ["SharedPrivate"]


@typed
class SharedPrivate(Program):
    """p(u) prod over m of p(w_m) p_m(x_m | u, w_m), as a Pyro program of :class:`Observations`.

    Args:
        modalities: The modalities that the model generates. Each decoder takes U + W_m features,
            u first.
        latent_dim: U, the size of the shared latent.
        private_dim: The sizes W_m: one number for all modalities, or one for each by name.
        prior: p(u): None, "normal", "laplace", a fixed one, or a module whose call returns a
            distribution with event shape (U,).
        private_prior: p(w_m): "normal", "laplace", or a fixed one; None for the family of p(u),
            standard.

    Raises:
        ValueError: For modalities of the same name, sizes below 1 or of unknown modalities, or
            (when run) a batch with undeclared modalities.

    Example:
        >>> from functools import partial
        >>> from ppl_mm import Modality, likelihoods, networks
        >>> image = Modality(
        ...     "image", likelihoods.Bernoulli(),
        ...     encoder=partial(networks.MLPEncoder, event_shape=(4,)),
        ...     decoder=partial(networks.MLPDecoder, event_shape=(4,)),
        ... )
        >>> model = SharedPrivate([image], latent_dim=2, private_dim=3)
        >>> from pyro.infer import Predictive
        >>> draws = Predictive(model, num_samples=5)(Observations.blank(3))
        >>> draws["w_image"].shape, draws["image"].shape
        (torch.Size([5, 3, 3]), torch.Size([5, 3, 4]))
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        private_dim: int | Mapping[str, int],
        prior: PriorLike = None,
        private_prior: Family | dist.Distribution | None = None,
    ) -> None:
        super().__init__(modalities, latent_dim)
        self.private_dim = private_sizes(private_dim, self.names)
        self.prior = as_prior(prior, latent_dim)
        if private_prior is None:
            private_prior = family_named(self.prior) or "normal"
        self.private_priors = nn.ModuleDict(
            {n: as_prior(private_prior, size) for n, size in self.private_dim.items()}
        )
        self.likelihoods = {m.name: m.likelihood for m in self.modalities}
        self.decoders = nn.ModuleDict(
            {m.name: decoder_of(m, self._in_features(m.name)) for m in self.modalities}
        )

    def forward(self, obs: Observations) -> None:
        """Run the generative story; the plates are those of ``obs``."""
        self.check_names(obs)
        with obs.plates():
            u = pyro.sample("u", self.prior())  # (K?, S?, B, U)
            for name, decoder in self.decoders.items():
                w = pyro.sample(f"w_{name}", self.private_priors[name]())  # (K?, S?, B, W_m)
                x, scored = obs.filled(name)  # (B, *D_m), (S?, B)
                event_shape = None if x is None else x.shape[1:]
                z = _joined(u, w)
                p = Decoded(
                    self.likelihoods[name],
                    decoder,
                    z,
                    scored,
                    event_shape,
                    name=name,
                    covariates=obs.covariates,
                )
                pyro.sample(name, p, obs=x)

    def check(self, obs: Observations) -> None:
        """Raise unless every observed value fits its likelihood and decoder."""
        self.check_names(obs)
        for name, decoder in self.decoders.items():
            check_decoder(name, self.likelihoods[name], decoder, self._in_features(name), obs)

    def _in_features(self, name: str) -> int:
        return self.latent_dim + self.private_dim[name]


def _joined(u: Float[Tensor, "... U"], w: Float[Tensor, "... W"]) -> Float[Tensor, "... UW"]:
    """(u, w) side by side, under whichever plates each of them was drawn."""
    batch = torch.broadcast_shapes(u.shape[:-1], w.shape[:-1])
    return torch.cat([u.expand(*batch, -1), w.expand(*batch, -1)], -1)
