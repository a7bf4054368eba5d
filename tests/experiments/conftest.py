"""Tiny MNIST, FashionMNIST and SVHN in their published formats, for experiments to run on."""

import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 training and 20 test rows of five classes, so that each has rows enough.

    Of CUB 50 pictures and 50 words, for as many canonical directions as the papers have.
    """
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    (folder / "mnist").mkdir()
    (folder / "svhn").mkdir()
    for part, name, rows in (("train", "train", 40), ("t10k", "test", 20)):
        classes = np.arange(rows) % 5
        images = rng.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
        images *= np.pad(np.ones((20, 20), dtype=np.uint8), 4)  # dark edges, as digits have
        for kind, array in (("images-idx3", images), ("labels-idx1", classes.astype(np.uint8))):
            head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (folder / "mnist" / f"{part}-{kind}-ubyte").write_bytes(head + array.tobytes())
        colour = rng.integers(0, 256, (32, 32, 3, rows), dtype=np.uint8)
        digits = np.where(classes == 0, 10, classes).astype(np.uint8)[:, None]  # 10 is the digit 0
        savemat(folder / "svhn" / f"{name}_32x32.mat", {"X": colour, "y": digits})
    shutil.copytree(folder / "mnist", folder / "fashion-mnist")
    (folder / "cub").mkdir()
    for part, captions, pictures in (("train", "trainval", 50), ("test", "test", 4)):
        features = rng.normal(size=(pictures, 2048)).astype(np.float32)
        np.save(folder / "cub" / f"features_{part}.npy", features)
        words = rng.integers(0, 50, (10 * pictures, 6))
        lines = (" ".join(f"word{w}" for w in row) for row in words)
        (folder / "cub" / f"text_{captions}classes.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def tiny_mnist(tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own, while the tiny files are the data."""
    torch.set_default_dtype(torch.float32)
    monkeypatch.setenv("PPL_MM_DATA", str(tiny_files))
    return tmp_path


def numbers(measures: Any) -> list[float]:
    """All numbers in nested lists and dicts."""
    if isinstance(measures, dict):
        return [x for value in measures.values() for x in numbers(value)]
    if isinstance(measures, list):
        return [x for value in measures for x in numbers(value)]
    return [measures] if isinstance(measures, int | float) else []


@pytest.fixture(name="numbers")
def _numbers() -> Any:
    return numbers
