"""One network of all modalities and a label, for a model with a network as its prior.

    q(z | x_O, x_M', y) = Normal( loc, scale )    a joint network; features of zeros for what a row
                                                  lacks of M and for a label that it lacks
    q(z | x_O)          = p(z | x_O)              the model's own prior, for a row with O alone

A row that lacks an observed modality has Normal(0, I), see
:class:`ppl_mm.distributions.ObservedPrior`.

Source: Mancisidor, Kampffmeyer, Aas & Jenssen 2023 (CMMD), doi:10.1016/j.neunet.2023.10.048, whose
rows are complete, except in a first stage of training without labels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.host_masks import unread
from ppl_mm.batch.network_contracts import width_of
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.rows import indices, put_rows
from ppl_mm.batch.unread import counting, every, runs, some
from ppl_mm.distributions import ObservedPrior
from ppl_mm.modality import Modality
from ppl_mm.networks.joint import JointEncoder
from ppl_mm.networks.layers import Activation
from ppl_mm.networks.scales import ScaleMap
from ppl_mm.programs.conditioning import check_label
from ppl_mm.programs.features import value_features
from ppl_mm.programs.networks import check_trunk
from ppl_mm.programs.program import Program

__all__ = ["ConditionalPosterior"]


@typed
class ConditionalPosterior(Program):
    """The guide of :class:`ppl_mm.models.ConditionalPrior`.

    Args:
        modalities: The observed modalities, the others, and the label. Each has a trunk:
            ``features()`` of the modality, or by default its flattened values, with classes and
            symbols one-hot.
        latent_dim: Z, the size of the latent.
        prior: The model's prior, ``model.prior``.
        label: The name of y. Its features enter the network's first layer by columns of their own:
            with the label missing the network is, bit for bit, the one without them.
        hidden: The sizes of the layers that join the trunks.
        in_features: Name -> the number of features that the modality's decoder takes, such as
            ``model.in_features``. A decoder is made to learn the shape of a value; a modality
            that is not named here has Z.
        vectorised: Whether flattened values take the place of all ``features()`` here.
        activation: ``"silu"`` (Swish), ``"relu"``, ``"elu"`` or ``"softplus"``, after these layers.
        dropout: The probability of dropout after each of these layers.
        scale: The map from the network's output to a positive scale, see
            :func:`ppl_mm.networks.location_scale`.

    Raises:
        ValueError: For an unknown label, or one that is observed.
        TypeError: For a modality whose features must be declared.

    Example:
        >>> from ppl_mm import data, models
        >>> digits = data.load("digits")
        >>> model = models.ConditionalPrior(digits.modalities, 8, ("top",), "label")
        >>> guide = ConditionalPosterior(digits.modalities, 8, model.prior, "label")
        >>> rows = digits.test[:5].only("top")
        >>> torch.equal(guide.posterior(rows).mean, model.prior(rows).mean)
        True
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        prior: ObservedPrior,
        label: str | None = None,
        hidden: Sequence[int] = (512, 512),
        *,
        in_features: Mapping[str, int] | None = None,
        vectorised: bool = False,
        activation: Activation = "silu",
        dropout: float = 0.0,
        scale: ScaleMap = "exp",
    ) -> None:
        super().__init__(modalities, latent_dim)
        self.prior = prior
        self.label = check_label(label, self.names, prior.names)
        sizes = dict.fromkeys(self.names, latent_dim) | dict(in_features or {})
        seen = [replace(m, features=None) if vectorised else m for m in self.modalities]
        trunks = {
            m.name: value_features(m, sizes[m.name]) for m in sorted(seen, key=lambda m: m.name)
        }
        self.label_trunk = None if label is None else trunks.pop(label)
        late = 0 if self.label_trunk is None else width_of(self.label_trunk)
        self.network = JointEncoder(trunks, latent_dim, hidden, activation, scale, dropout, late)

    def forward(self, obs: Observations) -> None:
        """Sample ``z`` from the posterior of every row."""
        with obs.plates():
            pyro.sample("z", self.posterior(obs))

    def check(self, obs: Observations) -> None:
        """Raise unless every trunk makes features of the observed values."""
        self.check_names(obs)
        self.prior.check(obs)
        for name, trunk in self._trunks().items():
            check_trunk(name, trunk, obs)

    def posterior(self, obs: Observations) -> dist.TorchDistribution:
        """q(z | x_source) of every row: batch shape (B,) or (S, B), event shape (Z,)."""
        self.check_names(obs)
        never = obs.false_mask()
        source = {n: obs.source.get(n, never).expand(obs.shape) for n in self.names}
        sees = torch.stack([source[n] for n in self.prior.names]).all(0)
        rest = [source[n] for n in self.names if n not in self.prior.names]
        more = sees & torch.stack(rest).any(0)
        if every(more):
            return dist.Normal(*self._encode(obs, source, more)).to_event(1)
        alone = sees & ~more
        with counting(alone):
            prior = (self.prior(obs) if some(alone) else self.prior()).base_dist
        loc = torch.where(alone[..., None], prior.loc, 0.0)
        scale = torch.where(alone[..., None], prior.scale, 1.0)
        if some(more):
            own = self._encode(obs, source, more)
            loc = torch.where(more[..., None], own[0], loc)
            scale = torch.where(more[..., None], own[1], scale)
        return dist.Normal(loc, scale).to_event(1)

    def _encode(
        self, obs: Observations, source: dict[str, Tensor], more: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The network's (loc, scale), (*obs.shape, Z), valid in the rows ``more``."""
        rows, size = None if unread(more) else indices(more), more.numel()

        def features(name: str, trunk: nn.Module) -> Tensor:
            """The features of the rows ``more``; zeros outside the source."""
            if name not in obs.names:
                found = self.prior.zero.new_zeros(width_of(trunk)).expand(size, -1)
            else:
                own = obs.features(name, trunk, obs.evidence[name])
                whole = every(source[name])
                found = own if whole else torch.where(source[name][..., None], own, 0.0)
                found = found.expand(*obs.shape, -1).reshape(size, -1)
            return found if rows is None else found.index_select(0, rows)

        with counting(more):
            joint = torch.cat([features(n, t) for n, t in self.network.trunks.items()], -1)
            late = None
            if self.label is not None and self.label_trunk is not None and self.label in obs.names:
                late = features(self.label, self.label_trunk)
        runs([m for n, m in self.network.named_children() if n != "trunks"], more)
        loc, scale = self.network.join(joint, late)
        shape = (*obs.shape, self.latent_dim)
        return (
            put_rows(rows, loc, size, 0.0, dim=0).reshape(shape),
            put_rows(rows, scale, size, 1.0, dim=0).reshape(shape),
        )

    def _trunks(self) -> dict[str, nn.Module]:
        """Every modality's trunk."""
        found = dict(self.network.trunks.items())
        if self.label is not None and self.label_trunk is not None:
            found[self.label] = self.label_trunk
        return found
