"""XRMB against small files of its format."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat

from ppl_mm.data import XRMB_FOLDS, XRMB_TEST, xrmb
from ppl_mm.data.xrmb import read_xrmb

FIRST, SECOND = (f"XRMBf2KALDI_window7_single{i}.mat" for i in (1, 2))


def rewrite(folder: Path, name: str, **changes: np.ndarray | None) -> None:
    """Change, add or (None) remove arrays of a file."""
    arrays = {k: x for k, x in loadmat(folder / "xrmb" / name).items() if not k.startswith("__")}
    arrays = {k: x for k, x in {**arrays, **changes}.items() if x is not None}
    savemat(folder / "xrmb" / name, arrays)


def test_speakers_are_taken_from_every_part(folder: Path, xrmb_arrays) -> None:
    data = xrmb(folder, test=(7, 16, 35), validation=(3,))
    # train: the published training part without speaker 3; speaker 2 is in the tuning part alone
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 10, 40)
    expected = np.concatenate([xrmb_arrays["X1"][:10], xrmb_arrays["X1"][20:]])
    assert np.array_equal(data.train["acoustic"].float().numpy(), expected)
    expected = np.concatenate([xrmb_arrays["XV2"][:20], xrmb_arrays["XTe2"]])
    assert np.array_equal(data.test["articulatory"].float().numpy(), expected)
    assert data.train["label"].tolist() == [*range(10), *range(20, 30)]
    assert data.classes("test").tolist() == [*range(20), *range(20)]
    assert data.validation["label"].tolist() == [*range(10, 20)]
    data = xrmb(folder, train=(2, 1), test=(7,))
    assert data.validation is None
    assert (len(data.train), len(data.test)) == (20, 20)


def test_speakers_of_the_paper() -> None:
    assert len(XRMB_TEST) == 8
    assert len({s for fold in XRMB_FOLDS for s in fold} - set(XRMB_TEST)) == 8


def test_frame_in_the_middle_is_columns_117_to_155(folder: Path, xrmb_arrays) -> None:
    data = xrmb(folder, test=(7,), frames="centre")
    assert data.train["acoustic"].shape == (30, 39)
    assert np.array_equal(
        data.train["acoustic"].float().numpy(), xrmb_arrays["X1"][:, list(range(117, 156))]
    )
    frames = xrmb(folder, test=(7,)).train["acoustic"].unflatten(1, (7, 39))
    assert torch.equal(frames[:, 3], data.train["acoustic"])
    assert data.train["articulatory"].shape == (30, 112)
    with pytest.raises(ValueError, match="frames: expected 'all' or 'centre', got 'one'"):
        xrmb(folder, frames="one")


def test_one_speaker_is_split_in_equal_shares_of_every_phone(folder: Path) -> None:
    rewrite(folder, SECOND, trainLabel=np.arange(30)[:, None] // 10, trainID=np.ones((30, 1)))
    data = xrmb(folder, speaker=1)
    assert (len(data.train), len(data.test), data.validation) == (21, 9, None)
    assert data.train["label"].bincount().tolist() == [7, 7, 7]
    assert data.test["label"].bincount().tolist() == [3, 3, 3]
    values = torch.cat([data.train["acoustic"], data.test["acoustic"]])
    everything = read_xrmb(folder)["train"]["acoustic"]
    assert torch.equal(values[values[:, 0].argsort()], everything[everything[:, 0].argsort()])
    other = xrmb(folder, speaker=1, seed=1)
    assert not torch.equal(data.test["acoustic"], other.test["acoustic"])


@pytest.mark.parametrize("frames", ["all", "centre"])
def test_networks_fit_the_values(folder: Path, frames: str) -> None:
    data = xrmb(folder, test=(7,), frames=frames)
    obs = data.train[:3]
    for modality in data.modalities:
        loc, _ = modality.encoder(data.latent_dim)(obs[modality.name])
        assert loc.shape == (3, 70)
        parameters = modality.decoder(data.latent_dim)(loc)
        assert modality.likelihood(parameters).log_prob(obs[modality.name]).shape == (3,)


def test_phones_may_count_from_one(folder: Path) -> None:
    expected = xrmb(folder, test=(7,)).train["label"]
    for name in ("train", "tune", "test"):
        labels = loadmat(folder / "xrmb" / SECOND)[f"{name}Label"]
        rewrite(folder, SECOND, **{f"{name}Label": labels + 1})
    assert torch.equal(xrmb(folder, test=(7,)).train["label"], expected)


def test_missing_files(folder: Path) -> None:
    (folder / "xrmb" / SECOND).unlink()
    with pytest.raises(FileNotFoundError, match=rf"missing: {SECOND}\. Ask .*PPL_MM_DATA"):
        xrmb(folder)


def test_speakers_that_are_not_there_or_twice(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"no frames of speaker 20; there are .* 1, 2, 3, 7, 10"):
        xrmb(folder)
    with pytest.raises(ValueError, match=r"got 7 in 2 of them; .* use speaker=7"):
        xrmb(folder, train=(1, 7), test=(7,))


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (FIRST, {"XV1": None}, r"lack the arrays XV1"),
        (FIRST, {"X1": np.zeros((30, 272))}, r"X1 as floats \(30, 273\), got float64 \(30, 272\)"),
        (FIRST, {"X1": np.zeros((29, 273))}, r"X2 as floats \(29, 112\), got float32 \(30, 112\)"),
        (FIRST, {"X1": np.full((30, 273), np.nan)}, "finite X1, got NaN"),
        (SECOND, {"tuneID": np.zeros((9, 1))}, r"tuneID as 30 whole numbers, one a row of XV1"),
        (SECOND, {"tuneLabel": np.full((30, 1), 0.5)}, "tuneLabel as 30 whole numbers"),
        (SECOND, {"tuneLabel": np.full((30, 1), 40)}, r"phones 0..39 or 1..40, got 0..40"),
        (SECOND, {"tuneLabel": np.full((30, 1), -1)}, r"phones 0..39 or 1..40, got -1..29"),
    ],
)
def test_damaged_files(folder: Path, name: str, changes, message: str) -> None:
    rewrite(folder, name, **changes)
    with pytest.raises(ValueError, match=message):
        xrmb(folder, test=(7,))


@pytest.mark.parametrize("content", [b"", b"<html>" * 100])
def test_other_files(folder: Path, content: bytes) -> None:
    (folder / "xrmb" / FIRST).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{FIRST}: expected a MATLAB 5 file"):
        xrmb(folder)
