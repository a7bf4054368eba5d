"""Shared and private latents: any joint encoder of ``u``, and a private encoder of each modality.

    u    ~ q(u | x)            a product, a mixture, ... of shared experts
    w_m  ~ q_m(w_m | x_m)      where x_m is evidence and scored; p(w_m) elsewhere

The guide of MMVAE+, DMVAE and mmJSD. For MMVAE+ it also holds the auxiliary priors r_m(w_m), from
which its objective draws w_m for the strata that look at another modality
(``objectives.DReG(private="auxiliary")``).

Sources: Palumbo et al. 2023 (MMVAE+), section 3; Lee & Pavlovic 2021 (DMVAE); Sutter et al. 2020
(mmJSD).
"""

from collections.abc import Mapping
from typing import cast

import pyro
import pyro.distributions as dist
import torch
from torch import nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.distributions.prior import LearnedScale, PriorScale, as_prior, diagonal
from ppl_mm.modality import private_sizes
from ppl_mm.programs.asked import check_rows_of, family_of, strata_of
from ppl_mm.programs.contracts import Combinable, DiagonalFamily, Family, HasExperts
from ppl_mm.programs.door import combinable
from ppl_mm.programs.networks import check_encoder, encoder_of
from ppl_mm.programs.program import Program

__all__ = ["SharedPrivate"]


@typed
class SharedPrivate(Program):
    """A guide of ``u`` with private encoders of ``w_<modality>``.

    Args:
        shared: The guide of the shared latent, one of ``ppl_mm.guides`` with ``posterior``. Its
            site is called ``u`` here.
        private_dim: The sizes of the private latents: one for all, or one for each by name.
        private_prior: p(w_m), as in the model: "normal", "laplace", or a fixed one of either
            family; None for a standard one of the shared prior's family. Private posteriors have
            the same family.
        auxiliary: The scale map of learned auxiliary priors r_m, see
            :class:`ppl_mm.distributions.LearnedScale`; None for none.

    ``latent_dim`` is the size of u, and ``posterior(obs)`` is the distribution of u.
    """

    site = "u"
    shared: Combinable

    def __init__(
        self,
        shared: nn.Module,
        private_dim: int | Mapping[str, int],
        private_prior: Family | dist.Distribution | None = None,
        auxiliary: PriorScale | None = None,
    ) -> None:
        guide = combinable("shared", shared, "prior")
        super().__init__(guide.modalities, guide.latent_dim)
        self.shared = guide
        self.private_dim = private_sizes(private_dim, self.names)
        family = self.prior.family if private_prior is None else private_prior
        self.private_priors = nn.ModuleDict(
            {n: as_prior(family, size) for n, size in self.private_dim.items()}
        )
        self.private_encoders = nn.ModuleDict(
            {m.name: encoder_of(m, self.private_dim[m.name]) for m in self.modalities}
        )
        self.auxiliary_priors = nn.ModuleDict()
        if auxiliary is not None:
            for name, prior in self.priors_of_private().items():
                self.auxiliary_priors[name] = _auxiliary(prior, auxiliary)

    @property
    def family(self) -> tuple[tuple[str, ...], ...]:
        """The subsets of the mixture at ``u``; none where it is no mixture."""
        return family_of(self.shared)

    @property
    def encoders(self) -> nn.ModuleDict:
        """The shared guide's encoders."""
        return cast(HasExperts, self.shared).encoders

    @property
    def prior(self) -> DiagonalFamily:
        """The prior of ``u``."""
        return cast(HasExperts, self.shared).prior

    def strata(self, obs: Observations, number: int | None = None) -> Observations:
        """The rows under a plate of the components of ``u``; unchanged if it is no mixture."""
        return strata_of(self.shared, obs, number)

    def forward(self, obs: Observations) -> None:
        """Sample ``u`` and every ``w_<modality>``."""
        with obs.plates():
            pyro.sample("u", self.shared.posterior(obs))
            for name in self.names:
                pyro.sample(f"w_{name}", self.private_posterior(name, obs))

    def check(self, obs: Observations) -> None:
        """Raise unless every encoder makes a proper expert of the observed values."""
        check_rows_of(self.shared, obs)
        for name, encoder in self.private_encoders.items():
            check_encoder(name, encoder, self.private_dim[name], obs)

    def posterior(self, obs: Observations) -> dist.TorchDistribution:
        """q(u | x) of every row, as the shared guide's."""
        return self.shared.posterior(obs)

    def priors_of_private(self, auxiliary: bool = False) -> Mapping[str, DiagonalFamily]:
        """Modality -> p(w_m), or r_m(w_m); empty where the guide has no auxiliary priors."""
        found = self.auxiliary_priors if auxiliary else self.private_priors
        return cast(dict[str, DiagonalFamily], dict(found.items()))

    def private_posterior(self, name: str, obs: Observations) -> dist.TorchDistribution:
        """q(w_m | x_m) where x_m is evidence and scored, p(w_m) elsewhere; batch (B,) or (S, B)."""
        self.check_names(obs)
        prior = self.priors_of_private()[name]
        encoded = obs.encoded(name, self.private_encoders[name], self.private_dim[name])
        if encoded is None:
            return prior().expand(obs.shape)
        loc, scale, _ = encoded
        rows = (obs.evidence[name] & obs.scored[name])[..., None]
        return diagonal(
            prior.family, torch.where(rows, loc, prior.loc), torch.where(rows, scale, prior.scale)
        )


def _auxiliary(prior: DiagonalFamily, scale_map: PriorScale) -> LearnedScale:
    """r_m, which starts as p(w_m)."""
    return LearnedScale(len(prior.loc), prior.family, scale_map, prior.scale, prior.loc)
