"""Every table and figure of the papers is made end to end, at smoke scale."""

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from page_columns import PICTURES, TEXT
from stand_ins import of_body, stands_in
from typer.testing import CliRunner

from ppl_mm import data, plotting
from ppl_mm.cli.app import app as cli
from ppl_mm.experiments.papers import TABLES
from ppl_mm.experiments.reproduction import SCALES, RunsFailedError, reproduce, runs_of
from ppl_mm.experiments.svae import experiment as svae

EVERY = [(paper, name) for paper, tables in TABLES.items() for name in tables]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where tables of one paper find each other's runs."""
    return tmp_path_factory.mktemp("reproduce")


def slow_stand_in(paper: str, name: str) -> Any:
    """A page of stand-ins runs the code of the page that it stands in for, on other data."""
    return pytest.param(paper, name, marks=pytest.mark.slow if name.endswith("-fashion") else ())


@pytest.mark.filterwarnings("ignore:fit. no training row holds modality")  # at 0.1 of 12 rows
@pytest.mark.parametrize(("paper", "name"), [slow_stand_in(*page) for page in EVERY])
def test_smoke(tiny, folder, paper, name, monkeypatch):
    table, dashed = TABLES[paper][name], []
    curves = plotting.error_curves
    monkeypatch.setattr(
        plotting,
        "error_curves",
        lambda *a, beside=None, **o: dashed.append(beside) or curves(*a, beside=beside, **o),
    )
    page = reproduce(table, folder / paper, name, "smoke")
    text = page.read_text()
    assert text.startswith(f"# {table.title}\n")
    assert "\n## What the paper claims\n" in text
    assert "at the scale *smoke*" in text or "with the paper's settings" in text
    assert " (seed 0) " in text
    assert ("\nTraining: " in text) == hasattr(table.short[0], "precision")
    assert ("**This page is a stand-in.**" in text) == stands_in(table)
    if stands_in(table):
        assert of_body(text) == []
        assert not any(dashed)
    assert [told for told in TEXT.get((paper, name), []) if told not in text] == []
    shown = re.findall(r"!\[[^\]]*\]\((.*?)\)", text)
    assert len(shown) >= PICTURES[paper].get(name, 0)
    assert all((page.parent / picture).stat().st_size > 1000 for picture in shown)


@pytest.mark.parametrize("paper", TABLES)
def test_every_page_has_columns_or_pictures_that_it_must_show(paper):
    """A stand-in has those of its page, without the paper's."""
    of_text = {name for whose, name in TEXT if whose == paper}
    own = {name for name in TABLES[paper] if not name.endswith("-fashion")}
    assert of_text | set(PICTURES[paper]) == own


@pytest.mark.parametrize(("paper", "name"), EVERY)
def test_runs_have_names_of_their_own(paper, name):
    table = TABLES[paper][name]
    for scale in SCALES:
        names = Counter(run.name for run in runs_of(table, scale, seeds=[0, 1]))
        assert set(names.values()) == {1}
    known = {summary.name for summary in data.describe()}
    assert set(table.data) <= known
    for run in table.paper:
        assert not hasattr(run, "dataset") or run.dataset in table.data


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("paper", TABLES)
def test_tables_of_a_paper_share_a_folder(paper, scale):
    known: dict[str, Any] = {}
    for table in TABLES[paper].values():
        for run in runs_of(table, scale):
            made = (table.experiment.__name__, run)
            assert known.setdefault(run.name, made) == made


def test_only_missing_runs_are_made(tiny, tmp_path, monkeypatch):
    table = TABLES["svae"]["table-1"]
    first = reproduce(table, tmp_path, "first", "smoke").read_text()
    made = []
    main = svae.main
    monkeypatch.setattr(svae, "main", lambda config: made.append(config.system) or main(config))
    for path in tmp_path.glob("*-vaevae-*.json"):
        path.unlink()
    assert reproduce(table, tmp_path, "again", "smoke").read_text() == first
    assert made == ["vaevae"]
    with pytest.raises(ValueError, match=r"lr: the run in .* has 0\.001, asked to go on with 0\.5"):
        reproduce(table, tmp_path, "other", "smoke", lr=0.5)
    for path in tmp_path.glob("*-svae-*.json"):
        path.write_text(path.read_text().replace('"experiment": "svae"', '"experiment": "meme"'))
    with pytest.raises(
        ValueError, match=r"experiment: the run in .* has 'meme', asked to go on with 'svae'"
    ):
        reproduce(table, tmp_path, "again", "smoke")
    with pytest.raises(
        ValueError, match=r"experiment: the run in .* has 'meme', asked to go on with 'svae'"
    ):
        main(runs_of(table, "smoke", out=str(tmp_path))[0])


def test_runs_that_fail_are_told_after_the_others_are_made(tiny, tmp_path, monkeypatch):
    made = svae.main

    def main(config):
        if config.system == "vaevae":
            raise MemoryError("no room")
        return made(config)

    monkeypatch.setattr(svae, "main", main)
    out, name = tmp_path, "table-1"
    with pytest.raises(RunsFailedError, match=r"table-1\.md: \S*-vaevae-\S* \(no room\)$") as told:
        reproduce(TABLES["svae"][name], out, name, "smoke")
    assert told.value.page == out / "table-1.md"
    assert "--system vaevae" in told.value.page.read_text().split("- failed: ", 1)[1]
    words = ["reproduce", "svae", name, "--scale", "smoke", "--out", str(out)]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 1
    assert f"page: {out / name}.md" in result.output
    assert re.search(r"failed: \S*-vaevae-\S* \(no room\)\n", result.output)


def test_options_and_seeds_reach_every_run():
    runs = runs_of(TABLES["svae"]["table-1"], "short", seeds=[3, 4], device="cpu")
    assert {run.device for run in runs} == {"cpu"}
    assert [run.seed for run in runs] == 4 * [3, 4]
    with pytest.raises(ValueError, match=r"device_: no option of these runs; they have epochs"):
        runs_of(TABLES["svae"]["table-1"], "short", device_="cpu")
    same = runs_of(TABLES["svae"]["figure-4"], "paper", seeds=[3, 4], supervision=0.1)
    assert len(same) == 2 * 5  # a run each, not once a share that there would have been
    options = {"lr": 1, "num_train": None, "clip_norm": 2}
    first, *_ = runs_of(TABLES["svae"]["table-1"], "short", **options)
    assert (first.lr, first.num_train, first.clip_norm) == (1, None, 2)
    for wrong, kind in (
        ({"epochs": "many"}, "int"),
        ({"epochs": 1.5}, "int"),
        ({"epochs": True}, "int"),
        ({"lr": "1e-3x"}, "float"),
        ({"num_train": "few"}, "int or NoneType"),
        ({"device": 0}, "str"),
    ):
        with pytest.raises(ValueError, match=f"expected a value of type {kind}, got "):
            runs_of(TABLES["svae"]["table-1"], "short", **wrong)
    few = TABLES["meme"]["table-3-fashion"]
    assert {run.preset for run in runs_of(few, "short", preset="bound")} == {"bound"}
    with pytest.raises(ValueError, match=r"unknown preset 'bond'.*Did you mean 'bound'"):
        runs_of(few, "short", preset="bond")
    with pytest.raises(ValueError, match=r"scale: expected smoke, short, paper, got 'tiny'"):
        runs_of(TABLES["svae"]["table-1"], "tiny")


def test_paper_scale_is_the_papers():
    first, *_, mmvae = runs_of(TABLES["svae"]["table-1"], "paper")
    assert first == svae.Config(system="svae", best_epoch=True)
    assert mmvae == replace(first, system="mmvae", latent_dim=20, batch_size=256, lr=1e-3)


def test_the_command(tiny, tmp_path):
    runner = CliRunner()
    for paper, tables in TABLES.items():
        listed = runner.invoke(cli, ["reproduce", paper], env={"COLUMNS": "80"})
        assert listed.exit_code == 0
        assert max(map(len, listed.output.splitlines())) <= 80
        for table in tables.values():
            assert f"needs {table.data[0] if table.data else 'no data'}" in listed.output
    words = ["reproduce", "svae", "figure-6", "--scale", "smoke", "--out", str(tmp_path)]
    made = runner.invoke(cli, [*words, "--option", "batch_size=10"])
    assert made.exit_code == 0, made.output
    assert "top + middle" in (tmp_path / "figure-6.md").read_text()
    wrong = runner.invoke(cli, ["reproduce", "svae", "figure-99"])
    assert wrong.exit_code == 2
    assert "unknown table of svae 'figure-99'" in wrong.output


def test_missing_data_are_named_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PPL_MM_DATA", str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match=r"mnist"):
        reproduce(TABLES["meme"]["table-3"], tmp_path / "out", "table-3", "smoke")
    assert not (tmp_path / "out").exists()
