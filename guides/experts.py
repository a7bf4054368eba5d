"""The base of guides with one encoder for each modality.

Products, quotients and mixtures of experts share it.

Each encoder gives an expert q_m(z | x_m), of the prior's family: Normal(loc_m, scale_m) or
Laplace(loc_m, scale_m). A guide of this kind says how the experts of a row's source become its
posterior; ``forward`` samples ``z`` from it.
"""

from collections.abc import Sequence
from typing import cast

import pyro
import pyro.distributions as dist
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.unread import stacked
from ppl_mm.distributions import PseudoInputPrior
from ppl_mm.distributions.prior import (
    DiagonalPrior,
    LearnedScale,
    PriorLike,
    as_prior,
    family_named,
)
from ppl_mm.modality import Modality
from ppl_mm.programs.contracts import DiagonalFamily
from ppl_mm.programs.networks import check_encoder, encoder_of
from ppl_mm.programs.program import Program

__all__ = ["Experts"]


@typed
class Experts(Program):
    """Base of the guides that combine one expert of each modality.

    Args:
        modalities: The modalities, each with its encoder.
        latent_dim: Z, the size of the latent.
        prior: The model's p(z), independent Normal or Laplace coordinates, see
            :func:`ppl_mm.distributions.prior.as_prior`; None for Normal(0, I). It is the posterior
            of a row with nothing to condition on, and its family is that of the experts. Guides
            of one expert at a time also take a :class:`ppl_mm.distributions.PseudoInputPrior`,
            and then have its encoders.
        of: The names of the modalities that have an expert; None for all. The guide looks at no
            other. A pseudo-input prior takes all.

    Raises:
        TypeError: For a prior of another family, a string in place of names, or experts of some
            under a pseudo-input prior.
        ValueError: For experts of unknown modalities, or of none.
    """

    prior: DiagonalFamily
    priors: tuple[type, ...] = (DiagonalPrior, LearnedScale)
    families: tuple[str, ...] = ("normal",)

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        prior: PriorLike = None,
        of: Sequence[str] | None = None,
    ) -> None:
        super().__init__(modalities, latent_dim)
        expert = as_prior(prior, latent_dim)
        family = family_named(expert) or type(expert).__name__
        if not isinstance(expert, self.priors) or family not in self.families:
            raise TypeError(
                f"{type(self).__name__}: the prior expert must be a diagonal "
                f"{' or '.join(self.families)} one, got {family}; leave it out to use "
                "Normal(0, I)."
            )
        self.prior = cast(DiagonalFamily, expert)
        if isinstance(expert, PseudoInputPrior):
            if of is not None:
                raise TypeError(
                    f"{type(self).__name__}: a pseudo-input prior brings encoders of its own "
                    "modalities; leave out of=."
                )
            self.encoders = expert.encoders
        else:
            with_expert = self.names if of is None else _check_experts(of, self.names)
            seen = [m for m in self.modalities if m.name in with_expert]
            self.encoders = nn.ModuleDict({m.name: encoder_of(m, latent_dim) for m in seen})

    def forward(self, obs: Observations) -> None:
        """Sample ``z`` from the posterior of every row."""
        with obs.plates():
            pyro.sample("z", self.posterior(obs))

    def check(self, obs: Observations) -> None:
        """Raise unless every encoder makes a proper expert of the observed values.

        It is called once, before training or evaluation; a run of the program does not repeat it.
        """
        self.check_names(obs)
        for name, encoder in self.encoders.items():
            check_encoder(name, encoder, self.latent_dim, obs)

    def posterior(self, obs: Observations) -> dist.TorchDistribution:
        """q(z | x_source) of every row: batch shape (B,) or (S, B), event shape (Z,)."""
        self.check_names(obs)
        encoded = {n: obs.encoded(n, e, self.latent_dim) for n, e in self.encoders.items()}
        experts = [expert for expert in encoded.values() if expert is not None]
        if not experts:
            return self.prior().expand(obs.shape)
        locs, scales, sources = zip(*experts, strict=True)
        return self.combine(torch.stack(locs), torch.stack(scales), stacked(sources))

    def combine(
        self,
        loc: Float[Tensor, "M B Z"],
        scale: Float[Tensor, "M B Z"],
        source: Bool[Tensor, "M *S B"],
    ) -> dist.TorchDistribution:
        """The posterior from experts (M, B, Z) and their source masks (M, B) or (M, S, B)."""
        raise TypeError(f"{type(self).__name__} must define combine(loc, scale, source).")


def _check_experts(of: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    if isinstance(of, str):
        raise TypeError(f"of: expected a tuple of names, got the string {of!r}; write ({of!r},).")
    for name in of:
        if name not in names:
            raise ValueError(unknown_name("modality in of", name, names))
    if not of:
        raise ValueError("of: expected at least one modality with an expert, got none.")
    return of
