"""Values of modalities as tiles of a picture: images, text and bars on one pair of axes.

The unit of length is the height of a tile; y grows downwards.
"""

import math
import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from ppl_mm.batch.observations import Observations
from ppl_mm.likelihoods import Bernoulli
from ppl_mm.modality import Modality
from ppl_mm.plotting.values import Row, Tiles, Words, is_image, is_number, text_of
from ppl_mm.results.style import BLUE, ORANGE, PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Sheet"]

_INCHES = 0.62  # the unit
_GAP = 0.14  # between tiles
_BARS = 1.5  # the width of a tile of bars
_TOP, _BOTTOM, _SIDE = 0.75, 0.5, 0.25  # margins
_POINTS = 8.5  # of titles
_WRAP = 18  # characters to a line of a tile's text
_LINE = 0.25  # the height of a label or number in a tile that they share
_MOST_INCHES = 24.0  # of a picture's sides

Box = tuple[float, float, float, float]
"""Left, top, width and height."""


def _limits(values: Sequence[Tensor]) -> tuple[float, float]:
    """The values drawn black and white: 0 and 1 for values between them, else least and most."""
    low, high = min(x.min().item() for x in values), max(x.max().item() for x in values)
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def _spread(values: Tensor) -> float:
    """The standard deviation of real values; infinite where there is one row."""
    return values.double().std().item() if len(values) > 1 else math.inf


class Sheet:
    """A grid of cells; a cell is a row of tiles, a tile a modality or a stack of images.

    Args:
        modalities: The modalities of the system.
        tiles: Names of the modalities in each tile, from top to bottom.
        examples: Modality -> values (N, *event), for sizes, and for the range of values
            that are not between 0 and 1, where ``truth`` has none.
        truth: Data that hold some of the modalities.
        words: The words for modalities that do not read as :func:`text_of` has it.
    """

    def __init__(
        self,
        modalities: Sequence[Modality],
        tiles: Tiles,
        examples: Mapping[str, Shaped[Tensor, "N ..."]],
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
        self.spreads = {n: _spread(known[n]) for n in known}
        self.ranges = {n: (known[n].amin(0), known[n].amax(0)) for n in known}
        self.widths = {tile: self._width(tile) for tile in tiles}
        self.row_height = max(self._tile_height(tile) for tile in tiles)
        self.right = self.bottom = 0.0
        from ppl_mm.results.picture import Picture

        self.canvas = Picture()
        self.axes = self.canvas.add_axes((0, 0, 1, 1))
        self.axes.set_aspect("equal")

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
        """Draw a value of every modality; given ones are framed, and wrong ones are orange.

        Args:
            left: The cell's left edge.
            row: Its row, 0 at the top.
            values: The values to draw.
            given: The modalities to frame.
            truth: The values to compare text with.
            only: The tiles to draw; all by default.
        """
        for tile in self.tiles if only is None else only:
            self.tile(tile, left, row, values, given=given, truth=truth)
            left += self.widths[tile]

    def width(self, only: Sequence[tuple[str, ...]] | None = None) -> float:
        """The distance from a cell's left edge to the next cell's."""
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
        y, width = row * (self.row_height + _GAP), self.widths[tile] - _GAP
        height = self._tile_height(tile)
        rows = [self._height(n) if len(tile) > 1 else 1 for n in tile]
        for name, share in zip(tile, rows, strict=True):
            value, box = values[name], (x, y, width, height * share / sum(rows))
            if value is None:
                self._patch(box, facecolor="white", edgecolor="#bbbbbb", hatch="////", linewidth=0)
            else:
                known = truth[name] if truth is not None else None
                self._value(name, value.cpu(), box, known, named=len(tile) > 1)
            if name in given and value is not None:
                self._patch(box, fill=False, edgecolor=BLUE, linewidth=2, zorder=3)
            y += height * share / sum(rows)
        self.right, self.bottom = max(self.right, x + width), max(self.bottom, y)

    def heading(self, left: float, width: float, title: str) -> None:
        """Write a title over a column of cells of this width."""
        lines = [p for line in title.split("\n") for p in textwrap.wrap(line, int(8 * width))]
        self.write(left + width / 2 - _GAP, -_GAP, "\n".join(lines))

    def write(self, x: float, y: float, text: str, *, weight: str = "normal") -> None:
        """Write text whose lower middle is at (x, y)."""
        self.axes.text(x, y, text, ha="center", va="bottom", fontsize=_POINTS, weight=weight)

    def figure(self, note: str) -> "Figure":
        """The picture, with a note below; smaller where a side would have more than 24 inches."""
        middle, half = self.right / 2, max(self.right, len(note) / 8) / 2 + _SIDE
        bottom = self.bottom + _BOTTOM
        self.write(middle, bottom - _GAP, note)
        width, height = 2 * half * _INCHES, (bottom + _TOP) * _INCHES
        smaller = min(1.0, _MOST_INCHES / max(width, height))
        for text in self.axes.texts:
            text.set_fontsize(smaller * float(text.get_fontsize()))
        for patch in self.axes.patches:
            patch.set_linewidth(smaller * patch.get_linewidth())
        self.canvas.set_size_inches(smaller * width, smaller * height)
        self.axes.set(xlim=(middle - half, middle + half), ylim=(bottom, -_TOP))
        self.axes.set_axis_off()
        return self.canvas

    def _width(self, tile: tuple[str, ...]) -> float:
        """The width of a tile of height 1, with its gap."""
        first = self.examples[tile[0]][0]
        if is_image(self.modalities[tile[0]], first):
            return first.shape[-1] / sum(self._height(n) for n in tile) + _GAP
        texts = [
            self._text(name, value, self.examples[name][-1], named=len(tile) > 1)
            for name in tile
            for value in self.examples[name]
        ]
        if texts[0] is None:
            return _BARS + _GAP
        longest = max(len(line) for t in texts if t is not None for line in t.split("\n"))
        return 0.42 + (0.14 if len(tile) == 1 else 0.11) * longest + _GAP

    def orange(self) -> str:
        """The meaning of the colour, for a note."""
        numbers = any(self._numeric(n, values[0]) for n, values in self.examples.items())
        return "orange: not the truth" + (
            ", a number off by more than the standard deviation of these" if numbers else ""
        )

    def rows_that_fit(self) -> int:
        """The number of rows that fit into the largest height of a picture."""
        height = _MOST_INCHES / _INCHES - _TOP - _BOTTOM
        return max(1, int(height / (self.row_height + _GAP)))

    def _tile_height(self, tile: tuple[str, ...]) -> float:
        """The height of a tile, 1 or more if it has many lines."""
        images = is_image(self.modalities[tile[0]], self.examples[tile[0]][0])
        return 1.0 if images else max(1.0, _LINE * len(tile))

    def _height(self, name: str) -> int:
        """The number of rows of an image; 1 for anything else."""
        value = self.examples[name][0]
        return value.shape[-2] if is_image(self.modalities[name], value) else 1

    def _text(
        self, name: str, value: Tensor, truth: Tensor | None = None, *, named: bool = False
    ) -> str | None:
        """The text of a value: a number with its error, in a shared tile with its name."""
        own = self.words.get(name)
        text = text_of(self.modalities[name], value) if own is None else own(value)
        if text is None:
            return None
        if truth is not None and self._numeric(name, value) and not torch.equal(value, truth):
            text += f" ({(value - truth).item():+.2g})"
        return f"{name} {text}" if named else textwrap.fill(text, _WRAP)

    def _numeric(self, name: str, value: Tensor) -> bool:
        return name not in self.words and is_number(self.modalities[name], value)

    def _is_wrong(self, name: str, value: Tensor, truth: Tensor) -> bool:
        """Return whether a number is off by more than the truth varies, or a text differs."""
        if self._numeric(name, value):
            return bool((value - truth).abs() > self.spreads[name])
        if value.numel() == 1 and isinstance(self.modalities[name].likelihood, Bernoulli):
            return bool((value > 0.5) != (truth > 0.5))
        return self._text(name, value) != self._text(name, truth)

    def _value(
        self, name: str, value: Tensor, box: Box, truth: Tensor | None, *, named: bool
    ) -> None:
        text = self._text(name, value, truth, named=named)
        if text is not None:
            self._write_in(
                box, text, wrong=truth is not None and self._is_wrong(name, value, truth)
            )
        elif is_image(self.modalities[name], value):
            self._image(box, value, *self.limits[name])
        else:
            self._bars(name, box, value)

    def _write_in(self, box: Box, text: str, *, wrong: bool) -> None:
        x, y, width, height = box
        self._patch(box, facecolor=PALE, edgecolor="none")
        self.axes.text(
            x + width / 2,
            y + height / 2,
            text,
            fontsize=17 if len(text) < 3 else min(11, 30 * height / (1 + text.count("\n"))),
            color=ORANGE if wrong else "black",
            weight="bold" if wrong else "normal",
            ha="center",
            va="center_baseline",
        )

    def _image(self, box: Box, value: Tensor, low: float, high: float) -> None:
        from matplotlib.colors import Normalize
        from matplotlib.image import AxesImage

        x, y, width, height = box
        shade = ((value - low) / max(high - low, 1e-12)).clamp(0, 1).numpy()
        if shade.ndim == 3:
            shade = shade[0] if len(shade) == 1 else shade.transpose(1, 2, 0)
        # Unlike imshow, it leaves the limits of the axes alone; figure sets them.
        image = AxesImage(
            self.axes,
            extent=(x, x + width, y + height, y),
            cmap="gray",
            norm=Normalize(0, 1),
            interpolation="nearest",
        )
        image.set_data(shade)
        self.axes.add_image(image)

    def _bars(self, name: str, box: Box, value: Tensor) -> None:
        """A bar for each number: its value from 0 to 1, or its place in its own range."""
        x, y, width, height = box
        if self.limits[name] != (0.0, 1.0):
            least, greatest = self.ranges[name]
            value = (value - least) / (greatest - least).clamp(min=1e-12)
        heights = height * value.flatten().clamp(0, 1)
        self._patch(box, facecolor=PALE, edgecolor="none")
        step = width / len(heights)
        self.axes.bar(
            [x + (i + 0.5) * step for i in range(len(heights))],
            -heights.numpy(),
            0.8 * step,
            bottom=y + height,
            color="black",
        )

    def _patch(self, box: Box, **style: Any) -> None:
        from matplotlib.patches import Rectangle

        x, y, width, height = box
        # Unlike add_patch it does not look for the data's limits; figure sets the axes' own.
        self.axes.add_artist(Rectangle((x, y), width, height, **style))
