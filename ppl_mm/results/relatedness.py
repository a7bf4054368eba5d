"""Distances between unimodal posteriors, and pictures of them.

Source: Joy et al. 2022 (MEME), arXiv:2106.12570, figures 8 and 9.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from rich.table import Table
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.results.by_subset import Subset
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.result import Number, Result, number
from ppl_mm.results.style import BLUE, ORANGE, PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["By", "Relatedness", "class_dendrogram", "class_distances", "pair_distances"]

By = Literal["item", "class"]
"""The relations of two rows: they are the same one, or have the same class."""

_DISTANCE = "2-Wasserstein distance"
_FEW = 20  # classes, of which the matrix shows the numbers
_CELL, _SMALL_CELL = 0.42, 0.12  # inches


@dataclass(frozen=True)
class Relatedness(Result):
    """Distances of all pairs of rows, and how well they tell related pairs from others.

    Standard errors are over rows (another test set, the same trained system): a row is in many
    pairs, as x_a and as x_b, and the errors count what it does to all of them together.

    Attributes:
        subsets: The subsets that the two posteriors were given.
        distances: d_ij of x_a of row i and x_b of row j, (N, N).
        labels: The rows' classes, (N,); None without classes.
    """

    subsets: tuple[Subset, Subset]
    distances: Tensor
    labels: Tensor | None = None

    def related(self, by: By) -> Bool[Tensor, "N N"]:
        """True for related pairs, bool (N, N)."""
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

    def matrix(self) -> Float[Tensor, "C C"]:
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

    def figure(self) -> "Figure":
        """Histograms of the distances, see :func:`ppl_mm.plotting.pair_distances`."""
        return pair_distances(self, self._relations()[-1])

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
        """The modalities that the posteriors were given, in words."""
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
def class_distances(found: Relatedness, class_names: Sequence[str] | None = None) -> "Figure":
    """The matrix K as a picture: mean distance of posteriors, class by class; dark is near.

    Up to 20 classes its numbers are written in it.

    Args:
        found: With classes.
        class_names: The names of the classes, in their order; None is their numbers.

    Raises:
        ValueError: Without classes, or for another number of names.
    """
    from ppl_mm.results.picture import Picture

    matrix, names = found.matrix().numpy(), _names(found, class_names)
    size, few = len(names), len(names) <= _FEW
    inches = (_CELL if few else _SMALL_CELL) * size
    figure = Picture(figsize=(1.9 + inches, 1.2 + inches), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, cmap="gray")
    middle = (matrix.min() + matrix.max()) / 2
    for row, column in np.ndindex(matrix.shape) if few else ():
        value = matrix[row, column]
        colour = "white" if value < middle else "black"
        axes.text(column, row, f"{value:#.3g}", color=colour, ha="center", va="center", fontsize=7)
    points = 10 if few else 6
    axes.set_xticks(range(size), names, fontsize=points, rotation=_rotation(names))
    axes.set_yticks(range(size), names, fontsize=points)
    axes.set(ylabel=f"class of {found.names[0]}", xlabel=f"class of {found.names[1]}")
    figure.colorbar(image, ax=axes, label=f"mean {_DISTANCE}", shrink=0.8)
    return figure


@typed
def pair_distances(found: Relatedness, by: By = "item", *, bins: int = 60) -> "Figure":
    """Histograms of the distances of related pairs and of all others, of area 1 each.

    Args:
        found: The distances.
        by: The relation of a pair: the same ``"item"``, or the same ``"class"``.
        bins: The number of bins, of equal width, the same for both.

    Raises:
        ValueError: For ``"class"`` without classes.
    """
    from ppl_mm.results.picture import Picture

    pairs, distances = found.related(by), found.distances
    edges = np.histogram_bin_edges(distances.numpy(), bins).tolist()
    figure = Picture(figsize=(5.2, 3.2), layout="constrained")
    axes = figure.subplots()
    kinds = ((~pairs, "other pairs", ORANGE), (pairs, f"pairs of the same {by}", BLUE))
    for which, label, colour in kinds:
        values = distances[which].numpy()
        axes.hist(values, edges, density=True, label=label, color=colour, alpha=0.6)
    a, b = found.names
    axes.set(
        title=f"posteriors given {a} and given {b}\nAUROC {found.auroc(by)}",
        xlabel=_DISTANCE,
        ylabel="density",
    )
    axes.grid(color=PALE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


@typed
def class_dendrogram(found: Relatedness, class_names: Sequence[str] | None = None) -> "Figure":
    """A dendrogram of the classes: average linkage of (K + K^T) / 2 with zeros on its diagonal.

    Two groups of classes join at the height of the mean distance between their members.

    Args:
        found: With classes.
        class_names: The names of the classes, in their order; None is their numbers.

    Raises:
        ValueError: Without classes, or for another number of names.
    """
    from scipy.cluster.hierarchy import dendrogram, linkage
    from scipy.spatial.distance import squareform

    from ppl_mm.results.picture import Picture

    matrix, names = found.matrix().numpy(), _names(found, class_names)
    between = (matrix + matrix.T) / 2
    np.fill_diagonal(between, 0.0)
    cell = _CELL if len(names) <= _FEW else _SMALL_CELL
    figure = Picture(figsize=(1.6 + cell * len(names), 3.6), layout="constrained")
    axes = figure.subplots()
    dendrogram(
        linkage(squareform(between), "average"),
        labels=names,
        ax=axes,
        color_threshold=0.0,
        above_threshold_color=BLUE,
        leaf_font_size=10 if len(names) <= _FEW else 6,
        leaf_rotation=_rotation(names),
    )
    a, b = found.names
    axes.set(title=f"posteriors given {a} and given {b}", ylabel=f"mean {_DISTANCE}")
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    return figure


def _names(found: Relatedness, class_names: Sequence[str] | None) -> list[str]:
    names = [str(c) for c in (found.classes if class_names is None else class_names)]
    if len(names) != len(found.classes):
        raise ValueError(
            f"class_names: expected one for each of the {len(found.classes)} classes, got "
            f"{len(names)}."
        )
    return names


def _rotation(names: Sequence[str]) -> int:
    """Upright where a name would run into the next one."""
    return 90 if len(names) > _FEW or max(map(len, names)) > 3 else 0


def _per_row(parts: Tensor, pairs: Tensor) -> Tensor:
    """The part of each row, as x_a and as x_b, in the mean of these pairs' parts, (N,).

    For parts less their mean this is the infinitesimal jackknife: its norm is the standard error.
    """
    own = torch.where(pairs, parts, 0.0)
    return (own.sum(0) + own.sum(1) - own.diagonal()) / pairs.sum()
