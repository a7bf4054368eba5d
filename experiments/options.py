"""The options that the experiments share."""

from dataclasses import dataclass

__all__ = ["ELSEWHERE", "Options"]

ELSEWHERE = ("device", "threads", "checkpoint_every", "out")
"""Options that change no result."""


@dataclass(frozen=True)
class Options:
    """How a run trains, and where. An experiment's own ``Config`` adds what it varies.

    Attributes:
        epochs: Of the training rows, in total; a run that was stopped goes on.
        batch_size: Rows per step.
        lr: Of Adam.
        clip_norm: Largest norm of the gradient; None for any.
        precision: Fabric's flag for training; measures are always in float32.
        seed: Of data, networks, order, noise and draws.
        device: auto, cpu or cuda.
        threads: Of torch.
        checkpoint_every: Epochs between checkpoints.
        out: Folder of the record ``<out>/<name>.json``, pictures, and the trained system.
    """

    epochs: int = 100
    batch_size: int = 100
    lr: float = 1e-3
    clip_norm: float | None = None
    precision: str = "32-true"
    seed: int = 0
    device: str = "auto"
    threads: int = 1
    checkpoint_every: int = 1
    out: str = "runs"
