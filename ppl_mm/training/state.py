"""What a training run must remember to go on as if it had never stopped."""

import os
import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ppl_mm.systems import System
from ppl_mm.training.history import FitResult

if TYPE_CHECKING:
    from lightning_fabric import Fabric

__all__ = ["TrainingState"]

_FORMAT = "ppl_mm checkpoint 1"


class TrainingState:
    """Epoch, history, best and last good parameters of a run, and its checkpoint file."""

    def __init__(
        self, system: System, optimizer: Any, fabric: "Fabric", setting: dict[str, Any]
    ) -> None:
        self.system, self.optimizer, self.fabric, self.setting = system, optimizer, fabric, setting
        self.epoch = 0
        self.history: list[dict[str, float]] = []
        self.best_epoch = 0
        self.best_state: dict[str, Tensor] | None = None
        self.last_good = _copy(system)

    @property
    def epoch_seed(self) -> int:
        """The seed of the next epoch's order and noise."""
        return int(self.setting["seed"]) * 1_000_003 + self.epoch

    def end_epoch(self, row: dict[str, float]) -> None:
        """Take in a finished epoch."""
        self.epoch += 1
        self.history.append(row)
        self.last_good = _copy(self.system)
        if "validation_elbo" in row:
            best = max(r["validation_elbo"] for r in self.history if "validation_elbo" in r)
            if row["validation_elbo"] >= best:
                self.best_epoch, self.best_state = self.epoch, self.last_good

    def out_of_patience(self, patience: int | None) -> bool:
        """Whether the validation ELBO has not improved for so many epochs."""
        return (
            patience is not None
            and self.best_state is not None
            and self.epoch - self.best_epoch >= patience
        )

    def result(self) -> FitResult:
        """The history and the best state; the last one where nothing was validated."""
        state = self.last_good if self.best_state is None else self.best_state
        epoch = self.epoch if self.best_state is None else self.best_epoch
        return FitResult(list(self.history), epoch, state)

    def save(self, path: Path) -> None:
        """Write the checkpoint to a temporary neighbour, then rename it."""
        content = {
            "format": _FORMAT,
            "setting": self.setting,
            "epoch": self.epoch,
            "history": self.history,
            "best_epoch": self.best_epoch,
            "best_state": self.best_state,
            "system": self.last_good,
            "optimizer": self.optimizer.state_dict(),
            "loss_scale": self.fabric.strategy.precision.state_dict(),
        }
        part = path.with_name(f".{path.name}.part")
        self.fabric.save(part, content)
        if self.fabric.is_global_zero:
            os.replace(part, path)
        self.fabric.barrier()

    def load(self, path: Path) -> None:
        """Go on from a checkpoint. It holds numbers alone; no code is read from it.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is truncated, no checkpoint, or of another run.
        """
        content = _read(path)
        for name, value in self.setting.items():
            saved = content["setting"].get(name, value)  # the first files do not say the precision
            if saved != value:
                raise ValueError(
                    f"{path}: saved with {name}={saved}, resumed with {value}; a resumed run needs "
                    "the same."
                )
        for name, tensor in self.system.state_dict().items():
            saved = content["system"].get(name, tensor).dtype
            if saved != tensor.dtype:
                raise ValueError(
                    f"{path}: {name!r} was saved as {saved}, the system has {tensor.dtype}; a "
                    "resumed run needs the same dtype."
                )
        try:
            self.system.load_state_dict(content["system"])
            self.optimizer.load_state_dict(content["optimizer"])
            if content.get("loss_scale"):
                self.fabric.strategy.precision.load_state_dict(content["loss_scale"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise ValueError(f"{path}: saved by a system of another shape ({error}).") from error
        self.epoch, self.history = content["epoch"], content["history"]
        self.best_epoch, self.best_state = content["best_epoch"], content["best_state"]
        self.last_good = _copy(self.system)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no checkpoint to resume from.")
    broken = (
        RuntimeError,
        ValueError,
        OSError,
        EOFError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except broken as error:
        raise ValueError(
            f"{path}: truncated, or no checkpoint of fit; start again without resume."
        ) from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"{path}: no checkpoint of fit; start again without resume.")
    return content


def _copy(system: System) -> dict[str, Tensor]:
    return {n: t.detach().to("cpu", copy=True) for n, t in system.state_dict().items()}
