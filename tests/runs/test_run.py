"""Run folders: interrupted and resumed runs, defaults, systems without a label."""

import csv
import io
import json
import math
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from rich.table import Table

from ppl_mm import Observations, System, data, systems
from ppl_mm.evaluation import (
    classifier_accuracy,
    cross_coherence,
    joint_coherence,
    train_classifiers,
)
from ppl_mm.runs import folder, records, run
from ppl_mm.runs.building import build
from ppl_mm.runs.coherence import classifiable
from ppl_mm.runs.config import configure, read_config
from ppl_mm.runs.measures import measure
from ppl_mm.training import DivergedError
from ppl_mm.training.loop import Loop

OPTIONS = {"epochs": 3, "batch_size": 300, "progress": False}


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures, which take most of the time, are tested elsewhere."""
    monkeypatch.setattr("ppl_mm.runs.run.draw", lambda finished: None)


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def interrupt_in(monkeypatch, epoch: int) -> None:
    """Press Ctrl-C in an epoch, counted from 1."""
    train_epoch = Loop.epoch

    def interrupted(self, state, *args):
        if state.epoch + 1 == epoch:
            raise KeyboardInterrupt
        return train_epoch(self, state, *args)

    monkeypatch.setattr(Loop, "epoch", interrupted)


@pytest.mark.parametrize("epoch", [1, 3])  # before the first checkpoint, and after
def test_resumed_equals_uninterrupted(tmp_path, monkeypatch, undrawn, epoch):
    run.train(tmp_path / "whole", "mvae", "digits", seed=3, terms=1, **OPTIONS)
    with monkeypatch.context() as patch:
        interrupt_in(patch, epoch)
        with pytest.raises(KeyboardInterrupt):
            run.train(tmp_path / "parts", "mvae", "digits", seed=3, terms=1, **OPTIONS)
    assert not (tmp_path / "parts" / "system.safetensors").exists()
    with pytest.raises(FileExistsError, match="--resume"):
        run.train(tmp_path / "parts", "mvae", "digits", seed=3, terms=1, **OPTIONS)
    run.train(tmp_path / "parts", "mvae", "digits", resume=True, progress=False)
    assert history(tmp_path / "parts") == history(tmp_path / "whole")
    assert len(history(tmp_path / "whole")) == 3
    whole, parts = (
        System.load(tmp_path / name / "system.safetensors").state_dict()
        for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_run_that_goes_on_for_longer_equals_one_that_was_as_long(tmp_path, undrawn):
    again = {"resume": True, "progress": False}
    run.train(tmp_path / "parts", "mvae", "digits", **OPTIONS)
    longer = run.train(tmp_path / "parts", "mvae", "digits", epochs=4, device="cpu", **again)
    whole = run.train(tmp_path / "whole", "mvae", "digits", **OPTIONS | {"epochs": 4})
    assert longer.config == replace(whole.config, device="cpu")
    one, other = (made.system.state_dict() for made in (longer, whole))
    assert all(torch.equal(one[name], other[name]) for name in one)
    message = r"^epochs: the run in .* has 4 already, asked to go on until 3\. Ask for more\.$"
    with pytest.raises(ValueError, match=message):
        run.train(tmp_path / "parts", "mvae", "digits", epochs=3, **again)
    assert read_config(tmp_path / "parts") == longer.config
    with pytest.raises(
        ValueError, match=r"batch_size: the run in .* has 300, asked to go on with 9"
    ):
        run.train(tmp_path / "parts", "mvae", "digits", batch_size=9, **again)


def test_one_modality_without_a_label(tmp_path):
    done = run.train(tmp_path, "vae", "digits", modalities=["top"], **OPTIONS | {"epochs": 1})
    found = run.evaluate(done, num_samples=5, rows=4)
    assert [row.quantity for row in found.likelihoods] == ["ELBO", "log p(top)"]
    assert found.accuracies == ()
    assert {path.name for path in tmp_path.iterdir()} == set(folder.FILES)
    assert found.likelihoods[1].unreliable is None  # 5 draws tell nothing of a tail
    json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)  # no NaN


def test_loaded_run_measures_the_same(tmp_path, undrawn):
    done = run.train(tmp_path, "mvae", "digits", modalities=("label", "top"), **OPTIONS)
    assert done.dataset.test.names == ("top", "label")
    assert run.evaluate(run.load(tmp_path), num_samples=30, rows=9) == run.evaluate(
        done, num_samples=30, rows=9
    )


def test_double_precision(tmp_path, undrawn):
    torch.set_default_dtype(torch.float32)
    done = run.train(tmp_path, "mvae", "digits", precision="64-true", **OPTIONS | {"epochs": 1})
    found = run.evaluate(done, num_samples=5, rows=4)
    assert math.isfinite(found.likelihoods[0].mean)


def test_diverged_run_keeps_its_history(tmp_path, undrawn):
    with pytest.raises(DivergedError):
        run.train(tmp_path, "mvae", "digits", learning_rate=1e30, **OPTIONS)
    assert (tmp_path / "config.json").exists()
    assert not (tmp_path / "system.safetensors").exists()


def test_defaults_of_a_data_set_and_of_a_system():
    digits = data.load("digits")
    config = configure("mvae", digits)
    assert (config.latent_dim, config.terms, config.annealing_epochs) == (16, "all", 0)
    assert configure("vae", digits, modalities=["top"]).terms is None
    with pytest.raises(ValueError, match=r"unknown option 'epoch'; .* Did you mean 'epochs'"):
        configure("mvae", digits, epoch=3)


def test_examples_show_one_row_of_each_class(tmp_path, undrawn):
    done = run.train(tmp_path, "mvae", "digits", **OPTIONS | {"epochs": 1})
    assert folder.examples(done)["label"].tolist() == list(range(10))
    assert len(folder.examples(done, 3)) == 3


def test_measures_leave_out_what_is_not_there():
    digits = data.load("digits")
    system = build(configure("mvae", digits), digits, digits.train)
    found = measure(system, digits.test[:5].without("bottom"), "label", num_samples=3)
    quantities = [row.quantity for row in found.likelihoods]
    assert "log p(label | top, bottom)" in quantities
    assert "log p(top)" in quantities
    assert "log p(bottom)" not in quantities  # no row has one, which is no log p of 0
    assert not measure(system, digits.test[:5].without("label"), "label", num_samples=3).accuracies
    assert all(math.isfinite(row.mean) for row in found.likelihoods)


def test_meme_begins_with_training_rows(tmp_path):
    """Pictures, too: with the label its posteriors fall back on a prior that encodes late."""
    options = {**OPTIONS, "epochs": 1, "paired": 0.5, "options": {"num_pseudo_inputs": 20}}
    torch.manual_seed(0)
    done = run.train(tmp_path, "meme", "digits", **options)
    assert (tmp_path / "latent.png").exists()
    prior = done.system.model.prior
    labels = data.load("digits").train["label"]
    assert torch.isin(prior.pseudo_inputs("label"), labels).all()
    top = prior.pseudo_inputs("top")  # after an epoch, still near a picture
    nearest = torch.cdist(top.flatten(1), data.load("digits").train["top"].flatten(1)).amin(1)
    assert nearest.max() < 0.1


FROM_TOP = [("top", "bottom"), ("top",)]


@pytest.mark.parametrize(
    ("system", "given", "quantities", "accuracies"),
    [
        ("cvae", "label", ["top, bottom", "top", "bottom"], []),
        ("cvae", "top", ["bottom, label", "bottom", "label", "label"], FROM_TOP),
        ("cmmd", "top", ["bottom, label", "bottom", "label", "label"], FROM_TOP),
    ],
)
def test_a_conditional_system_is_measured_and_drawn_given_what_it_needs(
    tmp_path, system, given, quantities, accuracies
):
    own = {"cvae": {"given": [given]}, "cmmd": {"observed": [given], "label": "label"}}[system]
    options = {**OPTIONS, "epochs": 1, "options": {**own, "hidden": [8]}}
    done = run.train(tmp_path, system, "digits", **options)
    assert {path.name for path in tmp_path.iterdir()} == set(folder.FILES) - {
        "metrics.json",
        "likelihoods.npz",
    }
    found = run.evaluate(done, num_samples=5, rows=4)
    told = [f"log p({target} | {given})" for target in quantities]
    if given == "top":
        told[-1] = "log p(label | top, bottom)"
    assert [row.quantity for row in found.likelihoods] == ["ELBO", *told]
    assert [row.given for row in found.accuracies] == accuracies
    assert all(math.isfinite(row.mean) for row in found.likelihoods)


def test_systems_whose_papers_train_on_streams_do_so(tmp_path, monkeypatch, undrawn):
    seen = []
    fit = records.fit
    monkeypatch.setattr(records, "fit", lambda s, rows, **o: seen.append(rows) or fit(s, rows, **o))
    options = {**OPTIONS, "epochs": 1}
    made = run.train(tmp_path / "svae", "svae", "digits", paired=0.01, **options)
    assert [len(part) for part in seen[0]] == [12, 1200, 1200, 1200]
    alone = [term.alone for term in made.system.objective.terms if len(term.source) == 1]
    assert alone == [True] * 3 + [False] * 3
    unpaired = {"paired": 0.01, "options": {"unpaired": "disjoint"}}
    run.train(tmp_path / "disjoint", "svae", "digits", **unpaired, **options)
    assert [len(part) for part in seen.pop()] == [12, 1188, 1188, 1188]
    made = run.train(tmp_path / "whole", "svae", "digits", **options)
    assert len(seen[1]) == 1200
    assert not any(term.alone for term in made.system.objective.terms)


def test_coherence_is_that_of_each_modality_from_the_others(tmp_path):
    digits = data.load("digits")
    assert classifiable(digits) == classifiable(digits.without_label()) == ("top", "bottom")
    assert classifiable(replace(digits, num_classes=None)) == ()
    classifiers = train_classifiers(digits, ["top", "bottom"], epochs=1, progress=False)
    system = systems.mvae(digits.modalities, 2)
    test, labels = digits.test[:60], digits.classes("test")[:60]
    present = {"top": torch.arange(60) >= 20}
    holes = Observations(test.values, present)
    options = {"num_samples": 2, "rows": 2, "classifiers": classifiers, "labels": labels}
    found = measure(system, holes, "label", **options)
    known = classifier_accuracy(classifiers, holes, labels)
    assert found.oracles == {name: share.value for name, share in known.items()}
    *several, joint = found.coherences
    asked = {"top": "bottom", "bottom": "top"}
    questions = [(t, g) for t, o in asked.items() for g in ((o, "label"), (o,), ("label",))]
    assert [(c.label, c.given) for c in several] == questions
    for c in several:
        own = {c.label: classifiers[c.label]}
        expected = cross_coherence(system, test[20:], labels[20:], own, [c.given])
        assert (c.value, c.standard_error) == tuple(expected.mean().to_list())
    assert (joint.label, joint.given) == ("", ())
    assert joint.value == joint_coherence(system, classifiers, 40).value
    assert "draws from the prior" in printed(found.table("title"))
    given_top = systems.cmmd(digits.modalities, 2, observed=("top",), label="label")
    found = measure(given_top, holes, "label", **options)
    assert [(c.label, c.given) for c in found.coherences] == [
        ("bottom", ("top", "label")),
        ("bottom", ("top",)),
    ]
    found = measure(systems.cvae(digits.modalities, 2), holes, "label", **options)
    assert all("label" in c.given for c in found.coherences)  # none of draws from the prior


def printed(table: Table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    return console.file.getvalue()


def test_errors_of_accuracies_are_of_the_rows_that_have_a_label():
    digits = data.load("digits")
    system = systems.mvae(digits.modalities, 2)
    test = Observations(digits.test[:90].values, {"label": torch.arange(90) < 40})
    for found in measure(system, test, "label", num_samples=2, rows=2).accuracies:
        spread = math.sqrt(found.value * (1 - found.value) / 40)
        assert found.standard_error == pytest.approx(spread)
        assert 0 < found.value < 1


def test_whenever_a_run_is_killed_it_can_go_on(tmp_path, monkeypatch, undrawn):
    options = {**OPTIONS, "epochs": 2, "latent_dim": 2}
    run.train(tmp_path / "whole", "vae", "digits", modalities=["top"], **options)
    run.train(tmp_path / "old", "vae", "digits", modalities=["bottom"], **options)
    renamed = os.replace
    for write in range(6):  # the options, two checkpoints, the system, the history and its curves
        folder, count = tmp_path / str(write), iter(range(100))
        shutil.copytree(tmp_path / "old", folder)

        def replaced(*names, write=write, count=count):
            if next(count) == write:
                raise KeyboardInterrupt
            renamed(*names)

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replaced)
            with pytest.raises(KeyboardInterrupt):
                run.train(folder, "vae", "digits", modalities=["top"], overwrite=True, **options)
        found = run.train(folder, "vae", "digits", resume=True, progress=False)
        if write == 0:  # the old run, from its start, for the new one has not begun
            assert found.config.modalities == ("bottom",)
        else:
            assert history(folder) == history(tmp_path / "whole")
            assert (folder / "loss.png").exists()
