"""Oracle classifiers of image modalities and of pictures, trained on real rows, kept in files.

They judge what systems generate; no system ever sees them.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Integer
from torch import Tensor, nn
from torch.nn import functional as F

from ppl_mm.arguments.tensors import Classes, Numbers
from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.rows import run_network
from ppl_mm.data.dataset import DataSet
from ppl_mm.files import read_sealed, write_sealed
from ppl_mm.networks.classifier import ImageClassifier, TrunkClassifier
from ppl_mm.networks.mlp import MLPFeatures
from ppl_mm.networks.recipe import describe
from ppl_mm.networks.resnet import ResNet
from ppl_mm.networks.table import TableFeatures
from ppl_mm.oracles.outputs import check_classifiers, checked_labels, classify
from ppl_mm.processes import one_thread
from ppl_mm.programs.answerable import check_held
from ppl_mm.results.estimate import Estimate
from ppl_mm.training.minimise import Shuffled, minimise, seeded

__all__ = ["classifier_accuracy", "train_classifier", "train_classifiers", "train_oracle"]

Network = Callable[[tuple[int, ...], int], nn.Module]
"""From event_shape and the number of classes to a classifier."""

_KIND = "classifier"


@typed
def train_classifiers(
    dataset: DataSet,
    names: Sequence[str] | None = None,
    *,
    networks: Mapping[str, Network] | None = None,
    epochs: int = 10,
    seed: int = 0,
    folder: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> dict[str, nn.Module]:
    """A classifier of every image modality, each trained on the training rows that hold it.

    Args:
        dataset: A data set with classes.
        names: The modalities; None takes those of ``networks``, or all that hold images (C, H, W).
        networks: Modality -> a function that builds a classifier from its values' shape and the
            number of classes. By default images have
            :class:`ppl_mm.networks.classifier.ImageClassifier` and other numbers a hidden layer of
            128, of standardised columns where the encoder standardises; symbols need a function.
        epochs: The number of passes through the training rows.
        seed: The seed of the networks, the order and the dropout.
        folder: The folder that keeps them, as
            ``<data set>-<modality>-<rows>-<epochs>-<seed>.safetensors``. A classifier that is there
            and was trained on the same values is read and not trained again. None keeps none.
        device: The device to train on, where they stay.
        progress: Whether to show a bar for each.

    Returns:
        Modality -> module in eval mode: images (B, C, H, W) to logits (B, classes); its method
        ``features`` gives the last hidden layer.

    Raises:
        ValueError: For no classes, for unknown names, or for none where there are no images.
        TypeError: For symbols without a network.

    Source: Palumbo, Daunhawer & Vogt 2023 (MMVAE+); Sutter, Daunhawer & Vogt 2021 (MoPoE).
    """
    labels, train = dataset.classes("train").cpu(), dataset.train
    networks = dict(networks or {})
    if names is None:
        names = list(networks) or [n for n in train.names if train[n].dim() == 4]
    if not names:
        example = f"names={list(train.names[:1])}"
        raise ValueError(
            f"{dataset.name}: no modality holds images (C, H, W); give {example}, say."
        )
    out: dict[str, nn.Module] = {}
    for name in names:
        check_held(train, [name], "modality to classify")
        if name not in networks and not train[name].is_floating_point():
            raise TypeError(f"modality {name!r}: holds symbols; give its classifier in networks.")
        known = _with_class(train, name, labels)
        images, classes = train[name].cpu()[known], labels[known]
        out[name] = _kept(
            dataset,
            name,
            images,
            classes,
            network=networks.get(name) or _default_of(dataset, name),
            epochs=epochs,
            seed=seed,
            folder=folder,
            device=device,
            progress=progress,
        )
    return out


@typed
def train_oracle(
    dataset: DataSet,
    *,
    network: Network = ResNet,
    epochs: int = 5,
    seed: int = 0,
    folder: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> nn.Module:
    """A classifier of whole pictures, whose parts are the modalities.

    It is trained on the training rows that hold every modality, joined by ``dataset.join``. The
    coherence of whole pictures can be no higher than its accuracy on test pictures:

        classifier_accuracy({"whole": oracle}, Observations({"whole": pictures}), labels)

    Args:
        dataset: A data set with classes and ``join``.
        network: A function from the pictures' shape (C, H, W) and the number of classes to a
            classifier.
        epochs: The number of passes through the training rows.
        seed: The seed of the network and the order.
        folder: The folder that keeps it, ``<data set>-whole-<rows>-<epochs>-<seed>.safetensors``,
            as :func:`train_classifiers` does.
        device: The device to train on, where it stays.
        progress: Whether to show a bar.

    Returns:
        Module in eval mode: pictures (B, C, H, W) to logits (B, classes).

    Raises:
        ValueError: If the data set has no classes, or its modalities are no parts of a picture.

    Source: Kutuzova et al. 2020 (SVAE), release. Differs: a smaller network than its ResNet-18,
    and a learning rate that falls from 1e-3 to 0 where it takes 10 epochs of 2e-4; cross-entropy
    where the release takes minus the target's logit for its logarithmic probability; evaluation
    mode where it evaluates by the statistics of each batch.
    """
    if dataset.join is None:
        raise ValueError(f"{dataset.name}: has no join, its modalities are no parts of a picture.")
    train, labels = dataset.train.to("cpu"), dataset.classes("train").cpu()
    known = torch.stack([*map(train.held_whole, train.names), labels >= 0]).all(0)
    pictures = dataset.join(train.values)[known]
    return _kept(
        dataset,
        "whole",
        pictures,
        labels[known],
        network=network,
        epochs=epochs,
        decay=True,
        seed=seed,
        folder=folder,
        device=device,
        progress=progress,
    )


@typed
def train_classifier(
    images: Numbers,
    labels: Classes,
    num_classes: int,
    *,
    network: Network = ImageClassifier,
    epochs: int = 10,
    batch_size: int = 128,
    lr: float = 1e-3,
    decay: bool = False,
    seed: int = 0,
    device: str | torch.device = "cpu",
    progress: str | None = None,
) -> nn.Module:
    """Train a classifier by Adam on cross-entropy.

    Args:
        images: The images, (N, C, H, W).
        labels: Their classes from 0, (N,).
        num_classes: The number C of classes.
        network: A function from the images' shape and C to the classifier.
        epochs: The number of passes through the images.
        batch_size: The number of images per step.
        lr: The learning rate of Adam.
        decay: Whether the learning rate falls to 0, by the same amount each step.
        seed: The seed of the network, order and dropout; torch's own generators are left alone.
        device: The device to train on.
        progress: The text before a bar; None for no bar.

    Returns:
        The classifier in eval mode.

    Raises:
        ValueError: For images or labels of other shapes, or labels that are no such class.
    """
    if images.dim() < 2 or labels.shape != (len(images),):
        raise ValueError(
            "train_classifier: expected images (N, *event) and labels (N,), got "
            f"{tuple(images.shape)} and {tuple(labels.shape)}."
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(
            f"train_classifier: expected labels from 0 to {num_classes - 1}, got "
            f"{int(labels.min())} to {int(labels.max())}."
        )
    with seeded(seed, device):
        module = network(tuple(images.shape[1:]), num_classes).to(device)

        def loss(rows: Tensor) -> Tensor:
            logits = run_network(module, images[rows].to(device))
            return F.cross_entropy(logits, labels[rows].to(device))

        batches = Shuffled(len(images), batch_size, epochs)
        minimise(module, loss, batches, learning_rate=lr, decay=decay, progress=progress)
    return module


@typed
def classifier_accuracy(
    classifiers: Mapping[str, nn.Module], obs: Observations, labels: Integer[Tensor, " N"]
) -> dict[str, Estimate]:
    """The accuracy on real rows, modality by modality, above which no coherence can be measured.

    Args:
        classifiers: Modality -> module, see :func:`train_classifiers`.
        obs: Test rows.
        labels: The classes of the rows, (N,); rows of class -1 have none and do not count.

    Raises:
        ValueError: For unknown modalities, or other than one class a row.
        TypeError: For classes that are no integers.
    """
    check_classifiers(classifiers, obs)
    out, labels = {}, checked_labels(labels, len(obs))
    check_held(obs, classifiers)
    for name, module in classifiers.items():
        known = _with_class(obs, name, labels)
        hits = classify(module, obs[name].cpu()[known]) == labels[known]
        out[name] = Estimate.of(hits)
    return out


def _with_class(obs: Observations, name: str, labels: Tensor) -> Tensor:
    """The rows that hold a modality, all of it, and have a class, (N,)."""
    known = obs.held_whole(name).cpu() & (labels >= 0)
    if not bool(known.any()):
        raise ValueError(f"modality {name!r}: no row that holds it has a class.")
    return known


def _default_of(dataset: DataSet, name: str) -> Network:
    """The default classifier; of columns in a user's own units one that standardises them."""
    encoders = {m.name: m.encoder for m in dataset.modalities}
    recipe = describe(encoders[name]) if name in encoders else None
    if recipe is None or recipe["network"] != "TableEncoder":
        return _default
    options = recipe["options"]
    units = {k: options[k] for k in ("centre", "spread", "transform") if k in options}
    return lambda _, num_classes: TrunkClassifier(
        TableFeatures(**units, hidden=(128,)), num_classes
    )


def _default(event_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    if len(event_shape) == 3:
        return ImageClassifier(event_shape, num_classes)
    return TrunkClassifier(MLPFeatures(event_shape=event_shape, hidden=(128,)), num_classes)


def _kept(
    dataset: DataSet,
    name: str,
    images: Tensor,
    labels: Tensor,
    *,
    network: Network,
    epochs: int,
    decay: bool = False,
    seed: int,
    folder: Path | None,
    device: str | torch.device,
    progress: bool,
) -> nn.Module:
    """The classifier of the folder's file if it fits, else a new one, which is then kept there."""
    size = dataset.num_classes or int(labels.max()) + 1
    file = f"{dataset.name}-{name}-{len(images)}-{epochs}-{seed}.safetensors"
    path = None if folder is None else Path(folder) / file
    data = f"{zlib.crc32(labels.numpy().tobytes(), zlib.crc32(images.numpy().tobytes())):08x}"
    module = None if path is None else _read(path, network, images.shape[1:], size, data)
    if module is None:
        module = train_classifier(
            images,
            labels,
            size,
            network=network,
            epochs=epochs,
            decay=decay,
            seed=seed,
            device=device,
            progress=f"classifier of {name}" if progress else None,
        )
        if path is not None:
            _write(path, module, data)
    return module.to(device).eval()


def _write(path: Path, module: nn.Module, data: str) -> None:
    write_sealed(path, _KIND, module.state_dict(), {"data": data})


def _read(
    path: Path, network: Network, event_shape: tuple[int, ...], num_classes: int, data: str
) -> nn.Module | None:
    """The classifier of a file; None without a file, or if it has other data or networks."""
    with one_thread(), torch.random.fork_rng(devices=[]):
        module = network(tuple(event_shape), num_classes)
    if not path.exists():
        return None
    file = read_sealed(path, _KIND, "Remove the file, and the classifier is trained again.")
    if file.header.get("data") != data:
        return None
    try:
        module.load_state_dict(file.tensors())
    except RuntimeError:
        return None
    return module
