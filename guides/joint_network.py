"""A joint network for each subset of the modalities that is asked for.

    q(z | x_S) = Normal( loc_S(x_S), scale_S(x_S) ),   S the full set, or any others

Each network has a trunk of its own for every modality of S, whose features are joined by a dense
layer and a linear head; for a single modality it is that modality's encoder. A row whose source has
no network gets the product of its single experts.

Sources: Suzuki, Nakayama & Matsuo 2016, arXiv:1611.01891 (JMVAE); Vedantam et al. 2018,
arXiv:1705.10762 (TELBO); Wu & Goodman 2019, arXiv:1912.05075 (VAEVAE).
"""

from collections.abc import Iterable, Sequence
from typing import Literal, cast

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.subsets import check_all_subsets, non_empty_subsets
from ppl_mm.batch.unread import counting, every, needed, some
from ppl_mm.distributions import product_of_experts
from ppl_mm.distributions.prior import PriorLike, normal_prior
from ppl_mm.guides.joint_encoder import joint_encoder
from ppl_mm.modality import Modality
from ppl_mm.networks.joint import JointEncoder
from ppl_mm.networks.layers import Activation
from ppl_mm.networks.scales import ScaleMap
from ppl_mm.programs.networks import check_encoder, check_trunk, encoder_of
from ppl_mm.programs.program import Program

__all__ = ["JointNetwork"]

Subsets = Literal["full", "all"] | Iterable[Sequence[str]]


@typed
class JointNetwork(Program):
    """Joint networks for some subsets, encoders for single modalities.

    Args:
        modalities: The modalities, each with an encoder and a trunk for every network. A trunk is
            ``features()`` of the modality, a module with an attribute ``out_features``; without
            it, an encoder, whose loc and log scale are the features.
        latent_dim: Z, the size of the latent.
        subsets: Which subsets of two modalities and more have a network: ``"full"``, ``"all"``,
            or a list of tuples of names. A row whose source has none gets the product of its
            single experts, without the prior.
        hidden: The width of the layer that joins the trunks, and the number of features of a trunk
            made of an encoder. With None there is no such layer, and such a trunk has 2 Z.
        activation: ``"relu"``, ``"silu"`` (Swish) or ``"elu"``, after that layer.
        scale: The map from the network's output to a positive scale, see
            :func:`ppl_mm.networks.location_scale`.
        prior: p(z), a Normal; it is the posterior of a row with nothing to condition on.

    Raises:
        ValueError: For unknown subsets or modalities, ``hidden`` below 1, or ``"all"`` subsets of
            more than eight modalities.
        TypeError: For a trunk without ``out_features``, or a prior that is no diagonal Normal.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from ppl_mm import Modality, Observations, likelihoods, networks
        >>> mlp = dict(
        ...     encoder=partial(networks.MLPEncoder, event_shape=(4,)),
        ...     decoder=partial(networks.MLPDecoder, event_shape=(4,)),
        ... )
        >>> a, b = (Modality(name, likelihoods.Normal(scale=1.0), **mlp) for name in "ab")
        >>> guide = JointNetwork([a, b], 2)
        >>> obs = Observations({"a": torch.randn(3, 4), "b": torch.randn(3, 4)})
        >>> guide.posterior(obs).mean.shape, guide.posterior(obs.only("a")).mean.shape
        (torch.Size([3, 2]), torch.Size([3, 2]))
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        subsets: Subsets = "full",
        hidden: int | None = 512,
        prior: PriorLike = None,
        *,
        activation: Activation = "relu",
        scale: ScaleMap = "exp",
    ) -> None:
        super().__init__(modalities, latent_dim)
        self.prior = normal_prior(type(self).__name__, prior, latent_dim)
        self.subsets = _chosen(subsets, self.names)
        declared = {m.name: m for m in self.modalities}
        self.joint_networks = nn.ModuleDict(
            {
                _key(s): joint_encoder(
                    [declared[n] for n in s], latent_dim, hidden, activation, scale
                )
                for s in self.subsets
            }
        )
        self.encoders = nn.ModuleDict({m.name: encoder_of(m, latent_dim) for m in self.modalities})

    def forward(self, obs: Observations) -> None:
        """Sample ``z`` from the posterior of every row."""
        with obs.plates():
            pyro.sample("z", self.posterior(obs))

    def check(self, obs: Observations) -> None:
        """Raise unless encoders make proper experts, and trunks features, of the values."""
        self.check_names(obs)
        for subset in self.subsets:
            for name, trunk in self._network(subset).trunks.items():
                check_trunk(name, trunk, obs)
        for name, encoder in self.encoders.items():
            check_encoder(name, encoder, self.latent_dim, obs)

    def posterior(self, obs: Observations) -> dist.TorchDistribution:
        """q(z | x_source) of every row: batch shape (B,) or (S, B), event shape (Z,)."""
        self.check_names(obs)
        source = obs.asked(self.names)  # (M, *shape), the last dim 1 for equal rows
        counts = obs.sources(self.names).any(0)
        there = [subset for subset in self.subsets if set(subset) <= set(obs.names)]
        exactly = {subset: self._exactly(obs, source, subset) for subset in there}
        for subset, rows in exactly.items():
            if every(rows) and some(counts):  # the usual case: nothing to put together
                with counting(counts):
                    own = obs.encoded_together(subset, self._network(subset), self.latent_dim)
                return dist.Normal(*(x.expand(*obs.shape, -1) for x in own)).to_event(1)
        rest = ~torch.stack([torch.zeros_like(source[0]), *exactly.values()]).any(0)
        loc, scale = self._without_networks(obs, source, rest, counts)
        for subset, rows in exactly.items():
            needs = needed(rows, counts)
            if needs is not None:
                with counting(needs):
                    own = obs.encoded_together(subset, self._network(subset), self.latent_dim)
                loc = torch.where(rows[..., None], own[0], loc)
                scale = torch.where(rows[..., None], own[1], scale)
        return dist.Normal(loc, scale).to_event(1)

    def _network(self, subset: tuple[str, ...]) -> JointEncoder:
        return cast(JointEncoder, self.joint_networks[_key(subset)])

    def _exactly(self, obs: Observations, source: Tensor, subset: tuple[str, ...]) -> Tensor:
        """Rows (or terms and rows) whose source is this subset and no more."""
        members = obs.as_tensor([n in subset for n in self.names])
        return (source == members.view(-1, *[1] * (source.dim() - 1))).all(0)

    def _without_networks(
        self, obs: Observations, source: Tensor, rest: Tensor, counts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """loc and scale of each row from single experts; those of the prior without a source.

        An encoder runs only if one of the rows ``rest`` that count needs it.
        """
        prior = (self.prior.loc, self.prior.scale)
        experts = []
        for own, (name, encoder) in zip(source, self.encoders.items(), strict=True):
            needs = needed(own & rest, counts) if name in obs.names else None
            if needs is not None:
                with counting(needs):
                    encoded = obs.encoded(name, encoder, self.latent_dim)
                assert encoded is not None  # as the data have it
                experts.append((*encoded[:2], own))
        if not experts:
            return prior[0].expand(*obs.shape, -1), prior[1].expand(*obs.shape, -1)
        loc, scale, mask = (torch.stack(part) for part in zip(*experts, strict=True))
        product = product_of_experts(loc, scale, mask, prior, False).base_dist
        return product.loc.expand(*obs.shape, -1), product.scale.expand(*obs.shape, -1)


def _chosen(subsets: Subsets, names: Sequence[str]) -> list[tuple[str, ...]]:
    """The subsets of two and more that get a network, whatever the order of declaration."""
    if isinstance(subsets, str):
        if subsets == "all":
            check_all_subsets(
                names,
                "a joint network for each subset",
                "Name those that get one: guides.JointNetwork(..., subsets=[...]); or take jmvae, "
                "with one, or mvae, without.",
            )
        every = non_empty_subsets(sorted(names)) if subsets == "all" else [tuple(sorted(names))]
        return [subset for subset in every if len(subset) > 1]
    given = list(subsets)
    for subset in given:
        if len(set(subset)) < 2:
            raise ValueError(
                f"subsets: expected two modalities or more in each, got {tuple(subset)}; single "
                "modalities have their encoders."
            )
    chosen = {tuple(sorted(set(subset))) for subset in given}
    for name in sorted({name for subset in chosen for name in subset}):
        if name not in names:
            raise ValueError(unknown_name("modality in subsets", name, names))
    return sorted(chosen, key=lambda subset: (len(subset), subset))


def _key(subset: tuple[str, ...]) -> str:
    return "+".join(subset)
