"""Birds and their captions at smoke scale, on files of the true format."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ppl_mm import evaluation, networks
from ppl_mm.distributions import DiagonalPrior, LearnedScale
from ppl_mm.experiments import results_table
from ppl_mm.experiments.mmvae_plus import cub as mmvae_plus_cub
from ppl_mm.experiments.mmvae_plus.cub import Config
from ppl_mm.experiments.options import changed


@pytest.fixture
def config(tiny_mnist: Path) -> Config:
    return replace(mmvae_plus_cub.SMOKE, out=str(tiny_mnist / "out"))


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_measures_and_pictures(config, numbers):
    config = changed(config, system="mvae", num_train=4)
    measures = mmvae_plus_cub.main(config)
    assert np.isfinite(numbers(measures)).all()
    assert measures["test rows"] == 4  # one caption a picture
    out = Path(config.out)
    pictures = {p.stem.removeprefix(f"{config.name}-") for p in out.glob("*.png")}
    expected = {"image-given-caption", "caption-given-image", "image-prior", "both-prior"}
    assert pictures == expected
    record = json.loads((out / f"{config.name}.json").read_text())
    assert (record["measures"], record["train_rows"]) == (measures, 40)
    page = results_table.render([record])
    assert record["command"] in page
    of_caption = measures["fid"]["cells"][measures["fid"]["given"].index(["caption"])][0]
    assert f"| {of_caption:.2f} |" in page


def test_pictures_of_few_are_evenly_spread_with_all_their_captions(config):
    dataset = mmvae_plus_cub.load(replace(config, num_train=5, num_test=None))
    assert len(dataset.test) == 40
    whole = mmvae_plus_cub.load(replace(config, num_train=None))
    assert len(whole.train) == 500
    chosen = [10 * p + n for p in (0, 10, 20, 30, 40) for n in range(10)]
    assert torch.equal(dataset.train["caption"], whole.train["caption"][chosen])
    assert torch.equal(dataset.train["image"], whole.train["image"][chosen])
    assert torch.equal(dataset.classes("train"), whole.classes("train")[chosen])


def test_networks_priors_and_weights_are_the_papers(config):
    paper = replace(Config(), device="cpu")
    dataset = mmvae_plus_cub.load(config)
    system = mmvae_plus_cub.build(paper, dataset)
    guide, model = system.guide, system.model
    image = count(guide.encoders["image"]) + count(guide.private_encoders["image"])
    assert (image, count(model.decoders["image"])) == (8_552_448, 4_276_931)
    sizes = {"vocab_size": len(dataset.vocabulary)}
    towers = partial(networks.CaptionEncoder, scale="softplus", **sizes)
    assert count(guide.encoders["caption"]) == count(towers(48, tower="shared"))
    assert count(guide.private_encoders["caption"]) == count(towers(16, tower="private"))
    assert {m.name: m.weight for m in system.modalities} == {"image": 32 / 12_288, "caption": 5.0}
    for prior in (guide.prior, *guide.private_priors.values()):
        assert isinstance(prior, DiagonalPrior)
        assert prior.family == "normal"
        assert (prior.scale == 1).all()
    assert all(isinstance(r, LearnedScale) for r in guide.auxiliary_priors.values())
    objective = system.objective
    assert (type(objective).__name__, objective.num_particles, objective.beta) == ("DReG", 10, 1)
    mopoe = mmvae_plus_cub.build(changed(paper, system="mopoe", beta=9.0), dataset)
    assert (mopoe.model.latent_dim, mopoe.objective.beta) == (64, 9)
    with pytest.raises(ValueError, match=r"private_dim: expected another size than shared_dim"):
        mmvae_plus_cub.build(replace(paper, private_dim=48), dataset)


def test_features_of_inception_or_a_classifier(config, monkeypatch):
    made = []
    monkeypatch.setattr(evaluation, "Inception", lambda device: made.append(device) or nn.Flatten())
    dataset = mmvae_plus_cub.load(config)
    system = mmvae_plus_cub.build(changed(config, system="mvae"), dataset)
    assert isinstance(
        mmvae_plus_cub._oracle(dataset, system, replace(config, features="inception")), nn.Flatten
    )
    assert made == [torch.device("cpu")]
    with pytest.raises(
        ValueError, match=r"unknown features 'resnet'; known: classifier, inception"
    ):
        mmvae_plus_cub._oracle(dataset, system, replace(config, features="resnet"))
