"""The form in which values of modalities are shown: text, images or numbers, alone or together."""

from collections.abc import Callable, Mapping, Sequence

from jaxtyping import Shaped
from torch import Tensor

from ppl_mm.batch.observations import Observations
from ppl_mm.likelihoods import Bernoulli, Categorical, MultiLabel, Tokens
from ppl_mm.modality import Modality

__all__ = ["Row", "Tiles", "Words", "is_image", "is_number", "rows_of", "text_of", "tiles_of"]

_MOST_LINES = 16  # in such a tile
_FEW = 2  # labels and numbers that have a tile each

Tiles = Sequence[tuple[str, ...]]
"""The modalities of each tile, from top to bottom."""

Row = dict[str, Tensor | None]
"""A value of every modality, None where it is missing."""
Words = Mapping[str, Callable[[Tensor], str]]
"""The text of a modality's value, such as a caption's symbols as its words."""


def rows_of(obs: Observations, names: Sequence[str]) -> list[Row]:
    """The rows of ``obs``, on the CPU."""
    obs = obs.to("cpu")
    return [
        {n: obs[n][i] if n in obs.names and bool(obs.present[n][i]) else None for n in names}
        for i in range(len(obs))
    ]


def text_of(modality: Modality, value: Shaped[Tensor, "*D"]) -> str | None:
    """The text of a value; None for one that is drawn instead, an image or a vector.

    Attributes read as the indices of those that hold.
    """
    if isinstance(modality.likelihood, Categorical):
        return str(int(value.argmax() if value.dim() else value))
    if isinstance(modality.likelihood, Tokens):
        return " ".join(str(int(symbol)) for symbol in value.flatten())
    if isinstance(modality.likelihood, MultiLabel):
        return " ".join(str(int(i)) for i in (value.flatten() > 0.5).nonzero()) or "none"
    return f"{value.item():.3g}" if value.numel() == 1 else None


def is_number(modality: Modality, value: Shaped[Tensor, "*D"]) -> bool:
    """Return whether a value is one real number, neither a label nor a yes or no."""
    labels = Categorical | Tokens | MultiLabel | Bernoulli
    return value.numel() == 1 and not isinstance(modality.likelihood, labels)


def _is_small(modality: Modality, value: Tensor) -> bool:
    """Return whether a value reads as one short line: a class, a number, or a yes or no."""
    return isinstance(modality.likelihood, Categorical) or value.numel() == 1


def tiles_of(
    tiles: Tiles,
    names: Sequence[str],
    modalities: Sequence[Modality],
    examples: Mapping[str, Shaped[Tensor, "N ..."]],
) -> list[tuple[str, ...]]:
    """``tiles`` of the shown modalities, then a tile for each other; many small ones share one."""
    stacked = [tuple(n for n in tile if n in names) for tile in tiles]
    alone = [n for n in names if not any(n in tile for tile in stacked)]
    declared = {m.name: m for m in modalities}
    small = [n for n in alone if _is_small(declared[n], examples[n][0])]
    shared = small if len(small) > _FEW else []
    starts = range(0, len(shared), _MOST_LINES)
    lists = [tuple(shared[i : i + _MOST_LINES]) for i in starts]
    rest = [(n,) for n in alone if n not in shared]
    return [tile for tile in stacked if tile] + rest + lists


def is_image(modality: Modality, value: Shaped[Tensor, "*D"]) -> bool:
    """Return whether a value is drawn as an image: (H, W), (1, H, W) or (3, H, W)."""
    grid = value.dim() == 2 or (value.dim() == 3 and value.shape[0] in (1, 3))
    return grid and text_of(modality, value) is None
