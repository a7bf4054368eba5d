"""Options of runs on a user's own data, by the number of rows; names that runs record."""

from pathlib import Path

import pytest
import torch

from ppl_mm import Observations
from ppl_mm.data import Columns, DataSet, Defaults, Provenance, Vocabulary, digits
from ppl_mm.data.dataset import as_floats, split_labels, split_last
from ppl_mm.data.provenance import Covariate
from ppl_mm.data.running import defaults_of, reference, tiles_of
from ppl_mm.data.vocabulary import SPECIALS


def rows(number):
    return Observations({"x": torch.zeros(number, 1)})


def own(train, test=1, **more):
    """A data set of the user's own."""
    provenance = Provenance(more.pop("path", None), "", None, {}, **more.pop("columns", {}))
    return DataSet("own", rows(train), None, rows(test), (), 2, None, None, provenance=provenance,
                   **more)  # fmt: skip


@pytest.mark.parametrize(
    ("train", "batch_size", "epochs"),
    [
        *[(1, 32, 300), (255, 32, 300), (511, 32, 250), (512, 64, 300), (1023, 64, 250)],
        *[(1024, 128, 300), (5120, 128, 100), (25_600, 128, 20), (10**6, 128, 20)],
    ],
)
def test_a_run_takes_about_four_thousand_steps(train, batch_size, epochs):
    found = defaults_of(own(train))
    assert (found.batch_size, found.epochs) == (batch_size, epochs)
    steps = epochs * train / batch_size
    assert steps == pytest.approx(4000, rel=1e-2) or epochs in (20, 300)
    assert found.learning_rate == Defaults().learning_rate


@pytest.mark.parametrize(("test", "measured"), [(499, None), (500, None), (501, 500)])
def test_likelihoods_are_measured_on_at_most_five_hundred_rows(test, measured):
    assert defaults_of(own(8, test)).rows == measured


def test_the_librarys_own_data_sets_have_their_own_options_and_tiles():
    made = digits()
    assert defaults_of(made) == Defaults(epochs=200, learning_rate=2e-3, terms="all")
    assert tiles_of(made) == (("top", "bottom"),)
    assert tiles_of(own(3)) == ()


def test_terms_are_an_option_only_where_they_are_set():
    assert Defaults().options() == {
        "epochs": 100,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "rows": None,
    }
    assert Defaults(terms="all", annealing=0.5).options()["terms"] == "all"
    assert "annealing" not in Defaults(annealing=0.5).options()


def test_a_run_records_a_name_or_the_whole_path_of_a_declaration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert reference("digits") == "digits"
    assert reference("some/cohort.toml") == str(Path(tmp_path, "some/cohort.toml").resolve())
    assert own(2).reference == "own"
    assert own(2, path="/folder/cohort.toml").reference == "/folder/cohort.toml"
    assert digits().reference == "digits"


# ------------------------------------------------------------------ words of values


def test_values_are_read_in_words():
    columns = {
        "sort": Columns("category", ("sort",), ("ill", "well or so"), "t.csv", False),
        "signs": Columns("label set", ("signs",), ("a", "b", "c"), "t.csv", False),
        "age": Columns("real", ("age",), (), "t.csv", False),
    }
    vocabularies = {"text": Vocabulary((*SPECIALS, "one", "bird"))}
    words = own(2, columns={"columns": columns}, vocabularies=vocabularies).words()
    assert set(words) == {"sort", "signs", "text"}
    assert words["sort"](torch.tensor(1)) == "well or so"
    assert words["signs"](torch.tensor([1.0, 0.0, 1.0])) == "a, c"
    assert words["signs"](torch.tensor([0.2, 0.5, 0.0])) == "none"  # probabilities up to a half
    assert words["text"](torch.tensor([3, 4, 2, 4])) == "one bird"
    assert digits().words() == {}


def test_guessed_kinds_are_told():
    columns = {
        "sort": Columns("category", ("sort",), ("ill", "well"), "t.csv", True),
        "age": Columns("real", ("age",), (), "t.csv", True),
        "said": Columns("real", ("said",), (), "t.csv", False),
    }
    found = Provenance(None, "", None, {}, columns).guesses()
    assert found == ['sort: kind = "category" is guessed (2 levels)',
                     'age: kind = "real" is guessed']  # fmt: skip


def test_a_covariate_reads_a_cell_as_networks_do():
    age = Covariate("age", (), centre=50.0, spread=10.0)
    assert torch.equal(age.value("65"), torch.tensor([1.5]))
    sites = Covariate("site", ("a", "b c"))
    assert sites.value("b c").item() == 1
    with pytest.raises(ValueError, match="unknown class of covariate 'site' 'd'"):
        sites.value("d")
    for cell in (None, "", "old", "nan", "inf"):
        with pytest.raises(ValueError, match="covariate 'age': expected a number, got"):
            age.value(cell)


# ------------------------------------------------------------------ splits and labels


def test_the_last_rows_are_split_off_without_a_copy():
    obs = Observations({"x": torch.arange(5.0)[:, None]})
    train, held_out = split_last("d", obs, 2)
    assert train["x"][:, 0].tolist() == [0, 1, 2]
    assert held_out["x"][:, 0].tolist() == [3, 4]
    assert held_out["x"].data_ptr() == obs["x"][3:].data_ptr()
    assert split_last("d", obs, 0) == (obs, None)
    assert len(split_last("d", obs, 4)[0]) == 1
    for wrong in (-1, 5):
        with pytest.raises(
            ValueError, match=f"d: expected validation .* 0 to 4 of the 5 rows, got {wrong}"
        ):
            split_last("d", obs, wrong)


def test_labels_of_validation_rows_are_the_last_ones():
    train, test = torch.arange(5), torch.arange(2)
    found = split_labels(train, test, 3)
    assert {n: x.tolist() for n, x in found.items()} == {
        "train": [0, 1, 2],
        "validation": [3, 4],
        "test": [0, 1],
    }
    assert set(split_labels(train, test, 5)) == {"train", "test"}


def test_bytes_become_shares_of_the_default_dtype():
    found = as_floats(torch.tensor([0, 51, 255], dtype=torch.uint8))
    assert found.tolist() == [0.0, 0.2, 1.0]
    assert found.dtype == torch.float64
    torch.set_default_dtype(torch.float32)
    assert as_floats(torch.tensor([255], dtype=torch.uint8)).dtype == torch.float32


def test_labels_are_integers():
    with pytest.raises(ValueError, match=r"labels of train as integers, .*x.nan_to_num\(-1\).long"):
        own(2, labels={"train": torch.tensor([0.0, 1.0])})


def test_one_hot_labels_are_classes_and_leave_the_modalities():
    made = digits()
    one_hot = torch.eye(10)[made.train["label"]]
    held = torch.arange(len(one_hot)) > 0
    train = Observations(made.train.values | {"label": one_hot}, {"label": held})
    data = DataSet("d", train, None, made.test, made.modalities, 2, "label", 10)
    expected = made.train["label"].masked_fill(~held, -1)
    assert torch.equal(data.classes("train"), expected)
    without = data.without_label()
    assert [m.name for m in without.modalities] == ["top", "bottom"]
    assert without.train.names == without.test.names == ("top", "bottom")
    assert set(without.labels) == {"train", "test"}
    assert torch.equal(without.classes("train"), expected)
    assert without.without_label() is without
