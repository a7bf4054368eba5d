import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ppl_mm import Observations
from ppl_mm.data import binary_mnist, fashion_mnist, keep_modalities, load, mnist
from ppl_mm.data.mnist import binarise, read_images
from ppl_mm.published.small_pictures import FASHION_MNIST, MNIST

real = pytest.mark.skipif(
    not os.environ.get("PPL_MM_DATA"), reason="needs the published files: set PPL_MM_DATA"
)


@pytest.mark.parametrize("build", [mnist, fashion_mnist])
def test_grey_values_are_the_files_bytes(folder: Path, arrays, build) -> None:
    data = build(folder, validation=10)
    images = torch.from_numpy(arrays["train-images-idx3-ubyte.gz"])
    assert torch.equal((data.train["image"] * 255).round().to(torch.uint8)[:, 0], images[:30])
    assert torch.equal((data.validation["image"] * 255).round().to(torch.uint8)[:, 0], images[30:])
    assert data.train["label"].tolist() == [*range(10)] * 3
    assert data.validation["label"].tolist() == [*range(10)]
    assert data.test["label"].tolist() == [*range(10)] * 2
    assert data.train["image"].shape == (30, 1, 28, 28)
    assert data.train["image"].dtype == torch.get_default_dtype()
    assert data.train["image"].max() <= 1


def test_validation_is_a_view_of_the_training_file(folder: Path) -> None:
    data = mnist(folder, validation=10)
    train, held_out = data.train["image"], data.validation["image"]
    assert train.untyped_storage().data_ptr() == held_out.untyped_storage().data_ptr()


def test_no_validation(folder: Path) -> None:
    data = mnist(folder, validation=0)
    assert len(data.train) == 40
    assert data.validation is None


@pytest.mark.parametrize("validation", [-1, 40, 10_000])
def test_validation_must_leave_rows(folder: Path, validation: int) -> None:
    message = rf"mnist.*(from 0 to 39 .*|at least 0,) got {validation}"
    with pytest.raises(ValueError, match=message):
        mnist(folder, validation=validation)


def test_networks_fit_the_values(folder: Path) -> None:
    for name in ("mnist", "binary_mnist", "fashion_mnist"):
        data = load(name, folder, validation=0)
        obs = data.train[:3]
        for modality in data.modalities:
            loc, scale = modality.encoder(data.latent_dim)(obs[modality.name])
            assert loc.shape == scale.shape == (3, 64)
            parameters = modality.decoder(data.latent_dim)(loc)
            assert modality.likelihood(parameters).log_prob(obs[modality.name]).shape == (3,)
            assert modality.features()(obs[modality.name]).shape == (3, 512)


def test_fixed_draw(folder: Path) -> None:
    data = binary_mnist(folder, validation=10)
    for obs in (data.train, data.validation, data.test):
        assert set(obs["image"].unique().tolist()) == {0.0, 1.0}
    assert data.transform is None
    again, other = binary_mnist(folder, validation=10), binary_mnist(folder, validation=10, seed=1)
    for split in ("train", "validation", "test"):
        drawn = getattr(data, split)["image"]
        assert torch.equal(drawn, getattr(again, split)["image"])
        assert not torch.equal(drawn, getattr(other, split)["image"])
    whole = binary_mnist(folder, validation=0).train["image"]
    assert torch.equal(whole, torch.cat([data.train["image"], data.validation["image"]]))


def test_draws_follow_the_grey_values(folder: Path) -> None:
    grey = mnist(folder, validation=0).train["image"]
    drawn = binary_mnist(folder, validation=0).train["image"]
    assert (drawn[grey == 0] == 0).all()
    assert (drawn[grey == 1] == 1).all()
    standard_error = (grey * (1 - grey)).sum().sqrt()  # of the sum of independent pixels
    assert (drawn - grey).sum().abs() < 4 * standard_error
    bright = grey > 0.5
    assert drawn[bright].mean() > drawn[~bright & (grey > 0)].mean() + 0.3  # expected: 0.5


def test_dynamic_training_rows_are_drawn_anew(folder: Path) -> None:
    fixed = binary_mnist(folder, validation=10)
    data = binary_mnist(folder, binarisation="dynamic", validation=10)
    assert torch.equal(data.train["image"], mnist(folder, validation=10).train["image"])
    for split in ("validation", "test"):
        assert torch.equal(getattr(data, split)["image"], getattr(fixed, split)["image"])
    assert data.transform is not None
    first, second = data.transform(data.train), data.transform(data.train)
    assert set(first["image"].unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(first["image"], second["image"])
    assert torch.equal(first["label"], data.train["label"])


def test_dynamic_validation_rows_do_not_hold_on_to_the_training_draw(folder: Path) -> None:
    held_out = binary_mnist(folder, binarisation="dynamic", validation=10).validation["image"]
    assert held_out.untyped_storage().nbytes() == held_out.numel() * held_out.element_size()


def test_binarise_has_the_grey_values_as_its_mean() -> None:
    torch.manual_seed(0)
    num_rows = 2000
    grey = torch.tensor([0.0, 0.25, 0.5, 0.9, 1.0])
    mean = binarise(Observations({"image": grey.expand(num_rows, 5)}))["image"].mean(0)
    standard_error = (grey * (1 - grey) / num_rows).sqrt()
    assert ((mean - grey).abs() <= 4 * standard_error).all()


def test_transform_leaves_masks_alone(folder: Path) -> None:
    data = binary_mnist(folder, binarisation="dynamic", validation=0)
    partial = keep_modalities(data.train, 0.5)
    drawn = data.transform(partial)
    for name in ("image", "label"):
        assert torch.equal(drawn.present[name], partial.present[name])
    missing = ~partial.present["image"]
    assert missing.any()
    assert (drawn["image"][missing] == 0).all()


def test_unknown_binarisation(folder: Path) -> None:
    with pytest.raises(ValueError, match="binarisation: expected 'fixed' or 'dynamic', got 'soft'"):
        binary_mnist(folder, binarisation="soft")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        ("train-labels-idx1-ubyte.gz", np.zeros(39, "u1"), r"expected 40 labels .* \(39,\)"),
        ("train-labels-idx1-ubyte.gz", np.zeros(40, "i4"), r"expected 40 labels .* torch.int32"),
        ("train-labels-idx1-ubyte.gz", np.full(40, 10, "u1"), r"expected labels 0..9, got 10"),
        ("train-images-idx3-ubyte.gz", np.zeros((40, 28, 27), "u1"), r"bytes \(N, 28, 28\), got"),
        ("train-images-idx3-ubyte.gz", np.zeros((40, 28, 28), "f4"), r"got torch.float32"),
    ],
)
def test_files_that_do_not_belong_together(
    folder: Path, write_idx, file: str, array: np.ndarray, message: str
) -> None:
    write_idx(folder / "mnist" / file, array)
    with pytest.raises(ValueError, match=rf"{file}: .*{message}.*data get mnist"):
        mnist(folder, validation=0)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="ppl-mm data get mnist"):
        mnist(tmp_path)


@real
def test_published_mnist() -> None:
    images, labels = read_images(MNIST, None, "train")
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert labels.bincount().tolist() == counts
    assert images.shape == (60_000, 28, 28)
    assert math.isclose(images.double().mean() / 255, 0.1307, abs_tol=5e-5)  # as often quoted


@real
def test_published_fashion_mnist() -> None:
    images, labels = read_images(FASHION_MNIST, None, "train")
    assert labels.bincount().tolist() == [6000] * 10
    assert math.isclose(images.double().mean() / 255, 0.2860, abs_tol=5e-5)  # as often quoted


@real
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_published_splits(name: str) -> None:
    data = load(name)
    assert (len(data.train), len(data.validation), len(data.test)) == (50_000, 10_000, 10_000)
