"""Values of modalities as tiles of a picture: images, text and bars on one pair of axes.

The unit of length is the height of a tile; y grows downwards.
"""

import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ppl_mm.batch.observations import Observations
from ppl_mm.likelihoods import Categorical, MultiLabel, Tokens
from ppl_mm.modality import Modality
from ppl_mm.results.style import BLUE, ORANGE, PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Row", "Sheet", "Words", "is_image", "rows_of", "text_of"]

_INCHES = 0.62  # the unit
_GAP = 0.14  # between tiles
_BARS = 1.5  # the width of a tile of bars
_TOP, _BOTTOM, _SIDE = 0.75, 0.5, 0.25  # margins
_POINTS = 8.5  # of titles
_WRAP = 18  # characters to a line of a tile's text

Row = dict[str, Tensor | None]
"""A value of every modality, None where it is missing."""
Words = Mapping[str, Callable[[Tensor], str]]
"""How a value of a modality reads, such as a caption's symbols as its words."""
Box = tuple[float, float, float, float]
"""Left, top, width and height."""


def rows_of(obs: Observations, names: Sequence[str]) -> list[Row]:
    """The rows of ``obs``, on the CPU."""
    obs = obs.to("cpu")
    return [
        {n: obs[n][i] if n in obs.names and bool(obs.present[n][i]) else None for n in names}
        for i in range(len(obs))
    ]


def text_of(modality: Modality, value: Tensor) -> str | None:
    """How a value reads; None for one that is drawn instead, an image or a vector.

    Attributes read as the indices of those that hold.
    """
    if isinstance(modality.likelihood, Categorical):
        return str(int(value.argmax() if value.dim() else value))
    if isinstance(modality.likelihood, Tokens):
        return " ".join(str(int(symbol)) for symbol in value.flatten())
    if isinstance(modality.likelihood, MultiLabel):
        return " ".join(str(int(i)) for i in (value.flatten() > 0.5).nonzero()) or "none"
    return f"{value.item():.3g}" if value.numel() == 1 else None


def is_image(modality: Modality, value: Tensor) -> bool:
    """Whether a value is drawn as an image: (H, W), (1, H, W) or (3, H, W)."""
    grid = value.dim() == 2 or (value.dim() == 3 and value.shape[0] in (1, 3))
    return grid and text_of(modality, value) is None


def _limits(values: Sequence[Tensor]) -> tuple[float, float]:
    """What is drawn black and white: 0 and 1 for values between them, else the least and most."""
    low, high = min(x.min().item() for x in values), max(x.max().item() for x in values)
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


class Sheet:
    """A grid of cells; a cell is a row of tiles, a tile a modality or a stack of images.

    Args:
        modalities: Those of the system.
        tiles: Names of the modalities in each tile, from top to bottom.
        examples: Modality -> values (N, *event), for sizes, and for the range of values
            that are not between 0 and 1, where ``truth`` has none.
        truth: Data that hold some of the modalities.
        words: Of modalities that do not read as :func:`text_of` has it.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        tiles: Sequence[tuple[str, ...]],
        examples: Mapping[str, Tensor],
        truth: Observations | None = None,
        words: Words | None = None,
    ) -> None:
        self.modalities = {m.name: m for m in modalities}
        self.words = words or {}
        self.tiles = tiles
        known = {n: x.cpu() for n, x in examples.items()}
        self.examples = {n: list(x) for n, x in known.items()}
        for name in examples:
            if truth is not None and name in truth.names and bool(truth.present[name].any()):
                known[name] = truth[name][truth.present[name]].cpu()
                self.examples[name] += list(known[name])
        self.limits = {name: _limits([known[n] for n in tile]) for tile in tiles for name in tile}
        self.widths = {tile: self._width(tile) for tile in tiles}
        self.right = self.bottom = 0.0
        from matplotlib.figure import Figure

        self.canvas = Figure()
        self.axes = self.canvas.add_axes((0, 0, 1, 1))

    def cell(
        self,
        left: float,
        row: int,
        values: Row,
        *,
        given: Collection[str] = (),
        truth: Row | None = None,
        only: Sequence[tuple[str, ...]] | None = None,
    ) -> None:
        """Draw a value of every modality: what is given framed, text unlike the truth orange.

        Args:
            left: The cell's left edge.
            row: Its row, 0 at the top.
            values: What to draw.
            given: The modalities to frame.
            truth: What to compare text with.
            only: The tiles to draw; all by default.
        """
        for tile in self.tiles if only is None else only:
            self.tile(tile, left, row, values, given=given, truth=truth)
            left += self.widths[tile]

    def width(self, only: Sequence[tuple[str, ...]] | None = None) -> float:
        """From a cell's left edge to the next cell's."""
        return sum(self.widths[tile] for tile in (self.tiles if only is None else only)) + _GAP

    def tile(
        self,
        tile: tuple[str, ...],
        x: float,
        row: int,
        values: Row,
        *,
        given: Collection[str] = (),
        truth: Row | None = None,
    ) -> None:
        """Draw one tile with its left edge at x."""
        y, width = row * (1 + _GAP), self.widths[tile] - _GAP
        rows = [self.examples[n][0].shape[-2] if len(tile) > 1 else 1 for n in tile]
        for name, share in zip(tile, rows, strict=True):
            value, box = values[name], (x, y, width, share / sum(rows))
            if value is None:
                self._patch(box, facecolor="white", edgecolor="#bbbbbb", hatch="////", linewidth=0)
            else:
                known = truth[name] if truth is not None else None
                self._value(name, value.cpu(), box, known)
            if name in given and value is not None:
                self._patch(box, fill=False, edgecolor=BLUE, linewidth=2, zorder=3)
            y += share / sum(rows)
        self.right, self.bottom = max(self.right, x + width), max(self.bottom, y)

    def heading(self, left: float, width: float, title: str) -> None:
        """Write a title over a column of cells of this width."""
        lines = [p for line in title.split("\n") for p in textwrap.wrap(line, int(8 * width))]
        self.write(left + width / 2 - _GAP, -_GAP, "\n".join(lines))

    def write(self, x: float, y: float, text: str, *, weight: str = "normal") -> None:
        """Write text whose lower middle is at (x, y)."""
        self.axes.text(x, y, text, ha="center", va="bottom", fontsize=_POINTS, weight=weight)

    def figure(self, note: str) -> "Figure":
        """The picture, with a note below."""
        middle, half = self.right / 2, max(self.right, len(note) / 8) / 2 + _SIDE
        bottom = self.bottom + _BOTTOM
        self.write(middle, bottom - _GAP, note)
        self.canvas.set_size_inches(2 * half * _INCHES, (bottom + _TOP) * _INCHES)
        self.axes.set(xlim=(middle - half, middle + half), ylim=(bottom, -_TOP))
        self.axes.set_axis_off()
        return self.canvas

    def _width(self, tile: tuple[str, ...]) -> float:
        """The width of a tile of height 1, with its gap."""
        first, *rest = self.examples[tile[0]]
        if is_image(self.modalities[tile[0]], first):
            height = sum(self.examples[n][0].shape[-2] for n in tile)
            return first.shape[-1] / height + _GAP
        texts = [self._text(tile[0], value) for value in (first, *rest)]
        if texts[0] is None:
            return _BARS + _GAP
        longest = max(len(line) for t in texts if t is not None for line in t.split("\n"))
        return 0.42 + 0.14 * longest + _GAP

    def _text(self, name: str, value: Tensor) -> str | None:
        own = self.words.get(name)
        text = text_of(self.modalities[name], value) if own is None else own(value)
        return None if text is None else textwrap.fill(text, _WRAP)

    def _value(self, name: str, value: Tensor, box: Box, truth: Tensor | None) -> None:
        text = self._text(name, value)
        if text is not None:
            self._write_in(box, text, wrong=truth is not None and text != self._text(name, truth))
        elif is_image(self.modalities[name], value):
            self._image(box, value, *self.limits[name])
        else:
            self._bars(box, value.flatten(), *self.limits[name])

    def _write_in(self, box: Box, text: str, *, wrong: bool) -> None:
        x, y, width, height = box
        self._patch(box, facecolor=PALE, edgecolor="none")
        self.axes.text(
            x + width / 2,
            y + height / 2,
            text,
            fontsize=17 if len(text) < 3 else min(11, 30 / (1 + text.count("\n"))),
            color=ORANGE if wrong else "black",
            weight="bold" if wrong else "normal",
            ha="center",
            va="center_baseline",
        )

    def _image(self, box: Box, value: Tensor, low: float, high: float) -> None:
        x, y, width, height = box
        shade = ((value - low) / max(high - low, 1e-12)).clamp(0, 1).numpy()
        if shade.ndim == 3:
            shade = shade[0] if len(shade) == 1 else shade.transpose(1, 2, 0)
        self.axes.imshow(
            shade,
            extent=(x, x + width, y + height, y),
            cmap="gray",
            vmin=0,
            vmax=1,
            interpolation="nearest",
        )

    def _bars(self, box: Box, value: Tensor, low: float, high: float) -> None:
        x, y, width, height = box
        low, high = min(low, 0.0), max(high, 0.0)
        unit = height / max(high - low, 1e-12)
        self._patch(box, facecolor=PALE, edgecolor="none")
        step = width / len(value)
        self.axes.bar(
            [x + (i + 0.5) * step for i in range(len(value))],
            -unit * value.clamp(low, high).numpy(),
            0.8 * step,
            bottom=y + unit * high,
            color="black",
        )

    def _patch(self, box: Box, **style: Any) -> None:
        from matplotlib.patches import Rectangle

        x, y, width, height = box
        self.axes.add_patch(Rectangle((x, y), width, height, **style))
