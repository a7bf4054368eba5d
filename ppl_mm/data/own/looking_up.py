"""The cells of one column of the user's tables, at the rows of the data set."""

from ppl_mm.data.own.declaration import Declaration
from ppl_mm.data.own.reading import Reader
from ppl_mm.data.own.source import Table

__all__ = ["looked_up"]


def looked_up(
    declaration: Declaration, reader: Reader, column: str, labels: tuple[str, ...], key: str
) -> tuple[Table, list[int]]:
    """Find the first table that has a column, and the position in it of each row.

    Args:
        declaration: The declaration.
        reader: The reader of its files.
        column: The column's name.
        labels: The rows' labels, (N,).
        key: The declaration's key that names the column, for messages.

    Raises:
        ValueError: If no table has the column, or the table lacks a row.
    """
    tables = reader.tables()
    table = next((t for t in tables if column in t.columns), None)
    if table is None:
        names = ", ".join(t.origin for t in tables) or "the files, none of which is a table"
        raise ValueError(f"{declaration.where}, {key}: no column {column!r} in {names}.")
    own = reader.labels_of(table) or tuple(map(str, range(len(table.frame))))
    place = {label: i for i, label in enumerate(own)}
    for label in labels:
        if label not in place:
            raise ValueError(
                f"{table.origin}: has no row {label!r}, so column {column!r}, which {key} names, "
                "says nothing of it; add the row."
            )
    return table, [place[label] for label in labels]
