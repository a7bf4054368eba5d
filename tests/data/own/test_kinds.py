"""Which kind is guessed, and which likelihood and networks a kind has."""

import numpy as np
import pandas
import pytest
import torch

from ppl_mm import data, systems
from ppl_mm.likelihoods import (
    Bernoulli,
    Categorical,
    Laplace,
    LogNormal,
    MultiLabel,
    NegativeBinomial,
    Normal,
    Poisson,
    Tokens,
)

NUMBER = 60
GENERATOR = np.random.default_rng(0)
NORMALS = GENERATOR.normal(size=(NUMBER, 2))


def two(values: np.ndarray) -> pandas.DataFrame:
    return pandas.DataFrame({"a": values[:, 0], "b": values[:, 1]})


def one(values: object) -> pandas.DataFrame:
    return pandas.DataFrame({"a": values})


GUESSES = {
    "real": two(NORMALS),
    "real, whole": two((50 + 10 * NORMALS).round()),
    "real, one column": one(NORMALS[:, 0]),
    "positive": two(np.exp(3 * NORMALS)),
    "counts": two(GENERATOR.poisson(1.0, (NUMBER, 2))),
    "binary": two(NORMALS > 0),
    "binary, numbers": two((NORMALS > 0) * 1.0),
    "binary, words": one(np.where(NORMALS[:, 0] > 0, "yes", "no")),
    "category": one(GENERATOR.choice(["red", "green", "blue"], NUMBER)),
    "category, numbers": one(GENERATOR.integers(1, 5, NUMBER)),
    "label set": one(["a; b" if i % 2 else "c" for i in range(NUMBER)]),
    "text": one([f"a text about {i} and {i % 7}" for i in range(NUMBER)]),
}


@pytest.mark.parametrize("what", GUESSES)
def test_guesses(what):
    dataset = data.from_frame(GUESSES[what], {"x": ["*"]}, quiet=True)
    columns = dataset.provenance.columns["x"]
    assert columns.kind == what.partition(",")[0]
    assert columns.guessed


def test_a_label_is_a_category_whatever_it_holds():
    frame = one(np.arange(NUMBER) % 2)
    assert data.from_frame(frame, {"x": ["a"]}, quiet=True).provenance.columns["x"].kind == "binary"
    dataset = data.from_frame(frame, {"x": ["a"]}, label="x", quiet=True)
    assert dataset.provenance.columns["x"].kind == "category"
    assert dataset.num_classes == 2


def test_classes_are_in_the_order_of_their_numbers():
    dataset = data.from_frame(one([10, 9, 100] * 20), {"x": ["a"]}, label="x", quiet=True)
    assert dataset.provenance.columns["x"].levels == ("9", "10", "100")


LIKELIHOODS = {
    "real": (Normal(), (2,), ("Laplace", "Normal")),
    "positive": (LogNormal(), (2,), ("Normal",)),
    "counts": (NegativeBinomial(), (2,), ("Poisson",)),
    "binary": (Bernoulli(), (2,), ()),
    "category": (Categorical(), (), ()),
    "label set": (MultiLabel(), (3,), ()),
    "text": (Tokens(), None, ()),
}


@pytest.mark.parametrize("kind", LIKELIHOODS)
def test_each_kind_trains_and_draws_in_its_own_form(kind):
    likelihood, shape, others = LIKELIHOODS[kind]
    for chosen in (None, *others):
        keys = {"x": {"columns": ["*"], "kind": kind, "hidden": [8]}}
        if chosen is not None:
            keys["x"]["likelihood"] = chosen
        dataset = data.from_frame(GUESSES[kind], keys, latent_dim=2)
        (modality,) = dataset.modalities
        assert type(modality.likelihood) is type(likelihood) or chosen is not None
        system = systems.vae(dataset.modalities, 2)
        loss = system(dataset.train)
        loss.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in system.parameters())
        if shape is not None:
            assert dataset.train["x"].shape[1:] == shape
        dataset.modalities[0].likelihood.check("x", dataset.train["x"])


def test_a_fixed_scale_is_in_the_users_units():
    keys = {"x": {"columns": ["*"], "likelihood": {"name": "Normal", "scale": 3.0}, "kind": "real"}}
    (modality,) = data.from_frame(two(NORMALS), keys).modalities
    p = modality.likelihood(modality.decoder(2)(torch.zeros(1, 2)))
    assert torch.equal(p.base_dist.scale.unique(), torch.tensor([3.0]))


def test_the_options_of_a_likelihood_are_its_own():
    keys = {"x": {"columns": ["*"], "likelihood": {"name": "laplace", "scale": None}}}
    (modality,) = data.from_frame(two(NORMALS), keys, quiet=True).modalities
    assert modality.likelihood == Laplace(scale=None)
    keys = {"x": {"columns": ["*"], "likelihood": "poisson"}}
    (modality,) = data.from_frame(GUESSES["counts"], keys, quiet=True).modalities
    assert modality.likelihood == Poisson()
