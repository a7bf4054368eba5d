"""Objects in memory that a user gives as data, and functions that return them."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ppl_mm.arguments.shown import shown
from ppl_mm.batch.libraries import is_pandas, is_sparse
from ppl_mm.data.own.declaration import Declaration
from ppl_mm.data.own.opened import module_beside
from ppl_mm.data.own.single_cell import is_single_cell
from ppl_mm.data.own.tables import of_frame

__all__ = ["called", "imported", "opened_object"]


def opened_object(value: object, origin: str) -> Any:
    """Wrap a data frame, array, sparse matrix, AnnData or MuData as if a file had been opened."""
    if isinstance(value, Mapping):
        import pandas

        try:
            value = pandas.DataFrame(value)
        except ValueError as error:  # Its columns have different lengths.
            raise ValueError(f"{origin}: {error}") from error
    if is_pandas(value, "DataFrame"):
        return of_frame(origin, value)
    if is_sparse(value):
        import scipy.sparse

        return scipy.sparse.csr_array(value)
    if is_single_cell(value):
        return value
    if hasattr(value, "__array__"):
        return np.asarray(value)
    raise TypeError(
        f"{origin}: expected a data frame, an array, a sparse matrix, AnnData or MuData, got "
        f"{shown(value)}."
    )


def called(name: str, declaration: Declaration) -> Any:
    """Call ``package.module:function``; modules beside the declaration are found too."""
    where = f"{declaration.where}, file: {name!r} is no file, and no function"
    return imported(name, declaration.folder, where)()


def imported(name: str, folder: Path, where: str) -> Any:
    """Return what ``package.module:name`` names; modules in a folder are found too.

    Args:
        name: The name.
        folder: The folder of the declaration.
        where: The beginning of the message.

    Raises:
        ValueError: If there is no such module or name.
    """
    module, _, inner = name.partition(":")
    beside = str(folder.resolve())
    own, cached = module_beside(folder, name), sys.modules.get(module)
    if own.is_file() and Path(getattr(cached, "__file__", None) or own).resolve() != own.resolve():
        del sys.modules[module]  # It is the module of another declaration.
    sys.path.insert(0, beside)
    try:
        return getattr(importlib.import_module(module), inner)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{where} package.module:name ({error}).") from error
    finally:
        sys.path.remove(beside)
