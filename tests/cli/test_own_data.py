"""From files alone to a report: what the command does for digits, on data of one's own."""

import csv
import json
import shutil
from pathlib import Path

import anndata
import mudata
import numpy as np
import pandas
import pytest
import scipy.sparse
import torch
from PIL import Image
from sklearn.datasets import load_breast_cancer
from typer.testing import CliRunner, Result

from ppl_mm import data, runs
from ppl_mm.cli.app import app
from ppl_mm.runs.folder import FILES

pytestmark = [
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning:mudata.*"),
    pytest.mark.usefixtures("few_pixels"),
]
mudata.set_options(pull_on_update=False)

FAST = ["--epochs", "2", "--num-samples", "30", "--rows", "6", "--latent-dim", "3"]
COLUMNS = {"means": "mean_*", "errors": "*_error", "worst": "worst_*", "diagnosis": "diagnosis"}


def call(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def works(*words: object) -> str:
    """What a command prints."""
    result = call(*words)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def breast_cancer(folder: Path, files: dict[str, str]) -> Path:
    """Scikit-learn's breast cancer data as four modalities, a tenth of whose cells are removed.

    The rows of each file are in another order.
    """
    bunch = load_breast_cancer()
    frame = pandas.DataFrame(bunch.data, columns=[n.replace(" ", "_") for n in bunch.feature_names])
    frame["diagnosis"] = bunch.target_names[bunch.target]
    frame = frame.mask(np.random.default_rng(0).random(frame.shape) < 0.1)
    frame.insert(0, "patient", [f"p{i}" for i in range(len(frame))])
    lines = ['name = "breast_cancer"', 'label = "diagnosis"', 'index = "patient"', "hidden = [16]"]
    for seed, file in enumerate(dict.fromkeys(files.values())):
        frame.sample(frac=1, random_state=seed).to_csv(folder / file, index=False)
    for name, pattern in COLUMNS.items():
        lines += [f"[modalities.{name}]", f'file = "{files[name]}"', f'columns = "{pattern}"']
    path = folder / "cohort.toml"
    path.write_text("\n".join(lines))
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path, str]:
    """A declaration, a run folder, and what training printed."""
    torch.set_default_dtype(torch.float64)
    folder = tmp_path_factory.mktemp("cohort")
    path = breast_cancer(folder, dict.fromkeys(COLUMNS, "cohort.csv"))
    result = call("train", "mvae", path, "--out", folder / "run", *FAST)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    return path, folder / "run", result.stdout


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures take most of the time."""
    monkeypatch.setattr("ppl_mm.runs.run.draw", lambda run: None)


def test_a_run_on_a_table_is_a_run_like_any_other(trained):
    path, folder, printed = trained
    assert {file.name for file in folder.iterdir()} == set(FILES)
    assert 'means: kind = "real" is guessed' in printed
    assert "mvae on breast_cancer" in printed
    assert "from means, errors, worst" in printed
    saved = json.loads((folder / "config.json").read_text())
    assert saved["options"]["dataset"] == str(path)
    assert "absolute path" in saved["note"]
    assert "fingerprint" in saved["options"]["data_options"]


def test_trained_runs_answer(trained, tmp_path):
    _, folder, _ = trained
    assert "5 rows, 26" in works("evaluate", folder, "--num-samples", "26", "--rows", "5")
    asked = ["--target", "diagnosis", "--given", "means,worst", "--rows", "4"]
    assert "log p(diagnosis | means, worst)" in works("loglik", folder, *asked)
    png, npz = tmp_path / "drawn.png", tmp_path / "drawn.npz"
    drawn = ["--target", "errors", "--given", "means", "--num", "2", "--out", png, "--npz", npz]
    works("generate", folder, *drawn)
    assert np.load(npz)["errors"].shape == (2, 2, 10)  # a row of each class
    assert png.read_bytes().startswith(b"\x89PNG")


def test_what_is_drawn_is_in_the_units_of_the_file(trained, tmp_path):
    """The area of a tumour is some hundreds, its smoothness a tenth."""
    _, folder, _ = trained
    npz = tmp_path / "drawn.npz"
    words = ["--target", "means", "--given", "worst", "--rows", "20", "--npz", npz]
    works("generate", folder, *words, "--out", tmp_path / "drawn.png")
    area, smoothness = np.load(npz)["means"].mean((0, 1))[[3, 4]]
    assert 300 < area < 1200
    assert 0.05 < smoothness < 0.15


def test_a_run_goes_on_and_is_replaced(trained, tmp_path, undrawn):
    path, folder, _ = trained
    copy = tmp_path / "run"
    shutil.copytree(folder, copy)
    words = ["train", "mvae", path, "--out", copy, "--no-evaluate", "--quiet"]
    result = call(*words)
    assert result.exit_code == 2
    assert "--overwrite" in result.stderr
    assert works(*words, "--resume") == ""
    assert works(*words, "--overwrite", *FAST) == ""


def test_the_same_rows_from_one_file_and_from_three_give_the_same_numbers(
    trained, tmp_path, undrawn
):
    """Rows stand in other orders, so training does; what the same system says of a row does not."""
    files = {"means": "a.csv", "errors": "b.csv", "worst": "b.csv", "diagnosis": "c.csv"}
    several = breast_cancer(tmp_path, files)
    _, folder, _ = trained
    one = runs.load(folder)
    again = runs.load(folder, data_dir=str(one.dataset.reference).rpartition("/")[0])
    dataset = data.from_file(several, quiet=True)
    ours, theirs = (set(d.provenance.rows["test"]) for d in (one.dataset, dataset))
    assert ours == theirs
    place = [dataset.provenance.rows["test"].index(x) for x in one.dataset.provenance.rows["test"]]
    for name in one.dataset.test.names:
        assert torch.equal(dataset.test[place][name], one.dataset.test[name])
        if name != "diagnosis":
            elements = dataset.test[place].elements[name]
            assert torch.equal(elements, one.dataset.test.elements[name])
            assert 0.85 < elements.double().mean() < 0.95
        assert torch.equal(again.dataset.test[name], one.dataset.test[name])
    works("train", "mvae", several, "--out", tmp_path / "run", *FAST, "--no-evaluate", "--quiet")


def test_a_run_whose_data_have_moved_or_changed(trained, tmp_path, undrawn):
    path = trained[0]
    new = tmp_path / "elsewhere"
    new.mkdir()
    old = tmp_path / "before"
    old.mkdir()
    for file in ("cohort.toml", "cohort.csv"):
        shutil.copy(path.parent / file, old)
    words = ["train", "mvae", old / "cohort.toml", "--out", tmp_path / "run", "--no-evaluate"]
    works(*words, *FAST)
    for file in ("cohort.toml", "cohort.csv"):
        shutil.move(old / file, new / file)
    line = call("evaluate", tmp_path / "run").stderr
    assert "--data-dir" in line
    measure = [
        "evaluate",
        tmp_path / "run",
        "--data-dir",
        new,
        "--num-samples",
        "26",
        "--rows",
        "3",
    ]
    assert "3 rows" in works(*measure)
    words[2] = new / "cohort.toml"
    works(*words, "--resume")
    with (new / "cohort.csv").open("a") as file:
        file.write((new / "cohort.csv").read_text().splitlines()[1].replace("p", "q", 1) + "\n")
    assert "have changed since the run was trained" in call(*measure).stderr
    assert "have changed since the run was trained" in call(*words, "--resume").stderr


def pictures(folder: Path) -> Path:
    """200 small images, with captions and labels in a CSV."""
    generator = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    rows = []
    for i in range(200):
        dark = generator.integers(0, 60, (8, 8))
        sort = ("left", "right")[i % 2]
        dark[:, 4 * (i % 2) : 4 * (i % 2) + 4] += 150
        Image.fromarray(dark.astype(np.uint8)).save(folder / "pictures" / f"i{i}.png")
        rows.append((f"i{i}", f"a bright {sort} half number {i % 5}", sort))
    with (folder / "words.csv").open("w") as file:
        csv.writer(file).writerows([("image", "caption", "side"), *rows])
    path = folder / "pictures.toml"
    path.write_text(
        'label = "side"\nlatent_dim = 3\nhidden = [16]\n'
        '[modalities.picture]\nfile = "pictures"\n'
        '[modalities.caption]\nfile = "words.csv"\nindex = "image"\ncolumns = "caption"\n'
        'kind = "text"\n'
        '[modalities.side]\nfile = "words.csv"\nindex = "image"\ncolumns = "side"\n'
    )
    return path


def cells(folder: Path) -> Path:
    """Two count matrices of 1,000 cells."""
    generator = np.random.default_rng(0)

    def plain(labels: list[str]) -> pandas.DataFrame:
        return pandas.DataFrame(index=pandas.Index(labels, dtype=object))

    sort = generator.integers(0, 2, 1000)
    labels, parts = [f"c{i}" for i in range(1000)], {}
    for name, number in (("rna", 80), ("protein", 6)):
        rates = np.exp(generator.normal(size=(2, number)))[sort]
        counts = scipy.sparse.csr_matrix(generator.poisson(rates).astype(np.float32))
        parts[name] = anndata.AnnData(
            counts, plain(labels), plain([f"{name}{i}" for i in range(number)])
        )
    both = mudata.MuData(parts)
    both.var.index = both.var.index.astype(object)
    kinds = [("b cell", "t cell")[i] for i in sort]
    both.obs["sort"] = pandas.Series(kinds, index=both.obs.index, dtype=object)
    both.write(folder / "cells.h5mu")
    path = folder / "cells.toml"
    path.write_text(
        'label = "sort"\nfile = "cells.h5mu"\nhidden = [16]\n[modalities.rna]\n'
        "[modalities.protein]\n"
        '[modalities.sort]\npart = "obs"\ncolumns = "sort"\n'
    )
    return path


@pytest.mark.parametrize("make", [pictures, cells])
def test_three_commands_from_files_to_a_report(make, tmp_path):
    path = make(tmp_path)
    shown = works("data", "describe", path)
    assert "What looks wrong" not in shown or "constant" not in shown
    printed = works("train", "mvae", path, "--out", tmp_path / "run", *FAST, "--epochs", "1")
    assert f"mvae on {path.stem}" in printed
    assert {file.name for file in (tmp_path / "run").iterdir()} == set(FILES)
    run = runs.load(tmp_path / "run")
    expected = {
        "pictures": ["image", "text", "category"],
        "cells": ["counts", "counts", "category"],
    }
    columns = run.dataset.provenance.columns.values()
    assert [c.kind for c in columns] == expected[path.stem]


@pytest.mark.slow  # trains four systems
@pytest.mark.parametrize("make", [None, pictures, cells])
def test_compare_writes_its_page(make, tmp_path):
    if make is None:
        path = breast_cancer(tmp_path, dict.fromkeys(COLUMNS, "cohort.csv"))
    else:
        path = make(tmp_path)
    out = tmp_path / "page"
    words = ["compare", path, "--system", "mvae", "--system", "mopoe", "--out", out, *FAST]
    assert "report.html" in works(*words)
    page = (out / "report.html").read_text()
    assert "mopoe" in page
    assert "mvae, mopoe on " in page
    assert "2 of 2 trials are done already" in works(*words)
