"""Three modalities of a digit against the files that they are made of."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from ppl_mm import likelihoods
from ppl_mm.data import (
    mnist_fashion_text,
    mnist_rotated_svhn,
    mnist_svhn_text,
    spell,
    two_view_mnist,
)
from ppl_mm.data.pairs import read_labelled
from ppl_mm.data.words import WORDS
from ppl_mm.evaluation import classifier_accuracy, train_classifier
from ppl_mm.networks import presets
from ppl_mm.networks.classifier import TrunkClassifier
from ppl_mm.published.small_pictures import FASHION_MNIST, MNIST, SVHN

SOURCES = {"mnist": MNIST, "fashion": FASHION_MNIST, "svhn": SVHN}
BUILDS = (mnist_svhn_text, mnist_fashion_text)


def rows_shown(folder, name, obs):
    """Which row of the published training file each picture is."""
    (images, labels), _ = read_labelled(SOURCES[name], folder)
    flat = (obs[name] * 255).round().to(torch.uint8).flatten(1)
    shown = (flat[:, None] == images.flatten(1)).all(-1)
    assert (shown.sum(1) == 1).all()
    return shown.int().argmax(1), labels


@pytest.mark.parametrize("build", BUILDS)
def test_pictures_and_word_are_of_the_class(folder: Path, build) -> None:
    data = build(folder, repeats=2, validation=10, seed=7)
    assert (len(data.train), len(data.validation), len(data.test)) == (70, 10, 40)
    for name in data.train.names[:2]:
        rows, labels = rows_shown(folder, name, data.train)
        assert torch.equal(labels[rows], data.classes("train"))
    for split in (data.train, data.validation, data.test):
        words = [text.strip() for text in spell(split["text"])]
        assert words == [WORDS[digit] for digit in split["label"].tolist()]
    again = data.transform(data.train)
    assert not torch.equal(again["text"], data.train["text"])
    assert torch.equal(again["mnist"], data.train["mnist"])


@pytest.mark.parametrize("build", [*BUILDS, mnist_rotated_svhn])
@pytest.mark.parametrize("pixels", ["bernoulli", "laplace"])
def test_networks_fit_the_values(folder: Path, build, pixels: str) -> None:
    options = {"num_train": 20, "num_test": 5} if build is mnist_rotated_svhn else {}
    data = build(folder, pixels=pixels, **options)
    obs = data.train[:3]
    score = likelihoods.SoftBernoulli() if pixels == "bernoulli" else likelihoods.Laplace(0.75)
    for modality in data.modalities:
        loc, _ = modality.encoder(data.latent_dim)(obs[modality.name])
        assert loc.shape == (3, 20)
        parameters = modality.decoder(data.latent_dim)(100 * torch.randn(3, 20))
        assert modality.likelihood(parameters).log_prob(obs[modality.name]).shape == (3,)
        if modality.name not in ("text", "label"):
            assert modality.likelihood == score
            inside = bool(((parameters >= 0) & (parameters <= 1)).all())
            assert inside == (pixels == "laplace")  # locations, or logits


def test_rotated_pictures_are_the_first_of_their_class_and_once(folder: Path, write_idx) -> None:
    squares = np.zeros((40, 28, 28), np.uint8)  # the middle tells which one it is, turned or not
    squares[:, 10:18, 10:18] = 6 * np.arange(1, 41)[:, None, None]
    write_idx(folder / "mnist" / "train-images-idx3-ubyte.gz", squares)
    data = mnist_rotated_svhn(folder, num_train=25, num_test=7, validation=5)
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 5, 7)
    obs = mnist_rotated_svhn(folder, num_train=25, num_test=7).train
    labels = read_labelled(MNIST, folder)[0][1]
    for name in ("mnist", "svhn"):
        rows, of_rows = rows_shown(folder, name, obs)
        assert torch.equal(of_rows[rows], obs["label"])
        assert len(rows.unique()) == 25
    rows = (obs["rotated"][:, 0, 13, 13] * 255 / 6).round().long() - 1
    assert len(rows.unique()) == 25
    assert torch.equal(labels[rows], obs["label"])
    for kind in range(10):
        asked = rows[obs["label"] == kind].sort().values
        assert torch.equal(asked, (labels == kind).nonzero().squeeze(-1)[: len(asked)])
    corner = obs["rotated"][:, 0, 10, 10] / obs["rotated"][:, 0, 13, 13]
    assert corner.std() > 0.1  # turned by different angles


def test_too_many_rows(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"number of pairs, which is 40, got 41"):
        mnist_rotated_svhn(folder, num_train=41, num_test=7)
    with pytest.raises(ValueError, match=r"num_test: .*at least 1, got 0"):
        mnist_rotated_svhn(folder, num_train=4, num_test=0)


def test_unknown_likelihood_of_pictures(folder: Path) -> None:
    for build in BUILDS:
        with pytest.raises(ValueError, match="pixels: expected 'bernoulli' or 'laplace', got 'n'"):
            build(folder, pixels="n")


def test_without_the_label_the_class_is_for_evaluation(folder: Path) -> None:
    data = mnist_fashion_text(folder, validation=10)
    unseen = data.without_label()
    assert unseen.label is None
    assert unseen.num_classes == 10
    assert [m.name for m in unseen.modalities] == ["mnist", "fashion", "text"]
    for split in ("train", "validation", "test"):
        assert getattr(unseen, split).names == ("mnist", "fashion", "text")
        assert torch.equal(unseen.classes(split), data.classes(split))
    assert unseen.transform is data.transform
    assert unseen.without_label() is unseen


def test_missing_files_of_either(folder: Path) -> None:
    (folder / "svhn" / "train_32x32.mat").unlink()
    mnist_fashion_text(folder)
    for build in (mnist_svhn_text, mnist_rotated_svhn):
        with pytest.raises(FileNotFoundError, match="ppl-mm data get svhn"):
            build(folder)


def test_a_classifier_of_words_reads_symbols(folder: Path) -> None:
    data = mnist_fashion_text(folder, repeats=5)
    strings, labels = data.train["text"], data.classes("train")
    classifier = train_classifier(
        strings,
        labels,
        10,
        network=lambda _, size: TrunkClassifier(presets.cmmd_text_features(), size),
        epochs=30,
    )
    found = classifier_accuracy({"text": classifier}, data.test, data.classes("test"))
    assert found["text"].value > 0.9


@pytest.mark.skipif(
    not os.environ.get("PPL_MM_DATA"), reason="needs the published files: set PPL_MM_DATA"
)
def test_sizes_of_the_published_files() -> None:
    data = mnist_fashion_text()
    assert (len(data.train), len(data.test)) == (58_862, 9_786)
    views = two_view_mnist()
    assert (len(views.train), len(views.validation), len(views.test)) == (50_000, 10_000, 10_000)
    # MNIST's mean is 0.1307, its standard deviation 0.3081; E min(1, x + u) = x + (1 - x^2) / 2
    means = [views.train[n].mean().item() for n in ("rotated", "noisy")]
    assert means == pytest.approx([0.1307, 0.5747], abs=0.003)
