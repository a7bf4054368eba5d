"""The matching of rows across sources, and the split of the matched rows."""

from collections.abc import Mapping

import numpy as np

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.data.own.declaration import Splitting
from ppl_mm.data.own.source import Rows

__all__ = ["match", "split_by_column", "split_by_shares"]

SPLITS = ("train", "validation", "test")


def match(sources: Mapping[str, Rows]) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Match rows across sources by their labels, or by their order if there are no labels.

    Args:
        sources: Modality -> its rows.

    Returns:
        The labels of the N rows, in the order of their first mention in the sources; and modality
        -> the position (N,) of each row in its source, -1 for a row that the source lacks.

    Raises:
        ValueError: If a source has a label twice, sources have no common label, or sources without
            labels have different numbers of rows.
    """
    labelled = {name: rows for name, rows in sources.items() if rows.labels is not None}
    if not labelled:
        return _in_order(sources)
    for name, rows in sources.items():
        if rows.labels is None:
            other = next(iter(labelled.values()))
            raise ValueError(
                f"{rows.origin}: its rows have no labels, those of {other.origin} have; name the "
                f"column or file of labels as index in [modalities.{name}]."
            )
    order: dict[str, int] = {}
    places = {}
    seen: dict[int, dict[str, int]] = {}
    for name, rows in labelled.items():
        key = id(rows.labels)
        if key not in seen:
            seen[key] = _places(rows)
        places[name] = seen[key]
        for label in places[name]:
            order.setdefault(label, len(order))
    _check_common(labelled, places)
    labels = tuple(order)
    return labels, {
        name: np.array([own.get(label, -1) for label in labels], dtype=np.int64)
        for name, own in places.items()
    }


def _in_order(sources: Mapping[str, Rows]) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    sizes = {rows.origin: len(rows) for rows in sources.values()}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{size} in {origin}" for origin, size in sizes.items())
        raise ValueError(f"rows: {said}; name the column that matches them as index.")
    size = next(iter(sizes.values()))
    return tuple(map(str, range(size))), {name: np.arange(size) for name in sources}


def _places(rows: Rows) -> dict[str, int]:
    """Return label -> row."""
    assert rows.labels is not None
    found: dict[str, int] = {}
    for i, label in enumerate(rows.labels):
        if label in found:
            raise ValueError(
                f"{rows.at(i)}: the label {label!r} is there twice, first on "
                f"{rows.place(found[label])}; keep one row of each."
            )
        found[label] = i
    return found


def _check_common(labelled: Mapping[str, Rows], places: Mapping[str, Mapping[str, int]]) -> None:
    """Raise if a source shares no label with any other source."""
    if len({id(own) for own in places.values()}) == 1:
        return
    for name, rows in labelled.items():
        others = [own for other, own in places.items() if own is not places[name]]
        if not any(label in own for own in others for label in places[name]):
            first = next(iter(places[name]))
            other = next(r for r in labelled.values() if r.labels != rows.labels)
            theirs = next(iter(_places(other)))
            raise ValueError(
                f"{rows.origin}: no label of its index (such as {first!r}) is one of "
                f"{other.origin} (such as {theirs!r}); name the column that both share as index "
                f"in [modalities.{name}]."
            )


def split_by_shares(
    labels: tuple[str, ...], splitting: Splitting, where: str
) -> dict[str, np.ndarray]:
    """Draw the training, validation and test rows from a seed and the rows' labels alone.

    The result does not depend on the order of the rows in their files.

    Returns:
        Split -> the increasing positions of its rows.

    Raises:
        ValueError: If a split has no rows.
    """
    n = len(labels)
    test, validation = round(n * splitting.test), round(n * splitting.validation)
    if test == 0 or (validation == 0 and splitting.validation > 0) or test + validation >= n:
        empty = "test" if test == 0 else "validation" if validation == 0 else "train"
        raise ValueError(
            f"{where}, split: {n} rows leave none for {empty}; change the shares, validation = "
            f"{splitting.validation:g} and test = {splitting.test:g}."
        )
    by_label = np.array(sorted(range(n), key=lambda i: (len(labels[i]), labels[i])))
    drawn = by_label[np.random.default_rng(splitting.seed).permutation(n)]
    parts = {
        "train": drawn[test + validation :],
        "validation": drawn[test : test + validation],
        "test": drawn[:test],
    }
    return {name: np.sort(part) for name, part in parts.items()}


def split_by_column(
    cells: list[str | None], column: str, where: str, at: list[str]
) -> dict[str, np.ndarray]:
    """Read the training, validation and test rows from a column of these words.

    Args:
        cells: The word of each row; None for a row without one.
        column: The column's name.
        where: The declaration's name in messages.
        at: The name of each row in messages.

    Raises:
        ValueError: If a cell is another word, or there are no rows for training or test.
    """
    for i, cell in enumerate(cells):
        if cell not in SPLITS:
            raise ValueError(
                f"{at[i]}: {unknown_name(f'split in column {column!r}', cell, SPLITS)}"
            )
    words = np.array(cells)
    found = {name: (words == name).nonzero()[0] for name in SPLITS}
    for name in ("train", "test"):
        if len(found[name]) == 0:
            raise ValueError(
                f"{where}, split: no row of column {column!r} says {name!r}; at least one must."
            )
    return found
