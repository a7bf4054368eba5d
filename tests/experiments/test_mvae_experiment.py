"""The experiment runs end to end at smoke scale on files of the true format."""

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ppl_mm.experiments import mvae, results_table


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST's files with 40 rows to train on, besides the 10,000 held out."""
    rng = np.random.default_rng(0)
    for folder in ("mnist", "fashion-mnist"):
        (tmp_path / folder).mkdir()
        for part, rows in (("train", 10_040), ("t10k", 20)):
            images = rng.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
            labels = (np.arange(rows) % 10).astype(np.uint8)
            for name, array in (("images-idx3", images), ("labels-idx1", labels)):
                head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
                (tmp_path / folder / f"{part}-{name}-ubyte").write_bytes(head + array.tobytes())
    monkeypatch.setenv("PPL_MM_DATA", str(tmp_path))


@pytest.mark.parametrize("dataset", ["binary_mnist", "fashion_mnist"])
@pytest.mark.parametrize("terms", sorted(mvae.TERMS))
def test_smoke(small_mnist, tmp_path, dataset, terms):
    torch.set_default_dtype(torch.float32)
    config = replace(mvae.SMOKE, dataset=dataset, terms=terms, out=str(tmp_path / "out"))
    measures = mvae.main(config)
    assert all(np.isfinite(v) for k, v in measures.items())
    record = json.loads((tmp_path / "out" / f"{config.name}.json").read_text())
    assert record["measures"] == measures
    trained = record["train_seconds"]
    again = mvae.main(config)  # the trained system is used again, and measures the same
    assert again == pytest.approx(measures, abs=1e-4)
    record = json.loads((tmp_path / "out" / f"{config.name}.json").read_text())
    assert record["train_seconds"] == trained
    page = results_table.render([record])
    assert "paper" in page
    assert f"{measures['accuracy']:.4f}" in page
