"""Names are read from the sources: they are those of the package, and need no torch."""

import subprocess
import sys

import pytest

from ppl_mm import data, systems
from ppl_mm.cli import names


def test_names_are_those_of_the_package():
    assert names.systems() == systems.available()
    assert names.datasets() == sorted(data.available())


def test_the_nearest_name_is_told():
    names.check_system("mvae")
    with pytest.raises(ValueError, match=r"unknown system 'mvea'.* Did you mean 'mvae'\?"):
        names.check_system("mvea")
    names.check_dataset("digits")
    with pytest.raises(ValueError, match=r"unknown data set 'digist'.* Did you mean 'digits'\?"):
        names.check_dataset("digist")


def test_files_are_left_to_the_reader_of_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names.check_dataset("none.toml")
    (tmp_path / "cells.csv").write_text("a\n1\n")
    names.check_dataset("cells.csv")


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "systems",
        "systems mvea",
        "train mvea digits",
        "train mvae digist",
        "compare digits --system mvea",
        "compare digist --system mvae",
        "graph mvea digits",
        "data list",
        "data describe digist",
        "data get digist",
        "tran",
    ],
)
def test_these_commands_import_no_torch(words, tmp_path):
    code = (
        "import sys\nfrom ppl_mm.cli import app\n"
        f"try: app({words.split()!r})\n"
        "except SystemExit as ended: print('ended', ended.code)\n"
        "print({'torch', 'pyro', 'numpy'} & set(sys.modules))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    wrong = words not in ("--help", "systems", "data list")
    assert found.stdout.endswith(f"ended {2 if wrong else 0}\nset()\n")
    assert found.stderr.startswith("error: ") == wrong
