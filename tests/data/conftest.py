import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

NUM_TRAIN, NUM_TEST = 40, 20
NUM_BIRDS = {"train": 8, "test": 12}  # pictures
CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}

WriteIdx = Callable[..., Path]


@pytest.fixture
def write_idx() -> WriteIdx:
    """Write an array as IDX, gzipped where the name says so; independent of the reader."""

    def write(path: Path, array: np.ndarray) -> Path:
        code = CODES[array.dtype.str[1:]]
        content = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
        content += array.astype(array.dtype.newbyteorder(">")).tobytes()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        return path

    return write


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """MNIST in small: pictures with dark edges, as the real ones have, and all classes."""
    rng = np.random.default_rng(0)
    made = {}
    for part, size in (("train", NUM_TRAIN), ("t10k", NUM_TEST)):
        images = np.zeros((size, 28, 28), np.uint8)
        images[:, 4:24, 4:24] = rng.integers(0, 256, (size, 20, 20))
        made[f"{part}-images-idx3-ubyte.gz"] = images
        made[f"{part}-labels-idx1-ubyte.gz"] = (np.arange(size) % 10).astype(np.uint8)
    return made


@pytest.fixture
def svhn_arrays() -> dict[str, dict[str, np.ndarray]]:
    """SVHN in small, with 10 for the digit 0."""
    rng = np.random.default_rng(1)
    return {
        f"{part}_32x32.mat": {
            "X": rng.integers(0, 256, (32, 32, 3, size), dtype=np.uint8),
            "y": (np.arange(size, dtype=np.uint8)[:, None] % 10) + 1,
        }
        for part, size in (("train", NUM_TRAIN), ("test", NUM_TEST))
    }


@pytest.fixture
def birds() -> dict[str, list[str]]:
    """Ten captions a picture, which name the part, the picture and the caption."""
    return {
        part: [
            f"This {part} bird, picture{row // 10}, is number{row % 10}."
            for row in range(10 * size)
        ]
        for part, size in NUM_BIRDS.items()
    }


@pytest.fixture
def folder(
    tmp_path: Path,
    arrays: dict[str, np.ndarray],
    svhn_arrays: dict[str, dict[str, np.ndarray]],
    birds: dict[str, list[str]],
    write_idx: WriteIdx,
) -> Path:
    """A data folder with small MNIST, FashionMNIST, SVHN and CUB files."""
    for name, array in arrays.items():
        write_idx(tmp_path / "mnist" / name, array)
        write_idx(tmp_path / "fashion-mnist" / name, array)
    (tmp_path / "svhn").mkdir()
    for name, contents in svhn_arrays.items():
        savemat(tmp_path / "svhn" / name, contents)
    (tmp_path / "cub").mkdir()
    for part, name in (("train", "text_trainvalclasses.txt"), ("test", "text_testclasses.txt")):
        lines = "".join(f"{caption}\n" for caption in birds[part])
        (tmp_path / "cub" / name).write_text(lines)
        features = np.zeros((NUM_BIRDS[part], 2048), np.float32)
        features[:, 0] = np.arange(NUM_BIRDS[part])  # the picture's number
        np.save(tmp_path / "cub" / f"features_{part}.npy", features)
    return tmp_path
