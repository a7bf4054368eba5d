"""At paper scale every table has the paper's rows, columns and settings: a missing one is red."""

from itertools import product

import pytest

from ppl_mm.experiments.papers import TABLES
from ppl_mm.experiments.reproduction import runs_of

# Every table and figure with data. Those that are not here are drawings of models, need a person's
# judgement, or show what another page shows.
HAVE = {
    "mvae": "table-1 table-2 table-3 table-4 table-6 table-7 table-8 table-9 table-10 "
    "figure-2 figure-3 figure-9 figure-10 table-2-celeba table-6-celeba",
}


@pytest.mark.parametrize("paper", HAVE)
def test_every_table_of_the_paper_is_there(paper):
    assert set(HAVE[paper].split()) <= set(TABLES[paper])


def of(paper, table, *names):
    """The values of these options in the table's runs at paper scale, each run's once."""
    found = [tuple(getattr(r, n) for n in names) for r in runs_of(TABLES[paper][table], "paper")]
    assert len(found) == len(set(found))
    return set(found)


def settings(paper, table, **expected):
    """Whether all runs of the table at paper scale have these options."""
    assert of_all(paper, table, *expected) == {tuple(expected.values())}


def of_all(paper, table, *names):
    return {tuple(getattr(r, n) for n in names) for r in runs_of(TABLES[paper][table], "paper")}


# ------------------------------------------------------------------ MVAE

STATED, ONE, BOTH = (50.0, "own"), (1.0, "own"), (50.0, "image_all")
READINGS = (STATED, ONE, BOTH)


@pytest.mark.parametrize("table", ["table-2", "table-3", "table-6", "table-7"])
def test_likelihoods_of_mvae(table):
    images = ("binary_mnist", "mnist", "fashion_mnist", "multimnist")
    others = ("vae", "cvae", "bivcca", "jmvae", "mvae_q")
    expected = {(d, s, *STATED) for d, s in product(images, others)}
    expected -= {("multimnist", "cvae", *STATED)}
    expected |= {(d, "mvae", *reading) for d, reading in product(images, READINGS)}
    assert of("mvae", table, "dataset", "system", "label_weight", "terms") == expected
    same = {"epochs": 500, "batch_size": 100, "lr": 1e-3, "num_samples": 1000}
    settings("mvae", table, **same, test_rows=10_000, joint_rows=10_000, train_rows=None)


@pytest.mark.parametrize("table", ["table-2-celeba", "table-6-celeba"])
def test_likelihoods_of_faces(table):
    others = ("vae", "cvae", "bivcca", "jmvae", "mvae_q")
    expected = {("celeba", s, *STATED) for s in others}
    expected |= {(d, "mvae", *r) for d, r in product(("celeba", "celeba19"), READINGS)}
    assert of("mvae", table, "dataset", "system", "label_weight", "terms") == expected
    same = {"epochs": 100, "batch_size": 100, "lr": 1e-4, "num_samples": 100}
    settings("mvae", table, **same, test_rows=19_962, joint_rows=19_962)


FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
METHODS = {
    "mnist": ("jmvae", "nn", "logreg", "rbm", "ae", "vae"),
    "fashion_mnist": ("jmvae", "nn", "logreg", "rbm", "vae"),
    "multimnist": ("jmvae",),
}


@pytest.mark.parametrize(
    ("table", "datasets"),
    [
        ("figure-3", ("mnist", "fashion_mnist", "multimnist")),
        ("table-8", ("mnist",)),
        ("table-9", ("fashion_mnist",)),
        ("table-10", ("multimnist",)),
    ],
)
def test_few_labels_of_mvae(table, datasets):
    expected = {
        (dataset, method, fraction, *STATED, 500 if dataset == "mnist" else 100)
        for dataset in datasets
        for method, fraction in product(METHODS[dataset], FRACTIONS)
    }
    expected |= {
        (dataset, "mvae", fraction, *reading, 500 if dataset == "mnist" else 100)
        for dataset, fraction, reading in product(datasets, FRACTIONS, READINGS)
    }
    names = ("dataset", "method", "fraction", "label_weight", "terms", "epochs")
    assert of("mvae", table, *names) == expected
    settings("mvae", table, batch_size=100, lr=1e-3, num_train=None, num_test=None)


@pytest.mark.parametrize("table", ["table-2", "table-8"])
def test_an_option_that_a_system_does_not_have_is_refused_before_anything_runs(table):
    with pytest.raises(ValueError, match=r"terms: an option of mvae and mvae_q, got '(vae|jmvae)'"):
        runs_of(TABLES["mvae"][table], "paper", terms="image_all")
