"""The guess of a modality's kind from its values, if the declaration does not give it."""

import numpy as np

from ppl_mm.arguments.shown import shown
from ppl_mm.batch.libraries import is_sparse
from ppl_mm.data.own.arrays import blocks
from ppl_mm.data.own.declaration import Kind
from ppl_mm.data.own.images import Images
from ppl_mm.data.own.source import Rows, Stored
from ppl_mm.data.own.tables import numbers, remedy, words

__all__ = ["TRUTH", "guess"]

TRUTH = {
    **dict.fromkeys(("0", "false", "no", "f", "n"), 0.0),
    **dict.fromkeys(("1", "true", "yes", "t", "y"), 1.0),
}
"""The words of a binary value, in lower case."""

_MOST_LEVELS = 50  # The largest number of levels of a guessed category.
_MOST_NUMBERS = 20  # The same, if the levels are whole numbers.
_MANY_ZEROS = 0.2  # From this share of zeros on, whole numbers are counts.
_FOLD = 100  # From this ratio of largest to smallest on, values are positive.
_LOOKED_AT, _NUMBERS_LOOKED_AT = 5000, 10_000_000  # The limits of a guess.


def guess(rows: Rows, is_label: bool) -> Kind:
    """Guess the kind of a modality from its values.

    Text is a category if it has few, repeated words, a label set if words are joined by ``;`` or
    ``|``, and text otherwise. Numbers are binary if all are 0 or 1; counts if they are whole, at
    least 0 and often 0; a category if one column has few, repeated whole values; positive if every
    column spans a factor of 100; and real otherwise. Arrays of rows with two or three dimensions
    are images.

    Raises:
        ValueError: If some columns are text and others are numbers.
    """
    if is_label:
        return "category"
    if isinstance(rows.values, Images) or len(rows.values.shape) > 2:
        return "image"
    if not rows.is_table:
        return _of_numbers(_sample(rows.values), is_sparse(rows.values))
    columns = [rows.values.iloc[:, i] for i in range(len(rows.columns))]
    found = [numbers(column) for column in columns]
    text = [i for i, (_, bad) in enumerate(found) if bad is not None]
    if not text:
        return _of_numbers(np.stack([x for x, _ in found], 1), False)
    told = [words(columns[i]) for i in text]
    if len(text) == len(columns) and all(_is_truth(cells) for cells in told):
        return "binary"
    if len(columns) > 1:
        number = next((i for i in range(len(columns)) if i not in text), None)
        if number is None:
            names = ", ".join(map(repr, rows.columns[:4]))
            raise ValueError(
                f"{rows.origin}: columns {names} are text; make each a modality of its own."
            )
        bad = found[text[0]][1] or 0
        cell = told[0][bad]
        raise ValueError(
            f"{rows.at(bad, text[0])}: expected a number as in column {rows.columns[number]!r}, "
            f"got {shown(cell)}; {remedy(cell)}, or make text a modality of its own."
        )
    return _of_words([cell for cell in told[0] if cell is not None])


def _is_truth(cells: list[str | None]) -> bool:
    return all(cell is None or cell.lower() in TRUTH for cell in cells)


def _of_words(cells: list[str]) -> Kind:
    levels = set(cells)
    joined = [sign for sign in ";|" if sum(sign in cell for cell in cells) > len(cells) / 10]
    if joined:
        return "label set"
    repeated = len(levels) <= min(_MOST_LEVELS, max(2, len(cells) / 2))
    return "category" if repeated else "text"


def _of_numbers(values: np.ndarray, sparse: bool) -> Kind:
    """Guess the kind of columns (n, D) of numbers, NaN where missing."""
    one_column = values.ndim == 1 or values.shape[1] == 1
    held = values[~np.isnan(values)]
    if held.size == 0 or not np.isfinite(held).all():
        return "real"
    if ((held == 0) | (held == 1)).all():
        return "binary"
    whole = bool((held == np.floor(held)).all())
    if whole and held.min() >= 0 and (sparse or (held == 0).mean() >= _MANY_ZEROS):
        return "counts"
    levels = np.unique(held) if one_column else held
    if whole and one_column and len(levels) <= min(_MOST_NUMBERS, held.size / 2):
        return "category"
    if held.min() > 0 and not one_column:
        low, high = np.nanmin(values, 0), np.nanmax(values, 0)
        return "positive" if (high > _FOLD * low).all() else "real"
    return "positive" if held.min() > 0 and held.max() > _FOLD * held.min() else "real"


def _sample(array: Stored) -> np.ndarray:
    """Return some rows of an array or a sparse matrix."""
    n = array.shape[0]
    most = max(1, _NUMBERS_LOOKED_AT // max(int(np.prod(array.shape[1:])), 1))
    step = max(1, n // min(_LOOKED_AT, most))
    rows = np.arange(0, n, step)
    return np.concatenate([block.astype(np.float64) for block in blocks(array, rows)])
