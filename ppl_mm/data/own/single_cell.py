"""Single-cell data: H5AD and H5MU files, and AnnData and MuData objects."""

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ppl_mm.arguments.wording import first_line, unknown_name
from ppl_mm.batch.libraries import is_sparse
from ppl_mm.data.own.source import Rows, Table

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

__all__ = ["holds_parts", "is_single_cell", "obs_of", "open_single_cell", "part_of"]


def open_single_cell(path: Path) -> "AnnData | MuData":
    """Open an H5AD or H5MU file.

    Raises:
        ModuleNotFoundError: If anndata or mudata is not installed.
        ValueError: If the file is damaged.
    """
    try:
        import anndata

        if path.suffix == ".h5mu":
            import mudata
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path.name}: {error.name} is not installed; pip install 'ppl-mm[single-cell]'."
        ) from error
    try:
        with warnings.catch_warnings():  # These libraries warn about one another's changes.
            warnings.simplefilter("ignore")
            if path.suffix == ".h5mu":
                return mudata.read_h5mu(path)
            return anndata.read_h5ad(path)
    except Exception as error:  # h5py, anndata and mudata raise errors of many kinds.
        reason = first_line(error)
        raise ValueError(
            f"{path.name}: damaged, or no {path.suffix[1:].upper()} file ({reason})."
        ) from error


def is_single_cell(value: object) -> bool:
    """Whether a value is an AnnData or a MuData object."""
    return any(cls.__name__ in ("AnnData", "MuData") for cls in type(value).__mro__)


def holds_parts(data: object) -> bool:
    """Whether an object is a MuData, which holds one AnnData per modality."""
    return hasattr(data, "mod")


def part_of(data: "AnnData | MuData", part: str | None, name: str, origin: str) -> Rows | Table:
    """Return the matrix or the table of a part.

    Args:
        data: The AnnData or MuData.
        part: The part, see :class:`~ppl_mm.data.own.declaration.Declared`; None takes the matrix X,
            which in a MuData is that of the modality's name.
        name: The modality's name.
        origin: The data's name in messages.

    Raises:
        ValueError: If the part is unknown; the message has the nearest known one.
    """
    words = [] if part is None else part.split("/")
    if holds_parts(data) and words != ["obs"]:
        inner = words.pop(0) if words else name
        if inner not in data.mod:
            known = [*data.mod, "obs"]
            raise ValueError(f"{origin}: {unknown_name('part', inner, known)} Name one as part.")
        data, origin = data.mod[inner], f"{origin}, {inner}"
    cells = tuple(map(str, data.obs_names))
    if words == ["obs"]:
        return Table(f"{origin}, obs", data.obs, labels=cells)
    if words in ([], ["X"]):
        return _matrix(data.X, data.var_names, cells, origin)
    kind, _, inner = "/".join(words).partition("/")
    if kind not in ("layers", "obsm") or inner not in getattr(data, kind):
        known = [
            "X",
            "obs",
            *(f"{k}/{n}" for k in ("layers", "obsm") for n in getattr(data, k)),
        ]
        raise ValueError(f"{origin}: {unknown_name('part', '/'.join(words), known)}")
    values = getattr(data, kind)[inner]
    columns = data.var_names if kind == "layers" else getattr(values, "columns", ())
    return _matrix(values, columns, cells, f"{origin}, {kind}/{inner}")


def obs_of(data: "AnnData | MuData", origin: str, part: str | None, name: str) -> Table:
    """Return the table of the cells that a part is of."""
    inner = (part or name).split("/")[0]
    if holds_parts(data) and part != "obs" and inner in data.mod:
        data, origin = data.mod[inner], f"{origin}, {inner}"
    return Table(f"{origin}, obs", data.obs, labels=tuple(map(str, data.obs_names)))


def _matrix(values: object, columns: Iterable[object], cells: tuple[str, ...], origin: str) -> Rows:
    if values is None:
        raise ValueError(f"{origin}: has no matrix X; name a layer as part.")
    if is_sparse(values):
        import scipy.sparse

        values = scipy.sparse.csr_array(values)
    elif hasattr(values, "to_numpy"):
        values = values.to_numpy()
    else:
        values = np.asarray(values)
    names = tuple(map(str, columns))
    return Rows(origin, values, names, cells, lambda i: f"cell {cells[i]!r}")
