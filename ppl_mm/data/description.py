"""Descriptions of data sets: their contents, suspicious values, and the chosen networks."""

import io
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import nn

from ppl_mm.batch.memory_mapped import blocks
from ppl_mm.data.findings import find
from ppl_mm.data.summaries import Summed, summed
from ppl_mm.modality import Modality

if TYPE_CHECKING:
    from ppl_mm.data.dataset import DataSet

__all__ = ["Described", "Description", "describe"]

_WIDTH = 80
_PATTERNS, _WORDS = 12, 3  # The largest numbers of shown patterns and levels.


@dataclass(frozen=True)
class Described:
    """The description of one modality.

    Attributes:
        name: The modality's name.
        kind: The modality's kind, such as "real"; for the library's own data sets, its likelihood.
        shape: The shape of one value.
        values: The range, the levels or the symbols, in words.
        missing: The share of all rows that lack the modality.
        holes: The share of missing elements in rows that hold the modality.
        networks: The likelihood, and the encoder and the decoder with their numbers of parameters,
            in words.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    values: str
    missing: float
    holes: float
    networks: tuple[str, str, str]


@dataclass(frozen=True)
class Description:
    """The description of a data set; printing shows it within 80 columns.

    Attributes:
        name: The data set's name.
        rows: Split -> the number of its rows.
        label: The modality that is predicted, with its number of classes; None for no label.
        latent_dim: The size of the latent.
        modalities: The description of each modality.
        patterns: The patterns of present modalities, as one truth value per modality, with the
            number of rows of each; the most frequent come first.
        findings: A sentence for everything that looks wrong.
        covariates: The columns that networks read and nothing scores, in words.
    """

    name: str
    rows: dict[str, int]
    label: tuple[str, int] | None
    latent_dim: int
    modalities: tuple[Described, ...]
    patterns: tuple[tuple[tuple[bool, ...], int], ...]
    findings: tuple[str, ...]
    covariates: tuple[str, ...] = ()

    def __str__(self) -> str:
        file = io.StringIO()
        console = Console(file=file, width=_WIDTH, highlight=False)
        for part in (self._facts(), self._values(), *self._pattern(), *self._wrong()):
            console.print(part)
        console.print(self._networks())
        return "\n".join(line.rstrip() for line in file.getvalue().splitlines())

    def _facts(self) -> str:
        total = sum(self.rows.values())
        splits = ", ".join(f"{number:,} {split}" for split, number in self.rows.items())
        label = ""
        if self.label is not None:
            label = f"; label {self.label[0]!r} of {self.label[1]:,} classes"
        read = f"\nnetworks read: {'; '.join(self.covariates)}" if self.covariates else ""
        return escape(f"{self.name}: {total:,} rows ({splits}){label}{read}")

    def _values(self) -> Table:
        holes = any(m.holes for m in self.modalities)
        heading = ("", "modality", "kind", "one value", "values", "missing")
        table = Table(*heading, *(["holes"] if holes else []))
        for i, m in enumerate(self.modalities, 1):
            shape = " x ".join(map(str, m.shape)) or "1"
            shares = (f"{m.missing:.1%}", *([f"{m.holes:.1%}"] if holes else []))
            cells = (m.name, m.kind, shape, m.values, *shares)
            table.add_row(str(i), *map(escape, cells))
        return table

    def _pattern(self) -> list[Table]:
        """Draw the patterns of present modalities; no lines if every row holds everything."""
        if len(self.patterns) == 1 and all(self.patterns[0][0]):
            return []
        total = sum(self.rows.values())
        numbers = [f"{i:<2}" for i in range(1, len(self.modalities) + 1)]
        table = Table("rows", "share", "hold " + "".join(numbers).rstrip())
        for held, number in self.patterns[:_PATTERNS]:
            picture = "".join("█ " if there else "· " for there in held).rstrip()
            table.add_row(f"{number:,}", f"{number / total:.1%}", "     " + picture)
        rest = self.patterns[_PATTERNS:]
        if rest:
            number = sum(rows for _, rows in rest)
            table.add_row(f"{number:,}", f"{number / total:.1%}", f"{len(rest):,} other patterns")
        return [table]

    def _wrong(self) -> list[str]:
        if not self.findings:
            return ["Nothing looks wrong."]
        return ["What looks wrong:", *(escape(f"- {finding}") for finding in self.findings)]

    def _networks(self) -> Table:
        table = Table("modality", "likelihood", "encoder", "decoder")
        for m in self.modalities:
            table.add_row(*map(escape, (m.name, *m.networks)))
        table.caption = f"size of the latent: {self.latent_dim}; numbers are parameters"
        table.caption_justify = "left"
        return table


def describe(dataset: "DataSet") -> Description:
    """Describe a data set; this reads all rows once."""
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    held = {split: obs for split, obs in splits.items() if obs is not None}
    patterns: Counter[tuple[bool, ...]] = Counter()
    for obs in held.values():
        masks = zip(*(obs.present[m.name].tolist() for m in dataset.modalities), strict=True)
        patterns.update(masks)
    total = sum(patterns.values())
    sums, missing = {}, {}
    for i, m in enumerate(dataset.modalities):
        sums[m.name] = summed(m.name, (part for obs in held.values() for part in blocks(obs)))
        lacking = sum(number for mask, number in patterns.items() if not mask[i])
        missing[m.name] = lacking / total
    label = None
    if dataset.label is not None and dataset.num_classes is not None:
        label = (dataset.label, dataset.num_classes)
    return Description(
        dataset.name,
        {split: len(obs) for split, obs in held.items()},
        label,
        dataset.latent_dim,
        tuple(_described(dataset, m, sums[m.name], missing[m.name]) for m in dataset.modalities),
        tuple(patterns.most_common()),
        tuple(find(dataset, sums, missing)),
        _covariates(dataset),
    )


def _covariates(dataset: "DataSet") -> tuple[str, ...]:
    own = dataset.provenance
    return tuple(
        f"{c.column} ({len(c.levels):,} classes)" if c.levels else f"{c.column} (a number)"
        for c in ({} if own is None else own.covariates).values()
    )


def _described(dataset: "DataSet", modality: Modality, found: Summed, missing: float) -> Described:
    likelihood = type(modality.likelihood).__name__
    columns = None if dataset.provenance is None else dataset.provenance.columns[modality.name]
    kind = likelihood if columns is None else columns.kind
    if columns is not None and columns.levels:
        rest = len(columns.levels) - _WORDS
        values = ", ".join(columns.levels[:_WORDS]) + (f" and {rest:,} more" if rest > 0 else "")
    elif kind == "text":
        words = (dataset.vocabularies or {}).get(modality.name)
        values = "" if words is None else f"{len(words):,} symbols"
    else:
        values = "none" if found.rows == 0 else f"{found.low:.4g} to {found.high:.4g}"
    networks = (
        likelihood,
        _size(modality.encoder(dataset.latent_dim)),
        _size(modality.decoder(dataset.latent_dim)),
    )
    return Described(modality.name, kind, found.shape, values, missing, found.holes, networks)


def _size(network: nn.Module) -> str:
    return f"{type(network).__name__} {sum(p.numel() for p in network.parameters()):,}"
