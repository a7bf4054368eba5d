"""One network of all the modalities, which sees zeros for what a row lacks.

    q(z | x_S) = Normal( loc(x'), scale(x') ),   x'_m = x_m for m in S, 0 otherwise

A row with nothing to look at has the prior.

Source: Suzuki, Nakayama & Matsuo 2016, arXiv:1611.01891, section 3.2 (JMVAE-zero).
"""

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.host_masks import unread
from ppl_mm.batch.network_contracts import reads_covariates, width_of
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.rows import indices, put_rows, run_network
from ppl_mm.batch.unread import counting, runs, some
from ppl_mm.distributions.prior import PriorLike, normal_prior
from ppl_mm.guides.joint_encoder import joint_encoder
from ppl_mm.modality import Modality
from ppl_mm.networks.layers import Activation
from ppl_mm.networks.scales import ScaleMap
from ppl_mm.programs.features import example
from ppl_mm.programs.networks import check_trunk
from ppl_mm.programs.program import Program

__all__ = ["ZeroFilledNetwork"]


@typed
class ZeroFilledNetwork(Program):
    """A joint network for every subset, which gets zeros for modalities outside the source.

    A missing value is replaced by a value of zeros. In modalities whose draws are integers
    (classes, tokens; one-hot rows of classes too) 0 is a symbol like any other, and the *features*
    are zeros.

    Args:
        modalities: The modalities, each with a trunk, see :class:`ppl_mm.guides.JointNetwork`.
            Their decoders tell the shape of a value.
        latent_dim: Z, the size of the latent.
        hidden: The width of the layer that joins the trunks; None for no such layer.
        prior: p(z), a Normal; it is the posterior of a row with nothing to condition on.
        activation: ``"relu"``, ``"silu"`` (Swish) or ``"elu"``, after that layer.
        scale: The map from the network's output to a positive scale.

    Raises:
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
        >>> guide = ZeroFilledNetwork([a, b], 2).eval()
        >>> x, zeros = torch.randn(3, 4), torch.zeros(3, 4)
        >>> one = guide.posterior(Observations({"a": x}))
        >>> other = guide.posterior(Observations({"a": x, "b": zeros}))
        >>> torch.allclose(one.mean, other.mean)
        True
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        hidden: int | None = 512,
        prior: PriorLike = None,
        *,
        activation: Activation = "relu",
        scale: ScaleMap = "exp",
    ) -> None:
        super().__init__(modalities, latent_dim)
        self.prior = normal_prior(type(self).__name__, prior, latent_dim)
        ordered = sorted(self.modalities, key=lambda m: m.name)
        self.network = joint_encoder(ordered, latent_dim, hidden, activation, scale)
        for m in ordered:
            self.register_buffer(f"zero_{m.name}", _zero(m, latent_dim), persistent=False)

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
        looks = obs.false_mask()
        for source in obs.source.values():
            looks = looks | source
        rows, size = None if unread(looks) else indices(looks), looks.numel()
        loc, scale = self.prior.loc.expand(size, -1), self.prior.scale.expand(size, -1)
        if rows is None or len(rows):
            trunks = self.network.trunks.items()
            with counting(looks):
                features = torch.cat([self._features(n, t, obs, looks) for n, t in trunks], -1)
            features = features.reshape(size, -1)
            seen = features if rows is None else features.index_select(0, rows)
            runs([m for n, m in self.network.named_children() if n != "trunks"], looks)
            own = self.network.join(seen)
            found = looks.reshape(-1, 1)
            loc = torch.where(found, put_rows(rows, own[0], size, 0.0, dim=0), loc)
            scale = torch.where(found, put_rows(rows, own[1], size, 1.0, dim=0), scale)
        shape = (*obs.shape, self.latent_dim)
        return dist.Normal(loc.reshape(shape), scale.reshape(shape)).to_event(1)

    def _features(self, name: str, trunk: nn.Module, obs: Observations, looks: Tensor) -> Tensor:
        """One trunk's features, (*obs.shape, F); outside the source those of zeros."""
        zero = self._buffers[f"zero_{name}"]
        source = obs.source.get(name, torch.zeros_like(looks))
        absent = looks.new_zeros(width_of(trunk), dtype=self.prior.loc.dtype)
        if zero is not None and some(looks & ~source):
            read = obs.covariates if reads_covariates(trunk) else {}
            zeros = zero.expand(len(obs) if read else 1, *zero.shape[1:])
            with counting(looks & ~source):
                absent = run_network(trunk, zeros, covariates=read)
        if name not in obs.names:
            return absent.expand(*obs.shape, -1)
        own = obs.features(name, trunk, obs.evidence[name])
        return torch.where(source[..., None], own, absent).expand(*obs.shape, -1)


def _zero(modality: Modality, latent_dim: int) -> Tensor | None:
    """A value of zeros, (1, *D_m); None where values are integers."""
    _, draw = example(modality, latent_dim)
    return torch.zeros_like(draw) if draw.is_floating_point() else None
