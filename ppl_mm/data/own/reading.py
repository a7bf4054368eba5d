"""The reading of a modality's rows from the source that it declares."""

from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatchcase as fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl_mm.arguments.shown import shown
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.libraries import is_sparse
from ppl_mm.data.own.arrays import read_labels, read_matrix_market, read_npy, read_npz
from ppl_mm.data.own.declaration import Declaration, Declared
from ppl_mm.data.own.images import read_images
from ppl_mm.data.own.objects import called, opened_object
from ppl_mm.data.own.opened import located
from ppl_mm.data.own.single_cell import (
    holds_parts,
    is_single_cell,
    obs_of,
    open_single_cell,
    part_of,
)
from ppl_mm.data.own.source import Rows, Table, selected
from ppl_mm.data.own.tables import (
    label_text,
    read_delimited,
    read_parquet,
    words,
)

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData
    from scipy.sparse import csr_array

__all__ = ["Reader"]

_OPENED: dict[str, Callable[[Path], Any]] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".txt": read_delimited,
    ".parquet": read_parquet,
    ".npy": read_npy,
    ".npz": lambda path: path,
    ".mtx": read_matrix_market,
    ".h5ad": open_single_cell,
    ".h5mu": open_single_cell,
}


class Reader:
    """Reads the modalities of one declaration, each file once.

    Args:
        declaration: The declaration.
        frame: The data frame, AnnData or MuData of the modalities that name no file; None if there
            is none.
    """

    def __init__(self, declaration: Declaration, frame: object = None) -> None:
        self.declaration, self.frame = declaration, frame
        self._opened: dict[str, Any] = {}

    def rows(self, declared: Declared) -> Rows:
        """Read the rows of one modality.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If files, parts or columns differ from the declaration.
        """
        source, origin = self._source(declared)
        self._check_keys(declared, source, origin)
        if isinstance(source, Rows):  # An array of images.
            return source
        if is_single_cell(source):
            source = self._single_cell(source, declared, origin)
        if isinstance(source, Table):
            return self._of_table(source, declared)
        rows = source if isinstance(source, Rows) else self._of_array(source, declared, origin)
        if declared.columns is None:
            return rows
        if not rows.columns:
            raise ValueError(f"{rows.origin}: has no names of columns; leave columns out.")
        chosen = selected(declared.columns, rows.columns, frozenset(), rows.origin)
        columns = tuple(rows.columns[i] for i in chosen)
        return Rows(rows.origin, rows.values[:, chosen], columns, rows.labels, rows.place)

    def tables(self) -> list[Table]:
        """Return all tables that modalities are read from, in the order of the declaration."""
        found: dict[int, Table] = {}
        for declared in self.declaration.modalities:
            source, origin = self._source(declared)
            if is_single_cell(source):
                source = obs_of(source, origin, "obs", declared.name)
            if isinstance(source, Table):
                found[id(source.frame)] = source
        return list(found.values())

    def labels_of(self, table: Table) -> tuple[str, ...] | None:
        """Return the labels of a table's rows, from the index of the modalities that use it."""
        for declared in self.declaration.modalities:
            source, origin = self._source(declared)
            if is_single_cell(source):
                obs = obs_of(source, origin, "obs", declared.name)
                if obs.frame is table.frame and declared.index in obs.columns:
                    return _labels(table, declared.index)
            elif isinstance(source, Table) and source.frame is table.frame:
                return _labels(table, declared.index)
        return table.labels

    def _source(self, declared: Declared) -> tuple[Any, str]:
        """Open a modality's source; return it with its name in messages."""
        name, where = declared.file, self.declaration.where
        if name is None:
            if self.frame is None:
                raise ValueError(
                    f'{where}, [modalities.{declared.name}]: expected file = "...", got none.'
                )
            if "" not in self._opened:
                self._opened[""] = opened_object(self.frame, "the frame")
            return self._opened[""], "the frame"
        key = f"{name} {declared.size}" if declared.size else name
        if key not in self._opened:
            self._opened[key] = self._open(name, declared)
        return self._opened[key], Path(name).name if ":" not in name else name

    def _open(self, name: str, declared: Declared) -> Any:
        path = located(self.declaration.folder, name)
        if ":" in name and not path.exists():
            return opened_object(called(name, self.declaration), name)
        if path.is_dir():
            return read_images(path, declared.size)
        suffix = Path(path.name.lower().removesuffix(".gz")).suffix
        where = f"{self.declaration.where}, [modalities.{declared.name}]"
        if not path.is_file():
            near = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
            message = unknown_name("file", name, sorted(near)[:12])
            raise FileNotFoundError(f"{where}, file: {message}")
        if suffix not in _OPENED:
            raise ValueError(
                f"{where}, file: expected a folder of images, or a file that ends in "
                f"{', '.join(_OPENED)}, got {name!r}."
            )
        return _OPENED[suffix](path)

    def _check_keys(self, declared: Declared, source: object, origin: str) -> None:
        """Raise for a key that says nothing of such a source."""
        folder = isinstance(source, Rows)
        several = isinstance(source, Path) or is_single_cell(source)
        meant = {
            "size": ("a folder of images", folder),
            "columns": ("tables", not folder),
            "part": ("NPZ, H5AD and H5MU files", several),
        }
        for key, (what, fits) in meant.items():
            if getattr(declared, key) is not None and not fits:
                raise ValueError(
                    f"{self.declaration.where}, [modalities.{declared.name}], {key}: is for "
                    f"{what}, and {origin} is none; leave it out."
                )

    def _single_cell(
        self, source: "AnnData | MuData", declared: Declared, origin: str
    ) -> Rows | Table:
        """Choose the part; columns that are no genes are columns of the cells' own table."""
        obs = obs_of(source, origin, "obs", declared.name)
        unnamed = declared.part is None and declared.columns is not None
        whole = not holds_parts(source) or declared.name not in source.mod
        if unnamed and whole and set(declared.columns or ()) <= set(obs.columns):
            return obs
        found = part_of(source, declared.part, declared.name, origin)
        own = obs_of(source, origin, declared.part, declared.name)
        if isinstance(found, Rows) and declared.index in own.columns:
            return replace(found, labels=_labels(own, declared.index))
        return found

    def _of_table(self, table: Table, declared: Declared) -> Rows:
        index = declared.index
        others = [
            other.columns
            for other in self.declaration.modalities
            if other.name != declared.name and other.file == declared.file and other.columns
        ]
        taken = {name for names in others for name in names}
        if declared.columns is None:
            taken |= {n for n in table.columns for names in others for p in names if fnmatch(n, p)}
        taken |= {n for n in (index, self.declaration.split.column) if n is not None}
        taken |= set(self.declaration.covariates)
        chosen = selected(declared.columns, table.columns, frozenset(taken), table.origin)
        labels = _labels(table, index)
        names = table.columns
        columns = tuple(names[i] for i in chosen)
        rows = Rows(table.origin, table.frame.iloc[:, chosen], columns, labels, table.place)
        _check_cells(rows)
        return rows

    def _of_array(
        self, source: "Path | np.ndarray | csr_array", declared: Declared, origin: str
    ) -> Rows:
        """Return the rows of an NPY, NPZ or MatrixMarket file, or of a function's array."""
        index, labels = declared.index, None
        if isinstance(source, Path):
            array: np.ndarray | csr_array = read_npz(
                source, declared.part or declared.name, declared.part is not None
            )
            if index is not None:
                found = read_npz(source, index, True)
                if found.ndim != 1:
                    raise ValueError(
                        f"{origin}, {index}: expected labels as an array (N,), got the shape "
                        f"{found.shape}."
                    )
                labels = tuple(map(label_text, words_of(found)))
        else:
            array = source
            if index is not None:
                path = located(self.declaration.folder, index)
                if not path.is_file():
                    raise FileNotFoundError(
                        f"{self.declaration.where}, [modalities.{declared.name}], index: {origin} "
                        f"has no columns; name a text file with a label a line, got {index!r}."
                    )
                labels = read_labels(path)
        if labels is not None and len(labels) != array.shape[0]:
            raise ValueError(
                f"{origin}: has {array.shape[0]} rows and {len(labels)} labels in {index}; give "
                "one label a row."
            )
        if not is_sparse(array) and array.dtype.kind in "OUST":  # A table of one column.
            return _text_array(array, declared.name, labels, origin)
        if array.dtype.kind not in "fiub":
            raise ValueError(f"{origin}: expected numbers or text, got {array.dtype}.")
        return Rows(origin, array, labels=labels)


def words_of(array: np.ndarray) -> list[str]:
    """Return the entries of an array as text."""
    return [str(x.decode() if isinstance(x, bytes) else x) for x in array.tolist()]


def _text_array(array: np.ndarray, name: str, labels: tuple[str, ...] | None, origin: str) -> Rows:
    import pandas

    if array.ndim != 1:
        raise ValueError(f"{origin}: expected text as an array (N,), got the shape {array.shape}.")
    frame = pandas.DataFrame({name: words_of(array)}, dtype=object)
    return Rows(origin, frame, (name,), labels)


def _check_cells(rows: Rows) -> None:
    """Raise for a cell that holds several things, as nested columns of Parquet files do."""
    import pandas

    for j in range(len(rows.columns)):
        column = rows.values.iloc[:, j]
        if column.dtype.kind == "O" and not isinstance(column.dtype, pandas.StringDtype):
            for i, cell in enumerate(column):
                if isinstance(cell, bytes | list | tuple | set | dict | np.ndarray):
                    raise ValueError(
                        f"{rows.at(i, j)}: expected one number or text, got {shown(cell)}; make "
                        "columns of what it holds."
                    )


def _labels(table: Table, index: str | None) -> tuple[str, ...] | None:
    if index is None:
        return table.labels
    cells = words(table.column(index))
    if None in cells:
        row = cells.index(None)
        raise ValueError(
            f"{table.origin}, {table.place(row)}: the index {index!r} is empty; name the row, or "
            "remove it."
        )
    return tuple(str(cell) for cell in cells)
