"""Every tutorial runs from top to bottom, exercises and their solutions too, in a quick form."""

import ast
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot
import pytest
import torch
from matplotlib.figure import Figure
from typer.testing import CliRunner

from ppl_mm.cli.app import app

ROOT = Path(__file__).resolve().parents[1] / "docs" / "tutorials"
TUTORIALS = sorted(path.stem for path in ROOT.glob("*.md"))
CELL = re.compile(r"```\{code-cell\} ipython3\n(.*?)```", re.DOTALL)
QUICK_RUN = "--epochs 1 --rows 2 --num-samples 30"
QUICK = (  # what makes a tutorial long, and what it is here
    (re.compile(r"epochs=\d+"), "epochs=1"),
    (re.compile(r"--epochs \d+ --rows \d+ --num-samples \d+"), QUICK_RUN),
    (re.compile(r"--rows \d+ --num-samples \d+"), "--rows 2 --num-samples 30"),
    (re.compile(r"num_rows=\d+"), "num_rows=2, num_temperatures=8"),  # of certify
    (re.compile(r"num_draws=\d{3,}"), "num_draws=30"),
    (re.compile(r"num_samples=\d{3,}"), "num_samples=30"),
    (re.compile(r"num_particles=\d{3,}"), "num_particles=5"),
    (re.compile(r"warmup_steps=\d+"), "warmup_steps=10"),
    (re.compile(r"repeats=\d+"), "repeats=3"),
    (re.compile(r"in range\(\d{3,}\)"), "in range(3)"),
)


def cells(name: str) -> list[tuple[str, str]]:
    """The options and the quick code of each cell of a page."""
    found = []
    for cell in CELL.findall((ROOT / f"{name}.md").read_text()):
        options, text = re.fullmatch(r"((?::\w+:[^\n]*\n)*)(.*)", cell, re.DOTALL).groups()
        for pattern, quick in QUICK:
            text = pattern.sub(quick, text)
        text = text.replace("\\\n", "")  # a command of several lines
        found.append((options, re.sub(r"^!(.*)$", r"shell('\1')", text, flags=re.MULTILINE)))
    return found


def shown(code: str, names: dict[str, Any]) -> list[Any]:
    """Run a cell, and return the pictures that a notebook shows below it."""
    before, tree = set(matplotlib.pyplot.get_fignums()), ast.parse(code)
    *body, last = tree.body
    value = None
    if isinstance(last, ast.Expr):
        exec(compile(ast.Module(body, []), "cell", "exec"), names)
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)
    else:
        exec(compile(tree, "cell", "exec"), names)
    figures = set(matplotlib.pyplot.get_fignums()) - before
    if code.rstrip().endswith(";"):
        value = None
    by_itself = value is not None and any(
        hasattr(value, f"_repr_{kind}_") for kind in ("png", "mimebundle")
    )
    assert by_itself or not isinstance(value, Figure) or figures, "a notebook shows no picture"
    return [*figures, *([value] if by_itself else [])]


def shell(line: str) -> None:
    """Run a line of a notebook's shell; our command in this process, which has torch already."""
    program, *words = shlex.split(line)
    if program == "ppl-mm":
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, f"{line}: {result.output} {result.exception!r}"
    else:
        subprocess.run([program, *words], check=True)


@pytest.mark.filterwarnings("ignore::ppl_mm.results.unreliable.UnreliableLikelihoodWarning")
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib.use("Agg")
    torch.set_default_dtype(torch.float32)
    monkeypatch.chdir(ROOT)  # as the site runs it
    names = {"__name__": name, "shell": shell}
    for options, code in cells(name):
        pictures = shown(code, names)
        assert bool(pictures) == ("{image: {alt:" in options), f"alternative text: {code[-200:]}"
    matplotlib.pyplot.close("all")


@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_has_exercises_whose_solutions_are_folded(name: str) -> None:
    text = (ROOT / f"{name}.md").read_text()
    exercises = text.split("## Exercises")[1]
    asked = re.findall(r"^\*\*\d\.\*\*", exercises, re.MULTILINE)
    assert 2 <= len(asked) <= 4
    assert exercises.count(":tags: [hide-cell]") == len(asked)
    assert f"{{nb-download}}`{name}.ipynb`" in text


PAPERS = sorted((ROOT.parent / "papers").glob("*.md"))


@pytest.mark.parametrize("page", PAPERS, ids=lambda page: page.stem)
def test_a_papers_page_shows_lines_that_exist_and_draws_its_diagram(page: Path) -> None:
    pytest.importorskip("graphviz")
    text = page.read_text()
    shown = re.findall(r"literalinclude\} (\S+)\n:pyobject: (\S+)", text)
    assert shown
    for path, name in shown:
        tree = ast.parse((page.parent / path).read_text())
        found: Any = tree
        for part in name.split("."):
            found = next(n for n in found.body if getattr(n, "name", None) == part)
    torch.set_default_dtype(torch.float32)
    (cell,) = CELL.findall(text)
    *before, last = re.sub(r"^:\w+:.*\n", "", cell, flags=re.MULTILINE).splitlines()
    names: dict[str, Any] = {"__name__": page.stem}
    exec(compile("\n".join(before), page.name, "exec"), names)
    assert "->" in eval(last, names).source


def test_every_tutorial_is_on_the_site() -> None:
    listed = re.findall(r"^tutorials/(\w+)$", (ROOT.parent / "index.md").read_text(), re.MULTILINE)
    assert sorted(listed) == TUTORIALS
