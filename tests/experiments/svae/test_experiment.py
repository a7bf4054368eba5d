"""The experiment runs end to end at smoke scale on data of the true format."""

import json
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from ppl_mm import Observations, data, generate, plotting
from ppl_mm.experiments import results_table
from ppl_mm.experiments.papers import TABLES
from ppl_mm.experiments.reproduction import reproduce
from ppl_mm.experiments.svae import experiment as svae
from ppl_mm.experiments.svae import figures as svae_figures
from ppl_mm.experiments.svae import table as svae_table
from ppl_mm.likelihoods import SoftBernoulli
from ppl_mm.networks.scales import LocationScale
from ppl_mm.runs import records


@pytest.fixture
def config(tiny_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> svae.Config:
    """Halves of a tiny MNIST, half of the test rows for validation."""
    monkeypatch.setattr(svae.data, "load", partial(data.load, validation=10))
    return replace(svae.SMOKE, out=str(tiny_mnist / "out"))


SETTINGS = {
    "svae": {},
    "vaevae": {"supervision": 0.5},
    "vaevae_star": {"dataset": "mnist_split_3"},
    "svae_star": {"dataset": "mnist_split_3", "supervision": 0.1},
    "vaevae_a": {"supervision": 0.5},
    "mmvae": {},
}


ONE_OF_A_KIND = ("svae", "vaevae_star", "svae_star")  # the pages' tests train the others too


@pytest.mark.parametrize(
    "system",
    [s if s in ONE_OF_A_KIND else pytest.param(s, marks=pytest.mark.slow) for s in SETTINGS],
)
def test_smoke(config, system, numbers):
    config = replace(config, system=system, **SETTINGS[system])
    measures = svae.main(config)
    assert np.isfinite(numbers(measures)).all()
    out = Path(config.out)
    record = json.loads((out / f"{config.name}.json").read_text())
    assert record["measures"] == measures
    assert record["train_rows"] == 40
    assert [measures[split]["rows"] for split in ("test", "validation")] == [10, 10]
    pictures = {p.stem.removeprefix(f"{config.name}-") for p in out.glob("*.png")}
    assert pictures == {"reconstructions", "prior"}
    page = results_table.render([record])
    coherence = measures["test"]["coherence"]
    everything = max(coherence["given"], key=len)
    cell = coherence["cells"][coherence["given"].index(everything)][0]
    assert config.supervision < 1 or f"{cell[0]:.3f} ± {cell[1]:.3f}" in page
    assert record["command"] in page


def test_measures_of_a_trained_system_are_made_without_training(config, monkeypatch):
    assert svae.main(config, train_only=True) == {}
    monkeypatch.setattr(svae, "train", lambda *_: pytest.fail("trained again"))
    measures = svae.main(config)
    assert set(measures) == {"test", "validation", "confidence"}


def test_another_training_of_that_name_is_refused(config):
    svae.main(config, train_only=True)
    with pytest.raises(
        ValueError, match=r"lr: the run in .* has 0\.0002, asked to go on with 0\.01"
    ):
        svae.main(replace(config, lr=0.01), train_only=True)


def test_released_svae_has_a_prior_expert_and_variances(config):
    config = replace(config, released=True)
    dataset = data.load("mnist_split", scale="softplus_variance", validation=10)
    system = svae.build(config, dataset)
    assert system.guide.prior_expert
    assert system.guide.encoders["top"].location_scale.scale == "softplus_variance"
    assert "released" in config.name


def test_below_full_supervision_every_step_has_a_batch_of_each_stream(config, monkeypatch):
    seen = []
    fit = records.fit
    monkeypatch.setattr(records, "fit", lambda s, d, **o: seen.append(d) or fit(s, d, **o))
    svae.main(replace(config, supervision=0.1), train_only=True)
    assert [len(part) for part in seen[0]] == [4, 40, 40]
    svae.main(replace(config, system="mmvae", supervision=0.1), train_only=True)
    assert len(seen[1]) == 4 + 2 * 36


def test_the_systems_are_those_of_the_source(config):
    halves = data.load("mnist_split", validation=10)
    for system in svae.JOINT:
        guide = svae.build(replace(config, system=system), halves).guide
        heads = {m.scale for m in guide.modules() if isinstance(m, LocationScale)}
        assert heads == {"softplus"}
    for supervision, alone in ((1.0, False), (0.5, True)):
        system = svae.build(replace(config, supervision=supervision), halves)
        assert [t.alone for t in system.objective.terms if len(t.source) == 1][:2] == [alone] * 2
    mmvae = svae.build(replace(config, system="mmvae"), halves)
    p = mmvae.modalities[0].likelihood(torch.zeros(1, 1, 14, 28), batch_dims=1)
    assert p.base_dist.scale.unique().item() == 0.75
    values = mmvae.model.decoders["top"](100 * torch.randn(50, config.latent_dim))
    assert values.min() >= 0
    assert values.max() <= 1


def test_pairs_of_pictures_are_declared_as_in_the_paper(config):
    config = replace(config, dataset="mnist_svhn", system="vaevae")
    pairs = data.load("mnist_svhn", validation=0)
    system = svae.build(config, pairs)
    assert [(m.likelihood, m.weight) for m in system.modalities] == [(SoftBernoulli(), 1.0)] * 2
    joint = system.guide.joint_networks
    assert sum(p.numel() for p in joint.parameters()) == 1_331_240
    heads = {m.scale for m in system.modules() if isinstance(m, LocationScale)}
    assert heads == {"softplus"}
    assert not any(decoder.sigmoid for decoder in system.model.decoders.values())
    mmvae = svae.build(replace(config, system="mmvae"), pairs)
    assert [(m.likelihood, m.weight) for m in mmvae.modalities] == [
        (m.likelihood, m.weight) for m in pairs.modalities
    ]


def test_repeats_pair_pictures_anew(config, monkeypatch):
    monkeypatch.setattr(svae.data, "load", partial(data.load, validation=0))
    config = replace(config, dataset="mnist_fashion", num_train=None, repeats=2, num_test=3)
    svae.main(config, train_only=True)
    record = json.loads((Path(config.out) / f"{config.name}.json").read_text())
    assert record["train_rows"] == 80


def test_birds_that_are_not_there_say_what_to_get(tmp_path, monkeypatch):
    monkeypatch.setenv("PPL_MM_DATA", str(tmp_path))
    for paper, name in (("svae", "figure-8"), ("meme", "table-5")):
        with pytest.raises(FileNotFoundError, match=r"ResNet-101 .*, features_train.npy and"):
            reproduce(TABLES[paper][name], tmp_path / "out", name)
    assert not (tmp_path / "out").exists()


def test_what_was_not_released_is_refused(config):
    with pytest.raises(ValueError, match=r"released: .* svae and svae_star, got 'vaevae'"):
        svae.main(replace(config, system="vaevae", released=True))


def test_the_page_has_a_place_for_any_system():
    page = svae_table.render([record("jmvae", 1.0), record("svae", 1.0)])
    assert "| JMVAE |" in page


def record(system, supervision, dataset="mnist_split", seed=0, accuracy=0.5):
    names = ["top", "bottom"] if dataset == "mnist_split" else ["top", "middle", "bottom"]
    given = [list(s) for size in (1, 2, 3) for s in combinations(names, size)]
    part = {
        "rows": 10,
        "coherence": {"given": given, "cells": [[[accuracy, 0.01]] for _ in given]},
        "coherence_of_real": [0.99, 0.001],
    }
    config = svae.Config(system=system, supervision=supervision, dataset=dataset, seed=seed)
    return {
        "experiment": "svae",
        "config": vars(config),
        "command": "python -m ppl_mm.experiments.svae",
        "train_seconds": 60.0,
        "train_rows": 40,
        "hardware": "a CPU",
        "versions": {"torch": "2"},
        "measures": {
            "test": part,
            "confidence": {"prior": [0.7, 0.01], "test": [0.9, 0.01]},
        },
    }


def test_the_page_has_the_papers_numbers_and_the_spread_over_seeds():
    records = [record("svae", 1.0, seed=s, accuracy=a) for s, a in enumerate((0.5, 0.7))]
    records += [record("vaevae", 1.0), record("svae", 0.001), record("svae", 1.0, "mnist_split_3")]
    page = svae_table.render(records)
    assert "| SVAE (2 seeds) | 200 | 0.600 ± 0.141 " in page
    assert "| 0.948 | 0.872 | 0.816 |" in page
    assert "| SVAE | 0.1 % | 200 | 0.500 ± 0.010 " in page
    assert "Figure 6" in page
    assert "top + middle" in page


def test_data_in_svhn_s_place_are_named_as_such():
    pages = []
    for dataset in ("mnist_svhn", "mnist_fashion"):
        known = record("svae", 0.001, dataset)
        test = known["measures"]["test"]
        first, second = dataset.split("_")
        test["coherence"] = {
            "given": [[first], [second]],
            "targets": [first, second],
            "cells": [[[0.1, 0.01], [0.2, 0.01]], [[0.3, 0.01], [0.4, 0.01]]],
        }
        test |= {"joint coherence": [0.5, 0.01], "coherence_of_real": {first: [0.9, 0.01]}}
        pages.append("".join(svae_table.figure_7([known])))
    assert "| SVAE | 0.1 % | 200 | 0.500 ± 0.010 | 0.200 ± 0.010 | 0.300 ± 0.010 |" in pages[1]
    assert ["stands in for SVHN" in page for page in pages] == [False, True]


def test_pictures_are_of_the_first_seed():
    records = [record("svae", 1.0, seed=s) for s in (4, 2)] + [record("vaevae", 0.01, seed=2)]
    page = "".join(svae_table.figure_3(records))
    shown = [line.split(")")[0] for line in page.split("](")[1:]]
    names = ("mnist_split-svae-1-200-2", "mnist_split-vaevae-0.01-200-2")
    assert shown == [f"{name}-reconstructions.png" for name in names]


def test_curves_are_those_of_the_tables(tmp_path, monkeypatch):
    drawn = {}
    curves = plotting.error_curves
    monkeypatch.setattr(
        plotting,
        "error_curves",
        lambda panels, **o: drawn.update(panels) or curves(panels, **o),
    )
    records = [record("svae", 1.0, seed=s, accuracy=a) for s, a in enumerate((0.5, 0.7))]
    records += [record("svae", 0.001, accuracy=0.4), record("vaevae", 1.0)]
    svae_figures.draw_curves(records, tmp_path)
    assert sorted(drawn) == ["from bottom", "from top", "from top + bottom"]
    assert drawn["from top"]["SVAE"] == [
        (100.0, pytest.approx(0.6), pytest.approx(0.02**0.5)),
        (0.1, 0.4, 0.01),
    ]
    page = svae_figures.with_curves(svae_table.figure_4, records)
    assert (tmp_path / page[-1].split("](")[1].split(")")[0]).exists()


def test_pictures_drawn_together_are_marked_by_what_is_read_in_them(config):
    dataset = data.load("mnist_fashion", validation=0)
    system = svae.build(replace(config, dataset="mnist_fashion", system="vaevae"), dataset)

    class Brightest(torch.nn.Module):
        def forward(self, images):
            return images.flatten(1)[:, :10]

    classifiers = dict.fromkeys(("mnist", "fashion"), Brightest())
    figure = svae_figures._pairs_figure(system, classifiers, dataset, seed=3)
    blank = Observations.blank(10)
    drawn = generate(system, blank, ["mnist", "fashion"], given=(), mean=True, seed=3)
    told = [int(axes.get_title()) for axes in figure.axes]
    read = [classifiers[n](drawn[n][0]).argmax(1).tolist() for n in ("mnist", "fashion")]
    assert told == [*read[0], *read[1]]
    shown = figure.axes[0].images[0].get_array()
    assert (torch.as_tensor(shown.data) == drawn["mnist"][0, 0, 0].clamp(0, 1)).all()


def test_both_kinds_of_pictures_are_on_a_page():
    halves = record("svae", 0.001)
    pairs = {**halves, "config": {**halves["config"], "dataset": "mnist_svhn"}}
    page = "".join(svae_table.pictures([halves, pairs]))
    assert "(mnist_split-svae-0.001-200-0-reconstructions.png)" in page
    assert "(mnist_svhn-svae-0.001-200-0-together.png)" in page
    assert "SVAE, 0.1 % paired" in page


@pytest.mark.parametrize("dataset", ["mnist_split", "mnist_fashion"])
def test_the_best_epoch_by_validation_counts(config, monkeypatch, dataset):
    values, seen = iter((0.5, 0.9, 0.1)), []
    best_by = svae.best_by

    def told(*arguments):
        found = best_by(*arguments)
        assert isinstance(found["monitor"](system, found["validation"]), float)
        states = []

        def monitor(trained, rows):
            states.append({k: v.clone() for k, v in trained.state_dict().items()})
            seen.append((states, found["validation"], rows))
            return next(values)

        return found | {"monitor": monitor}

    monkeypatch.setattr(svae, "best_by", told)
    config = replace(config, dataset=dataset, best_epoch=True, epochs=3)
    loaded = svae.load(config)
    system = svae.build(config, loaded)
    svae.train(system, loaded, config)
    states, held_out, rows = seen[-1]
    assert len(states) == 3
    assert len(held_out) == len(rows)
    for name, value in system.state_dict().items():
        assert torch.equal(value, states[1][name])
