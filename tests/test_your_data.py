"""The page on one's own data: its files, declarations and commands, from top to bottom."""

import os
import re
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from ppl_mm import data
from ppl_mm.cli.app import app
from ppl_mm.data.own.declaration import _OF_MODALITY, _TOP, Kind

PAGE = Path(__file__).resolve().parents[1] / "docs" / "your_data.md"
FAST = ["--epochs", "1", "--num-samples", "30", "--rows", "5", "--latent-dim", "2"]
TRAINING = ("train", "compare")


def blocks() -> Iterator[tuple[str, str]]:
    """The language and the text of each block."""
    yield from re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)


def run(line: str) -> str:
    """What a command prints, with hardly any training."""
    program, *words = shlex.split(line)
    assert program == "ppl-mm"
    fast = FAST if words[0] in TRAINING else []
    result = CliRunner().invoke(app, [*words, *fast])
    assert result.exit_code == 0, f"{line}: {result.stderr} {result.exception!r}"
    return result.stdout


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A folder with all files of the page."""
    torch.set_default_dtype(torch.float32)
    folder = tmp_path_factory.mktemp("page")
    before, names = Path.cwd(), {"__name__": "your_data"}
    os.chdir(folder)
    try:
        for language, text in blocks():
            if language == "toml":
                name = re.match(r"# (\w+\.toml)\n", text)[1]
                Path(name).write_text(text)
            if language == "python":
                code = text.replace("epochs=20)", "epochs=1, progress=False)")
                with warnings.catch_warnings():  # mudata's and anndata's
                    warnings.simplefilter("ignore")
                    exec(compile(code, "your_data.md", "exec"), names)
    finally:
        os.chdir(before)
    return folder


@pytest.mark.parametrize(
    ("name", "modalities", "rows"),
    [
        ("cohort", 4, 569),
        ("several", 4, 569),
        ("pictures", 3, 200),
        ("cells", 3, 1000),
    ],
)
def test_every_declaration_is_read(written, name, modalities, rows):
    dataset = data.from_file(written / f"{name}.toml", quiet=True)
    parts = (dataset.train, dataset.validation, dataset.test)
    assert len(dataset.modalities) == modalities
    assert sum(map(len, parts)) == rows
    assert dataset.num_classes == 2
    if name == "several":
        held = sum(int(part.present["means"].sum()) for part in parts)
        assert held == round(0.9 * rows)  # no row lacks all of its ten cells


def commands() -> list[str]:
    return [line for language, text in blocks() if language == "sh" for line in text.splitlines()]


def test_what_describes_and_asks_runs_from_top_to_bottom(written, monkeypatch):
    monkeypatch.chdir(written)
    torch.set_default_dtype(torch.float32)
    monkeypatch.setattr("ppl_mm.runs.run.draw", lambda run: None)
    lines = [line for line in commands() if "cohort" in line and "compare" not in line]
    lines += [line for line in commands() if "describe" in line]
    assert len(lines) >= 8
    for line in lines:
        run(line)
    assert {"rows.csv", "errors.npz"} <= {path.name for path in written.iterdir()}


@pytest.mark.slow  # trains eight systems and draws their pictures
def test_all_commands_run_from_top_to_bottom(written, tmp_path, monkeypatch):
    for path in written.iterdir():
        if path.suffix in (".toml", ".csv", ".h5mu") or path.name == "pictures":
            (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    torch.set_default_dtype(torch.float32)
    for line in commands():
        run(line)
    pages = [f"{name}/report.html" for name in ("page", "pictures_page", "cells_page")]
    assert all((tmp_path / page).is_file() for page in pages)


def test_the_tables_have_every_key_and_kind():
    text = PAGE.read_text()
    for key in (*_TOP, *_OF_MODALITY, *Kind.__args__):
        if key != "modalities":
            assert f"`{key}`" in text, key
