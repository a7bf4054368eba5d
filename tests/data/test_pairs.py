import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ppl_mm.data import mnist_fashion, mnist_svhn, pair_by_class, read_svhn
from ppl_mm.data.mnist import read_images
from ppl_mm.published.small_pictures import FASHION_MNIST, MNIST

real = pytest.mark.skipif(
    not os.environ.get("PPL_MM_DATA"), reason="needs the published files: set PPL_MM_DATA"
)
# How many of each digit 0..9 the published training files hold, and the test files.
COUNTS = {
    "mnist": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "svhn": [4948, 13861, 10585, 8497, 7458, 6882, 5727, 5595, 5045, 4659],
}
TEST_COUNTS = {
    "mnist": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    "svhn": [1744, 5099, 4149, 2882, 2523, 2384, 1977, 2019, 1660, 1595],
}


def shuffled(counts: list[int], seed: int) -> Tensor:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]


@pytest.mark.parametrize(("counts", "expected"), [(COUNTS, 56_068), (TEST_COUNTS, 10_000)])
def test_numbers_of_pairs_are_the_papers(counts: dict[str, list[int]], expected: int) -> None:
    digits, numbers = shuffled(counts["mnist"], 0), shuffled(counts["svhn"], 1)
    rows = pair_by_class(digits, numbers)
    assert len(rows[0]) == len(rows[1]) == expected
    assert torch.equal(digits[rows[0]], numbers[rows[1]])
    assert len(pair_by_class(digits, numbers, repeats=20)[0]) == 20 * expected


def test_first_rows_of_a_class_take_part_once_a_repeat() -> None:
    a, b = torch.tensor([1, 0, 1, 1, 0, 2]), torch.tensor([0, 1, 0, 1, 0, 3])
    rows_a, rows_b = pair_by_class(a, b, repeats=3)
    assert rows_a.bincount(minlength=6).tolist() == [3, 3, 3, 0, 3, 0]
    assert rows_b.bincount(minlength=6).tolist() == [3, 3, 3, 3, 0, 0]
    rows_a, _ = pair_by_class(a, b, max_per_class=1)
    assert sorted(rows_a.tolist()) == [0, 1]


def test_pairings_are_independent_and_in_random_order() -> None:
    labels = shuffled([200, 200], 0)
    rows_a, rows_b = pair_by_class(labels, labels, repeats=10)
    assert (rows_a == rows_b).sum() < 50  # expected: 20 fixed points of 20 permutations
    assert len({*zip(rows_a.tolist(), rows_b.tolist(), strict=True)}) > 3800  # expected: 3910
    changes = (labels[rows_a].diff() != 0).double().mean()  # 0.5 where in random order
    assert abs(changes - 0.5) < 4 * 0.5 / 3999**0.5


def test_seed_decides() -> None:
    labels = shuffled([50, 50], 0)
    first, again, other = (torch.stack(pair_by_class(labels, labels, seed=s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_nothing_to_pair() -> None:
    with pytest.raises(ValueError, match=r"a class that both have, got \[0\] and \[1, 2\]"):
        pair_by_class(torch.zeros(3, dtype=torch.int64), torch.tensor([1, 2]))
    for name in ("repeats", "max_per_class"):
        with pytest.raises(ValueError, match=f"{name}: .*at least 1, got 0"):
            pair_by_class(torch.zeros(3), torch.zeros(3), **{name: 0})


@pytest.mark.parametrize("build", [mnist_svhn, mnist_fashion])
def test_pictures_of_a_pair_are_of_its_class(folder: Path, build) -> None:
    data = build(folder, repeats=2, validation=10)
    assert (len(data.train), len(data.validation), len(data.test)) == (70, 10, 40)
    files = {"mnist": read_images(MNIST, folder, "train")}
    files["fashion"] = read_images(FASHION_MNIST, folder, "train")
    files["svhn"] = read_svhn(folder / "svhn" / "train_32x32.mat")
    for name in data.train.names:
        images, labels = files[name]
        flat = (data.train[name] * 255).round().to(torch.uint8).flatten(1)
        shown = (flat[:, None] == images.flatten(1)).all(-1)  # (pairs, images)
        assert (shown.sum(1) == 1).all()
        assert torch.equal(labels[shown.int().argmax(1)], data.classes("train"))
    assert data.classes("validation").shape == (10,)


@pytest.mark.parametrize("build", [mnist_svhn, mnist_fashion])
def test_networks_fit_the_values(folder: Path, build) -> None:
    data = build(folder)
    obs = data.train[:3]
    for modality in data.modalities:
        loc, scale = modality.encoder(data.latent_dim)(obs[modality.name])
        assert loc.shape == scale.shape == (3, 20)
        parameters = modality.decoder(data.latent_dim)(loc)
        assert modality.likelihood(parameters).log_prob(obs[modality.name]).shape == (3,)
        width = 512 if modality.name == "fashion" else 400
        assert modality.features()(obs[modality.name]).shape == (3, width)


def test_weights_are_the_papers(folder: Path) -> None:
    assert [m.weight for m in mnist_svhn(folder).modalities] == pytest.approx([3.918, 1], abs=1e-3)
    assert [m.weight for m in mnist_fashion(folder).modalities] == [1, 1]


def test_missing_files_of_either(folder: Path) -> None:
    (folder / "svhn" / "train_32x32.mat").unlink()
    with pytest.raises(FileNotFoundError, match="ppl-mm data get svhn"):
        mnist_svhn(folder)
    (folder / "mnist" / "train-images-idx3-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="ppl-mm data get mnist"):
        mnist_svhn(folder)


@real
def test_published_mnist_and_fashion() -> None:
    for part, expected in (("train", 58_862), ("t10k", 9_786)):
        labels = [read_images(source, None, part)[1] for source in (MNIST, FASHION_MNIST)]
        assert len(pair_by_class(*labels)[0]) == expected
