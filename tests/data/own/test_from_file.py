"""One data set, declared in files or in memory: rows, splits, units, and where it lies."""

import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch

from ppl_mm import Observations, data, systems
from ppl_mm.data import DataSet
from ppl_mm.data.running import defaults_of

NUMBER = 40
KEYS = {
    "clinical": {"columns": ["age", "bmi", "bp_*"], "kind": "real"},
    "diagnosis": {"columns": ["diagnosis"], "kind": "category"},
}


@pytest.fixture
def frame() -> pandas.DataFrame:
    generator = np.random.default_rng(0)
    return pandas.DataFrame(
        {
            "patient": [f"p{i}" for i in range(NUMBER)],
            "age": generator.integers(20, 80, NUMBER),
            "bmi": generator.normal(25, 4, NUMBER).round(2),
            "bp_high": generator.normal(130, 10, NUMBER).round(),
            "bp_low": generator.normal(80, 8, NUMBER).round(),
            "diagnosis": [("ill", "well")[i % 2] for i in range(NUMBER)],
        }
    )


def declare(folder: Path, files: dict[str, str], text: str = "") -> Path:
    """Write the declaration of the frame, whose modalities lie in these files."""
    lines = ['name = "cohort"', 'label = "diagnosis"']
    lines.append(text or "split = {validation = 0.1, test = 0.2, seed = 0}")
    for name, table in KEYS.items():
        lines += [f"[modalities.{name}]", f'file = "{files[name]}"', 'index = "patient"']
        lines += [f"columns = {table['columns']}", f'kind = "{table["kind"]}"']
    path = folder / "cohort.toml"
    path.write_text("\n".join(lines).replace("'", '"'))
    return path


def values(dataset: DataSet) -> dict[str, dict[str, tuple]]:
    """Split -> label -> everything that the row holds."""
    assert dataset.provenance is not None
    found = {}
    for split, labels in dataset.provenance.rows.items():
        obs = getattr(dataset, split)
        found[split] = {
            label: tuple(
                (tuple(obs[n][i].reshape(-1).tolist()), bool(obs.present[n][i])) for n in obs.names
            )
            for i, label in enumerate(labels)
        }
    return found


def test_a_file_and_a_frame_are_the_same_data_set(frame, tmp_path):
    frame.to_csv(tmp_path / "cohort.csv", index=False)
    of_file = data.from_file(declare(tmp_path, dict.fromkeys(KEYS, "cohort.csv")))
    of_frame = data.from_frame(frame, KEYS, label="diagnosis", index="patient", name="cohort")
    assert values(of_file) == values(of_frame)
    for name in ("name", "label", "num_classes", "latent_dim"):
        assert getattr(of_file, name) == getattr(of_frame, name)
    for ours, theirs in zip(of_file.modalities, of_frame.modalities, strict=True):
        assert (ours.name, ours.likelihood) == (theirs.name, theirs.likelihood)
        assert str(ours.encoder.keywords) == str(theirs.encoder.keywords)
    labelled = frame.set_index("patient")
    assert values(data.from_frame(labelled, KEYS, label="diagnosis")) == values(of_file)


def test_values_are_those_of_the_file_in_its_own_order(frame, tmp_path):
    frame.to_csv(tmp_path / "cohort.csv", index=False)
    dataset = data.from_file(declare(tmp_path, dict.fromkeys(KEYS, "cohort.csv")))
    rows = [int(label[1:]) for label in dataset.provenance.rows["train"]]
    assert rows == sorted(rows)
    chosen = frame.iloc[rows]
    expected = chosen[["age", "bmi", "bp_high", "bp_low"]].to_numpy(float)
    assert np.array_equal(dataset.train["clinical"].numpy(), expected)
    levels = dataset.provenance.columns["diagnosis"].levels
    assert [levels[i] for i in dataset.train["diagnosis"]] == chosen["diagnosis"].tolist()
    assert dataset.provenance.columns["clinical"].names == ("age", "bmi", "bp_high", "bp_low")


def test_rows_of_several_files_are_matched_and_split_by_their_labels(frame, tmp_path):
    frame.to_csv(tmp_path / "cohort.csv", index=False)
    one = data.from_file(declare(tmp_path, dict.fromkeys(KEYS, "cohort.csv")))
    frame.sample(frac=1, random_state=1).to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    frame.sample(frac=1, random_state=2).to_csv(tmp_path / "b.csv.gz", index=False)
    several = data.from_file(declare(tmp_path, {"clinical": "a.tsv", "diagnosis": "b.csv.gz"}))
    assert values(several) == values(one)


def test_rows_that_a_file_lacks_are_missing(frame, tmp_path):
    frame.iloc[5:].to_csv(tmp_path / "a.csv", index=False)
    frame.iloc[:-3].to_csv(tmp_path / "b.csv", index=False)
    dataset = data.from_file(declare(tmp_path, {"clinical": "a.csv", "diagnosis": "b.csv"}))
    held = {label: row for split in values(dataset).values() for label, row in split.items()}
    assert len(held) == NUMBER
    for i in range(NUMBER):
        clinical, diagnosis = held[f"p{i}"]
        assert clinical[1] == (i >= 5)
        assert diagnosis[1] == (i < NUMBER - 3)
        assert clinical[1] or not any(clinical[0])


def test_a_class_may_be_called_none_and_a_number_is_missing_then(frame, tmp_path):
    frame["diagnosis"] = [("none", "ill")[i % 2] for i in range(NUMBER)]
    frame["age"] = ["none" if i == 3 else str(age) for i, age in enumerate(frame["age"])]
    frame.to_csv(tmp_path / "all.csv", index=False)
    dataset = data.from_file(declare(tmp_path, dict.fromkeys(KEYS, "all.csv")))
    parts = [dataset.train, dataset.validation, dataset.test]
    assert all(bool(part.present["diagnosis"].all()) for part in parts)
    assert dataset.provenance.columns["diagnosis"].levels == ("ill", "none")
    held = torch.cat([part.observed("clinical") for part in parts])
    assert held.shape == (NUMBER, 4)
    assert int((~held).sum()) == 1


def test_an_empty_cell_of_a_category_is_missing(frame, tmp_path):
    frame.loc[3, "diagnosis"] = None
    frame.to_csv(tmp_path / "cohort.csv", index=False)
    dataset = data.from_file(declare(tmp_path, dict.fromkeys(KEYS, "cohort.csv")))
    held = {label: row for split in values(dataset).values() for label, row in split.items()}
    assert [label for label, row in held.items() if not row[1][1]] == ["p3"]


def test_a_column_says_the_split(frame, tmp_path):
    frame["part"] = ["train", "validation", "test", "train"] * 10
    frame.to_csv(tmp_path / "cohort.csv", index=False)
    path = declare(tmp_path, dict.fromkeys(KEYS, "cohort.csv"), 'split = {column = "part"}')
    dataset = data.from_file(path)
    assert dataset.provenance.rows["test"] == tuple(f"p{i}" for i in range(2, NUMBER, 4))
    assert (len(dataset.train), len(dataset.validation)) == (20, 10)


def test_a_declaration_moves_with_its_files(frame, tmp_path):
    (tmp_path / "old").mkdir()
    frame.to_csv(tmp_path / "old" / "cohort.csv", index=False)
    before = data.from_file(declare(tmp_path / "old", dict.fromkeys(KEYS, "cohort.csv")))
    shutil.move(tmp_path / "old", tmp_path / "new")
    path = tmp_path / "new" / "cohort.toml"
    after = data.from_file(path, fingerprint=before.provenance.fingerprint)
    assert values(after) == values(before)
    assert data.load(str(path)).provenance == after.provenance
    assert data.load("old/cohort.toml", tmp_path / "new").provenance == after.provenance


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda text: text + "# a comment\n", True),
        (lambda text: text.replace("seed = 0", "seed = 1"), False),
        (None, False),
    ],
)
def test_the_fingerprint_is_of_the_declaration_and_its_files(frame, tmp_path, change, same):
    frame.to_csv(tmp_path / "cohort.csv", index=False)
    path = declare(tmp_path, dict.fromkeys(KEYS, "cohort.csv"))
    before = data.from_file(path).provenance.fingerprint
    if change is None:
        frame.to_csv(tmp_path / "cohort.csv", index=False, lineterminator="\r\n")
    else:
        path.write_text(change(path.read_text()))
    assert (data.from_file(path).provenance.fingerprint == before) == same
    if not same:
        with pytest.raises(ValueError, match="have changed since"):
            data.from_file(path, fingerprint=before)


def test_what_is_declared_comes_before_what_is_chosen(frame):
    keys = {
        "clinical": {
            "columns": ["age", "bmi"],
            "likelihood": {"name": "Laplace", "scale": None},
            "hidden": [7],
            "weight": 2.0,
        },
        "diagnosis": ["diagnosis"],
    }
    dataset = data.from_frame(frame, keys, latent_dim=3, hidden=[9, 9], quiet=True)
    clinical, diagnosis = dataset.modalities
    assert str(clinical.likelihood) == "Laplace(scale=None)"
    assert clinical.encoder(3).features.hidden[0].out_features == 7
    assert diagnosis.decoder(3).hidden[0].out_features == 9
    assert (clinical.weight, dataset.latent_dim) == (2.0, 3)


def test_columns_that_are_not_named_are_those_that_nothing_else_names(frame):
    keys = {"rest": {"kind": "real"}, "sort": ["diag*"], "bp": {"columns": "bp_*", "kind": "real"}}
    dataset = data.from_frame(frame, keys, index="patient", quiet=True)
    columns = dataset.provenance.columns
    assert columns["rest"].names == ("age", "bmi")
    assert columns["bp"].names == ("bp_high", "bp_low")


def test_systems_take_the_modalities_as_they_are(frame):
    dataset = data.from_frame(frame, KEYS, label="diagnosis")
    for name in ("mvae", "mopoe", "mmvae_plus"):
        system = systems.build(name, dataset.modalities, 2)
        loss = system(dataset.train)
        loss.backward()
        assert loss.isfinite()


def test_an_empty_cell_is_a_missing_element(frame):
    whole = data.from_frame(frame, KEYS, quiet=True)
    frame.loc[7, "bmi"] = np.nan
    dataset = data.from_frame(frame, KEYS, quiet=True)
    places = dataset.provenance.places
    split = next(s for s in places if 7 in places[s])
    row, part = places[split].index(7), getattr(dataset, split)
    column = dataset.provenance.columns["clinical"].names.index("bmi")
    assert part.present["clinical"].all()
    missing = (~part.elements["clinical"]).nonzero().tolist()
    assert missing == [[row, column]]
    same = part.elements["clinical"]
    assert torch.equal(part["clinical"][same], getattr(whole, split)["clinical"][same])
    system = systems.mvae(dataset.modalities, 2)
    assert system(dataset.train).isfinite()
    encoder = system.guide.encoders["clinical"]
    x, held = part["clinical"][row : row + 1], same[row : row + 1]
    far = x.masked_fill(~held, 1e6)  # whatever a missing element holds
    assert torch.equal(encoder(x, held)[0], encoder(far, held)[0])
    assert str(dataset.describe())


def test_a_row_without_any_number_is_missing(frame):
    frame.loc[7, ["bmi", "age", "bp_high", "bp_low"]] = np.nan
    dataset = data.from_frame(frame, KEYS, quiet=True)
    held = sum(
        int(part.present["clinical"].sum())
        for part in (dataset.train, dataset.validation, dataset.test)
    )
    assert held == NUMBER - 1


def test_classes_of_numbers_read_the_same_from_files_and_frames(frame, tmp_path):
    frame["diagnosis"] = [1.0, 2.0] * (NUMBER // 2)
    frame.loc[3, "diagnosis"] = None  # so pandas writes 1.0 and 2.0
    frame.to_csv(tmp_path / "cohort.csv", index=False)
    assert "2.0" in (tmp_path / "cohort.csv").read_text()
    of_file = data.from_file(declare(tmp_path, dict.fromkeys(KEYS, "cohort.csv")))
    of_frame = data.from_frame(frame, KEYS, label="diagnosis", index="patient")
    assert of_file.provenance.columns["diagnosis"].levels == ("1", "2")
    assert values(of_file) == values(of_frame)


def test_times_are_no_numbers(frame):
    frame["age"] = pandas.Timestamp("2020-01-01")
    with pytest.raises(ValueError, match=r"row 0, column 'age': expected a number, got '2020-01-"):
        data.from_frame(frame, KEYS)


def test_runs_of_a_data_set_have_options_by_its_size(frame):
    small = defaults_of(data.from_frame(frame, KEYS, label="diagnosis"))
    assert (small.epochs, small.batch_size, small.rows) == (300, 32, None)
    large = pandas.DataFrame({"x": np.arange(10_000.0)})
    options = defaults_of(data.from_frame(large, {"x": {"columns": "x", "kind": "real"}}))
    assert (options.epochs, options.batch_size, options.rows) == (73, 128, 500)


def test_guesses_are_printed_and_said(frame, capsys):
    data.from_frame(frame, {"clinical": ["bmi"], "diagnosis": {"columns": "diagnosis"}})
    assert capsys.readouterr().out.splitlines() == [
        'clinical: kind = "real" is guessed',
        'diagnosis: kind = "category" is guessed (2 levels)',
    ]


def test_the_whole_is_plain_observations_in_the_default_dtype(frame):
    dataset = data.from_frame(frame, KEYS, quiet=True)
    assert type(dataset.train) is Observations
    assert dataset.train["clinical"].dtype is torch.float64
    assert dataset.train["diagnosis"].dtype is torch.int64
