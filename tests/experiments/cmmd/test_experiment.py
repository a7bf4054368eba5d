"""The experiment runs end to end at smoke scale on data of the true format."""

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ppl_mm import data
from ppl_mm.experiments import results_table
from ppl_mm.experiments.cmmd import config as cmmd_config
from ppl_mm.experiments.cmmd import data as cmmd_data
from ppl_mm.experiments.cmmd import experiment as cmmd
from ppl_mm.experiments.cmmd import paper as cmmd_paper
from ppl_mm.experiments.cmmd import speech_table as cmmd_speech_table
from ppl_mm.experiments.cmmd import table as cmmd_table
from ppl_mm.experiments.options import changed
from ppl_mm.experiments.papers import TABLES
from ppl_mm.experiments.reproduction import reproduce
from ppl_mm.runs import records

SYSTEMS = ("cmmd", "vcca", "vcca_private", "mvae", "mmvae")


@pytest.fixture
def config(tiny_mnist: Path, narrowed: Any, monkeypatch: pytest.MonkeyPatch) -> cmmd.Config:
    """Two views of a tiny MNIST, and tiny Flickr, with narrow networks."""
    load = data.load
    two_views = partial(load, validation=10)
    monkeypatch.setattr(
        data, "load", lambda name, **o: narrowed((two_views if "view" in name else load)(name, **o))
    )
    for name in ("two_view_mnist", "mir_flickr"):
        for layers in ("hidden", "prior_hidden"):
            monkeypatch.setitem(cmmd_config.TASKS[name].networks, layers, (20,))
    return replace(cmmd.SMOKE, num_train=30, out=str(tiny_mnist / "out"))


@pytest.mark.parametrize("system", [*SYSTEMS, *cmmd.BASELINES])
def test_smoke(config, system, numbers):
    if system in cmmd.BASELINES and system not in ("classifier", "matched"):
        pytest.importorskip("cca_zoo", reason="the extra baselines is not installed")
    config = changed(config, system=system)
    measures = cmmd.main(config)
    assert np.isfinite(numbers(measures)).all()
    assert all(0 <= error[0] <= 1 for error in measures["error"].values())
    assert ("collapse" in measures) == (system in SYSTEMS)
    out = Path(config.out)
    record = json.loads((out / f"{config.name}.json").read_text())
    assert record["measures"] == measures
    assert record["train_rows"] == 30
    results_table.main(out)
    page = (out / "README.md").read_text()
    value, error = measures["error"]["test"]
    assert f"{value:.3f} ± {error:.3f}" in page
    assert record["command"] in page
    assert (out / "two_view_mnist-collapse.png").exists() == (system in SYSTEMS)


def test_the_networks_are_the_papers(tiny_mnist):
    system = cmmd.build(cmmd.Config(), data.load("two_view_mnist", validation=10))
    wide = [m.out_features for m in system.guide.network.joined if hasattr(m, "out_features")]
    assert wide == [2500] * 3
    assert system.guide.network.head.out_features == 2 * 50
    assert system.objective.omega == 0.4
    assert (system.objective.alpha, system.objective.mmd_weight) == (10, 1000)
    assert system.objective.label_reduction == "sum"
    assert list(system.model.decoders) == ["noisy", "label"]
    assert max(p.abs().max() for p in system.parameters()) < 0.01


@pytest.mark.parametrize(
    ("name", "guide", "prior", "latent_dim"),
    [("xrmb", 3 * [3000], 3 * [1500], 70), ("mnist_rotated_svhn", 3 * [2500], [], 20)],
)
def test_networks_of_other_data(tiny_mnist, name, guide, prior, latent_dim):
    config = cmmd.Config(dataset=name, latent_dim=latent_dim)
    options = {"num_train": 40, "num_test": 20} if "svhn" in name else {}
    system = cmmd.build(config, data.load(name, **options))
    widths = [
        [m.out_features for m in layers if hasattr(m, "out_features")]
        for layers in (system.guide.network.joined, system.model.prior.network.joined)
    ]
    assert widths == [guide, prior]
    assert system.guide.network.head.out_features == 2 * latent_dim


def test_only_cmmd_and_classifiers_see_the_label(config, monkeypatch):
    seen = {}
    fit = records.fit
    monkeypatch.setattr(
        records,
        "fit",
        lambda s, rows, **o: seen.update({len(seen): rows.names}) or fit(s, rows, **o),
    )
    for system in ("cmmd", "mvae"):
        cmmd.main(changed(config, system=system), train_only=True)
    assert seen == {0: ("rotated", "noisy", "label"), 1: ("rotated", "noisy")}


def test_a_first_stage_sees_photographs_without_labels_alone(config, monkeypatch):
    config = replace(config, dataset="mir_flickr", split=1, unlabelled=5, unlabelled_epochs=1)
    seen, stages = [], []
    fit = records.fit

    def recorded(system, rows, **options):
        seen.append((rows.names, len(rows)))
        stages.append({name: p.clone() for name, p in system.state_dict().items()})
        result = fit(system, rows, **options)
        stages.append({name: p.clone() for name, p in system.state_dict().items()})
        return result

    monkeypatch.setattr(records, "fit", recorded)
    cmmd.main(config, train_only=True)
    assert seen == [(("image", "tags"), 5), (("image", "tags", "label"), 20)]
    _, trained, start, _ = stages
    assert all(torch.equal(value, start[name]) for name, value in trained.items())
    assert any("label" in name for name in start.keys() - trained.keys())
    cmmd.main(changed(config, system="vcca"), train_only=True)
    assert seen[2] == (("image", "tags"), 25)


def test_folds_and_speakers_of_speech(config):
    fold = replace(config, dataset="xrmb", split=2, num_train=None, num_test=None)
    dataset = cmmd_data.load(fold)
    whole = data.load("xrmb", train=(1, 3, 10, 13, 27, 29), test=(43, 45))
    assert torch.equal(dataset.train["acoustic"], whole.train["acoustic"])
    assert torch.equal(dataset.test["acoustic"], whole.test["acoustic"])
    assert set(cmmd_data.parts(dataset, fold, held_out=False)) == {"train", "test"}
    found = cmmd_data.parts(dataset, fold, held_out=True)
    assert [len(found[part]) for part in ("train", "validation", "test")] == [33, 3, 12]
    rows = torch.cat([found["train"]["acoustic"], found["validation"]["acoustic"]])
    kept = whole.train["acoustic"]
    assert torch.equal(rows[rows[:, 0].argsort()], kept[kept[:, 0].argsort()])
    everyone = replace(fold, split=0)
    found = cmmd_data.parts(cmmd_data.load(everyone), everyone, held_out=False)
    assert [name for name in found if "speaker" in name] == [f"speaker {s}" for s in data.XRMB_TEST]
    own = data.load("xrmb", train=(1,), test=(28,)).test["acoustic"]
    rows = found["speaker 28"]["acoustic"]
    assert torch.equal(rows[rows[:, 0].argsort()], own[own[:, 0].argsort()])
    with pytest.raises(ValueError, match="expected 0, or a fold from 1 to 4, of xrmb, got 5"):
        cmmd_data.load(replace(fold, split=5))


def test_what_there_is_in_use():
    three = cmmd.Config(dataset="mnist_rotated_svhn")
    assert cmmd_config.task_of(three).missing == ("rotated", "svhn")
    two = cmmd_config.task_of(replace(three, observed="rotated+mnist"))
    assert (two.observed, two.missing) == (("mnist", "rotated"), ("svhn",))
    with pytest.raises(ValueError, match=r"some of mnist, rotated, svhn, not all.*got 'text'"):
        cmmd_config.task_of(replace(three, observed="text"))
    with pytest.raises(ValueError, match=r"unknown dataset 'digits'; known: two_view_mnist, "):
        cmmd_config.task_of(replace(three, dataset="digits"))


def test_the_papers_rows_have_its_means():
    means = {"classifier": 0.448, "vcca": 0.458, "mvae": 0.496, "mmvae_elbo": 0.563}
    means |= {"mmvae": 0.525, "cmmd": 0.373}
    for system, paper in means.items():
        assert np.mean(cmmd_paper.FOLDS[system]["error"]) == pytest.approx(paper, abs=0.000501)
    rmse, error = np.array(list(cmmd_paper.SPEAKERS.values())).T
    assert (rmse.mean().round(2), error.mean().round(3)) == (0.75, 0.212)
    assert (rmse.std().round(2), error.std().round(3)) == (0.07, 0.037)


def record(measures, **options):
    return {"config": asdict(cmmd.Config(**options)), "measures": measures}


def test_tables_of_speech():
    folds = [
        record(
            {"error": {"test": [fold / 10, 0.01]}, "rmse": [fold, 0.1]}, dataset="xrmb", split=fold
        )
        for fold in (4, 2, 1, 3)
    ]
    cells = " | ".join(f"0.{fold}00 ± 0.010" for fold in (1, 2, 3, 4))
    assert f"| CMMD, omega 0.4 | {cells} | 0.250 |" in cmmd_speech_table.table_1(folds)
    cell = "0.100 ± 0.010"
    page = cmmd_speech_table.table_1(folds[2:3])
    assert f"| CMMD, omega 0.4 | {cell} |  |  |  |  |" in page
    speakers = {f"speaker {s}": [0.1 + 0.2 * (s > 21), 0.01] for s in data.XRMB_TEST}
    told = {"error": {"test": [0.5, 0.1], **speakers}, "rmse of speakers": speakers}
    page = cmmd_speech_table.table_8([record(told, dataset="xrmb")])
    assert f"| 7 | {cell} | 0.80 | {cell} | 0.158 |" in page
    assert "| mean | 0.200 | 0.75 | 0.200 | 0.212 |" in page
    assert "| standard deviation | 0.100 | 0.07 | 0.100 | 0.037 |" in page
    page = cmmd_table.table_2([record(told, dataset="xrmb")])
    assert "| CMMD, omega 0.4 | 1000 | 0.200 ± 0.004 | 0.211 |  |" in page


def test_records_of_two_views_from_before_there_were_other_data():
    told = {"error": {"test": [0.1, 0.01], "validation": [0.2, 0.01]}}
    old = record(told, seed=1)
    for name in ("dataset", "split", "observed", "unlabelled", "unlabelled_epochs"):
        del old["config"][name]
    page = cmmd_table.table_2([old, record(told)])
    cells = "0.100 ± 0.000 | 0.200 ± 0.000"
    assert f"| CMMD, omega 0.4 (2 seeds) | 1000 | {cells} | 0.024 |  |" in page


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("table-1", r"XRMBf2KALDI_window7_single1\.mat and .* in .*xrmb; .*Ask the University"),
        ("table-2-flickr", r"mir_flickr: .*flickr lacks .*labels\.npy, .*Unpack the Flickr data"),
        ("table-3", "data get"),
    ],
)
def test_missing_data_are_told(tmp_path, monkeypatch, name, message):
    monkeypatch.setenv("PPL_MM_DATA", str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match=message):
        reproduce(TABLES["cmmd"][name], tmp_path / "out", name, "smoke")
