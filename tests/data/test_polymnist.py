import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ppl_mm import systems
from ppl_mm.data import polymnist
from ppl_mm.data.mnist import read_images
from ppl_mm.data.polymnist import NAMES, PHOTOGRAPHS, blend, match_classes
from ppl_mm.published.small_pictures import MNIST

real = pytest.mark.skipif(
    not os.environ.get("PPL_MM_DATA"), reason="needs the published files: set PPL_MM_DATA"
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mapped(height: int, width: int) -> Tensor:
    """A photograph whose pixels hold their row, their column, and noise."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    noise = torch.randint(256, (height, width), generator=seeded())
    return torch.stack([rows, columns, noise], -1).to(torch.uint8)


def test_a_crop_is_inverted_under_the_digit_alone() -> None:
    photograph = mapped(90, 60)
    digits = torch.randint(126, 132, (50, 28, 28), dtype=torch.uint8, generator=seeded())
    digits[:, 3, 4] = 128  # the brightest that is not the digit
    blended = blend(digits, photograph, seeded(1))
    corners = set()
    for digit, picture in zip(digits, blended, strict=True):
        row, column = int(picture[0, 3, 4]) - 3, int(picture[1, 3, 4]) - 4
        crop = photograph[row : row + 28, column : column + 28].permute(2, 0, 1).int()
        expected = torch.where(digit > 128, 255 - crop, crop)
        assert torch.equal(picture.int(), expected)
        corners.add((row, column))
    assert len(corners) > 45


def test_corners_reach_all_but_the_last() -> None:
    dark = torch.zeros(400, 28, 28, dtype=torch.uint8)
    pictures = blend(dark, mapped(30, 31), seeded())
    corners = {(int(p[0, 0, 0]), int(p[1, 0, 0])) for p in pictures}
    assert corners == {(row, column) for row in (0, 1) for column in (0, 1, 2)}  # not 2, not 3


def test_modalities_show_every_digit_once_in_rows_of_its_class() -> None:
    labels = torch.randint(10, (500,), generator=seeded())
    chosen = match_classes(labels, 5, seeded())
    assert torch.equal(labels[chosen], labels.expand(5, -1))
    assert torch.equal(chosen.sort().values, torch.arange(500).expand(5, -1))
    for m in range(5):
        for other in range(m):
            # fixed points of a permutation: one a class in expectation, whose variance is one
            assert (chosen[m] == chosen[other]).sum() < 10 + 4 * 10**0.5


@pytest.fixture
def numbered(folder: Path, write_idx) -> Path:
    """MNIST whose picture n of class c has pixel c of its first row lit, and n in its second."""
    for part, size in (("train", 40), ("t10k", 20)):
        images = np.zeros((size, 28, 28), np.uint8)
        for n in range(size):
            images[n, 0, n % 10] = 200
            images[n, 1, :6] = [200 * int(bit) for bit in f"{n:06b}"]
        write_idx(folder / "mnist" / f"{part}-images-idx3-ubyte.gz", images)
    return folder


def shown(pictures: Tensor, background: int) -> tuple[Tensor, Tensor]:
    """The class and the number of each picture on a plain background."""
    grey = (pictures * 255).round().int()
    lit = (grey == 255 - background).all(1)
    assert (lit | (grey == background).all(1)).all()
    return lit[:, 0].int().argmax(1), (
        lit[:, 1, :6].int() * torch.tensor([32, 16, 8, 4, 2, 1])
    ).sum(1)


def test_composed_rows(numbered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["ppl_mm.data.polymnist"]
    greys = {name: 20 * k for k, name in enumerate(PHOTOGRAPHS)}
    monkeypatch.setattr(
        module, "_photograph", lambda name: torch.full((50, 40, 3), greys[name], dtype=torch.uint8)
    )
    data = polymnist(numbered, validation=4, arch="conv")
    assert (len(data.train), len(data.validation), len(data.test)) == (36, 4, 20)
    for split, obs, size in (("train", data.train, 36), ("test", data.test, 20)):
        orders = set()
        for k, name in enumerate(NAMES):
            classes, numbers = shown(obs[name], 20 * k)
            assert torch.equal(classes, data.classes(split))
            assert torch.equal(numbers % 10, classes)
            assert len(numbers.unique()) == size
            orders.add(tuple(numbers.tolist()))
        assert len(orders) == 5
    whole = polymnist(numbered, arch="conv")
    assert whole.validation is None
    assert torch.equal(whole.train["m3"][36:], data.validation["m3"])
    assert torch.equal(whole.classes("train")[36:], data.classes("validation"))


def test_data_set(folder: Path) -> None:
    data = polymnist(folder, num_train=30, num_test=15, arch="conv")
    assert (len(data.train), len(data.test)) == (30, 15)
    assert data.origin == "composed of MNIST and photographs of scikit-image, seed 0"
    assert data.train.names == NAMES == tuple(m.name for m in data.modalities)
    for name in NAMES:
        pictures = data.train[name]
        assert pictures.shape == (30, 3, 28, 28)
        assert pictures.dtype == torch.get_default_dtype()
        torch.testing.assert_close(pictures * 255, (pictures * 255).round(), atol=1e-4, rtol=0)
        assert 0 <= pictures.min() < 0.5 < pictures.max() <= 1
    assert data.label is None
    systems.mvae(data.modalities, 4).check(data.train)


@pytest.mark.parametrize("arch", ["residual", "conv"])
def test_networks_fit_the_values(folder: Path, arch) -> None:
    data = polymnist(folder, arch=arch)
    modality, x = data.modalities[0], data.train["m0"][:3]
    loc, scale = modality.encoder(data.latent_dim)(x)
    assert loc.shape == scale.shape == (3, 32)
    assert modality.likelihood(modality.decoder(64)(torch.zeros(3, 64))).log_prob(x).shape == (3,)


def test_backgrounds_differ_and_seed_decides(folder: Path) -> None:
    first, again, other = (polymnist(folder, arch="conv", seed=seed) for seed in (0, 0, 5))
    for split in ("train", "test"):
        for name in NAMES:
            pictures = getattr(first, split)[name]
            assert torch.equal(pictures, getattr(again, split)[name])
            assert not torch.equal(pictures, getattr(other, split)[name])
    colours = torch.stack([first.train[name].median(-1)[0].mean((0, 2)) for name in NAMES])
    assert (torch.cdist(colours, colours) + torch.eye(5)).min() > 0.05


@pytest.mark.parametrize("option", ["num_train", "num_test"])
@pytest.mark.parametrize("number", [0, 41])
def test_numbers_of_rows_that_there_are_not(folder: Path, option: str, number: int) -> None:
    with pytest.raises(ValueError, match=rf"(number of rows, .*|at least 1.*) got {number}"):
        polymnist(folder, arch="conv", **{option: number})


def test_unknown_options(folder: Path) -> None:
    with pytest.raises(ValueError, match="arch: expected 'residual' or 'conv', got 'mlp'"):
        polymnist(folder, arch="mlp")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'auto', 'published' or 'composed', got 'new'"):
        polymnist(folder, form="new")  # type: ignore[arg-type]


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="ppl-mm data get mnist"):
        polymnist(tmp_path, arch="conv")


@real
def test_published_digits() -> None:
    labels = read_images(MNIST, None, "train")[1]
    chosen = match_classes(labels, 5, seeded())
    assert torch.equal(labels[chosen], labels.expand(5, -1))
    assert torch.equal(chosen.sort().values, torch.arange(60_000).expand(5, -1))


def test_without_scikit_image_the_message_names_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    with pytest.raises(ImportError, match=r"polymnist: .*pip install 'ppl-mm\[vision\]'"):
        polymnist(folder)
