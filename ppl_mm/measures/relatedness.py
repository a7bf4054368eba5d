"""Distances between unimodal posteriors: does the latent space know which rows belong together?

    d_ij  =  W_2( q(z | x_a^i), q(z | x_b^j) )

The latent is ``z``, or ``u`` where there are private ones too. Latent spaces have no common unit:
compare systems by the AUROC of d, not by d.

Source: Joy et al. 2022 (MEME), arXiv:2106.12570, section 5.3 and figures 8 and 9.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from ppl_mm.arguments.tensors import Matrix
from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.checks import check_at_least_one
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.coordinates import posterior_coordinates
from ppl_mm.measures.readings import Subset, as_subsets, checked_labels
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.result import Number, Result, number
from ppl_mm.systems import System

__all__ = ["Relatedness", "relatedness", "wasserstein_distances"]

By = Literal["item", "class"]
"""What makes two rows related: that they are the same one, or that their class is the same."""


@typed
def wasserstein_distances(mean_a: Matrix, std_a: Matrix, mean_b: Matrix, std_b: Matrix) -> Tensor:
    """The 2-Wasserstein distance of every pair of distributions with independent coordinates.

        d_ij^2  =  | mean_a^i - mean_b^j |^2  +  | std_a^i - std_b^j |^2

    It is exact where all coordinates are of one family that location and scale move, such as the
    Normals or the Laplaces: a quantile of one is then mean + std * (that of the standard one).
    Differences are squared and summed as they are, so equal distributions are at distance 0.

    Args:
        mean_a: (N_a, D).
        std_a: Standard deviations, (N_a, D); for Laplace sqrt(2) times the scale.
        mean_b: (N_b, D).
        std_b: (N_b, D).

    Returns:
        Distances, (N_a, N_b), in the unit of the latents.

    Raises:
        ValueError: For shapes that do not fit, or numbers that are not finite.

    Source: Dowson & Landau 1982. Joy et al. 2022 (MEME), appendix E, prints |mean_a + mean_b|^2.

    Example:
        >>> zero, there = torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.0]])
        >>> one, other = torch.tensor([[1.0, 2.0]]), torch.tensor([[2.0, 2.0], [1.0, 2.0]])
        >>> wasserstein_distances(zero, one, there, other).square()
        tensor([[26.,  0.]])
    """
    given = {"mean_a": mean_a, "std_a": std_a, "mean_b": mean_b, "std_b": std_b}
    alike = mean_a.shape == std_a.shape and mean_b.shape == std_b.shape
    if not alike or mean_a.shape[1] != mean_b.shape[1]:
        shapes = ", ".join(f"{name} {tuple(x.shape)}" for name, x in given.items())
        raise ValueError(
            "wasserstein_distances: expected means (N, D) with standard deviations of the same "
            f"shape, and one D, got {shapes}."
        )
    points = torch.cat([mean_a, std_a], -1), torch.cat([mean_b, std_b], -1)
    return torch.cdist(*points, compute_mode="donot_use_mm_for_euclid_dist")


@dataclass(frozen=True)
class Relatedness(Result):
    """Distances of all pairs of rows, and how well they tell related pairs from others.

    Standard errors are over rows (another test set, the same trained system): a row is in many
    pairs, as x_a and as x_b, and the errors count what it does to all of them together.

    Attributes:
        subsets: What the two posteriors were given.
        distances: d_ij of x_a of row i and x_b of row j, (N, N).
        labels: The rows' classes, (N,); None without classes.
    """

    subsets: tuple[Subset, Subset]
    distances: Tensor
    labels: Tensor | None = None

    def related(self, by: By) -> Tensor:
        """Whether a pair is related, bool (N, N)."""
        if by == "item":
            return torch.eye(len(self.distances), dtype=torch.bool)
        if by != "class" or self.labels is None:
            known = ("item",) if self.labels is None else ("item", "class")
            raise ValueError(unknown_name("relation", by, known))
        return self.labels[:, None] == self.labels

    def mean(self, by: By, related: bool = True) -> Estimate:
        """The mean distance of related pairs, or of the others."""
        pairs = self.related(by) == related
        value = self.distances[pairs].mean()
        return Estimate(value.item(), _per_row(self.distances - value, pairs).norm().item())

    def auroc(self, by: By) -> Estimate:
        """P( a related pair is nearer than another pair ), ties for a half; chance is 0.5."""
        pairs = self.related(by)
        beyond = 1 - self._below(~pairs)  # the share of the others that is farther
        within = self._below(pairs)  # the share of related pairs that is nearer
        value = beyond[pairs].mean()
        rows = _per_row(beyond - value, pairs) + _per_row(within - value, ~pairs)
        return Estimate(value.item(), rows.norm().item())

    @property
    def classes(self) -> tuple[int, ...]:
        """The classes of the rows, in order; none without labels."""
        return () if self.labels is None else tuple(self.labels.unique().tolist())

    def matrix(self) -> Tensor:
        """K, (C, C): the mean distance of x_a of one class and x_b of another, as in ``classes``.

        It is not symmetric, nor 0 on its diagonal.
        """
        if self.labels is None:
            raise ValueError(
                "a matrix of classes needs labels; give relatedness the rows' classes."
            )
        in_class = (self.labels == self.labels.unique()[:, None]).to(self.distances)
        share = in_class / in_class.sum(1, keepdim=True)
        return share @ self.distances @ share.T

    def numbers(self) -> Iterator[Number]:
        """Mean distances and the AUROC, by item and by class; ``observed`` is both inputs."""
        both = (" and ".join(self.names),)
        for by in self._relations():
            yield number("distance of related pairs", self.mean(by), both, by)
            yield number("distance of other pairs", self.mean(by, related=False), both, by)
            yield number("AUROC", self.auroc(by), both, by)

    def figure(self) -> Figure:
        """Histograms of the distances, see :func:`ppl_mm.plotting.pair_distances`."""
        from ppl_mm import plotting

        return plotting.pair_distances(self, self._relations()[-1])

    def table(self) -> Table:
        """Mean distances and AUROC, for ``rich.print``."""
        a, b = self.names
        title = f"distances of posteriors given {a} and given {b}"
        table = Table("the same", "related pairs", "other pairs", "AUROC", title=title)
        for by in self._relations():
            cells = self.mean(by), self.mean(by, related=False), self.auroc(by)
            table.add_row(by, *map(str, cells))
        table.caption = f"2-Wasserstein, all pairs of {len(self.distances)} rows"
        return table

    def to_dict(self) -> dict[str, Any]:
        """Everything but the distances as plain numbers for JSON, an estimate as [value, error]."""
        found: dict[str, Any] = {
            "given": [list(s) for s in self.subsets],
            "rows": len(self.distances),
        }
        for by in self._relations():
            found[by] = {
                "related": self.mean(by).to_list(),
                "others": self.mean(by, related=False).to_list(),
                "auroc": self.auroc(by).to_list(),
            }
        if self.labels is not None:
            found |= {"classes": list(self.classes), "matrix": self.matrix().tolist()}
        return found

    @property
    def names(self) -> tuple[str, str]:
        """What the posteriors were given, in words."""
        a, b = (" + ".join(s) for s in self.subsets)
        return a, b

    def _relations(self) -> tuple[By, ...]:
        return ("item",) if self.labels is None else ("item", "class")

    @cached_property
    def _levels(self) -> Tensor:
        """The place of each distance among the different ones, (N, N)."""
        return self.distances.unique(return_inverse=True)[1]

    def _below(self, pairs: Tensor) -> Tensor:
        """The share of these pairs that is nearer than each pair, ties for a half, (N, N)."""
        counts = self._levels[pairs].bincount(minlength=int(self._levels.max()) + 1).double()
        return ((counts.cumsum(0) - counts / 2) / counts.sum())[self._levels]


@typed
def relatedness(
    system: System,
    obs: Observations,
    first: str | Sequence[str],
    second: str | Sequence[str],
    labels: Tensor | None = None,
    *,
    site: str | None = None,
    num_rows: int | None = 2000,
    batch_size: int = 500,
    seed: int = 0,
) -> Relatedness:
    """Distances between q(z | x_first) of every row and q(z | x_second) of every row.

    Args:
        system: A model and a guide.
        obs: The rows, which hold both.
        first: A modality, or several; where the guide has no single distribution for several,
            as mixtures have none, that is refused.
        second: Another.
        labels: The rows' classes, (N,); rows of class -1, which have none, are left out. None
            relates rows to themselves alone.
        site: The latent; None is ``u`` of guides that have it, else ``z``.
        num_rows: The most rows to compare, chosen at random; None for all. All pairs are kept:
            n rows take 8 n^2 bytes, 32 MB for 2000 and 0.8 GB for 10,000.
        batch_size: Rows to encode at a time.
        seed: Of the choice of rows.

    Raises:
        ValueError: If some row lacks what it should be given, the labels do not fit, fewer than
            two rows or classes are left, the guide has no such site, or a conditional model
            conditions on more.
        TypeError: For posteriors that are not all Normal, or all Laplace, in independent
            coordinates.

    Source: Joy et al. 2022 (MEME), section 5.3. Differs: it compares the rows of each batch; the
    AUROC is ours, as is the choice of rows.

    Example:
        >>> from ppl_mm import data, systems
        >>> test = data.load("digits").test
        >>> system = systems.mvae(data.load("digits").modalities, 4)
        >>> found = relatedness(system, test, "top", "bottom", test["label"], num_rows=100)
        >>> found.distances.shape, found.matrix().shape
        (torch.Size([100, 100]), torch.Size([10, 10]))
        >>> 0.0 <= found.auroc("class").value <= 1.0
        True
    """
    check_at_least_one("batch_size", batch_size)
    if num_rows is not None:
        check_at_least_one("num_rows", num_rows)
    labels = None if labels is None else checked_labels(labels, len(obs))
    known = torch.ones(len(obs), dtype=torch.bool) if labels is None else labels >= 0
    rows = known.nonzero().squeeze(-1)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    rows = rows[order[:num_rows].sort().values]
    kept = None if labels is None else labels[rows]
    if len(rows) < 2 or (kept is not None and len(kept.unique()) < 2):
        raise ValueError(
            "relatedness: expected at least two rows and, with labels, two classes to compare, "
            f"got {len(rows)} rows" + ("." if kept is None else f" of {len(kept.unique())}.")
        )
    chosen = obs[rows]
    system.check(chosen)
    a, b = as_subsets(chosen, (first, second))
    of_a, of_b = (
        posterior_coordinates(system, chosen, subset, site, batch_size=batch_size, seed=seed)
        for subset in (a, b)
    )
    if type(of_a) is not type(of_b):
        raise TypeError(
            f"expected posteriors of one family, got {type(of_a).__name__} given {' + '.join(a)} "
            f"and {type(of_b).__name__} given {' + '.join(b)}."
        )
    distances = wasserstein_distances(of_a.mean, of_a.stddev, of_b.mean, of_b.stddev)
    return Relatedness((a, b), distances, kept)


def _per_row(parts: Tensor, pairs: Tensor) -> Tensor:
    """What each row, as x_a and as x_b, adds to the mean of these pairs' parts, (N,).

    Of parts less their mean it is the infinitesimal jackknife: its norm is the standard error.
    """
    own = torch.where(pairs, parts, 0.0)
    return (own.sum(0) + own.sum(1) - own.diagonal()) / pairs.sum()
