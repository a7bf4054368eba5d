"""Runs of experiments: whenever one is stopped the next goes on, and other options are refused."""

import json
import os
import runpy
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ppl_mm import data
from ppl_mm.experiments import papers, results_table, runner, tables
from ppl_mm.experiments.earlier_names import EARLIER, name_now
from ppl_mm.experiments.mvae import experiment as mvae
from ppl_mm.experiments.mvae import weak

RESULTS = Path(__file__).resolve().parents[2] / "experiments" / "results"


@pytest.fixture
def small(tiny_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own, while all 40 rows of the tiny files train."""
    load = data.load
    monkeypatch.setattr(data, "load", lambda name, **o: load(name, validation=0, **o))
    return tiny_mnist


@pytest.fixture
def config(small: Path) -> mvae.Config:
    """A run that writes its checkpoint twice, after each epoch."""
    config = replace(mvae.SMOKE, system="vae", dataset="binary_mnist", epochs=2)
    return replace(config, checkpoint_every=1, out=str(small / "run"))


def kill(monkeypatch: pytest.MonkeyPatch, write: int) -> None:
    """Stop the process before a file gets its name, counted from 0."""
    renamed, count = os.replace, iter(range(100))

    def replaced(*names: object) -> None:
        if next(count) == write:
            raise KeyboardInterrupt
        renamed(*names)

    monkeypatch.setattr(os, "replace", replaced)


def told(config: mvae.Config) -> dict[str, object]:
    """What a record says but for times."""
    record = runner.files(config).read()
    history = [{k: v for k, v in row.items() if k != "seconds"} for row in record["history"]]
    kept = ("experiment", "command", "train_rows", "measures", "hardware", "versions")
    return {"history": history, **{name: record[name] for name in kept}}


def test_whenever_a_run_is_killed_the_next_one_goes_on(config, monkeypatch):
    monkeypatch.setattr(mvae, "measure", lambda *_: {"log p(x1) by x1": -1.0})
    whole = replace(config, out=f"{config.out}-whole")
    mvae.main(whole)
    # the options, two checkpoints, the system, and the record without and with measures
    for write in range(6):
        one = replace(config, out=f"{config.out}-{write}")
        with monkeypatch.context() as patch:
            kill(patch, write)
            with pytest.raises(KeyboardInterrupt):
                mvae.main(one)
        mvae.main(one)
        assert told(one) == told(whole)
        assert runner.files(one).system.exists()


def test_a_system_saved_before_its_record_is_trained_to_the_end_again(config, monkeypatch):
    """A run killed between these two had a record without a training, and no table ever."""
    mvae.main(config, train_only=True)
    kept = runner.files(config)
    kept.write({name: kept.read()[name] for name in ("experiment", "config")})
    monkeypatch.setattr(mvae, "measure", lambda *_: {"test rows": 1})
    mvae.main(config)
    record = kept.read()
    assert len(record["history"]) == 2  # the checkpoint holds them
    assert record["train_rows"] == 40


def test_an_option_that_a_record_lacks_had_its_default(config):
    """A record of label weight 50 was once accepted for one of 1."""
    config = replace(config, system="jmvae", epochs=1)
    mvae.main(config, train_only=True)
    record = runner.files(config).read()
    del record["config"]["label_weight"]
    runner.check(config, record)
    with pytest.raises(ValueError, match=r"label_weight: the run in .* has 50\.0, asked .* 1\.0"):
        runner.check(replace(config, label_weight=1.0), record)
    del record["experiment"]  # as the first records had none
    runner.check(config, record)


def test_a_record_says_how_its_steps_were_taken(config):
    mvae.main(config, train_only=True)
    record = runner.files(config).read()
    kind, _, more = record["step"].partition(": ")
    assert kind in ("eager", "recorded")
    assert more
    assert tables.trained(record) == f"in float32 by {kind} steps"
    shown = tables.made(record | {"train_seconds": 90.0, "evaluation_seconds": 600.0})
    assert shown.startswith(
        f"seed 0; training in float32 by {kind} steps 1.5 min, measures 10 min on a"
    )


def test_where_a_run_trains_and_what_it_measures_may_differ(config):
    mvae.main(config, train_only=True)
    runner.begin(replace(config, num_samples=4, threads=2, device="auto"))
    record = runner.files(config).read()
    with pytest.raises(ValueError, match="num_samples"):  # a table is of one number
        runner.check(replace(config, num_samples=4), record)


def test_a_method_without_a_system_keeps_to_its_record_too(small):
    config = replace(weak.SMOKE, method="logreg", out=str(small / "weak"))
    weak.main(config)
    assert runner.files(config).read()["experiment"] == "mvae.weak"
    with pytest.raises(ValueError, match="num_train: the run in"):
        weak.main(replace(config, num_train=30))


def test_every_recorded_run_is_the_run_of_its_record():
    """Records of any age: their options are read, and compared with the run's own."""
    modules = {
        table.experiment.SMOKE.experiment: table.experiment
        for tables in papers.TABLES.values()
        for table in tables.values()
    }
    paths = sorted(RESULTS.glob("*.json"))
    assert len(paths) > 100
    for path in paths:
        record = json.loads(path.read_text())
        kind = type(modules[name_now(record.get("experiment", "mvae"))].SMOKE)
        known = asdict(kind())
        config = kind(**{k: v for k, v in record["config"].items() if k in known})
        runner.check(config, record)
        with pytest.raises(ValueError, match="seed: the run in"):
            runner.check(replace(config, seed=config.seed + 1), record)


def test_the_page_of_results_is_that_of_the_records():
    records = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    assert results_table.render(records) == (RESULTS / "README.md").read_text()


MAIN = ("mvae", "svae", "mmvae_plus", "meme", "cmmd", "results_table")


@pytest.mark.parametrize("name", [*EARLIER, *EARLIER.values(), *MAIN])
def test_recorded_commands_run(name, monkeypatch, capsys):
    """As ``python -m`` runs them; see the tests of packaging for the command itself."""
    monkeypatch.setattr(sys, "argv", ["x", "--help"])
    monkeypatch.delitem(sys.modules, f"ppl_mm.experiments.{name}", raising=False)
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"ppl_mm.experiments.{name}", run_name="__main__", alter_sys=True)
    assert ended.value.code == 0
    assert "--help" in capsys.readouterr().out


def test_a_name_that_no_experiment_has_is_an_error():
    with pytest.raises(ModuleNotFoundError, match="mvae_strong"):
        __import__("ppl_mm.experiments.mvae_strong")
