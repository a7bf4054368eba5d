"""A distribution that is one thing in some rows and another in the rest."""

from collections.abc import Sequence
from typing import ClassVar, cast

import torch
from jaxtyping import Bool, Float
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.distributions.util import broadcast_shape
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, register_kl

from ppl_mm.batch.host_masks import plain, unread
from ppl_mm.batch.rows import one_if_same
from ppl_mm.distributions.kl import diagonal_normal, kl
from ppl_mm.distributions.mixture import RandomMixture, log_density
from ppl_mm.distributions.pseudo_inputs import EncodedMixture

__all__ = ["RowwiseReference"]


class RowwiseReference(TorchDistribution):
    """``first`` where ``rows`` is True, ``second`` elsewhere; batch shape that of ``rows``.

    It is a KL's second argument: the reference of an ELBO term, with the model's own prior
    where a term has none. Its analytic KL is that of the part each row uses.

    Args:
        rows: (S, B) or (B,), bool.
        first: Event dimension 1.
        second: The same event shape.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, rows: Bool[Tensor, "*S B"], first: TorchDistribution, second: TorchDistribution
    ) -> None:
        self.rows, self.first, self.second = rows, first, second
        batch = torch.Size(broadcast_shape(rows.shape, first.batch_shape, second.batch_shape))
        super().__init__(batch, first.event_shape, validate_args=False)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "RowwiseReference":
        """The same under more batch dimensions."""
        batch_shape = torch.Size(batch_shape)
        first, second = self.first.expand(batch_shape), self.second.expand(batch_shape)
        return RowwiseReference(self.rows.expand(batch_shape), first, second)

    def rsample(self, sample_shape: Sequence[int] = torch.Size()) -> Float[Tensor, "*batch Z"]:
        """Draw each row from its part."""
        shape = torch.Size(sample_shape) + self.batch_shape
        first, second = self.first.expand(self.batch_shape), self.second.expand(self.batch_shape)
        a, b = first.rsample(torch.Size(sample_shape)), second.rsample(torch.Size(sample_shape))
        return torch.where(self.rows.expand(shape)[..., None], a, b)

    def log_prob(self, value: Float[Tensor, "*#batch Z"]) -> Float[Tensor, "*batch"]:
        """Log-density in nats; of a mixture that all rows share, in the rows that need it."""
        first = log_density(self.first, value)
        if not _shared(self.second):
            return torch.where(self.rows, first, self.second.log_prob(value))
        value = value.expand(*broadcast_shape(value.shape[:-1], self.rows.shape), -1)
        needed = (~self.rows).expand(value.shape[:-1])
        where = plain(needed.reshape(-1) if unread(needed) else needed.flatten().nonzero()[:, 0])
        return torch.where(self.rows, first, _log_prob_in(self.second, value, where))

    @property
    def mean(self) -> Float[Tensor, "*batch Z"]:
        """The mean of each row's part, (*batch, *event)."""
        return torch.where(self.rows[..., None], self.first.mean, self.second.mean)

    @property
    def variance(self) -> Float[Tensor, "*batch Z"]:
        """The variance of each row's part."""
        return torch.where(self.rows[..., None], self.first.variance, self.second.variance)


def _shared(p: TorchDistribution) -> bool:
    """Whether all rows have the same pseudo-inputs' mixture, or a mixture of such ones."""
    parts = p.components if isinstance(p, RandomMixture) else (p,)
    return all(isinstance(c, EncodedMixture) for c in parts)


def _log_prob_in(p: TorchDistribution, value: Tensor, rows: Tensor) -> Tensor:
    """Log-density in the rows of a flat mask, or at flat positions; any number elsewhere."""
    if isinstance(p, EncodedMixture):
        return p.log_prob_in(value, rows)
    mixture = cast(RandomMixture, p)
    parts = [cast(EncodedMixture, c).log_prob_in(value, rows) for c in mixture.components]
    return mixture.weighed(parts)


@register_kl(Independent, RowwiseReference)  # type: ignore[untyped-decorator]
def _kl_independent_rowwise(q: Distribution, p: RowwiseReference) -> Tensor:
    # Both branches are finite, so torch.where gives finite gradients.
    first, second = diagonal_normal(p.first), diagonal_normal(p.second)
    if first is None or second is None:
        return torch.where(p.rows, kl(q, p.first), kl(q, p.second))
    rows = one_if_same(p.rows)[..., None]
    loc = torch.where(rows, first.loc, second.loc)
    scale = torch.where(rows, first.scale, second.scale)
    return kl(q, Independent(Normal(loc, scale), 1))
