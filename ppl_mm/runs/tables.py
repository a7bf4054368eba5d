"""Tables of all rows of a run's data: imputed values, and positions in the latent space."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.own.cells import cells_of
from ppl_mm.data.own.kinds import TRUTH
from ppl_mm.data.own.tables import label_text
from ppl_mm.data.provenance import Columns
from ppl_mm.files import write_atomically
from ppl_mm.likelihood.posterior_draws import Refine
from ppl_mm.measures import embedding, imputation
from ppl_mm.results.imputation import frame_of
from ppl_mm.runs.folder import Run

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
    values of its row; for yes-or-no values, classes and words, it gets the most probable one.
    Images are left out.

    Args:
        run: A trained run.
        path: The CSV file.
        num_draws: The number of draws per row.
        refine: The source of the latents, see :func:`ppl_mm.impute`.
        interval: The level of the intervals, such as 0.9, in columns ``x low`` and ``x high``
            beside each column of numbers; None writes no such columns.
        seed: The seed of the draws.

    Returns:
        The number of cells that were empty.
    """
    import pandas

    level = 0.95 if interval is None else interval
    filled, parts = 0, []
    for _, obs in _splits(run):
        found = imputation.impute(
            run.system,
            obs,
            num_draws=num_draws,
            refine=refine,
            level=level,
            keep_draws=False,
            seed=seed,
        )
        columns: dict[str, Any] = {}
        for modality in run.dataset.modalities:
            name = modality.name
            if not _is_shown(run, name):
                continue
            observed = found.observed.get(name, torch.ones_like(_values(obs, name)).bool())
            filled += int((~observed).sum())
            own = _text(run, name, found.mean.get(name, _values(obs, name)))
            low, high = (
                _numbers(run, name, ends[name]) if name in ends and _is_number(run, name) else {}
                for ends in (found.low, found.high)
            )
            for column, cells in own.items():
                columns[column] = cells
                if interval is not None and column in low:
                    columns[f"{column} low"] = low[column]
                    columns[f"{column} high"] = high[column]
        parts.append(pandas.DataFrame(columns))
    frame = pandas.concat(parts, ignore_index=True)
    _with_own_cells(run, frame)
    _write(run, frame, path)
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


def drawn_table(run: Run, drawn: dict[str, Tensor], path: Path) -> None:
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
    for name, values in drawn.items():
        columns |= _text(run, name, values.flatten(0, 1).cpu())
    _save(pandas.DataFrame(columns), path)


def _splits(run: Run) -> list[tuple[str, Observations]]:
    """Return the rows of each existing split."""
    parts = {split: getattr(run.dataset, split) for split in ("train", "validation", "test")}
    return [(split, obs) for split, obs in parts.items() if obs is not None]


def _columns(run: Run, name: str) -> Columns | None:
    own = run.dataset.provenance
    return None if own is None else own.columns.get(name)


def _is_shown(run: Run, name: str) -> bool:
    columns = _columns(run, name)
    return columns is None or columns.kind != "image"


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


def _with_own_cells(run: Run, frame: Any) -> None:
    """Put back the user's own non-empty cells as they are written."""
    own = run.dataset.provenance
    if own is None or own.path is None:
        return
    order = [i for split, _ in _splits(run) for i in own.places[split]]
    for name, cells in cells_of(own.path).items():
        for column, every in cells.items():
            if column not in frame.columns:
                continue
            written, found = every[order], frame[column].to_numpy(dtype=object)
            empty = np.array([cell is None for cell in written])
            if own.columns[name].kind in ("binary", "label set"):
                found = _as_written(found, written[~empty])
            frame[column] = np.where(empty, found, written)


def _as_written(values: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Replace 0 and 1 by the words that the user's cells use most often."""
    usual = reversed(Counter(cells).most_common())
    told = [(label_text(cell).lower(), cell) for cell, _ in usual]
    words = {TRUTH[text]: cell for text, cell in told if text in TRUTH}
    return np.array([words.get(value, value) for value in values], dtype=object)


def _write(run: Run, frame: Any, path: Path) -> None:
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


def _save(frame: Any, path: Path) -> None:
    write_atomically(path, frame.to_csv(index=False, lineterminator="\n").encode())
