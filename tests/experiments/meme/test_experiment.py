"""The experiment runs end to end at smoke scale on data of the true format."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_meme import PAIR, Noise, Recording

from ppl_mm import data, likelihoods, plotting
from ppl_mm.experiments import captions, results_table
from ppl_mm.experiments.meme import experiment as meme
from ppl_mm.experiments.meme import figures as meme_figures
from ppl_mm.experiments.meme import likelihood as meme_likelihood
from ppl_mm.experiments.meme import table as meme_table
from ppl_mm.experiments.options import changed
from ppl_mm.experiments.tables import cell
from ppl_mm.measures.coordinates import posterior_coordinates
from ppl_mm.runs import records


@pytest.fixture
def config(tiny_mnist: Path, narrow_data: None) -> meme.Config:
    """MNIST paired with itself under FashionMNIST's name."""
    return replace(meme.SMOKE, out=str(tiny_mnist / "out"))


SETTINGS = {
    "meme": {"fraction": 0.5},
    "mvae": {"fraction": 0.25, "scheme": "mnist"},
    "mmvae": {},
}


@pytest.mark.parametrize("system", SETTINGS)
def test_smoke(config, system, numbers):
    config = changed(config, system=system, **SETTINGS[system])
    measures = meme.main(config)
    assert np.isfinite(numbers(measures)).all()
    out = Path(config.out)
    record = json.loads((out / f"{config.name}.json").read_text())
    assert record["measures"] == measures
    pictures = {p.stem.removeprefix(f"{config.name}-") for p in out.glob("*.png")}
    assert pictures == {"matrix", "histogram", "dendrogram", "cross"}
    page = results_table.render([record])
    value, error = measures["relatedness"]["class"]["auroc"]
    assert f"{value:.3f} ± {error:.3f}" in page
    assert record["command"] in page
    shown = re.findall(r"\]\((.*?\.png)\)", page)
    assert len(shown) == (3 if config.fraction == 1 else 0)
    assert all((out / name).exists() for name in shown)


def test_pairs_with_svhn_are_the_same_command(config, numbers):
    measures = meme.main(replace(config, dataset="mnist_svhn", fraction=0.5, scheme="svhn"))
    assert np.isfinite(numbers(measures)).all()
    assert measures["coherence"]["targets"] == ["mnist", "svhn"]


def test_unpaired_rows_hold_what_the_scheme_says(config, monkeypatch):
    seen = []
    fit = records.fit
    monkeypatch.setattr(records, "fit", lambda s, d, **o: seen.append(d) or fit(s, d, **o))
    meme.main(replace(config, fraction=0.5, scheme="fashion"), train_only=True)
    meme.main(replace(config, fraction=0.5, scheme="split"), train_only=True)
    one, split = (obs.present for obs in seen)
    assert one["fashion"].all()
    assert int(one["mnist"].sum()) == 20
    assert int((split["mnist"] & split["fashion"]).sum()) == 20
    assert int((split["mnist"] ^ split["fashion"]).sum()) == 20


def test_pseudo_inputs_begin_as_training_rows(config):
    dataset = meme.data.load("mnist_fashion")
    config = replace(config, fraction=0.25, scheme="fashion")
    rows, system = meme.training_rows(config, dataset), meme.build(config, dataset)
    u = system.model.prior.pseudo_inputs("mnist")
    assert len(u) == 5
    held = rows["mnist"][rows.present["mnist"]]  # those of the 10 pairs, no hidden picture
    assert len(held) == 10
    assert all((held == one).flatten(1).all(1).any() for one in u)


def record(system, fraction, scheme="split", seed=0, value=0.5):
    config = vars(meme.Config(system=system, fraction=fraction, scheme=scheme, seed=seed))
    cells = [[[0.9, 0.01], [value, 0.01]], [[value, 0.01], [0.9, 0.01]]]
    given = [["mnist"], ["fashion"]]
    measures = {
        "test rows": 20,
        "coherence": {"targets": ["mnist", "fashion"], "given": given, "cells": cells},
        "latents": {"z": {"given": {"mnist": [value, 0.01], "fashion": [value, 0.01]}}},
        "relatedness": {"class": {"auroc": [value, 0.01]}},
    }
    return {
        "config": config,
        "measures": measures,
        "command": "python -m ppl_mm.experiments.meme",
        "train_seconds": 60.0,
        "train_rows": 40,
        "hardware": "a CPU",
        "versions": {"torch": "2"},
    }


def test_the_page_is_a_table_of_fractions_by_scheme():
    records = [record("meme", 1.0, seed=s, value=v) for s, v in enumerate((0.6, 0.8))]
    records += [record("meme", 0.25, "split"), record("meme", 0.25, "mnist", value=0.4)]
    page = meme_table.render(records)
    assert "| MEME (bound), split | 100 | 0.700 ± 0.141 | 0.500 ± 0.010 |" in page
    assert "| MEME (bound), mnist | 100 | 0.700 ± 0.141 | 0.400 ± 0.010 |" in page


def test_runs_of_other_lengths_are_no_further_seeds():
    shorter, other = record("meme", 1.0, seed=1, value=0.2), record("mmvae", 1.0, value=0.3)
    shorter["config"] = {**shorter["config"], "epochs": 1, "num_train": 10_000}
    page = meme_table.render([record("meme", 1.0), record("meme", 0.25), shorter, other])
    assert "| MEME (bound), split | 100 | 0.500 ± 0.010 | 0.500 ± 0.010 |" in page
    assert "| MEME (bound), - | 1 of 10,000 rows | 0.200 ± 0.010 |  |" in page
    assert "| MMVAE, - | 100 | 0.300 ± 0.010 |  |" in page
    shown = "".join(meme_table.figure_9([shorter, record("meme", 1.0, seed=1)]))
    assert "MEME (bound), epochs: 1 of 10,000 rows:" in shown
    assert "MEME (bound), epochs: 100:" in shown


def test_curves_hold_the_runs_and_the_papers_numbers(tmp_path, monkeypatch):
    drawn = {}
    curves = plotting.error_curves
    monkeypatch.setattr(
        plotting,
        "error_curves",
        lambda panels, **o: drawn.update(o, panels=panels) or curves(panels, **o),
    )
    records = [record("meme", 1.0, seed=s, value=v) for s, v in enumerate((0.6, 0.8))]
    records += [record("meme", 0.25, "split"), record("meme", 0.25, "mnist", value=0.4)]
    records += [record("mmvae", 1.0, value=0.3)]
    meme_figures.draw_curves("coherence", records, tmp_path)
    (page,) = meme_figures.curves("coherence", records)[2:]
    assert (tmp_path / page.split("](")[1].split(")")[0]).exists()
    first = drawn["panels"]["Coherence, mnist to fashion"]
    assert sorted(first) == ["MEME (bound), mnist", "MEME (bound), split", "MMVAE"]
    assert first["MMVAE"] == [(1.0, 0.3, 0.01)]
    both, quarter = sorted(first["MEME (bound), mnist"], reverse=True)
    assert both == pytest.approx((1.0, 0.7, 0.02**0.5))
    assert quarter == (0.25, 0.4, 0.01)
    assert drawn["beside"] == {}  # the paper has no FashionMNIST
    for r in records:
        r["config"] = {**r["config"], "dataset": "mnist_svhn"}
        r["measures"]["coherence"]["targets"] = ["mnist", "svhn"]
        r["measures"]["coherence"]["given"] = [["mnist"], ["svhn"]]
    meme_figures.draw_curves("coherence", records, tmp_path)
    paper = drawn["beside"]["Coherence, svhn to mnist"]
    assert paper["MEME (bound), split"][2] == (0.25, 0.621, 0.0)
    assert paper["MMVAE"] == [(1, 0.735, 0.0)]


def test_laplace_mmvae_is_another_run(config):
    laplace = changed(config, system="mmvae", family="laplace")
    assert laplace.name == "mnist_fashion-mmvae-laplace-1-1-0"
    system = meme.build(laplace, data.load("mnist_fashion"))
    rows = data.load("mnist_fashion").test
    q = posterior_coordinates(system, rows, ("mnist",), None, batch_size=5, seed=0)
    assert isinstance(q, torch.distributions.Laplace)


def test_one_direction_is_its_term_of_both():
    noise = torch.randn(3, 1, 50, generator=torch.Generator().manual_seed(0))
    both, rows = Recording(3), PAIR.rows(50)
    system = PAIR.system(both)
    with Noise(noise):
        both.bound(system.model, system.guide, rows)
        for i, name in enumerate("st"):
            alone = meme_likelihood.OneDirection.preset("bound", target=name, num_particles=3)
            value = alone.bound(system.model, system.guide, rows)
            torch.testing.assert_close(value, both.each[i], rtol=1e-12, atol=1e-12)


def test_one_direction_learns_nothing_of_rows_without_what_it_explains():
    alone, system = meme_likelihood.OneDirection("s"), PAIR.system()
    without = alone.bound(system.model, system.guide, PAIR.rows(5).drop("s"))
    assert torch.equal(without, torch.zeros(5))


def test_likelihoods_of_both_directions_are_those_of_the_closed_forms():
    rows = PAIR.rows(10)
    found = meme_likelihood.measure(PAIR.system(), rows, rows, num_samples=2000)
    system = PAIR.system(pseudo={n: [x] * 2 for n, x in PAIR.values.items()})
    joints = []
    for s, t in ("st", "ts"):
        conditional = PAIR.conditional(system, s, [t])
        joints.append(conditional + PAIR.conditional(system, t, []))
        of_direction = found[f"{s} from {t}"]
        for kind, expected in (("conditional", conditional), ("joint", joints[-1])):
            value, error = of_direction[kind]
            assert abs(value - expected) < 4 * error
            assert error < 0.01
        assert of_direction["unreliable rows"] == 0
        gain, error = of_direction["refined gain"]  # these draws are reliable as they are
        assert abs(gain) < 4 * error
        assert of_direction["refined rows"] == 10
    value, error = found["both"]
    assert abs(value - np.log(np.exp(joints).mean())) < 4 * error


def test_directions_are_trained_and_scored_apart(config, numbers):
    config = replace(config, direction="fashion", process_steps=0)
    dataset = data.load("mnist_fashion")
    system = meme.build(config, dataset)
    assert system.objective.target == "fashion"
    assert system.objective.is_bound
    measures = meme.main(config)
    assert np.isfinite(numbers(measures)).all()
    record = json.loads((Path(config.out) / f"{config.name}.json").read_text())
    assert config.name == "mnist_fashion-meme-bound-fashion-1-1-0"
    page = results_table.render([record])
    assert "| log-likelihood, nats | bound, fashion alone, 1 epoch |" in page
    value, error = measures["likelihoods"]["fashion from mnist"]["conditional"]
    assert f"| fashion given mnist | {value:.3f} ± {error:.3f} |" in page
    gain, error = measures["likelihoods"]["fashion from mnist"]["refined gain"]
    row = "| refined draws add, fashion from mnist, 5 rows |"
    assert f"{row} {gain:.3f} ± {error:.3f} |" in page
    del measures["likelihoods"]["mnist from fashion"]["refined gain"]  # of an earlier run
    older = results_table.render([{**record, "measures": measures}])
    assert "refined draws add, fashion from mnist" in older
    assert "refined draws add, mnist from fashion" not in older
    assert "| MEME (bound, fashion alone), - |" in page
    shown = re.findall(r"\]\((.*?\.png)\)", page)
    assert shown
    assert all((Path(config.out) / name).exists() for name in shown)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"system": "mvae", "direction": "mnist"}, "direction: an option of meme, got 'mvae'"),
        ({"direction": "svhn"}, "unknown direction 'svhn'"),
        ({"system": "mvae", "family": "laplace"}, "family: an option of mmvae, got 'mvae'"),
    ],
)
def test_directions_that_there_are_not(config, options, message):
    with pytest.raises(ValueError, match=message):
        meme.main(replace(config, **options))


def test_birds_have_the_declarations_of_their_data(config, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, load=data.load: load(name, validation=2))
    config = replace(config, dataset="cub", fraction=0.25, scheme="image")
    dataset = data.load("cub")
    rows = meme.training_rows(config, dataset)
    assert rows.present["image"].all()
    assert int(rows.present["caption"].sum()) == 10
    image, caption = meme.build(config, dataset).modalities
    assert (image.likelihood, image.weight) == (likelihoods.Laplace(0.01), 0.002)
    assert (caption.likelihood, caption.weight) == (likelihoods.Tokens(), 1)


def test_generated_captions_are_told_from_real_ones(config, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, load=data.load: load(name, validation=2))
    monkeypatch.setattr(captions, "picture", lambda features: features[:, :49])
    dataset = data.load("cub")
    config = replace(config, dataset="cub")
    system = meme.build(config, dataset)
    scores = captions.measure(system, dataset, dataset.train[:50])  # that taught what fits
    real, error = cell(scores, ("image", "caption"))
    for given in ((), ("image",), ("caption",)):
        value, own = cell(scores, given)
        assert value + 4 * (error**2 + own**2) ** 0.5 < real


def test_features_that_were_made_are_told_by_the_nearest_picture(config, monkeypatch):
    dataset = data.load("cub", validation=2)
    system = meme.build(replace(config, dataset="cub"), dataset)
    asked = []

    def made(system, rows, targets, *, given, **options):
        del system, targets, options
        asked.append(given)
        features = dataset.train["image"][[130, 470]] + 1e-3
        return {"image": features[None], "caption": rows["caption"][None].flip(1)}

    monkeypatch.setattr(captions, "generate", made)
    found = captions.examples(system, dataset, dataset.test, num=2)
    assert asked == ["image", "caption"]
    told = dataset.vocabulary.decode(dataset.train["caption"][[130, 470]])
    real = dataset.vocabulary.decode(dataset.test["caption"][[0, 10]])
    for examples, given in ((found[:2], "image"), (found[2:], "caption")):
        assert [e["nearest"] for e in examples] == told
        assert [e["caption"] for e in examples] == real
        assert [e["made"] for e in examples] == real[::-1]
        assert {e["given"] for e in examples} == {given}
    page = captions.read([{"given": "image", "caption": "a", "made": "<exc> | b", "nearest": "c"}])
    assert "| image | a | &lt;exc> \\| b | c |" in page
