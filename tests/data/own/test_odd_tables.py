"""Tables as programs and people write them: what is odd but legitimate is read as it is meant."""

import datetime
import gzip
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch

from ppl_mm import data
from ppl_mm.data.own.opened import located
from ppl_mm.data.own.source import selected
from ppl_mm.data.own.tables import numbers, read_delimited, words
from ppl_mm.data.own.values import sorted_levels

ROWS = 20
SPLIT = "split = {validation = 0, test = 0.2}\n"
CELLS = [(f"p{i}", i / 7, i) for i in range(ROWS)]


def text(delimiter: str = ",", end: str = "\n", head: str = "id,a,b", blank: str = "") -> str:
    lines = [head.replace(",", delimiter)]
    lines += [delimiter.join(map(str, row)) for row in CELLS]
    return blank + (end + blank).join(lines) + end


def declare(folder: Path, name: str = "x.csv", more: str = "") -> Path:
    path = folder / "own.toml"
    path.write_text(f"{SPLIT}[modalities.x]\nfile = '{name}'\nindex = 'id'\n{more}\n")
    return path


def values(folder: Path, name: str = "x.csv", more: str = "") -> dict[str, list[float]]:
    """Label -> the row's values."""
    dataset = data.from_file(declare(folder, name, more), quiet=True)
    return {
        label: getattr(dataset, split)["x"][i].tolist()
        for split, labels in dataset.provenance.rows.items()
        for i, label in enumerate(labels)
    }


EXPECTED = {label: pytest.approx([a, b], rel=1e-6) for label, a, b in CELLS}

FORMS = {
    "CRLF": ("x.csv", text(end="\r\n").encode()),
    "CR alone": ("x.csv", text(end="\r").encode()),
    "a byte-order mark": ("x.csv", b"\xef\xbb\xbf" + text().encode()),
    "blanks around cells": ("x.csv", text(" , ").encode()),
    "blank lines": ("x.csv", text(blank="\n").encode()),
    "a blank line before the header": ("x.csv", b"\n \n" + text().encode()),
    "no last line end": ("x.csv", text().rstrip().encode()),
    "vertical bars": ("x.csv", text("|").encode()),
    "semicolons": ("x.csv", text(";").encode()),
    "tabs in a txt": ("x.txt", text("\t").encode()),
    "commas in a tsv": ("x.tsv", text().encode()),
    "a gz": ("x.csv.gz", gzip.compress(text().encode())),
    "a GZ": ("X.CSV.GZ", gzip.compress(text().encode())),
    "gzipped without a gz": ("x.csv", gzip.compress(text().encode())),
    "a gz that is plain": ("x.csv.gz", text().encode()),
    "numbers with signs and exponents": (
        "x.csv",
        ("id,a,b\n" + "\n".join(f"{p},+{a!r},{b:e}" for p, a, b in CELLS)).encode(),
    ),
    "everything in quotes": (
        "x.csv",
        ('"id","a","b"\n' + "\n".join(f'"{p}","{a}","{b}"' for p, a, b in CELLS)).encode(),
    ),
    "numbers of rows in a column without a name": (
        "x.csv",
        (",id,a,b\n" + "\n".join(f"{b},{p},{a},{b}" for p, a, b in CELLS)).encode(),
    ),
    "delimiters at the ends of lines": (
        "x.csv",
        ("id,a,b,,\n" + "\n".join(f"{p},{a},{b},," for p, a, b in CELLS)).encode(),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_gives_the_same_values(form, tmp_path):
    name, content = FORMS[form]
    (tmp_path / name).write_bytes(content)
    assert values(tmp_path, name) == EXPECTED


def test_a_header_may_hold_other_delimiters(tmp_path):
    (tmp_path / "x.txt").write_text(text("\t", head="id,a").replace("a\n", "a, in mg\tb; x\n", 1))
    assert values(tmp_path, "x.txt") == EXPECTED
    dataset = data.from_file(declare(tmp_path, "x.txt"), quiet=True)
    assert dataset.provenance.columns["x"].names == ("a, in mg", "b; x")


def test_one_column_is_read_whatever_its_text_holds(tmp_path):
    (tmp_path / "x.csv").write_text("caption\n" + '"red; round"\n' * ROWS)
    table = read_delimited(tmp_path / "x.csv")
    assert table.columns == ("caption",)
    assert words(table.column("caption")) == ["red; round"] * ROWS


def test_an_empty_cell_in_quotes_is_a_row_and_a_blank_line_is_none(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('x\n1\n""\n\n  \n4\n')
    table = read_delimited(path)
    assert words(table.column("x")) == ["1", None, "4"]
    assert [table.place(i) for i in range(3)] == ["line 2", "line 3", "line 6"]


def test_rows_may_be_matched_by_a_column_without_a_name(tmp_path):
    frame = pandas.DataFrame([c[1:] for c in CELLS], index=[c[0] for c in CELLS])
    frame.to_csv(tmp_path / "x.csv")  # as pandas writes an index
    declare(tmp_path)
    text = (tmp_path / "own.toml").read_text().replace("'id'", "''")
    (tmp_path / "own.toml").write_text(text)
    dataset = data.from_file(tmp_path / "own.toml", quiet=True)
    assert set(dataset.provenance.rows["train"]) <= {c[0] for c in CELLS}
    assert dataset.train["x"].shape == (16, 2)


@pytest.mark.parametrize(
    "columns",
    [
        ["größe in cm", "a, b", "dose [mg]", "x*"],
        ["größe*", "?, b", "dose [[]mg]", "x[*]"],
        ["*"],
    ],
    ids=["as they are", "wildcards", "all"],
)
def test_names_of_columns_may_hold_any_sign(columns, tmp_path):
    names = ["größe in cm", "a, b", "dose [mg]", "x*"]
    frame = pandas.DataFrame(np.arange(80.0).reshape(ROWS, 4), columns=names)
    frame.insert(0, "id", [c[0] for c in CELLS])
    frame.to_csv(tmp_path / "x.csv", index=False)
    dataset = data.from_file(declare(tmp_path, more=f"columns = {columns}"), quiet=True)
    assert dataset.provenance.columns["x"].names == tuple(names)
    assert dataset.train["x"][0].tolist() == [0.0, 1.0, 2.0, 3.0]


def test_wildcards_take_the_order_of_the_patterns_and_each_column_once():
    columns = ("b1", "a1", "", "a2", "id")
    found = selected(("a*", "b*", "a1"), columns, frozenset({"id"}), "x.csv")
    assert found.tolist() == [1, 3, 0]
    assert selected(None, columns, frozenset({"id"}), "x.csv").tolist() == [0, 1, 3]
    assert selected(("id",), columns, frozenset({"id"}), "x.csv").tolist() == [4]


def test_many_columns_are_fast_and_a_wrong_name_lists_few_of_them(tmp_path):
    names = [f"gene{i}" for i in range(3000)]
    frame = pandas.DataFrame(np.zeros((ROWS, 3000)), columns=names)
    with pytest.raises(ValueError, match=r"'gen9'; known: gene0, .*gene29 and 2,970 more\. Did"):
        data.from_frame(frame, {"x": ["gen9"]})


def test_a_declaration_from_windows_finds_its_files(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "x.csv").write_text(text())
    assert values(tmp_path, r"tables\x.csv") == EXPECTED
    before = data.from_file(tmp_path / "own.toml", quiet=True).provenance.fingerprint
    (tmp_path / "tables" / "x.csv").write_text(text() + "p99,1,1\n")
    after = data.from_file(tmp_path / "own.toml", quiet=True).provenance.fingerprint
    assert before != after


def test_a_file_named_with_a_backslash_or_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert located(Path("here"), "~/x.csv") == tmp_path / "x.csv"
    (tmp_path / r"a\b.csv").write_text("")
    assert located(tmp_path, r"a\b.csv") == tmp_path / r"a\b.csv"
    assert located(tmp_path, r"c\b.csv") == tmp_path / "c" / "b.csv"


def test_a_file_in_the_home_folder_counts_in_the_fingerprint(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.csv").write_text(text())
    (tmp_path / "here").mkdir()
    path = declare(tmp_path / "here", "~/x.csv")
    first = data.from_file(path, quiet=True).provenance.fingerprint
    (tmp_path / "x.csv").write_text(text().replace("p0", "q0"))
    assert data.from_file(path, quiet=True).provenance.fingerprint != first


def test_a_linked_file_and_folder_are_read(tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "deep.csv").write_text(text())
    (tmp_path / "x.csv").symlink_to(tmp_path / "store" / "deep.csv")
    assert values(tmp_path) == EXPECTED
    (tmp_path / "linked").symlink_to(tmp_path / "store")
    assert values(tmp_path, "linked/deep.csv") == EXPECTED


def test_labels_match_however_a_file_writes_them(tmp_path):
    labels = [f"{i}.0" for i in range(ROWS)]
    np.savez(tmp_path / "y.npz", y=np.arange(float(ROWS)), id=np.arange(ROWS) / 1.0)
    np.save(tmp_path / "w.npy", np.arange(float(ROWS)))
    (tmp_path / "w.txt").write_text("\r\n".join(labels) + "\r\n")
    rows = "".join(f"{i},{i / 7}\n" for i in range(ROWS))
    (tmp_path / "x.csv").write_text("id,a\n" + rows)
    declare(tmp_path, more="[modalities.y]\nfile='y.npz'\nindex='id'\nkind='real'\n")
    with (tmp_path / "own.toml").open("a") as file:
        file.write("[modalities.w]\nfile='w.npy'\nindex='w.txt'\nkind='real'\n")
    dataset = data.from_file(tmp_path / "own.toml", quiet=True)
    assert len(dataset.train) == 16
    assert all(dataset.train.present[name].all() for name in "xyw")
    torch.testing.assert_close(dataset.train["y"], dataset.train["w"])


@pytest.mark.parametrize("order", [("01", "1", "1e0"), ("1e0", "01", "1"), ("1", "1e0", "01")])
def test_levels_of_one_number_have_one_order_in_every_process(order):
    assert sorted_levels(dict.fromkeys(order)) == ["1", "01", "1e0"]


def test_levels_are_in_the_order_of_numbers_or_letters():
    assert sorted_levels({"10", "9", "-1"}) == ["-1", "9", "10"]
    assert sorted_levels({"10", "9", "b"}) == ["10", "9", "b"]
    assert sorted_levels({"2", "-nan", "10"}) == ["-nan", "10", "2"]


SERIES = {
    "booleans": (pandas.Series([True, False]), [1.0, 0.0]),
    "booleans with a missing one": (pandas.array([True, None], dtype="boolean"), [1.0, np.nan]),
    "integers with a missing one": (pandas.array([3, None], dtype="Int64"), [3.0, np.nan]),
    "arrow's floats": (pandas.array([1.5, None], dtype="double[pyarrow]"), [1.5, np.nan]),
    "decimals": (pandas.Series([Decimal("1.5"), None], dtype=object), [1.5, np.nan]),
    "a category of numbers": (pandas.Categorical([2.5, None]), [2.5, np.nan]),
    "sparse": (pandas.arrays.SparseArray([0.0, 1.5]), [0.0, 1.5]),
    "half precision": (pandas.Series([0.5, -2.0], dtype="float16"), [0.5, -2.0]),
    "whole numbers beyond int64": (pandas.Series([10**30, -1], dtype=object), [1e30, -1.0]),
}


@pytest.mark.parametrize("what", SERIES)
def test_numbers_of_every_type(what):
    given, expected = SERIES[what]
    found, bad = numbers(pandas.Series(given))
    np.testing.assert_array_equal(found, expected)
    assert bad is None


NO_NUMBERS = {
    "times": pandas.Series(pandas.date_range("2020", periods=2)),
    "spans": pandas.Series(pandas.to_timedelta([1, 2], unit="s")),
    "periods": pandas.Series(pandas.period_range("2020", periods=2, freq="D")),
    "dates": pandas.Series([datetime.date(2020, 1, 1)] * 2, dtype=object),
    "complex": pandas.Series([1j, 2.0]),
    "intervals": pandas.Series(pandas.interval_range(0, 2)),
    "words": pandas.Series(["one", "2"]),
}


@pytest.mark.parametrize("what", NO_NUMBERS)
def test_what_is_no_number(what):
    assert numbers(NO_NUMBERS[what])[1] == 0
    late = pandas.concat([pandas.Series([None], dtype=object), NO_NUMBERS[what]])
    assert numbers(late.reset_index(drop=True))[1] == 1


@pytest.mark.parametrize(
    ("columns", "given"),
    [
        (pandas.Index(["a", "b"]), pandas.Index(["a", "b"])),
        (range(2), [0, 1]),
        (range(2), np.array([0, 1])),
        (["a", "b"], ("a", "b")),
    ],
    ids=["an index", "numbers", "an array", "a tuple"],
)
def test_columns_of_a_frame_in_any_form(columns, given):
    frame = pandas.DataFrame([c[1:] for c in CELLS], columns=columns)
    dataset = data.from_frame(frame, {"x": given}, quiet=True)
    assert dataset.train["x"].shape == (14, 2)


def test_a_frame_of_numbered_columns_has_an_index_and_a_split():
    frame = pandas.DataFrame(
        {0: [f"p{i}" for i in range(ROWS)], 1: np.arange(20.0), 2: ["train"] * 15 + ["test"] * 5}
    )
    dataset = data.from_frame(frame, {"x": [1]}, index="0", split={"column": "2"}, quiet=True)
    assert dataset.provenance.rows["test"] == ("p15", "p16", "p17", "p18", "p19")
    assert dataset.test["x"][:, 0].tolist() == [15.0, 16.0, 17.0, 18.0, 19.0]


def test_numpys_numbers_are_numbers_of_a_declaration():
    frame = pandas.DataFrame({"a": np.arange(10.0)})
    split = {"validation": np.float64(0), "test": np.float32(0.5), "seed": np.int64(3)}
    dataset = data.from_frame(frame, {"x": ["a"]}, split=split, latent_dim=3, quiet=True)
    assert (len(dataset.train), dataset.validation, len(dataset.test)) == (5, None, 5)


def test_a_mixed_index_labels_rows_in_words():
    frame = pandas.DataFrame({"a": np.arange(10.0)}, index=[0, "b", 2.0, 3.5, *range(4, 10)])
    dataset = data.from_frame(frame, {"x": ["a"]}, quiet=True)
    labels = {label for part in dataset.provenance.rows.values() for label in part}
    assert labels == {"0", "b", "2", "3.5", *map(str, range(4, 10))}


def test_a_class_of_one_row_is_a_class_where_it_is_trained_on():
    frame = pandas.DataFrame({"a": np.arange(20.0), "s": ["rare", *["usual"] * 19]})
    told = set()
    for seed in range(20):
        split = {"validation": 0, "test": 0.2, "seed": seed}
        try:
            dataset = data.from_frame(
                frame, {"x": ["a"], "s": ["s"]}, label="s", split=split, quiet=True
            )
        except ValueError as error:  # The row is held out.
            told.add(str(error).partition("; ")[0])
        else:
            told.add(tuple(dataset.classes("train").bincount().tolist()))
    where = "the frame, row 0, column 's'"
    assert told == {(1, 15), f"{where}: 'rare' is a level that no training row has"}


def test_thousands_of_classes():
    frame = pandas.DataFrame({"s": [f"c{i % 5000}" for i in range(20000)]})
    dataset = data.from_frame(
        frame,
        {"s": {"columns": ["s"], "kind": "category"}},
        split={"validation": 0, "test": 0.0001},
        quiet=True,
    )
    assert dataset.provenance.columns["s"].levels[:3] == ("c0", "c1", "c10")
    assert dataset.train["s"].unique().tolist() == list(range(5000))
