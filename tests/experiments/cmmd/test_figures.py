"""Figures 4 to 6, C.1, F.1 and G.1 and the tags: the right rows, settings, numbers and files."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from ppl_mm import data, likelihoods, plotting
from ppl_mm.batch.observations import Observations
from ppl_mm.experiments.cmmd import data as cmmd_data
from ppl_mm.experiments.cmmd import experiment as cmmd
from ppl_mm.experiments.cmmd import measures as cmmd_measures
from ppl_mm.experiments.cmmd import omega as cmmd_omega
from ppl_mm.experiments.cmmd import pictures as cmmd_pictures
from ppl_mm.experiments.cmmd import speakers as cmmd_speakers
from ppl_mm.experiments.cmmd import table as cmmd_table
from ppl_mm.experiments.cmmd import three as cmmd_three
from ppl_mm.experiments.cmmd import three_table as cmmd_three_table
from ppl_mm.experiments.papers import TABLES
from ppl_mm.experiments.reproduction import runs_of
from ppl_mm.measures.collapse import generated_variances


def record(measures, **options):
    return {"config": asdict(cmmd.Config(**options)), "measures": measures}


@pytest.fixture
def drawn(monkeypatch):
    """What is drawn as curves."""
    found = {}
    curves = plotting.error_curves

    def keep(panels, **options):
        found.update(panels)
        return curves(panels, **options)

    monkeypatch.setattr(plotting, "error_curves", keep)
    return found


def test_rows_of_one_speaker(tiny_mnist, monkeypatch):
    config = cmmd.Config(dataset="xrmb", speaker=28, held_out=True, latent_dim=4, scale=0.1)
    dataset = cmmd_data.load(config)
    everything = data.load("xrmb", train=(1,), test=(28,)).test["acoustic"]
    found = cmmd_data.parts(dataset, config, held_out=False)
    assert {part: len(rows) for part, rows in found.items()} == {
        "train": 4,
        "validation": 1,
        "test": 1,
    }
    rows = torch.cat([part["acoustic"] for part in found.values()])
    assert torch.equal(rows[rows[:, 0].argsort()], everything[everything[:, 0].argsort()])
    assert config.name == "xrmb_speaker_28-cmmd-0.4-sum-scale_0.1-held_out-1000-0"
    system = cmmd.build(config, dataset)
    test = found["test"]
    variances = generated_variances(system, test, "articulatory", "acoustic")
    torch.testing.assert_close(variances, torch.full((1, 112), 0.01, dtype=torch.float64))
    each = torch.tensor([[1.0, 2.0], [3.0, 6.0]])  # two rows
    monkeypatch.setattr(cmmd_measures, "generated_variances", lambda *_: each)
    measures = cmmd_measures.measure(system, dataset, config)
    assert measures["variance"] == pytest.approx([3.0, 2.0**0.5])  # between movements
    assert cmmd.build(replace(config, scale=None), dataset).modalities[1].likelihood.scale is None


@pytest.mark.parametrize("options", [{"dataset": "mnist_svhn"}, {"dataset": "xrmb", "split": 1}])
def test_speakers_are_of_xrmb_alone(options):
    with pytest.raises(ValueError, match=r"speaker: an option of (xrmb|split 0), got"):
        cmmd_data.load(cmmd.Config(speaker=7, **options))


def test_others_have_mmvaes_networks_of_mnist_svhn(tiny_mnist):
    pairs = data.load("mnist_svhn")
    config = cmmd.Config(dataset="mnist_svhn", system="mmvae", latent_dim=20)
    system = cmmd.build(config, cmmd_data.load(config))
    assert [m.likelihood for m in system.modalities] == [m.likelihood for m in pairs.modalities]
    ours = replace(config, system="cmmd")
    system = cmmd.build(ours, cmmd_data.load(ours))
    views = [m.likelihood for m in system.modalities if m.name != "label"]
    assert views == [likelihoods.Normal(), likelihoods.Normal()]


def speaker(number, omega, error, **options):
    measures = {
        "error": {"validation": [error, 0.01], "test": [error + 0.1, 0.02]},
        "rmse": [2 * error, 0.03],
        "variance": [error / 10, 0.001],
    }
    told = {"dataset": "xrmb", "latent_dim": 70, "held_out": True, "omega": omega, **options}
    return record(measures, speaker=number, **told)


def test_each_speakers_omega_is_that_of_the_least_validation_error(tmp_path, drawn):
    records = [speaker(7, omega, error) for omega, error in ((0.0, 0.5), (0.7, 0.2), (1.0, 0.3))]
    records += [speaker(16, omega, error) for omega, error in ((0.0, 0.1), (0.7, 0.2), (1.0, 0.4))]
    records += [speaker(7, 0.7, 0.05, scale=0.1)]  # whose omega is not looked for
    page = cmmd_speakers.figure_5(records)
    assert (
        "| 7 | omega by validation | 0.7 | 0.300 ± 0.020 | 0.020 ± 0.001 | 0.400 ± 0.030 |" in page
    )
    assert (
        "| 16 | omega by validation | 0 | 0.200 ± 0.020 | 0.010 ± 0.001 | 0.200 ± 0.030 |" in page
    )
    assert "| 7 | omega 1 | 1 | 0.400 ± 0.020 | 0.030 ± 0.001 | 0.600 ± 0.030 |" in page
    cmmd_speakers.draw_5(records, tmp_path)
    assert drawn["error"] == {
        "omega by validation": [(7, pytest.approx(0.3), 0.02), (16, pytest.approx(0.2), 0.02)],
        "omega 1": [(7, pytest.approx(0.4), 0.02), (16, pytest.approx(0.5), 0.02)],
        "variance 0.01, omega 0.7": [(7, pytest.approx(0.15), 0.02)],
    }
    assert (tmp_path / page[1].split("](")[1].split(")")[0]).exists()


def test_means_over_speakers_and_over_folds(tmp_path, drawn, monkeypatch):
    collapsed = {}
    curves = plotting.collapse_curves
    monkeypatch.setattr(
        plotting, "collapse_curves", lambda p: collapsed.update(*p.values()) or curves(p)
    )
    curve = {
        "quantity": "KL",
        "delta": 0.01,
        "epsilons": [0.0, 1.0],
        "thresholds": [0.5],
    }
    records = [speaker(7, 0.0, 0.2), speaker(16, 0.0, 0.4), speaker(7, 1.0, 0.1)]
    records += [speaker(7, 0.7, 0.1)]
    for r in records:
        r["measures"]["collapse"] = {"observed": curve}
    folds = [speaker(0, 0.0, error, split=split) for split, error in ((1, 0.1), (2, 0.3))]
    page = cmmd_speakers.figure_6(records + folds)
    assert "| each speaker | 0 | 0.400 ± 0.141 | 0.600 ± 0.283 |" in page
    assert "| each speaker | 1 | 0.200 ± 0.020 | 0.200 ± 0.030 |" in page
    assert "| folds | 0 | 0.300 ± 0.141 | 0.400 ± 0.283 |" in page
    cmmd_speakers.draw_6(records + folds, tmp_path)
    assert list(collapsed) == ["CMMD, omega 0, 1000 epochs", "CMMD, omega 1, 1000 epochs"]
    assert sorted(drawn) == sorted(
        f"{kind}, {rows}" for kind in ("error", "RMSE") for rows in ("each speaker", "folds")
    )
    shown = [line.split("](")[1].split(")")[0] for line in page if "](" in line]
    assert len(shown) == 2
    assert all((tmp_path / name).exists() for name in shown)


def test_omega_is_that_of_the_least_mean_over_folds(tmp_path, drawn):
    records = [
        speaker(0, omega, error, split=split)
        for omega, errors in ((0.0, (0.1, 0.5)), (0.8, (0.1, 0.42)), (1.0, (0.4, 0.2)))
        for split, error in enumerate(errors, 1)
    ]
    tags = [{"mAP": {"validation": {"macro": p}}} for p in (0.5, 0.7)]
    records += [
        record(m, dataset="mir_flickr", omega=omega)
        for m, omega in zip(tags, (0.1, 0.5), strict=True)
    ]
    page = cmmd_omega.figure_c1(records)
    assert "| XRMB, four folds | 0.8 | 0.260 ± 0.226 | 0.8 |" in page
    assert "| MIR Flickr | 0.5 | 0.300 ± 0.000 | 0.5 |" in page
    cmmd_omega.draw(records, tmp_path)
    (curves,) = drawn.values()
    assert [x for x, _, _ in curves["MIR Flickr"]] == [0.1, 0.5]


def test_omega_of_three_modalities():
    def run(observed, omega, error):
        config = asdict(cmmd_three.Config(observed=observed, omega=omega, held_out=True))
        return {"config": config, "measures": {"error": [9, 9], "validation error": [error, 0.0]}}

    subsets = ("mnist+text", "svhn+text", "svhn", "mnist+svhn", "mnist+svhn+text")
    records = [run(s, omega, 1 - omega) for s in subsets for omega in (0.0, 0.4)]
    page = cmmd_omega.figure_c1(records)
    for subset, paper in zip(subsets, ("0.4", "0.2", "0.9", "0.6", ""), strict=True):
        assert f"| from {subset} | 0.4 | 0.600 ± 0.000 | {paper} |" in page
    for record in records:  # a stand-in's
        record["config"]["dataset"] = "mnist_fashion_text"
    assert "| from mnist+text | 0.4 | 0.600 ± 0.000 |" in cmmd_omega.figure_c1(records)


def test_the_papers_runs():
    speakers = runs_of(TABLES["cmmd"]["figure-5"], "paper")
    assert len(speakers) == 8 * 11 + 7
    assert {run.speaker for run in speakers if run.scale} == {7, 16, 20, 21, 23, 31, 35}
    every = runs_of(TABLES["cmmd"]["figure-c.1"], "paper")
    assert len(every) == (4 + 6) * 11
    assert {run.omega for run in every} == {k / 10 for k in range(11)}
    # those that have validation rows of their own are runs of table 2 too
    own = {run.name for run in runs_of(TABLES["cmmd"]["table-2"], "paper")}
    views = [run for run in every if run.dataset == "two_view_mnist"]
    assert {run.name for run in views if run.omega == 0.4} < own


def test_the_last_tenth_is_held_out(tiny_mnist):
    config = replace(cmmd_three.SMOKE, observed="text", held_out=True)
    whole = cmmd_three.load(replace(config, held_out=False))
    dataset = cmmd_three.load(config)
    assert (len(dataset.train), len(dataset.validation)) == (36, 4)
    rows = torch.cat([dataset.train["label"], dataset.validation["label"]])
    assert torch.equal(rows, whole.train["label"])
    assert config.name == "mnist_svhn_text-cmmd-text-sum-held_out-1-0"


def test_tags_of_photographs_with_several_and_with_none(monkeypatch):
    tags = torch.zeros(3, 6)
    tags[0, :5] = 1.0
    tags[1, 2] = 1.0  # one, of which there is nothing to see
    made = torch.tensor([[0.6, 0.4, 0.0, 0.0, 0.0, 0.9], [0.1] * 6])
    rows = Observations({"image": torch.zeros(3, 2), "tags": tags})
    monkeypatch.setattr(cmmd_measures.evaluation, "predict", lambda *_: made)
    config = cmmd.Config(dataset="mir_flickr", split=1)
    found = cmmd_measures._tags(None, rows, config)
    assert found == [{"real": [0, 1, 2, 3, 4], "made": [0, 5]}, {"real": [], "made": []}]
    records = [record({"tags": found}, dataset="mir_flickr", split=1, seed=seed) for seed in (3, 2)]
    assert cmmd_pictures.table_7(records)[1:-1] == [
        "| tags | made by CMMD |",
        "| --- | --- |",
        "| 0 1 2 3 4 | 0 5 |",
    ]
    assert "| - | - |" in cmmd_pictures.table_c1(records)


def test_table_h2_has_the_spread_and_omega(tmp_path: Path):
    def run(observed, value, seed):
        config = asdict(cmmd_three.Config(observed=observed, seed=seed))
        targets = [n for n in ("mnist", "svhn", "text") if n not in observed.split("+")]
        cells = [[[value, 0.01] for _ in targets]]
        coherence = {"targets": targets, "given": [observed.split("+")], "cells": cells}
        known = {name: [1, 0] for name in ("mnist", "svhn", "text")}
        return {"config": config, "measures": {"classifiers": known, "coherence": coherence}}

    records = [run("svhn+text", value, seed) for seed, value in enumerate((0.6, 0.8))]
    ours, own, paper, omega = cmmd_three_table.table_h2(records)[3:7]
    assert ours == "| CMMD |  |  | 0.700 ± 0.141 |  |  |  |  |  |  |"
    assert paper.startswith("| *CMMD, paper* | 0.75 ± 0.02 | 1.00 ± 0 |")
    assert omega == "| *omega, paper* | 0.9 | 0 | 0.2 | 0.6 | 0 | 0.4 | 0.6 | 0.9 | 0.6 |"
    assert own == omega.replace("*omega, paper*", "omega")
    for r in records:
        r["config"] |= {"omega": 0.5, "dataset": "mnist_fashion_text"}
    _, own, *rest = cmmd_three_table.table_h2(records)[3:]
    assert own == "| omega | 0.9 | 0 | 0.5 | 0.6 | 0 | 0.4 | 0.6 | 0.9 | 0.6 |"
    assert rest == [""]


def test_figure_3_says_what_older_records_lack():
    curve = {"quantity": "divergence", "thresholds": [0.1], "delta": 0.01, "epsilons": [0.1]}
    both = {"all": curve, "observed against all": curve}

    def run(system, **kinds):
        return record({"collapse": {"observed": curve, **kinds}}, system=system, epochs=3)

    older = [run("vcca", **both), run("mvae", **both)]
    page = "".join(cmmd_table.figure_3([*older, run("mmvae", missing=curve)]))
    assert "The records of MVAE, 3 epochs are older than the panels" in page
    assert "older" not in "".join(cmmd_table.figure_3([run("mvae", missing=curve), older[0]]))
    curves = cmmd_table._curves(older)
    assert {name: list(kinds) for name, kinds in curves.items()} == {
        "VCCA, 3 epochs": ["observed"],
        "MVAE, 3 epochs": ["observed", *both],
    }
