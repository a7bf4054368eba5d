"""MIR Flickr against small files of its format."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ppl_mm.data import mir_flickr

TRAIN = [11, 0, 2, 4]


def test_rows_are_those_of_the_split(folder: Path, flickr_arrays) -> None:
    data = mir_flickr(folder)
    assert (len(data.train), len(data.validation), len(data.test)) == (4, 2, 6)
    tags, labels = flickr_arrays["tags/labelled"] > 0, flickr_arrays["labels.npy"]
    for obs, rows in ((data.train, TRAIN), (data.validation, [1, 3]), (data.test, range(5, 11))):
        assert np.array_equal(obs["tags"].numpy(), tags[list(rows)])
        assert np.array_equal(obs["label"].numpy(), labels[list(rows)])
        assert obs.present["label"].all()
    with pytest.raises(ValueError, match="the train rows have no class"):
        data.classes("train")


def test_features_are_standardised_over_training_rows(folder: Path, flickr_arrays) -> None:
    data = mir_flickr(folder)
    images = np.concatenate(
        [flickr_arrays[f"image/labelled/combined-0000{i}-of-00002.npy"] for i in (1, 2)]
    ).astype(np.float64)
    mean, spread = images[TRAIN].mean(0), images[TRAIN].std(0)
    spread[7] = 1.0  # a constant feature
    expected = torch.from_numpy((images[5:11] - mean) / spread)
    torch.testing.assert_close(data.test["image"], expected, atol=1e-9, rtol=0)
    assert (data.test["image"][:, 7] == 0).all()
    found = data.train["image"]
    torch.testing.assert_close(found.mean(0), torch.zeros(3857), atol=1e-9, rtol=0)
    ones = torch.ones(3857)
    ones[7] = 0
    torch.testing.assert_close(found.std(0, correction=0), ones, atol=1e-9, rtol=0)


def test_unlabelled_rows_have_two_tags_and_no_label(folder: Path, flickr_arrays) -> None:
    plain, data = mir_flickr(folder), mir_flickr(folder, unlabelled=5)
    obs = data.train
    assert obs.present["label"].tolist() == [True] * 4 + [False] * 5
    assert obs.present["image"].all()
    assert obs["tags"][4:].sum(1).tolist() == [2, 3, 4, 5, 6]  # photographs 2 to 6
    assert torch.equal(obs["label"][:4], plain.train["label"])
    images = np.concatenate(
        [flickr_arrays[f"image/unlabelled/combined-0000{i}-of-00002.npy"] for i in (1, 2)]
    )[2:7]
    scale = obs["image"][4:].diff(dim=0) / torch.from_numpy(images).double().diff(dim=0)
    other = torch.arange(3857) != 7
    torch.testing.assert_close(scale[0, other], scale[1, other])  # standardised alike
    assert len(data.test) == len(plain.test)
    with pytest.raises(ValueError, match=r"unlabelled of at most 8, .* 2 tags or more, got 9"):
        mir_flickr(folder, unlabelled=9)
    with pytest.raises(ValueError, match=r"unlabelled: .*at least 0, got -1"):
        mir_flickr(folder, unlabelled=-1)


def test_networks_fit_the_values(folder: Path) -> None:
    data = mir_flickr(folder)
    obs = data.train[:3]
    for modality in data.modalities:
        modality.likelihood.check(modality.name, obs[modality.name])
        loc, _ = modality.encoder(data.latent_dim)(obs[modality.name])
        assert loc.shape == (3, 1024)
        parameters = modality.decoder(data.latent_dim)(loc)
        assert modality.likelihood(parameters).log_prob(obs[modality.name]).shape == (3,)
    assert data.train["label"].shape == (4, 38)


@pytest.mark.parametrize(
    "name",
    [
        "labels.npy",
        "splits/valid_indices_1.npy",
        "text/text_all_2000_labelled.npz",
        "image/labelled/combined-0000*",
    ],
)
def test_missing_files(folder: Path, name: str) -> None:
    for path in (folder / "flickr").glob(name):
        path.unlink()
    with pytest.raises(
        FileNotFoundError, match=r"flickr lacks .*\. Unpack .*PPL_MM_DATA"
    ) as caught:
        mir_flickr(folder)
    assert name.replace("0000*", "*.npy") in str(caught.value)


def test_unlabelled_files_are_needed_where_asked_for(folder: Path) -> None:
    (folder / "flickr" / "text" / "text_all_2000_unlabelled.npz").unlink()
    mir_flickr(folder)
    with pytest.raises(FileNotFoundError, match=r"lacks text/text_all_2000_unlabelled\.npz\."):
        mir_flickr(folder, unlabelled=1)


def test_other_splits(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"lacks splits/train_indices_2\.npy, "):
        mir_flickr(folder, split=2)
    with pytest.raises(ValueError, match="split: expected 1, 2, 3, 4 or 5, got 0"):
        mir_flickr(folder, split=0)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("labels.npy", np.zeros((11, 38)), r"0 and 1, \(12, 38\), .* got float64 \(11, 38\)"),
        ("labels.npy", np.full((12, 38), 2), r"labels.npy: expected 0 and 1"),
        ("splits/test_indices_1.npy", np.array([12]), "row numbers from 0 to 11, .* got 12 to 12"),
        ("splits/test_indices_1.npy", np.array([0.5]), "row numbers"),
        ("splits/test_indices_1.npy", np.array([[1]]), r"row numbers \(n,\), got int64 \(1, 1\)"),
        (
            "image/labelled/combined-00001-of-00002.npy",
            np.zeros((5, 3856)),
            r"floats \(rows, 3857\), got float64 \(5, 3856\)",
        ),
        (
            "image/labelled/combined-00001-of-00002.npy",
            np.zeros((4, 3857)),
            "text_all_2000_labelled.npz: expected 11 rows, got 12",
        ),
    ],
)
def test_damaged_files(folder: Path, name: str, array: np.ndarray, message: str) -> None:
    np.save(folder / "flickr" / name, array)
    with pytest.raises(ValueError, match=message):
        mir_flickr(folder)


@pytest.mark.parametrize("content", [b"", b"<html>" * 100, b"PK\x03\x04" + bytes(50)])
@pytest.mark.parametrize("name", ["labels.npy", "text/text_all_2000_labelled.npz"])
def test_other_files(folder: Path, name: str, content: bytes) -> None:
    (folder / "flickr" / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{Path(name).name}: expected"):
        mir_flickr(folder)


def test_tags_that_are_no_sparse_matrix(folder: Path) -> None:
    path = folder / "flickr" / "text" / "text_all_2000_labelled.npz"
    np.savez(path, data=np.zeros(3))
    with pytest.raises(ValueError, match="expected the parts of a sparse matrix"):
        mir_flickr(folder)


def test_unlabelled_features_for_fewer_photographs_than_tags(folder: Path) -> None:
    path = folder / "flickr" / "image" / "unlabelled" / "combined-00002-of-00002.npy"
    path.unlink()
    assert len(mir_flickr(folder, unlabelled=4).train) == 8
    with pytest.raises(ValueError, match=r"features of 7 photographs or more, .* got 6"):
        mir_flickr(folder, unlabelled=5)
