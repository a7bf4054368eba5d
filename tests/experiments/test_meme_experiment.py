"""The experiment runs end to end at smoke scale on data of the true format."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ppl_mm.experiments import meme, meme_table, results_table, runner


@pytest.fixture
def config(tiny_mnist: Path) -> meme.Config:
    """MNIST paired with itself under FashionMNIST's name."""
    return replace(meme.SMOKE, out=str(tiny_mnist / "out"))


SETTINGS = {
    "meme": {"fraction": 0.5},
    "mvae": {"fraction": 0.25, "scheme": "mnist"},
    "mmvae": {},
}


@pytest.mark.parametrize("system", SETTINGS)
def test_smoke(config, system, numbers):
    config = replace(config, system=system, **SETTINGS[system])
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
    fit = runner.fit
    monkeypatch.setattr(runner, "fit", lambda s, d, **o: seen.append(d) or fit(s, d, **o))
    meme.main(replace(config, fraction=0.5, scheme="fashion"), train_only=True)
    meme.main(replace(config, fraction=0.5, scheme="split"), train_only=True)
    one, split = (obs.present for obs in seen)
    assert one["fashion"].all()
    assert int(one["mnist"].sum()) == 20
    assert int((split["mnist"] & split["fashion"]).sum()) == 20
    assert int((split["mnist"] ^ split["fashion"]).sum()) == 20


def test_pseudo_inputs_begin_as_training_rows(config):
    dataset = meme.data.load("mnist_fashion")
    rows = meme.training_rows(replace(config, fraction=0.25, scheme="fashion"), dataset)
    system = meme.build(config, dataset, rows)
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
