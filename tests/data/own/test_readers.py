"""Every form of file, and objects in memory: what is read, and that sparse stays sparse."""

import gzip
from pathlib import Path
from typing import Any

import anndata
import mudata
import numpy as np
import pandas
import pytest
import scipy.io
import scipy.sparse
import torch
from PIL import Image

from ppl_mm import data, systems
from ppl_mm.data import DataSet, MemoryMapped
from ppl_mm.data.own.arrays import Taken

mudata.set_options(pull_on_update=False)
pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning:mudata.*")
NUMBER = 30
LABELS = [f"c{i}" for i in range(NUMBER)]


def read(folder: Path, text: str, **tables: str) -> DataSet:
    """The data set of a declaration with a modality x."""
    path = folder / "own.toml"
    path.write_text(f"split = {{validation = 0, test = 0.2}}\n[modalities.x]\n{text}\n")
    return data.from_file(path, quiet=True)


def rows(dataset: DataSet, name: str = "x") -> dict[str, torch.Tensor]:
    """Label -> its value."""
    return {
        label: getattr(dataset, split)[name][i]
        for split, labels in dataset.provenance.rows.items()
        for i, label in enumerate(labels)
    }


def counts() -> scipy.sparse.csr_matrix:
    generator = np.random.default_rng(0)
    dense = generator.poisson(0.5, (NUMBER, 6)).astype(np.float32)
    return scipy.sparse.csr_matrix(dense)


def named(labels: list[str], **columns: Any) -> pandas.DataFrame:
    """A frame whose strings are Python's: AnnData writes no others."""
    made = pandas.DataFrame(index=pandas.Index(labels, dtype=object))
    for name, cells in columns.items():
        kind = object if isinstance(cells, list) else None
        made[name] = pandas.Series(cells, index=made.index, dtype=kind)
    return made


@pytest.fixture
def matrix() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(NUMBER, 3))


def same(dataset: DataSet, expected: np.ndarray, labels: list[str] = LABELS) -> None:
    found = rows(dataset)
    assert len(found) == NUMBER
    for label, row in zip(labels, expected, strict=True):
        np.testing.assert_allclose(found[label].numpy(), row, rtol=1e-6)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimited_text(tmp_path, matrix, delimiter):
    frame = pandas.DataFrame(matrix, columns=["a", "b", "c"]).assign(id=LABELS)
    name = "x.tsv" if delimiter == "\t" else "x.csv"
    frame.to_csv(tmp_path / name, sep=delimiter, index=False)
    same(read(tmp_path, f'file = "{name}"\nindex = "id"\ncolumns = ["a", "b", "c"]'), matrix)


def test_parquet_with_a_column_or_an_index_of_labels(tmp_path, matrix):
    frame = pandas.DataFrame(matrix, columns=["a", "b", "c"]).assign(id=LABELS)
    frame.to_parquet(tmp_path / "x.parquet")
    same(read(tmp_path, 'file = "x.parquet"\nindex = "id"\ncolumns = "[abc]"'), matrix)
    frame.set_index("id").to_parquet(tmp_path / "x.parquet")
    same(read(tmp_path, 'file = "x.parquet"\nindex = "id"'), matrix)
    same(read(tmp_path, 'file = "x.parquet"'), matrix)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"x.parquet: damaged"):
        read(tmp_path, 'file = "x.parquet"')


def test_npy_with_and_without_labels(tmp_path, matrix):
    np.save(tmp_path / "x.npy", matrix)
    same(read(tmp_path, 'file = "x.npy"'), matrix, [str(i) for i in range(NUMBER)])
    (tmp_path / "labels.txt").write_text("\n".join(LABELS))
    same(read(tmp_path, 'file = "x.npy"\nindex = "labels.txt"'), matrix)
    (tmp_path / "labels.txt").write_text("\n".join(LABELS[1:]))
    with pytest.raises(ValueError, match=r"x.npy: has 30 rows and 29 labels"):
        read(tmp_path, 'file = "x.npy"\nindex = "labels.txt"')


def test_npz_by_the_modalitys_name_or_the_part(tmp_path, matrix):
    text = np.array(["ab", "ba"] * (NUMBER // 2))
    np.savez(tmp_path / "x.npz", x=matrix, other=matrix + 1, cell=np.array(LABELS), text=text)
    same(read(tmp_path, 'file = "x.npz"\nindex = "cell"'), matrix)
    same(read(tmp_path, 'file = "x.npz"\nindex = "cell"\npart = "other"'), matrix + 1)
    dataset = read(tmp_path, 'file = "x.npz"\npart = "text"')
    assert dataset.provenance.columns["x"].levels == ("ab", "ba")


def test_rows_of_nan_in_an_array_are_missing(tmp_path, matrix):
    matrix[4] = np.nan
    np.save(tmp_path / "x.npy", matrix)
    dataset = read(tmp_path, 'file = "x.npy"')
    split = next(s for s, labels in dataset.provenance.rows.items() if "4" in labels)
    place = dataset.provenance.rows[split].index("4")
    assert not getattr(dataset, split).present["x"][place]


@pytest.mark.parametrize("zipped", [False, True])
def test_matrix_market_stays_sparse(tmp_path, zipped):
    matrix = counts()
    scipy.io.mmwrite(tmp_path / "x.mtx", matrix)
    name = "x.mtx"
    if zipped:
        (tmp_path / "x.mtx.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        name = "x.mtx.gz"
    (tmp_path / "barcodes.tsv").write_text("\n".join(LABELS) + "\n")
    dataset = read(tmp_path, f'file = "{name}"\nindex = "barcodes.tsv"')
    assert dataset.provenance.columns["x"].kind == "counts"
    assert isinstance(dataset.train, MemoryMapped)
    assert scipy.sparse.issparse(dataset.train.values.columns["x"].array.array)
    same(dataset, matrix.toarray())
    assert systems.vae(dataset.modalities, 2)(dataset.train).isfinite()


def test_sparse_rows_become_dense_only_where_they_are_asked_for(monkeypatch):
    asked = []
    taken = Taken.__getitem__

    def counted(self, rows):
        asked.append(len(rows))
        return taken(self, rows)

    monkeypatch.setattr(Taken, "__getitem__", counted)
    cells = anndata.AnnData(counts(), named(LABELS))
    dataset = data.from_frame(cells, {"rna": {}}, quiet=True)
    assert asked == []
    assert dataset.train[:4]["rna"].shape == (4, 6)
    assert sum(asked) == 4


def cells() -> anndata.AnnData:
    obs = named(LABELS, sort=["a", "b"] * 15, depth=np.arange(30.0))
    made = anndata.AnnData(counts(), obs, named([f"gene{i}" for i in range(6)]))
    made.layers["log"] = np.log1p(made.X.toarray())
    made.obsm["protein"] = np.arange(60.0).reshape(30, 2) + 0.5
    return made


H5AD = {
    "": ("counts", counts().toarray()),
    'columns = ["gene1", "gene[45]"]': ("counts", counts().toarray()[:, [1, 4, 5]]),
    'part = "layers/log"': ("real", np.log1p(counts().toarray())),
    'part = "obsm/protein"': ("real", np.arange(60.0).reshape(30, 2) + 0.5),
    'columns = ["depth"]\nkind = "real"': ("real", np.arange(30.0)[:, None]),
    'part = "obs"\ncolumns = ["sort"]': ("category", np.array([0, 1] * 15)),
}


@pytest.mark.parametrize("text", H5AD)
def test_h5ad(tmp_path, text):
    cells().write_h5ad(tmp_path / "x.h5ad")
    dataset = read(tmp_path, f'file = "x.h5ad"\n{text}')
    kind, expected = H5AD[text]
    assert dataset.provenance.columns["x"].kind == kind
    same(dataset, expected)


def test_h5mu_by_the_modalitys_name_or_the_part(tmp_path):
    peaks = named([f"peak{i}" for i in range(6)])
    second = anndata.AnnData(counts()[::-1].copy(), named(LABELS), peaks)
    both = mudata.MuData({"x": cells(), "atac": second})
    both.var.index = both.var.index.astype(object)
    both.obs["sort"] = named(LABELS, sort=["a", "b"] * 15)["sort"]
    both.write(tmp_path / "x.h5mu")
    same(read(tmp_path, 'file = "x.h5mu"'), counts().toarray())
    same(read(tmp_path, 'file = "x.h5mu"\npart = "atac"'), counts()[::-1].toarray())
    same(read(tmp_path, 'file = "x.h5mu"\npart = "x/layers/log"'), np.log1p(counts().toarray()))
    same(read(tmp_path, 'file = "x.h5mu"\npart = "obs"\ncolumns = "sort"'), np.array([0, 1] * 15))
    keys = {"x": {}, "atac": {}, "sort": {"part": "obs", "columns": "sort"}}
    dataset = data.from_frame(both, keys, label="sort", quiet=True)
    assert dataset.train.names == ("x", "atac", "sort")
    with pytest.raises(ValueError, match=r"unknown part 'atca'; known: x, atac, obs"):
        read(tmp_path, 'file = "x.h5mu"\npart = "atca"')
    with pytest.raises(ValueError, match=r"x.h5mu, x: unknown part 'layers/lgo'; known: X, obs"):
        read(tmp_path, 'file = "x.h5mu"\npart = "x/layers/lgo"')


def test_cells_that_a_modality_of_mudata_lacks_are_missing():
    second = anndata.AnnData(counts()[:20].copy(), named(LABELS[:20]))
    both = mudata.MuData({"rna": cells(), "atac": second})
    dataset = data.from_frame(both, {"rna": {}, "atac": {}}, quiet=True)
    parts = (dataset.train, dataset.validation, dataset.test)
    assert sum(int(part.present["atac"].sum()) for part in parts) == 20
    loss = systems.mvae(dataset.modalities, 2)(dataset.train)
    assert loss.isfinite()


def test_a_damaged_h5ad_is_told_in_one_line(tmp_path):
    (tmp_path / "x.h5ad").write_text("no HDF5")
    with pytest.raises(ValueError, match=r"x.h5ad: damaged, or no H5AD file \([^\n]*\)\.$"):
        read(tmp_path, 'file = "x.h5ad"')


def pictures(folder: Path, colours: bool) -> np.ndarray:
    folder.mkdir()
    shape = (NUMBER, 8, 12, 3) if colours else (NUMBER, 8, 12)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for label, picture in zip(LABELS, pixels, strict=True):
        Image.fromarray(picture).save(folder / f"{label}.png")
    return pixels.transpose(0, 3, 1, 2) if colours else pixels[:, None]


@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize("kept", [0, 10**9])
def test_a_folder_of_images(tmp_path, colours, kept, monkeypatch):
    monkeypatch.setattr("ppl_mm.data.own.images._KEPT_BYTES", kept)
    pixels = pictures(tmp_path / "pictures", colours)
    dataset = read(tmp_path, 'file = "pictures"')
    assert isinstance(dataset.train, MemoryMapped) == (kept == 0)
    assert dataset.provenance.columns["x"].kind == "image"
    same(dataset, pixels / 255)
    smaller = read(tmp_path, 'file = "pictures"\nsize = [4, 6]')
    assert smaller.train["x"].shape[1:] == (pixels.shape[1], 4, 6)
    assert systems.vae(smaller.modalities, 2)(smaller.train).isfinite()


@pytest.mark.parametrize("shape", [(8, 12), (1, 8, 12), (3, 8, 12), (8, 12, 3)])
def test_arrays_of_images(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, (NUMBER, *shape), dtype=np.uint8)
    np.save(tmp_path / "x.npy", pixels)
    dataset = read(tmp_path, 'file = "x.npy"')
    channels = 3 if 3 in shape else 1
    assert dataset.train["x"].shape[1:] == (channels, 8, 12)
    assert 0.9 < dataset.train["x"].max() <= 1
    np.save(tmp_path / "x.npy", pixels / 255)
    again = read(tmp_path, 'file = "x.npy"')
    torch.testing.assert_close(again.train["x"], dataset.train["x"])


def test_a_function_beside_the_declaration(tmp_path):
    (tmp_path / "own_reader.py").write_text(
        "import pandas\n"
        "def read():\n"
        "    return pandas.DataFrame({'a': range(30), 'b': range(30, 60)}, dtype=float)\n"
    )
    dataset = read(tmp_path, 'file = "own_reader:read"\ncolumns = "b"\nkind = "real"')
    same(dataset, np.arange(30.0, 60.0)[:, None], [str(i) for i in range(NUMBER)])


def test_words_and_characters_have_the_training_rows_vocabulary(tmp_path):
    texts = [f"a small bird number{i}" if i % 2 else "one bird" for i in range(NUMBER)]
    frame = pandas.DataFrame({"id": LABELS, "text": texts})
    frame.to_csv(tmp_path / "x.csv", index=False)
    declared = 'file = "x.csv"\nindex = "id"\ncolumns = "text"\nkind = "text"'
    dataset = read(tmp_path, declared)
    assert dataset.vocabulary.words[3:] == ("one", "bird", "a", "small") or set(
        dataset.vocabulary.words[3:]
    ) == {"one", "bird", "a", "small"}
    assert dataset.vocabulary.decode(dataset.train["x"])[0] in ("one bird", "a small bird <exc>")
    assert dataset.train["x"].shape[1] == 5
    characters = read(tmp_path, declared + '\nsymbols = "characters"\nlength = 9')
    assert characters.train["x"].shape[1] == 9
    assert set(characters.vocabulary.words[3:]) == set("".join(characters_of(dataset, texts)))
    assert systems.vae(dataset.modalities, 2)(dataset.train).isfinite()


def characters_of(dataset: DataSet, texts: list[str]) -> list[str]:
    return [texts[LABELS.index(label)] for label in dataset.provenance.rows["train"]]


def test_label_sets_of_one_column_or_of_several(tmp_path):
    tags = ["red; big" if i % 2 else "red" for i in range(NUMBER)]
    tags[3] = ""
    frame = pandas.DataFrame({"tags": tags, "red": 1, "big": [i % 2 for i in range(NUMBER)]})
    frame.to_csv(tmp_path / "x.csv", index=False)
    one = read(tmp_path, 'file = "x.csv"\ncolumns = "tags"')
    several = read(tmp_path, 'file = "x.csv"\ncolumns = ["big", "red"]\nkind = "label set"')
    assert one.provenance.columns["x"].kind == "label set"
    assert one.provenance.columns["x"].levels == several.provenance.columns["x"].levels
    ours, theirs = rows(one), rows(several)
    assert all(torch.equal(ours[label], theirs[label]) for label in ours if label != "3")
    assert not ours["3"].any()


@pytest.mark.parametrize("missing", ["pyarrow", "anndata"])
def test_an_extra_that_is_not_installed_is_named(tmp_path, monkeypatch, missing):
    name = {"pyarrow": "x.parquet", "anndata": "x.h5ad"}[missing]
    extra = {"pyarrow": "tables", "anndata": "single-cell"}[missing]
    (tmp_path / name).write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, missing, None)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install 'ppl-mm\[{extra}\]'"):
        read(tmp_path, f'file = "{name}"')
