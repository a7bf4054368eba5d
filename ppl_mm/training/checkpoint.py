"""Checkpoints: a resumed run continues as if it had never stopped."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ppl_mm.files import read_sealed, write_sealed
from ppl_mm.files.nested import pack, unpack
from ppl_mm.files.sealed import damaged
from ppl_mm.systems.saved import check_finite
from ppl_mm.training.fingerprint import check_same_run
from ppl_mm.training.moments import restore, state_of
from ppl_mm.training.state import Training, Within, parameters_of

__all__ = ["load", "save"]

_KIND = "checkpoint"
_REMEDY = "Start again without resume, or give another checkpoint."
_FIRST = "ppl_mm checkpoint 1"  # The earlier version's format, which torch.save wrote.


def save(training: Training, path: Path) -> None:
    """Write the run's state, whole or not at all; the first process writes and all wait for it.

    Raises:
        OSError: If the file cannot be written; the error names it, and the former file is
            unchanged.
    """
    if training.is_first:
        tensors, text = pack(_content(training))
        write_sealed(path, _KIND, tensors, {"content": text})
    training.fabric.barrier()


def _content(training: Training) -> dict[str, Any]:
    within = training.within
    scheduler = training.scheduler
    return {
        "setting": training.setting,
        "epoch": training.epoch,
        "history": training.history,
        "best_epoch": training.best_epoch,
        "best_value": training.best_value,
        "best_state": training.best_state,
        "system": training.last_good,
        "within": None if within is None else vars(within),
        "system_within": None if within is None else parameters_of(training.system),
        "optimizer": state_of(training.optimizer, training.system, training.given),
        "scheduler": None if scheduler is None else scheduler.state_dict(),
        "dense": training.missing.dense,
        "loss_scale": training.fabric.strategy.precision.state_dict(),
    }


def load(training: Training, path: Path, *, new_optimizer: bool = False) -> None:
    """Continue from a checkpoint, which holds numbers and text, and no code.

    Args:
        training: A run that has not begun; the options of its optimiser win over the checkpoint's.
        path: The checkpoint.
        new_optimizer: Whether the optimiser starts anew.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, is no checkpoint, or belongs to another run.

    Warns:
        UserWarning: If options of the optimiser differ from the checkpoint's, or if an earlier
            version wrote it, in which neither damage nor all differences of the run can be
            detected.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no checkpoint to resume from.")
    content = _of_first_version(path, training) if _is_zip(path) else _read(path)
    try:
        check_same_run(path, content["setting"], training.setting)
        _take_parameters(training, content, path)
        if not new_optimizer:
            _take_optimizer(training, content, path)
        training.epoch, training.history = content["epoch"], content["history"]
        training.best_epoch, training.best_state = content["best_epoch"], content["best_state"]
        training.best_value = content["best_value"]
        training.missing.dense = content.get("dense")
        if content["within"] is not None:
            training.within = Within(**content["within"])
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise damaged(path, _REMEDY, error) from error


def _read(path: Path) -> dict[str, Any]:
    file = read_sealed(path, _KIND, _REMEDY)
    try:
        found: dict[str, Any] = unpack(file.tensors(), file.header["content"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(path, _REMEDY, error) from error
    return found


def _take_parameters(training: Training, content: dict[str, Any], path: Path) -> None:
    """Load the parameters by name, after checking that all of them fit."""
    own = training.system.state_dict()
    within = content["system_within"]
    for state in (content["system"], within, content["best_state"]):
        if state is not None:
            _check_fits(path, state, own)
            check_finite(path, {n: state[n] for n, _ in training.system.named_parameters()})
    training.system.load_state_dict(content["system"] if within is None else within)
    training.last_good = content["system"]


def _check_fits(path: Path, saved: dict[str, Tensor], own: dict[str, Tensor]) -> None:
    for name in {**own, **saved}:
        if name not in own or name not in saved or own[name].shape != saved[name].shape:
            raise ValueError(f"{path}: saved by a system of another shape ({name!r}). {_REMEDY}")
        if own[name].dtype != saved[name].dtype:
            raise ValueError(
                f"{path}: {name!r} was saved as {saved[name].dtype}, the system has "
                f"{own[name].dtype}; a resumed run needs the same dtype."
            )


def _take_optimizer(training: Training, content: dict[str, Any], path: Path) -> None:
    told = restore(training.optimizer, training.system, content["optimizer"], training.given, path)
    if told and training.is_first:
        warnings.warn(f"fit: goes on with {', '.join(told)}, as asked.", stacklevel=5)
    if training.scheduler is not None and content["scheduler"] is not None:
        training.scheduler.load_state_dict(content["scheduler"])
        rates = [group.get("initial_lr") for group in training.optimizer.param_groups]
        if hasattr(training.scheduler, "base_lrs") and None not in rates:
            training.scheduler.base_lrs = rates
    if content["loss_scale"]:
        training.fabric.strategy.precision.load_state_dict(content["loss_scale"])


def _is_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _of_first_version(path: Path, training: Training) -> dict[str, Any]:
    """Convert an earlier version's content, in which the optimiser numbered its parameters."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # A damaged pickle can raise any error.
        raise damaged(path, _REMEDY, str(error)[:100]) from error
    if not isinstance(content, dict) or content.get("format") != _FIRST:
        raise ValueError(f"{path}: no checkpoint of fit. {_REMEDY}")
    warnings.warn(
        f"{path}: written by an earlier version of ppl_mm, without a checksum and without what "
        "tells its run: whether it is this run's, and whole, cannot be checked.",
        stacklevel=5,
    )
    try:
        trained = {n for n, p in training.system.named_parameters() if p.requires_grad}
        names = [name for name in content["system"] if name in trained]
        optimizer = content["optimizer"]
        groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer["param_groups"]]
        state = {names[i]: values for i, values in optimizer["state"].items()}
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise damaged(path, _REMEDY, error) from error
    kind = type(training.optimizer).__name__
    content["optimizer"] = {"kind": kind, "given": groups, "now": groups, "state": state}
    values = [row.get("validation_elbo", float("nan")) for row in content["history"]]
    best = content["best_epoch"]
    later = {"within": None, "system_within": None, "scheduler": None}
    return {**later, "best_value": values[best - 1] if best else float("nan"), **content}
