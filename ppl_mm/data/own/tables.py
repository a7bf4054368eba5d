"""CSV, TSV and Parquet files, and the cells of a table as numbers or words."""

import csv
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ppl_mm.data.own.opened import opened, opened_text
from ppl_mm.data.own.source import Table

if TYPE_CHECKING:
    from pandas import DataFrame, Series

__all__ = ["label_text", "numbers", "of_frame", "read_delimited", "read_parquet", "remedy", "words"]

_WHOLE = re.compile(r"-?\d+\.0*")
_NEARLY = re.compile(r"[-+]?[\d.,' _]*\d\s*%?")  # such as 0,5 or 1'000 or 30 %
_MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "<na>"})
_NO_NUMBER = _MISSING | {"none"}  # among words, "none" is one of them


def read_delimited(path: Path) -> Table:
    """Read a CSV or TSV file, plain or gzipped, with every cell as it is written.

    Programs write columns without a name for row numbers or after a last delimiter; the first of
    several such columns is kept.

    Raises:
        ValueError: If the file has no rows, its header repeats a name, a line has another number of
            cells, a quote is not closed, or its text is not UTF-8.
    """
    import pandas

    delimiter = _delimiter(path)
    names = _check(path, delimiter)
    try:
        with opened(path) as file:
            frame = pandas.read_csv(
                file,
                sep=delimiter,
                dtype=str,
                na_filter=False,
                encoding="utf-8-sig",
                header=0,
                names=range(len(names)),
            )
    except pandas.errors.ParserError as error:  # The last quote is open.
        raise ValueError(f"{path.name}: {error}; close every quote.") from error
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        first.setdefault(name, i)
    frame = frame.iloc[:, [*first.values()]].set_axis([*first], axis=1)
    return Table(path.name, frame, lambda i: _line(path, delimiter, i))


def _delimiter(path: Path) -> str:
    """Return the delimiter under which the header and the first row have equally many cells."""
    signs = "\t,;|" if ".tsv" in path.name.lower() else ",;\t|"
    widths = {sign: _widths(path, sign) for sign in signs}
    header = {sign: found[0] for sign, found in widths.items() if found}
    even = {sign: n for sign, n in header.items() if n > 1 and set(widths[sign]) == {n}}
    likely = even or header or {",": 0}
    return max(likely, key=lambda sign: likely[sign])


def _widths(path: Path, delimiter: str) -> list[int]:
    """Return the numbers of cells of the header and the first row; 0 for what csv cannot read."""
    found: list[int] = []
    with opened_text(path) as file, suppress(csv.Error):
        for row in csv.reader(file, delimiter=delimiter):
            found += [] if _is_blank(row) else [len(row)]
            if len(found) == 2:
                break
        return found
    return [*found, 0]


def _is_blank(row: list[str]) -> bool:
    """Whether pandas skips a line: it is empty or all blanks."""
    return not row or (len(row) == 1 and row[0].isspace())


def _check(path: Path, delimiter: str) -> list[str]:
    """Read the names of the columns, and check that every line has this number of cells."""
    names: list[str] | None = None
    rows = False
    with opened_text(path) as file:
        reader = csv.reader(file, delimiter=delimiter)
        for row in reader:
            if _is_blank(row):
                continue
            if names is None:
                names = [name.strip() for name in row]
                _check_names(names, f"{path.name}, line {reader.line_num}")
                continue
            rows = True
            if len(row) != len(names):
                raise ValueError(
                    f"{path.name}, line {reader.line_num}: expected {len(names)} cells as in the "
                    f"header, got {len(row)}; put text that holds {delimiter!r} in quotes."
                )
    if names is None or not rows:
        raise ValueError(f"{path.name}: expected a header and at least one row, got none.")
    return names


def _check_names(names: list[str], where: str) -> None:
    for name, number in Counter(names).items():
        if number > 1 and name:
            raise ValueError(f"{where}: column {name!r} is there twice; rename one.")


def _line(path: Path, delimiter: str, i: int) -> str:
    """Return the line on which row i of a file begins."""
    with opened_text(path) as file:
        reader = csv.reader(file, delimiter=delimiter)
        before, row = -1, -1  # The header is no row.
        for cells in reader:
            row += not _is_blank(cells)
            if row > i:
                break
            before = reader.line_num
        return f"line {before + 1}"


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


def of_frame(origin: str, frame: "DataFrame") -> Table:
    """Return a data frame as a table; its index labels the rows unless it only numbers them.

    Raises:
        ValueError: If two columns have one name, or a label is missing.
    """
    _check_names([str(name) for name in frame.columns], origin)
    if type(frame.index).__name__ == "RangeIndex":
        return Table(origin, frame)
    for i, label in enumerate(frame.index):
        if _is_missing(label):
            raise ValueError(f"{origin}, row {i}: its index is empty; name the row, or remove it.")
    return Table(origin, frame, labels=tuple(map(label_text, frame.index)))


def numbers(column: "Series") -> tuple[np.ndarray, int | None]:
    """Return a column's numbers (n,), NaN where missing, and the position of its first non-number.

    Example:
        >>> import pandas
        >>> numbers(pandas.Series(["1.5", "NA", "x"]))
        (array([1.5, nan, nan]), 2)
    """
    import pandas

    timed = isinstance(column.dtype, pandas.PeriodDtype) or column.dtype.kind in "mM"
    parsed: Series = column if timed else pandas.to_numeric(column, errors="coerce")
    if timed or parsed.dtype.kind == "c":  # Times and complex numbers are no numbers here.
        held = column.notna().to_numpy().nonzero()[0]
        return np.full(len(column), np.nan), int(held[0]) if len(held) else None
    found = parsed.to_numpy(dtype=np.float64, na_value=np.nan)
    doubtful = np.isnan(found).nonzero()[0]
    for i, cell in zip(doubtful, column.to_numpy(dtype=object)[doubtful], strict=True):
        if not _is_missing(cell, _NO_NUMBER):
            return found, int(i)
    return found, None


def remedy(cell: str | None) -> str:
    """Return the remedy for a cell that is no number.

    Example:
        >>> remedy("0,5"), remedy("young")
        ('write a decimal point and no other signs', 'correct it')
    """
    near = _NEARLY.fullmatch(cell or "")
    return "write a decimal point and no other signs" if near else "correct it"


def words(column: "Series") -> list[str | None]:
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


def label_text(cell: object) -> str:
    """Return a cell as text; whole numbers never have decimals.

    Example:
        >>> label_text(3.0), label_text("3.0"), label_text("3.10"), label_text(" p3 ")
        ('3', '3', '3.10', 'p3')
    """
    text = str(cell).strip()
    return text.partition(".")[0] if _WHOLE.fullmatch(text) else text


def _is_missing(cell: object, missing: frozenset[str] = _MISSING) -> bool:
    if isinstance(cell, str):
        return cell.strip().lower() in missing
    return cell is None or type(cell).__name__ in ("NAType", "NaTType") or bool(cell != cell)
