import os
from importlib import import_module
from pathlib import Path

import pytest
import torch

from ppl_mm.data import mnist_split, mnist_split_3
from ppl_mm.data.mnist import read_images
from ppl_mm.likelihoods import SoftBernoulli
from ppl_mm.published.small_pictures import MNIST

real = pytest.mark.skipif(
    not os.environ.get("PPL_MM_DATA"), reason="needs the published files: set PPL_MM_DATA"
)
ROWS = {
    mnist_split: {"top": (0, 14), "bottom": (14, 28)},
    mnist_split_3: {"top": (0, 9), "middle": (9, 18), "bottom": (18, 27)},
}
every_split = pytest.mark.parametrize("build", ROWS)


@every_split
def test_modalities_are_strips_of_one_picture(folder: Path, build) -> None:
    data = build(folder, validation=8)
    test_images, test_labels = read_images(MNIST, folder, "t10k")
    expected = {
        "train": read_images(MNIST, folder, "train"),
        "validation": (test_images[12:], test_labels[12:]),
        "test": (test_images[:12], test_labels[:12]),
    }
    for split, (images, labels) in expected.items():
        obs = getattr(data, split)
        assert obs.names == tuple(ROWS[build])
        for name, (first, end) in ROWS[build].items():
            assert obs[name].shape == (len(images), 1, end - first, 28)
            assert obs[name].dtype == torch.get_default_dtype()
            pixels = (obs[name] * 255).round().to(torch.uint8)
            assert torch.equal(pixels.squeeze(1), images[:, first:end])
        assert torch.equal(data.classes(split), labels)
    assert data.label is None
    assert data.latent_dim == 64


@every_split
def test_joined_parts_are_the_picture(folder: Path, build) -> None:
    data = build(folder, validation=0)
    images, _ = read_images(MNIST, folder, "t10k")
    expected = images[:, None] / 255
    end = max(rows[1] for rows in ROWS[build].values())
    expected[..., end:, :] = 0
    torch.testing.assert_close(data.join(data.test.values), expected.to(data.test["top"]))
    leading = {name: x.reshape(4, 5, *x.shape[1:]) for name, x in data.test.values.items()}
    assert data.join(leading).shape == (4, 5, 1, 28, 28)


def test_parts_of_the_other_split_are_not_joined(folder: Path) -> None:
    halves, thirds = mnist_split(folder, validation=0), mnist_split_3(folder, validation=0)
    with pytest.raises(ValueError, match=r"top, bottom of 14 rows of pixels each, got \[9, 9\]"):
        halves.join(thirds.test.values)


@every_split
def test_halves_of_the_test_file_by_default(build, monkeypatch: pytest.MonkeyPatch) -> None:
    def numbered(source, folder, part):
        size = {"train": 3, "t10k": 10_000}[part]
        return torch.zeros(size, 28, 28, dtype=torch.uint8), torch.arange(size)

    monkeypatch.setattr(import_module("ppl_mm.data.mnist_split"), "read_images", numbered)
    data = build()
    assert torch.equal(data.classes("test"), torch.arange(5_000))
    assert torch.equal(data.classes("validation"), torch.arange(5_000, 10_000))


@every_split
def test_no_validation(folder: Path, build) -> None:
    data = build(folder, validation=0)
    assert data.validation is None
    assert len(data.test) == len(data.classes("test")) == 20
    for validation in (-1, 20):
        with pytest.raises(ValueError, match=rf"{data.name}.*(to 19 .*|0,) got {validation}"):
            build(folder, validation=validation)


@every_split
def test_networks_fit_the_values_and_grey_ones_are_scored(folder: Path, build) -> None:
    data = build(folder, validation=0)
    obs = data.train[:3]
    for modality in data.modalities:
        assert modality.likelihood == SoftBernoulli()
        assert modality.weight == 1
        x = obs[modality.name]
        assert ((x > 0) & (x < 1)).any()
        loc, scale = modality.encoder(data.latent_dim)(x)
        assert loc.shape == scale.shape == (3, 64)
        logits = modality.decoder(data.latent_dim)(loc)
        score = x * logits - logits.exp().log1p()
        found = modality.likelihood(logits).log_prob(x)
        torch.testing.assert_close(found, score.sum((1, 2, 3)), atol=1e-4, rtol=1e-5)
        assert modality.features()(x).shape == (3, 768)


@every_split
def test_the_map_to_the_scale_is_an_option(folder: Path, build) -> None:
    for scale in ("softplus", "softplus_variance"):
        for modality in build(folder, validation=0, scale=scale).modalities:
            assert modality.encoder(4).location_scale.scale == scale


@real
@every_split
def test_published_files(build) -> None:
    data = build()
    assert [len(data.train), len(data.validation), len(data.test)] == [60_000, 5_000, 5_000]
    assert data.classes("test")[:5].tolist() == [7, 2, 1, 0, 4]
