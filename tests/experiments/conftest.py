"""Tiny data sets in their published formats, for experiments to run on."""

import inspect
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat
from scipy.sparse import csr_matrix
from tiny_celeba import write_celeba, write_masks
from tiny_cub import write_pictures

from ppl_mm import Observations, data
from ppl_mm.data import XRMB_FOLDS, XRMB_TEST, DataSet
from ppl_mm.experiments import captions as captions_measures
from ppl_mm.experiments.cmmd import config as cmmd_config
from ppl_mm.experiments.cmmd import three as cmmd_three


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
    write_pictures(folder / "cub", 50, 4)
    _write_xrmb(folder / "xrmb", rng)
    _write_flickr(folder / "flickr", rng)
    _write_iwslt(folder / "iwslt", rng)
    write_celeba(folder / "celeba", (24, 3, 8), rng)
    write_masks(folder / "celeba", 35, rng)  # so that dlib is not needed
    return folder


def _write_xrmb(folder: Path, rng: np.random.Generator) -> None:
    """Six frames of each speaker of the folds, and of each in the test."""
    pairs = [speaker for pair in XRMB_FOLDS for speaker in pair]
    speakers = {"train": pairs, "tune": XRMB_TEST[:3], "test": XRMB_TEST[3:]}
    views: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for (part, who), key in zip(speakers.items(), ("X", "XV", "XTe"), strict=True):
        rows = 6 * len(who)
        views[0][f"{key}1"] = rng.normal(size=(rows, 273)).astype(np.float32)
        views[1][f"{key}2"] = rng.normal(size=(rows, 112)).astype(np.float32)
        views[1][f"{part}Label"] = (np.arange(rows) % 5)[:, None] * 1.0
        views[1][f"{part}ID"] = np.repeat(who, 6)[:, None] * 1.0
    folder.mkdir()
    for number, arrays in enumerate(views, 1):
        savemat(folder / f"XRMBf2KALDI_window7_single{number}.mat", arrays)


def _write_flickr(folder: Path, rng: np.random.Generator) -> None:
    """40 photographs with labels, each of which every other one has, and 8 without."""
    for name in ("image/labelled", "image/unlabelled", "text", "splits"):
        (folder / name).mkdir(parents=True)
    for kind, rows in (("labelled", 40), ("unlabelled", 8)):
        images = rng.normal(size=(rows, 3857)).astype(np.float32)
        np.save(folder / "image" / kind / "combined-00001-of-00001.npy", images)
        tags = csr_matrix(rng.integers(0, 2, (rows, 2000)))
        arrays = {n: getattr(tags, n) for n in ("data", "indices", "indptr", "shape")}
        np.savez(folder / "text" / f"text_all_2000_{kind}.npz", **arrays)
    np.save(folder / "labels.npy", (np.arange(40)[:, None] + np.arange(38)) % 2)
    for part, chosen in (("train", range(20)), ("valid", range(20, 28)), ("test", range(28, 40))):
        np.save(folder / "splits" / f"{part}_indices_1.npy", np.array(chosen))


def _write_iwslt(folder: Path, rng: np.random.Generator) -> None:
    """20 training, 4 validation and 6 test pairs of up to 12 words out of 20 in each language."""
    folder.mkdir()
    for name in ("en", "vi"):
        words = [f"{name}{i}" for i in range(20)]
        lines = "\n".join(["<unk>", "<s>", "</s>", *words])
        (folder / f"vocab.{name}").write_text(f"{lines}\n")
    for part, rows in (("train", 20), ("tst2012", 4), ("tst2013", 6)):
        sentences = [rng.integers(0, 20, n) for n in rng.integers(1, 13, rows)]
        for name in ("en", "vi"):
            lines = "".join(" ".join(f"{name}{i}" for i in x) + "\n" for x in sentences)
            (folder / f"{part}.{name}").write_text(lines)


def few(name: str, value: Any) -> Any:
    """An option of a network, with at most 20 units a layer and 8 channels."""
    if name == "hidden" and isinstance(value, tuple):
        return tuple(min(units, 20) for units in value)
    if name in ("layers", "start") and isinstance(value, tuple):
        convolutions = value if name == "layers" else (value,)
        kept = tuple((min(channels, 8), *rest) for channels, *rest in convolutions)
        return kept if name == "layers" else kept[0]
    most = {"hidden": 20, "channels": 8, "max_channels": 8, "embedding": 32}
    return min(value, most[name]) if name in most and value is not None else value


def narrow(network: Any) -> Any:
    """A network's factory, whose layers have few units and channels and are as many."""
    if not isinstance(network, partial):
        return network
    options = {n: p.default for n, p in inspect.signature(network.func).parameters.items()}
    options = {n: v for n, v in options.items() if v is not inspect.Parameter.empty}
    options |= network.keywords
    changed = {name: few(name, value) for name, value in options.items()}
    return partial(network, **{n: v for n, v in changed.items() if v != options[n]})


@pytest.fixture
def narrowed() -> Callable[[DataSet], DataSet]:
    """A data set whose modalities' networks are narrow: what a run does asks for no more."""

    def narrowed(dataset: DataSet) -> DataSet:
        networks = ("encoder", "decoder", "features")
        modalities = tuple(
            replace(m, **{name: narrow(getattr(m, name)) for name in networks})
            for m in dataset.modalities
        )
        return replace(dataset, modalities=modalities)

    return narrowed


@pytest.fixture
def tiny_mnist(
    tiny_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few_pixels: None
) -> Path:
    """A folder of one's own, while the tiny files are the data."""
    torch.set_default_dtype(torch.float32)
    monkeypatch.setenv("PPL_MM_DATA", str(tiny_files))
    return tmp_path


@pytest.fixture
def narrow_data(narrowed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every data set that is loaded has narrow networks."""
    load = data.load
    monkeypatch.setattr(data, "load", lambda name, **options: narrowed(load(name, **options)))


@pytest.fixture
def tiny(
    tiny_files: Path, narrowed: Any, few_pixels: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny files as data, with validation rows, at most three pictures, and narrow networks."""
    load = data.load

    def tiny_load(name: str, **options: object) -> data.DataSet:
        if name == "multimnist":
            options = {"num_train": 40, "num_test": 20, **options}
        if name == "polymnist":
            options["num_test"] = 20  # as many as there are
        whole = ("mnist", "binary_mnist", "fashion_mnist", "mnist_split", "mnist_split_3")
        held_out = dict.fromkeys((*whole, "two_view_mnist"), 10) | {"cub": 2}
        sizes = {"validation": held_out[name]} if name in held_out else {}
        if name == "mnist_rotated_svhn":
            sizes = {"num_train": 40, "num_test": 20}
        found = load(name, **sizes, **options)
        return narrowed(of_three(found) if name == "polymnist" else found)

    torch.set_default_dtype(torch.float32)
    monkeypatch.setenv("PPL_MM_DATA", str(tiny_files))
    monkeypatch.setattr(data, "load", tiny_load)
    monkeypatch.setattr(captions_measures, "picture", lambda features: features[:, :49])
    monkeypatch.setattr(cmmd_three, "HIDDEN", (20,))
    for task in cmmd_config.TASKS.values():
        for name in ("hidden", "prior_hidden"):
            monkeypatch.setitem(task.networks, name, (20,))


def of_three(dataset: data.DataSet) -> data.DataSet:
    """A data set with its first three modalities, which have 7 subsets where five have 31."""
    first = dataset.modalities[:3]
    train, test = (
        Observations({m.name: part[m.name] for m in first})
        for part in (dataset.train, dataset.test)
    )
    return replace(dataset, modalities=first, train=train, test=test)


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
