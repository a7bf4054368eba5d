"""Every option has an effect in the runs that have it, and is refused or said in the others."""

import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from ppl_mm import Observations, baselines
from ppl_mm.cli.app import app as cli
from ppl_mm.experiments import runner
from ppl_mm.experiments.cmmd.config import task_of
from ppl_mm.experiments.mvae import weak_training
from ppl_mm.experiments.options import Options, changed, lacks, without_effect
from ppl_mm.experiments.papers import TABLES
from ppl_mm.experiments.reproduction import not_of_all, runs_of
from ppl_mm.runs.records import PLACES
from ppl_mm.training.fingerprint import of_run

EXPERIMENTS = {
    table.experiment.SMOKE.experiment: table.experiment
    for tables in TABLES.values()
    for table in tables.values()
    if isinstance(table.experiment.SMOKE, Options)
}


def system_of(config: Any) -> str:
    return getattr(config, "system", getattr(config, "method", ""))


def kinds(name: str) -> list[Any]:
    """The smoke runs of an experiment, one for each value of what other options depend on."""
    own = EXPERIMENTS[name].SMOKE.only.values()
    by = [other for other in ("system", "method", "dataset") if any(other in x for x in own)]
    by += ["split"] if name == "cmmd" else []
    found: dict[str, Any] = {}
    for tables in TABLES.values():
        for table in tables.values():
            if table.experiment is EXPERIMENTS[name]:
                for run in runs_of(table, "smoke"):
                    kind = [getattr(run, other) for other in by]
                    found.setdefault(str([*kind, getattr(run, "fraction", 1) < 1]), run)
    return list(found.values())


EVERY = [pytest.param(run, id=f"{name}: {run.name}") for name in EXPERIMENTS for run in kinds(name)]
FIRST = {(p.values[0].experiment, system_of(p.values[0])): p.id for p in reversed(EVERY)}
SLOW_BUT_FIRST = [
    p if p.id in FIRST.values() else pytest.param(*p.values, id=p.id, marks=pytest.mark.slow)
    for p in EVERY
]
"""A system is trained on its first data set alone, unless there is time."""


def traced(config: Any) -> tuple[Any, set[str]]:
    """The options, and the set of those that are read, but for names, records and checks."""
    read: set[str] = set()
    known = {field.name for field in fields(config)}
    passed = {"dataclasses", "ppl_mm.experiments.options"}

    class Traced(type(config)):
        def __getattribute__(self, name: str) -> Any:
            frame = sys._getframe(1)
            names = (frame.f_code.co_name, frame.f_back.f_code.co_name)
            if name in known and frame.f_globals["__name__"] not in passed:
                read.update(() if {"name", "data_name"} & set(names) else {name})
            return super().__getattribute__(name)

    return Traced(**vars(config)), read


@pytest.fixture
def seen(tiny: None, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is trained, and how: each call of a training is in the list, and is made no more."""
    calls: list[Any] = []
    generic = ("epochs", "batch_size", "lr", "clip_norm", "precision")

    def trained(system: Any, rows: Any, config: Any, **options: Any) -> dict[str, Any]:
        asked = {**{name: getattr(config, name) for name in generic}, **options}
        streams = [rows] if isinstance(rows, Observations) else rows
        calls.append(of_run(system, streams, asked.pop("validation", None), asked))
        row = {"epoch": 1, "held-out loss": 1.0, "held-out accuracy": 0.5, "test accuracy": 0.5}
        return {"train_seconds": 0.0, "history": [row]}

    def fitted(name: str, fit: Any) -> Any:
        def call(*positional: Any, **options: Any) -> Any:
            plain = [x for x in positional if isinstance(x, str | int | tuple)]
            rows = [_summary(x) for x in positional if isinstance(x, Observations | torch.Tensor)]
            calls.append((name, plain, rows, options))
            return fit(*positional, **options)

        return call

    monkeypatch.setattr(runner, "train", trained)
    monkeypatch.setattr(weak_training.runner, "train", trained)
    for name in baselines.__all__:
        if name.islower():
            monkeypatch.setattr(baselines, name, fitted(name, getattr(baselines, name)))
    return calls


def _summary(x: Any) -> list[float]:
    """The number of rows, and a sum that depends on their values and order."""
    tensors = list(x.values.values()) if isinstance(x, Observations) else [x]
    return [
        float(
            (t.flatten(1).double().sum(1) if t.ndim > 1 else t.double())
            @ torch.arange(len(t)).double()
        )
        for t in tensors
    ]


def trains(config: Any, out: Path) -> None:
    EXPERIMENTS[config.experiment].main(replace(config, out=str(out)), train_only=True)


def of_training(config: Any) -> set[str]:
    """The options of training that the run has."""
    known = {field.name for field in fields(config)} - {*config.of_measures, *PLACES}
    return {name for name in known if not lacks(config, name)}


@pytest.mark.filterwarnings("ignore:fit. no training row holds modality")
@pytest.mark.parametrize("config", SLOW_BUT_FIRST)
def test_training_reads_every_option_that_a_run_has(seen, tmp_path, config):
    config, read = traced(config)
    trains(config, tmp_path)
    assert of_training(config) - read == set()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:fit. no training row holds modality")
@pytest.mark.parametrize("config", EVERY)
def test_every_option_of_training_that_a_run_has_changes_it(seen, tmp_path, config):
    trains(config, tmp_path / "plain")
    plain, same = list(seen), set()
    for name, value in others(config).items():
        seen.clear()
        trains(replace(config, **{name: value}), tmp_path / name)
        same |= {name} if seen == plain else set()
    assert same == set()


def others(config: Any) -> dict[str, Any]:
    """Another value of each option of training."""
    values: dict[str, Any] = {"rows": 11, "strata": 2, "scale": 0.1, "clip_norm": 1.0, "speaker": 7}
    values |= {"num_train": 15, "train_rows": 10, "num_test": 5, "private_dim": 1}
    values |= {"batch_size": 19, "latent_dim": getattr(config, "latent_dim", 4) - 1}
    values |= {"preset": "paper", "label_reduction": "mean", "family": "laplace", "split": 2}
    values |= {"precision": "bf16-mixed", "omega": 0.35}
    first = "image" if getattr(config, "dataset", "") == "cub" else "mnist"
    values |= {"direction": first, "scheme": first}
    if config.experiment == "cmmd":
        values["observed"] = task_of(config).missing[0]
    if config.experiment == "cmmd.three":
        values["observed"] = "text"
    found = {}
    for name in of_training(config) - {"dataset", "system", "method", "seed"}:
        value = getattr(config, name)
        if name in values:
            found[name] = values[name]
        elif name in config.choices:
            more = [choice for choice in config.choices[name] if choice != value]
            found |= dict(zip([name], more, strict=False))
        elif isinstance(value, bool):
            found[name] = not value
        elif isinstance(value, float):
            found[name] = value / 2
        else:
            found[name] = 3 if value is None else value + 1
    if getattr(config, "objective", "") == "elbo":
        found.pop("num_particles", None)  # The ELBO draws one.
    if getattr(config, "dataset", "") == "mir_flickr":
        del found["split"]  # The tiny files have one.
    if system_of(config) in ("dcca", "dccae"):
        found.pop("speaker", None)  # A speaker has fewer rows than a correlation needs.
    if system_of(config) in ("mvae", "mmvae", "mmvae_elbo"):
        found.pop("observed", None)  # They are trained for any; the measures depend on it.
    return found


@pytest.mark.parametrize("config", EVERY)
def test_what_a_run_does_not_have_is_refused_or_said(config):
    shared = {field.name for field in fields(Options)}
    for field in fields(config):
        name = field.name
        if not lacks(config, name):
            continue
        value = next((v for v in config.choices.get(name, ()) if v != field.default), 3)
        if name in (*shared, *config.of_measures):
            told = without_effect(replace(config, **{name: value}))
            assert any(line.startswith(f"{name}: an option of ") for line in told)
        else:
            with pytest.raises(ValueError, match=f"^{name}: an option of .*, got "):
                replace(config, **{name: value})


@pytest.mark.parametrize(
    ("paper", "table", "option", "value"),
    [
        ("mvae", "table-2", "terms", "image_all"),
        ("mvae", "table-8", "terms", "image_all"),
        ("mvae", "table-8", "precision", "bf16-mixed"),
        ("mmvae_plus", "figure-1", "private_dim", 3),
        ("mmvae_plus", "figure-1", "strata", 1),
        ("mmvae_plus", "figure-1", "num_particles", 3),
        ("mmvae_plus", "figure-4", "strata", 1),
        ("meme", "table-3", "direction", "mnist"),
        ("meme", "table-3", "family", "laplace"),
        ("meme", "table-3", "preset", "bound"),
        ("cmmd", "table-2", "omega", 0.5),
        ("cmmd", "table-5", "impartial", "mgda"),
        ("svae", "table-1", "released", True),
    ],
)
def test_an_option_of_some_runs_of_a_table_changes_these_and_is_said(paper, table, option, value):
    plain, runs = (runs_of(TABLES[paper][table], "paper", **o) for o in ({}, {option: value}))
    own, others = ([r for r in runs if bool(lacks(r, option)) == lacking] for lacking in (0, 1))
    assert own
    assert others
    assert {getattr(run, option) for run in own} == {value}
    assert set(others) <= set(plain)
    (told,) = not_of_all(runs, {option: value})
    assert told.startswith(f"{option}: an option of ")
    assert told.endswith(f"; {len(others)} of {len(runs)} runs are without it.")


def test_the_command_says_it_before_anything_is_trained(tiny, tmp_path, monkeypatch):
    words = ["reproduce", "svae", "table-1", "--scale", "smoke", "--out", str(tmp_path)]

    def stopped(*_: Any, **__: Any) -> None:
        raise RuntimeError("stopped")

    monkeypatch.setattr(runner, "train", stopped)
    said = CliRunner().invoke(cli, [*words, "--option", "released=true"])
    assert said.output.startswith("released: an option of svae and svae_star, got 'vaevae'; 3 of 4")
    page = " ".join((tmp_path / "table-1.md").read_text().split())
    assert "- released: an option of svae and svae_star, got 'vaevae'; 3 of 4 runs are" in page
    refused = CliRunner().invoke(cli, [*words, "--option", "repeats=3"])
    assert refused.exit_code == 2
    assert "repeats: an option of mnist_svhn and mnist_fashion, got 'mnist_split'" in refused.output


def test_a_changed_run_keeps_what_it_has():
    run = changed(EXPERIMENTS["mmvae_plus"].SMOKE, system="mvae", epochs=3, latent_dim=5, strata=1)
    assert (run.shared_dim, run.latent_dim, run.strata, run.epochs) == (32, 5, None, 3)
