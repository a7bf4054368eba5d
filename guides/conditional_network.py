"""One network of the targets and of what the model conditions on.

    q(z | x_targets, x_given) = Normal( loc(x), scale(x) )

A row that lacks any of them has the prior: z is independent of x_given, and there is no network for
fewer modalities.

Sources: Sohn, Lee & Yan 2015 (CVAE); Wu & Goodman 2018, arXiv:1802.05335, table 1.
"""

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.network_contracts import width_of
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.unread import some
from ppl_mm.distributions.prior import PriorLike, normal_prior
from ppl_mm.modality import Modality
from ppl_mm.networks.joint import JointEncoder
from ppl_mm.networks.layers import Activation
from ppl_mm.networks.scales import ScaleMap
from ppl_mm.programs.conditioning import check_given
from ppl_mm.programs.features import value_features
from ppl_mm.programs.networks import check_trunk
from ppl_mm.programs.program import Program

__all__ = ["ConditionalNetwork"]


@typed
class ConditionalNetwork(Program):
    """The guide of :class:`ppl_mm.models.ConditionalDecoder`.

    Args:
        modalities: The targets and the given modalities. Each has a trunk: ``features()`` of the
            modality, or by default its flattened values, with classes and symbols one-hot.
        latent_dim: Z, the size of the latent.
        given: The names of the modalities that the model conditions on.
        hidden: The sizes of the layers that join the trunks.
        prior: p(z), a Normal; it is the posterior of a row that lacks a modality.
        activation: ``"silu"`` (Swish), ``"relu"`` or ``"elu"``, after each of these layers.
        scale: The map from the network's output to a positive scale, see
            :func:`ppl_mm.networks.location_scale`.

    Raises:
        ValueError: For nothing given, unknown names, or no target left.
        TypeError: For a modality whose features must be declared, or another prior.

    Example:
        >>> from functools import partial
        >>> from ppl_mm import Modality, likelihoods
        >>> from ppl_mm.networks import presets
        >>> image = Modality(
        ...     "image", likelihoods.SoftBernoulli(),
        ...     encoder=presets.mnist_image_encoder, decoder=presets.mnist_image_decoder,
        ... )
        >>> label = Modality(
        ...     "label", likelihoods.Categorical(),
        ...     encoder=presets.label_encoder, decoder=presets.label_decoder,
        ... )
        >>> guide = ConditionalNetwork([image, label], 64, given=("label",))
        >>> sum(p.numel() for p in guide.parameters())
        735360
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        given: Sequence[str],
        hidden: Sequence[int] = (512, 512),
        prior: PriorLike = None,
        *,
        activation: Activation = "silu",
        scale: ScaleMap = "exp",
    ) -> None:
        super().__init__(modalities, latent_dim)
        self.prior = normal_prior(type(self).__name__, prior, latent_dim)
        given = check_given(self.names, given)
        declared = {m.name: m for m in self.modalities}
        trunks = {n: value_features(declared[n], latent_dim) for n in given}
        seen = latent_dim + sum(map(width_of, trunks.values()))
        trunks |= {n: value_features(m, seen) for n, m in declared.items() if n not in given}
        ordered = {n: trunks[n] for n in sorted(trunks)}
        self.network = JointEncoder(ordered, latent_dim, hidden, activation, scale)

    def forward(self, obs: Observations) -> None:
        """Sample ``z`` from the posterior of every row."""
        with obs.plates():
            pyro.sample("z", self.posterior(obs))

    def check(self, obs: Observations) -> None:
        """Raise unless every trunk makes features of the observed values."""
        self.check_names(obs)
        for name, trunk in self.network.trunks.items():
            check_trunk(name, trunk, obs)

    def posterior(self, obs: Observations) -> dist.TorchDistribution:
        """q(z | x_source) of every row: batch shape (B,) or (S, B), event shape (Z,)."""
        self.check_names(obs)
        loc, scale = self.prior.loc.expand(*obs.shape, -1), self.prior.scale.expand(*obs.shape, -1)
        if set(self.names) <= set(obs.names):
            asked = torch.stack([obs.source[n].expand(obs.shape) for n in self.names]).all(0)
            if some(asked):
                names = tuple(self.network.trunks)
                own = obs.encoded_together(names, self.network, self.latent_dim)
                loc = torch.where(asked[..., None], own[0], loc)
                scale = torch.where(asked[..., None], own[1], scale)
        return dist.Normal(loc, scale).to_event(1)
