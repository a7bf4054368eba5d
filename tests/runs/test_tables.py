"""Tables of all rows: whose column a cell belongs to, and images as files beside the table."""

from pathlib import Path

import numpy as np
import pandas
import pytest
import torch
from PIL import Image

from ppl_mm import data, runs, systems
from ppl_mm.data import DataSet
from ppl_mm.runs.images import image_folder, write_images
from ppl_mm.runs.tables import _beside, _together

ROWS = 20
FAST = {"num_draws": 3, "refine": "none"}


def untrained(dataset: DataSet, folder: Path) -> runs.Run:
    torch.manual_seed(0)
    system = systems.mvae(dataset.modalities, dataset.latent_dim)
    return runs.Run(folder, runs.configure("mvae", dataset), dataset, system)


def declared(folder: Path, text: str) -> runs.Run:
    (folder / "own.toml").write_text(f"hidden = [4]\nlatent_dim = 2\n{text}")
    return untrained(data.from_file(folder / "own.toml", quiet=True), folder)


def read(path: Path) -> pandas.DataFrame:
    return pandas.read_csv(path, dtype=str, keep_default_na=False)


@pytest.fixture
def two(tmp_path) -> runs.Run:
    """Two files with the same names of columns, other values and other orders of rows."""
    for name, start, order in (("x", 0, range(ROWS)), ("y", 1000, reversed(range(ROWS)))):
        rows = [
            f"p{i},{'' if i % 4 == len(name) else start + i},{start + i / 10},{i}" for i in order
        ]
        (tmp_path / f"{name}.csv").write_text("\n".join(["id,a,b,only " + name, *rows]))
    parts = "".join(f'[modalities.{n}]\nfile = "{n}.csv"\nkind = "real"\n' for n in "xy")
    return declared(tmp_path, f'index = "id"\n{parts}')


def test_columns_of_one_name_keep_their_own_values(two, tmp_path):
    filled = runs.impute(two, tmp_path / "filled.csv", **FAST)
    frame = read(tmp_path / "filled.csv")
    names = ["x.a", "x.b", "only x", "y.a", "y.b", "only y"]
    assert list(frame.columns) == ["id", *names]
    assert list(frame["id"]) == [f"p{i}" for i in range(ROWS)]
    assert filled == 10
    for name in "xy":
        own = read(tmp_path / f"{name}.csv").set_index("id").loc[list(frame["id"])]
        for column in "ab":
            found, before = list(frame[f"{name}.{column}"]), list(own[column])
            held = [i for i, cell in enumerate(before) if cell]
            assert [found[i] for i in held] == [before[i] for i in held]
    empty = [i for i in range(ROWS) if i % 4 == 1]
    assert frame["x.a"][empty].astype(float).max() < 200 < frame["y.a"][empty].astype(float).min()


def test_intervals_and_draws_of_columns_of_one_name(two, tmp_path):
    runs.impute(two, tmp_path / "filled.csv", interval=0.5, **FAST)
    columns = list(read(tmp_path / "filled.csv").columns)
    assert columns[1:4] == ["x.a", "x.a low", "x.a high"]
    assert len(columns) == len(set(columns)) == 19
    targets = {"csv": tmp_path / "drawn.csv", "num_samples": 2, "rows": 3}
    runs.generate(two, ["x", "y"], [], tmp_path / "drawn.png", **targets)
    drawn = pandas.read_csv(tmp_path / "drawn.csv")
    assert list(drawn.columns) == [
        *("row", "draw", "x.a", "x.b", "only x", "y.a", "y.b", "only y"),
    ]
    assert drawn["x.a"].max() < 200 < drawn["y.a"].min()
    assert drawn["row"].tolist() == [0, 1, 2, 0, 1, 2]


def test_an_index_that_is_a_measurement_too_and_columns_named_as_ours(tmp_path):
    rows = "\n".join(f"{i},{i},{i},{i / 7}" for i in range(ROWS))
    (tmp_path / "x.csv").write_text(f"id,row,split,a\n{rows}\n")
    text = 'index = "id"\n[modalities.x]\nfile = "x.csv"\nkind = "real"\n'
    run = declared(tmp_path, text + 'columns = ["id", "row", "split", "a"]')
    runs.impute(run, tmp_path / "filled.csv", **FAST)
    frame = read(tmp_path / "filled.csv")
    assert list(frame.columns) == ["id", "x.id", "row", "split", "a"]
    assert list(frame["id"]) == list(frame["x.id"]) == [str(i) for i in range(ROWS)]
    options = {"csv": tmp_path / "drawn.csv", "num_samples": 1, "rows": 2}
    runs.generate(run, ["x"], [], tmp_path / "drawn.png", **options)
    assert list(read(tmp_path / "drawn.csv").columns) == [
        *("row", "draw", "id", "x.row", "split", "a"),
    ]


def test_a_column_named_as_an_interval_is_told_before_anything_is_written(tmp_path):
    rows = "\n".join(f"{i},{i / 3},{i / 7}" for i in range(ROWS))
    (tmp_path / "x.csv").write_text(f"id,a,a low\n{rows}\n")
    run = declared(tmp_path, 'index = "id"\n[modalities.x]\nfile = "x.csv"\nkind = "real"\n')
    with pytest.raises(ValueError, match=r"interval: the data have a column 'a low' of their own"):
        runs.impute(run, tmp_path / "filled.csv", interval=0.9, **FAST)
    assert not (tmp_path / "filled.csv").exists()
    runs.impute(run, tmp_path / "filled.csv", **FAST)
    assert list(read(tmp_path / "filled.csv").columns) == ["id", "a", "a low"]


def test_names_and_cells_survive_commas_quotes_and_line_ends(tmp_path):
    generator = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "the id, here": [f'p"{i}"\n{i}' for i in range(ROWS)],
            "a, b": [
                f" {x:.3f}0" if i % 3 else "" for i, x in enumerate(generator.normal(size=20))
            ],
            "größe\n[cm]": [f"{x:+.2e}" for x in generator.normal(size=ROWS)],
            "sort": ["none", "a, b; c"] * 10,
        }
    )
    frame.to_csv(tmp_path / "x.csv", index=False)
    run = declared(
        tmp_path,
        'file = "x.csv"\nindex = "the id, here"\n[modalities.x]\nkind = "real"\n'
        '[modalities.sort]\ncolumns = "sort"\nkind = "category"\n',
    )
    runs.impute(run, tmp_path / "filled.csv", **FAST)
    found = read(tmp_path / "filled.csv")
    assert list(found.columns) == list(frame.columns)
    assert list(found["sort"]) == list(frame["sort"])
    assert list(found["the id, here"]) == list(frame["the id, here"])
    assert list(found["größe\n[cm]"]) == list(frame["größe\n[cm]"])
    held = frame["a, b"] != ""
    assert list(found.loc[held, "a, b"]) == list(frame.loc[held, "a, b"].str.strip())
    assert found["a, b"].astype(float).notna().all()


@pytest.mark.parametrize("words", [("Yes", "NO"), ("T", "F"), ("1", "0"), ("true", "false")])
def test_bits_are_filled_in_the_users_words(words, tmp_path):
    cells = [("" if i % 5 == 0 else words[i % 2]) for i in range(ROWS)]
    rows = "\n".join(f"p{i},{cell},{i / 7}" for i, cell in enumerate(cells))
    (tmp_path / "x.csv").write_text(f"id,bit,a\n{rows}\n")
    text = 'file = "x.csv"\nindex = "id"\n[modalities.a]\ncolumns = "a"\n'
    run = declared(tmp_path, text + '[modalities.bit]\ncolumns = "bit"\nkind = "binary"\n')
    assert runs.impute(run, tmp_path / "filled.csv", **FAST) == 4
    found = list(read(tmp_path / "filled.csv")["bit"])
    assert set(found) <= set(words)
    assert all(new == old for new, old in zip(found, cells, strict=True) if old)


def test_covariates_of_draws_are_chosen_in_the_users_words(tmp_path):
    rows = "\n".join(f"p{i},{i / 7},{'kl'[i % 2]},{20 + i}" for i in range(ROWS))
    (tmp_path / "x.csv").write_text(f"id,a,site,age\n{rows}\n")
    text = 'covariates = {site = "category", age = "real"}\nfile = "x.csv"\nindex = "id"\n'
    run = declared(tmp_path, text + '[modalities.a]\ncolumns = "a"\nkind = "real"\n')

    def drawn(given=(), **covariates):
        options = {"num_samples": 2, "rows": 3, "covariates": covariates}
        return runs.generate(run, ["a"], given, tmp_path / "x.png", **options)["a"]

    own = run.dataset.test[:3]
    assert not torch.equal(drawn(site="k"), drawn(site="l"))
    assert torch.equal(drawn(site="k", age="30"), drawn(age="30", site="k"))
    assert drawn(["a"], site="l").shape == (2, 3, 1)
    named = {"k": 0, "l": 1}
    with torch.no_grad():
        first = run.system.model.decoders["a"]
        z = torch.zeros(3, 2)
        for word, number in named.items():
            site = run.dataset.provenance.covariates["site"].value(word)
            assert site.item() == number
        read_ = {"site": own.covariates["site"], "age": own.covariates["age"]}
        assert first(z, covariates=read_)[0].shape == (3, 1)
    for given, message in (
        ({"sit": "k"}, r"unknown covariate 'sit'; known: site, age. Did you mean 'site'"),
        ({"site": "m"}, r"unknown class of covariate 'site' 'm'; known: k, l"),
        ({"age": "old"}, r"covariate 'age': expected a number, got 'old'"),
    ):
        with pytest.raises(ValueError, match=message):
            drawn(**given)


def pictures(folder: Path, modes: str = "L") -> None:
    (folder / "pictures").mkdir()
    generator = np.random.default_rng(0)
    for i in range(0, ROWS, 2):
        pixels = generator.integers(0, 256, (4, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).convert(modes).save(folder / "pictures" / f"p{i}.png")


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_images_that_rows_lack_are_files_named_by_the_index(mode, tmp_path):
    pictures(tmp_path, mode)
    rows = "\n".join(f"p{i},{i / 7}" for i in range(ROWS))
    (tmp_path / "x.csv").write_text(f"id,a\n{rows}\n")
    run = declared(
        tmp_path,
        '[modalities.a]\nfile = "x.csv"\nindex = "id"\nkind = "real"\n'
        '[modalities.picture]\nfile = "pictures"\n',
    )
    assert runs.impute(run, tmp_path / "filled.csv", **FAST) == ROWS // 2
    files = sorted((tmp_path / "filled_picture").iterdir())
    assert {file.stem for file in files} == {f"p{i}" for i in range(1, ROWS, 2)}
    for file in files:
        with Image.open(file) as image:
            assert (image.mode, image.size) == (mode, (6, 4))
    assert list(read(tmp_path / "filled.csv").columns) == ["id", "a"]


def test_no_folder_is_made_where_no_image_is_missing(tmp_path):
    pictures(tmp_path)
    run = declared(tmp_path, 'split = {validation = 0}\n[modalities.picture]\nfile = "pictures"\n')
    assert runs.impute(run, tmp_path / "filled.csv", **FAST) == 0
    assert not (tmp_path / "filled_picture").exists()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_come_back_from_their_files_as_they_were(channels, tmp_path):
    bytes_ = torch.randint(256, (2, channels, 3, 5), generator=torch.Generator().manual_seed(0))
    observed = torch.zeros(2, channels, 3, 5, dtype=torch.bool)
    observed[0] = True  # a whole image, which stays the user's own
    observed[1, 0, 0] = True
    made = write_images([(["a", "b/c"], bytes_ / 255, observed)], tmp_path / "out")
    assert made == 1
    (file,) = (tmp_path / "out").iterdir()
    assert file.name == "b_c.png"
    with Image.open(file) as image:
        pixels = np.asarray(image).reshape(3, 5, channels)
    np.testing.assert_array_equal(pixels.transpose(2, 0, 1), bytes_[1].numpy())


def test_pixels_beyond_black_and_white_are_cut(tmp_path):
    image = torch.tensor([[[[-0.5, 0.5, 1.5]]]])
    write_images([(["a"], image, torch.zeros_like(image).bool())], tmp_path)
    with Image.open(tmp_path / "a.png") as file:
        assert np.asarray(file).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize(
    ("labels", "channels", "message"),
    [
        (["a/b", "a:b"], 1, r"out: rows 'a/b' and 'a:b' would have one file, a_b.png; rename"),
        (["a", "b"], 5, r"out: expected images of 1 to 4 channels, got 5"),
    ],
    ids=["one name", "channels"],
)
def test_images_that_cannot_be_files_are_told_and_none_is_written(
    labels, channels, message, tmp_path
):
    images = torch.zeros(2, channels, 2, 2)
    parts = [([label], images[:1], images[:1].bool()) for label in labels]
    with pytest.raises(ValueError, match=message):
        write_images(parts, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_where_images_go():
    assert image_folder(Path("a/b.csv"), "scan") == Path("a/b_scan")
    assert image_folder(Path("a/b"), "scan") == Path("a/b_scan")


def test_tables_side_by_side():
    cells = {"a": 1, "b": 2}
    assert _beside(cells, {}, {}) == cells
    found = _beside(cells, {"a": 0}, {"a": 3})
    assert list(found.items()) == [("a", 1), ("a low", 0), ("a high", 3), ("b", 2)]
    tables = {"x": {"a": 1, "b": 2}, "y": {"a": 3, "c": 4}}
    assert _together(tables, ["c"]) == {"x.a": 1, "b": 2, "y.a": 3, "y.c": 4}
    assert _together({"x": {"a": 1}}, []) == {"a": 1}
