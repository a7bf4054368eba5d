"""Values that do not fit their kind, told by their row and column with the remedy."""

import anndata
import numpy as np
import pandas
import pytest
import scipy.sparse
import torch

from ppl_mm import data

GENERATOR = np.random.default_rng(0)
PARTS = ["train"] * 14 + ["test"] * 6


def read(frame, x=None, **options):
    return data.from_frame(frame, {"x": {} if x is None else x}, quiet=True, **options)


def read_file(folder, name, keys=""):
    (folder / "d.toml").write_text(f'[modalities.x]\nfile = "{name}"\n{keys}')
    return data.from_file(folder / "d.toml", quiet=True)


# ------------------------------------------------------------------ arrays


def test_a_sparse_matrix_in_memory_is_read_as_counts():
    counts = GENERATOR.poisson(1.0, (20, 60))
    for form in (scipy.sparse.csr_array, scipy.sparse.coo_array, scipy.sparse.csc_matrix):
        made = read(form(counts))
        rows = list(made.provenance.places["train"])
        assert made.provenance.columns["x"].kind == "counts"
        assert torch.equal(made.train["x"], torch.from_numpy(counts[rows]).to(made.train["x"]))
    with pytest.raises(ValueError, match="a sparse matrix holds zeros, which are not positive"):
        read(scipy.sparse.csr_array(counts), {"kind": "positive"})


def test_a_mapping_of_columns_of_one_length_is_a_frame():
    made = read({"a": np.arange(20.0) + 0.5, "b": np.arange(20.0) * 3}, {"columns": ["b"]})
    assert made.provenance.columns["x"].names == ("b",)
    with pytest.raises(ValueError, match=r"the frame: .*length"):
        read({"a": [1.0, 2.0], "b": [1.0]})


@pytest.mark.parametrize(
    ("shape", "keys", "message"),
    [
        ((10, 4, 4), 'kind = "real"', r"expected columns \(N, D\) for kind 'real', got the shape "),
        ((10, 4, 4), 'kind = "counts"', r"\(10, 4, 4\); its kind may be 'image'"),
        (
            (10, 2),
            'kind = "category"',
            r"kind 'category' takes an array \(N,\), got the shape \(10",
        ),
        ((10, 2), 'kind = "text"', r"kind 'text' takes an array \(N,\), got the shape \(10, 2\)"),
        ((10, 2), 'columns = "a"', "x.npy: has no names of columns; leave columns out"),
    ],
)
def test_arrays_of_another_shape_than_their_kind(shape, keys, message, tmp_path):
    np.save(tmp_path / "x.npy", GENERATOR.integers(0, 3, shape).astype(float))
    with pytest.raises(ValueError, match=message):
        read_file(tmp_path, "x.npy", keys)


@pytest.mark.parametrize("shape", [(20,), (20, 1)])
def test_an_array_of_one_column_may_be_classes(shape, tmp_path):
    np.save(tmp_path / "x.npy", (np.arange(20.0) % 3).reshape(shape))
    made = read_file(tmp_path, "x.npy", 'kind = "category"')
    assert made.provenance.columns["x"].levels == ("0", "1", "2")
    rows = torch.tensor(made.provenance.places["train"])
    assert torch.equal(made.train["x"], rows % 3)


def test_columns_of_a_cells_frame_are_numbers():
    found = anndata.AnnData(GENERATOR.poisson(2.0, (20, 4)).astype(np.float32))
    embedding = pandas.DataFrame(GENERATOR.normal(size=(20, 2)), index=found.obs_names)
    found.obsm["place"] = embedding.set_axis(["east", "north"], axis=1)
    made = read(found, {"part": "obsm/place", "kind": "real"})
    rows = list(made.provenance.places["train"])
    expected = torch.from_numpy(embedding.to_numpy()[rows])
    torch.testing.assert_close(made.train["x"], expected)
    assert made.provenance.columns["x"].names == ("east", "north")


# ------------------------------------------------------------------ tables


def column(cells, kind, **options):
    return read(pandas.DataFrame({"c": cells, "part": PARTS}), {"columns": "c", "kind": kind},
                split={"column": "part"}, **options)  # fmt: skip


def test_words_of_a_binary_column():
    made = column(["yes", "No", None, "TRUE", "f"] * 4, "binary")
    assert made.train["x"][:5, 0].tolist() == [1.0, 0.0, 0.0, 1.0, 0.0]
    assert made.train.present["x"][:5].tolist() == [True, True, False, True, True]
    with pytest.raises(
        ValueError, match=r"row 3, column 'c': expected 0 or 1, or yes or no, or true"
    ):
        column(["yes", "no", "yes", "maybe"] * 5, "binary")
    with pytest.raises(
        ValueError, match=r"row 1, column 'c': expected a number, got '0,5'; write a"
    ):
        column(["1", "0,5"] * 10, "real")
    with pytest.raises(ValueError, match="row 2, column 'c': expected 0 or 1, got 2; kind = \"cat"):
        column([0, 1, 2, 1] * 5, "binary")


def test_labels_and_levels_that_no_training_row_has():
    sets = ["a; b", "b", "", "a"] * 5
    made = column(sets, "label set")
    assert made.provenance.columns["x"].levels == ("a", "b")
    assert made.train["x"][:4].tolist() == [[1, 1], [0, 1], [0, 0], [1, 0]]
    assert made.train.present["x"][:4].tolist() == [True, True, False, True]
    with pytest.raises(
        ValueError, match=r"row 17, column 'c': 'z' is a label that no training row"
    ):
        column([*sets[:17], "a;z", *sets[18:]], "label set")
    levels = ["u", "v", None, "u"] * 5
    assert column(levels, "category").train["x"][:4].tolist() == [0, 1, 0, 0]
    with pytest.raises(
        ValueError, match=r"row 19, column 'c': 'w' is a level that no training row"
    ):
        column([*levels[:19], "w"], "category")
    with pytest.raises(
        ValueError, match="no training row has a class in column 'c'; change the spl"
    ):
        column([*[None] * 14, *"uvuvuv"], "category")


@pytest.mark.parametrize("sign", [";", "|", ","])
def test_labels_are_joined_by_one_sign(sign):
    made = column([f"a b{sign} c", "c", "a b", "c"] * 5, "label set")
    assert made.provenance.columns["x"].levels == ("a b", "c")
    assert made.train["x"][:2].tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("rows", [30, 40_000])  # csv takes no cell of more than 131,072 signs
@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_quote_that_is_never_closed_is_told(rows, sign, tmp_path):
    """The rest of the file is one cell, under whatever delimiter it is read."""
    text = 'a,b\n1,2\n1,"2\n' + "3,4\n" * rows
    (tmp_path / "x.csv").write_text(text.replace(",", sign))
    with pytest.raises(ValueError, match=r"x.csv: .*; close every quote\.$"):
        read_file(tmp_path, "x.csv")
    (tmp_path / "x.csv").write_text(text.replace("1,2\n", "").replace(",", sign))
    with pytest.raises(ValueError, match=r"x.csv: .*; close every quote\.$"):
        read_file(tmp_path, "x.csv")


def test_texts_are_cut_and_words_that_come_once_are_unknown():
    long = " ".join(["word"] * 80)
    made = column(["one bird", "two birds", "one bird", long] * 5, "text")
    assert made.train["x"].shape[1] == 64
    assert set(made.vocabulary.words[3:]) == {"one", "bird", "two", "birds", "word"}
    short = column(["a b", "c d", "a e", None] * 5, "text")
    assert short.train["x"].shape[1] == 3  # two words and the end
    assert not short.train.present["x"][3]
    letters = column(["ab", "cd", "abc", "d"] * 5, "text")
    assert letters.train["x"].shape[1] == 4
    assert set(letters.vocabulary.words[3:]) == set("abcd")
    with pytest.raises(ValueError, match="no training row has a text; change the split, or leave"):
        column([None] * 14 + ["a"] * 6, "text")
