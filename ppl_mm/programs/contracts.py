"""Protocols of models and guides: what they must have, and what they may offer besides.

Every contract is a :class:`typing.Protocol`: a program of your own needs these names and no base
class of ours. :class:`ppl_mm.Program` has those of :class:`Declares` and :class:`Checks` already.

    every model                   Model            forward(obs)
    every guide                   Guide            forward(obs)
    either, where it can          Declares         modalities
                                  Checks           check(obs)
    a model that conditions       Conditional      conditions_on
      and predicts a label        Labelled         label
    a model or an objective       Alternatives     alternatives(system, target, given)
    a guide that says q(z | x)    HasPosterior     posterior(obs)
      at a site that is not "z"   NamesSite        site
      that is a mixture           Mixed            family, strata(obs, number)
      that others are made of     Combinable       modalities, latent_dim
      of one encoder a modality   HasExperts       encoders, prior
      with private latents        HasPrivate       private_dim, private_posterior(name, obs),
                                                   priors_of_private(auxiliary)
    p(z)                          Prior, NamesFamily, DiagonalFamily

The contracts of a modality's networks are in :mod:`ppl_mm.batch.network_contracts`. The library
asks a program for what it may offer by the functions of :mod:`ppl_mm.programs.asked` and nowhere
else. Whatever needs more than a forward method says so by an error that names the program, what it
lacks and the remedy, see :mod:`ppl_mm.programs.door`.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from ppl_mm.batch.observations import Observations, UnderStrata
from ppl_mm.modality import Modality
from ppl_mm.programs import conditionals

if TYPE_CHECKING:
    from ppl_mm.systems.system import System

__all__ = [
    "Alternatives",
    "Checks",
    "Combinable",
    "Conditional",
    "Declares",
    "DiagonalFamily",
    "Family",
    "Guide",
    "HasExperts",
    "HasPosterior",
    "HasPrivate",
    "Labelled",
    "Mixed",
    "Model",
    "NamesFamily",
    "NamesSite",
    "Prior",
]

Family = Literal["normal", "laplace"]
"""The families of priors and experts, by name."""


@runtime_checkable
class Model(Protocol):
    """A generative story, p(z) prod over m of p_m(x_m | z), as a Pyro program and a torch module.

    Inside ``obs.plates()`` it samples its latents and, for every modality, the site of that name:

        x, scored = obs.filled("image")
        pyro.sample("image", p.mask(scored), obs=x)

    A modality whose ``x`` is None is thereby drawn. Batch shape (K, S, B) with particles and terms
    or strata where there are any; networks take any number of leading dimensions.
    """

    def __call__(self, obs: Observations, /) -> object:
        """Run the program on the rows."""
        ...


@runtime_checkable
class Guide(Protocol):
    """A joint encoder, q(z | x_source), as a Pyro program and a torch module.

    Inside ``obs.plates()`` it samples the model's latents. It conditions on ``obs.source``, within
    ``obs.evidence``; ``obs.encoded(name, encoder, latent_dim)`` runs a modality's encoder for it. A
    row whose source is empty gets the prior. Latents that it lacks are drawn from the model.
    """

    def __call__(self, obs: Observations, /) -> object:
        """Run the program on the rows."""
        ...


@runtime_checkable
class Declares(Protocol):
    """A program that says which modalities it is of; one that a batch lacks is drawn."""

    modalities: Sequence[Modality]


@runtime_checkable
class Checks(Protocol):
    """A program that checks rows once, before work that takes long."""

    def check(self, obs: Observations) -> None:
        """Raise unless the observed values fit; ValueError or TypeError with the modality."""
        ...


@runtime_checkable
class Conditional(Protocol):
    """A model that conditions on some modalities and has no density of them."""

    conditions_on: tuple[str, ...]


@runtime_checkable
class Labelled(Conditional, Protocol):
    """A conditional model one of whose targets is a label; None for no label."""

    label: str | None


@runtime_checkable
class Alternatives(Protocol):
    """A model or an objective that says how log p(x_A | x_B) is put together."""

    def alternatives(
        self, system: "System", target: tuple[str, ...], given: tuple[str, ...]
    ) -> conditionals.Alternatives:
        """The conditionals that are multiplied, see :mod:`ppl_mm.programs.conditionals`."""
        ...


@runtime_checkable
class HasPosterior(Protocol):
    """A guide that gives its posterior as a distribution.

    References of terms, mixtures of guides, and proposals of likelihoods need it.
    """

    def posterior(self, obs: Observations) -> TorchDistribution:
        """q(z | x_source) of every row: batch shape (B,) or (S, B), event shape (Z,)."""
        ...


@runtime_checkable
class NamesSite(Protocol):
    """A guide whose posterior is that of another site than ``"z"``."""

    site: str


@runtime_checkable
class Mixed(HasPosterior, Protocol):
    """A guide whose posterior is a mixture over a family of subsets of the modalities.

    Under ``strata(obs)``, index c of the plate draws from component c, with the density of the
    whole mixture. An empty family is that of a guide which is no mixture.
    """

    @property
    def family(self) -> tuple[tuple[str, ...], ...]:
        """The subsets, one a component."""
        ...

    def strata(self, obs: Observations, number: int | None = None) -> UnderStrata | Observations:
        """The rows under a plate of the components, all or ``number`` drawn at random."""
        ...


@runtime_checkable
class Combinable(HasPosterior, Declares, Protocol):
    """A guide that another can be made of: a mixture, or one with private latents."""

    latent_dim: int


@runtime_checkable
class HasExperts(Combinable, Protocol):
    """A guide of one encoder a modality, and of the prior for a row that looks at nothing."""

    @property
    def encoders(self) -> nn.ModuleDict:
        """Modality -> its encoder."""
        ...

    @property
    def prior(self) -> "DiagonalFamily":
        """p(z), of the family of the experts."""
        ...


@runtime_checkable
class Prior(Protocol):
    """p(z) as a module whose call returns the distribution."""

    def __call__(self) -> TorchDistribution:
        """The distribution, event shape (Z,)."""
        ...


@runtime_checkable
class NamesFamily(Protocol):
    """A prior that says the family of its coordinates."""

    family: Family


@runtime_checkable
class DiagonalFamily(NamesFamily, Prior, Protocol):
    """p(z) with independent coordinates of one family."""

    @property
    def loc(self) -> Float[Tensor, " Z"]:
        """The locations, (Z,)."""
        ...

    @property
    def scale(self) -> Float[Tensor, " Z"]:
        """The scales, (Z,), above 0."""
        ...


@runtime_checkable
class HasPrivate(Protocol):
    """A guide with a private latent ``w_<modality>`` of every modality beside the shared one."""

    private_dim: Mapping[str, int]

    def private_posterior(self, name: str, obs: Observations) -> TorchDistribution:
        """q(w_m | x_m) of every row, p(w_m) where x_m may not be looked at; (B,) or (S, B)."""
        ...

    def priors_of_private(self, auxiliary: bool = False) -> Mapping[str, DiagonalFamily]:
        """Modality -> p(w_m), or the auxiliary r_m(w_m); empty where the guide has none."""
        ...
