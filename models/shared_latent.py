"""One latent ``z`` generates every modality.

    z   ~ p(z), Normal(0, I) unless told otherwise      z: (Z,)
    x_m ~ p_m(x_m | z)                                  m = 1..M, independent given z

The generative side of VAE, MVAE (arXiv:1802.05335), JMVAE, SVAE, MMVAE (arXiv:1911.03393).
Sites: ``z``, and one observed site for each modality, named after it. Plate: ``data`` at dim -1.
A row that does not hold a modality, or in which it is not scored, adds exactly 0.
"""

from collections.abc import Sequence

import pyro
from torch import nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.distributions import Decoded
from ppl_mm.distributions.prior import PriorLike, as_prior
from ppl_mm.modality import Modality
from ppl_mm.programs.networks import check_decoder, decoder_of
from ppl_mm.programs.program import Program

__all__ = ["SharedLatent"]


@typed
class SharedLatent(Program):
    """p(z) prod over m of p_m(x_m | z), as a Pyro program of :class:`Observations`.

    Args:
        modalities: The modalities that the model generates.
        latent_dim: Z, the size of the latent.
        prior: p(z): None for Normal(0, I), "laplace", a fixed Normal or Laplace of shape (Z,), or
            a module whose call returns a distribution with event shape (Z,) (learned,
            pseudo-inputs, a flow).

    A modality that the observations lack altogether is drawn, as any Pyro site without ``obs``;
    one that they hold is observed, in the rows that are scored.

    Raises:
        ValueError: For modalities of the same name, a latent size below 1, or (when run) a
            batch with undeclared modalities.

    Example:
        >>> from functools import partial
        >>> from ppl_mm import Modality, likelihoods, networks
        >>> image = Modality(
        ...     "image", likelihoods.Bernoulli(),
        ...     encoder=partial(networks.MLPEncoder, event_shape=(4,)),
        ...     decoder=partial(networks.MLPDecoder, event_shape=(4,)),
        ... )
        >>> model = SharedLatent([image], latent_dim=2)
        >>> from pyro.infer import Predictive
        >>> draws = Predictive(model, num_samples=5)(Observations.blank(3))
        >>> draws["image"].shape
        torch.Size([5, 3, 4])
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        prior: PriorLike = None,
    ) -> None:
        super().__init__(modalities, latent_dim)
        self.prior = as_prior(prior, latent_dim)
        self.likelihoods = {m.name: m.likelihood for m in self.modalities}
        self.decoders = nn.ModuleDict({m.name: decoder_of(m, latent_dim) for m in self.modalities})

    def forward(self, obs: Observations) -> None:
        """Run the generative story; the plates are those of ``obs``."""
        self.check_names(obs)
        with obs.plates():
            z = pyro.sample("z", self.prior())  # (K?, S?, B, Z)
            for name, decoder in self.decoders.items():
                x, scored = obs.filled(name)  # (B, *D_m), (S?, B)
                event_shape = None if x is None else x.shape[1:]
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
        """Raise unless every observed value fits its likelihood and decoder.

        It is called once, before training or evaluation; a run of the program does not repeat it.
        """
        self.check_names(obs)
        for name, decoder in self.decoders.items():
            check_decoder(name, self.likelihoods[name], decoder, self.latent_dim, obs)
