"""Tables of all rows of a run's data: imputed values, and positions in the latent space."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.own.cells import cells_of
from ppl_mm.data.own.kinds import TRUTH
from ppl_mm.data.own.tables import label_text
from ppl_mm.data.provenance import Columns, Provenance
from ppl_mm.files import write_atomically
from ppl_mm.likelihood.posterior_draws import Refine
from ppl_mm.measures import embedding, imputation
from ppl_mm.results.imputation import frame_of
from ppl_mm.runs.folder import Run
from ppl_mm.runs.images import image_folder, write_images

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["drawn_table", "embed", "impute"]


@typed
def impute(
    run: Run,
    path: Path,
    *,
    num_draws: int = 200,
    refine: Refine = "auto",
    interval: float | None = None,
    seed: int = 0,
) -> int:
    """Write all rows without an empty cell, as CSV in the user's index and columns.

    An observed cell stays as the user wrote it. An empty cell gets the mean given the observed
    values of its row; for yes-or-no values, classes and words, it gets the most probable one. A
    column that several modalities have is named after its modality too, as in ``x.age``.

    Images that rows lack are written as PNG files beside the CSV, in a folder for each modality,
    such as ``filled_picture`` beside ``filled.csv``; a file has the name of its row.

    Args:
        run: A trained run.
        path: The CSV file.
        num_draws: The number of draws per row.
        refine: The source of the latents, see :func:`ppl_mm.impute`.
        interval: The level of the intervals, such as 0.9, in columns ``x low`` and ``x high``
            beside each column of numbers; None writes no such columns.
        seed: The seed of the draws.

    Returns:
        The number of cells that were empty, where an image is one.

    Raises:
        ValueError: If a column of an interval has the name of a column of the user's.
    """
    import pandas

    level = 0.95 if interval is None else interval
    own = run.dataset.provenance
    written = {} if own is None or own.path is None else cells_of(own.path)
    filled, parts = 0, []
    images: dict[str, list[tuple[list[str], Tensor, Tensor]]] = {}
    for split, obs in _splits(run):
        found = imputation.impute(
            run.system,
            obs,
            num_draws=num_draws,
            refine=refine,
            level=level,
            keep_draws=False,
            seed=seed,
        )
        tables: dict[str, dict[str, Any]] = {}
        for modality in run.dataset.modalities:
            name = modality.name
            held = found.observed.get(name, torch.ones_like(_values(obs, name)).bool())
            mean = found.mean.get(name, _values(obs, name))
            if _is_image(run, name):
                images.setdefault(name, []).append((_labels(run, split), mean, held))
                continue
            filled += int((~held).sum())
            cells = _text(run, name, mean)
            if name in written and own is not None:
                cells = _with_own_cells(own.columns[name].kind, cells, written[name], own, split)
            ends: list[dict[str, Any]] = [{}, {}]
            if interval is not None and name in found.low and _is_number(run, name):
                ends = [_numbers(run, name, end[name]) for end in (found.low, found.high)]
            tables[name] = _beside(cells, *ends)
        cells_of_all = _together(tables, _added(run))
        parts.append(pandas.DataFrame(cells_of_all, index=range(len(obs))))
    for name, found_images in images.items():
        filled += write_images(found_images, image_folder(path, name))
    _write(run, pandas.concat(parts, ignore_index=True), path)
    return filled


@typed
def embed(
    run: Run,
    path: Path,
    given: Sequence[str] | None = None,
    *,
    refine: Refine = "none",
    seed: int = 0,
) -> None:
    """Write the mean and the scale of every row's posterior, as CSV with the user's index.

    Args:
        run: A trained run.
        path: The CSV file.
        given: The modalities to condition on; None takes all that each row holds.
        refine: The kind of posterior, see :func:`ppl_mm.embed`.
        seed: The seed of the draws.
    """
    import pandas

    parts = [
        embedding.embed(run.system, obs, given, refine=refine, seed=seed).to_frame()
        for _, obs in _splits(run)
    ]
    _write(run, pandas.concat(parts, ignore_index=True), path)


def drawn_table(run: Run, drawn: dict[str, Shaped[Tensor, "K N ..."]], path: Path) -> None:
    """Write draws (K, N, *event) as CSV: a line for each row and draw.

    Args:
        run: A trained run.
        drawn: Modality -> draws.
        path: The CSV file.
    """
    import pandas

    number, rows = next(iter(drawn.values())).shape[:2]
    columns: dict[str, Any] = {
        "row": torch.arange(rows).repeat(number).tolist(),
        "draw": torch.arange(number).repeat_interleave(rows).tolist(),
    }
    tables = {name: _text(run, name, x.flatten(0, 1).cpu()) for name, x in drawn.items()}
    _save(pandas.DataFrame(columns | _together(tables, columns)), path)


def _splits(run: Run) -> list[tuple[str, Observations]]:
    """Return the rows of each existing split."""
    parts = {split: getattr(run.dataset, split) for split in ("train", "validation", "test")}
    return [(split, obs) for split, obs in parts.items() if obs is not None]


def _columns(run: Run, name: str) -> Columns | None:
    own = run.dataset.provenance
    return None if own is None else own.columns.get(name)


def _is_image(run: Run, name: str) -> bool:
    columns = _columns(run, name)
    return columns is not None and columns.kind == "image"


def _is_number(run: Run, name: str) -> bool:
    columns = _columns(run, name)
    return columns is None or columns.kind in ("real", "positive", "counts")


def _values(obs: Observations, name: str) -> Tensor:
    return obs[name].cpu()


def _text(run: Run, name: str, values: Tensor) -> dict[str, Any]:
    """Return the columns of a modality's values (N, *D), by name."""
    columns, words = _columns(run, name), run.words.get(name)
    names = () if columns is None else columns.names
    if columns is not None and columns.kind == "label set" and len(names) == 1:
        return {names[0]: [_joined(columns.levels, row) for row in values > 0.5]}
    if columns is not None and columns.kind in ("binary", "label set"):
        return _numbers(run, name, (values > 0.5).long())
    if words is not None:
        return {names[0] if names else name: [words(x) for x in values]}
    return _numbers(run, name, values)


def _joined(levels: Sequence[str], row: Tensor) -> str:
    """Return the labels of a row as a cell; ``;`` if there are none."""
    return "; ".join(levels[i] for i in row.nonzero()[:, 0].tolist()) or ";"


def _numbers(run: Run, name: str, values: Tensor) -> dict[str, Any]:
    columns = _columns(run, name)
    size = values[0].numel()
    names = () if columns is None or len(columns.names) != size else columns.names
    frame = frame_of({name: values}, {name: names} if names else None)
    return {str(column): frame[column].to_numpy() for column in frame.columns}


def _beside(cells: dict[str, Any], low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """Return columns, each with the ends of its intervals after it."""
    found: dict[str, Any] = {}
    for column, own in cells.items():
        found[column] = own
        for word, ends in (("low", low), ("high", high)):
            if column in ends:
                name = f"{column} {word}"
                if name in cells:
                    raise ValueError(
                        f"interval: the data have a column {name!r} of their own; rename it, or "
                        "ask for no intervals."
                    )
                found[name] = ends[column]
    return found


def _together(tables: dict[str, dict[str, Any]], added: Collection[str]) -> dict[str, Any]:
    """Return the columns of all modalities; ``x.a`` where modality x is not the only one with a."""
    number = Counter([*added, *(column for table in tables.values() for column in table)])
    return {
        column if number[column] == 1 else f"{name}.{column}": cells
        for name, table in tables.items()
        for column, cells in table.items()
    }


def _with_own_cells(
    kind: str,
    cells: dict[str, Any],
    written: dict[str, np.ndarray],
    own: Provenance,
    split: str,
) -> dict[str, Any]:
    """Put back the user's own non-empty cells as they are written."""
    found = {}
    for column, values in cells.items():
        every = written[column]
        mine = every[list(own.places[split])]
        empty = np.array([cell is None for cell in mine])
        filled = np.asarray(values, dtype=object)
        if kind in ("binary", "label set"):
            filled = _as_written(filled, [cell for cell in every if cell is not None])
        found[column] = np.where(empty, filled, mine)
    return found


def _as_written(values: np.ndarray, cells: list[str]) -> np.ndarray:
    """Replace 0 and 1 by the words that the user's cells use most often."""
    usual = reversed(Counter(cells).most_common())
    told = [(label_text(cell).lower(), cell) for cell, _ in usual]
    words = {TRUTH[text]: cell for text, cell in told if text in TRUTH}
    return np.array([words.get(value, value) for value in values], dtype=object)


def _labels(run: Run, split: str) -> list[str]:
    """Return the labels of a split's rows; their numbers if they have none."""
    own = run.dataset.provenance
    if own is None:
        return [f"{split}{i}" for i in range(len(getattr(run.dataset, split)))]
    return list(own.rows[split])


def _added(run: Run) -> list[str]:
    """Return the column that says which row a line is of."""
    own = run.dataset.provenance
    return ["split"] if own is None else [] if own.index is None else [own.index]


def _write(run: Run, frame: "DataFrame", path: Path) -> None:
    """Write a table of all rows, with their labels and in the order of the user's files."""
    own = run.dataset.provenance
    splits = _splits(run)
    if own is None:
        frame.insert(0, "split", [split for split, obs in splits for _ in range(len(obs))])
    else:
        if own.index is not None:
            frame.insert(0, own.index, [label for split, _ in splits for label in own.rows[split]])
        places = torch.tensor([i for split, _ in splits for i in own.places[split]])
        frame = frame.iloc[places.argsort().numpy()]
    _save(frame, path)


def _save(frame: "DataFrame", path: Path) -> None:
    write_atomically(path, frame.to_csv(index=False, lineterminator="\n").encode())
