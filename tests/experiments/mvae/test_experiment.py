"""The experiment runs end to end at smoke scale on files of the true format."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ppl_mm import data, systems
from ppl_mm.experiments import results_table
from ppl_mm.experiments.mvae import experiment as mvae
from ppl_mm.experiments.mvae import measures as mvae_measures
from ppl_mm.experiments.mvae import paper as mvae_paper
from ppl_mm.experiments.mvae import table as mvae_table


@pytest.fixture
def small_mnist(tiny_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All 40 rows of the tiny files train, and as many canvases are composed of them."""
    load = data.load
    few = {"multimnist": {"num_train": 40, "num_test": 20}}
    monkeypatch.setattr(
        mvae.data, "load", lambda name, **o: load(name, validation=0, **few.get(name, {}), **o)
    )


SETTINGS = {
    "vae": {"dataset": "mnist"},
    "cvae": {"dataset": "fashion_mnist"},
    "bivcca": {"dataset": "mnist"},
    "jmvae": {"dataset": "mnist"},
    "mvae_q": {"dataset": "binary_mnist"},
    "mvae": {"dataset": "multimnist", "terms": "image_all"},
}
# What each defines: the proposals of each quantity.
EVERY = {q: ["x1", "x1x2"] for q in ("log p(x1)", "log p(x1,x2)", "log p(x1|x2)")}
DEFINED = {
    "vae": {"log p(x1)": ["x1"]},
    "cvae": {"log p(x1|x2)": ["x1x2"]},
    "bivcca": {quantity: ["x1"] for quantity in EVERY},
}


@pytest.mark.parametrize("system", mvae.SYSTEMS)
def test_smoke(small_mnist, tmp_path, system):
    out = str(tmp_path / "out")
    config = replace(mvae.SMOKE, system=system, out=out, **SETTINGS[system])
    measures = mvae.main(config)
    assert np.isfinite(list(measures.values())).all()
    for quantity, proposals in EVERY.items():
        for by in proposals:
            defined = by in DEFINED.get(system, EVERY).get(quantity, [])
            assert (f"{quantity} by {by} variance" in measures) == defined
    assert ("accuracy" in measures) == (system not in ("vae", "cvae"))
    assert ("accuracy of digits" in measures) == (config.dataset == "multimnist")
    pictures = {p.stem.removeprefix(f"{config.name}-") for p in (tmp_path / "out").glob("*.png")}
    assert pictures == ({"prior", "conditional"} if system == "mvae" else set())
    record = json.loads((tmp_path / "out" / f"{config.name}.json").read_text())
    assert record["measures"] == measures
    page = results_table.render([record])
    title = mvae_table.SYSTEMS[system]
    assert f"| {title}" in page
    assert f"| *{title}, paper* |" in page
    for name, value in measures.items():
        if f"{name} se" in measures and not name.startswith("accuracy") and "refined" not in name:
            assert f"| {value:.2f} ± {measures[f'{name} se']:.2f}" in page


def test_what_is_done_is_not_done_again(small_mnist, tmp_path, monkeypatch):
    config = replace(mvae.SMOKE, system="vae", dataset="mnist", out=str(tmp_path))
    assert mvae.main(config, train_only=True) == {}
    monkeypatch.setattr(mvae, "train", lambda *_: pytest.fail("trained again"))
    measures = mvae.main(config)
    assert mvae.main(config) == pytest.approx(measures, abs=1e-4)
    with pytest.raises(
        ValueError, match=r"batch_size: the run in .* has 25, asked to go on with 50"
    ):
        mvae.main(replace(config, batch_size=50))


# Wu & Goodman 2018, table 1: parameters of the inference networks, MNIST, FashionMNIST and
# MultiMNIST. It has no CVAE of the last, whose JMVAE it counts 4,075,064 of: an unknown network.
TABLE_1 = {
    "vae": (730240, 3409536, 1316936),
    "cvae": (735360, 3414656),
    "bivcca": (1063680, 3742976, 1841936),
    "jmvae": (2061184, 7682432),
    "mvae_q": (1063680, 3742976, 1841936),
    "mvae": (1063680, 3742976, 1841936),
}


@pytest.mark.parametrize("system", mvae.SYSTEMS)
def test_the_networks_are_the_papers(small_mnist, system):
    datasets = ("mnist", "fashion_mnist", "multimnist")
    for dataset, number in zip(datasets, TABLE_1[system], strict=False):
        config = replace(mvae.SMOKE, system=system, dataset=dataset)
        guide = mvae.build(config, data.load(dataset)).guide
        assert sum(p.numel() for p in guide.parameters()) == number


def test_options_that_do_not_fit_are_errors():
    with pytest.raises(ValueError, match=r"unknown system 'cca'; known: vae, "):
        replace(mvae.SMOKE, system="cca")
    with pytest.raises(ValueError, match="terms: an option of mvae and mvae_q, got 'jmvae'"):
        replace(mvae.SMOKE, system="jmvae", terms="image_all")


def test_in_the_papers_numbers_as_read_joint_minus_conditional_is_the_label_s():
    """For one proposal it is log p(x2), and both weights have one variance."""
    expected = {dataset: -np.log(10) for dataset in mvae_paper.LIKELIHOODS}
    expected["multimnist"] = -np.log(5) - 2 * np.log(10)  # 0 to 4 digits
    expected["celeba"] = -6.7  # of 18 attributes; it is the same by both proposals
    for dataset, proposals in mvae_paper.LIKELIHOODS.items():
        for by, found in proposals.items():
            for system, (_, joint, conditional) in found.items():
                if joint is not None and conditional is not None:
                    rel = 0.13 if dataset != "multimnist" else 0.2
                    assert joint - conditional == pytest.approx(expected[dataset], rel=rel)
                    _, *variances = mvae_paper.VARIANCES[dataset][by][system]
                    assert variances[1] == pytest.approx(variances[0], rel=0.15)


def test_several_seeds_are_one_row(tmp_path):
    def record(seed, value):
        by = {f"log p(x1) by x1{end}": x for end, x in (("", value), (" se", 9.0))}
        by |= {"log p(x1) by x1 variance": 20.0, "log p(x1) by x1 unreliable": 0.5}
        return {
            "config": vars(mvae.Config(system="vae", dataset="mnist", seed=seed)),
            "command": "python",
            "train_seconds": 60.0,
            "evaluation_seconds": 60.0,
            "hardware": "a CPU",
            "versions": {"torch": "2"},
            "measures": by,
        }

    page = mvae_table.render([record(0, -91.0), record(1, -93.0)])
    assert "| VAE (2 seeds) |  | 50 | 10,000 | -92.00 ± 1.41 |" in page
    assert "| *VAE, paper* |  | 500 | 10,000 | -91.13 |" in page


def test_accuracy_of_strings_is_of_all_positions_and_of_digits():
    truth = torch.tensor([[1, 2, 3, 4], [5, 11, 11, 11], [11, 11, 11, 11], [6, 7, 11, 11]])
    found = torch.tensor([[1, 2, 3, 5], [5, 11, 11, 11], [0, 11, 11, 11], [0, 0, 0, 0]])
    accuracy = mvae.accuracy(found, truth)
    assert accuracy["accuracy"].value == 10 / 16
    digits = accuracy["accuracy of digits"]
    assert digits.value == pytest.approx(4 / 7)
    hits, count = np.array([3, 1, 0, 0]), np.array([4, 1, 0, 2])
    error = (hits - 4 / 7 * count).std(ddof=1) / count.mean() / 2
    assert digits.standard_error == pytest.approx(error)
    labels = mvae.accuracy(truth[:, 0], found[:, 0])
    assert {name: e.value for name, e in labels.items()} == {"accuracy": 0.5}


def test_accuracy_of_attributes_is_of_all_of_them():
    truth = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    found = mvae.accuracy(torch.tensor([[0.6, 0.4, 0.9], [0.1, 0.8, 0.2]]), truth, "abc")
    shares = {name: estimate.value for name, estimate in found.items()}
    each = {"accuracy of a": 1 / 2, "accuracy of b": 1.0, "accuracy of c": 0.0}
    assert shares == {"accuracy": 3 / 6, **each}
    assert found["accuracy"].standard_error == pytest.approx(
        np.std([2 / 3, 1 / 3], ddof=1) / 2**0.5
    )


@pytest.mark.filterwarnings("ignore:.*Pareto k")
def test_attributes_together_or_apart_have_one_marginal(tiny_mnist):
    """log p(x2) of rows whose 18 attributes are one modality, and of the same as 18 modalities."""
    linear = torch.nn.Linear(2, 18).requires_grad_(False)
    found = []
    for name in ("celeba", "celeba19"):
        faces = data.load(name)
        system = systems.mvae(faces.modalities, 2)
        labels = faces.test.names[1:]
        for i, label in enumerate(labels):
            own = slice(None) if name == "celeba" else i
            system.model.decoders[label].forward = lambda z, own=own: linear(z)[..., own]
        config = replace(mvae.SMOKE, dataset=name)
        found.append(mvae_measures.label_marginal(system, faces.test, labels, config))
    assert found[0].std() > 0.1
    torch.testing.assert_close(*found)


@pytest.mark.filterwarnings("ignore:.*Pareto k")
@pytest.mark.parametrize(
    ("dataset", "options", "times"), [("mnist", {"validation": 0}, 5), ("celeba", {}, 10)]
)
def test_labels_are_read_from_images_and_scored_by_draws_from_the_prior(
    tiny_mnist, monkeypatch, dataset, options, times
):
    asked, marginal = [], []
    predict, label_marginal = mvae_measures.predict, mvae_measures.label_marginal
    likelihood = mvae_measures.log_likelihood

    def watched(system, rows, target, given):
        asked.append((target, given))
        return predict(system, rows, target, given)

    def numbered(*args, num_samples, **options):
        asked.append(num_samples)
        return likelihood(*args, num_samples=num_samples, **options)

    monkeypatch.setattr(mvae_measures, "predict", watched)
    monkeypatch.setattr(mvae_measures, "log_likelihood", numbered)
    monkeypatch.setattr(mvae_measures, "_draw", lambda *_: None)
    monkeypatch.setattr(
        mvae_measures,
        "label_marginal",
        lambda *a: marginal.append(label_marginal(*a)) or marginal[0],
    )
    config = replace(mvae.SMOKE, dataset=dataset)
    rows = data.load(dataset, **options)
    found = mvae.measure(mvae.build(config, rows), rows, config)
    image, label = rows.test.names
    *counts, question = asked  # the label's, and three questions by refined draws
    assert counts == [times * config.num_samples, *[config.num_samples] * 3]
    assert question == (label, (image,))
    of_label = found["log p(x1,x2) by x1"] - found["log p(x1|x2) by x1"]
    assert of_label == pytest.approx(marginal[0].mean().item(), abs=1e-3)
    assert of_label < 0


def test_attributes_that_are_modalities_are_for_mvae(tiny_mnist):
    faces = data.load("celeba19")
    config = replace(mvae.SMOKE, dataset="celeba19")
    terms = mvae.build(config, faces).objective.terms
    assert len(terms(faces.train.names)) == 21
    with pytest.raises(ValueError, match=r"expected mvae on celeba19, got 'jmvae'"):
        mvae.build(replace(config, system="jmvae"), faces)
