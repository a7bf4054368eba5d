"""MVAE19: how much of 19 modalities may be missing, and how many subsets are worth a term?

A face and 18 attributes are a modality each (CelebA). In figure 9 of Wu & Goodman 2018
(arXiv:1802.05335) each modality of every training row is kept with a probability p, once: how well
are attributes then read from test images, and what are the likelihoods? In figure 10 the objective
has the terms of everything, of each modality alone, and of k random subsets: what is the effect of
a larger k? Its part (c) draws all terms of a row with the same noise.

    python -m ppl_mm.experiments.mvae.attributes --keep 0.1
    python -m ppl_mm.experiments.mvae.attributes --k 10 --shared-noise --seed 1

The measures are those of the main experiment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import typer

from ppl_mm import data
from ppl_mm.experiments import runner
from ppl_mm.experiments.mvae import experiment
from ppl_mm.objectives import subset_terms
from ppl_mm.systems import System

__all__ = ["SMOKE", "Config", "build", "main", "measure", "train"]


@dataclass(frozen=True)
class Config(experiment.Config):
    """The options of one run of MVAE, with the paper's sizes.

    The other options are those of ``mvae.Config``; ``system``, ``dataset`` and ``terms`` do not
    vary.

    Attributes:
        keep: The probability p of keeping a modality of a training row.
        k: The number of random subsets that have a term; it is 1 in all of the paper except figure
            10.
        shared_noise: Whether all terms of a row are drawn with the same noise.
    """

    experiment: ClassVar[str] = "mvae.attributes"
    choices: ClassVar[Mapping[str, Sequence[str]]] = {
        "system": ("mvae",),
        "dataset": ("celeba19",),
        "terms": ("own",),
    }

    dataset: str = "celeba19"
    epochs: int = 100
    lr: float = 1e-4
    num_samples: int = 100
    joint_rows: int = 19_962
    test_rows: int = 19_962
    keep: float = 1.0
    k: int = 1
    shared_noise: bool = False

    @property
    def name(self) -> str:
        """The name of the files of the run."""
        parts = ["attributes", f"{self.label_weight:g}", f"{self.keep:g}", str(self.k)]
        parts += ["shared"] if self.shared_noise else []
        return "-".join([*parts, str(self.epochs), str(self.seed)])


SMOKE = Config(
    epochs=1,
    rows=500,
    num_samples=3,
    joint_rows=4,
    test_rows=6,
    train_rows=12,
    batch_size=12,
    device="cpu",
)


def main(config: Config, *, train_only: bool = False) -> dict[str, Any]:
    """Train, measure, write record and system; return the measures."""
    return runner.run(config, experiment.load, build, train, measure, train_only=train_only)


def build(config: Config, dataset: data.DataSet) -> System:
    """Build the system with the paper's networks, untrained."""
    terms = subset_terms(config.k)
    return experiment.build(config, dataset, terms=terms, shared_noise=config.shared_noise)


def train(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Train the system, from its checkpoint where there is one; return its record."""
    rows = data.keep_modalities(dataset.train[: config.train_rows], config.keep, seed=config.seed)
    described = runner.train(system, rows, config, annealing_epochs=config.annealing_epochs)
    return described | {"train_rows": len(rows)}


def measure(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Make the main experiment's measures; add the share of each attribute's commoner value."""
    test = dataset.test[: config.test_rows]
    shares = {n: test[n].mean().item() for n in test.names[1:]}
    commoner = {n: max(share, 1 - share) for n, share in shares.items()}
    return {**experiment.measure(system, dataset, config), "commoner": commoner}


run = runner.command_line(main, Config)

if __name__ == "__main__":
    typer.run(run)
