"""Two views of a digit, one of them missing in use: who tells the digit from the other?

The experiment of Mancisidor et al. 2023 (CMMD) on two views of MNIST, one a rotated digit, which is
there in use, the other a noisy digit of the same class, which is not: the error of the predicted
class, and what of the latent is used (posterior collapse).

    python -m ppl_mm.experiments.cmmd --system cmmd --omega 0.4 --epochs 1000
    python -m ppl_mm.experiments.cmmd --system vcca --epochs 250
    python -m ppl_mm.experiments.cmmd --system cca

CMMD predicts the label itself; so do the classifiers ``classifier`` (M-x_O) and ``matched`` (with
CMMD's own networks). Of all others a linear support vector machine reads the latent's mean, or the
projection, of the rotated digit. They see no label in training.

VCCA, MVAE and MMVAE score rotated digits as Bernoulli, as VCCA's release does: pixels that are 0 in
every row would drive a learned variance to 0. CMMD scores the noisy digit alone.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
import typer
from ppl_mm.experiments import runner
from torch import Tensor

from ppl_mm import baselines, data, evaluation, likelihoods, systems
from ppl_mm.evaluation import Estimate
from ppl_mm.networks import presets
from ppl_mm.observations import Observations
from ppl_mm.systems import System

__all__ = ["BASELINES", "SMOKE", "Config", "build", "main", "train"]

OBSERVED, MISSING = "rotated", "noisy"
BASELINES = ("classifier", "matched", "cca", "dcca", "dccae", "mvcl")

_NOT_TRAINING = ("num_test", "device", "threads", "checkpoint_every", "out")
_CMMD: dict[str, Any] = {
    "observed": (OBSERVED,),
    "label": "label",
    "hidden": (2500, 2500, 2500),
    "prior_hidden": (1024, 1024, 1024),
    "activation": "softplus",
    "dropout": 0.2,
    "init_scale": 1e-3,
}
_OTHERS: dict[str, dict[str, Any]] = {
    "vcca": {"view": OBSERVED},
    "vcca_private": {"view": OBSERVED, "private_dim": 10},
    "mvae": {},
    "mmvae": {"objective": "iwae", "prior": "normal"},
}


@dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        system: cmmd, vcca, vcca_private, mvae or mmvae; or a baseline: classifier, matched, cca,
            dcca, dccae or mvcl.
        omega: Of CMMD.
        alpha: CMMD's factor of the label's cross-entropy.
        label_reduction: Of CMMD: sum, as its release runs, or mean, as its paper has it.
        num_particles: K of MMVAE.
        epochs: Of the training rows; of CCA there are none.
        batch_size: Rows per step (of DCCA and DCCAE 800).
        latent_dim: Size of z, or the number of projections.
        lr: Of Adam.
        num_train: Training rows, the first of the data set's; None for all.
        num_test: Rows of the test and of the validation part; None for all.
        precision: Fabric's flag for training; measures are always in float32.
        device: auto, cpu or cuda.
        seed: Of views, networks, order and noise.
        threads: Of torch.
        checkpoint_every: Epochs between checkpoints.
        out: Folder of the record ``<out>/<name>.json`` and the trained system.
    """

    system: str = "cmmd"
    omega: float = 0.4
    alpha: float = 10.0
    label_reduction: str = "sum"
    num_particles: int = 10
    epochs: int = 1000
    batch_size: int = 100
    latent_dim: int = 50
    lr: float = 1e-4
    num_train: int | None = None
    num_test: int | None = None
    precision: str = "32-true"
    device: str = "auto"
    seed: int = 0
    threads: int = 1
    checkpoint_every: int = 10
    out: str = "runs/cmmd"

    @property
    def name(self) -> str:
        """The record's name."""
        parts = ["two_view_mnist", self.system]
        parts += [f"{self.omega:g}", self.label_reduction] if self.system == "cmmd" else []
        return "-".join([*parts, str(self.epochs), str(self.seed)])


SMOKE = Config(
    num_particles=2,
    epochs=1,
    batch_size=20,
    latent_dim=4,
    num_train=40,
    num_test=20,
    device="cpu",
)


def main(config: Config, *, train_only: bool = False) -> dict[str, Any]:
    """Train, measure, write record and system; return the measures.

    What an earlier, interrupted run of a system has done is not done again; baselines are fitted
    and measured at once.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    dataset = data.load("two_view_mnist", seed=config.seed)
    if config.system in BASELINES:
        record = fit_baseline(config, dataset)
        runner.write(runner.paths(config)[1], record)
        return dict(record["measures"])
    system = build(config, dataset)
    return runner.run(
        "cmmd",
        system,
        config,
        partial(train, system, dataset, config),
        partial(measure, system, dataset, config),
        not_training=_NOT_TRAINING,
        train_only=train_only,
    )


def build(config: Config, dataset: data.DataSet) -> System:
    """The system, untrained."""
    if config.system == "cmmd":
        options = {k: getattr(config, k) for k in ("omega", "alpha", "label_reduction")}
        return systems.cmmd(dataset.modalities, config.latent_dim, **_CMMD, **options)
    options = dict(_OTHERS[config.system])
    if config.system == "mmvae":
        options["num_particles"] = config.num_particles
    rotated, noisy = (m for m in dataset.modalities if m.name != "label")
    decoder = partial(presets.cmmd_view_decoder, learned_scale=False)
    rotated = replace(rotated, likelihood=likelihoods.SoftBernoulli(), decoder=decoder)
    return systems.build(config.system, [rotated, noisy], config.latent_dim, **options)


def train(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Train the system, from its checkpoint where there is one; the record so far."""
    rows = dataset.train[: config.num_train]
    seen = rows if config.system == "cmmd" else rows.drop("label")
    return runner.train("cmmd", system, seen, config) | {"train_rows": len(rows)}


def measure(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Errors of the class on validation and test, of the noisy digit, and curves of collapse."""
    parts = _parts(dataset, config)
    if config.system == "cmmd":
        errors = {
            part: evaluation.classification_error(system, parts[part], "label", OBSERVED)
            for part in ("validation", "test")
        }
    else:

        def features(obs: Observations) -> Tensor:
            rows = obs.drop("label")
            means = evaluation.draw_latents(system, rows, (OBSERVED,), mean=True)
            return means["u" if "u" in means else "z"]

        errors = _read_by_svm(features, parts, config.seed)
    seen = parts["test"] if config.system == "cmmd" else parts["test"].drop("label")
    every = tuple(seen.names)
    collapse = {
        "observed": evaluation.posterior_collapse(system, seen, OBSERVED),
        "all": evaluation.posterior_collapse(system, seen, every),
        "observed against all": evaluation.posterior_collapse(system, seen, OBSERVED, every),
    }
    return {
        "test rows": len(seen),
        "error": {part: error.to_list() for part, error in errors.items()},
        "rmse": evaluation.rmse(system, seen, MISSING, OBSERVED).to_list(),
        "collapse": {name: curve.to_dict() for name, curve in collapse.items()},
    }


def fit_baseline(config: Config, dataset: data.DataSet) -> dict[str, Any]:
    """The record of one of the other methods."""
    parts = _parts(dataset, config)
    train, views = parts["train"], {"views": (OBSERVED, MISSING)}
    options: dict[str, Any] = {"epochs": config.epochs, "seed": config.seed}
    options |= {"device": "cuda" if config.device == "cuda" else "cpu"}
    start = time.perf_counter()
    if config.system in ("classifier", "matched"):
        options |= {"batch_size": config.batch_size, "learning_rate": config.lr}
        fitted = (
            baselines.label_classifier
            if config.system == "classifier"
            else partial(baselines.matched_classifier, latent_dim=config.latent_dim)
        )(train, dataset.modalities, "label", OBSERVED, **options)
        errors = {
            part: Estimate.of(fitted.predict(parts[part]) != parts[part]["label"])
            for part in ("validation", "test")
        }
    else:
        if config.system == "cca":
            options = {}
        if config.system == "mvcl":
            options |= {"batch_size": config.batch_size, "learning_rate": config.lr}
        method = getattr(baselines, config.system)
        projection = method(train, dataset.modalities, config.latent_dim, **views, **options)
        errors = _read_by_svm(lambda obs: projection(obs, OBSERVED), parts, config.seed)
    record = runner.describe_fit("cmmd", config, time.perf_counter() - start)
    measures = {
        "test rows": len(parts["test"]),
        "error": {part: error.to_list() for part, error in errors.items()},
    }
    return record | {"train_rows": len(train), "measures": measures}


def _parts(dataset: data.DataSet, config: Config) -> dict[str, Observations]:
    assert dataset.validation is not None
    return {
        "train": dataset.train[: config.num_train],
        "validation": dataset.validation[: config.num_test],
        "test": dataset.test[: config.num_test],
    }


def _read_by_svm(
    features: Callable[[Observations], Tensor], parts: dict[str, Observations], seed: int
) -> dict[str, Estimate]:
    """Errors of a linear support vector machine, its penalty chosen on the validation rows."""
    numbers = {part: features(obs) for part, obs in parts.items()}
    scale = numbers["train"].std(0).clamp(min=1e-6)
    numbers = {part: x / scale for part, x in numbers.items()}
    labels = {part: obs["label"] for part, obs in parts.items()}
    machine = baselines.linear_svm(
        numbers["train"],
        labels["train"],
        numbers["validation"],
        labels["validation"],
        seed=seed,
    )
    return {
        part: Estimate.of(machine.predict(numbers[part]) != labels[part])
        for part in ("validation", "test")
    }


run = runner.command_line(main, Config)

if __name__ == "__main__":
    typer.run(run)
