"""CSV, TSV and Parquet files, and the cells of a table as numbers or words."""

import csv
import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ppl_mm.data.own.source import Table

__all__ = ["label_text", "numbers", "of_frame", "read_delimited", "read_parquet", "words"]

_WHOLE = re.compile(r"-?\d+\.0*")
_MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "<na>"})
_NO_NUMBER = _MISSING | {"none"}  # among words, "none" is one of them


def read_delimited(path: Path) -> Table:
    """Read a CSV or TSV file, plain or gzipped, with every cell as it is written.

    Raises:
        ValueError: If the file has no rows, its header repeats a name, a line has another number of
            cells, or its text is not UTF-8.
    """
    import pandas

    with _text(path) as file:
        header = file.readline()
    delimiter = "\t" if ".tsv" in path.name or header.count("\t") > header.count(",") else ","
    if delimiter == "," and "," not in header and ";" in header:
        delimiter = ";"
    names = _check(path, delimiter)
    frame = pandas.read_csv(
        path, sep=delimiter, dtype=str, na_filter=False, encoding="utf-8-sig", header=0, names=names
    )
    return Table(path.name, frame, lambda i: _line(path, delimiter, i))


def _check(path: Path, delimiter: str) -> list[str]:
    """Read the names of the columns, and check that every line has this number of cells."""
    with _text(path) as file:
        reader = csv.reader(file, delimiter=delimiter)
        names = [name.strip() for name in next(reader, [])]
        rows = False
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"{path.name}, line 1: column {name!r} is there twice; rename one."
                )
        for row in reader:
            rows = rows or bool(row)
            if row and len(row) != len(names):
                raise ValueError(
                    f"{path.name}, line {reader.line_num}: expected {len(names)} cells as in the "
                    f"header, got {len(row)}; put text that holds {delimiter!r} in quotes."
                )
    if not rows:
        raise ValueError(f"{path.name}: expected a header and at least one row, got none.")
    return names


def _line(path: Path, delimiter: str, i: int) -> str:
    """Return the line on which row i of a file begins."""
    with _text(path) as file:
        reader = csv.reader(file, delimiter=delimiter)
        before, row = -1, -1  # The header is no row.
        for cells in reader:
            row += bool(cells)
            if row > i:
                break
            before = reader.line_num
        return f"line {before + 1}"


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    opened: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: expected UTF-8 text ({error}); save it as such.") from error
    except csv.Error as error:
        raise ValueError(f"{path.name}: expected text with delimiters ({error}).") from error


def read_parquet(path: Path) -> Table:
    """Read a Parquet file; an index of labels gives the rows' labels.

    Raises:
        ModuleNotFoundError: If pyarrow is not installed.
        ValueError: If the file is damaged.
    """
    import pandas

    try:
        import pyarrow
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path.name}: Parquet files need pyarrow; pip install 'ppl-mm[tables]'."
        ) from error
    try:
        frame = pandas.read_parquet(path, engine="pyarrow")
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"{path.name}: damaged, or no Parquet file ({error}).") from error
    return of_frame(path.name, frame)


def of_frame(origin: str, frame: Any) -> Table:
    """Return a data frame as a table; its index labels the rows unless it only numbers them."""
    numbered = type(frame.index).__name__ == "RangeIndex"
    return Table(origin, frame, labels=None if numbered else tuple(map(label_text, frame.index)))


def numbers(column: Any) -> tuple[np.ndarray, int | None]:
    """Return a column's numbers (n,), NaN where missing, and the position of its first non-number.

    Example:
        >>> import pandas
        >>> numbers(pandas.Series(["1.5", "NA", "x"]))
        (array([1.5, nan, nan]), 2)
    """
    import pandas

    if column.dtype.kind in "mM":  # A time is no number.
        held = column.notna().to_numpy().nonzero()[0]
        return np.full(len(column), np.nan), int(held[0]) if len(held) else None
    parsed = pandas.to_numeric(column, errors="coerce")
    found = parsed.to_numpy(dtype=np.float64, na_value=np.nan)
    doubtful = np.isnan(found).nonzero()[0]
    for i, cell in zip(doubtful, column.to_numpy(dtype=object)[doubtful], strict=True):
        if not _is_missing(cell, _NO_NUMBER):
            return found, int(i)
    return found, None


def words(column: Any) -> list[str | None]:
    """Return the cells of a column as text without surrounding blanks; None where missing.

    Example:
        >>> import pandas
        >>> words(pandas.Series([" a", "NA"])), words(pandas.Series([1.0, None, 2.5]))
        (['a', None], ['1', None, '2.5'])
        >>> words(pandas.Series(["none", "mild", None]))  # a class may be called "none"
        ['none', 'mild', None]
    """
    cells = column.to_numpy(dtype=object)
    return [None if _is_missing(cell) else label_text(cell) for cell in cells]


def label_text(cell: Any) -> str:
    """Return a cell as text; whole numbers never have decimals.

    Example:
        >>> label_text(3.0), label_text("3.0"), label_text("3.10"), label_text(" p3 ")
        ('3', '3', '3.10', 'p3')
    """
    text = str(cell).strip()
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text


def _is_missing(cell: Any, missing: frozenset[str] = _MISSING) -> bool:
    if isinstance(cell, str):
        return cell.strip().lower() in missing
    return cell is None or type(cell).__name__ in ("NAType", "NaTType") or bool(cell != cell)
