"""Columns that networks read and no model scores, declared in a file or for a frame."""

import re
from pathlib import Path

import anndata
import numpy as np
import pandas
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from ppl_mm import Observations, data, fit, generate, impute, log_likelihood, networks, systems
from ppl_mm.data import MemoryMapped
from ppl_mm.data.own.declaration import parse
from ppl_mm.data.provenance import Covariate
from ppl_mm.networks.recipe import describe
from ppl_mm.systems import System

ROWS = 40
KEYS = {
    "x": {"columns": ["a", "b"], "kind": "real"},
    "few": {"columns": "few", "kind": "counts"},
    "bits": {"columns": "bits", "kind": "binary"},
    "sort": {"columns": "sort", "kind": "category"},
}
TOML = """
split = {validation = 0.1, test = 0.2}
file = "x.csv"
hidden = [8]
index = "id"
covariates = {"site id" = "category", age = "real"}
[modalities.x]
columns = ["a", "b"]
kind = "real"
[modalities.few]
columns = "few"
kind = "counts"
[modalities.bits]
columns = "bits"
kind = "binary"
[modalities.sort]
columns = "sort"
kind = "category"
"""


@pytest.fixture
def frame() -> pandas.DataFrame:
    generator = np.random.default_rng(0)
    return pandas.DataFrame(
        {
            "id": [f"p{i}" for i in range(ROWS)],
            "a": generator.normal(size=ROWS),
            "b": generator.normal(size=ROWS),
            "few": generator.poisson(3.0, ROWS),
            "bits": np.arange(ROWS) % 2,
            "sort": ["u", "v"] * (ROWS // 2),
            "site id": [f"site {i % 3}" for i in range(ROWS)],
            "age": generator.normal(50, 10, ROWS).round(1),
        }
    )


def read(frame, covariates, keys=KEYS):
    options = {"covariates": covariates, "hidden": [8], "latent_dim": 2, "quiet": True}
    return data.from_frame(frame, keys, index="id", **options)


@pytest.fixture
def dataset(frame):
    return read(frame, {"site id": "category", "age": "real"})


def parts(dataset):
    return {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}


def test_classes_are_numbered_and_numbers_standardised_by_the_training_rows(frame, dataset):
    rows = frame.set_index("id")
    own = rows.loc[[*dataset.provenance.rows["train"]], "age"]
    for split, obs in parts(dataset).items():
        theirs = rows.loc[[*dataset.provenance.rows[split]]]
        site = [int(cell[-1]) for cell in theirs["site id"]]
        assert obs.covariates["site_id"].tolist() == site
        expected = (theirs["age"] - own.mean()) / own.std(ddof=0)
        np.testing.assert_allclose(obs.covariates["age"][:, 0], expected, rtol=1e-6)
    assert dataset.train.covariates["age"].mean().abs() < 1e-12


def test_a_file_gives_what_a_frame_gives(frame, dataset, tmp_path):
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "x.csv", index=False)
    (tmp_path / "own.toml").write_text(TOML)
    other = data.from_file(tmp_path / "own.toml", quiet=True)
    ours, theirs = dataset.provenance.covariates, other.provenance.covariates
    assert theirs["site_id"] == ours["site_id"]
    assert theirs["age"].centre == pytest.approx(ours["age"].centre)
    assert theirs["age"].spread == pytest.approx(ours["age"].spread)
    for split, obs in parts(dataset).items():
        order = [other.provenance.rows[split].index(r) for r in dataset.provenance.rows[split]]
        for name, x in parts(other)[split].covariates.items():
            torch.testing.assert_close(x[order], obs.covariates[name])


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["k", "l"] * 20, 2),
        ([1, 2, 3, 4] * 10, 4),
        ([True, False] * 20, 2),
        ([0, 1] * 20, 2),
        (list(range(40)), 0),
        ([x / 7 for x in range(40)], 0),
        ([0, 0, 0, 30] * 10, 0),
    ],
    ids=["words", "few numbers", "booleans", "bits", "many numbers", "fractions", "counts"],
)
def test_kinds_are_guessed(frame, cells, classes):
    found = read(frame.assign(site=cells), ["site"]).provenance.covariates["site"]
    assert len(found.levels) == classes


def test_a_kind_that_is_said_is_not_guessed(frame):
    frame = frame.assign(batch=[1, 2, 3, 4] * 10)
    assert read(frame, {"batch": "real"}).provenance.covariates["batch"].levels == ()
    assert read(frame, {"batch": "category"}).provenance.covariates["batch"].levels == tuple("1234")


def test_dense_encoders_and_decoders_read_them(dataset):
    expected = {"site_id": 3, "age": 1}
    for modality in dataset.modalities:
        assert describe(modality.decoder)["options"]["covariates"] == expected
        encoder = describe(modality.encoder)["options"]
        assert encoder.get("covariates") == (None if modality.name == "sort" else expected)


def test_counts_of_cells_read_their_batch():
    generator = np.random.default_rng(0)
    labels = pandas.Index([f"c{i}" for i in range(ROWS)], dtype=object)
    batch = pandas.Series(["b1", "b2"] * (ROWS // 2), index=labels, dtype=object)
    cells = anndata.AnnData(
        generator.poisson(1.0, (ROWS, 60)).astype(np.float32), pandas.DataFrame({"batch": batch})
    )
    dataset = data.from_frame(cells, {"rna": {}}, covariates=["batch"], quiet=True)
    encoder, decoder = dataset.modalities[0].encoder(2), dataset.modalities[0].decoder(2)
    assert isinstance(encoder, networks.CountsEncoder)
    assert encoder.features.reads_covariates == decoder.reads_covariates == {"batch": 2}
    assert systems.vae(dataset.modalities, 2)(dataset.train).isfinite()


def test_columns_of_covariates_belong_to_no_modality(frame):
    keys = {"x": {"kind": "real"}, **{n: KEYS[n] for n in ("few", "bits", "sort")}}
    dataset = read(frame, ["age", "site id"], keys)
    assert dataset.provenance.columns["x"].names == ("a", "b")


def test_the_fingerprint_is_of_the_covariates_too(frame, tmp_path):
    frame.to_csv(tmp_path / "x.csv", index=False)
    found = set()
    for text in (
        TOML,
        TOML.replace('"site id" = "category", ', ""),
        TOML.replace("age =", "a ="),
    ):
        (tmp_path / "own.toml").write_text(text)
        found.add(data.from_file(tmp_path / "own.toml", quiet=True).provenance.fingerprint)
    assert len(found) == 3


WRONG = {
    "an unknown column": (["sit"], r"frame, covariates: no column 'sit' in the frame"),
    "an unknown kind": (
        {"age": "counts"},
        r"frame, covariates: unknown age 'counts'; known: category, real",
    ),
    "a column of a modality's name": (["x"], r"covariates: 'x' has the name of a modality"),
    "one name twice": (["site id", "site-id"], r"'site-id' has the name of another covariate"),
    "an empty cell": (["empty"], r"row 3, column 'empty': is empty, .* write 'unknown'"),
    "a class of a held-out row": (
        {"own": "category"},
        r"row \d+, column 'own': expected a class that some training row has, got 'p\d+'",
    ),
    "words for a number": ({"site id": "real"}, r"row 0, column 'site id': expected a number"),
    "an infinite number": (["infinite"], r"row 4, column 'infinite': expected a number, got 'inf'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_covariate_is_told_with_its_place(frame, what):
    given, message = WRONG[what]
    infinite = np.linspace(0, 1, ROWS)
    infinite[4] = np.inf
    empty = ["k", "l"] * (ROWS // 2)
    empty[3] = ""
    frame = frame.assign(x=1.0, own=frame["id"], empty=empty, infinite=infinite)
    frame["site-id"] = frame["site id"]
    with pytest.raises(ValueError, match=message) as caught:
        read(frame, given)
    assert "\n" not in str(caught.value)


def test_a_file_that_lacks_a_row_is_named(frame, tmp_path):
    frame[["id", "bits"]][1:].assign(w=1.0).to_csv(tmp_path / "w.csv", index=False)
    keys = {"x": KEYS["x"], "w": {"file": str(tmp_path / "w.csv"), "columns": "w", "kind": "real"}}
    with pytest.raises(ValueError, match=r"w.csv: has no row 'p0', so column 'bits', which cov"):
        read(frame.drop(columns="bits"), ["bits"], keys)


def test_a_declarations_covariates_are_columns_with_or_without_kinds():
    def parsed(given):
        content = {"covariates": given, "modalities": {"x": {"file": "x.csv"}}}
        return dict(parse(content, "own.toml", Path()).covariates)

    assert parsed(["a", "b"]) == {"a": None, "b": None}
    assert parsed("a") == {"a": None}
    assert parsed([]) == parsed({}) == {}
    assert parsed({"a": "real"}) == {"a": "real"}
    with pytest.raises(ValueError, match=r"own.toml, covariates: expected text or a list of it"):
        parsed(3)


def test_a_cell_is_read_as_networks_see_it():
    site, age = Covariate("site id", ("k", "l")), Covariate("age", (), 50.0, 10.0)
    assert site.value("l").item() == 1
    assert age.value("65").tolist() == [1.5]
    with pytest.raises(ValueError, match=r"unknown class of covariate 'site id' 'm'; known: k, l"):
        site.value("m")
    for cell in ("old", "", None, "nan", "inf"):
        with pytest.raises(ValueError, match=r"covariate 'age': expected a number, got"):
            age.value(cell)


def test_a_constant_number_has_a_spread_of_one(frame):
    found = read(frame.assign(age=5.0), {"age": "real"})
    assert found.provenance.covariates["age"].spread == 1.0
    assert not found.train.covariates["age"].any()


def test_stored_images_carry_covariates(frame, tmp_path, monkeypatch):
    monkeypatch.setattr("ppl_mm.data.own.images._KEPT_BYTES", 0)
    (tmp_path / "pictures").mkdir()
    for i in range(ROWS):
        Image.fromarray(np.full((4, 4), i, dtype=np.uint8)).save(
            tmp_path / "pictures" / f"p{i}.png"
        )
    keys = {"picture": {"file": str(tmp_path / "pictures")}, "x": KEYS["x"]}
    dataset = read(frame, ["site id"], keys)
    assert isinstance(dataset.train, MemoryMapped)
    numbers = [int(label[1:]) % 3 for label in dataset.provenance.rows["test"]]
    assert dataset.test.covariates["site_id"].tolist() == numbers
    assert dataset.test[1:3].covariates["site_id"].tolist() == numbers[1:3]
    assert dataset.test.in_memory().covariates["site_id"].tolist() == numbers


def test_the_description_names_them(dataset):
    assert dataset.describe().covariates == ("site id (3 classes)", "age (a number)")
    assert "networks read: site id (3 classes); age (a number)" in str(dataset.describe())
    assert data.digits().describe().covariates == ()


@pytest.mark.parametrize("kind", ["features", "decoder", "rates"])
def test_networks_of_tables_read_covariates_beside_their_input(kind):
    torch.manual_seed(0)
    options = {"hidden": (4,), "covariates": {"site": 3, "age": 1}}
    units = {"centre": (1.0, 2.0), "spread": (2.0, 3.0)}
    made = {
        "features": lambda: networks.TableFeatures(**units, **options),
        "decoder": lambda: networks.TableDecoder(2, **units, learned_scale=False, **options),
        "rates": lambda: networks.RatesDecoder(2, log_mean=(0.5, 1.0), dispersion=False, **options),
    }
    network = made[kind]()
    x, site, age = torch.randn(5, 2), torch.tensor([0, 2, 1, 1, 0]), torch.randn(5, 1)
    found = network(x, covariates={"site": site, "age": age})
    rows = (x - network.centre) / network.spread if kind == "features" else x
    inner = network.hidden(torch.cat([rows, F.one_hot(site, 3).to(x), age], 1))
    if kind == "features":
        expected = inner
    elif kind == "decoder":
        expected = network.centre + network.spread * network.output(inner)
    else:
        expected = network.log_mean + network.output(inner)
    torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match="covariate 'site': the network reads it, and it is not"):
        network(x)


@pytest.mark.parametrize("name", ["mvae", "jmvae", "jmvae_zero", "meme", "mmvae_plus"])
def test_systems_train_ask_and_come_back_with_them(dataset, name, tmp_path):
    torch.manual_seed(0)
    options = {"num_pseudo_inputs": 5} if name == "meme" else {}
    system = systems.build(name, list(dataset.modalities), 2, **options)
    fit(system, dataset.train, epochs=1, batch_size=14, progress=False, step="eager")
    test = dataset.test.without("few")
    filled = impute(system, test, "few", num_draws=3, refine="none")
    assert filled.mean["few"].isfinite().all()
    found = log_likelihood(system, test, "x", "sort", 8, refine="none", seed=3).value
    moved = test.with_covariates({"site_id": (test.covariates["site_id"] + 1) % 3})
    assert not torch.equal(
        found, log_likelihood(system, moved, "x", "sort", 8, refine="none", seed=3).value
    )
    system.save(tmp_path / "own.safetensors")
    torch.manual_seed(1)
    again = System.load(tmp_path / "own.safetensors")
    torch.testing.assert_close(
        log_likelihood(again, test, "x", "sort", 8, refine="none", seed=3).value, found
    )


@pytest.mark.parametrize("name", ["cvae", "cmmd"])
def test_models_that_condition_on_a_modality_read_them(dataset, name):
    options = {"given": ["sort"]} if name == "cvae" else {"observed": ["x", "few", "bits"]}
    options |= {"label": "sort"} if name == "cmmd" else {}
    system = systems.build(name, list(dataset.modalities), 2, **options)
    fit(system, dataset.train, epochs=1, progress=False, step="eager")
    target = "x" if name == "cvae" else "sort"
    assert generate(system, dataset.test, target, 2)[target].shape[:2] == (2, len(dataset.test))


def test_draws_of_the_prior_have_covariates_of_rows(dataset):
    blank = Observations.blank(50, dataset.test)
    repeated = dataset.test.covariates["site_id"].repeat(50)[:50]
    assert torch.equal(blank.covariates["site_id"], repeated)
    assert blank.names == ()
    assert Observations.blank(2).covariates == {}
    system = systems.mvae(dataset.modalities, 2)
    drawn = generate(system, blank, ["x", "sort"], given=())
    assert drawn["x"].shape == (1, 50, 2)
    bare = Observations.blank(2)
    with pytest.raises(ValueError, match=re.escape("covariate 'site_id': TableDecoder reads it")):
        generate(system, bare, "x", given=())


def test_pseudo_inputs_keep_the_covariates_of_their_rows(dataset):
    torch.manual_seed(0)
    rows = dataset.train
    system = systems.meme(dataset.modalities, 2, num_pseudo_inputs=6, pseudo_inputs=rows)
    own = system.model.prior.inputs["x"]
    for value, site, age in zip(
        own.values, own.covariates["site_id"], own.covariates["age"], strict=True
    ):
        (i,) = (rows["x"] == value).all(1).nonzero()[:, 0].tolist()
        assert site.argmax().item() == rows.covariates["site_id"][i]
        assert site.sum() == 1
        torch.testing.assert_close(age, rows.covariates["age"][i])


def test_zeros_for_a_missing_modality_have_the_rows_covariates(dataset):
    torch.manual_seed(0)
    system = systems.jmvae_zero(dataset.modalities, 2)
    guide, alone = system.guide, dataset.test.only("sort")
    base = guide.posterior(alone).base_dist.loc
    moved = alone.with_covariates({"age": alone.covariates["age"] + 1})
    assert not torch.isclose(guide.posterior(moved).base_dist.loc, base).all(1).any()
    one = guide.posterior(alone[2:3]).base_dist.loc
    torch.testing.assert_close(one, base[2:3])
