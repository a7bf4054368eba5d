"""Frames, arrays, images and single-cell objects that are odd: read as meant, or refused."""

from pathlib import Path

import anndata
import mudata
import numpy as np
import pandas
import pytest
import scipy.io
import scipy.sparse
from PIL import Image

from ppl_mm import data, systems
from ppl_mm.data.own.values import _has_channels_last

mudata.set_options(pull_on_update=False)
pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning:mudata.*")
N = 20
SPLIT = {"validation": 0, "test": 0.2}
generator = np.random.default_rng(0)
COUNTS = generator.poisson(1.0, (N, 60)).astype(np.float32)


def frame(**columns) -> pandas.DataFrame:
    return pandas.DataFrame({"a": np.arange(20.0) / 7, **columns})


def read(source, keys, **options):
    return data.from_frame(source, keys, split=SPLIT, quiet=True, **options)


def refused(match, source, keys, kind=ValueError, **options):
    with pytest.raises(kind, match=match) as caught:
        read(source, keys, **options)
    assert "\n" not in str(caught.value)


def from_file(folder: Path, text: str):
    (folder / "own.toml").write_text(f"split = {{validation = 0, test = 0.2}}\n{text}")
    return data.from_file(folder / "own.toml", quiet=True)


NESTED = {
    "lists": [1.0, 2.0],
    "arrays": np.ones(3),
    "dicts": {"a": 1},
    "bytes": b"x",
    "tuples": (1, 2),
    "sets": {3},
}


@pytest.mark.parametrize("what", NESTED)
def test_cells_that_hold_several_things_are_refused(what):
    cells = pandas.Series([None, *[NESTED[what]] * (N - 1)], dtype=object)
    refused(
        r"the frame, row 1, column 's': expected one number or text, got .*; make columns of what",
        frame(s=cells),
        {"s": ["s"]},
    )
    assert read(frame(s=cells), {"a": {"columns": "a", "kind": "real"}}).train["a"].shape == (16, 1)


def test_nested_columns_of_parquet_are_refused(tmp_path):
    frame(v=[[1.0, 2.0]] * N).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x.parquet, row 0, column 'v': expected one number"):
        from_file(tmp_path, '[modalities.x]\nfile = "x.parquet"\ncolumns = "v"')
    found = from_file(tmp_path, '[modalities.x]\nfile = "x.parquet"\ncolumns = "a"\nkind = "real"')
    assert found.train["x"].shape == (16, 1)


FRAMES = {
    "two columns of one name": (
        pandas.DataFrame(np.zeros((N, 2)), columns=["a", "a"]),
        r"the frame: column 'a' is there twice; rename one",
    ),
    "a number and a word of one name": (
        pandas.DataFrame(np.zeros((N, 2)), columns=[0, "0"]),
        r"the frame: column '0' is there twice",
    ),
    "a label that is missing": (
        pandas.DataFrame({"a": np.zeros(N)}, index=["p", None, *range(2, N)]),
        r"the frame, row 1: its index is empty; name the row, or remove it",
    ),
    "two labels that read the same": (
        pandas.DataFrame({"a": np.zeros(N)}, index=[1, "1", *range(2, N)]),
        r"the frame, row 1: the label '1' is there twice, first on row 0",
    ),
    "columns of two lengths": ({"a": [1, 2], "b": [1]}, r"the frame: .*same length"),
    "no columns": (pandas.DataFrame(index=range(N)), r"no column matches '\*'.*columns are none"),
    "no rows": (pandas.DataFrame({"a": []}), r"frame, split: 0 rows leave none for test"),
}


@pytest.mark.parametrize("what", FRAMES)
def test_frames_that_are_refused(what):
    source, message = FRAMES[what]
    refused(message, source, {"x": {"kind": "real"}})


@pytest.mark.parametrize("source", [[1, 2], "x.csv", 3.0, None], ids=repr)
def test_what_is_no_data_is_refused(source):
    kind = ValueError if source is None else TypeError
    refused("expected", source, {"x": ["a"]}, kind)


NUMBERS = {
    "infinity": ("real", [np.inf], r"row 19, column 'v': expected a finite number, got inf"),
    "more than a float holds": (
        "real",
        [1e200],
        r"row 19, column 'v': expected a number of at most 1e\+150, got 1e\+200; give it in anoth",
    ),
    "minus that": ("real", [-1e200], r"at most 1e\+150, got -1e\+200"),
    "less than a float holds": (
        "positive",
        [1e-320],
        r"row 19, column 'v': expected a value of at least 2.2e-308, got 9.*e-321; give it",
    ),
    "zero": ("positive", [0.0], r"expected a value above 0, got 0; kind = \"real\" admits"),
    "a half": ("counts", [0.5], r"expected a whole number of at least 0, got 0.5"),
    "an infinite count": ("counts", [np.inf], r"expected a finite number, got inf"),
    "two": ("binary", [2], r"expected 0 or 1, got 2; kind = \"category\" has other levels"),
    "complex": ("real", [1j], r"row 0, column 'v': expected a number"),
    "a comma": ("real", ["1,5"], r"got '1,5'; write a decimal point and no other signs, or leave"),
    "a percentage": ("real", ["30 %"], r"got '30 %'; write a decimal point"),
    "thousands": ("real", ["1'000"], r"got \"1'000\"; write a decimal point"),
    "a word": ("real", ["young"], r"row 19, column 'v': expected a number, got 'young'; correct"),
    "a date": ("real", [pandas.Timestamp("2020-01-01")], r"expected a number, got '2020-01-01"),
}


@pytest.mark.parametrize("what", NUMBERS)
def test_numbers_that_a_kind_does_not_admit(what):
    kind, last, message = NUMBERS[what]
    mixed = object if isinstance(last[0], str | pandas.Timestamp) else None
    cells = pandas.Series([1] * (N - 1) + last, dtype=mixed)
    refused(message, pandas.DataFrame({"v": cells}), {"v": {"columns": "v", "kind": kind}})


def test_numbers_beyond_single_precision_are_told_by_their_line(tmp_path):
    import torch

    lines = "\n".join(["id,a", *(f"p{i},{i}e37" for i in range(40))])
    (tmp_path / "x.csv").write_text(lines)
    text = '[modalities.x]\nfile = "x.csv"\nindex = "id"\nkind = "real"'
    assert from_file(tmp_path, text).train["x"].isfinite().all()
    torch.set_default_dtype(torch.float32)
    with pytest.raises(ValueError, match=r"x.csv, line 37, column 'a': .*at most 3.4e\+38, got 3"):
        from_file(tmp_path, text)


KEYS = {
    "size of a table": ("x.csv", "size = [3, 3]", r"size: is for a folder of images, and x.csv is"),
    "part of a table": ("x.csv", 'part = "a"', r"part: is for NPZ, H5AD and H5MU files, and x.csv"),
    "part of an array": ("x.npy", 'part = "a"', r"part: is for NPZ"),
    "columns of images": ("pictures", 'columns = "a"', r"columns: is for tables, and pictures is"),
    "part of images": ("pictures", 'part = "a"', r"part: is for NPZ"),
    "length of numbers": ("x.csv", "length = 3", r"length: is for kind 'text', got kind 'real'"),
    "symbols of images": ("pictures", 'symbols = "words"', r"symbols: is for kind 'text', got k"),
    "no hidden layer": ("x.csv", "hidden = []", r"hidden: expected a list of integers of at lea"),
    "an infinite weight": ("x.csv", "weight = inf", r"weight: expected a number of at least 0"),
    "a weight of yes": ("x.csv", "weight = true", r"weight: expected a number of at least 0"),
    "a length of no": ("x.csv", "length = false", r"length: expected an integer of at least 1"),
    "one side": ("pictures", "size = [3]", r"size: expected \[height, width\], got \[3\]"),
    "columns of nothing": ("x.csv", "columns = []", r"columns: expected a list of at least one"),
    "a column that is a table": (
        "x.csv",
        "columns = {a = 1}",
        r"columns: expected a list of at least one",
    ),
}


@pytest.mark.parametrize("what", KEYS)
def test_a_key_that_says_nothing_of_a_file_is_refused(what, tmp_path):
    name, key, message = KEYS[what]
    frame().to_csv(tmp_path / "x.csv", index=False)
    np.save(tmp_path / "x.npy", np.zeros((N, 2)))
    pictures(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        from_file(tmp_path, f'[modalities.x]\nfile = "{name}"\n{key}\n')
    assert "\n" not in str(caught.value)


def pictures(folder: Path, mode: str = "L", end: str = "png") -> Path:
    (folder / "pictures").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (N, 6, 5, 4), dtype=np.uint8)
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).convert(mode).save(folder / "pictures" / f"i{i}.{end}")
    return folder / "pictures"


IMAGES = '[modalities.x]\nfile = "pictures"\n'


@pytest.mark.parametrize(
    ("mode", "end", "channels"),
    [
        ("1", "png", 1),
        ("L", "png", 1),
        ("LA", "png", 1),
        ("P", "gif", 3),
        ("RGB", "jpg", 3),
        ("RGBA", "png", 3),
        ("P", "png", 3),
        ("CMYK", "tif", 3),
        ("YCbCr", "jpg", 3),
    ],
)
def test_images_of_every_mode_of_8_bits(mode, end, channels, tmp_path):
    pictures(tmp_path, mode, end)
    dataset = from_file(tmp_path, IMAGES)
    assert dataset.train["x"].shape == (16, channels, 6, 5)
    assert 0.9 < dataset.train["x"].max() <= 1


def test_images_of_several_modes_have_three_channels(tmp_path):
    folder = pictures(tmp_path)
    Image.new("RGB", (5, 6), (255, 0, 0)).save(folder / "i3.png")
    found = from_file(tmp_path, IMAGES)
    red = {label: row for p in ("train", "test") for label, row in labelled(found, p)}["i3"]
    assert red.amax((1, 2)).tolist() == [1.0, 0.0, 0.0]


def labelled(dataset, split):
    return zip(dataset.provenance.rows[split], getattr(dataset, split)["x"], strict=True)


@pytest.mark.parametrize(("dtype", "mode"), [(np.uint16, "I;16"), (np.float32, "F")])
def test_images_of_more_bits_are_refused(dtype, mode, tmp_path):
    folder = pictures(tmp_path)
    Image.fromarray(np.ones((6, 5), dtype=dtype)).save(folder / "i3.tif")
    (folder / "i3.png").unlink()
    with pytest.raises(ValueError, match=rf"i3.tif: expected pixels of 8 bits, got mode {mode}"):
        from_file(tmp_path, IMAGES)


def test_hidden_files_and_folders_among_images_are_passed_over(tmp_path):
    folder = pictures(tmp_path)
    (folder / "._i0.png").write_bytes(b"a file of the Finder")
    (folder / "notes.txt").write_text("notes")
    (folder / "more.png").mkdir()
    assert len(from_file(tmp_path, IMAGES).train) == 16


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"text"])
def test_a_damaged_image_is_named(content, tmp_path):
    (pictures(tmp_path) / "i7.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"^i7.png: damaged, or no image"):
        from_file(tmp_path, IMAGES)


def test_two_images_of_one_name_are_refused(tmp_path):
    Image.new("L", (5, 6)).save(pictures(tmp_path) / "i3.jpg")
    with pytest.raises(ValueError, match=r"pictures, i3.png: the label 'i3' is there twice"):
        from_file(tmp_path, IMAGES)


@pytest.mark.parametrize(
    ("shape", "last"),
    [
        ((9, 8, 8, 3), True),
        ((9, 8, 8, 1), True),
        ((9, 8, 8, 4), True),
        ((9, 8, 8, 2), True),
        ((9, 3, 8, 8), False),
        ((9, 1, 8, 3), False),
        ((9, 3, 4, 4), False),
        ((9, 4, 8, 8), False),
        ((9, 2, 8, 4), False),
        ((9, 8, 8, 8), False),
    ],
)
def test_where_the_channels_of_an_array_are(shape, last):
    assert _has_channels_last(shape) == last


ARRAYS = {
    "no columns": (np.ones((N, 0)), "", r"x.npz, x: expected an array of rows that hold something"),
    "no rows": (np.ones((0, 3)), "", r"x.npz, x: expected an array of rows that hold something"),
    "a number": (np.float64(3), "", r"expected an array of rows that hold something, got the sha"),
    "objects": (np.array([None] * N), "", r"x.npz: damaged, or no NPZ file of numbers or text"),
    "times": (np.arange(N).astype("M8[D]"), "", r"x.npz: expected numbers or text, got datetime"),
    "complex": (np.ones((N, 2)) * 1j, "", r"x.npz: expected numbers or text, got complex128"),
    "words in two columns": (
        np.array([["a", "b"]] * N),
        "",
        r"x.npz: expected text as an array \(N,\), got the shape \(20, 2\)",
    ),
    "infinity": (np.full((N, 2), np.inf), "real", r"x.npz, row 0: expected a finite number"),
    "five dimensions": (np.zeros((N, 2, 2, 2, 2)), "", r"x.npz: expected images as a folder"),
    "pixels of 16 bits": (
        np.full((N, 4, 4), 600, dtype=np.uint16),
        "",
        r"expected pixels as bytes \(uint8\) or in \[0, 1\], got uint16 from 600 to 600",
    ),
    "negative pixels": (-np.ones((N, 4, 4)), "", r"got float64 from -1 to -1"),
    "one-hot classes": (np.eye(N), "category", r"kind 'category' takes an array \(N,\), got the"),
}


@pytest.mark.parametrize("what", ARRAYS)
def test_arrays_that_are_refused(what, tmp_path):
    array, kind, message = ARRAYS[what]
    np.savez(tmp_path / "x.npz", x=array, other=np.zeros((N, 1)))
    said = f'kind = "{kind}"\n' if kind else ""
    with pytest.raises(ValueError, match=message) as caught:
        from_file(tmp_path, f'[modalities.x]\nfile = "x.npz"\n{said}')
    assert "damaged" not in str(caught.value) or what == "objects"


FORMS = {
    "big-endian": lambda x: x.astype(">f8"),
    "by columns": np.asfortranarray,
    "long": lambda x: x.astype(np.longdouble),
    "half": lambda x: x.astype(np.float16),
    "masked": lambda x: np.ma.masked_array(x, mask=np.zeros_like(x, dtype=bool)),
    "a view": lambda x: np.repeat(x, 2, 0)[::2],
}


@pytest.mark.parametrize("form", FORMS)
def test_arrays_of_every_form(form):
    x = np.arange(60.0).reshape(N, 3) / 8
    dataset = read(FORMS[form](x), {"x": {"kind": "real"}})
    rows = [int(label) for label in dataset.provenance.rows["train"]]
    np.testing.assert_array_equal(dataset.train["x"], x[rows])


def test_labels_of_an_array_that_are_no_list(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((N, 2)), id=np.arange(N)[:, None])
    text = '[modalities.x]\nfile = "x.npz"\nindex = "id"\nkind = "real"'
    with pytest.raises(ValueError, match=r"x.npz, id: expected labels as an array \(N,\), got t"):
        from_file(tmp_path, text)


@pytest.mark.parametrize("name", ["x.csv.gz", "x.mtx.gz", "labels.txt"])
def test_a_damaged_file_is_told_once_in_one_line(name, tmp_path):
    import gzip

    whole = {"x.csv.gz": "a\n" + "1\n" * 5000, "labels.txt": "\n".join(map(str, range(N)))}
    scipy.io.mmwrite(tmp_path / "x.mtx", scipy.sparse.csr_matrix(np.eye(N)))
    whole["x.mtx.gz"] = (tmp_path / "x.mtx").read_text()
    packed = gzip.compress(whole[name].encode())
    (tmp_path / name).write_bytes(packed[: len(packed) // 2])
    np.save(tmp_path / "x.npy", np.zeros((N, 2)))
    file, index = (name, "") if name != "labels.txt" else ("x.npy", 'index = "labels.txt"')
    with pytest.raises(ValueError, match=rf"^{name}: damaged \(.*\); copy the file again\.$"):
        from_file(tmp_path, f'[modalities.x]\nfile = "{file}"\n{index}\n')


@pytest.mark.parametrize("name", ["x.csv", "labels.txt"])
def test_text_in_another_encoding_is_told(name, tmp_path):
    (tmp_path / name).write_bytes("größe\n1\n".encode("latin1") * N)
    np.save(tmp_path / "x.npy", np.zeros((N, 2)))
    file, index = (name, "") if name == "x.csv" else ("x.npy", 'index = "labels.txt"')
    with pytest.raises(ValueError, match=rf"^{name}: expected UTF-8 text .*; save it as such"):
        from_file(tmp_path, f'[modalities.x]\nfile = "{file}"\n{index}\n')


def cells(matrix=COUNTS, **obs) -> anndata.AnnData:
    names = pandas.Index([f"c{i}" for i in range(N)], dtype=object)
    table = pandas.DataFrame(index=names)
    for name, column in obs.items():
        table[name] = pandas.Series(column, index=names, dtype=object)
    if matrix is None:
        return anndata.AnnData(None, table)
    number = matrix.shape[1]
    genes = pandas.Index([f"gene{number}.{i}" for i in range(number)], dtype=object)
    return anndata.AnnData(matrix, table, pandas.DataFrame(index=genes))


MATRICES = {
    "dense": np.asarray,
    "by rows": scipy.sparse.csr_matrix,
    "by columns": scipy.sparse.csc_matrix,
    "a sparse array": scipy.sparse.csr_array,
    "integers": lambda x: x.astype(np.int64),
}


@pytest.mark.parametrize("form", MATRICES)
def test_counts_of_every_form_are_the_same(form):
    dataset = read(cells(MATRICES[form](COUNTS)), {"rna": {}})
    rows = [int(label[1:]) for label in dataset.provenance.rows["train"]]
    np.testing.assert_array_equal(dataset.train["rna"], COUNTS[rows])
    assert dataset.provenance.columns["rna"].kind == "counts"


def test_a_cell_without_counts_and_a_gene_without_cells():
    counts = COUNTS.copy()
    counts[:, 7] = 0
    counts[3] = 0
    dataset = read(cells(scipy.sparse.csr_matrix(counts)), {"rna": {}})
    system = systems.vae(dataset.modalities, 2)
    assert system(dataset.train).isfinite()
    assert system.posterior(dataset.train).mean.isfinite().all()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            np.nan,
            r"cell 'c3', column 'gene60.2': expected a number, got nan; of a sparse matrix no sing",
        ),
        (-1.0, r"cell 'c3', column 'gene60.2': expected a whole number of at least 0, got -1"),
        (0.5, r"cell 'c3', column 'gene60.2': expected a whole number of at least 0, got 0.5"),
        (np.inf, r"cell 'c3', column 'gene60.2': expected a finite number, got inf"),
    ],
    ids=str,
)
def test_a_wrong_number_of_a_sparse_matrix_has_its_cell_and_gene(value, message):
    counts = COUNTS.copy()
    counts[3, :3] = 0, 0, value
    refused(message, cells(scipy.sparse.csr_matrix(counts)), {"rna": {"kind": "counts"}})


def test_cells_are_matched_by_a_column_of_theirs_where_one_is_named():
    patients = [f"p{i}" for i in reversed(range(N))]
    own = read(cells(patient=patients), {"rna": {}}, index="patient")
    rows = [patients.index(label) for label in own.provenance.rows["train"]]
    np.testing.assert_array_equal(own.train["rna"], COUNTS[rows])
    other = read(cells(), {"rna": {}}, index="patient")  # the other modalities' index
    assert set(other.provenance.rows["train"]) <= {f"c{i}" for i in range(N)}
    refused(
        r"cell 'c2': the label 'u' is there twice, first on cell 'c0'",
        cells(sort=["u", "v"] * 10),
        {"rna": {}},
        index="sort",
    )


def test_cells_of_one_modality_of_mudata_are_matched_by_their_own_column():
    patients = [f"p{i}" for i in range(N)]
    rna, protein = cells(patient=patients), cells(COUNTS[:, :5], patient=patients[::-1])
    both = mudata.MuData({"rna": rna, "protein": protein[:10].copy()})
    dataset = read(both, {"rna": {}, "protein": {"kind": "counts"}}, index="patient")
    held = dataset.train.present["protein"]
    labels = [int(label[1:]) for label in dataset.provenance.rows["train"]]
    assert held.tolist() == [label >= 10 for label in labels]
    expected = [COUNTS[19 - label, :5] for label in labels if label >= 10]
    np.testing.assert_array_equal(dataset.train["protein"][held], np.stack(expected))


def test_a_view_and_a_file_in_backed_mode_are_read(tmp_path):
    whole = cells()
    assert len(read(whole[5:15], {"rna": {}}).train) == 8
    whole.write_h5ad(tmp_path / "x.h5ad")
    backed = anndata.read_h5ad(tmp_path / "x.h5ad", backed="r")
    dataset = read(backed, {"rna": {}})
    rows = [int(label[1:]) for label in dataset.provenance.rows["test"]]
    np.testing.assert_array_equal(dataset.test["rna"], COUNTS[rows])
    backed.file.close()


def test_parts_that_there_are_not():
    refused(r"unknown part 'obsm/pc'; known: X, obs", cells(), {"p": {"part": "obsm/pc"}})
    refused(r"the frame: has no matrix X; name a layer as part", cells(None), {"rna": {}})
    both = mudata.MuData({"rna": cells()})
    refused(r"unknown part 'rn'; known: rna, obs. Did you mean 'rna'", both, {"rn": {}})


def test_a_modality_that_no_row_holds_is_told_with_both_remedies():
    empty = frame(v=[None] * N)
    told = r"change the split, or leave the modality out"
    refused(rf"no training row holds modality 'v'; {told}", empty, {"v": ["v"], "a": ["a"]})
    refused(rf"no training row has a class in column 'v'; {told}", empty, {"v": ["v"]}, label="v")
    text = {"v": {"columns": "v", "kind": "text"}}
    refused(rf"no training row has a text; {told}", empty, text)
