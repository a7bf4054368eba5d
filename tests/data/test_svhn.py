from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.io import savemat

from ppl_mm.data import read_svhn, svhn


def test_images_and_digits_are_the_files(folder: Path, svhn_arrays) -> None:
    data = svhn(folder, validation=10)
    assert (len(data.train), len(data.validation), len(data.test)) == (30, 10, 20)
    array = svhn_arrays["train_32x32.mat"]["X"]
    image = data.train["image"]
    assert image.shape == (30, 3, 32, 32)
    assert image.dtype == torch.get_default_dtype()
    for n, channel, row, column in ((0, 0, 0, 0), (7, 2, 5, 31), (29, 1, 30, 2)):
        assert round(image[n, channel, row, column].item() * 255) == array[row, column, channel, n]
    assert data.train["label"].tolist() == [*range(1, 10), 0] * 3
    assert data.validation["label"].tolist() == [*range(1, 10), 0]
    assert torch.equal(data.classes("test"), data.test["label"])


def test_networks_fit_the_values(folder: Path) -> None:
    data = svhn(folder)
    obs = data.train[:3]
    for modality in data.modalities:
        loc, scale = modality.encoder(data.latent_dim)(obs[modality.name])
        assert loc.shape == scale.shape == (3, 20)
        parameters = modality.decoder(data.latent_dim)(loc)
        assert modality.likelihood(parameters).log_prob(obs[modality.name]).shape == (3,)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9, 0.999])
def test_truncated_files(tmp_path: Path, svhn_arrays, compressed: bool, share: float) -> None:
    path = tmp_path / "test_32x32.mat"
    savemat(path, svhn_arrays[path.name], do_compression=compressed)
    assert len(read_svhn(path)[0]) == 20
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"test_32x32.mat: expected .*ppl-mm data get svhn"):
        read_svhn(path)


@pytest.mark.parametrize("content", [b"<html>" * 100, b"\x89HDF\r\n\x1a\n" + bytes(600)])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "train_32x32.mat"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"train_32x32.mat: expected a MATLAB 5 file, got a broken"
    ):
        read_svhn(path)


X, Y = np.zeros((32, 32, 3, 4), np.uint8), np.full((4, 1), 10, np.uint8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": X}, "expected the arrays X and y, got none called y"),
        ({"y": Y}, "expected the arrays X and y, got none called X"),
        ({"X": X.astype(float), "y": Y}, r"X as bytes \(32, 32, 3, N\), got float64"),
        ({"X": X[:31], "y": Y}, r"X as bytes \(32, 32, 3, N\), got uint8 \(31, 32, 3, 4\)"),
        ({"X": X, "y": Y[:3]}, r"y as integers \(4, 1\), got uint8 \(3, 1\)"),
        ({"X": X, "y": Y + 0.5}, r"y as integers \(4, 1\), got float64"),
        ({"X": X, "y": Y + 1}, r"digits 1..10 in y, 10 for the 0, got 11..11"),
        ({"X": X, "y": Y * 0}, r"digits 1..10 in y, 10 for the 0, got 0..0"),
    ],
)
def test_other_arrays(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = tmp_path / "train_32x32.mat"
    savemat(path, arrays)
    with pytest.raises(ValueError, match=message):
        read_svhn(path)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="ppl-mm data get svhn"):
        svhn(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_svhn(tmp_path / "nowhere.mat")
