"""The experiment runs end to end at smoke scale on data of the true format."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ppl_mm import data, evaluation
from ppl_mm.experiments import results_table
from ppl_mm.experiments.cmmd import three as cmmd_three
from ppl_mm.experiments.cmmd import three_table as cmmd_three_table

NAMES = ("mnist", "fashion", "text")


@pytest.fixture
def config(tiny_mnist: Path) -> cmmd_three.Config:
    """MNIST beside itself under FashionMNIST's name, and words."""
    out = str(tiny_mnist / "out")
    return replace(cmmd_three.SMOKE, dataset="mnist_fashion_text", out=out)


@pytest.mark.parametrize(
    ("system", "observed"),
    [("cmmd", "mnist+text"), ("cmmd", "mnist+fashion+text"), *((s, "") for s in ("mvae", "mopoe"))],
)
def test_smoke(config, system, observed, numbers, monkeypatch):
    asked = []
    error = evaluation.classification_error
    monkeypatch.setattr(
        evaluation, "classification_error", lambda s, o, *a: asked.append(len(o)) or error(s, o, *a)
    )
    held_out = observed == "mnist+text"
    config = replace(config, system=system, observed=observed, held_out=held_out)
    measures = cmmd_three.main(config)
    assert asked == ([20, 4] if held_out else [20] if observed else [])
    assert ("validation error" in measures) == held_out
    assert np.isfinite(numbers(measures)).all()
    subsets = [observed] if observed else 7 * [None]
    assert len(measures["latents"]) == len(subsets)
    given = measures.get("coherence", {"given": []})["given"]
    assert len(given) == {"mnist+text": 1, "mnist+fashion+text": 0, "": 6}[observed]
    record = json.loads((Path(config.out) / f"{config.name}.json").read_text())
    assert record["measures"] == measures
    page = results_table.render([record])
    for value, error in measures["latents"].values():
        assert f"{value:.3f} ± {error:.3f}" in page
    assert record["command"] in page


def test_records_of_all_subsets_are_one_row_of_cmmd(config):
    rows = []
    for observed in ("mnist", "fashion", "text"):
        cells = [[[0.5, 0.01]] * 2]
        targets = [n for n in NAMES if n != observed]
        measures = {
            "classifiers": {name: [1.0, 0.0] for name in NAMES},
            "latents": {observed: [0.25, 0.01]},
            "coherence": {"given": [[observed]], "targets": targets, "cells": cells},
            "test rows": 10,
        }
        own = vars(replace(config, observed=observed))
        told = {"command": "x", "train_seconds": 1.0, "train_rows": 5, "hardware": "a CPU"}
        rows.append({"experiment": "cmmd_three", "config": own, "measures": measures, **told})
        rows[-1]["versions"] = {"torch": "2"}
    page = results_table.render(rows)
    latent = "0.250 ± 0.010"
    assert f"| CMMD | 1 | {latent} | {latent} | {latent} |  |  |  |  |  |" in page
    cell = "0.500 ± 0.010"
    assert f"| CMMD | 1 | {cell} | {cell} |  | {cell} | {cell} |  | {cell} | {cell} |  |  |" in page


def test_the_papers_rows_have_its_means():
    """Table 5 has the means of table H.1 in %, and of its rounded entries 96.6 for CMMD's 96.5."""
    means = {name: sum(row) / len(row) for name, row in cmmd_three_table.LATENT.items()}
    expected = {"mvae": 83.1, "mmvae": 89.0, "mopoe": 95.1, "cmmd": 96.6}
    assert {name: round(100 * mean, 1) for name, mean in means.items()} == expected


def test_the_subset_decides_omega(config):
    dataset = data.load("mnist_fashion_text")
    for observed, omega in (("mnist+text", 0.4), ("text", 0.0), ("mnist+fashion+text", 0.5)):
        system = cmmd_three.build(replace(config, observed=observed), dataset)
        assert system.objective.omega == omega
        assert set(system.model.conditions_on) == set(observed.split("+"))
    system = cmmd_three.build(replace(config, observed="text", omega=0.3), dataset)
    assert system.objective.omega == 0.3
    with pytest.raises(ValueError, match="expected some of mnist, fashion, text"):
        cmmd_three.build(replace(config, observed="image"), dataset)
