"""The experiment runs end to end at smoke scale on data of the true format."""

import inspect
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer import Typer
from typer.testing import CliRunner

from ppl_mm import evaluation
from ppl_mm.experiments import results_table, runner
from ppl_mm.experiments.mmvae_plus import experiment as mmvae_plus
from ppl_mm.experiments.mmvae_plus import table as mmvae_plus_table
from ppl_mm.experiments.options import changed
from ppl_mm.runs import records

SYSTEMS = [  # the pages' tests train the others too
    "mmvae_plus",
    "mvae",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("mmvae", "mopoe")),
]


@pytest.fixture
def config(tiny_mnist: Path, narrow_data: None) -> mmvae_plus.Config:
    """On PolyMNIST composed of a tiny MNIST."""
    return replace(mmvae_plus.SMOKE, num_test=20, out=str(tiny_mnist / "out"))


@pytest.mark.parametrize("system", SYSTEMS)
def test_smoke(config, system, numbers):
    config = changed(config, system=system)
    measures = mmvae_plus.main(config)
    assert np.isfinite(numbers(measures)).all()
    out = Path(config.out)
    record = json.loads((out / f"{config.name}.json").read_text())
    assert record["measures"] == measures
    assert ("private" in measures) == (system == "mmvae_plus")
    pictures = {p.stem.removeprefix(f"{config.name}-") for p in out.glob("*.png")}
    expected = {"conditional", "prior", "traversal-z"}
    if system == "mmvae_plus":
        expected = {"conditional", "prior", "traversal-u", "traversal-w", "private"}
        expected |= {f"grid-m{i}" for i in range(1, 5)}
        expected |= {"auxiliary", "alpha"}
    assert pictures == expected
    page = results_table.render([record])
    assert f"{measures['coherence']['mean'][0]:.3f}" in page
    assert record["command"] in page


def test_training_alone_then_measures(config, monkeypatch):
    config = changed(config, system="mvae")
    assert mmvae_plus.main(config, train_only=True) == {}
    path = Path(config.out) / f"{config.name}.json"
    trained = json.loads(path.read_text())
    assert "measures" not in trained
    monkeypatch.setattr(mmvae_plus, "train", lambda *_: pytest.fail("trained again"))
    mmvae_plus.main(config)
    record = json.loads(path.read_text())
    assert record["train_seconds"] == trained["train_seconds"]
    assert "measures" in record


def test_a_folder_of_another_training_is_refused(config):
    config = changed(config, system="mvae")
    mmvae_plus.main(config, train_only=True)
    mmvae_plus.main(replace(config, num_samples=3), train_only=True)
    with pytest.raises(
        ValueError, match=r"lr: the run in .* has 0\.001, asked to go on with 0\.01"
    ):
        mmvae_plus.main(replace(config, lr=0.01), train_only=True)


def test_stopped_training_goes_on(config, monkeypatch):
    config = changed(config, system="mvae", epochs=2)
    whole = replace(config, out=f"{config.out}-whole")
    mmvae_plus.main(whole, train_only=True)
    fit = records.fit

    def stopped(*arguments, epochs, **options):
        fit(*arguments, epochs=1, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(records, "fit", stopped)
    with pytest.raises(KeyboardInterrupt):
        mmvae_plus.main(config, train_only=True)
    resumed = []
    monkeypatch.setattr(records, "fit", lambda *a, **o: resumed.append(o["resume"]) or fit(*a, **o))
    mmvae_plus.main(config, train_only=True)
    assert resumed == [True]
    histories = [
        json.loads((Path(c.out) / f"{c.name}.json").read_text())["history"] for c in (config, whole)
    ]
    assert histories[0] == histories[1]


def test_seeds_are_one_row_with_their_spread(config):
    config = changed(config, system="mvae")
    mmvae_plus.main(config)
    text = (Path(config.out) / f"{config.name}.json").read_text()
    records = [json.loads(text), json.loads(text)]
    records[1]["config"]["seed"] = 1
    means = (0.25, 0.5)
    for record, value in zip(records, means, strict=True):
        record["measures"]["coherence by inputs"]["1"] = [value, 0.1]
    page = results_table.render(records)
    assert "MVAE (2 seeds)" in page
    assert f"{np.mean(means):.3f} ± {np.std(means, ddof=1):.3f}" in page


def test_command_line_has_every_field(config):
    got = []

    def main(config, *, train_only=False):
        got.append((config, train_only))
        return {}

    run = runner.command_line(main, mmvae_plus.Config)
    assert inspect.signature(run) == inspect.signature(mmvae_plus.run)
    app = Typer()
    app.command()(run)
    flags = "--system mopoe --epochs 3 --num-train 10 --clip-norm 2.5 --train-only"
    result = CliRunner().invoke(app, flags.split())
    assert result.exit_code == 0, result.output
    expected = mmvae_plus.Config(system="mopoe", epochs=3, num_train=10, clip_norm=2.5)
    assert got == [(expected, True)]


def test_private_sizes_are_in_the_name_where_they_are_not_the_default():
    config = mmvae_plus.Config(epochs=1)
    assert config.name == "polymnist-conv-mmvae_plus-elbo-1-1-1-0"
    sized = replace(config, shared_dim=10, private_dim=1)
    assert sized.name == "polymnist-conv-mmvae_plus-elbo-1-10+1-1-1-0"
    pair = replace(sized, system="dmvae", dataset="mnist_svhn", other_private_dim=4)
    assert pair.name == "mnist_svhn-dmvae-10+1+4-1-1-0"
    assert changed(sized, system="mvae").name == changed(config, system="mvae").name


def test_dmvae_has_its_networks_likelihoods_and_weights(tiny_mnist):
    config = mmvae_plus.Config(system="dmvae", dataset="mnist_svhn", shared_dim=10, private_dim=1)
    config = replace(config, other_private_dim=4, num_train=30)
    dataset = mmvae_plus.load(config)
    assert (len(dataset.train), len(dataset.classes("train")), len(dataset.test)) == (30, 30, 20)
    system = mmvae_plus.build(config, dataset)
    assert system.model.private_dim == {"mnist": 1, "svhn": 4}
    assert {m.name: m.weight for m in system.modalities} == {"mnist": 50.0, "svhn": 1.0}
    decoders = sum(p.numel() for p in system.model.parameters())
    assert decoders == 204_560 + 705_024  # of the release, at 10 + 1 and 10 + 4
    other = mmvae_plus.build(changed(config, system="mmvae_plus"), dataset)
    assert sum(p.numel() for p in other.model.decoders.parameters()) == decoders


class Brightness(nn.Module):
    """Features of a picture that no classifier of digits has: the means of its channels."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()

    def features(self, images: Tensor) -> Tensor:
        return images.mean((-2, -1))


@pytest.mark.slow
def test_distances_by_the_features_of_inception_are_called_so(config, monkeypatch):
    """The true network needs its weights; what is measured with it is tested elsewhere."""
    monkeypatch.setattr(evaluation, "Inception", Brightness)
    config = changed(config, system="mvae", features="inception")
    found = mmvae_plus.main(config)
    system, dataset = runner.trained(config, mmvae_plus.load, mmvae_plus.build)
    oracles = dict.fromkeys(dataset.test.names, Brightness(system.device))
    by_hand = evaluation.frechet(system, dataset.test, oracles, seed=config.seed)
    assert found["fid"]["cells"] == by_hand.to_dict()["cells"]
    record = runner.files(config).read()
    page = "\n".join(mmvae_plus_table.quality([record]))
    assert "| FID (Inception), 20 cells |" in page
    other = {**record, "config": {**record["config"], "features": "classifier"}}
    with pytest.raises(ValueError, match="features: expected one kind for all runs of a page"):
        mmvae_plus_table.quality([record, other])
    with pytest.raises(ValueError, match=r"unknown features 'resnet'; known: classifier, incept"):
        replace(config, features="resnet")
