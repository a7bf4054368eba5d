"""Corners of declarations: cells as they are written, parts of an NPZ, a column of the split."""

import numpy as np
import pandas
import pytest
import torch

from ppl_mm import data
from ppl_mm.data.own.cells import cells_of

TABLE = """patient,age,sort,part
p1, 07.50 ,a b,train
p2,NA,c,train
p3,3.0,a b,validation
p4,1e3,,test
p5,12,c,test
"""
OTHER = """patient,dose
p6,1.5
p4,2
p1,0.10
"""


def declare(folder, text, **files):
    for name, content in {"t.csv": TABLE, "other.csv": OTHER, **files}.items():
        (folder / name).write_text(content)
    path = folder / "cohort.toml"
    path.write_text(text)
    return path


BOTH = """file = "t.csv"
index = "patient"
[split]
test = 0.3
validation = 0.0
[modalities.clinical]
columns = ["age"]
kind = "real"
[modalities.sort]
columns = ["sort"]
[modalities.dose]
file = "other.csv"
kind = "real"
[modalities.image]
file = "x.npz"
index = "who"
"""


def test_cells_are_those_of_the_file_in_the_order_of_the_rows(tmp_path):
    np.savez(tmp_path / "x.npz", image=np.zeros((2, 4, 4)), who=np.array(["p5", "p6"]))
    path = declare(tmp_path, BOTH)
    found = cells_of(path)
    assert {n: list(columns) for n, columns in found.items()} == {
        "clinical": ["age"],
        "sort": ["sort"],
        "dose": ["dose"],
    }  # pictures have no cells
    assert found["clinical"]["age"].tolist() == ["07.50", None, "3.0", "1e3", "12", None]
    assert found["sort"]["sort"].tolist() == ["a b", "c", "a b", None, "c", None]
    assert found["dose"]["dose"].tolist() == ["0.10", None, None, "2", None, "1.5"]
    made = data.from_file(path, quiet=True)
    for split, obs in (("train", made.train), ("test", made.test)):
        written = found["clinical"]["age"][list(made.provenance.places[split])]
        values = [float(cell) if cell else 0.0 for cell in written]
        assert obs["clinical"][:, 0].tolist() == values


# ------------------------------------------------------------------ NPZ and MatrixMarket


def test_the_only_array_of_an_npz_may_have_any_name(tmp_path):
    values = np.random.default_rng(0).normal(size=(10, 2))
    np.savez(tmp_path / "x.npz", anything=values)
    path = declare(tmp_path, '[modalities.x]\nfile = "x.npz"\n')
    made = data.from_file(path, quiet=True)
    rows = list(made.provenance.places["train"])
    assert np.array_equal(made.train["x"].numpy(), values[rows])
    named = declare(tmp_path, '[modalities.x]\nfile = "x.npz"\npart = "other"\n')
    with pytest.raises(ValueError, match=r"x.npz: unknown part 'other'.* Name one as part"):
        data.from_file(named)
    np.savez(tmp_path / "x.npz", one=values, two=values + 1)
    with pytest.raises(ValueError, match=r"x.npz: unknown part 'x'.*one, two.* Name one as part"):
        data.from_file(declare(tmp_path, '[modalities.x]\nfile = "x.npz"\n'))


@pytest.mark.parametrize(
    "content", ["", "no matrix", "%%MatrixMarket matrix coordinate real\n2 2 1\n"]
)
def test_a_file_that_is_no_matrix_is_told(tmp_path, content):
    path = declare(tmp_path, '[modalities.x]\nfile = "x.mtx"\n', **{"x.mtx": content})
    with pytest.raises(ValueError, match=r"x.mtx: damaged, or no MatrixMarket file"):
        data.from_file(path)


# ------------------------------------------------------------------ the split


def split_by(folder, table):
    text = 'file = "t.csv"\n[split]\ncolumn = "part"\n[modalities.age]\ncolumns = ["age"]\n'
    return data.from_file(declare(folder, text, **{"t.csv": table}), quiet=True)


def test_a_column_of_the_split_has_three_words(tmp_path):
    made = split_by(tmp_path, TABLE)
    assert made.provenance.places == {"train": (0, 1), "validation": (2,), "test": (3, 4)}
    with pytest.raises(ValueError, match=r"t.csv: unknown split in column 'part' 'tset'.* 'test'"):
        split_by(tmp_path, TABLE.replace(",test\np5", ",tset\np5"))
    with pytest.raises(ValueError, match=r"t.csv, line 5: unknown split in column 'part' None"):
        split_by(tmp_path, TABLE.replace(",test\np5", ",\np5"))
    with pytest.raises(ValueError, match="no row of column 'part' says 'test'; at least one must"):
        split_by(tmp_path, TABLE.replace(",test", ",validation"))
    without = split_by(tmp_path, TABLE.replace(",validation", ",train"))
    assert without.validation is None
    assert len(without.train) == 3


def test_a_column_of_the_split_excludes_shares_and_a_seed(tmp_path):
    text = '[split]\ncolumn = "part"\nseed = 3\n[modalities.age]\nfile = "t.csv"\n'
    with pytest.raises(
        ValueError, match="split: column excludes validation, test, seed; leave out"
    ):
        data.from_file(declare(tmp_path, text))


def frame(n=20):
    return pandas.DataFrame({"age": np.arange(n) * 1.5, "2nd site": ["u", "v"] * (n // 2)})


def test_shares_are_drawn_from_labels_whatever_their_order():
    table = frame().assign(patient=[f"p{i}" for i in range(20)])
    keys = {"age": {"columns": "age", "kind": "real"}}
    options = {"index": "patient", "split": {"validation": 0.1, "test": 0.25, "seed": 4}}
    first = data.from_frame(table, keys, **options).provenance.rows
    assert {n: len(rows) for n, rows in first.items()} == {"train": 13, "validation": 2, "test": 5}
    shuffled = data.from_frame(table.sample(frac=1.0, random_state=0), keys, **options)
    assert {n: set(r) for n, r in shuffled.provenance.rows.items()} == {
        n: set(r) for n, r in first.items()
    }
    other = data.from_frame(table, keys, index="patient", split={"test": 0.25, "seed": 5})
    assert set(other.provenance.rows["test"]) != set(first["test"])


@pytest.mark.parametrize(
    ("rows", "shares", "empty"),
    [(20, {"test": 0.02}, "test"), (20, {"validation": 0.02, "test": 0.2}, "validation"),
     (2, {"validation": 0.45, "test": 0.5}, "train")],
)  # fmt: skip
def test_shares_that_leave_no_row_are_refused(rows, shares, empty):
    with pytest.raises(ValueError, match=f"{rows} rows leave none for {empty}; change the shares"):
        data.from_frame(frame(rows), {"age": {"columns": "age", "kind": "real"}}, split=shares)


def test_a_covariate_has_the_identifier_of_its_column():
    keys = {"age": {"columns": "age", "kind": "real"}}
    made = data.from_frame(frame(), keys, covariates=["2nd site"], quiet=True)
    assert list(made.provenance.covariates) == ["_2nd_site"]
    assert made.provenance.covariates["_2nd_site"].column == "2nd site"
    place = torch.tensor(made.provenance.places["train"])
    assert torch.equal(made.train.covariates["_2nd_site"], place % 2)


def test_a_data_set_without_text_has_no_vocabularies():
    made = data.from_frame(frame(), {"age": {"columns": "age", "kind": "real"}})
    assert (made.vocabulary, made.vocabularies) == (None, None)
