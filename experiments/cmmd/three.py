"""Three modalities of one digit: how well does a latent predict those that were not observed?

The experiments of Mancisidor et al. 2023 (CMMD) on MNIST-SVHN-Text: latent accuracy from every
subset of the modalities (Table 5), and coherence of every modality generated from every subset of
the others (Table 6). CMMD is one model for one subset of observed modalities, and sees the label in
training; MVAE, MMVAE and MoPoE are one model for all subsets, and do not.

    python -m ppl_mm.experiments.cmmd.three --system cmmd --observed mnist+text --omega 0.4
    python -m ppl_mm.experiments.cmmd.three --system mopoe --dataset mnist_fashion_text
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar

import torch
import typer
from torch import nn

from ppl_mm import data, evaluation, systems
from ppl_mm.data.dataset import split_last
from ppl_mm.evaluation import Estimate
from ppl_mm.experiments import runner
from ppl_mm.experiments.options import Only, Options, of
from ppl_mm.networks.classifier import TrunkClassifier
from ppl_mm.objectives.options import LabelReduction
from ppl_mm.systems import System

__all__ = ["HIDDEN", "OMEGA", "SMOKE", "Config", "build", "main", "train"]

# Table H.2: omega of each observed subset, found by cross-validation; m, s and t for MNIST, SVHN
# (or its replacement) and text. Figure C.1 alone has the omega of all three.
OMEGA = {"s": 0.9, "t": 0.0, "m": 0.6, "st": 0.2, "mt": 0.4, "ms": 0.6, "mst": 0.5}

HIDDEN = (2500, 2500, 2500)
"""The layers of CMMD's encoder."""
_OTHERS: dict[str, dict[str, Any]] = {
    "mvae": {},
    "mmvae": {"objective": "elbo", "prior": "normal"},
    "mopoe": {"beta": 2.5},
}


@dataclass(frozen=True)
class Config(Options):
    """The options of one run.

    Attributes:
        system: cmmd, mvae, mmvae or mopoe.
        dataset: mnist_svhn_text, or mnist_fashion_text.
        observed: The modalities that CMMD observes, joined by +; it is empty for other systems.
        omega: CMMD's omega; below 0 it is the paper's for the subset.
        label_reduction: How CMMD reduces the label's term: sum, as in its release, or mean.
        impartial: How MVAE's, MMVAE's and MoPoE's modalities share the encoders' gradients: empty
            for their sum, or pcgrad, imtl_g or mgda, see :func:`ppl_mm.fit`.
        held_out: Whether the last tenth of the training rows is for validation, to choose omega by.
        latent_dim: The size of z.
        num_train: The number of training rows, the first of the data set; None takes all.
        num_test: The number of test rows; None takes all.
        classifier_epochs: The number of epochs of each modality's classifier.
        probe_rows: The number of training rows of a latent classifier, drawn at random.
        probes: How many times these rows are drawn.
    """

    experiment: ClassVar[str] = "cmmd.three"
    of_measures: ClassVar[tuple[str, ...]] = (
        "classifier_epochs",
        "probe_rows",
        "probes",
        "num_test",
    )
    choices: ClassVar[Mapping[str, Sequence[str]]] = {
        "system": ("cmmd", *_OTHERS),
        "dataset": ("mnist_svhn_text", "mnist_fashion_text"),
        "impartial": ("", "pcgrad", "imtl_g", "mgda"),
    }
    only: ClassVar[Only] = {
        **of("observed", "omega", "label_reduction", system=("cmmd",)),
        **of("impartial", system=tuple(_OTHERS)),
    }

    system: str = "cmmd"
    dataset: str = "mnist_svhn_text"
    observed: str = ""
    omega: float = -1.0
    label_reduction: LabelReduction = "sum"
    impartial: str = ""
    held_out: bool = False
    batch_size: int = 256
    latent_dim: int = 20
    lr: float = 1e-4
    num_train: int | None = None
    num_test: int | None = None
    classifier_epochs: int = 5
    probe_rows: int = 500
    probes: int = 5
    out: str = "runs/cmmd_three"

    def __post_init__(self) -> None:
        """Refuse what the run does not have, and modalities of other data."""
        super().__post_init__()
        names = self.dataset.split("_")
        asked = self.observed.split("+")
        if self.observed and not set(asked) <= set(names):
            raise ValueError(
                f"observed: expected some of {', '.join(names)}, joined by +, got "
                f"{self.observed!r}."
            )

    @property
    def name(self) -> str:
        """The name of the files of the run."""
        own = [self.observed, self.label_reduction] if self.system == "cmmd" else []
        own += [f"{self.omega:g}"] if self.omega >= 0 else []
        own += ["held_out"] if self.held_out else []
        own += [self.impartial] if self.impartial else []
        return "-".join([self.dataset, self.system, *own, str(self.epochs), str(self.seed)])


SMOKE = Config(
    epochs=1,
    rows=500,
    batch_size=20,
    latent_dim=4,
    num_train=40,
    num_test=20,
    classifier_epochs=1,
    probe_rows=30,
    probes=2,
    device="cpu",
)


def main(config: Config, *, train_only: bool = False) -> dict[str, Any]:
    """Train, measure, write record and system; return the measures."""
    return runner.run(config, load, build, train, measure, train_only=train_only)


def load(config: Config) -> data.DataSet:
    """Load the data set."""
    dataset = data.load(config.dataset, seed=config.seed)
    if not config.held_out:
        return dataset
    train, validation = split_last(config.dataset, dataset.train, len(dataset.train) // 10)
    return replace(dataset, train=train, validation=validation)


def build(config: Config, dataset: data.DataSet) -> System:
    """Build the system, untrained."""
    if config.system != "cmmd":
        modalities = [m for m in dataset.modalities if m.name != "label"]
        options = _OTHERS[config.system]
        return systems.build(config.system, modalities, config.latent_dim, **options)
    (observed,) = _subsets(config, dataset)
    letters = "".join(
        letter for letter, m in zip("mst", dataset.modalities, strict=False) if m.name in observed
    )
    return systems.cmmd(
        dataset.modalities,
        config.latent_dim,
        observed=observed,
        label="label",
        omega=OMEGA[letters] if config.omega < 0 else config.omega,
        label_reduction=config.label_reduction,
        hidden=HIDDEN,
        prior_hidden=(),
        activation="softplus",
        dropout=0.2,
        vectorised=True,
        condition_decoder_on_observed=False,
    )


def train(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Train the system, from its checkpoint where there is one; return its record."""
    rows = dataset.train[: config.num_train]
    seen = rows if config.system == "cmmd" else rows.drop("label")
    options = {"impartial": config.impartial} if config.impartial else {}
    described = runner.train(system, seen, config, transform=dataset.transform, **options)
    return described | {"train_rows": len(rows)}


def measure(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Measure latent accuracy of every subset, coherence of the rest, and error of CMMD's label."""
    classifiers = _classifiers(dataset, config)
    subsets = _subsets(config, dataset)
    test = dataset.test[: config.num_test]
    labels = test["label"]
    seen = test if config.system == "cmmd" else test.drop("label")
    known = evaluation.classifier_accuracy(classifiers, test, labels)
    measures: dict[str, Any] = {
        "test rows": len(test),
        "classifiers": {name: accuracy.to_list() for name, accuracy in known.items()},
        "latents": _latents(system, dataset, config),
    }
    generating = [s for s in subsets if len(s) < len(classifiers)]
    if generating:
        asked = (
            {n: c for n, c in classifiers.items() if n not in generating[0]}
            if config.system == "cmmd"
            else classifiers
        )
        coherence = evaluation.cross_coherence(
            system, seen, labels, asked, generating, seed=config.seed
        )
        measures["coherence"] = coherence.to_dict()
    if config.system == "cmmd":
        told = {"error": test}
        if dataset.validation is not None:
            told["validation error"] = dataset.validation
        for name, rows in told.items():
            error = evaluation.classification_error(system, rows, "label", subsets[0])
            measures[name] = error.to_list()
    return measures


def _latents(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Return subset -> accuracy of latent classifiers, the mean over draws of training rows."""
    train, test = dataset.train[: config.num_train], dataset.test[: config.num_test]
    found: dict[str, list[Estimate]] = {}
    for probe in range(config.probes):
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(probe))
        rows = train[order[: config.probe_rows]]
        labels = rows["label"], test["label"]
        parts = (rows, test)
        if config.system != "cmmd":
            parts = (rows.drop("label"), test.drop("label"))
        accuracy = evaluation.latent_accuracy(
            system, *parts, *labels, subsets=_subsets(config, dataset), mean=True
        )
        for subset in accuracy.subsets:
            found.setdefault("+".join(subset), []).append(accuracy.cell("z", subset))
    return {
        subset: [
            sum(c.value for c in cells) / len(cells),
            max(c.standard_error for c in cells),
        ]
        for subset, cells in found.items()
    }


def _subsets(config: Config, dataset: data.DataSet) -> list[tuple[str, ...]]:
    """Return the observed modalities of CMMD, or every subset of the others."""
    names = [m.name for m in dataset.modalities if m.name != "label"]
    if config.system == "cmmd":
        return [tuple(config.observed.split("+"))]
    return [s for size in (1, 2, 3) for s in combinations(names, size)]


def _classifiers(dataset: data.DataSet, config: Config) -> dict[str, nn.Module]:
    """Return a classifier of each modality, on the trunk of its network."""

    def on_trunk(features: Any, shape: tuple[int, ...], num_classes: int) -> nn.Module:
        del shape
        return TrunkClassifier(features(), num_classes)

    return evaluation.train_classifiers(
        dataset,
        networks={
            m.name: partial(on_trunk, m.features) for m in dataset.modalities if m.name != "label"
        },
        epochs=config.classifier_epochs,
        folder=Path(config.out) / "classifiers",
        device=config.device if config.device != "auto" else "cpu",
    )


run = runner.command_line(main, Config)

if __name__ == "__main__":
    typer.run(run)
