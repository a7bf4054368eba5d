"""The experiment runs end to end at smoke scale on data of the true format."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from ppl_mm.experiments import cmmd, results_table, runner

from ppl_mm import data

SYSTEMS = ("cmmd", "vcca", "vcca_private", "mvae", "mmvae")


@pytest.fixture
def config(tiny_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> cmmd.Config:
    """Two views of a tiny MNIST, with narrow networks."""
    monkeypatch.setattr(cmmd.data, "load", partial(data.load, validation=10))
    monkeypatch.setitem(cmmd._CMMD, "hidden", (20,))
    monkeypatch.setitem(cmmd._CMMD, "prior_hidden", (20,))
    return replace(cmmd.SMOKE, num_train=30, out=str(tiny_mnist / "out"))


@pytest.mark.parametrize("system", [*SYSTEMS, *cmmd.BASELINES])
def test_smoke(config, system, numbers):
    if system in cmmd.BASELINES and system not in ("classifier", "matched"):
        pytest.importorskip("cca_zoo", reason="the extra baselines is not installed")
    config = replace(config, system=system)
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


def test_only_cmmd_and_classifiers_see_the_label(config, monkeypatch):
    seen = {}
    fit = runner.fit
    monkeypatch.setattr(
        runner,
        "fit",
        lambda s, rows, **o: seen.update({len(seen): rows.names}) or fit(s, rows, **o),
    )
    for system in ("cmmd", "mvae"):
        cmmd.main(replace(config, system=system), train_only=True)
    assert seen == {0: ("rotated", "noisy", "label"), 1: ("rotated", "noisy")}
