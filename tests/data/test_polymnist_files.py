from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ppl_mm.data import polymnist
from ppl_mm.data.polymnist import NAMES
from ppl_mm.data.polymnist_files import read_polymnist

SIZES = {"train": 25, "test": 12}


def picture(m: int, index: int) -> Image.Image:
    """A random picture with the tuple's index in its first pixel."""
    pixels = np.random.default_rng([m, index]).integers(0, 256, (28, 28, 3), np.uint8)
    pixels[0, 0] = index
    return Image.fromarray(pixels)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A data folder with PolyMNIST in small, files written in another order in each folder."""
    for part, size in SIZES.items():
        for m, name in enumerate(NAMES):
            folder = tmp_path / "MMNIST" / part / name
            folder.mkdir(parents=True)
            for index in np.random.default_rng(m).permutation(size).tolist():
                picture(m, index).save(folder / f"{index}.{index % 10}.png")
    return tmp_path


def test_published_rows_come_as_they_are(published: Path) -> None:
    data = polymnist(published, validation=5, arch="conv")
    assert data.origin == f"published files in {published / 'MMNIST'}"
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 5, 12)
    found = []
    for split in ("train", "validation", "test"):
        obs = getattr(data, split)
        for m, name in enumerate(NAMES):
            pictures = (obs[name] * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
            index = pictures[:, 0, 0, 0].tolist()
            for n, pixels in zip(index, pictures, strict=True):
                assert np.array_equal(pixels.numpy(), np.asarray(picture(m, n)))
            assert [n % 10 for n in index] == data.classes(split).tolist()
        found.append(index)
    assert sorted(found[0] + found[1]) == list(range(25))
    assert sorted(found[2]) == list(range(12))
    assert found[2] != sorted(found[2])


def test_some_rows_are_the_first_of_all(published: Path) -> None:
    whole, some = (polymnist(published, num_train=n, num_test=3, arch="conv") for n in (None, 7))
    assert len(some.train) == 7
    for name in NAMES:
        assert torch.equal(some.train[name], whole.train[name][:7])
    other = polymnist(published, num_train=7, num_test=3, arch="conv", seed=1)
    assert not torch.equal(some.train["m0"], other.train["m0"])


def test_form(published: Path, folder: Path) -> None:
    assert folder == published  # the two fixtures fill one data folder
    assert "published" in polymnist(folder, arch="conv").origin
    assert "composed" in polymnist(folder, arch="conv", form="composed").origin
    with pytest.raises(FileNotFoundError, match=r"expected MMNIST/train/m0 in nowhere.*compose"):
        polymnist("nowhere", arch="conv", form="published")


@pytest.mark.parametrize("name", ["PolyMNIST", "polymnist"])
def test_other_names_of_the_folder(published: Path, name: str) -> None:
    (published / "MMNIST").rename(published / name)
    assert polymnist(published, arch="conv").origin == f"published files in {published / name}"


def test_modalities_without_files(published: Path) -> None:
    train = published / "MMNIST" / "train"
    (train / "m3").rename(train / "m9")
    with pytest.raises(FileNotFoundError, match=r"m3: expected pictures INDEX.DIGIT.png, found"):
        polymnist(published, arch="conv")


def test_files_that_do_not_belong_together(published: Path) -> None:
    train = published / "MMNIST" / "train"
    (train / "m2" / "4.4.png").rename(train / "m2" / "4.5.png")
    with pytest.raises(ValueError, match=r"same digit .* 4\.4\.png in m0 with 4\.5\.png in m2"):
        read_polymnist(train, NAMES)
    (train / "m2" / "4.5.png").unlink()
    with pytest.raises(ValueError, match=r"as many pictures .* got 25 in m0 and 24 in m2"):
        read_polymnist(train, NAMES)


@pytest.mark.parametrize("name", ["4.png", "4.x.png", "4.10.png", "4.4.4.png", "4..png"])
def test_other_names_of_files(published: Path, name: str) -> None:
    train = published / "MMNIST" / "train"
    (train / "m1" / "4.4.png").rename(train / "m1" / name)
    with pytest.raises(ValueError, match=rf"{name}: expected a name INDEX.DIGIT.png"):
        read_polymnist(train, NAMES)


def test_damaged_pictures(published: Path) -> None:
    train = published / "MMNIST" / "train"
    path = train / "m4" / "8.8.png"
    content = path.read_bytes()
    for damaged in (b"", content[:40], content[: len(content) // 2], b"<html>"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"8\.8\.png: a damaged PNG file"):
            read_polymnist(train, NAMES)
    Image.new("RGB", (28, 27)).save(path)
    with pytest.raises(ValueError, match=r"8\.8\.png: expected 28 x 28 pixels, got \(27, 28\)"):
        read_polymnist(train, NAMES)
