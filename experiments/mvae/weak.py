"""Labels for a few images: how many pairs does it take to tell the digit?

These are tables 8 to 10 of Wu & Goodman 2018 (arXiv:1802.05335): the accuracy of labels read from
test images, where a fraction of the training rows, chosen once, has image and label together. MVAE
learns from these pairs, from all other images and, shuffled apart, from all other labels. JMVAE, a
network (NN) and logistic regression of the pixels (LOGREG) learn from the pairs alone. AE, VAE and
RBM learn features from all images, without labels, and a logistic regression of the pairs reads
them. On MultiMNIST, MVAE and JMVAE read strings, and the accuracy is that of positions.

    python -m ppl_mm.experiments.mvae.weak --method mvae --fraction 0.01 --label-weight 1
    python -m ppl_mm.experiments.mvae.weak --method mvae --fraction 0.01 --terms image_all
    python -m ppl_mm.experiments.mvae.weak --method rbm --dataset fashion_mnist --epochs 100

An epoch shows the same number of examples, in the same number of steps, at every fraction: methods
of pairs alone see each pair several times. The features of AE, VAE and RBM are learned once for all
fractions.
"""

import json
import time
import warnings
import zlib
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
import typer
from safetensors.torch import load_file, save
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from ppl_mm import baselines, data, evaluation
from ppl_mm.batch.observations import Observations
from ppl_mm.experiments import runner
from ppl_mm.experiments.mvae import experiment
from ppl_mm.experiments.mvae.held_out import HeldOut, chosen
from ppl_mm.experiments.mvae.readings import check_terms
from ppl_mm.experiments.options import Options
from ppl_mm.files import write_atomically
from ppl_mm.systems import System

__all__ = ["METHODS", "SMOKE", "Config", "main", "paired_rows", "train"]

SYSTEMS = ("mvae", "jmvae")
METHODS = (*SYSTEMS, "nn", "logreg", "rbm", "ae", "vae")
_UNUSED = ("fraction", "label_weight", "terms", "every_step", "held_out")  # by features


@dataclass(frozen=True)
class Config(Options):
    """The options of one run.

    Attributes:
        method: A name of ``METHODS``.
        dataset: mnist (table 8), fashion_mnist (table 9) or multimnist (table 10: mvae and jmvae).
        fraction: The share of training rows that are paired.
        label_weight: The lambda of the label in mvae and jmvae; the image's is 1.
        terms: The modalities that mvae's image-only term reconstructs, one of ``readings.TERMS``:
            the image, as in the paper, or also a pair's label.
        epochs: The number of passes through as many rows as training has (logreg makes none); beta
            grows over 40 % of them.
        batch_size: The number of rows per step; a step of MVAE has this number of unpaired images,
            and of unpaired labels.
        lr: The learning rate of Adam, where a system is trained.
        every_step: Whether every step of mvae has a batch of pairs beside those of images and of
            labels; otherwise pairs have their share of the batch.
        held_out: Whether held-out pairs are measured after every epoch of mvae or jmvae, so that
            the accuracy is also told at the epoch that is best by their loss, and by their
            accuracy.
        num_train: The number of training rows, the first of the data set; None takes all.
        num_test: The number of test rows; None takes all.
    """

    experiment: ClassVar[str] = "mvae.weak"
    of_measures: ClassVar[tuple[str, ...]] = ("num_test",)

    method: str = "mvae"
    dataset: str = "mnist"
    fraction: float = 1.0
    label_weight: float = 50.0
    terms: str = "own"
    epochs: int = 500
    every_step: bool = False
    held_out: bool = False
    num_train: int | None = None
    num_test: int | None = None
    checkpoint_every: int = 10
    out: str = "runs/mvae_weak"

    def __post_init__(self) -> None:
        """Refuse options that do not fit the method, before anything is read or trained."""
        if self.method not in METHODS:
            raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {self.method!r}.")
        if self.dataset == "multimnist" and self.method not in SYSTEMS:
            raise ValueError(
                f"method: expected {' or '.join(SYSTEMS)} on multimnist, whose labels are strings, "
                f"got {self.method!r}."
            )
        check_terms(self.terms, self.method)
        if self.every_step and self.method != "mvae":
            raise ValueError(f"every_step: an option of mvae, got {self.method!r}.")
        if self.held_out and self.method not in SYSTEMS:
            raise ValueError(f"held_out: an option of mvae and jmvae, got {self.method!r}.")

    @property
    def name(self) -> str:
        """The name of the files of the run."""
        parts = [self.dataset, "weak", self.method]
        parts += [f"{self.label_weight:g}"] if self.method in SYSTEMS else []
        parts += [self.terms] if self.terms != "own" else []
        parts += ["every_step"] if self.every_step else []
        parts += ["held_out"] if self.held_out else []
        parts += [f"{self.fraction:g}"]
        parts += [] if self.method == "logreg" else [str(self.epochs)]
        return "-".join([*parts, str(self.seed)])


SMOKE = Config(
    epochs=1, batch_size=20, rows=500, num_train=40, num_test=20, fraction=0.5, device="cpu"
)


def main(config: Config, *, train_only: bool = False) -> dict[str, Any]:
    """Train, measure, write record and system; return the measures.

    It skips what an earlier, interrupted run of a system has done. Other methods are fitted and
    measured at once.
    """
    if config.method in SYSTEMS:
        return runner.run(
            config,
            load,
            build,
            train,
            measure,
            train_only=train_only,
        )
    runner.begin(config)
    dataset, start = runner.loaded(load, config), time.perf_counter()
    predicted = fit_baseline(config, dataset)
    seconds = time.perf_counter() - start
    measures = _accuracies(predicted, dataset.test["label"][: config.num_test])
    record = runner.describe(config, seconds, _device(config))
    return runner.finish(config, record | {"measures": measures})


def load(config: Config) -> data.DataSet:
    """Load the data set."""
    return data.load(config.dataset)


def build(config: Config, dataset: data.DataSet) -> System:
    """Build the system, untrained."""
    own = experiment.Config(
        system=config.method, label_weight=config.label_weight, terms=config.terms
    )
    return experiment.build(own, dataset)


def measure(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Measure the accuracy of labels read from test images at the mean of q(z | x1)."""
    test = dataset.test[: config.num_test]
    image, label = (m.name for m in dataset.modalities)
    return _accuracies(evaluation.predict(system, test, label, (image,)), test[label])


def _accuracies(predicted: Tensor, truth: Tensor) -> dict[str, Any]:
    found = {name: e.to_list() for name, e in experiment.accuracy(predicted, truth).items()}
    return {"test rows": len(truth), **found}


def paired_rows(num_rows: int, fraction: float, seed: int) -> Tensor:
    """Return the indices of the rows that :func:`ppl_mm.data.weakly_supervised` keeps paired."""
    rows = torch.arange(num_rows)
    found = data.weakly_supervised(
        Observations({"image": rows, "label": rows}), fraction, seed=seed
    )
    return found["image"][found.present["image"] & found.present["label"]]


def pairs(rows: Observations, config: Config) -> Observations:
    """Return the paired rows, again and again until there are as many as in all."""
    paired = paired_rows(len(rows), config.fraction, config.seed)
    return rows[paired[torch.arange(len(rows)) % len(paired)]]


def train(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Train MVAE, JMVAE or VAE, from its checkpoint where there is one; return its record."""
    rows = dataset.train[: config.num_train]
    seen: Any
    if config.every_step:
        seen = data.streams(rows, config.fraction, seed=config.seed)
    elif config.method == "mvae":
        seen = data.weakly_supervised(rows, config.fraction, seed=config.seed)
    else:
        seen = rows.drop("label") if config.method == "vae" else pairs(rows, config)
    shown = 1.0 if config.every_step else len(seen) / len(rows)
    watched = []
    if config.held_out:
        held_out, test = dataset.validation, dataset.test
        assert held_out is not None
        watched = [HeldOut(held_out[: config.num_test], test[: config.num_test], config.seed)]
    described = runner.train(
        system,
        seen,
        config,
        batch_size=round(config.batch_size * shown),
        annealing_epochs=round(0.4 * config.epochs),
        callbacks=watched,
    )
    best = {"chosen": chosen(described["history"])} if watched else {}
    return described | {"train_rows": len(rows)} | best


def fit_baseline(config: Config, dataset: data.DataSet) -> Tensor:
    """Fit one of the other methods; return its predicted classes of the test images, (N,)."""
    rows, test = dataset.train[: config.num_train], dataset.test[: config.num_test]
    image, label = dataset.modalities
    if config.method == "nn":  # The networks of MVAE, without scales.
        encoder: Any = image.encoder
        decoder: Any = label.decoder
        features: Any = image.features
        classifier = baselines.matched_classifier(
            pairs(rows, config),
            [replace(image, features=partial(features, hidden=())), label],
            "label",
            "image",
            dataset.latent_dim,
            prior_hidden=encoder.keywords["hidden"],
            hidden=decoder.keywords["hidden"],
            activation="silu",
            dropout=0.0,
            epochs=config.epochs,
            batch_size=config.batch_size,
            learning_rate=1e-3,
            seed=config.seed,
            device=_device(config),
        )
        return classifier.predict(test).cpu()
    numbers = learned_features(config, dataset, rows, test)
    paired = paired_rows(len(rows), config.fraction, config.seed)
    with warnings.catch_warnings():  # 100 iterations are scikit-learn's default.
        warnings.simplefilter("ignore", ConvergenceWarning)
        machine = baselines.logistic_regression(
            numbers["train"][paired], rows["label"][paired], max_iterations=100
        )
    return machine.predict(numbers["test"])


def learned_features(
    config: Config, dataset: data.DataSet, rows: Observations, test: Observations
) -> dict[str, Tensor]:
    """Return features of training and test images, (N, k) each.

    They are read from a file if a run of another fraction has learned them. LOGREG has pixels, RBM
    the probabilities of hidden units, AE the code, and VAE the posterior's mean.
    """
    if config.method == "logreg":
        return {"train": rows["image"].flatten(1), "test": test["image"].flatten(1)}
    unused = (
        "fraction",
        "label_weight",
        "terms",
        "every_step",
        "held_out",
        "device",
        "threads",
        "checkpoint_every",
        "out",
    )
    options = {k: v for k, v in asdict(config).items() if k not in unused}
    key = zlib.crc32(json.dumps(options).encode())
    path = Path(config.out) / f"{config.dataset}-{config.method}-{key:08x}-features.safetensors"
    if path.exists():
        return load_file(path)
    image = dataset.modalities[0]
    if config.method == "vae":
        system = experiment.build(experiment.Config(system="vae"), dataset)
        train(system, dataset, config)
        found = {
            part: evaluation.draw_latents(system, obs.drop("label"), mean=True)["z"]
            for part, obs in {"train": rows, "test": test}.items()
        }
    else:
        options = {k: getattr(config, k) for k in ("epochs", "batch_size", "seed")}
        if config.method == "rbm":
            projection = baselines.rbm(rows, image, hidden=128, **options)
        else:
            options |= {"device": _device(config)}
            projection = baselines.autoencoder(rows, image, dataset.latent_dim, **options)
        found = {"train": projection(rows), "test": projection(test)}
    found = {part: x.cpu().contiguous() for part, x in found.items()}
    write_atomically(path, save(found))
    return found


def _device(config: Config) -> str:
    """Return the device of methods that are no system; scikit-learn's need the CPU."""
    if config.method in ("logreg", "rbm"):
        return "cpu"
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.device


run = runner.command_line(main, Config)

if __name__ == "__main__":
    typer.run(run)
