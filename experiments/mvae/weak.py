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

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import typer
from torch import Tensor

from ppl_mm import data, evaluation
from ppl_mm.experiments import runner
from ppl_mm.experiments.mvae import experiment
from ppl_mm.experiments.mvae.readings import TERMS
from ppl_mm.experiments.mvae.weak_baselines import device_of, fit_baseline
from ppl_mm.experiments.mvae.weak_training import train
from ppl_mm.experiments.options import Only, Options, of
from ppl_mm.systems import System

__all__ = ["METHODS", "SMOKE", "Config", "main", "train"]

SYSTEMS = ("mvae", "jmvae")
METHODS = (*SYSTEMS, "nn", "logreg", "rbm", "ae", "vae")
_FITTED = (*SYSTEMS, "vae")
"""The methods that ``fit`` trains."""
_BY_EPOCHS = tuple(method for method in METHODS if method != "logreg")
_WITH_ADAM = tuple(method for method in _BY_EPOCHS if method != "rbm")


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
        lr: The learning rate of Adam.
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
    choices: ClassVar[Mapping[str, Sequence[str]]] = {
        "method": METHODS,
        "dataset": ("mnist", "fashion_mnist", "multimnist"),
        "terms": TERMS,
    }
    only: ClassVar[Only] = {
        **of("label_weight", "held_out", method=SYSTEMS),
        **of("terms", "every_step", method=("mvae",)),
        **of("epochs", "batch_size", method=_BY_EPOCHS),
        **of("lr", method=_WITH_ADAM),
        **of("clip_norm", "precision", method=_FITTED),
    }

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
        super().__post_init__()
        if self.dataset == "multimnist" and self.method not in SYSTEMS:
            raise ValueError(
                f"method: expected {' or '.join(SYSTEMS)} on multimnist, whose labels are strings, "
                f"got {self.method!r}."
            )

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
    record = runner.describe(config, seconds, device_of(config))
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


run = runner.command_line(main, Config)

if __name__ == "__main__":
    typer.run(run)
