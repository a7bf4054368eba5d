"""Weak supervision: the rows that have image and label together, and training on them."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from ppl_mm import data
from ppl_mm.batch.observations import Observations
from ppl_mm.experiments import runner
from ppl_mm.experiments.mvae.held_out import HeldOut, chosen
from ppl_mm.systems import System

__all__ = ["paired_rows", "pairs", "train"]

Config = Any  # The options of weak supervision.


def paired_rows(num_rows: int, fraction: float, seed: int) -> Int[Tensor, " n"]:
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
    seen: Observations | list[Observations]
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
