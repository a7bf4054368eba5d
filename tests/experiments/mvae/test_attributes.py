"""MVAE19 with modalities kept at random and random subsets; how its records are shown."""

import json
from dataclasses import asdict, replace

import pytest
import torch
import typer
from typer.testing import CliRunner

from ppl_mm.data import MemoryMapped
from ppl_mm.data.celeba import ATTRIBUTES
from ppl_mm.experiments import results_table, runner
from ppl_mm.experiments.mvae import attributes as mvae_attributes
from ppl_mm.experiments.mvae import attributes_table as mvae_attributes_table
from ppl_mm.experiments.mvae import experiment as mvae
from ppl_mm.experiments.mvae import faces_pages as mvae_faces
from ppl_mm.experiments.mvae.attributes import SMOKE, Config
from ppl_mm.experiments.options import lacks


def test_sizes_are_the_papers():
    config = Config()
    assert (config.epochs, config.annealing_epochs, config.lr) == (100, 20, 1e-4)
    assert (config.batch_size, config.label_weight, config.num_samples) == (100, 50, 100)
    assert config.k == 1


@pytest.mark.parametrize("run", [*mvae_faces.FACES, mvae_faces.MVAE19])
def test_runs_of_faces_have_the_papers_sizes(run):
    assert (run.epochs, run.annealing_epochs, run.lr, run.batch_size) == (100, 20, 1e-4, 100)
    assert (run.num_samples, run.label_weight, run.terms) == (100, 50, "own")
    assert (run.test_rows, run.train_rows) == (19_962, None)
    assert run.joint_rows == 19_962 or lacks(run, "joint_rows")


@pytest.mark.parametrize(("k", "number"), [(0, 20), (1, 21), (50, 70)])
def test_terms_and_their_noise(tiny_mnist, k, number):
    faces = mvae.load(SMOKE)
    for shared in (False, True):
        system = mvae_attributes.build(replace(SMOKE, k=k, shared_noise=shared), faces)
        assert len(system.objective.terms(faces.train.names)) == number
        assert system.objective.shared_noise == shared
        assert system.objective.lambdas == {"image": 1.0, **dict.fromkeys(ATTRIBUTES, 50.0)}


def test_training_rows_keep_a_share(tiny_mnist, monkeypatch):
    faces, seen = mvae.load(SMOKE), []
    monkeypatch.setattr(
        mvae_attributes.runner, "train", lambda *args, **options: seen.append((args, options)) or {}
    )
    config = replace(SMOKE, keep=0.25, train_rows=20, epochs=5)
    for seed in (0, 0, 1):
        system = mvae_attributes.build(config, faces)
        found = mvae_attributes.train(system, faces, replace(config, seed=seed))
        assert found == {"train_rows": 20}
    (first, again, other) = (args[1] for args, _ in seen)
    assert seen[0][1] == {"annealing_epochs": 1}
    assert isinstance(first, MemoryMapped)
    assert len(first) == 20
    held = [torch.stack([rows.present[n] for n in rows.names]) for rows in (first, again, other)]
    assert torch.equal(held[0], held[1])
    assert not torch.equal(held[0], held[2])
    # 380 draws: four standard errors of a share of 0.25 are 0.09.
    assert abs(held[0].double().mean() - 0.25) < 0.09
    assert all(mask.all() for mask in faces.train.present.values())


def test_the_recorded_command_repeats_the_run(monkeypatch):
    config = Config(k=10, keep=0.5, shared_noise=True, seed=3)
    command = runner.command(config)
    words = "python -m ppl_mm.experiments.mvae.attributes --seed 3 --keep 0.5 --k 10 --shared-noise"
    assert command == words
    app, runs = typer.Typer(), []
    app.command()(runner.command_line(lambda config: runs.append(config) or {}, Config))
    found = CliRunner().invoke(app, command.split()[3:])
    assert found.exit_code == 0, found.output
    assert runs == [config]


def record(value, **options):
    """A run whose measures are ``value`` and so on."""
    config = Config(**options)
    measures = {"accuracy": value, "accuracy se": 0.01, "commoner": {"Bald": 0.98}}
    measures["accuracy of Bald"] = value
    for quantity in ("log p(x1)", "log p(x1,x2)", "log p(x1|x2)"):
        for i, by in enumerate(("x1", "x1x2")):
            measures[f"{quantity} by {by}"] = 100 * value - i
            measures[f"{quantity} by {by} se"] = 2.0
            measures[f"{quantity} by {by} variance"] = 70.0 + i
    facts = {"command": "python", "train_seconds": 60.0, "evaluation_seconds": 60.0}
    facts |= {"hardware": "a GPU", "versions": {"torch": "2"}, "experiment": "mvae_attributes"}
    return {"config": asdict(config), "measures": measures, **facts}


RECORDS = [
    record(0.9),
    record(0.8, keep=0.1),
    record(0.6, keep=0.1, seed=1),
    record(0.5, k=10),
    record(0.4, k=10, shared_noise=True),
    record(0.2, k=1, shared_noise=True),
]


def test_shares_kept():
    page = "\n".join(mvae_attributes_table.figure_9(RECORDS))
    assert "| 0.1 | 50 | 100 | 0.7000 ± 0.1414 | 70.00 ± 14.14 |" in page
    assert "| 1 | 50 | 100 | 0.9000 ± 0.0100 | 90.00 ± 2.00 | 90.00 ± 2.00 | 89.00 ± 2.00 |" in page
    assert "| Bald | 0.980 | 0.700 | 0.900 |" in page
    assert "| 0.5000" not in page  # of another k


def test_attributes_of_other_label_weights_stand_apart():
    records = [record(0.9), record(0.5, label_weight=1.0), record(0.3, label_weight=1.0, keep=0.1)]
    first, second = "\n".join(mvae_attributes_table.figure_9(records)).split("λ 50, 100 epochs:")
    assert "λ 1, 100 epochs:" in first
    assert "| Bald | 0.980 | 0.300 | 0.500 |" in first
    assert "| Bald | 0.980 | 0.900 |" in second


@pytest.mark.parametrize(
    ("name", "value"), [("system", "jmvae"), ("dataset", "celeba"), ("terms", "image_all")]
)
def test_options_of_other_experiments_are_errors(name, value):
    with pytest.raises(ValueError, match=f"unknown {name} '{value}'; known: "):
        replace(SMOKE, **{name: value})


def test_random_subsets():
    own, shared = "\n".join(mvae_attributes_table.figure_10(RECORDS)).split("the row's noise")
    assert "| 1 | 50 | 100 | 90.00 ± 2.00 | 70.00 | 89.00 ± 2.00 | 71.00 |" in own
    assert "| 10 | 50 | 100 | 50.00 ± 2.00 | 70.00 | 49.00 ± 2.00 | 71.00 |" in own
    assert "| 10 | 50 | 100 | 40.00 ± 2.00 |" in shared
    assert "0.1" not in own + shared  # shares kept are another figure's


def test_the_page_has_both_figures(tmp_path):
    for i, r in enumerate(RECORDS):
        (tmp_path / f"{i}.json").write_text(json.dumps(r))
    results_table.main(tmp_path)
    page = (tmp_path / "README.md").read_text()
    for picture in ("attributes-kept.png", "attributes-terms.png"):
        assert f"]({picture})" in page
        assert (tmp_path / picture).stat().st_size > 1000
    made = "training in float32 1.0 min, measures 1.0 min on a busy a GPU"
    assert page.count(made) == len(RECORDS)
