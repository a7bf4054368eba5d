"""Comparisons of tiny runs by the command, without pictures, and a reader of their page."""

from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner, Result

from ppl_mm import plotting
from ppl_mm.cli.app import app
from ppl_mm.runs import run as runs

SYSTEMS, MISSING, SEEDS = ("mvae", "mmvae"), ("0", "0.5"), ("0", "1")
MINUS = "\N{MINUS SIGN}"
SMALL = ["--epochs", "1", "--batch-size", "400", "--num-samples", "30", "--rows", "5"]
SMALL += ["--modality", "top", "--modality", "label", "--latent-dim", "2"]


def call(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def several(**given: tuple[str, ...]) -> list[str]:
    return [word for flag, values in given.items() for v in values for word in (f"--{flag}", v)]


def compare(out: Path, *words: object, systems=SYSTEMS, missing=MISSING, seeds=SEEDS) -> Result:
    trials = several(system=systems, missing=missing, seed=seeds)
    return call("compare", "digits", *trials, "--out", out, *SMALL, *words)


def tiny(*args: object) -> Figure:
    return Figure(figsize=(0.1, 0.1))


def draw_tiny(finished: runs.Run) -> None:
    for name in ("prior_samples", "cross_generation", "latent", "posterior"):
        plotting.save(tiny(), finished.folder / f"{name}.png")


def spare_pictures(patch: pytest.MonkeyPatch) -> None:
    """Pictures take most of the time, and are tested elsewhere."""
    patch.setattr("ppl_mm.runs.run.draw", draw_tiny)
    patch.setattr("ppl_mm.plotting.losses", tiny)
    patch.setattr("ppl_mm.comparison.page.curve", tiny)


class Page(HTMLParser):
    """Tables as rows of texts, and every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[list[list[str]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if {"th", "td"} & set(self.open):
            self.tables[-1][-1][-1] += text

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]
