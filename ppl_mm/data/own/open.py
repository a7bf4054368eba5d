"""The two ways to read a data set of your own: from a declaration's file, or a frame in memory."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ppl_mm.arguments.typed import typed
from ppl_mm.data.dataset import DataSet
from ppl_mm.data.own.building import build
from ppl_mm.data.own.declaration import parse
from ppl_mm.data.own.fingerprint import fingerprint as fingerprint_of

__all__ = ["from_file", "from_frame"]


@typed
def from_file(path: str | Path, *, fingerprint: str | None = None, quiet: bool = False) -> DataSet:
    r"""Read a data set of your own as a TOML file declares it.

    The declaration names files beside it, and says which columns are which modality::

        name = "cohort"
        label = "diagnosis"
        split = {validation = 0.1, test = 0.2, seed = 0}
        [modalities.clinical]
        file = "clinical.csv"
        index = "patient"
        columns = ["age", "bmi", "bp_*"]
        kind = "real"
        [modalities.diagnosis]
        file = "clinical.csv"
        index = "patient"
        columns = ["diagnosis"]
        kind = "category"

    Rows are matched by the index; rows that a file lacks are missing. Kinds are real, positive,
    counts, binary, category, label set, image and text; the library guesses a kind that is not
    given, and prints the guess. Real and positive columns keep their units: the networks see them
    standardised by the training rows. ``docs/your_data.md`` lists all keys.

    Args:
        path: The declaration.
        fingerprint: The fingerprint that declaration and files must have, such as an earlier
            ``dataset.provenance.fingerprint``; None accepts any.
        quiet: Whether to print no guesses.

    Returns:
        The data set, ready for :mod:`ppl_mm.systems`.

    Raises:
        FileNotFoundError: If the declaration or a file is missing.
        ModuleNotFoundError: If a file needs an extra that is not installed.
        ValueError: If a key is unknown, or files differ from the declaration; the message names the
            file with its line and column, or the key, and the remedy.

    Example:
        >>> import tempfile, pathlib
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> cells = "\n".join(f"{i},{i / 7},{'ab'[i % 2]}" for i in range(30))
        >>> _ = (folder / "cells.csv").write_text("id,size,class\n" + cells)
        >>> _ = (folder / "cells.toml").write_text('''
        ... file = "cells.csv"
        ... index = "id"
        ... [modalities.size]
        ... columns = "size"
        ... kind = "real"
        ... [modalities.sort]
        ... columns = "class"
        ... kind = "category"
        ... ''')
        >>> dataset = from_file(folder / "cells.toml")
        >>> len(dataset.train), len(dataset.test), dataset.provenance.columns["sort"].levels
        (21, 6, ('a', 'b'))
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such declaration of a data set; where it has moved with its files, give "
            "their folder as --data-dir."
        )
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path.name}: no TOML ({error}).") from error
    declaration = parse(content, path.name, path.parent)
    found = fingerprint_of(content, path.parent)
    if fingerprint is not None and found != fingerprint:
        raise ValueError(
            f"{path}: the declaration or its files have changed since the run was trained on them; "
            "bring them back, or train a new run."
        )
    dataset = build(declaration, found, path.resolve())
    return _told(dataset, quiet)


@typed
def from_frame(
    frame: Any,
    modalities: Mapping[str, Any],
    *,
    label: str | None = None,
    index: str | None = None,
    split: Mapping[str, Any] | None = None,
    latent_dim: int | None = None,
    hidden: Sequence[int] | None = None,
    covariates: Sequence[str] | Mapping[str, str] | None = None,
    name: str = "frame",
    quiet: bool = False,
) -> DataSet:
    """Read a data set of your own from a data frame, an AnnData or a MuData object.

    Args:
        frame: The pandas.DataFrame (or a dict of columns), AnnData or MuData.
        modalities: Modality -> its columns, as a list of names with wildcards, or a dict with the
            keys of a declaration's table, such as ``{"columns": ["age", "bp_*"], "kind": "real"}``;
            of a MuData ``{}`` is the matrix of that name. Modalities may name files too.
        label: The modality that is predicted; it is a category.
        index: The column of the rows' labels; by default the frame's own index.
        split: Shares as ``{"validation": 0.1, "test": 0.2, "seed": 0}``, which is the default, or
            ``{"column": name}``.
        latent_dim: The size of the latent.
        hidden: The sizes of the networks' hidden layers.
        covariates: Columns that networks read and no model scores, such as the batch of a cell; a
            dict says which are ``"category"`` and which ``"real"``.
        name: The data set's name.
        quiet: Whether to print no guesses.

    Returns:
        The data set that :func:`from_file` returns for the same declaration.

    Raises:
        TypeError: If ``frame`` is of another type.
        ValueError: In the cases in which :func:`from_file` raises it.

    Example:
        >>> import pandas
        >>> frame = pandas.DataFrame({"x": range(50), "y": [0.5] * 50, "sort": ["a", "b"] * 25})
        >>> dataset = from_frame(
        ...     frame, {"numbers": ["x", "y"], "sort": ["sort"]}, label="sort"
        ... )
        numbers: kind = "real" is guessed
        sort: kind = "category" is guessed (2 levels)
        >>> dataset.train, dataset.num_classes
        (Observations(35 rows; numbers(2,): 35 present, sort(): 35 present), 2)
    """
    tables = {
        key: table if isinstance(table, Mapping) else {"columns": table}
        for key, table in modalities.items()
    }
    given: dict[str, Any] = {
        "label": label,
        "index": index,
        "split": split,
        "latent_dim": latent_dim,
        "covariates": covariates,
    }
    given |= {"hidden": None if hidden is None else list(hidden), "name": name}
    content = {key: value for key, value in given.items() if value is not None}
    declaration = parse({**content, "modalities": tables}, name, Path())
    return _told(build(declaration, "", None, frame), quiet)


def _told(dataset: DataSet, quiet: bool) -> DataSet:
    """Print the guesses."""
    assert dataset.provenance is not None
    for line in () if quiet else dataset.provenance.guesses():
        print(line)
    return dataset
