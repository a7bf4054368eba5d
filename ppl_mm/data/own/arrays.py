"""Arrays of NPY, NPZ and MatrixMarket files, and arrays whose rows are taken on demand."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.libraries import is_sparse
from ppl_mm.data.own.opened import opened, opened_text
from ppl_mm.data.own.source import Stored
from ppl_mm.data.own.tables import label_text

__all__ = ["Taken", "blocks", "dense", "read_labels", "read_matrix_market", "read_npy", "read_npz"]

_ROWS_AT_ONCE = 2048


class Taken:
    """Rows of an array or a sparse matrix, which become dense on demand.

    Args:
        array: The array (n, *D), sparse matrix (n, D), or images, that holds the rows.
        positions: The row of ``array`` for each row, (N,); -1 for a missing row, which must not be
            read.

    Example:
        >>> import scipy.sparse
        >>> taken = Taken(scipy.sparse.csr_array(np.eye(3)), np.array([2, -1, 0]))
        >>> taken.shape, taken[np.array([0, 2])].tolist()
        ((3, 3), [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    """

    def __init__(self, array: Stored, positions: np.ndarray) -> None:
        self.array, self.positions = array, positions
        self.shape = (len(positions), *array.shape[1:])
        self.dtype = np.dtype(array.dtype)

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        return dense(self.array[self.positions[rows]])


def dense(values: object) -> np.ndarray:
    """Return rows as a dense array."""
    return np.asarray(values.toarray() if is_sparse(values) else values)


def blocks(array: Stored, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Yield these rows as dense blocks."""
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield dense(array[rows[start : start + _ROWS_AT_ONCE]])


def read_npy(path: Path) -> np.ndarray:
    """Open an NPY file, which stays on disk.

    Raises:
        ValueError: If the file is damaged or has another format.
    """
    try:
        array: np.ndarray = np.load(path, mmap_mode="r")
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"{path.name}: damaged, or no NPY file of numbers or text ({error})."
        ) from error
    return _with_rows(array, path.name)


def read_npz(path: Path, part: str, needed: bool) -> np.ndarray:
    """Read one array of an NPZ file.

    Args:
        path: The file.
        part: The array's name.
        needed: Whether the user gave the name; if not, the only array of a file may have any name.

    Raises:
        ValueError: If the file is damaged or has no such array.
    """
    try:
        with np.load(path) as file:
            names = list(file.files)
            if part not in names and not needed and len(names) == 1:
                part = names[0]
            if part not in names:
                raise KeyError(part)
            array = file[part]
    except KeyError as error:
        message = unknown_name("part", part, names)
        raise ValueError(f"{path.name}: {message} Name one as part.") from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path.name}: damaged, or no NPZ file of numbers or text ({error})."
        ) from error
    return _with_rows(array, f"{path.name}, {part}")


def _with_rows(array: np.ndarray, where: str) -> np.ndarray:
    if array.ndim == 0 or array.size == 0:
        raise ValueError(
            f"{where}: expected an array of rows that hold something, got the shape {array.shape}."
        )
    return array


def read_matrix_market(path: Path) -> Any:
    """Read a MatrixMarket file, rows by columns, as a sparse matrix by rows.

    Raises:
        ValueError: If the file is damaged.
    """
    import scipy.io
    import scipy.sparse

    with opened(path) as file:
        try:
            return scipy.sparse.csr_array(scipy.io.mmread(file))
        except (ValueError, OSError, IndexError) as error:
            raise ValueError(f"{path.name}: damaged, or no MatrixMarket file ({error}).") from error


def read_labels(path: Path) -> tuple[str, ...]:
    """Read a text file with a label a line, such as the barcodes of cells."""
    with opened_text(path) as file:
        return tuple(label_text(line) for line in file if line.strip())
