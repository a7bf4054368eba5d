"""A mixture of another guide's posteriors, over a family of subsets of the modalities.

    q(z | x)  =  sum over S in the family, S within the row's evidence, of  w_S q_S(z | x_S)

Singletons are MMVAE's mixture of experts, all non-empty subsets MoPoE's mixture of products, the
full set alone MVAE's product. The components that a row's evidence does not allow are left out,
and the rest share their weight equally; a row that allows none gets the prior.

Sources: Shi et al. 2019, arXiv:1911.03393, eq. 2; Sutter et al. 2021, arXiv:2105.02470, eq. 3.
"""

from collections.abc import Iterable, Sequence
from typing import cast

import pyro
import pyro.distributions as dist
from torch import nn

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import DrawnStrata, Observations, UnderStrata
from ppl_mm.batch.subsets import check_all_subsets, non_empty_subsets
from ppl_mm.distributions import RandomMixture, StratifiedMixture
from ppl_mm.distributions.prior import PriorLike
from ppl_mm.guides.product_of_experts import PriorExpert, ProductOfExperts
from ppl_mm.guides.single_expert import SingleExpert
from ppl_mm.modality import Modality
from ppl_mm.programs.asked import check_rows_of, posterior_of
from ppl_mm.programs.contracts import Combinable, DiagonalFamily, HasExperts
from ppl_mm.programs.door import combinable
from ppl_mm.programs.program import Program

__all__ = ["Mixture", "MixtureOfExperts", "MixtureOfProducts"]


@typed
class Mixture(Program):
    """The mixture of ``guide.posterior`` over a family of subsets.

    Under a plate of strata (``guide.strata(obs)``, which objectives and likelihoods call), index
    c of the plate draws from component c, and the density is the whole mixture's. Without strata,
    and under terms, every row draws a component at random, which is unbiased too.

    Args:
        guide: A guide with a method ``posterior(obs)``.
        family: The subsets, as tuples of modalities' names.

    Raises:
        ValueError: For an empty family, a repeated subset, or unknown modalities.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from ppl_mm import Modality, Observations, likelihoods, networks
        >>> mlp = dict(
        ...     encoder=partial(networks.MLPEncoder, event_shape=(4,)),
        ...     decoder=partial(networks.MLPDecoder, event_shape=(4,)),
        ... )
        >>> a, b = (Modality(name, likelihoods.Normal(scale=1.0), **mlp) for name in "ab")
        >>> guide = Mixture(ProductOfExperts([a, b], 2), [("a",), ("b",), ("a", "b")])
        >>> obs = Observations({"a": torch.randn(3, 4), "b": torch.randn(3, 4)})
        >>> guide.posterior(obs).mean.shape
        torch.Size([3, 2])
        >>> guide.strata(obs).log_weight.exp()[:, 0]
        tensor([0.3333, 0.3333, 0.3333])
    """

    guide: Combinable

    def __init__(self, guide: nn.Module, family: Iterable[Sequence[str]]) -> None:
        mixed = combinable("guide", guide)
        super().__init__(mixed.modalities, mixed.latent_dim)
        self.guide = mixed
        self.family = tuple(tuple(subset) for subset in family)
        if not self.family or len({frozenset(s) for s in self.family}) < len(self.family):
            raise ValueError(f"expected a family of different subsets, got {self.family}.")
        for name in (name for subset in self.family for name in subset):
            if name not in self.names:
                raise ValueError(unknown_name("modality in the family", name, self.names))

    @property
    def prior(self) -> DiagonalFamily:
        """The prior p(z), the posterior of a row with nothing to condition on."""
        return cast(HasExperts, self.guide).prior

    @property
    def encoders(self) -> nn.ModuleDict:
        """The guide's encoders."""
        return cast(HasExperts, self.guide).encoders

    def check(self, obs: Observations) -> None:
        """Raise unless the guide takes these rows."""
        check_rows_of(self.guide, obs)

    def strata(self, obs: Observations, number: int | None = None) -> UnderStrata:
        """The rows with a plate of this family's components, all or some, at dim -2."""
        return obs.strata(self.family, number)

    def forward(self, obs: Observations) -> None:
        """Sample ``z`` from the mixture, by component under a plate of strata."""
        with obs.plates():
            pyro.sample("z", self.posterior(obs))

    def posterior(self, obs: Observations) -> dist.TorchDistribution:
        """The mixture over the components that each row allows; batch (B,), (T, B) or (S, B)."""
        self.check_names(obs)
        if isinstance(obs, DrawnStrata):
            whole = obs.all_strata
            components, drawn = self._components(whole), self._components(obs)
            return StratifiedMixture(components, whole.log_weight, obs.drawn, drawn)
        if isinstance(obs, UnderStrata):
            components = self._components(obs)
            return StratifiedMixture(components, obs.log_weight, None, components)
        views, allowed = obs.components(self.family)
        return RandomMixture([self._components(view) for view in views], obs.evenly(allowed))

    def _components(self, obs: Observations) -> dist.TorchDistribution:
        return posterior_of(self.guide, obs, "a mixture")


@typed
class MixtureOfExperts(Mixture):
    """MMVAE's guide: each modality's expert, in equal shares; Normal or Laplace.

    Args:
        modalities: The modalities, each with its encoder.
        latent_dim: Z, the size of the latent.
        prior: p(z), see :class:`ppl_mm.guides.Experts`; the experts have its family.

    Source: Shi et al. 2019, arXiv:1911.03393.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        prior: PriorLike = None,
    ) -> None:
        expert = SingleExpert(modalities, latent_dim, prior)
        super().__init__(expert, [(name,) for name in expert.names])


@typed
class MixtureOfProducts(Mixture):
    """MoPoE's guide: the product of experts of every non-empty subset, in equal shares.

    Args:
        modalities: The modalities, each with its encoder.
        latent_dim: Z, the size of the latent.
        prior_expert: Whether p(z) is a factor of each product, see
            :class:`ppl_mm.guides.ProductOfExperts`. The release has it in the full product only,
            which is ``"full"``.
        prior: p(z), a Normal, see :class:`ppl_mm.guides.Experts`.

    It has 2^M - 1 components; for many modalities give ``Mixture`` a smaller family.

    Raises:
        ValueError: For more than eight modalities.

    Source: Sutter et al. 2021, arXiv:2105.02470.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        latent_dim: int,
        prior_expert: PriorExpert = False,
        prior: PriorLike = None,
    ) -> None:
        check_all_subsets(
            [m.name for m in modalities],
            "a mixture of products of all subsets",
            "Name those that it has: mopoe(..., subsets=[...]), or guides.Mixture(guide, [...]).",
        )
        product = ProductOfExperts(modalities, latent_dim, prior_expert, prior)
        super().__init__(product, non_empty_subsets(product.names))
