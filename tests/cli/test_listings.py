"""Lists of 80 columns, a line an entry; pages of systems; nearest names; completion."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from ppl_mm import data, systems
from ppl_mm.cli import listing
from ppl_mm.cli.app import app
from ppl_mm.experiments import papers


def shown(*words: str) -> list[str]:
    result = CliRunner().invoke(app, words, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    return lines


def test_a_line_for_each_system():
    _, *lines, caption = shown("systems")
    assert [line.split()[0] for line in lines] == list(systems.available())
    assert "ppl-mm systems NAME" in caption


def test_a_line_for_each_data_set():
    _, *lines, _ = shown("data", "list", "--folder", "nowhere")
    assert [line.split()[0] for line in lines] == data.available()
    assert lines[0] == "digits              ready    1,200 / 200 / 397          top, bottom, label"


def test_a_line_for_each_paper_and_each_of_its_tables():
    _, *lines, _ = shown("reproduce")
    assert [line.split()[0] for line in lines] == list(papers.of())
    for paper, tables in papers.of().items():
        found = [line.split() for line in shown("reproduce", paper) if line.startswith("  ")]
        found = [words for words in found if words[0] != "page"]
        assert sorted(words[0] for words in found) == sorted(tables)
        runs = {n: f"{len(table.short):,}/{len(table.paper):,}" for n, table in tables.items()}
        assert {words[0]: words[1] for words in found} == runs


@pytest.mark.parametrize("name", systems.available())
def test_the_page_of_a_system_says_what_it_needs_and_its_options(name):
    text = "\n".join(shown("systems", name))
    assert systems.available()[name][:30] in text
    assert "Modalities: " in text
    for option in systems.options(name):
        assert f"\n  {option.name} = " in text


def test_what_is_cut_off_is_marked(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    text = listing.table(("a", "b"), [("x", 50 * "y"), ("longer", "z")])
    assert text.splitlines() == ["a       b", f"x       {31 * 'y'}…", "longer  z"]


def test_wrong_names_get_the_nearest():
    for words, near in (
        (("systems", "mvea"), "Did you mean 'mvae'?"),
        (("data", "describe", "digit"), "Did you mean 'digits'?"),
        (("train", "mvae", "digits", "--option", "bta=2"), "Did you mean 'beta'?"),
        (("train", "mvae", "digits", "--option", "particles=2"), "num_particles"),
        (("reproduce", "svea", "table-1"), "Did you mean 'svae'?"),
    ):
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == 2
        assert near in result.stderr, result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_shown_and_completes(shell):
    code = "from ppl_mm.cli import app; app(prog_name='ppl-mm')"
    asked = {"_PPL_MM_COMPLETE": f"source_{shell}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=asked, capture_output=True, text=True, check=True
    )
    assert "_PPL_MM_COMPLETE" in done.stdout
    words = {"COMP_WORDS": "ppl-mm da", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "ppl-mm da"}
    words |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args", "_PPL_MM_COMPLETE": f"complete_{shell}"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=words, capture_output=True, text=True, check=True
    )
    assert "data" in done.stdout
