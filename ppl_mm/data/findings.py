"""Checks of a data set: each problem becomes a sentence with its remedy."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch

from ppl_mm.batch.memory_mapped import blocks
from ppl_mm.batch.observations import Observations
from ppl_mm.data.summaries import Summed
from ppl_mm.likelihoods import Categorical, Laplace, Normal

if TYPE_CHECKING:
    from ppl_mm.data.dataset import DataSet

__all__ = ["find"]

_MANY_LEVELS = 1000
_FEW_ROWS = 5  # A class with fewer rows is too small to be learned.
_MOSTLY = 0.5  # From this share of missing rows on, a modality is reported.
_FAR = 10.0  # The distance of an outlier from the mean, in standard deviations.
_DIGITS = 1e5  # At this ratio of mean to deviation, float32 has two digits left.
_PIXELS = 16  # The smallest number of elements of a picture.
_IDENTIFIERS = 20  # From this number of rows on, all-different numbers are no chance.
_SHOWN = 3


def find(
    dataset: "DataSet", sums: Mapping[str, Summed], missing: Mapping[str, float]
) -> Iterator[str]:
    """Find everything that looks wrong.

    Args:
        dataset: The data set.
        sums: Modality -> the statistics of its rows.
        missing: Modality -> the share of rows that lack it.
    """
    for modality in dataset.modalities:
        name, found = modality.name, sums[modality.name]
        if missing[name] > _MOSTLY:
            yield f"{name}: {missing[name]:.0%} of the rows lack it; check index and files."
        if isinstance(modality.likelihood, Categorical):
            yield from _levels(dataset, name)
        elif isinstance(modality.likelihood, Normal | Laplace) and found.rows:
            yield from _numbers(dataset, name, found)
    yield from _repeated_rows(dataset)


def _numbers(dataset: "DataSet", name: str, found: Summed) -> Iterator[str]:
    number = found.mean.numel()
    if number >= _PIXELS and bool(found.whole.all()) and found.low >= 0 and 100 < found.high <= 255:
        yield (
            f"{name}: whole numbers from {found.low:g} to {found.high:g} look like pixels; give "
            'bytes with kind = "image", or divide by 255.'
        )
        return
    if found.mean.dim() > 1:  # Pictures have constant and rare pixels.
        return
    spread = found.deviation > 0
    furthest = torch.maximum(found.greatest - found.mean, found.mean - found.least)
    tests = {
        f"empty in more than {_MOSTLY:.0%} of the rows; leave it out, or make it a modality of its "
        "own": found.seen < (1 - _MOSTLY) * found.rows,
        "constant; leave it out": ~spread,
        "another whole number in every row, as identifiers are; leave it out": _distinct(
            dataset, name, found
        ),
        f"more than {_FAR:g} standard deviations from the mean in some row; check the units, or "
        'say kind = "positive"': spread & (furthest > _FAR * found.deviation),
        "so far from 0 for its spread that float32 loses digits; subtract a number": spread
        & (found.mean.abs() > _DIGITS * found.deviation),
    }
    for what, which in tests.items():
        places = which.reshape(-1).nonzero()[:, 0].tolist()
        if places:
            yield f"{name}, {_columns(dataset, name, places)}: {what}."


def _distinct(dataset: "DataSet", name: str, found: Summed) -> torch.Tensor:
    """Find columns of whole numbers that have no number twice and few gaps between them."""
    dense = found.whole & (found.greatest - found.least < 2 * found.rows) & (found.deviation > 0)
    if found.rows < _IDENTIFIERS or found.mean.dim() != 1 or not bool(dense.any()):
        return torch.zeros_like(found.whole)
    columns = dense.nonzero()[:, 0]
    values = torch.cat([b[name][b.present[name]][:, columns] for b in _blocks(dataset)])
    ordered = values.sort(0).values
    out = torch.zeros_like(found.whole)
    out[columns] = (ordered[1:] != ordered[:-1]).all(0)
    return out


def _columns(dataset: "DataSet", name: str, places: list[int]) -> str:
    names = () if dataset.provenance is None else dataset.provenance.columns[name].names
    words = [repr(names[i]) if names else str(i) for i in places[:_SHOWN]]
    more = len(places) - len(words)
    words_shown = ", ".join(words) + (f" and {more:,} more" if more else "")
    return f"column {words_shown}" if len(places) == 1 else f"columns {words_shown}"


def _levels(dataset: "DataSet", name: str) -> Iterator[str]:
    labels = dataset.train[name][dataset.train.present[name]]
    labels = labels.argmax(-1) if labels.dim() == 2 else labels
    number = labels.bincount()
    rows = len(labels)
    if len(number) == 1:
        yield f"{name}: all training rows have one level; leave it out."
    elif len(number) > max(rows / 2, 20):
        yield (
            f"{name}: {len(number):,} levels in {rows:,} training rows look like an identifier; "
            "leave it out."
        )
    elif len(number) > _MANY_LEVELS:
        yield f"{name}: {len(number):,} levels are many; join rare ones, or leave it out."
    else:
        few = ((number > 0) & (number < _FEW_ROWS)).nonzero()[:, 0].tolist()
        if few:
            levels = () if dataset.provenance is None else dataset.provenance.columns[name].levels
            words = ", ".join(repr(levels[i]) if levels else str(i) for i in few[:_SHOWN])
            more = ", ..." if len(few) > _SHOWN else ""
            yield (
                f"{name}: levels with fewer than {_FEW_ROWS} training rows: {words}{more}; join "
                "them with others."
            )


def _repeated_rows(dataset: "DataSet") -> Iterator[str]:
    """Find test rows whose values equal those of a training row."""
    training = set(_digests(dataset.train))
    same = sum(digest in training for digest in _digests(dataset.test))
    if same:
        yield (
            f"{same:,} of {len(dataset.test):,} test rows are equal to training rows in every "
            "value; remove them, or split by the unit that repeats."
        )


def _digests(obs: Observations) -> Iterator[bytes]:
    """Return a digest of the values of each row that holds something."""
    for part in blocks(obs):
        names = [n for n in part.names if part[n][0].numel() > 0]
        held = torch.stack([part.present[n] for n in names], 1)
        rows = [part[n].reshape(len(part), -1).double().numpy() for n in names]
        for i in held.any(1).nonzero()[:, 0].tolist():
            digest = hashlib.blake2b(bytes(held[i].tolist()), digest_size=16)
            for values in rows:
                digest.update(values[i].tobytes())
            yield digest.digest()


def _blocks(dataset: "DataSet") -> Iterator[Observations]:
    for obs in (dataset.train, dataset.validation, dataset.test):
        if obs is not None:
            yield from blocks(obs)
