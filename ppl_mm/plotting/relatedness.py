"""Pictures of the distances between unimodal posteriors, as :func:`relatedness` finds them.

Source: Joy et al. 2022 (MEME), arXiv:2106.12570, figures 8 and 9.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from ppl_mm.arguments.typed import typed
from ppl_mm.measures.relatedness import By, Relatedness
from ppl_mm.plotting.tiles import BLUE, ORANGE, PALE

__all__ = ["class_dendrogram", "class_distances", "pair_distances"]

_DISTANCE = "2-Wasserstein distance"
_FEW = 20  # classes, of which the matrix shows the numbers
_CELL, _SMALL_CELL = 0.42, 0.12  # inches


@typed
def class_distances(found: Relatedness, class_names: Sequence[str] | None = None) -> Figure:
    """The matrix K as a picture: mean distance of posteriors, class by class; dark is near.

    Up to 20 classes its numbers are written in it.

    Args:
        found: With classes.
        class_names: What to call the classes, in their order; None is their numbers.

    Raises:
        ValueError: Without classes, or for another number of names.
    """
    matrix, names = found.matrix().numpy(), _names(found, class_names)
    size, few = len(names), len(names) <= _FEW
    inches = (_CELL if few else _SMALL_CELL) * size
    figure = Figure(figsize=(1.9 + inches, 1.2 + inches), layout="constrained")
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
def pair_distances(found: Relatedness, by: By = "item", *, bins: int = 60) -> Figure:
    """Histograms of the distances of related pairs and of all others, of area 1 each.

    Args:
        found: The distances.
        by: What makes a pair related: the same ``"item"``, or the same ``"class"``.
        bins: Of equal width, the same for both.

    Raises:
        ValueError: For ``"class"`` without classes.
    """
    pairs, distances = found.related(by), found.distances
    edges = np.histogram_bin_edges(distances.numpy(), bins).tolist()
    figure = Figure(figsize=(5.2, 3.2), layout="constrained")
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
    axes.legend(frameon=False)
    return figure


@typed
def class_dendrogram(found: Relatedness, class_names: Sequence[str] | None = None) -> Figure:
    """Which classes lie together: average linkage of (K + K^T) / 2 with zeros on its diagonal.

    Two groups of classes join at the height of the mean distance between their members.

    Args:
        found: With classes.
        class_names: What to call the classes, in their order; None is their numbers.

    Raises:
        ValueError: Without classes, or for another number of names.
    """
    matrix, names = found.matrix().numpy(), _names(found, class_names)
    between = (matrix + matrix.T) / 2
    np.fill_diagonal(between, 0.0)
    cell = _CELL if len(names) <= _FEW else _SMALL_CELL
    figure = Figure(figsize=(1.6 + cell * len(names), 3.6), layout="constrained")
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
