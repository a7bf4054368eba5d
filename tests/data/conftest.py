import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from scipy.sparse import csr_matrix
from tiny_celeba import write_celeba, write_masks
from tiny_cub import write_pictures

NUM_TRAIN, NUM_TEST = 40, 20
NUM_BIRDS = {"train": 8, "test": 12}  # pictures
SPEAKERS = {"train": (1, 3, 10), "tune": (7, 16, 2), "test": (7, 35)}  # ten frames each, in turn
NUM_PHOTOGRAPHS = {"labelled": (5, 7), "unlabelled": (6, 4)}  # in each of two files
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
def xrmb_arrays() -> dict[str, np.ndarray]:
    """XRMB in small, with frames of speaker 7 in two parts."""
    rng = np.random.default_rng(2)
    made = {}
    keys = {
        "train": ("1", "2", "train"),
        "tune": ("V1", "V2", "tune"),
        "test": ("Te1", "Te2", "test"),
    }
    for part, (first, second, name) in keys.items():
        speakers = np.repeat(SPEAKERS[part], 10)
        made[f"X{first}"] = rng.normal(size=(len(speakers), 273)).astype(np.float32)
        made[f"X{second}"] = rng.normal(size=(len(speakers), 112)).astype(np.float32)
        made[f"{name}Label"] = np.arange(len(speakers))[:, None] % 40 * 1.0
        made[f"{name}ID"] = speakers[:, None] * 1.0
    return made


@pytest.fixture
def flickr_arrays() -> dict[str, np.ndarray]:
    """MIR Flickr in small; photograph i of the unlabelled part has i tags."""
    rng = np.random.default_rng(3)
    made = {}
    for kind, sizes in NUM_PHOTOGRAPHS.items():
        for i, size in enumerate(sizes):
            features = rng.normal(3.0, 2.0, (size, 3857)).astype(np.float32)
            features[:, 7] = 1.5  # a constant
            made[f"image/{kind}/combined-0000{i + 1}-of-00002.npy"] = features
    made["tags/labelled"] = rng.integers(0, 3, (12, 2000))
    made["tags/unlabelled"] = 2 * (np.arange(2000) < np.arange(10)[:, None])  # each twice
    made["labels.npy"] = rng.integers(0, 2, (12, 38)).astype(np.float64)
    made["splits/train_indices_1.npy"] = np.array([11, 0, 2, 4])
    made["splits/valid_indices_1.npy"] = np.array([1, 3])
    made["splits/test_indices_1.npy"] = np.array([5, 6, 7, 8, 9, 10])
    return made


@pytest.fixture
def translations() -> dict[str, str]:
    """IWSLT in small; one pair lacks a side, and one sentence has twenty words."""
    words = {"en": ("I", "i", "am", "&apos;m", "here", "."), "vi": ("Tôi", "tôi", "ở", "đây", ".")}
    made = {f"vocab.{n}": "\n".join(("<unk>", "<s>", "</s>", *w, "")) for n, w in words.items()}
    made["train.en"] = "I &apos;m here .\n\n" + 20 * "i " + "\nhere am I ?\n"
    made["train.vi"] = "Tôi ở đây .\nđây\ntôi\n tôi ở Huế .\n"
    for part in ("tst2012", "tst2013"):
        made |= {f"{part}.en": "here .\nI am\n", f"{part}.vi": "đây .\nTôi\n"}
    return made


@pytest.fixture
def folder(
    tmp_path: Path,
    arrays: dict[str, np.ndarray],
    svhn_arrays: dict[str, dict[str, np.ndarray]],
    birds: dict[str, list[str]],
    xrmb_arrays: dict[str, np.ndarray],
    flickr_arrays: dict[str, np.ndarray],
    translations: dict[str, str],
    write_idx: WriteIdx,
) -> Path:
    """A data folder with small MNIST, FashionMNIST, SVHN, CUB, XRMB, Flickr and CelebA files."""
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
    write_pictures(tmp_path / "cub", NUM_BIRDS["train"], NUM_BIRDS["test"])
    (tmp_path / "xrmb").mkdir()
    for number in (1, 2):
        first = {"X1", "XV1", "XTe1"}
        here = {k: x for k, x in xrmb_arrays.items() if (k in first) == (number == 1)}
        savemat(tmp_path / "xrmb" / f"XRMBf2KALDI_window7_single{number}.mat", here)
    for name, array in flickr_arrays.items():
        write_flickr(tmp_path / "flickr", name, array)
    (tmp_path / "iwslt").mkdir()
    for name, text in translations.items():
        (tmp_path / "iwslt" / name).write_text(text, encoding="utf-8")
    write_celeba(tmp_path / "celeba", (3, 1, 2), np.random.default_rng(4))
    write_masks(tmp_path / "celeba", 6, np.random.default_rng(5))
    return tmp_path


def write_flickr(root: Path, name: str, array: np.ndarray) -> None:
    """Write an array as published, tags as the parts of a sparse matrix."""
    if name.startswith("tags/"):
        sparse = csr_matrix(array)
        path = root / "text" / f"text_all_2000_{name.removeprefix('tags/')}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = {n: getattr(sparse, n) for n in ("data", "indices", "indptr", "shape")}
        np.savez(path, **parts)
    else:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(root / name, array)
