"""The building of a data set from a declaration and its files."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ppl_mm.arguments.shown import shown
from ppl_mm.batch.memory_mapped import MemoryMapped
from ppl_mm.batch.observations import Observations
from ppl_mm.data.dataset import DataSet
from ppl_mm.data.own.arrays import Taken
from ppl_mm.data.own.covariates import read_covariates, sizes_of
from ppl_mm.data.own.declaration import Declaration, Declared
from ppl_mm.data.own.defaults import latent_size, modality_of
from ppl_mm.data.own.kinds import guess
from ppl_mm.data.own.looking_up import looked_up
from ppl_mm.data.own.matching import match, split_by_column, split_by_shares
from ppl_mm.data.own.objects import imported
from ppl_mm.data.own.reading import Reader
from ppl_mm.data.own.tables import words
from ppl_mm.data.own.values import Values, read_values
from ppl_mm.data.provenance import Columns, Provenance
from ppl_mm.modality import Modality

__all__ = ["build"]

_IN_MEMORY_BYTES = 2**30  # Larger data are read batch by batch.


def build(
    declaration: Declaration, fingerprint: str, path: Path | None, frame: object = None
) -> DataSet:
    """Read all rows, split them, and declare the modalities.

    Args:
        declaration: The declaration.
        fingerprint: The fingerprint of the declaration and its files.
        path: The declaration's file; None for a frame.
        frame: The frame of the modalities that name no file.

    Raises:
        ValueError: If files differ from the declaration.
        FileNotFoundError: If a file is missing.
    """
    reader = Reader(declaration, frame)
    sources = {declared.name: reader.rows(declared) for declared in declaration.modalities}
    labels, places = match(sources)
    splits = _split(declaration, reader, labels)
    covariates, given = read_covariates(declaration, reader, labels, splits["train"])
    sizes = sizes_of(covariates)
    read, columns, modalities = {}, {}, []
    for declared in declaration.modalities:
        name, rows = declared.name, sources[declared.name]
        own = places[name][splits["train"]]
        training = np.zeros(len(rows), dtype=bool)
        training[own[own >= 0]] = True
        kind = declared.kind or guess(rows, name == declaration.label)
        values = read_values(rows, kind, training, declared)
        seen = (training & ~values.missing).nonzero()[0]
        if len(seen) == 0:
            raise ValueError(
                f"{rows.origin}: no training row holds modality {name!r}; change the split, or "
                "leave the modality out."
            )
        made = modality_of(declared, kind, values, seen, declaration.where, sizes)
        modalities.append(_with_own_networks(made, declared, declaration))
        columns[name] = Columns(
            kind, rows.columns, values.levels, rows.origin, declared.kind is None
        )
        read[name] = values
    _check_label(declaration, columns)
    everything = _observations(read, places).with_covariates(given)
    parts = {split: everything[torch.from_numpy(at)] for split, at in splits.items() if len(at)}
    index = next((m.index for m in declaration.modalities if m.index is not None), None)
    label = declaration.label
    vocabularies = {n: v.vocabulary for n, v in read.items() if v.vocabulary is not None}
    return DataSet(
        declaration.name,
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts["test"],
        modalities=tuple(modalities),
        latent_dim=declaration.latent_dim
        or latent_size([v.array.shape[1:] for v in read.values()]),
        label=label,
        num_classes=None if label is None else len(columns[label].levels),
        vocabulary=next(iter(vocabularies.values())) if len(vocabularies) == 1 else None,
        vocabularies=vocabularies or None,
        provenance=Provenance(
            None if path is None else str(path),
            fingerprint,
            index,
            {split: tuple(labels[i] for i in at) for split, at in splits.items()},
            columns,
            {split: tuple(at.tolist()) for split, at in splits.items()},
            covariates,
        ),
    )


def _with_own_networks(
    modality: Modality, declared: Declared, declaration: Declaration
) -> Modality:
    """Put the networks that the user names in place of the library's."""
    own: dict[str, Any] = {}
    for key in ("encoder", "decoder"):
        name = getattr(declared, key)
        if name is not None:
            where = f"{declaration.where}, [modalities.{declared.name}], {key}: {name!r} is no"
            own[key] = imported(name, declaration.folder, where)
            if not callable(own[key]):
                raise ValueError(f"{where} class or function; got {shown(own[key])}.")
    if "encoder" in own:
        own["features"] = None  # Joint networks then take the encoder.
    return replace(modality, **own)


def _check_label(declaration: Declaration, columns: Mapping[str, Columns]) -> None:
    label = declaration.label
    if label is not None and columns[label].kind != "category":
        raise ValueError(
            f"{declaration.where}, label: expected a modality of kind 'category', {label!r} is of "
            f"kind {columns[label].kind!r}."
        )


def _split(
    declaration: Declaration, reader: Reader, labels: tuple[str, ...]
) -> dict[str, np.ndarray]:
    splitting, where = declaration.split, declaration.where
    if splitting.column is None:
        return split_by_shares(labels, splitting, where)
    table, rows = looked_up(declaration, reader, splitting.column, labels, "split")
    cells = words(table.column(splitting.column))
    at = [f"{table.origin}, {table.place(i)}" if cells[i] is None else table.origin for i in rows]
    return split_by_column([cells[i] for i in rows], splitting.column, where, at)


def _observations(read: Mapping[str, Values], places: Mapping[str, np.ndarray]) -> Observations:
    """Return all rows in the order of their labels, in memory if they are dense and fit."""
    present = {n: (at >= 0) & ~read[n].missing[at] for n, at in places.items()}
    convert = {n: v.convert for n, v in read.items() if v.convert is not None}
    arrays = {n: Taken(v.array, places[n]) for n, v in read.items()}
    size = sum(8 * np.prod(array.shape) for array in arrays.values())
    lazy = any(not isinstance(v.array, np.ndarray) for v in read.values())
    holes = {n: Taken(~v.holes, places[n]) for n, v in read.items() if v.holes is not None}
    held = {n: torch.from_numpy(x) for n, x in present.items()}
    mapped = MemoryMapped(arrays, held, convert, holes)
    return mapped if lazy or size > _IN_MEMORY_BYTES else mapped.in_memory()
