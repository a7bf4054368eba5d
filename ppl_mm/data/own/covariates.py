"""Columns that networks read and no model scores, such as the batch of a cell or the age."""

import re
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from ppl_mm.data.own.declaration import Declaration
from ppl_mm.data.own.kinds import guess
from ppl_mm.data.own.looking_up import looked_up
from ppl_mm.data.own.reading import Reader
from ppl_mm.data.own.source import Rows
from ppl_mm.data.own.tables import numbers, words
from ppl_mm.data.own.values import sorted_levels
from ppl_mm.data.provenance import Covariate

__all__ = ["read_covariates", "sizes_of"]


def read_covariates(
    declaration: Declaration, reader: Reader, labels: tuple[str, ...], training: np.ndarray
) -> tuple[dict[str, Covariate], dict[str, Shaped[Tensor, "N ..."]]]:
    """Read the covariates of all rows.

    Args:
        declaration: The declaration, which names their columns.
        reader: The reader of its files.
        labels: The rows' labels, (N,).
        training: The positions of the training rows, which determine classes and units.

    Returns:
        Name -> what it is; and name -> classes (N,) int64, or standardised numbers (N, 1).

    Raises:
        ValueError: If a column is unknown, a cell is empty, a class is not one of the training
            rows, or a name is a modality's or a former covariate's.
    """
    found: dict[str, Covariate] = {}
    values = {}
    names = [m.name for m in declaration.modalities]
    for column, kind in declaration.covariates.items():
        where = f"{declaration.where}, covariates"
        name = _identifier(column)
        if name in names or name in found:
            what = "a modality" if name in names else "another covariate"
            raise ValueError(f"{where}: {column!r} has the name of {what}, {name!r}; rename it.")
        table, rows = looked_up(declaration, reader, column, labels, "covariates")
        at = Rows(table.origin, table.frame, table.columns, table.labels, table.place)
        place = table.columns.index(column) if column in table.columns else None
        cells = table.column(column).iloc[rows]
        told = words(cells)
        if None in told:
            raise ValueError(
                f"{at.at(rows[told.index(None)], place)}: is empty, and no covariate may be "
                "missing; write 'unknown', or leave the row out."
            )
        one = Rows(table.origin, cells.to_frame(column), (column,))
        if kind is None:
            kind = "real" if guess(one, False) in ("real", "positive", "counts") else "category"
        if kind == "category":
            levels = tuple(sorted_levels({told[i] for i in training}))
            made = Covariate(column, levels)
            bad = next((i for i, cell in enumerate(told) if cell not in levels), None)
            expected = "a class that some training row has"
        else:
            parsed, bad = numbers(cells)
            with np.errstate(invalid="ignore"):
                centre, spread = float(parsed[training].mean()), float(parsed[training].std())
            made = Covariate(column, (), centre, spread if spread > 0 else 1.0)
            bad = next(iter((~np.isfinite(parsed)).nonzero()[0]), bad)
            expected = "a number"
        if bad is not None:
            raise ValueError(
                f"{at.at(rows[bad], place)}: expected {expected}, got {told[bad]!r}; correct it, "
                "or change the split."
            )
        found[name] = made
        values[name] = torch.stack([made.value(cell) for cell in told])
    return found, values


def sizes_of(covariates: Mapping[str, Covariate]) -> dict[str, int] | None:
    """Return name -> the number of classes, or 1 for a number; None without covariates."""
    return {name: max(len(c.levels), 1) for name, c in covariates.items()} or None


def _identifier(column: str) -> str:
    """Return a column's name with ``_`` in place of all but letters and digits."""
    name = re.sub(r"\W", "_", column)
    return name if name.isidentifier() else f"_{name}"
