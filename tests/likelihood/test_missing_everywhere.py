"""A modality that no row holds: training warns of it, and measures of it refuse by its name."""

import warnings

import pytest
import torch
from every_system import THREE, build, complete, modality
from plain_likelihood import log_likelihood
from torch import Tensor, nn

from ppl_mm import Observations, fit
from ppl_mm.data import DataSet
from ppl_mm.evaluation import (
    accuracy,
    annealed_log_likelihood,
    average_precision,
    calibration,
    classification_error,
    classifier_accuracy,
    correlation,
    cross_coherence,
    elbo,
    frechet,
    log_likelihoods,
    posterior_collapse,
    real_diversity,
    real_mutual_information,
    relatedness,
    rmse,
    train_classifiers,
    train_gaussian_processes,
)
from ppl_mm.oracles.gaussian_process import GaussianProcessClassifier

ROWS = 12
LABELS = torch.arange(ROWS) % 3


class Reader(GaussianProcessClassifier):
    """A classifier whose features are the values themselves."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :3]

    def features(self, x: Tensor) -> Tensor:
        return x.flatten(1)


READERS = {"normal": Reader(), "bernoulli": Reader()}


def gone(name: str, where: str) -> Observations:
    """Rows that all lack a modality: masked, or not in the data at all."""
    obs = complete(ROWS)
    return obs.without(name) if where == "masked" else obs.drop(name)


def flat(x: Tensor) -> Tensor:
    return x.flatten(1)


MEASURES = {
    "accuracy": ("categorical", lambda s, o: accuracy(s, o, "categorical")),
    "classification_error": ("categorical", lambda s, o: classification_error(s, o, "categorical")),
    "average_precision": ("categorical", lambda s, o: average_precision(s, o, "categorical")),
    "calibration": ("categorical", lambda s, o: calibration(s, o, "categorical", num_samples=2)),
    "rmse": ("normal", lambda s, o: rmse(s, o, "normal")),
    "log_likelihood": ("normal", lambda s, o: log_likelihood(s, o, "normal", num_samples=2)),
    "conditional": (
        "normal",
        lambda s, o: log_likelihood(s, o, ["normal"], "categorical", num_samples=2),
    ),
    "log_likelihoods": ("normal", lambda s, o: log_likelihoods(s, o, [["normal"]], 2)),
    "annealed": (
        "normal",
        lambda s, o: annealed_log_likelihood(s, o, "normal", num_chains=2, num_temperatures=2),
    ),
    "cross_coherence": ("normal", lambda s, o: cross_coherence(s, o, LABELS, READERS)),
    "frechet": ("normal", lambda s, o: frechet(s, o, READERS, [()])),
    "correlation": (
        "normal",
        lambda s, o: correlation(
            s, o, complete(4), {"normal": flat, "bernoulli": flat}, num_components=1
        ),
    ),
    "classifier_accuracy": ("normal", lambda s, o: classifier_accuracy(READERS, o, LABELS)),
    "real_diversity": ("normal", lambda s, o: real_diversity(o, LABELS, READERS, num_samples=2)),
    "real_mutual_information": ("normal", lambda s, o: real_mutual_information(READERS, o)),
    "posterior_collapse": ("normal", lambda s, o: posterior_collapse(s, o, "normal")),
    "relatedness": ("normal", lambda s, o: relatedness(s, o, "normal", "bernoulli")),
}


@pytest.mark.parametrize("where", ["masked", "dropped"])
@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_of_what_no_row_holds_names_it(name, where):
    modality_name, measure = MEASURES[name]
    with pytest.raises(ValueError, match=f"'{modality_name}'") as caught:
        measure(build("mvae"), gone(modality_name, where))
    assert len(str(caught.value)) < 200
    if where == "masked":
        assert any(w in str(caught.value) for w in ("no row", "none of the 12 rows", "12 of 12"))


@pytest.mark.parametrize("train", [train_classifiers, train_gaussian_processes])
def test_nothing_is_trained_to_read_what_no_row_holds(train):
    rows = gone("normal", "masked")
    declared = tuple(modality(kind) for kind in THREE)
    dataset = DataSet("toy", rows, None, rows, declared, 2, "categorical", 3)
    with pytest.raises(ValueError, match="'normal': none of the 12 rows holds it"):
        train(dataset, ["normal"] if train is train_classifiers else READERS)


def test_what_some_rows_hold_is_measured():
    system, obs = build("mvae"), complete(ROWS)
    some = Observations(obs.values, {"normal": torch.arange(ROWS) == 3})
    assert log_likelihood(system, some, "normal", num_samples=2).value.count_nonzero() == 1
    both = log_likelihood(system, obs.without("normal"), ["normal", "bernoulli"], num_samples=2)
    assert both.value.all()  # of what the rows hold
    assert log_likelihood(system, obs.without("normal"), num_samples=2).value.all()
    assert elbo(system, obs.without("normal")).isfinite().all()


@pytest.mark.parametrize("where", ["masked", "dropped"])
def test_training_warns_of_what_no_row_holds(where):
    options = {"epochs": 1, "progress": False, "device": "cpu"}
    with pytest.warns(UserWarning, match="no training row holds modality 'normal'") as caught:
        fit(build("mvae"), gone("normal", where), **options)
    assert [w.filename for w in caught] == [__file__]
    rows = complete(ROWS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(build("mvae"), [rows.only("normal"), rows.without("normal")], **options)
        few = {"normal": torch.arange(ROWS) == 3}
        fit(build("mvae"), Observations(rows.values, few), **options)
