"""What the pages of a paper have at paper scale, for tests that hold what the paper has."""

from typing import Any

import pytest

from ppl_mm.experiments.options import lacks
from ppl_mm.experiments.papers import TABLES
from ppl_mm.experiments.reproduction import runs_of


class Contents:
    """The pages of one paper, and which of them have an expectation."""

    def __init__(self, paper: str) -> None:
        self.paper = paper
        self.held: set[str] = set()

    def holds(self, *tables: str) -> pytest.MarkDecorator:
        """A test of these pages, with the argument ``table``."""
        self.held |= set(tables)
        return pytest.mark.parametrize("table", tables)

    @property
    def not_held(self) -> set[str]:
        """The pages without an expectation; a stand-in has that of its page."""
        return {name for name in TABLES[self.paper] if not name.endswith("-fashion")} - self.held

    def runs(self, table: str) -> list[Any]:
        return runs_of(TABLES[self.paper][table], "paper")

    def of(self, table: str, *names: str) -> set[tuple[Any, ...]]:
        """The values of these options, each run's once but for the seed."""
        runs = self.runs(table)
        found = [(*(getattr(r, n) for n in names), r.seed) for r in runs]
        assert len(found) == len(set(found))
        assert len(set(self.seeds(table).values())) == 1
        return {tuple(values[:-1]) for values in found}

    def seeds(self, table: str) -> dict[str, tuple[int, ...]]:
        """The seeds of each run."""
        found: dict[str, list[int]] = {}
        for run in self.runs(table):
            found.setdefault(run.name.rpartition("-")[0], []).append(run.seed)
        return {name: tuple(seeds) for name, seeds in found.items()}

    def has(self, table: str, **expected: Any) -> None:
        """Assert that all runs that have an option have this value of it."""
        runs = self.runs(table)
        found = {n: {getattr(r, n) for r in runs if not lacks(r, n)} for n in expected}
        assert found == {name: {value} for name, value in expected.items()}, found
