"""What a run is asked for: draws, their files, and the table of likelihoods."""

import csv

import numpy as np
import pandas
import pytest
import torch

from ppl_mm import data, log_likelihood, runs, systems
from ppl_mm.evaluation import UnreliableLikelihoodWarning
from ppl_mm.measures import generation


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    digits = data.digits()
    torch.manual_seed(0)
    system = systems.mvae(digits.modalities, 2)
    config = runs.configure("mvae", digits, num_samples=30, rows=4)
    return runs.Run(tmp_path_factory.mktemp("run"), config, digits, system)


@pytest.fixture
def unpainted(monkeypatch):
    """Pictures are tested elsewhere; what they are asked to show is kept."""
    seen = {}
    monkeypatch.setattr(
        "ppl_mm.plotting.samples",
        lambda system, obs, drawn, given, **options: seen.update(
            obs=obs, drawn=drawn, given=given, **options
        ),
    )
    monkeypatch.setattr("ppl_mm.plotting.save", lambda figure, path: seen.update(path=path))
    return seen


def test_draws_given_something_are_of_one_row_of_each_class(made, unpainted, tmp_path):
    drawn = runs.generate(made, ["top"], ["label"], tmp_path / "a.png", num_samples=2, seed=3)
    assert drawn["top"].shape == (2, 10, 4, 8)
    assert unpainted["obs"]["label"].tolist() == list(range(10))
    assert unpainted["given"] == ["label"]
    assert unpainted["path"] == tmp_path / "a.png"
    assert len(unpainted["like"]) == len(made.dataset.test)
    again = runs.generate(made, ["top"], ["label"], tmp_path / "a.png", num_samples=2, seed=3)
    other = runs.generate(made, ["top"], ["label"], tmp_path / "a.png", num_samples=2, seed=4)
    assert torch.equal(drawn["top"], again["top"])
    assert not torch.equal(drawn["top"], other["top"])
    expected = generation.generate(
        made.system, unpainted["obs"], ["top"], 2, given=["label"], mean=True, seed=3
    )
    assert torch.equal(drawn["top"], expected["top"])


def test_draws_from_the_prior_are_of_rows_that_hold_nothing(made, unpainted, tmp_path):
    drawn = runs.generate(made, ["top", "label"], [], tmp_path / "a.png")
    assert {name: x.shape for name, x in drawn.items()} == {"top": (6, 8, 4, 8), "label": (6, 8)}
    assert not any(bool(held.any()) for held in unpainted["obs"].present.values())
    assert runs.generate(made, ["top"], [], tmp_path / "a.png", rows=3)["top"].shape[1] == 3
    with pytest.raises(ValueError, match="rows: expected an integer of at least 1 or None, got 0"):
        runs.generate(made, ["top"], [], tmp_path / "a.png", rows=0)


def test_values_are_written_as_arrays_and_as_a_table(made, unpainted, tmp_path):
    asked = {"num_samples": 2, "rows": 3}
    files = {"npz": tmp_path / "new" / "a.npz", "csv": tmp_path / "a.csv"}
    drawn = runs.generate(made, ["top", "label"], ["bottom"], tmp_path / "a.png", **files, **asked)
    with np.load(files["npz"]) as file:
        assert set(file) == {"top", "label"}
        for name in file:
            np.testing.assert_array_equal(file[name], drawn[name].numpy())
    frame = pandas.read_csv(files["csv"])
    assert list(frame.columns) == ["row", "draw", *(f"top[{i}]" for i in range(32)), "label"]
    assert frame["row"].tolist() == [0, 1, 2] * 2
    assert frame["draw"].tolist() == [0, 0, 0, 1, 1, 1]
    assert frame["label"].tolist() == drawn["label"].flatten().tolist()
    np.testing.assert_allclose(
        frame["top[5]"].to_numpy().reshape(2, 3), drawn["top"].flatten(2)[..., 5], rtol=1e-6
    )
    assert {path.name for path in tmp_path.iterdir()} == {"new", "a.csv"}


def test_covariates_that_the_data_do_not_have_are_told(made, unpainted, tmp_path):
    with pytest.raises(ValueError, match=r"^unknown covariate 'site'; known: none\.$"):
        runs.generate(made, ["top"], [], tmp_path / "a.png", covariates={"site": "b"})


def test_likelihoods_are_those_of_the_first_test_rows(made, tmp_path):
    options = {"num_samples": 12, "rows": 3, "seed": 5, "refine": "none"}
    found = runs.likelihood(made, ["label"], ["top"], **options, path=tmp_path / "rows.csv")
    del options["rows"]
    expected = log_likelihood(made.system, made.dataset.test[:3], ["label"], ["top"], **options)
    assert torch.equal(found.value, expected.value)
    with (tmp_path / "rows.csv").open() as file:
        lines = list(csv.DictReader(file))
    fields = ["value", "standard_error", "low", "high", "ess", "pareto_k", "log_weight_variance"]
    assert list(lines[0]) == ["row", *fields, "stage"]
    assert [line["row"] for line in lines] == ["0", "1", "2"]
    assert {line["stage"] for line in lines} == {"guide"}
    for name in fields:
        assert [float(line[name]) for line in lines] == pytest.approx(
            getattr(found, name).tolist(), rel=0, abs=0, nan_ok=True
        )


def test_likelihoods_have_the_runs_draws_and_rows_unless_told(made, tmp_path):
    with pytest.warns(UnreliableLikelihoodWarning):
        found = runs.likelihood(made, ["top", "label"], refine="none", proposal="prior")
    assert (len(found.value), found.num_samples) == (4, 30)
    assert found.quantity == "log p(top, label)"
    assert "prior" in found.proposal
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="rows: expected an integer of at least 1"):
        runs.likelihood(made, ["top"], rows=0)
