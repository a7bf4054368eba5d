"""A tiny MNIST in its published format, for experiments to run on."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch


@pytest.fixture
def tiny_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """40 training and 20 test rows of five classes, so that each has rows enough."""
    torch.set_default_dtype(torch.float32)
    rng = np.random.default_rng(0)
    (tmp_path / "mnist").mkdir()
    for part, rows in (("train", 40), ("t10k", 20)):
        images = rng.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
        labels = (np.arange(rows) % 5).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            (tmp_path / "mnist" / f"{part}-{name}-ubyte").write_bytes(head + array.tobytes())
    monkeypatch.setenv("PPL_MM_DATA", str(tmp_path))
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
