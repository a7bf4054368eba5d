"""Wrong declarations and wrong files: one line that names the place and the remedy."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ppl_mm import data
from ppl_mm.cli.app import app

ROWS = [
    f"p{i},{20 + i},{i / 7:.3f},{i % 2},{'ab'[i % 2]},{'red;big' if i % 3 else 'red'}"
    for i in range(30)
]
CSV = "patient,age,bmi,smokes,sort,tags\n" + "\n".join(ROWS) + "\n"
TOML = """
name = "cohort"
label = "sort"
split = {validation = 0.1, test = 0.2, seed = 0}
[modalities.clinical]
file = "cohort.csv"
index = "patient"
columns = ["age", "bmi"]
kind = "real"
[modalities.sort]
file = "cohort.csv"
index = "patient"
columns = ["sort"]
kind = "category"
"""


def images(folder: Path, *shapes: tuple[int, int]) -> None:
    folder.mkdir()
    for i, (height, width) in enumerate(shapes):
        Image.fromarray(np.zeros((height, width), dtype=np.uint8)).save(folder / f"p{i}.png")


def line_of(i: int, text: str) -> str:
    """The CSV with another line for row i."""
    lines = CSV.splitlines()
    lines[i + 1] = text
    return "\n".join(lines) + "\n"


def other(text: str) -> str:
    """The declaration with a third modality."""
    return f"{TOML}[modalities.other]\n{text}\n"


DECLARATIONS = {
    "unknown key": (
        TOML.replace('columns = ["sort"]', 'colums = ["sort"]'),
        r"\[modalities.sort\].*'colums'.*Did you mean 'columns'",
    ),
    "unknown key at the top": (
        "nam = 'x'\n" + TOML.replace('name = "cohort"', ""),
        r"unknown key 'nam'.*'name'",
    ),
    "unknown key of the split": (
        TOML.replace("test = 0.2", "tests = 0.2"),
        r"split: unknown key 'tests'.*'test'",
    ),
    "no TOML": ("name = cohort", r"cohort.toml: no TOML .*line 1"),
    "no modality": ("name = 'cohort'", r"\[modalities.NAME\]"),
    "a modality that is no table": (
        "[modalities]\nclinical = 3",
        r"\[modalities.clinical\]: expected a table",
    ),
    "no file": (
        TOML.replace(
            'file = "cohort.csv"\nindex = "patient"\ncolumns = ["sort"]', 'columns = ["sort"]'
        ),
        r"\[modalities.sort\]: expected file",
    ),
    "unknown kind": (TOML.replace('"real"', '"reel"'), r"unknown kind 'reel'.*Did you mean 'real'"),
    "unknown likelihood": (
        TOML + 'likelihood = "Categoric"',
        r"unknown likelihood 'Categoric'.*'Categorical'",
    ),
    "a likelihood of another kind": (
        TOML + 'likelihood = "Poisson"',
        r"\[modalities.sort\], likelihood: kind 'category' takes Categorical, got Poisson",
    ),
    "an option that a likelihood lacks": (
        TOML.replace('kind = "real"', 'likelihood = {name = "Normal", scales = 1}'),
        r"likelihood: .*scales",
    ),
    "hidden that is no list": (
        TOML + "hidden = 64",
        r"\[modalities.sort\], hidden: expected a list of integers",
    ),
    "two sizes of the latent": (
        "latent_dim = 3\n" + TOML + "latent_dim = 4",
        r"latent_dim: .*got 3 in cohort.toml and 4 in cohort.toml, \[modalities.sort\]",
    ),
    "unknown label": (
        TOML.replace('label = "sort"', 'label = "sorts"'),
        r"label: unknown modality 'sorts'.*'sort'",
    ),
    "a label that is no category": (
        TOML.replace('label = "sort"', 'label = "clinical"'),
        r"label: expected a modality of kind 'category', 'clinical' is of kind 'real'",
    ),
    "shares of one": (TOML.replace("test = 0.2", "test = 0.9"), r"split: .*below 1"),
    "an empty split": (
        TOML.replace("test = 0.2", "test = 0.01"),
        r"split: 30 rows leave none for test",
    ),
    "no column of the split": (
        TOML.replace("{validation = 0.1, test = 0.2, seed = 0}", '{column = "part"}'),
        r"split: no column 'part' in cohort.csv",
    ),
    "a split of other words": (
        TOML.replace("{validation = 0.1, test = 0.2, seed = 0}", '{column = "smokes"}'),
        r"unknown split in column 'smokes' '0'; known: train, validation, test",
    ),
    "a missing file": (
        TOML.replace(
            'file = "cohort.csv"\nindex = "patient"\ncolumns = ["sort"]', 'file = "cohrt.csv"'
        ),
        r"unknown file 'cohrt.csv'.*Did you mean 'cohort.csv'",
    ),
    "a file of unknown form": (
        other('file = "notes.doc"'),
        r"\[modalities.other\], file: expected .*\.csv.*got 'notes.doc'",
    ),
    "a missing column": (
        TOML.replace('"bmi"', '"bmj"'),
        r"cohort.csv: unknown column 'bmj'.*Did you mean 'bmi'",
    ),
    "a wildcard without columns": (
        TOML.replace('"bmi"', '"bp_*"'),
        r"cohort.csv: no column matches 'bp_\*'.*the columns are patient, age",
    ),
    "a missing index": (
        TOML.replace('"patient"', '"patients"'),
        r"cohort.csv: unknown column 'patients'.*'patient'",
    ),
    "an index of some files": (
        TOML.replace('index = "patient"\ncolumns = ["sort"]', 'columns = ["sort"]'),
        r"cohort.csv: its rows have no labels.*index in \[modalities.sort\]",
    ),
    "a wrong index": (
        other('file = "more.csv"\nindex = "number"\ncolumns = "x"'),
        r"more.csv: no label of its index \(such as '0'\) is one of cohort.csv \(such as 'p0'\)",
    ),
    "rows without labels that are fewer": (
        TOML.replace('index = "patient"\n', "")
        + '[modalities.other]\nfile = "more.csv"\ncolumns = "x"',
        r"rows: 30 in cohort.csv, 4 in more.csv",
    ),
    "text beside numbers": (
        TOML.replace('"bmi"]\nkind = "real"', '"sort"]'),
        r"cohort.csv, line 2, column 'sort': expected a number as in column 'age', got 'a'",
    ),
    "a category of two columns": (
        TOML.replace('["sort"]', '["sort", "tags"]'),
        r"kind 'category' takes one column, got 2",
    ),
    "negative values that are positive": (
        TOML.replace('"real"', '"positive"'),
        r"line 2, column 'bmi': expected a value above 0, got 0",
    ),
    "fractions that are counts": (
        TOML.replace('"real"', '"counts"'),
        r"line 3, column 'bmi': expected a whole number of at least 0, got 0.143",
    ),
    "numbers that are binary": (
        TOML.replace('"real"', '"binary"'),
        r"column 'age': expected 0 or 1, got 20",
    ),
    "no function": (
        other('file = "no_such_module:read"'),
        r"'no_such_module:read' is no file, and no function",
    ),
    "images of two sizes": (
        other('file = "mixed"\nkind = "image"'),
        r"mixed: p0.png is 8 x 8 pixels .*, p1.png 8 x 9; write size = \[8, 8\]",
    ),
    "a folder without images": (other('file = "empty"'), r"empty: expected images .*found none"),
    "an unknown part": (
        other('file = "arrays.npz"\npart = "imges"\nindex = "patient"'),
        r"arrays.npz: unknown part 'imges'.*'images'.*Name one as part",
    ),
    "pixels up to 255": (
        other('file = "arrays.npz"\npart = "images"\nindex = "patient"\nkind = "image"'),
        r"expected pixels as bytes .*from 0 to 255; divide by 255",
    ),
    "labels of an array": (
        other('file = "plain.npy"\nindex = "nowhere.txt"'),
        r"\[modalities.other\], index: plain.npy has no columns; name a text file",
    ),
    "a damaged array": (other('file = "damaged.npy"'), r"damaged.npy: damaged, or no NPY file"),
}

FILES = {
    "text in a number column": (
        line_of(4, "p4,young,0.1,0,a,red"),
        r"cohort.csv, line 6, column 'age': expected a number, got 'young'",
    ),
    "a number after a cell of two lines": (
        line_of(2, 'p2,22,0.1,0,a,"red\nbig"').replace("p9,29", "p9,2g"),
        r"line 12, column 'age': expected a number, got '2g'",
    ),
    "duplicate rows": (
        line_of(6, ROWS[2]),
        r"cohort.csv, line 8: the label 'p2' is there twice, first on line 4",
    ),
    "an empty index": (
        line_of(6, ",1,2,0,a,red"),
        r"cohort.csv, line 8: the index 'patient' is empty",
    ),
    "a cell too many": (
        line_of(3, ROWS[3] + ",9"),
        r"cohort.csv, line 5: expected 6 cells as in the header, got 7",
    ),
    "a column twice": (
        CSV.replace("bmi", "age", 1),
        r"cohort.csv, line 1: column 'age' is there twice",
    ),
    "no rows": ("patient,age,bmi,sort\n", r"cohort.csv: expected a header and at least one row"),
    "an infinite number": (
        line_of(4, "p4,inf,0.1,0,a,red"),
        r"line 6, column 'age': expected a finite number, got inf",
    ),
    "a label that no training row has": (
        CSV.replace("p4,24,0.571,0,a", "p4,24,0.571,0,c"),
        r"line 6, column 'sort': 'c' is a level that no training row has; change the seed",
    ),
}


def write(folder: Path, declaration: str = TOML, table: str = CSV) -> Path:
    (folder / "cohort.csv").write_text(table)
    (folder / "more.csv").write_text("number,x\n0,1\n1,2\n2,3\n3,4\n")
    (folder / "notes.doc").write_text("notes")
    images(folder / "mixed", (8, 8), (8, 9))
    (folder / "empty").mkdir()
    labels = np.array([f"p{i}" for i in range(30)])
    np.savez(
        folder / "arrays.npz",
        images=255.0 * np.ones((30, 4, 4)) * (np.arange(30) > 0)[:, None, None],
        patient=labels,
    )
    np.save(folder / "plain.npy", np.zeros((30, 2)))
    (folder / "damaged.npy").write_bytes(b"\x93NUMPY\x01\x00")
    path = folder / "cohort.toml"
    path.write_text(declaration)
    return path


def test_the_declaration_without_a_mistake_is_read(tmp_path):
    dataset = data.from_file(write(tmp_path), quiet=True)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (21, 3, 6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "cohort.csv",
            r"cohort.csv: no declaration of a data set; write a TOML file that names it",
        ),
        ("nowhere.toml", r"nowhere.toml: no such declaration .*--data-dir"),
        ("digit", r"unknown data set 'digit'.*'digits'"),
    ],
)
def test_what_is_no_declaration_is_told_in_one_line(given, message, tmp_path, monkeypatch):
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    for words in (["train", "mvae", given], ["data", "describe", given]):
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert re.search(message, line), line


@pytest.mark.parametrize("what", [*DECLARATIONS, *FILES])
def test_a_mistake_is_told_in_one_line_and_nothing_is_written(what, tmp_path, monkeypatch):
    declaration, table = TOML, CSV
    if what in DECLARATIONS:
        declaration, message = DECLARATIONS[what]
    else:
        table, message = FILES[what]
    path = write(tmp_path, declaration, table)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    words = ["train", "mvae", path.name, "--out", "run", "--epochs", "1"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert re.search(message, line), line
    assert line.startswith("error: ")
    assert sorted(tmp_path.rglob("*")) == before
