import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ppl_mm.data import multimnist
from ppl_mm.data.mnist import read_images
from ppl_mm.data.multimnist import FILL, draw_canvases
from ppl_mm.published.small_pictures import MNIST

real = pytest.mark.skipif(
    not os.environ.get("PPL_MM_DATA"), reason="needs the published files: set PPL_MM_DATA"
)
CHI2_4_DOF = 23.5  # exceeded with probability 1e-4


def flat_digits(brightness: list[int]) -> tuple[Tensor, Tensor]:
    """One picture a class, all of one brightness: its shrunk cell is known."""
    values = torch.tensor(brightness, dtype=torch.uint8)
    return values[:, None, None].expand(-1, 28, 28).contiguous(), torch.arange(len(values))


def assert_uniform_count(strings: Tensor) -> None:
    count = (strings != FILL).sum(1).bincount(minlength=5)
    expected = len(strings) / 5
    assert len(count) == 5
    assert ((count - expected) ** 2 / expected).sum() < CHI2_4_DOF


def test_cells_hold_the_string_in_reading_order() -> None:
    digits, labels = flat_digits([5 * (k + 1) for k in range(10)])  # four add up to 200 at most
    images, strings = draw_canvases(digits, labels, 300, seed=0)
    corners = [(4, 4), (4, 23), (23, 4), (23, 23)]
    for image, string in zip(images, strings.tolist(), strict=True):
        expected = torch.zeros(50, 50)
        for symbol, (row, column) in zip(string, corners, strict=True):
            if symbol != FILL:
                expected[row : row + 21, column : column + 21] += 5 * (symbol + 1)
        assert torch.equal(image[0], expected)
    assert {len([s for s in string if s != FILL]) for string in strings.tolist()} == {0, 1, 2, 3, 4}


def test_fill_comes_last_and_blank_pictures_are_blank() -> None:
    images, strings = draw_canvases(*flat_digits([50, 60]), 300, seed=0)
    filled = strings == FILL
    assert (filled[:, 1:] >= filled[:, :-1]).all()
    blank = filled.all(1)
    assert blank.any()
    assert torch.equal(blank, images.flatten(1).amax(1) == 0)


def test_number_of_digits_and_digits_are_uniform() -> None:
    images, strings = draw_canvases(*flat_digits([10, 20, 30, 40, 50]), 4000, seed=1)
    assert_uniform_count(strings)
    shown = strings[strings != FILL].bincount()
    expected = shown.sum() / 5
    assert ((shown - expected) ** 2 / expected).sum() < CHI2_4_DOF
    assert images.amax() <= 255


@pytest.mark.parametrize(("bright", "brightest"), [(225, 255), (226, 246)])
def test_sums_above_255_are_redrawn_with_the_same_number_of_digits(
    bright: int, brightest: int
) -> None:
    # Where four cells overlap, a bright digit and three dark ones add up to 255, or to 256.
    images, strings = draw_canvases(*flat_digits([bright, 10, 10, 10]), 3000, seed=2)
    assert images.amax() == brightest
    assert_uniform_count(strings)
    num_bright = (strings == 0).sum(1)
    assert num_bright.max() == 1
    assert (num_bright[(strings != FILL).all(1)].max() == 1) == (bright == 225)


def test_digits_that_never_fit() -> None:
    with pytest.raises(ValueError, match="pixel above 255 after 100 draws"):
        draw_canvases(*flat_digits([255]), 5, seed=0)


def test_digits_are_shrunk_as_pillow_does() -> None:
    rng = np.random.default_rng(0)
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 4:24] = rng.integers(0, 256, (20, 20))
    images, strings = draw_canvases(torch.from_numpy(pixels)[None], torch.tensor([3]), 9, seed=4)
    alone = images[strings.tolist().index([3, FILL, FILL, FILL]), 0]
    shrunk = np.array(Image.fromarray(pixels).resize((21, 21), Image.Resampling.BILINEAR))
    expected = torch.zeros(50, 50)
    expected[4:25, 4:25] = torch.from_numpy(shrunk)
    torch.testing.assert_close(alone, expected, atol=1, rtol=0)  # both round to whole numbers


def test_data_set(folder: Path) -> None:
    data = multimnist(folder, num_train=12, num_test=5, validation=4)
    assert (len(data.train), len(data.validation), len(data.test)) == (8, 4, 5)
    assert data.train["image"].shape == (8, 1, 50, 50)
    assert 0.5 < data.train["image"].max() <= 1
    assert data.train["string"].shape == (8, 4)
    assert data.train["string"].dtype == torch.int64
    for modality in data.modalities:
        x = data.train[modality.name]
        loc, scale = modality.encoder(100)(x)
        assert loc.shape == scale.shape == (8, 100)
        assert modality.likelihood(modality.decoder(100)(loc)).log_prob(x).shape == (8,)
        assert modality.features()(x).shape == (8, 512 if modality.name == "image" else 200)


def test_seed_decides(folder: Path) -> None:
    first, again, other = (
        multimnist(folder, num_train=30, num_test=30, seed=seed) for seed in (0, 0, 5)
    )
    assert first.validation is None
    for split in ("train", "test"):
        image = getattr(first, split)["image"]
        assert torch.equal(image, getattr(again, split)["image"])
        assert not torch.equal(image, getattr(other, split)["image"])
    assert not torch.equal(first.train["string"], first.test["string"])


def test_validation_is_the_end_of_the_same_draw(folder: Path) -> None:
    whole = multimnist(folder, num_train=20, num_test=1).train
    data = multimnist(folder, num_train=20, num_test=3, validation=5)
    assert torch.equal(data.train["image"], whole["image"][:15])
    assert torch.equal(data.validation["image"], whole["image"][15:])


def test_test_pictures_use_test_digits(folder: Path, arrays, write_idx) -> None:
    name = "t10k-labels-idx1-ubyte.gz"
    write_idx(folder / "mnist" / name, np.full(20, 9, np.uint8))
    data = multimnist(folder, num_train=50, num_test=50)
    assert set(data.test["string"].unique().tolist()) == {9, FILL}
    assert set(data.train["string"].unique().tolist()) == {*range(10), FILL}


def test_no_rows_for_a_split(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"num_train: .*at least 1"):
        multimnist(folder, num_train=0, num_test=1)


@real
def test_published_digits() -> None:
    images, strings = draw_canvases(*read_images(MNIST, None, "train"), 4000, seed=681307)
    assert images.amax() == 255
    assert_uniform_count(strings)
    margin = torch.ones(50, 50, dtype=torch.bool)
    margin[4:44, 4:44] = False
    assert (images[:, 0, margin] == 0).all()
