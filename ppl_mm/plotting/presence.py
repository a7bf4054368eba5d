"""The modalities that rows hold: a picture of the pattern of missing modalities."""

from typing import TYPE_CHECKING

import torch

from ppl_mm.arguments.typed import typed
from ppl_mm.data.dataset import DataSet
from ppl_mm.results.style import BLUE, PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["presence"]

_INCHES, _HEIGHT = 0.6, 4.0  # the width of a modality; the height of all rows


@typed
def presence(dataset: DataSet) -> "Figure":
    """Draw which modalities each row of a data set holds, rows of one pattern together.

    Args:
        dataset: The data set; rows of all its splits are drawn.

    Returns:
        The figure: a column a modality, dark where a row holds it, with its share above.

    Example:
        >>> from ppl_mm import data
        >>> len(presence(data.load("digits")).axes)
        1
    """
    from matplotlib.colors import ListedColormap

    from ppl_mm.results.picture import Picture

    names = [m.name for m in dataset.modalities]
    splits = [s for s in (dataset.train, dataset.validation, dataset.test) if s is not None]
    held = torch.cat([torch.stack([s.present[n] for n in names], 1) for s in splits]).cpu()
    kinds, which, number = held.unique(dim=0, return_inverse=True, return_counts=True)
    held = held[(-number[which] * len(kinds) + which).argsort(stable=True)]
    figure = Picture(figsize=(1.5 + _INCHES * len(names), _HEIGHT), layout="constrained")
    axes = figure.subplots()
    colours = ListedColormap([PALE, BLUE])
    axes.imshow(held.numpy(), aspect="auto", interpolation="nearest", cmap=colours, vmin=0, vmax=1)
    shares = held.double().mean(0).tolist()
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    for i, share in enumerate(shares):
        axes.text(i, -0.5, f"{share:.0%}", ha="center", va="bottom", fontsize=8)
        axes.axvline(i + 0.5, color="white", linewidth=1)
    axes.set_ylabel(f"{len(held):,} rows")
    axes.set_title(f"what the rows of {dataset.name} hold", pad=16, fontsize=9)
    return figure
