"""Two views of MNIST against the files that they are made of."""

import math
from pathlib import Path

import pytest
import torch

from ppl_mm.data import two_view_mnist
from ppl_mm.data.mnist import read_images
from ppl_mm.data.views import rotate
from ppl_mm.published.small_pictures import MNIST


def test_sizes_and_classes(folder: Path) -> None:
    data = two_view_mnist(folder, validation=10)
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 10, 20)
    labels = read_images(MNIST, folder, "train")[1]
    assert torch.equal(data.classes("train"), labels[:30])
    assert torch.equal(data.classes("validation"), labels[30:])
    assert data.train.names == ("rotated", "noisy", "label")


@pytest.mark.parametrize("split", ["train", "test"])
def test_noisy_view_is_a_picture_of_the_class_and_the_split(folder: Path, split: str) -> None:
    data = two_view_mnist(folder, validation=10)
    obs = getattr(data, split)
    images, labels = read_images(MNIST, folder, "train" if split == "train" else "t10k")
    images, labels = images[: len(obs)], labels[: len(obs)]
    noisy = obs["noisy"]
    assert ((noisy >= 0) & (noisy <= 1)).all()
    clean = images.double().flatten(1) / 255
    # only the picture below the noise is nowhere above it and at most 1 below
    above = noisy.flatten(1)[:, None] - clean  # (rows, images, pixels)
    could = ((above >= -1e-9) & (above <= 1)).all(-1)
    assert (could.sum(1) == 1).all()
    assert torch.equal(labels[could.int().argmax(1)], obs["label"])
    own = could.int().argmax(1) == torch.arange(len(obs))
    assert 0.1 < own.double().mean() < 0.8  # of 2 or 3 pictures of a class, one at random
    drawn = above[torch.arange(len(obs)), could.int().argmax(1)]
    noise = drawn[:, (clean == 0).all(0)]  # dark edges show all of it
    assert noise.numel() > 3_000
    assert abs(noise.mean() - 0.5) < 4 / math.sqrt(12 * noise.numel())
    assert abs(noise.square().mean() - 1 / 3) < 4 * math.sqrt(4 / 45 / noise.numel())


def test_seed_decides(folder: Path) -> None:
    first, again, other = (two_view_mnist(folder, validation=10, seed=s).train for s in (0, 0, 1))
    for name in ("rotated", "noisy"):
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


def test_angles_are_uniform_up_to_45_degrees(tmp_path: Path, arrays, write_idx) -> None:
    # a bar to the right of the centre shows the angle
    for name, array in arrays.items():
        if "images" in name:
            array = array.repeat(20, 0) * 0
            array[:, 13:15, 18:28] = 255
        else:
            array = array.repeat(20, 0)
        write_idx(tmp_path / "mnist" / name, array)
    rotated = two_view_mnist(tmp_path, validation=0).train["rotated"][:, 0]
    position = torch.arange(28) - 13.5
    right, down = (rotated * position).sum((1, 2)), (rotated * position[:, None]).sum((1, 2))
    angle = torch.atan2(-down, right)
    assert len(angle) == 800
    assert angle.abs().max() < math.pi / 4 + 0.01
    assert angle.abs().max() > 0.95 * math.pi / 4
    spread = math.pi / 2 / math.sqrt(12)
    assert abs(angle.mean()) < 4 * spread / math.sqrt(800)
    assert abs(angle.std() / spread - 1) < 4 * math.sqrt(0.2 / 800)  # kurtosis 9/5: 0.8 / 4 n


def test_no_turn_and_a_quarter_turn_are_exact() -> None:
    images = torch.rand(3, 2, 7, 7)
    torch.testing.assert_close(rotate(images, torch.zeros(3)), images, atol=1e-12, rtol=0)
    turned = rotate(images, torch.tensor([math.pi / 2, -math.pi / 2, math.pi]))
    for i, times in enumerate((1, -1, 2)):
        expected = torch.rot90(images[i], times, (1, 2))
        torch.testing.assert_close(turned[i], expected, atol=1e-12, rtol=0)


def test_networks_fit_the_values(folder: Path) -> None:
    data = two_view_mnist(folder, validation=10)
    obs = data.train[:3]
    for modality in data.modalities:
        loc, _ = modality.encoder(data.latent_dim)(obs[modality.name])
        assert loc.shape == (3, 50)
        parameters = modality.decoder(data.latent_dim)(loc)
        assert modality.likelihood(parameters).log_prob(obs[modality.name]).shape == (3,)
