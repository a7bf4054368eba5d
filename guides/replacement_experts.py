"""Experts that stand in for what is missing, SVAE's joint encoder.

    q(z | x_S)  proportional to  prod over m in S of q_m(z | x_m)
                                 * prod over k not in S of q_k*(z | x_s),   s in S

An expert q_k*(z | x_s) reads x_s in place of the missing x_k, so n modalities have n^2 encoders.
Where several modalities are there and one is missing, each of them could supply the stand-ins. A
term says which one does by ``via``; otherwise a row draws the supplier at random, with equal
probabilities.

Source: Kutuzova, Krause, McCloskey, Nielsen & Igel 2021, "Multimodal variational autoencoders for
semi-supervised learning: in defense of product-of-experts", eq. 3 to 5 and D.32 to D.37.
"""

from collections.abc import Sequence
from typing import cast

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.host_masks import unread
from ppl_mm.batch.observations import Observations, UnderTerms
from ppl_mm.batch.unread import counting, needed
from ppl_mm.distributions import RandomMixture, product_of_experts
from ppl_mm.distributions.prior import PriorLike
from ppl_mm.guides.experts import Experts
from ppl_mm.modality import Modality
from ppl_mm.programs.networks import encoder_of

__all__ = ["ReplacementExperts"]

Expert = tuple[Tensor, Tensor, Tensor]
"""loc and scale, (B, Z), and the rows in which the expert takes part, (B,) or (S, B)."""


@typed
class ReplacementExperts(Experts):
    """SVAE's posterior: the experts of what a row holds, and stand-ins for the rest.

    Args:
        modalities: The modalities. Each has an encoder for its expert, and one for every other
            modality, which reads it.
        latent_dim: Z, the size of the latent.
        prior_expert: Whether p(z) is a factor too. The paper's equations have none; its released
            experiments had one.
        prior: p(z), a Normal; it is the posterior of a row with nothing to condition on.

    Example:
        >>> from functools import partial
        >>> from ppl_mm import Modality, likelihoods, networks
        >>> mlp = dict(
        ...     encoder=partial(networks.MLPEncoder, event_shape=(4,)),
        ...     decoder=partial(networks.MLPDecoder, event_shape=(4,)),
        ... )
        >>> pair = [Modality(name, likelihoods.Normal(scale=1.0), **mlp) for name in "ab"]
        >>> guide = ReplacementExperts(pair, latent_dim=2)
        >>> obs = Observations({"a": torch.randn(3, 4)})
        >>> guide.posterior(obs).mean.shape  # q_a(z | x_a) q_b*(z | x_a)
        torch.Size([3, 2])
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        prior_expert: bool = False,
        prior: PriorLike = None,
    ) -> None:
        super().__init__(modalities, latent_dim, prior)
        self.prior_expert = prior_expert
        self.stand_ins = nn.ModuleDict(
            {
                m.name: nn.ModuleDict(
                    {k: encoder_of(m, latent_dim) for k in self.names if k != m.name}
                )
                for m in self.modalities
            }
        )

    def posterior(self, obs: Observations) -> dist.TorchDistribution:
        """q(z | x_source): a Normal, or a mixture of suppliers where there are several."""
        self.check_names(obs)
        held = obs.asked(self.names)  # (M, *shape), the last dim 1 for equal rows
        counts = obs.sources(self.names).any(0)
        source = dict(zip(self.names, held, strict=True))
        count = held.sum(0)
        chosen = self._suppliers(obs, held, count)
        supplied = chosen.any(0)
        several = (count > 1) & (count < len(self.names)) & ~supplied
        if not unread(counts):
            several = several & counts.any(-1, keepdim=True)
        if len(self.names) < 3 or not bool(several.any()):
            return self._product(obs, source, torch.where(supplied, chosen, held), counts)
        views, weights = [], []
        for i in range(len(self.names)):
            mine = torch.zeros_like(held)
            mine[i] = held[i]
            views.append(self._product(obs, source, torch.where(several, mine, chosen), counts))
            weights.append(torch.where(several, held[i], i == 0))
        weight = torch.where(torch.stack(weights), 0.0, -torch.inf).log_softmax(0)
        return RandomMixture(views, weight)

    def _suppliers(self, obs: Observations, held: Tensor, count: Tensor) -> Tensor:
        """(M, *shape): who supplies the stand-ins, where a term says it or only one could."""
        single = held & (count == 1)
        if not (isinstance(obs, UnderTerms) and obs.via):
            return single
        via = [obs.via[n] if n in obs.names else torch.zeros_like(held[0]) for n in self.names]
        return single | (held & torch.stack([v.expand(held.shape[1:]) for v in via]))

    def _product(
        self, obs: Observations, source: dict[str, Tensor], supplier: Tensor, counts: Tensor
    ) -> dist.Independent:
        """The product of the experts of what is there and of the supplier's stand-ins."""
        experts: list[Expert] = []
        for i, name in enumerate(self.names):
            own = obs.encoded(name, self.encoders[name], self.latent_dim)
            if own is None:
                continue
            experts.append((own[0], own[1], source[name]))
            stand_ins = cast(nn.ModuleDict, self.stand_ins[name])
            for missing, encoder in stand_ins.items():
                stands = supplier[i] & source[name] & ~source[missing]
                needs = needed(stands, counts)
                if needs is not None:
                    with counting(needs):
                        stand_in = obs.encoded(name, encoder, self.latent_dim)
                    assert stand_in is not None  # as own is
                    experts.append((*stand_in[:2], stands))
        if not experts:
            return self.prior().expand(obs.shape)
        loc, scale, mask = (torch.stack(part) for part in zip(*experts, strict=True))
        return product_of_experts(
            loc, scale, mask, (self.prior.loc, self.prior.scale), self.prior_expert
        )
