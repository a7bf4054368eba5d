"""The options that the experiments share."""

from dataclasses import dataclass
from typing import ClassVar

__all__ = ["CountingOptions", "Options"]


@dataclass(frozen=True)
class Options:
    """The options of every run: how it trains, and where.

    The ``Config`` of an experiment adds the options that the experiment varies.

    Attributes:
        experiment: The experiment's module, within ``ppl_mm.experiments``.
        of_measures: The options that only the measures depend on. They may differ from those of an
            earlier run of the same name, whose trained system is then measured again.
        epochs: The number of passes through the training rows, in total. A run that was stopped
            continues.
        batch_size: The number of rows per step.
        lr: The learning rate of Adam.
        clip_norm: The largest norm of the gradient; None sets no bound.
        precision: Fabric's flag for training; measures are always in float32.
        step: How steps are taken, see :func:`ppl_mm.fit`; the record says how they were.
        rows: The number of rows of each part of the data that the run takes, the first; None takes
            all. Smoke runs take few, so that their classifiers train fast too.
        seed: The seed of data, networks, order, noise and draws.
        device: auto, cpu or cuda.
        threads: The number of threads that torch uses.
        checkpoint_every: The number of epochs between checkpoints.
        out: The folder of the record ``<out>/<name>.json``, of pictures, and of the trained system.
    """

    experiment: ClassVar[str]
    of_measures: ClassVar[tuple[str, ...]] = ()

    epochs: int = 100
    batch_size: int = 100
    lr: float = 1e-3
    clip_norm: float | None = None
    precision: str = "32-true"
    step: str = "auto"
    rows: int | None = None
    seed: int = 0
    device: str = "auto"
    threads: int = 1
    checkpoint_every: int = 1
    out: str = "runs"

    @property
    def name(self) -> str:
        """The name of the run's files."""
        raise NotImplementedError


@dataclass(frozen=True)
class CountingOptions:
    """The options of a run that counts parameters and trains nothing.

    Attributes:
        experiment: The experiment's module, within ``ppl_mm.experiments``.
        seed: A number in the record's name; nothing that is counted depends on it.
        out: The folder of the record.
    """

    experiment: ClassVar[str]

    seed: int = 0
    out: str = "runs"

    @property
    def name(self) -> str:
        """The name of the files of the run."""
        return f"parameters-{self.seed}"
