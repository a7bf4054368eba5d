"""Tables with holes: filled in, and as places in the latent space, in the user's own columns."""

from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from typer.testing import CliRunner

from ppl_mm.cli.app import app

FAST = ["--epochs", "2", "--latent-dim", "3", "--no-evaluate", "--quiet"]


def works(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.stderr
    return result.stdout


def cohort(folder: Path) -> Path:
    """Two tables whose rows stand in different orders, some of whose cells are empty."""
    generator = np.random.default_rng(0)
    size = 60
    z = generator.normal(size=size)
    frame = pandas.DataFrame(
        {
            "patient": [f"p{i:02}" for i in range(size)],
            "age": [f"{x:.2f}" for x in 50 + 10 * z + generator.normal(size=size)],
            "bmi": [f"{x:.1f}" for x in 25 - 3 * z + generator.normal(size=size)],
            "smokes": np.where(z > 0, "yes", "no"),
            "sort": np.where(z > 0.5, "b", "a"),
            "tags": np.where(z > 0, "red; round", "blue"),
        }
    )
    for column in frame.columns[1:]:
        frame.loc[generator.random(size) < 0.2, column] = ""
    frame.loc[5, ["age", "bmi"]] = ""
    frame[["patient", "age", "bmi", "smokes"]].to_csv(folder / "one.csv", index=False)
    frame.iloc[::-1][["patient", "sort", "tags"]].to_csv(folder / "two.csv", index=False)
    (folder / "cohort.toml").write_text(
        """
        label = "sort"
        index = "patient"
        hidden = [8]
        [modalities.numbers]
        file = "one.csv"
        columns = ["age", "bmi"]
        kind = "real"
        [modalities.smokes]
        file = "one.csv"
        columns = "smokes"
        kind = "binary"
        [modalities.sort]
        file = "two.csv"
        columns = "sort"
        [modalities.tags]
        file = "two.csv"
        columns = "tags"
        kind = "label set"
        """
    )
    return folder / "cohort.toml"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, Path]:
    torch.set_default_dtype(torch.float32)
    folder = tmp_path_factory.mktemp("cohort")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ppl_mm.runs.run.draw", lambda run: None)
        works("train", "mvae", cohort(folder), "--out", folder / "run", *FAST)
    return folder, folder / "run"


def read(path: Path) -> pandas.DataFrame:
    return pandas.read_csv(path, dtype=str, keep_default_na=False)


def test_all_rows_are_filled_in_and_what_is_there_is_unchanged(trained, tmp_path):
    folder, run = trained
    out = tmp_path / "filled.csv"
    one, two = read(folder / "one.csv"), read(folder / "two.csv").iloc[::-1].reset_index(drop=True)
    before = one.merge(two, on="patient")
    empty = before == ""
    printed = works("impute", run, "--out", out, "--num", 20)
    filled = read(out)
    assert list(filled.columns) == ["patient", "age", "bmi", "smokes", "sort", "tags"]
    assert list(filled["patient"]) == list(one["patient"])
    assert not (filled == "").any(axis=None)
    assert filled.where(empty, before).equals(filled), "what is observed is as it was written"
    assert set(filled["smokes"]) == {"yes", "no"}
    assert set(filled["sort"]) == {"a", "b"}
    assert filled.loc[empty["age"], "age"].astype(float).between(10, 90).all()
    assert "cells filled in" in printed


def test_intervals_stand_beside_their_columns(trained, tmp_path):
    _, run = trained
    out = tmp_path / "filled.csv"
    works("impute", run, "--out", out, "--num", 20, "--interval", 0.8, "--refine", "none")
    frame = pandas.read_csv(out)
    numbers = ["age", "age low", "age high", "bmi", "bmi low", "bmi high"]
    assert list(frame.columns) == ["patient", *numbers, "smokes", "sort", "tags"]
    wide = frame["age low"] < frame["age high"]
    assert 1 < wide.sum() < 30
    assert (frame.loc[~wide, "age low"] - frame.loc[~wide, "age"]).abs().max() < 1e-3


def test_every_row_has_its_place(trained, tmp_path):
    folder, run = trained
    both, part = tmp_path / "z.csv", tmp_path / "some.csv"
    assert works("embed", run, "--out", both).strip() == str(both)
    works("embed", run, "--out", part, "--given", "smokes,sort")
    frame, other = pandas.read_csv(both), pandas.read_csv(part)
    assert list(frame.columns) == [
        "patient",
        *(f"z[{i}]" for i in range(3)),
        *(f"z[{i}] scale" for i in range(3)),
    ]
    assert list(frame["patient"]) == list(read(folder / "one.csv")["patient"])
    assert not np.allclose(frame["z[0]"], other["z[0]"])


def test_draws_are_a_table_in_words_and_units(trained, tmp_path):
    _, run = trained
    out = tmp_path / "drawn.csv"
    asked = ["--target", "numbers,sort", "--given", "smokes", "--num", 3, "--rows", 4]
    printed = works("generate", run, *asked, "--out", tmp_path / "x.png", "--csv", out)
    assert str(out) in printed
    frame = pandas.read_csv(out)
    assert list(frame.columns) == ["row", "draw", "age", "bmi", "sort"]
    assert len(frame) == 12
    assert set(frame["sort"]) <= {"a", "b"}
    assert frame["age"].between(0, 120).all()


def test_data_of_the_library_have_columns_too(tmp_path, monkeypatch):
    monkeypatch.setattr("ppl_mm.runs.run.draw", lambda run: None)
    run = tmp_path / "run"
    works("train", "mvae", "digits", "--out", run, "--epochs", "1", "--no-evaluate", "--quiet")
    works("embed", run, "--out", tmp_path / "z.csv")
    frame = pandas.read_csv(tmp_path / "z.csv")
    assert frame["split"].value_counts().to_dict() == {
        "train": 1200,
        "test": 397,
        "validation": 200,
    }
    works("impute", run, "--out", tmp_path / "filled.csv", "--num", 5, "--refine", "none")
    frame = pandas.read_csv(tmp_path / "filled.csv")
    assert list(frame.columns[:2]) == ["split", "top[0]"]
    assert frame.shape == (1797, 66)
