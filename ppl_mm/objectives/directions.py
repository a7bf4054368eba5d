"""The directions of mutual supervision: one modality explained, the others its prior.

    direction i:   z ~ p_i(z | x_O),   x_i ~ p(x_i | z),      i not in O

    mixture   p_i(z | x_O)  =  1/(R-1) [ sum over j in O of e_j(z | x_j)
                                         + sum over the absent j other than i of p_j(z) ]
    product   p_i(z | x_O)  proportional to  prod over j in O of e_j(z | x_j)

with the encoders e_j and the pseudo-input mixtures p_j of a
:class:`ppl_mm.distributions.PseudoInputPrior`. A product of nothing is the mixture. With two
modalities the two kinds are the same.

Source: Joy et al. 2022, arXiv:2106.12570, sections 3 and 4; for more than two modalities, where
the paper has a sketch (appendix E), what is absent is integrated out of the mixture.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from torch import Tensor, nn

from ppl_mm.batch.observations import Observations
from ppl_mm.batch.unread import every
from ppl_mm.distributions import (
    PseudoInputPrior,
    RandomMixture,
    RowwiseReference,
    product_of_experts,
)
from ppl_mm.distributions.prior import diagonal
from ppl_mm.objectives.options import DirectionPriorKind
from ppl_mm.programs.contracts import Model

__all__ = ["Direction", "DirectionPrior", "HasPseudoInputs"]


@runtime_checkable
class HasPseudoInputs(Model, Protocol):
    """A model whose prior is a :class:`ppl_mm.distributions.PseudoInputPrior`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The model's modalities."""
        ...

    @property
    def prior(self) -> PseudoInputPrior:
        """p(z)."""
        ...


class DirectionPrior(Messenger):
    """Give a model's ``z`` the conditional prior of each row's direction.

    Args:
        prior: The model's own prior.
        obs: The rows; the prior looks at their evidence.
        own: Modality -> the rows (and strata) of its own direction, (B,) or (S, B). There the
            prior does not look at this modality, even if it is evidence.
        kind: ``"mixture"`` or ``"product"``.
    """

    def __init__(
        self,
        prior: PseudoInputPrior,
        obs: Observations,
        own: Mapping[str, Bool[Tensor, "*S B"]],
        kind: DirectionPriorKind,
    ) -> None:
        super().__init__()
        self.prior, self.obs, self.own, self.kind = prior, obs, own, kind

    def _pyro_sample(self, msg: Message) -> None:
        if msg["name"] == "z" and not msg["is_observed"]:
            pseudo = dict(zip(self.prior.names, msg["fn"].components, strict=True))
            msg["fn"] = self._conditional(pseudo)

    def _conditional(self, pseudo: dict[str, TorchDistribution]) -> TorchDistribution:
        obs, latent_dim = self.obs, self.prior.latent_dim
        never = obs.false_mask()
        own = {n: self.own.get(n, never) for n in pseudo}
        weight = obs.evenly(~torch.stack(list(own.values())))
        idle = ~torch.stack(list(own.values())).any(0)  # rows and strata without a direction
        experts = {}  # name -> loc, scale, and the rows that have it
        for name, encoder in self.prior.encoders.items():
            encoded = obs.encoded(name, encoder, latent_dim)
            if encoded is not None:
                experts[name] = (*encoded[:2], obs.evidence[name])
        if self.kind == "product" or len(pseudo) == 2:
            absent = RandomMixture(list(pseudo.values()), weight)
            return _product(experts, own, absent, idle) if experts else absent
        parts = [
            _where(experts[n][2] | idle, diagonal("normal", *experts[n][:2]), p)
            if n in experts
            else p
            for n, p in pseudo.items()
        ]
        return RandomMixture(parts, weight)


class Direction(nn.Module):
    """p_i(z | x_given) p(x_i | z) as a program of observations.

    Args:
        model: The model, whose prior has pseudo-inputs.
        target: The modality i; the model scores what the observations say.
        given: The modalities O.
        kind: The kind of the conditional prior, ``"mixture"`` or ``"product"``.
    """

    def __init__(
        self,
        model: HasPseudoInputs,
        target: str,
        given: Sequence[str],
        kind: DirectionPriorKind,
    ) -> None:
        super().__init__()
        self.model, self.target, self.given, self.kind = model, target, tuple(given), kind

    @property
    def names(self) -> tuple[str, ...]:
        """The model's modalities."""
        return self.model.names

    def forward(self, obs: Observations) -> None:
        """Run the model with the prior given x_O."""
        obs = obs.given(*self.given)
        own = {self.target: ~obs.false_mask()}
        with DirectionPrior(self.model.prior, obs, own, self.kind):
            self.model(obs)


def _product(
    experts: Mapping[str, tuple[Tensor, Tensor, Tensor]],
    own: Mapping[str, Tensor],
    absent: TorchDistribution,
    idle: Tensor,
) -> TorchDistribution:
    """The product of the other modalities' experts; ``absent`` where a row has none.

    What it is in the rows ``idle`` does not matter.
    """
    others = torch.stack([held & ~own[n] for n, (_, _, held) in experts.items()])
    loc, scale = (torch.stack([e[k] for e in experts.values()]) for k in (0, 1))
    unused = (torch.zeros_like(loc[0, 0]), torch.ones_like(loc[0, 0]))  # where a row has none
    product = product_of_experts(loc, scale, others, unused, prior_expert=False)
    return _where(others.any(0) | idle, product, absent)


def _where(rows: Tensor, first: TorchDistribution, second: TorchDistribution) -> TorchDistribution:
    return first if every(rows) else RowwiseReference(rows, first, second)
