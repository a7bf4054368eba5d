"""Some modalities are missing at test time: which methods predict the class from the others?

The experiments of Mancisidor et al. 2023 (CMMD) measure the error of the predicted class (or mean
average precision of several labels), the error of generated modalities, and the used part of the
latent (posterior collapse), on

    two_view_mnist      a rotated digit is observed, a noisy digit of the same class is not
    mnist_svhn          MNIST is observed, SVHN is not
    mnist_rotated_svhn  MNIST, or MNIST and a rotated digit, are observed, the rest is not
    xrmb                speech is observed, movements of the mouth are not; the class is the phone
    mir_flickr          a photograph is observed, its tags are not; some have 38 labels

    python -m ppl_mm.experiments.cmmd --system cmmd --omega 0.4 --epochs 1000
    python -m ppl_mm.experiments.cmmd --system vcca --epochs 250
    python -m ppl_mm.experiments.cmmd --dataset xrmb --split 1 --omega 0.8 --latent-dim 70
    python -m ppl_mm.experiments.cmmd --dataset xrmb --speaker 7 --omega 0.7 --latent-dim 70

CMMD predicts the label itself; so do the classifiers ``classifier`` (M-x_O) and ``matched`` (with
CMMD's own networks). All other methods see no label in training: a linear support vector machine,
or logistic regressions for several labels, read the latent's mean or the projection of the observed
modalities.

VCCA, MVAE and MMVAE score rotated digits as Bernoulli, as VCCA's release does: pixels that are 0 in
every row would drive a learned variance to 0. CMMD scores only the missing modalities.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from torch import nn

from ppl_mm import data, likelihoods, systems
from ppl_mm.experiments import runner
from ppl_mm.experiments.cmmd import data as cmmd_data
from ppl_mm.experiments.cmmd.config import (
    BASELINES,
    CMMD,
    FIRST,
    LABEL,
    SMOKE,
    SMOKE_OF_OTHERS,
    Config,
    task_of,
)
from ppl_mm.experiments.cmmd.measures import fit_baseline, labelled, measure
from ppl_mm.modality import Modality
from ppl_mm.networks import presets
from ppl_mm.systems import System

__all__ = ["BASELINES", "SMOKE", "SMOKE_OF_OTHERS", "Config", "build", "main", "train"]


def main(config: Config, *, train_only: bool = False) -> dict[str, Any]:
    """Train, measure, write record and system; return the measures.

    It skips what an earlier, interrupted run of a system has done. Baselines are fitted and
    measured at once.
    """
    if config.system in BASELINES:
        runner.begin(config)
        return runner.finish(config, fit_baseline(config, runner.loaded(cmmd_data.load, config)))
    return runner.run(config, cmmd_data.load, build, train, measure, train_only=train_only)


def build(config: Config, dataset: data.DataSet) -> System:
    """Build the system, untrained."""
    task = task_of(config)
    if config.system in CMMD:
        first = config.system == FIRST
        modalities = [
            _fixed(m, config.scale) if config.scale and m.name in task.missing else m
            for m in dataset.modalities
            if not (first and m.name == LABEL)
        ]
        options = {k: getattr(config, k) for k in ("omega", "alpha", "label_reduction")}
        options |= task.networks | {"observed": task.observed, "label": None if first else LABEL}
        return systems.cmmd(modalities, config.latent_dim, **options)
    others: dict[str, tuple[str, dict[str, Any]]] = {
        "vcca": ("vcca", {"view": task.views[0]}),
        "vcca_private": ("vcca_private", {"view": task.views[0], "private_dim": 10}),
        "mvae": ("mvae", {}),
        "mmvae": (
            "mmvae",
            {"objective": "iwae", "prior": "normal", "num_particles": config.num_particles},
        ),
        "mmvae_elbo": ("mmvae", {"objective": "elbo", "prior": "normal"}),
    }
    name, options = others[config.system]
    return systems.build(name, _scored(dataset), config.latent_dim, **options)


def train(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Train the system, from its checkpoint where there is one; return its record."""
    ours = config.system in CMMD
    annealing = {"annealing_epochs": config.annealing_epochs}
    rows = cmmd_data.parts(dataset, config, held_out=not ours)["train"]
    if config.system == "cmmd":
        whole = bool(dataset.train.present[LABEL].all())
        first_seconds = 0.0 if whole else _first_stage(system, dataset, config)
        rows = labelled(rows)
        record = runner.train(system, rows, config)
        record["train_seconds"] += first_seconds
    else:
        record = runner.train(system, rows.drop(LABEL), config, **annealing)
    return record | {"train_rows": len(rows)}


def _first_stage(system: System, dataset: data.DataSet, config: Config) -> float:
    """Start the system at one that is trained on the rows without a label; return its seconds."""
    first = replace(config, system=FIRST, epochs=config.unlabelled_epochs)
    stage = build(first, dataset)
    rows = dataset.train[~dataset.train.present[LABEL]].drop(LABEL)
    record = runner.train(stage, rows, first)
    system.start_from(stage)
    return float(record["train_seconds"])


def _fixed(modality: Modality, scale: float) -> Modality:
    """Return a Gaussian modality whose scale is not learned."""
    decoder: Callable[..., nn.Module] = modality.decoder
    located = partial(decoder, learned_scale=False)
    return replace(modality, likelihood=likelihoods.Normal(scale), decoder=located)


def _scored(dataset: data.DataSet) -> list[Modality]:
    """Return all modalities except the label, with rotated digits as Bernoulli."""
    modalities = [m for m in dataset.modalities if m.name != LABEL]
    if dataset.name != "two_view_mnist":
        return modalities
    decoder = partial(presets.cmmd_view_decoder, learned_scale=False)
    rotated, noisy = modalities
    return [replace(rotated, likelihood=likelihoods.SoftBernoulli(), decoder=decoder), noisy]


run = runner.command_line(main, Config)
