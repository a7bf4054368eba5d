"""A prior that is a network of some modalities.

    p(z | x_O)  =  Normal( loc(x_O), scale(x_O) )

Source: Mancisidor, Kampffmeyer, Aas & Jenssen 2023 (CMMD), doi:10.1016/j.neunet.2023.10.048.
"""

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.modality import Modality
from ppl_mm.networks.joint import JointEncoder
from ppl_mm.networks.layers import Activation
from ppl_mm.networks.scales import ScaleMap
from ppl_mm.programs.conditioning import check_given, check_seen, holds
from ppl_mm.programs.features import value_features

__all__ = ["ObservedPrior"]


@typed
class ObservedPrior(nn.Module):
    """p(z | x_O), a network of the observed modalities; shared by a model and its guide.

    Args:
        modalities: All declared modalities. An observed one has a trunk: ``features()`` of the
            modality, or by default its flattened values, with classes and symbols one-hot.
        latent_dim: Z, the size of the latent.
        observed: The names of O, which every row is expected to hold.
        hidden: The sizes of the layers that join the trunks. With none, the trunks' features go to
            the last layer.
        activation: ``"silu"`` (Swish), ``"relu"``, ``"elu"`` or ``"softplus"``, after these layers.
        dropout: The probability of dropout after each of these layers.
        scale: The map from the network's output to a positive scale, see
            :func:`ppl_mm.networks.location_scale`.

    A row that lacks an observed modality has Normal(0, I), and models score nothing in it.

    Raises:
        ValueError: For nothing observed, unknown names, or all modalities.
        TypeError: For a modality whose features must be declared.

    Example:
        >>> from ppl_mm import data
        >>> digits = data.load("digits")
        >>> prior = ObservedPrior(digits.modalities, 8, ("top",))
        >>> prior(digits.test[:5]).batch_shape, prior().event_shape
        (torch.Size([5]), torch.Size([8]))
    """

    zero: Tensor

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        observed: Sequence[str],
        hidden: Sequence[int] = (512, 512),
        *,
        activation: Activation = "silu",
        dropout: float = 0.0,
        scale: ScaleMap = "exp",
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.names = check_given([m.name for m in modalities], observed, "observed")
        declared = {m.name: m for m in modalities}
        self.likelihoods = {n: declared[n].likelihood for n in self.names}
        trunks = {n: value_features(declared[n], latent_dim) for n in self.names}
        self.network = JointEncoder(trunks, latent_dim, hidden, activation, scale, dropout)
        self.register_buffer("zero", torch.zeros(latent_dim), persistent=False)

    def forward(self, obs: Observations | None = None) -> dist.Independent:
        """p(z | x_O) of every row by what the data hold, batch shape (B,); Normal(0, I) for None.

        Under terms and strata the network runs once, whoever asks.
        """
        if obs is None or not set(self.names) <= set(obs.names):
            batch = () if obs is None else (len(obs),)
            zero = self.zero.expand(*batch, -1)
            return dist.Normal(zero, torch.ones_like(zero)).to_event(1)
        rows = holds(obs, self.names)
        loc, scale = obs.encoded_together(self.names, self.network, self.latent_dim, rows)
        return dist.Normal(loc, scale).to_event(1)

    def check(self, obs: Observations) -> None:
        """Raise unless the observed values lie in their support and have features."""
        for name, trunk in self.network.trunks.items():
            check_seen(name, self.likelihoods[name], trunk, obs)
