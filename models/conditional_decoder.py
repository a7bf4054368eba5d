"""One latent ``z`` with decoders that also see some modalities.

    z   ~ p(z), Normal(0, I) unless told otherwise      z: (Z,)
    x_t ~ p_t(x_t | z, x_given)                         t = the other modalities, the targets

The given modalities are conditioned on and have no density. The generative side of CVAE (Sohn, Lee
& Yan 2015; the baseline of Wu & Goodman 2018, arXiv:1802.05335).
Sites: ``z``, and one observed site for each target. Plate: ``data`` at dim -1.
A row that does not hold a target, or in which the target is not scored, adds exactly 0. So does a
row that lacks a given modality, as the model then says nothing.
"""

from collections.abc import Sequence

import pyro
from torch import nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.distributions import Decoded
from ppl_mm.distributions.prior import PriorLike, as_prior
from ppl_mm.modality import Modality
from ppl_mm.programs.conditioning import Context, joined, undrawable
from ppl_mm.programs.networks import check_decoder, decoder_of
from ppl_mm.programs.program import Program

__all__ = ["ConditionalDecoder"]


@typed
class ConditionalDecoder(Program):
    """p(z) prod over targets t of p_t(x_t | z, x_given), as a Pyro program of Observations.

    Args:
        modalities: The targets and the given modalities. A target's decoder takes Z + F features:
            z first, then those of the given modalities in the order of their names.
        latent_dim: Z, the size of the latent.
        given: The names of the modalities that are conditioned on. The model has a trunk of its
            own for each: ``features()`` of the modality, or by default its flattened values,
            with classes and symbols one-hot.
        prior: p(z), see :class:`ppl_mm.models.SharedLatent`. It does not depend on x_given.

    A target that the observations lack altogether is drawn, and then every row must hold what is
    given. Where Pyro's validation is off and the likelihood can draw NaN, the other rows get NaN.

    Raises:
        ValueError: For nothing given, unknown names, or no target left; when run, for a draw of a
            row that lacks what is given.
        TypeError: For a given modality whose features must be declared.

    Example:
        >>> from functools import partial
        >>> from ppl_mm import Modality, likelihoods, networks
        >>> image, label = (
        ...     Modality(
        ...         name, likelihood,
        ...         encoder=partial(networks.MLPEncoder, event_shape=(4,)),
        ...         decoder=partial(networks.MLPDecoder, event_shape=(4,)),
        ...     )
        ...     for name, likelihood in (
        ...         ("image", likelihoods.Bernoulli()), ("label", likelihoods.Categorical())
        ...     )
        ... )
        >>> model = ConditionalDecoder([image, label], latent_dim=2, given=("label",))
        >>> model.decoders["image"].in_features
        6
        >>> from pyro.infer import Predictive
        >>> labels = Observations({"label": torch.tensor([0, 3, 1])})
        >>> Predictive(model, num_samples=5)(labels)["image"].shape
        torch.Size([5, 3, 4])
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        given: Sequence[str],
        prior: PriorLike = None,
    ) -> None:
        super().__init__(modalities, latent_dim)
        self.prior = as_prior(prior, latent_dim)
        self.context = Context(self.modalities, latent_dim, given)
        self.conditions_on = self.context.names
        targets = [m for m in self.modalities if m.name not in self.conditions_on]
        self.in_features = latent_dim + self.context.out_features
        self.likelihoods = {m.name: m.likelihood for m in targets}
        self.decoders = nn.ModuleDict({m.name: decoder_of(m, self.in_features) for m in targets})

    def forward(self, obs: Observations) -> None:
        """Run the generative story; the plates are those of ``obs``."""
        self.check_names(obs)
        context, held = self.context(obs)  # (B, F), (B,)
        with obs.plates():
            z = joined(pyro.sample("z", self.prior()), context)  # (K?, S?, B, Z + F)
            for name, decoder in self.decoders.items():
                x, scored = obs.filled(name)  # (B, *D_m), (S?, B)
                where, event_shape = (True, None) if x is None else (scored & held, x.shape[1:])
                p = Decoded(
                    self.likelihoods[name],
                    decoder,
                    z,
                    where,
                    event_shape,
                    name=name,
                    undrawable=undrawable(name, obs, self.conditions_on),
                    covariates=obs.covariates,
                )
                pyro.sample(name, p, obs=x)

    def check(self, obs: Observations) -> None:
        """Raise unless the observed values fit the decoders, the likelihoods and the features."""
        self.check_names(obs)
        self.context.check(obs)
        for name, decoder in self.decoders.items():
            check_decoder(name, self.likelihoods[name], decoder, self.in_features, obs)
