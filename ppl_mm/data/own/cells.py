"""The cells of the user's own tables as they are written."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ppl_mm.data.own.declaration import parse
from ppl_mm.data.own.matching import match
from ppl_mm.data.own.reading import Reader
from ppl_mm.data.own.tables import words

if TYPE_CHECKING:
    from pandas import Series

__all__ = ["cells_of"]


def cells_of(path: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """Read the cells of the modalities that come from tables.

    Args:
        path: The declaration.

    Returns:
        Modality -> column -> its cells (N,) as text, in the order of ``Provenance.places``; None
        where a cell is empty or the row is not in the table.
    """
    path = Path(path)
    content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    reader = Reader(parse(content, path.name, path.parent))
    sources = {m.name: reader.rows(m) for m in reader.declaration.modalities}
    _, places = match(sources)
    found = {}
    for name, rows in sources.items():
        if rows.is_table:
            found[name] = {
                column: np.array([*_written(rows.values.iloc[:, i]), None], dtype=object)[
                    places[name]
                ]
                for i, column in enumerate(rows.columns)
            }
    return found


def _written(column: "Series") -> list[str | None]:
    """Return the cells of a column as they are written; None where a cell is missing."""
    cells = zip(words(column), column.to_numpy(dtype=object), strict=True)
    return [
        cell.strip() if word is not None and isinstance(cell, str) else word for word, cell in cells
    ]
