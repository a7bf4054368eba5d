"""A normalizing flow on the posterior of another guide.

    e ~ q_S(e | x_S),   z = T(e),   log q(z | x_S) = log q_S(e | x_S) - log |det dT/de|

The guide ``q_S`` is any that has a diagonal Normal for each subset S; T is one invertible map for
all subsets. A posterior may then be curved and have correlations, and its density stays exact.

Source: Rezende & Mohamed 2015, arXiv:1505.05770, eq. 7; the transforms are Pyro's.
"""

from collections.abc import Sequence
from typing import cast

import pyro
import pyro.distributions as dist
from jaxtyping import Float
from pyro.distributions.transforms import AffineCoupling, spline
from pyro.nn import DenseNN
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.checks import check_at_least_one
from ppl_mm.batch.observations import Observations
from ppl_mm.distributions import RowwiseReference
from ppl_mm.distributions.flowed import Flowed
from ppl_mm.distributions.kl import diagonal_normal
from ppl_mm.programs.asked import check_rows_of, posterior_of
from ppl_mm.programs.contracts import Combinable, DiagonalFamily, HasExperts
from ppl_mm.programs.door import combinable
from ppl_mm.programs.program import Program

__all__ = ["Flow", "coupling_layers"]


@typed
class Flow(Program):
    """q(z | x_S) as a normalizing flow of another guide's posterior.

    A row with nothing to condition on has the prior, without the flow. For a mixture, make the
    components flows: ``guides.Mixture(guides.Flow(guide), family)``; for private latents, the
    shared guide: ``guides.SharedPrivate(guides.Flow(guide), private_dim)``.

    KL divergences of a flow have no closed form, so objectives estimate them by the draw at hand;
    DReG, whose gradient leaves out the posterior's own parameters, refuses a flow.

    Args:
        guide: A guide whose ``posterior(obs)`` is a diagonal Normal, such as
            ``guides.ProductOfExperts``.
        transforms: Pyro's transforms of vectors of Z numbers, modules with an inverse in closed
            form, in the order in which they are applied; or how many layers of
            :func:`coupling_layers` to build.

    Raises:
        TypeError: For a guide whose posterior is no diagonal Normal, or transforms that are no
            modules.

    Example:
        >>> from functools import partial
        >>> from ppl_mm import Modality, guides, likelihoods, networks
        >>> x = Modality(
        ...     "x",
        ...     likelihoods.Normal(scale=1.0),
        ...     encoder=partial(networks.MLPEncoder, event_shape=(4,)),
        ...     decoder=partial(networks.MLPDecoder, event_shape=(4,)),
        ... )
        >>> guide = Flow(guides.ProductOfExperts([x], latent_dim=2), transforms=4)
        >>> q = guide.posterior(Observations({"x": torch.randn(3, 4)}))
        >>> q.log_prob(q.rsample()).shape
        torch.Size([3])
    """

    guide: Combinable

    def __init__(self, guide: nn.Module, transforms: int | Sequence[nn.Module] = 4) -> None:
        base = combinable("guide", guide, "prior")
        super().__init__(base.modalities, base.latent_dim)
        self.guide = base
        if isinstance(transforms, int):
            transforms = coupling_layers(base.latent_dim, transforms)
        self.transforms = nn.ModuleList(transforms)

    @property
    def prior(self) -> DiagonalFamily:
        """The posterior of a row with nothing to condition on."""
        return cast(HasExperts, self.guide).prior

    @property
    def encoders(self) -> nn.ModuleDict:
        """The guide's encoders."""
        return cast(HasExperts, self.guide).encoders

    def check(self, obs: Observations) -> None:
        """Raise unless every encoder makes a proper expert of the observed values."""
        check_rows_of(self.guide, obs)

    def forward(self, obs: Observations) -> None:
        """Sample ``z`` from the posterior of every row."""
        with obs.plates():
            pyro.sample("z", self.posterior(obs))

    def posterior(self, obs: Observations) -> dist.TorchDistribution:
        """q(z | x_source) of every row: batch shape (B,) or (S, B), event shape (Z,)."""
        base = posterior_of(self.guide, obs, "Flow")
        if diagonal_normal(base) is None:
            raise TypeError(
                f"Flow: expected a guide with a diagonal Normal posterior, got "
                f"{type(self.guide).__name__} with {type(base).__name__}. For a mixture, make the "
                "components flows: guides.Mixture(guides.Flow(guide), family)."
            )
        flowed = Flowed(base, list(self.transforms))
        some = obs.false_mask()
        for mask in obs.source.values():
            some = some | mask
        if bool(some.all()):
            return flowed
        return RowwiseReference(some, flowed, self.prior().expand(obs.shape))


@typed
def coupling_layers(latent_dim: int, number: int, hidden: Sequence[int] = (32,)) -> list[nn.Module]:
    """Affine coupling layers that take turns in what they change; each starts as the identity.

    A layer keeps one half of the coordinates, and scales and shifts the other half by a network of
    the first. For one coordinate they are monotone rational splines.

    Args:
        latent_dim: Z, the number of coordinates.
        number: How many layers.
        hidden: The sizes of the networks' hidden layers.

    Source: Dinh et al. 2017, arXiv:1605.08803; Durkan et al. 2019, arXiv:1906.04032.
    """
    check_at_least_one("number", number)
    if latent_dim == 1:
        return [spline(1) for _ in range(number)]
    return [_Coupling(latent_dim, hidden) for _ in range(number)]


class _Coupling(AffineCoupling):
    """An affine coupling layer, and then the coordinates in the opposite order.

    With an odd number of coordinates the larger part is the one that changes.
    """

    def __init__(self, latent_dim: int, hidden: Sequence[int]) -> None:
        kept = latent_dim // 2
        network = DenseNN(kept, list(hidden), [latent_dim - kept] * 2)
        super().__init__(kept, network)
        nn.init.zeros_(network.layers[-1].weight)
        nn.init.zeros_(network.layers[-1].bias)

    def _call(self, x: Tensor) -> Tensor:
        return super()._call(x).flip(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        return super()._inverse(y.flip(-1))

    def log_abs_det_jacobian(
        self, x: Float[Tensor, "*batch Z"], y: Float[Tensor, "*batch Z"]
    ) -> Float[Tensor, "*batch"]:
        """log |det dT/dx|, of the batch shape."""
        return super().log_abs_det_jacobian(x, y.flip(-1))

    def __getstate__(self) -> dict[str, object]:
        """The state without what the last call left, whose gradients cannot be copied."""
        return {**super().__getstate__(), "_cached_x_y": (None, None), "_cached_log_scale": None}
