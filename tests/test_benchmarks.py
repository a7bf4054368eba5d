"""The benchmarks compute what they say; how fast is for them to tell."""

import importlib
import json
import os
import re
import subprocess
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from linear_gaussian import LinearGaussian

from ppl_mm import guides
from ppl_mm.batch.subsets import non_empty_subsets
from ppl_mm.cli import flags
from ppl_mm.experiments.mvae import Config
from ppl_mm.experiments.mvae.readings import READINGS
from ppl_mm.objectives import paired_terms

FOLDER = Path(__file__).parents[1] / "benchmarks"
SMALL = {"batch": 8, "pixels": 5, "hidden": 4, "latent_dim": 4}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def load(name):
    return importlib.import_module(name)


@pytest.mark.parametrize("number", ["two", "five"])
def test_every_system_by_hand_is_the_same_computation(number):
    step, declared = load("step"), load("declared")
    torch.manual_seed(0)
    xs = declared.image_and_label(8, 5) if number == "two" else declared.data(5, 8, 5)
    compared = []
    for name in declared.SYSTEMS:
        if step.by_hand.written(name):
            # In float64 the two agree to its last digits, gradients too.
            found = step.compare(name, declared.declared(name, xs, (4,), 4).double(), _double(xs))
            assert found["loss"] < 1e-12
            assert found["gradient"] < 1e-7
            compared.append(name)
    assert len(compared) == len(declared.SYSTEMS) - 1


def _double(xs):
    return {n: x.double() if x.is_floating_point() else x for n, x in xs.items()}


def test_another_computation_is_an_error(monkeypatch):
    step, declared = load("step"), load("declared")
    xs = declared.data(3, 6, 5)
    system = declared.declared("mvae", xs, (4,), 4)
    system.objective.beta = 1.001
    with pytest.raises(SystemExit, match="mvae: not the same computation"):
        step.compare("mvae", system, xs)


def test_step_writes_its_record(tmp_path):
    out = tmp_path / "step.json"
    small = {"batch": 8, "pixels": 5, "width": [4], "latent_dim": 4}
    load("step").main(
        rounds=2, rounds_of_five=2, warmup=0, **small, only=["mmvae dreg"], out=str(out)
    )
    record = json.loads(out.read_text())
    keys = {"2, mmvae dreg, width 4", "5, mmvae dreg, width 4"}
    assert record["same computation"].keys() == keys
    times = record["milliseconds"]["5, mmvae dreg, width 4"]
    assert {"by hand", "eager", "recorded"} <= times.keys()
    assert all(len(values) == 2 for values in times.values())
    assert "load at the end" in record["setting"]


def test_steps_on_rows_that_miss_half_write_their_record(tmp_path):
    out = tmp_path / "step-missing.json"
    small = {"batch": 8, "pixels": 5, "width": [4], "latent_dim": 4, "modalities": [5]}
    only = ["mmvae dreg", "svae"]
    load("step_missing").main(rounds_of_five=2, warmup=0, **small, only=only, out=str(out))
    record = json.loads(out.read_text())
    times = record["milliseconds"]
    sides = {"eager", "recorded", "half, eager", "half, recorded", "half, auto"}
    assert sides <= times["5, mmvae dreg, width 4"].keys()
    assert times["5, svae, width 4"].keys() == sides
    row, other = record["tables"][0]["rows"]
    assert 0.1 < float(row[-1]) < 0.6  # of 0.3 in expectation, for eight rows
    assert other[-1] == ""


def test_training_in_several_ways(monkeypatch, tmp_path):
    training, out = load("training"), tmp_path / "training.json"
    ways = {"eager": {}, "recorded": {"step": "recorded"}, "bfloat16": {"precision": "bf16-mixed"}}
    monkeypatch.setattr(training, "WAYS", ways)
    small = {"rounds": 2, "epochs": 2, "steps": 2, "batch": 4, "hidden": 4, "latent_dim": 3}
    training.main(**small, only="mvae", out=str(out))
    record = json.loads(out.read_text())
    times = record["milliseconds"]["mvae"]
    assert ways.keys() <= times.keys()
    assert all(len(values) == 4 for values in times.values())  # of each round each epoch but one
    (row,) = record["tables"][0]["rows"]
    assert len(row) == len(record["tables"][0]["columns"])


def test_numbers_of_modalities(tmp_path):
    modalities = load("modalities")
    names = list("abcde")
    for m in (2, 4, 5):
        terms = paired_terms(names[:m], unimodal_on_complete_rows=True, suppliers=True)
        assert modalities.chain(m) == len(terms)
        assert modalities.everything(m) == len(non_empty_subsets(names[:m]))
        assert len(modalities.family(names[:m])) == 2 * m - 1
    out = tmp_path / "modalities.json"
    modalities.main(largest=4, rounds=2, warmup=0, limit=4, only="mopoe", out=str(out))
    record = json.loads(out.read_text())
    (row,) = record["tables"][0]["rows"]
    assert row[0] == "mopoe"
    assert re.fullmatch(r"[\d.]+ \[[-\d.]+, [\d.]+\]", row[1])
    assert row[2] == "15 terms"
    assert out.with_suffix(".png").stat().st_size > 0
    out.with_suffix(".notes.md").write_text("Found.\n")
    page = load("page").page(tmp_path)
    assert "## Number of modalities" in page
    assert "Found." in page
    assert "![Number of modalities](modalities.png)" in page
    assert "| mopoe |" in page


def test_seconds_until_a_bound():
    run = load("strata").Run("mmvae", 1, seed=0, threads=1)
    run.curve = [(1.0, -10.0), (2.0, -8.0), (3.0, -9.0), (4.0, -4.0)]
    assert run.reaches(-9.0) == 1.5
    assert run.reaches(-12.0) == 1.0
    assert run.reaches(-6.5) == 3.5
    assert torch.tensor(run.reaches(0.0)).isnan()


def test_strata_trains_and_draws(monkeypatch, tmp_path):
    strata, out = load("strata"), tmp_path / "strata.json"
    monkeypatch.setattr(strata.data, "load", lambda *_, **__: _Pictures())
    monkeypatch.setattr(strata, "SETTINGS", {"mmvae": ((1, None), 5)})
    strata.main(seconds=1e-3, batch=4, out=str(out))
    record = json.loads(out.read_text())
    assert [row[0] for row in record["tables"][0]["rows"]] == ["mmvae, 1 of 5", "mmvae, all 5"]
    assert out.with_suffix(".png").stat().st_size > 0


def test_likelihoods_of_trained_systems(monkeypatch, tmp_path):
    likelihood, out = load("likelihood"), tmp_path / "likelihood.json"
    ways = {name: likelihood.WAYS[name] for name in ("guide", "refined")}
    monkeypatch.setattr(likelihood, "WAYS", ways)
    toy = LinearGaussian({"top": 1, "bottom": 1, "label": 1}, spread=0.5)
    system = toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim))
    config, test = SimpleNamespace(system="toy"), SimpleNamespace(test=toy.sample(4))
    run = SimpleNamespace(system=system, dataset=test, config=config)
    monkeypatch.setattr(likelihood, "trained", lambda *_: run)
    monkeypatch.setattr(likelihood, "AGREEING", ("quick start",))
    brief = partial(likelihood.certify, num_temperatures=2, num_chains=30)
    monkeypatch.setattr(likelihood, "certify", brief)
    options = {"rows": 4, "temperatures": 3, "chains": 30, "out": str(out)}
    likelihood.main(tmp_path, only="quick, agreement, certify", **options)
    record = json.loads(out.read_text())
    certified = record["tables"].pop(0)["rows"]
    assert [row[0] for row in certified] == [
        *("log p(top, bottom, label)", "log p(top)", "log p(bottom)", "log p(label)"),
    ]
    assert all(row[1].endswith("of 4") and abs(float(row[6])) < 0.5 for row in certified)
    assert len(record["tables"]) == 6  # five questions, and the agreement
    truth = toy.log_p(run.dataset.test, ("top", "bottom", "label")).mean().item()
    guide, refined = record["tables"][0]["rows"]
    assert (guide[0], refined[0], refined[1]) == ("guide", "refined", "4")
    assert float(refined[2]) == 100.0 > float(guide[2])
    assert abs(float(refined[5]) - truth) < 0.05
    assert record["measured"]["quick start, log p(top)"][1]["stage"] == ["laplace"] * 4


class _Pictures:
    origin = "noise"

    def __init__(self):
        from ppl_mm import Observations

        values = {f"m{m}": torch.rand(4, 3, 28, 28) for m in range(5)}
        self.train = self.test = Observations(values)


def test_what_systems_are_good_at_is_recorded(tmp_path):
    torch.set_default_dtype(torch.float32)
    out = tmp_path / "systems.json"
    systems = load("systems")
    systems.main(str(out), tmp_path / "runs", rows=6, epochs=1, only="mvae")
    (found,) = json.loads(out.read_text())["tables"]
    (mvae,) = found["rows"]
    assert len(mvae) == len(found["columns"])
    assert all(0 <= float(share) <= 1 for share in mvae[1:5])


def test_the_script_for_cuda_makes_both_readings_of_mvae(tmp_path):
    """A Python of its own writes down what the script would run."""
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    python.chmod(0o755)
    script = FOLDER / "cuda.sh"
    subprocess.run(["sh", str(script)], env=os.environ | {"PYTHON": str(python)}, check=True)
    asked = [line.split()[2:] for line in log.read_text().splitlines() if ".mvae " in line]
    runs = []
    for words in asked:
        pairs = zip(words[::2], words[1::2], strict=True)
        given = [f"{flag[2:].replace('-', '_')}={value}" for flag, value in pairs]
        runs.append(Config(**flags.options(given)))
    readings = {(run.label_weight, run.terms) for run in runs}
    assert readings == {READINGS["weight 1"], READINGS["image answers for both"]}
    same = {(r.dataset, r.epochs, r.precision, r.step, r.device, r.train_rows) for r in runs}
    assert same == {("binary_mnist", 500, "bf16-mixed", "recorded", "cuda", None)}
    limits = [int(seconds) for seconds in re.findall(r"timeout (\d+)", script.read_text())]
    assert sum(limits) < 600  # The readings share one limit, as they run at once.
