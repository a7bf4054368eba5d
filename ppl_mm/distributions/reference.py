"""A distribution that is one thing in some rows and another in the rest."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.distributions.util import broadcast_shape
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, register_kl

from ppl_mm.batch.host_masks import unread
from ppl_mm.batch.rows import indices, one_if_same, put_rows
from ppl_mm.distributions.kl import diagonal_normal, kl
from ppl_mm.distributions.mixture import RandomMixture
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
        first, tail = self.first.log_prob(value), torch.Size(self.rows.shape)
        needed = None if unread(self.rows) else indices(~self.rows)
        some = None if needed is None else _in_rows(self.second, needed, tail)
        if needed is None or some is None:
            return torch.where(self.rows, first, self.second.log_prob(value))
        value = value.expand(*broadcast_shape(value.shape[:-1], tail), -1)
        z = value.reshape(*value.shape[: -len(tail) - 1], tail.numel(), -1)
        second = some.log_prob(z.index_select(-2, needed))
        second = put_rows(needed, second, tail.numel(), 0.0, dim=-1)
        return torch.where(self.rows, first, second.reshape(value.shape[:-1]))

    @property
    def mean(self) -> Float[Tensor, "*batch Z"]:
        """The mean of each row's part, (*batch, *event)."""
        return torch.where(self.rows[..., None], self.first.mean, self.second.mean)

    @property
    def variance(self) -> Float[Tensor, "*batch Z"]:
        """The variance of each row's part."""
        return torch.where(self.rows[..., None], self.first.variance, self.second.variance)


def _in_rows(
    p: TorchDistribution, positions: Tensor, shape: torch.Size
) -> TorchDistribution | None:
    """A mixture whose components all rows share, in some rows; None for other distributions.

    Args:
        p: The distribution.
        positions: The rows, as flat positions in ``shape``.
        shape: The batch shape of all rows.
    """
    if isinstance(p, EncodedMixture):
        return p
    if isinstance(p, RandomMixture) and all(isinstance(c, EncodedMixture) for c in p.components):
        weight = p.expand(shape).log_weight.reshape(len(p.components), -1)
        return RandomMixture(p.components, weight.index_select(1, positions))
    return None


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
