"""The maximum mean discrepancy of two pools of latents, under a Gaussian kernel.

    k(a, b)  =  exp( -|a - b|^2 / h )
    MMD^2    =  E k(p, p') + E k(q, q') - 2 E k(p, q)          p, p' of one pool, q, q' of the other

A pool is the set of draws of a batch's rows, or the equally weighted mixture of the distributions
that they draw from.

Sources: Gretton et al. 2012, JMLR 13 (the estimators); Zhao, Song & Ermon 2019, arXiv:1706.02262
(InfoVAE: h = D); Mancisidor et al. 2023 (CMMD), release (h = D^2).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.unread import every
from ppl_mm.objectives.objective import value_with_gradient
from ppl_mm.objectives.options import Kernel, MMDEstimator
from ppl_mm.processes import all_rows

__all__ = ["MMD", "kernel_width", "squared_mmd", "squared_mmd_of_normals"]


@typed
def kernel_width(
    kernel: Kernel | float,
    x: Float[Tensor, "*batch N D"],
    y: Float[Tensor, "*batch M D"],
    rows: Bool[Tensor, " N"] | None = None,
) -> Float[Tensor, "..."]:
    """The width h of the kernel between pools x and y, (..., N, D), a constant without gradient.

    Args:
        kernel: ``"dim2"``: D^2; ``"dim"``: D; ``"median"``: the median of |a - b|^2 over all pairs
            of the two pools together (1 where that is 0), one for each leading index; or h itself.
        x: One pool.
        y: The other.
        rows: The rows of both pools that count, for the median, (N,); None for all.

    Returns:
        A tensor of shape (), or (..., 1, 1) for the median.

    Example:
        >>> a, b = torch.zeros(1, 2), torch.ones(1, 2)
        >>> [kernel_width(k, a, b).item() for k in ("dim2", "dim", 0.5)]
        [4.0, 2.0, 0.5]
    """
    if kernel == "median":
        if rows is not None:
            x, y = (torch.where(rows[:, None], pool, torch.nan) for pool in (x, y))
        pool = torch.cat([x, y], -2).detach()
        i, j = torch.triu_indices(pool.shape[-2], pool.shape[-2], 1, device=pool.device)
        distances = torch.cdist(pool, pool, compute_mode="donot_use_mm_for_euclid_dist")
        median = distances[..., i, j].square().nanmedian(-1).values[..., None, None]
        return torch.where(median > 0, median, 1.0)
    size = x.shape[-1]
    widths: dict[str | float, float] = {"dim2": float(size**2), "dim": float(size)}
    return x.new_full((), widths.get(kernel, kernel))  # type: ignore[arg-type]


@typed
def squared_mmd(
    x: Float[Tensor, "*batch N D"],
    y: Float[Tensor, "*batch N D"],
    width: float | Float[Tensor, "..."],
    *,
    unbiased: bool = False,
    matched: bool = False,
    rows: Bool[Tensor, " N"] | None = None,
) -> Float[Tensor, "*batch"]:
    """MMD^2 of two pools of draws, by all their pairs.

    The sums use k - 1, as the ones cancel: for a large h, such as D^2, k is so close to 1 that few
    digits remain. The distances come from inner products of the draws less their mean. In single
    precision they have rounding errors of about 1e-7 of the largest squared length, which matter
    for a much smaller h.

    Args:
        x: The draws of one pool, (..., N, D).
        y: The draws of the other pool, as many.
        width: The width h of the kernel.
        unbiased: False: the V-statistic, means over all pairs, in [0, 2), and exactly 0 for the
            same pool twice. True: the U-statistic, means over pairs of different draws; its mean is
            the MMD^2 of the distributions, and it may be negative. For one row it is 0.
        matched: For the U-statistic, whether x_i and y_i share their noise: then these pairs are
            left out between the pools too.
        rows: The rows of both pools that count, (N,); None for all. The others must be finite.

    Returns:
        (...); 0 if no row counts.

    Example:
        >>> x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [3.0]])
        >>> squared_mmd(x, y, 1.0), squared_mmd(x, x, 1.0)
        (tensor(1.1656), tensor(0.))
    """
    if unbiased and x.shape[-2] == 1:
        return x.new_zeros(x.shape[:-2])
    centre = torch.cat([x, y], -2).mean(-2, keepdim=True).detach()
    x, y = x - centre, y - centre

    def mean(a: Tensor, b: Tensor, different: bool) -> Tensor:
        # Autocast leaves the products alone where they are asked for by name.
        distances = torch.cdist(a, b, compute_mode="use_mm_for_euclid_dist")
        return _mean(torch.expm1(-distances.square() / width), rows, different)

    within = mean(x, x, unbiased) + mean(y, y, unbiased)
    value = within - 2.0 * mean(x, y, unbiased and matched)
    return torch.where(rows.sum() > 1, value, 0.0) if unbiased and rows is not None else value


@typed
def squared_mmd_of_normals(
    x: tuple[Float[Tensor, "N D"], Float[Tensor, "N D"]],
    y: tuple[Float[Tensor, "N D"], Float[Tensor, "N D"]],
    width: float | Float[Tensor, ""],
    rows: Bool[Tensor, " N"] | None = None,
) -> Float[Tensor, ""]:
    """MMD^2 of two mixtures, with equal weights, of N diagonal Normals each: no draws, no noise.

        E k  =  mean over i, i' of  prod_d (1 + 2 s_d / h)^(-1/2) exp( -(a_d - b_d)^2 / (h + 2 s_d))

    with s = A + B the sum of the variances of component i, Normal(a, A), and i', Normal(b, B).

    Args:
        x: Locations and scales of the components of one mixture, (N, D) each.
        y: Those of the other.
        width: h.
        rows: The components of both mixtures that count, (N,); None for all. The others must be
            finite.

    Returns:
        (). Memory: N^2 D numbers.

    Example:
        >>> one, far = torch.ones(1, 20), torch.ones(1, 20) * 20**-0.5
        >>> squared_mmd_of_normals((0 * one, one), (far, one), 20.0)
        tensor(0.0132)
    """

    def mean(
        p: tuple[Tensor, Tensor],
        q: tuple[Tensor, Tensor],
    ) -> Tensor:
        s = p[1].square()[:, None] + q[1].square()
        distance = (p[0][:, None] - q[0]).square()
        log_k = -0.5 * torch.log1p(2.0 * s / width) - distance / (width + 2.0 * s)
        return _mean(log_k.sum(-1).exp(), rows, different=False)

    return mean(x, x) + mean(y, y) - 2.0 * mean(x, y)


@typed
@dataclass(frozen=True)
class MMD:
    """A kernel and an estimator, for posteriors q_i and priors p_i of N rows.

    Args:
        kernel: ``"dim2"``, ``"dim"``, ``"median"`` or h, see :func:`kernel_width`. With h = D^2
            the kernel is nearly flat, and MMD^2 is close to 2 / D^2 times the squared distance of
            the pools' means.
        estimator: ``"biased"`` or ``"unbiased"``, see :func:`squared_mmd`; ``"analytic"``:
            :func:`squared_mmd_of_normals`, for diagonal Normals.

    Raises:
        ValueError: For another kernel or estimator, or h not above 0.
    """

    kernel: Kernel | float = "dim2"
    estimator: MMDEstimator = "biased"

    def __call__(
        self,
        q: TorchDistribution,
        p: TorchDistribution,
        draws: tuple[Float[Tensor, "*batch N D"], Float[Tensor, "*batch N D"]],
        *,
        matched: bool,
        rows: Bool[Tensor, " N"] | None = None,
    ) -> Float[Tensor, ""]:
        """MMD^2 of the pools, one number, averaged over leading dimensions of the draws.

        If several processes train together, the pools hold the rows of all of them. Each row
        carries an equal share, so the processes' gradients add up to that of the whole.

        Args:
            q: The distributions that the rows draw from, batch shape (..., N), the same along
                leading dimensions.
            p: The distributions of the other pool.
            draws: The draws of q and of p, (..., N, D) each.
            matched: Whether the draws of q and p share their noise, row by row.
            rows: The rows of the pools, (N,); None takes all. Without rows the value is 0.

        Raises:
            ValueError: For the analytic estimator where q or p is no diagonal Normal.
        """
        x, y = map(all_rows, draws)
        share: float | Tensor = x.shape[-2] / draws[0].shape[-2]
        held = None if rows is None else all_rows(rows[:, None].to(x.dtype))[:, 0] > 0
        if held is not None and every(held):
            held = None
        if rows is not None and held is not None:
            share = held.sum().to(x.dtype) / rows.sum().clamp(min=1)
            x, y = _kept(x, held, 0.0), _kept(y, held, 0.0)
        width = kernel_width(self.kernel, x, y, held)
        if self.estimator == "analytic":
            of_q, of_p = (
                (_kept(all_rows(loc), held, 0.0), _kept(all_rows(scale), held, 1.0))
                for loc, scale in (_normal(q, draws[0]), _normal(p, draws[1]))
            )
            value = squared_mmd_of_normals(of_q, of_p, width.mean(), held)
        else:
            unbiased = self.estimator == "unbiased"
            value = squared_mmd(x, y, width, unbiased=unbiased, matched=matched, rows=held).mean()
        return value_with_gradient(value, value * share)


def _kept(x: Tensor, held: Tensor | None, fill: float) -> Tensor:
    """Rows that count, and ``fill`` in the others, from which no gradient comes then."""
    return x if held is None else torch.where(held[:, None], x, fill)


def _normal(fn: TorchDistribution, draws: Tensor) -> tuple[Tensor, Tensor]:
    base = getattr(fn, "base_dist", fn)
    if not isinstance(base, torch.distributions.Normal):
        raise ValueError(
            f"estimator='analytic' needs diagonal Normals, got {type(base).__name__}; use 'biased' "
            "or 'unbiased'."
        )
    loc, scale = (x.expand(draws.shape[-2:]) if x.dim() < 2 else x for x in (base.loc, base.scale))
    return loc.reshape(-1, *draws.shape[-2:])[0], scale.reshape(-1, *draws.shape[-2:])[0]


def _mean(k: Tensor, rows: Tensor | None, different: bool) -> Tensor:
    """The mean over all pairs of rows, (..., N, N), that count, or over those of different rows."""
    if rows is None and not different:
        return k.mean((-2, -1))
    size = k.shape[-1]
    pairs = k.new_ones(size, size, dtype=torch.bool) if rows is None else rows[:, None] & rows
    if different:
        pairs = pairs & ~torch.eye(size, dtype=torch.bool, device=k.device)
    return torch.where(pairs, k, 0.0).sum((-2, -1)) / pairs.sum().clamp(min=1)
