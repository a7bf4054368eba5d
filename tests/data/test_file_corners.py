"""Corners of published files: blank lines, pictures that an archive lacks, tags that come once."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.sparse import csr_matrix
from tiny_celeba import write_celeba

from ppl_mm.data import celeba, digits, mir_flickr, read_idx
from ppl_mm.data.celeba_files import read_attributes, read_partition, shrink
from ppl_mm.data.celeba_views import obscured
from ppl_mm.data.mnist import read_images
from ppl_mm.published.birds import find_captions
from ppl_mm.published.small_pictures import MNIST


def test_a_blank_line_among_attributes_is_told(tmp_path: Path) -> None:
    write_celeba(tmp_path, (2, 1, 1), np.random.default_rng(0))
    path = tmp_path / "list_attr_celeba.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], "  ", *lines[4:]]))
    with pytest.raises(
        ValueError, match=r"line 4: expected a picture's file .*got '  ' with 0 val"
    ):
        read_attributes(path)
    path.write_text(path.read_text().replace("\n  \n", "\n").replace("4\n", "3\n", 1))
    files, names, values = read_attributes(path)
    assert (files, len(names), values.shape) == (
        ["000001.jpg", "000003.jpg", "000004.jpg"],
        40,
        (3, 40),
    )
    with pytest.raises(ValueError, match=r"expected 3 lines, one a picture .*, got 4"):
        read_partition(tmp_path / "list_eval_partition.txt", files)


def test_an_archive_that_lacks_a_picture_names_it(tmp_path: Path) -> None:
    root = tmp_path / "celeba"
    write_celeba(root, (2, 1, 1), np.random.default_rng(0))
    (root / "img_align_celeba" / "000002.jpg").unlink()
    shutil.make_archive(str(root / "img_align_celeba"), "zip", root, "img_align_celeba")
    shutil.rmtree(root / "img_align_celeba")
    with pytest.raises(
        FileNotFoundError, match=r"zip: expected the 4 .*1 are missing, such as 000002"
    ):
        celeba(tmp_path)


@pytest.mark.parametrize("size", [(4, 3), (5, 2), (1, 1)])
def test_the_right_half_of_a_picture_is_obscured_from_the_first_row_on(size) -> None:
    picture = Image.new("RGB", size, (9, 8, 7))
    found = np.asarray(obscured(picture))
    assert (found[:, : size[0] // 2] == [9, 8, 7]).all()
    assert not found[:, size[0] // 2 :].any()
    assert (np.asarray(picture) == [9, 8, 7]).all()  # the picture itself is left as it is


@pytest.mark.parametrize(("size", "left", "top"), [((8, 4), 2, 0), ((4, 8), 0, 2), ((4, 4), 0, 0)])
def test_the_middle_square_is_kept_at_its_own_size(size, left, top) -> None:
    pixels = np.arange(size[0] * size[1], dtype=np.uint8).reshape(size[1], size[0])
    found = shrink(Image.fromarray(pixels), 4)
    assert np.array_equal(found[0], pixels[top : top + 4, left : left + 4])


def test_tags_count_once_however_often_they_come(folder: Path) -> None:
    tags = np.zeros((10, 2000), dtype=np.int64)
    tags[1, :1] = 5  # one tag, five times
    tags[2, :2] = 1
    tags[4, :3] = [1, 2, 7]
    sparse = csr_matrix(tags)
    path = folder / "flickr" / "text" / "text_all_2000_unlabelled.npz"
    np.savez(path, **{n: getattr(sparse, n) for n in ("data", "indices", "indptr", "shape")})
    added = mir_flickr(folder, unlabelled=2).train["tags"][-2:]
    assert torch.equal(added, torch.from_numpy((tags[[2, 4]] > 0) * 1.0))
    with pytest.raises(ValueError, match="unlabelled of at most 2"):
        mir_flickr(folder, unlabelled=3)


@pytest.mark.parametrize(
    ("part", "file", "remedy"),
    [
        ("train", "text_trainvalclasses", "features_train.npy and features_test.npy, into cub/"),
        ("test", "text_testclasses", "into cub-captions/ of the data folder"),
    ],
)
def test_captions_that_are_missing_come_with_their_own_remedy(tmp_path, part, file, remedy) -> None:
    with pytest.raises(
        FileNotFoundError, match=rf"expected {file}.txt .*found none\. Put .*{remedy}"
    ):
        find_captions(tmp_path, part)


def test_networks_of_digits_return_what_their_likelihoods_score() -> None:
    data = digits()
    z = torch.zeros(2, 16)
    shapes = {m.name: tuple(m.decoder(16)(z).shape) for m in data.modalities}
    assert shapes == {"top": (2, 4, 8), "bottom": (2, 4, 8), "label": (2, 10)}
    assert data.num_classes == 10


def test_a_file_without_rows_is_an_array_without_rows(tmp_path: Path, write_idx) -> None:
    empty = read_idx(write_idx(tmp_path / "x", np.zeros((0, 28, 28), np.uint8)))
    assert (empty.shape, empty.dtype) == ((0, 28, 28), torch.uint8)


def test_one_label_that_is_no_digit_is_told(folder: Path, arrays, write_idx) -> None:
    name = "train-labels-idx1-ubyte.gz"
    labels = arrays[name].copy()
    labels[7] = 10
    write_idx(folder / "mnist" / name, labels)
    with pytest.raises(ValueError, match=rf"{name}: expected labels 0..9, got 10"):
        read_images(MNIST, folder, "train")
    assert len(read_images(MNIST, folder, "t10k")[0]) == 20
