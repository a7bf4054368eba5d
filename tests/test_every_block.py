"""No code block of README or site is left out: this file runs it, or the one that it names."""

import importlib.util
import re
import shlex
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from ppl_mm import data
from ppl_mm.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "_build" not in path.parts
}
HERE = ("docs/cuda.md", "docs/migration.md", "docs/steps.md")
RUN_BY = {
    "README.md": "test_documents.py",
    "docs/contracts.md": "programs/test_contracts.py",
    "docs/decoders.md": "test_documents.py",
    "docs/how_to_add.md": "test_how_to_add.py",
    "docs/imputation.md": "test_imputation_page.py",
    "docs/pyro.md": "test_documents.py",
    "docs/several_machines.md": "training/test_data_parallel.py",
    "docs/stop_gradient.md": "test_documents.py",
    "docs/systems.md": "test_documents.py",
    "docs/training.md": "training/test_page.py",
    "docs/trust.md": "test_documents.py",
    "docs/your_data.md": "test_your_data.py",
}
"""Page -> the test, in this folder, that runs its blocks of Python."""
QUICK = ["--epochs", "1", "--rows", "5", "--num-samples", "30", "--latent-dim", "2"]
ELSEWHERE = ("mnist", "sides", "--dask")  # data, a page and a cluster that are not here


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.DOTALL | re.MULTILINE)


def test_every_block_of_python_has_its_test():
    of_python = {page for page in PAGES if blocks(page, "python")}
    assert of_python == {*HERE, *RUN_BY}
    for page, test in RUN_BY.items():
        assert f'"{Path(page).name}"' in (ROOT / "tests" / test).read_text(), page


def test_the_readme_is_short():
    assert len(PAGES["README.md"].splitlines()) <= 150


def test_every_other_block_has_its_test():
    languages = {
        (Path(page).parts[1:-1], language)
        for page, text in PAGES.items()
        for language in re.findall(r"^```(\S[^\n]*)\n", text, re.MULTILINE)
        if not language.startswith(("{toctree}", "{literalinclude}"))
    }
    cell = "{code-cell} ipython3"
    assert languages == {
        *{((), language) for language in ("python", "sh", "text", "toml", cell)},
        *{(("tutorials",), language) for language in ("toml", cell)},  # test_tutorials.py
        (("papers",), cell),  # test_tutorials.py
    }
    assert [page for page in PAGES if blocks(page, "toml")] == [
        "docs/tutorials/single_cells.md",  # below
        "docs/your_data.md",  # test_your_data.py
    ]


@pytest.mark.filterwarnings("ignore::ppl_mm.results.unreliable.UnreliableLikelihoodWarning")
@pytest.mark.parametrize("page", HERE)
def test_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    torch.set_default_dtype(torch.float32)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": Path(page).stem}
    for block in blocks(page, "python"):
        if block.startswith("# multivae\n"):
            other_library(block, names)
        else:
            quick = re.sub(r"(?<=\W)epochs=\d+", "epochs=1, progress=False", block)
            exec(compile(quick, page, "exec"), names)
    if page == "docs/migration.md":
        assert names["draws"].shape == (5, 397, 4, 8)
        assert names["result"].value.shape == (20,)
    else:
        assert "step" in names["result"].step or "eager" in names["result"].step


def other_library(block: str, names: dict[str, Any]) -> None:
    """Run a block in the package ``multivae`` where it is installed, else see that it compiles."""
    code = compile(re.sub(r"num_epochs=\d+", "num_epochs=1", block), "multivae", "exec")
    if importlib.util.find_spec("multivae") is None:
        return
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the other library's
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        importlib.import_module("multivae_models").available("mvae")
        exec(code, names)


def test_the_page_on_migration_names_what_is_there():
    text = PAGES["docs/migration.md"]
    (named,) = re.findall(r"\| `systems\.(mvae)`, (`.*?`) \|", text)
    for name in re.findall(r"\w+", " ".join(named)):
        assert name in __import__("ppl_mm").systems.available()


def commands(page: str) -> Iterator[list[str]]:
    """The words of every command of a page's shell."""
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    yield from filter(None, (shlex.split(line, comments=True) for line in text.splitlines()))


SHELL = [page for page in PAGES if blocks(page, "sh")]


@pytest.mark.parametrize("page", SHELL)
def test_every_command_of_a_shell_is_one(page):
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for program, *words in commands(page):
        if program == "make":
            assert set(words) <= set(targets)
        elif program == "torchrun":
            if "-m" in words:
                parse(words[words.index("ppl_mm") + 1 :])
        elif Path(program).name == "ppl-mm":
            parse(words)
        else:
            assert Path(program).name in ("python", "python3", "pip")  # as CI has them


def parse(words: list[str]) -> None:
    """Read a command's words without running it."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command = command.commands[words[0]]
        words = words[1:]
    command.make_context("ppl-mm", list(words))


@pytest.mark.slow  # trains what the pages train
@pytest.mark.filterwarnings("ignore::ppl_mm.results.unreliable.UnreliableLikelihoodWarning")
@pytest.mark.parametrize("page", [page for page in SHELL if page != "docs/your_data.md"])
def test_every_command_runs(page, tmp_path, monkeypatch):
    torch.set_default_dtype(torch.float32)
    monkeypatch.chdir(tmp_path)
    for program, *words in commands(page):
        line = " ".join(words)
        if Path(program).name == "ppl-mm" and not any(word in line for word in ELSEWHERE):
            if words[0] == "reproduce":
                words += ["--scale", "smoke"]
            fast = QUICK if words[0] in ("train", "compare") else []
            found = CliRunner().invoke(app, [*words, *fast])
            assert found.exit_code == 0, f"{line}: {found.output} {found.exception!r}"


def test_the_declarations_of_single_cells_are_read(tmp_path):
    anndata, mudata = pytest.importorskip("anndata"), pytest.importorskip("mudata")
    pandas = pytest.importorskip("pandas")
    generator = np.random.default_rng(0)

    def labelled(prefix: str, number: int) -> Any:
        labels = [f"{prefix}{i}" for i in range(number)]
        return pandas.DataFrame(index=pandas.Index(labels, dtype=object))

    def part(prefix: str, number: int) -> Any:
        counts = generator.integers(0, 2, (30, number)).astype(np.float32)
        return anndata.AnnData(counts, labelled("cell", 30), labelled(prefix, number))

    with warnings.catch_warnings():  # mudata's and anndata's
        warnings.simplefilter("ignore")
        part("gene", 20).write_h5ad(tmp_path / "rna.h5ad")
        part("peak", 30).write_h5ad(tmp_path / "atac.h5ad")
        both = mudata.MuData({"rna": part("gene", 20), "protein": part("protein", 5)})
        both.var.index = both.var.index.astype(object)
        both.write(tmp_path / "citeseq.h5mu")
        for text in blocks("docs/tutorials/single_cells.md", "toml"):
            path = tmp_path / "declaration.toml"
            path.write_text(text)
            found = data.from_file(path, quiet=True)
            assert len(found.modalities) == 2
            assert len(found.train) == 21


@pytest.mark.slow  # every command of the page
@pytest.mark.skipif(
    shutil.which("dot") is None, reason="no graphviz here: apt-get install graphviz"
)
def test_the_page_of_the_command_runs(tmp_path, monkeypatch):
    torch.set_default_dtype(torch.float32)
    monkeypatch.chdir(tmp_path)
    text = PAGES["docs/command.md"].replace("\\\n", " ")
    lines = re.findall(r"^!ppl-mm (.*)$", text, re.MULTILINE)
    names = {line.split()[0] for line in lines}
    assert {*typer.main.get_command(app).commands, "--help"} == names
    for line in lines:
        words = re.sub(r"--epochs \d+", "--epochs 1", line).split()
        found = CliRunner().invoke(app, words)
        assert found.exit_code == 0, f"{line}: {found.output} {found.exception!r}"
