"""The values of a modality of a given kind, read from the rows of its source."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ppl_mm.arguments.shown import shown
from ppl_mm.batch.libraries import is_sparse
from ppl_mm.data.own.declaration import Declared, Kind
from ppl_mm.data.own.images import Images
from ppl_mm.data.own.kinds import TRUTH
from ppl_mm.data.own.ranges import check_range
from ppl_mm.data.own.source import Rows, Stored
from ppl_mm.data.own.tables import numbers, remedy, words
from ppl_mm.data.own.text import read_text
from ppl_mm.data.vocabulary import Vocabulary

__all__ = ["Values", "read_values", "sorted_levels"]


@dataclass(frozen=True)
class Values:
    """The values of a modality, with one row for each row of its source.

    Attributes:
        array: The values (n, *D): an array, a sparse matrix, or images.
        missing: Whether a row holds nothing, (n,).
        holes: Whether an element is missing in a row that holds others, (n, *D); None if no row has
            such elements.
        levels: The classes, or the labels of a label set.
        vocabulary: The symbols of text; None for other kinds.
        convert: The function from stored rows to values, see :class:`~ppl_mm.data.MemoryMapped`;
            None if the values are stored directly.
    """

    array: Stored
    missing: np.ndarray
    holes: np.ndarray | None = None
    levels: tuple[str, ...] = ()
    vocabulary: Vocabulary | None = None
    convert: Callable[[Tensor], Tensor] | None = None


def read_values(rows: Rows, kind: Kind, training: np.ndarray, declared: Declared) -> Values:
    """Read the values of a modality.

    Args:
        rows: The rows of its source.
        kind: Its kind.
        training: Whether a row is a training row, (n,); only these determine classes and
            vocabularies.
        declared: The modality's declaration.

    Raises:
        ValueError: If values are not of the kind; the message has the line and the column.
    """
    if kind == "image":
        return _images(rows)
    if kind == "category":
        return _category(rows, training)
    if kind == "text":
        return _text(rows, training, declared)
    if kind == "label set" and rows.is_table and _is_text(rows):
        return _label_set(rows, training)
    found = _numbers(rows, kind)
    check_range(found.array, rows, kind)
    return found


def _is_text(rows: Rows) -> bool:
    if len(rows.columns) > 1:
        return False
    return numbers(rows.values.iloc[:, 0])[1] is not None


def _numbers(rows: Rows, kind: Kind) -> Values:
    """Read columns of numbers (n, D)."""
    if len(rows.values.shape) > 2:
        raise ValueError(
            f"{rows.origin}: expected columns (N, D) for kind {kind!r}, got the shape "
            f"{tuple(rows.values.shape)}; its kind may be 'image'."
        )
    levels = rows.columns if kind == "label set" else ()
    if is_sparse(rows.values):
        matrix = rows.values.astype(np.float32)
        return Values(matrix, np.zeros(len(rows), dtype=bool), levels=levels)
    if not rows.is_table:
        array = rows.values if rows.values.ndim == 2 else rows.values[:, None]
        if array.dtype.kind != "f":
            array = array.astype(np.float64)
    else:
        array = np.stack([_column(rows, i, kind) for i in range(len(rows.columns))], 1)
    nan = np.isnan(array)
    missing = nan.all(1)
    holes = nan & ~missing[:, None]
    return Values(array, missing, holes if holes.any() else None, levels)


def _column(rows: Rows, i: int, kind: Kind) -> np.ndarray:
    """Read the numbers of a column of a table."""
    column = rows.values.iloc[:, i]
    found, bad = numbers(column)
    if bad is None:
        return found
    cells = words(column)
    if kind in ("binary", "label set"):
        told = [np.nan if cell is None else TRUTH.get(cell.lower()) for cell in cells]
        if None not in told:
            return np.array(told, dtype=np.float64)
        bad, expected = told.index(None), "0 or 1, or yes or no, or true or false"
    else:
        expected = "a number"
    raise ValueError(
        f"{rows.at(bad, i)}: expected {expected}, got {shown(cells[bad])}; {remedy(cells[bad])}, "
        "or leave the cell empty where the value is missing."
    )


def _one_column(rows: Rows, kind: Kind) -> list[str | None]:
    """Read the cells of the only column as words."""
    if rows.is_table:
        if len(rows.columns) != 1:
            raise ValueError(
                f"{rows.origin}: kind {kind!r} takes one column, got {len(rows.columns)} "
                f"({', '.join(rows.columns[:4])}); make each a modality of its own."
            )
        return words(rows.values.iloc[:, 0])
    import pandas

    array = rows.values
    if (len(array.shape) != 1 and tuple(array.shape[1:]) != (1,)) or is_sparse(array):
        raise ValueError(
            f"{rows.origin}: kind {kind!r} takes an array (N,), got the shape {tuple(array.shape)}."
        )
    return words(pandas.Series(np.asarray(array).reshape(-1)))


def _category(rows: Rows, training: np.ndarray) -> Values:
    """Return the class indices (n,) int64; the classes are the levels of training rows."""
    cells = _one_column(rows, "category")
    levels = sorted_levels({c for c, trains in zip(cells, training, strict=True) if trains and c})
    if not levels:
        what = f"column {rows.columns[0]!r}" if rows.columns else "its array"
        raise ValueError(
            f"{rows.origin}: no training row has a class in {what}; change the split, or leave the "
            "modality out."
        )
    number = {level: i for i, level in enumerate(levels)}
    missing = np.array([cell is None for cell in cells])
    for i, cell in enumerate(cells):
        if cell is not None and cell not in number:
            raise ValueError(
                f"{rows.at(i, 0)}: {cell!r} is a level that no training row has; change the seed "
                "or the shares of the split, join it with another level, or leave the cell empty."
            )
    codes = np.array([0 if c is None else number[c] for c in cells], dtype=np.int64)
    return Values(codes, missing, levels=tuple(levels))


def _label_set(rows: Rows, training: np.ndarray) -> Values:
    """Return the labels of each row, (n, L), from cells such as ``red; round``."""
    cells = _one_column(rows, "label set")
    joined = next((s for s in ";|," if any(s in c for c in cells if c is not None)), ";")
    sets = [None if c is None else {x.strip() for x in c.split(joined)} - {""} for c in cells]
    known = {x for s, trains in zip(sets, training, strict=True) if trains and s for x in s}
    levels = sorted_levels(known)
    found = np.zeros((len(cells), len(levels)))
    for i, labels in enumerate(sets):
        for label in labels or ():
            if label not in known:
                raise ValueError(
                    f"{rows.at(i, 0)}: {label!r} is a label that no training row has; change the "
                    "seed or the shares of the split, or leave the label out."
                )
            found[i, levels.index(label)] = 1.0
    return Values(found, np.array([s is None for s in sets]), levels=tuple(levels))


def _text(rows: Rows, training: np.ndarray, declared: Declared) -> Values:
    cells = _one_column(rows, "text")
    tokens, vocabulary = read_text(cells, training, declared.symbols, declared.length, rows.origin)
    return Values(tokens, np.array([c is None for c in cells]), vocabulary=vocabulary)


def _images(rows: Rows) -> Values:
    """Read pictures (n, C, H, W) in [0, 1]."""
    array = rows.values
    if isinstance(array, Images):
        return Values(array, np.zeros(len(array.paths), dtype=bool), convert=_as_grey)
    if rows.is_table or is_sparse(array) or array.ndim not in (3, 4):
        raise ValueError(
            f"{rows.origin}: expected images as a folder, or as an array (N, H, W), (N, H, W, C) "
            f"or (N, C, H, W), got the shape {tuple(array.shape)}."
        )
    if array.ndim == 3:
        array = array[:, None]
    elif _has_channels_last(array.shape):
        array = np.moveaxis(array, -1, 1)
    if array.dtype == np.uint8:
        return Values(array, np.zeros(len(array), dtype=bool), convert=_as_grey)
    nan = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, dtype=bool)
    missing = np.asarray(nan.reshape(len(array), -1).all(1))
    held = array[~nan]
    if held.size and not 0 <= held.min() <= held.max() <= 1:
        raise ValueError(
            f"{rows.origin}: expected pixels as bytes (uint8) or in [0, 1], got {array.dtype} from "
            f"{held.min():g} to {held.max():g}; divide by 255, or save as bytes."
        )
    holes = nan & ~missing.reshape(-1, 1, 1, 1)
    return Values(array.astype(np.float64), missing, holes if holes.any() else None)


def _has_channels_last(shape: tuple[int, ...]) -> bool:
    """Whether images of this shape are (N, H, W, C) rather than (N, C, H, W)."""
    _, first, second, last = shape
    opaque = first not in (1, 3) and last in (1, 3)
    return opaque or (last in (2, 4) and min(first, second) > 4)  # The last channel is opacity.


def _as_grey(stored: Tensor) -> Tensor:
    return stored.to(torch.get_default_dtype()) / 255


def sorted_levels(levels: set[str]) -> list[str]:
    """Sort levels by number if all are numbers, else alphabetically; "1" comes before "01"."""
    try:
        number = {level: float(level) for level in levels}
    except ValueError:
        return sorted(levels)
    if any(x != x for x in number.values()):  # NaN has no place in an order.
        return sorted(levels)
    return sorted(levels, key=lambda level: (number[level], len(level), level))
