"""The rows of one modality in its source, before its kind is known."""

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ppl_mm.arguments.wording import unknown_name

if TYPE_CHECKING:
    from pandas import DataFrame, Series

__all__ = ["Rows", "Stored", "Table", "selected"]


def _row(i: int) -> str:
    return f"row {i}"


class Stored(Protocol):
    """Values as they are stored, whose rows are taken by their indices.

    An array (n, *D), a sparse matrix (n, D), or images.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, *D)."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the numbers."""
        ...

    def __getitem__(self, rows: np.ndarray, /) -> object: ...


@dataclass(frozen=True)
class Table:
    """A table in memory, with the place of each row in its file.

    Attributes:
        origin: The file's name, for messages.
        frame: The pandas.DataFrame, with text as it is written, or numbers.
        place: The function from i to the name of row i in messages, such as ``line 7``.
        labels: The rows' labels if no column holds them; None otherwise.
    """

    origin: str
    frame: "DataFrame"
    place: Callable[[int], str] = _row
    labels: tuple[str, ...] | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns."""
        return tuple(str(name) for name in self.frame.columns)

    def column(self, name: str) -> "Series":
        """Return the column or the index of this name, a pandas.Series.

        Raises:
            ValueError: If the name is unknown; the message has the nearest known one.
        """
        if name == self.frame.index.name:
            return self.frame.index.to_series()
        if name not in self.columns:
            raise ValueError(f"{self.origin}: {unknown_name('column', name, self.columns)}")
        return self.frame.iloc[:, self.columns.index(name)]


@dataclass(frozen=True)
class Rows:
    """The rows of one modality in their source's order.

    Attributes:
        origin: The file's name, for messages.
        values: A :class:`pandas.DataFrame` of cells, an array (n, *D), a sparse matrix (n, D), or
            images, see :mod:`ppl_mm.data.own.images`.
        columns: The names of the columns; empty if they have no names.
        labels: The label of each row; None if the rows have none.
        place: The function from i to the name of row i in messages.
    """

    origin: str
    values: Any
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    place: Callable[[int], str] = _row

    @property
    def is_table(self) -> bool:
        """Whether the values are cells of a table."""
        return hasattr(self.values, "iloc")

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def at(self, i: int, column: int | None = None) -> str:
        """Name row i, and a column, in messages."""
        what = f"{self.origin}, {self.place(int(i))}"
        if column is None or not self.columns:
            return what
        return f"{what}, column {self.columns[int(column)]!r}"


def selected(
    patterns: tuple[str, ...] | None,
    columns: tuple[str, ...],
    taken: frozenset[str],
    where: str,
) -> np.ndarray:
    """Return the positions of the columns that match patterns, in the order of the patterns.

    Args:
        patterns: Names with wildcards; None for all columns.
        columns: The names of the source's columns.
        taken: The names that wildcards do not match: the index, and the columns of other
            modalities. Wildcards match no column without a name.
        where: The source's name in messages.

    Raises:
        ValueError: If no column matches a pattern.
    """
    found: dict[int, None] = {}
    place = {name: i for i, name in enumerate(columns)}
    for pattern in ("*",) if patterns is None else patterns:
        if pattern in place:
            found[place[pattern]] = None
            continue
        matched = [i for i, name in enumerate(columns) if name and fnmatchcase(name, pattern)]
        matched = [i for i in matched if columns[i] not in taken]
        if not matched:
            if any(sign in pattern for sign in "*?["):
                listed = ", ".join(columns[:8]) + (", ..." if len(columns) > 8 else "") or "none"
                raise ValueError(
                    f"{where}: no column matches {pattern!r} that is not the index or another "
                    f"modality's; the columns are {listed}."
                )
            raise ValueError(f"{where}: {unknown_name('column', pattern, columns)}")
        found |= dict.fromkeys(matched)
    return np.array([*found], dtype=np.int64)
