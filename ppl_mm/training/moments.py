"""An optimiser's state by the names of the parameters, and how a resumed run takes it over."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ppl_mm.systems import System

__all__ = ["Options", "options_of", "restore", "state_of"]

Options = list[dict[str, Any]]
"""The options of each group of an optimiser."""

# Options that change how a step is computed, and not its result.
_IMPLEMENTATION = {"fused", "foreach", "capturable", "differentiable"}


def options_of(optimizer: torch.optim.Optimizer) -> Options:
    """Return the options of each group that a file can hold, without its parameters."""
    return [
        {name: value for name, value in group.items() if name != "params" and _kept(value)}
        for group in optimizer.param_groups
    ]


def state_of(optimizer: torch.optim.Optimizer, system: System, given: Options) -> dict[str, Any]:
    """Return the part of an optimiser's state that a checkpoint stores.

    Args:
        optimizer: The optimiser.
        system: The system whose parameters the optimiser has.
        given: The options as the user gave them; a schedule may have changed them since.
    """
    names = _names(optimizer, system)
    state = optimizer.state_dict()["state"]
    return {
        "kind": type(optimizer).__name__,
        "given": given,
        "now": options_of(optimizer),
        "state": {names[i]: dict(values) for i, values in state.items()},
    }


def restore(
    optimizer: torch.optim.Optimizer,
    system: System,
    saved: Mapping[str, Any],
    given: Options,
    path: Path,
) -> list[str]:
    """Load the moments of a checkpoint into an optimiser; an option that is given now wins.

    Returns:
        A text such as ``lr=0.1 in place of 0.2`` for each option that differs.

    Raises:
        ValueError: If the checkpoint has another kind of optimiser, or other groups.
    """
    kind = type(optimizer).__name__
    if saved["kind"] != kind:
        raise ValueError(
            f"{path}: saved with optimizer={saved['kind']}, resumed with {kind}. Give the same, or "
            "resume='new optimizer' to go on from the parameters with an optimiser that starts "
            "anew."
        )
    if len(saved["now"]) != len(given):
        raise ValueError(
            f"{path}: saved with {len(saved['now'])} groups of parameters in the optimiser, "
            f"resumed with {len(given)}. Give the same groups, or resume='new optimizer'."
        )
    names = _names(optimizer, system)
    content = optimizer.state_dict()
    content["state"] = {i: saved["state"][n] for i, n in enumerate(names) if n in saved["state"]}
    told: list[str] = []
    for group, *options in zip(
        content["param_groups"], saved["now"], saved["given"], given, strict=True
    ):
        told += _restore_options(group, *options)
    optimizer.load_state_dict(content)
    return list(dict.fromkeys(told))


def _restore_options(
    group: dict[str, Any], now: dict[str, Any], before: dict[str, Any], asked: dict[str, Any]
) -> list[str]:
    """Restore a group's options, except those given anew; describe these."""
    told = []
    for name, value in now.items():
        if name in _IMPLEMENTATION:
            continue
        if name not in asked or _same(before.get(name), asked[name]):
            group[name] = value
        else:
            group[name] = asked[name]
            told.append(f"{name}={asked[name]} in place of {before.get(name)}")
    if "initial_lr" in now and before["lr"]:  # Keep the schedule's factor.
        factor = asked["lr"] / before["lr"]
        group |= {name: now[name] * factor for name in ("lr", "initial_lr")}
    return told


def _names(optimizer: torch.optim.Optimizer, system: System) -> list[str]:
    """The name of each parameter, in the optimiser's order."""
    names = {id(p): name for name, p in system.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def _kept(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_kept, value))
    return value is None or isinstance(value, bool | int | float | str | Tensor)


def _same(one: object, other: object) -> bool:
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return list(map(float, one)) == list(map(float, other))
    return bool(one == other)
