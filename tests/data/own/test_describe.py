"""What is shown of a data set before anything is trained, and what looks wrong in it."""

import numpy as np
import pandas
import pytest
import torch
from typer.testing import CliRunner

from ppl_mm import data
from ppl_mm.cli.app import app
from ppl_mm.data import DataSet
from ppl_mm.data.summaries import summed

NUMBER = 200
GENERATOR = np.random.default_rng(0)


def frame() -> pandas.DataFrame:
    columns = {name: GENERATOR.normal(size=NUMBER) for name in "abcd"}
    return pandas.DataFrame(columns).assign(sort=["x", "y"] * (NUMBER // 2))


KEYS = {
    "left": {"columns": ["a", "b"], "kind": "real"},
    "right": {"columns": ["c", "d"], "kind": "real"},
    "sort": {"columns": ["sort"], "kind": "category"},
}


def read(table: pandas.DataFrame, **keys: dict) -> DataSet:
    return data.from_frame(table, {**KEYS, **keys}, label="sort", name="cohort")


def test_a_description_has_rows_kinds_ranges_and_networks():
    table = frame()
    text = str(read(table).describe())
    for part in (
        "cohort: 200 rows (140 train, 20 validation, 40 test)",
        "label 'sort' of 2",
        f"{table[['a', 'b']].min().min():.4g} to {table[['a', 'b']].max().max():.4g}",
        "x, y",
        "Nothing looks wrong.",
        "TableEncoder",
        "size of the latent: 16",
    ):
        assert part in text, part
    assert "hold" not in text  # all rows are complete


def test_the_pattern_of_what_is_missing():
    table = frame()
    table.loc[:49, ["a", "b"]] = None
    table.loc[40:59, ["c", "d"]] = None
    found = read(table).describe()
    assert dict(found.patterns) == {
        (True, True, True): 140,
        (False, True, True): 40,
        (False, False, True): 10,
        (True, False, True): 10,
    }
    assert [m.missing for m in found.modalities] == [0.25, 0.1, 0.0]
    lines = str(found).splitlines()
    assert any("140" in line and "70.0%" in line and "█ █ █" in line for line in lines)
    assert any("40" in line and "20.0%" in line and "· █ █" in line for line in lines)


def test_cells_that_are_missing_are_holes():
    table = frame()
    table.loc[:19, "a"] = None
    table.loc[:9, "b"] = None
    found = read(table).describe()
    assert [round(m.holes, 4) for m in found.modalities] == [round(10 / 380, 4), 0, 0]
    assert found.modalities[0].missing == 0.05
    assert "holes" in str(found)
    assert "2.6%" in str(found)


WRONG = {
    "a column that is empty mostly": (
        frame().assign(a=[0.0, 1.0] * 40 + [None] * 120),
        "left, column 'a': empty in more than 50% of the rows; leave it out",
    ),
    "a constant column": (frame().assign(a=3.0), "left, column 'a': constant; leave it out"),
    "an identifier": (
        frame().assign(b=range(1000, 1000 + NUMBER)),
        "left, column 'b': another whole number in every row, as identifiers are",
    ),
    "an outlier": (
        frame().assign(c=[1e3] + [0.0, 1.0] * 99 + [0.5]),
        "right, column 'c': more than 10 standard deviations from the mean",
    ),
    "digits that float32 loses": (
        frame().assign(d=lambda x: 1e9 + x.d),
        "right, column 'd': so far from 0 for its spread that float32 loses digits",
    ),
    "rows that are there twice": (
        pandas.concat([frame().iloc[:100]] * 2, ignore_index=True),
        "test rows are equal to training rows in every value",
    ),
    "a modality that is missing mostly": (
        frame().assign(**{n: [0.0, 1.0] * 30 + [None] * 140 for n in "ab"}),
        "left: 70% of the rows lack it",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_looks_wrong_is_said(what):
    table, expected = WRONG[what]
    found = read(table).describe()
    assert any(expected in finding for finding in found.findings), found.findings
    if what != "a modality that is missing mostly":
        assert len(found.findings) == 1


def test_pixels_as_real_values_and_levels_as_identifiers():
    rows = 500
    pixels = {f"p{i}": GENERATOR.integers(0, 256, rows) for i in range(30)}
    names = [f"n{i}" for i in range(rows)]
    table = pandas.DataFrame(pixels).assign(name=names, part="train")
    table.loc[400:, "part"] = "test"
    table.loc[400:, "name"] = "n0"
    keys = {
        "image": {"columns": "p[0-9]*", "kind": "real"},
        "name": {"columns": "name", "kind": "category"},
    }
    found = data.from_frame(table, keys, split={"column": "part"}).describe()
    assert found.findings[0].startswith("image: whole numbers from 0 to 255 look like pixels; give")
    assert "name: 400 levels in 400 training rows look like an identifier" in found.findings[1]
    table["name"] = [f"n{i % 40}" for i in range(rows)]
    table.loc[3, "name"] = "rare"
    (_, rare) = data.from_frame(table, keys, split={"column": "part"}).describe().findings
    assert rare == "name: levels with fewer than 5 training rows: 'rare'; join them with others."


def test_many_levels_are_said():
    sorts = [f"n{i % 5000}" for i in range(15000)]
    table = pandas.DataFrame({"name": sorts, "part": ["train"] * 14000 + ["test"] * 1000})
    keys = {"name": {"columns": "name", "kind": "category"}}
    found = data.from_frame(table, keys, split={"column": "part"}).describe()
    assert found.findings[0] == "name: 5,000 levels are many; join rare ones, or leave it out."


def test_everything_fits_80_columns(tmp_path):
    names = [f"a_long_name_of_a_modality_{i}" for i in range(20)]
    table = pandas.DataFrame({n: GENERATOR.normal(size=60) for n in names})
    table["kind"] = [f"a level with a rather long name {i % 9}" for i in range(60)]
    table.to_csv(tmp_path / "wide.csv", index=False)
    lines = ['file = "wide.csv"']
    for name in (*names, "kind"):
        lines += [f"[modalities.{name}]", f'columns = "{name}"']
    (tmp_path / "wide.toml").write_text("\n".join(lines))
    result = CliRunner().invoke(app, ["data", "describe", str(tmp_path / "wide.toml")])
    assert result.exit_code == 0, result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert 'kind = "category" is guessed (9 levels)' in result.stdout


def test_the_library_s_own_data_sets_are_described_too():
    digits = data.load("digits")
    found = digits.describe()
    assert [m.kind for m in found.modalities] == ["Normal", "Normal", "Categorical"]
    assert found.findings == ()


def test_the_command_writes_text_and_a_picture(tmp_path):
    table = frame()
    table.loc[:49, ["a", "b"]] = None
    table.to_csv(tmp_path / "cohort.csv", index=False)
    (tmp_path / "cohort.toml").write_text(
        'file = "cohort.csv"\n[modalities.left]\ncolumns = ["a", "b"]\n[modalities.right]\n'
        'columns = ["c", "d"]\n'
    )
    out = tmp_path / "out"
    words = ["data", "describe", str(tmp_path / "cohort.toml"), "--out", str(out)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in out.iterdir()} == {"description.txt", "missing.png"}
    assert (out / "description.txt").read_text() in result.stdout
    assert (out / "missing.png").read_bytes().startswith(b"\x89PNG")


def test_sums_by_blocks_are_those_of_all_rows():
    x = 5 + torch.randn(50, 3)
    obs = data.from_frame(
        pandas.DataFrame(x.numpy(), columns=list("abc")), {"x": {"columns": ["*"], "kind": "real"}}
    ).train
    found = summed("x", [obs[:7], obs[7:8], obs[8:]])
    torch.testing.assert_close(found.mean, obs["x"].mean(0))
    torch.testing.assert_close(found.deviation, obs["x"].std(0, correction=0))
    assert torch.equal(found.least, obs["x"].amin(0))
    assert found.rows == len(obs)
