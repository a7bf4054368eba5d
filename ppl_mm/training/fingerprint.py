"""Fingerprints of runs: plain values that a checkpoint stores and compares on resuming."""

import functools
import inspect
import math
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ppl_mm.batch.memory_mapped import MemoryMapped
from ppl_mm.batch.observations import Observations
from ppl_mm.systems import System

__all__ = ["MAY_DIFFER", "check_same_run", "of_run"]

MAY_DIFFER = (
    *("epochs", "patience", "optimizer's options", "clip_norm", "device", "number of processes"),
    *("step", "callbacks", "checkpoint", "checkpoint_every", "checkpoint_minutes", "progress"),
    "whether rows lie in memory or in files",
)
"""The settings in which a resumed run may differ from the stopped run."""

_LOOKED_AT = 1000  # The number of rows whose values are compared, in memory or in files.
_VOLATILE = {"annealing", "epoch", "training"}
_DEEPEST = 6


def of_run(
    system: System,
    streams: Iterable[Observations],
    validation: Observations | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Describe a run by its system, its rows and its options; a function by its name."""
    return {
        **_of_system(system),
        **{name: _plain(value) for name, value in options.items()},
        "data": _of_data(streams),
        "validation": None if validation is None else _of_data([validation]),
    }


def _of_system(system: System) -> dict[str, Any]:
    """Describe a system's recipe, objective and parameters, in any order of its modalities."""
    recipe = system.recipe
    if recipe is not None:
        names: list[str] = recipe["names"]
        order = sorted(range(len(names)), key=names.__getitem__)
        recipe = {**recipe, **{k: [recipe[k][i] for i in order] for k in ("names", "modalities")}}
    programs = None if recipe is not None else [_plain(system.model), _plain(system.guide)]
    return {
        "recipe": recipe,
        "programs": programs,
        "objective": _plain(system.objective),
        "parameters": {n: list(x.shape) for n, x in sorted(system.state_dict().items())},
    }


def _of_data(parts: Iterable[Observations]) -> list[dict[str, Any]]:
    """For each stream and modality, return the rows, the shape and sums of masks and values."""
    return [_of_part(part) for part in parts]


def _of_part(part: Observations) -> dict[str, Any]:
    step = max(1, math.ceil(len(part) / _LOOKED_AT))
    some = part[torch.arange(0, len(part), step)]
    every = None if isinstance(part, MemoryMapped) else part
    found: dict[str, Any] = {"rows": len(part)}
    for name in sorted(part.names):
        found[name] = {
            "shape": list(some.values[name].shape[1:]),
            "present": _sum(part.present[name]),
            "values": {
                "some": _sum_of_values(some, name),
                "all": None if every is None else _sum_of_values(every, name),
            },
        }
    for name, x in sorted(part.covariates.items()):
        found[f"covariate {name}"] = {"shape": list(x.shape[1:]), "sum": _sum(x)}
    return found


def check_same_run(path: Path, saved: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise ValueError naming the first difference between a checkpoint's run and this one.

    Entries that only one of them has are not compared, because earlier versions stored fewer.
    """
    for name in (name for name in asked if name in saved):
        found = _difference(name, saved[name], asked[name])
        if found is not None:
            where, before, now = found
            raise ValueError(
                f"{path}: saved with {where}={_short(before)}, resumed with {_short(now)}; a "
                "resumed run needs the same. Give another checkpoint, or start without resume."
            )


def _difference(place: str, saved: object, asked: object) -> tuple[str, Any, Any] | None:
    if isinstance(saved, Mapping) and isinstance(asked, Mapping):
        pairs: Iterable[Any] = ((k, saved.get(k), asked.get(k)) for k in {**saved, **asked})
    elif isinstance(saved, list) and isinstance(asked, list) and len(saved) == len(asked):
        pairs = zip(range(len(saved)), saved, asked, strict=True)
    else:
        same = saved == asked or (saved != saved and asked != asked)
        return None if same else (place, saved, asked)
    inside = place.endswith("values")  # Some values of rows in files are not summed.
    for key, before, now in pairs:
        if inside and None in (before, now):
            continue
        found = _difference(f"{place}.{key}", before, now)
        if found is not None:
            return found
    return None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."


def _sum_of_values(part: Observations, name: str) -> int:
    present = part.present[name]
    values = part.values[name]
    found = _sum(values if bool(present.all()) else values[present])
    return found ^ _sum(part.elements[name]) if name in part.elements else found


def _sum(x: Tensor) -> int:
    x = x.detach().cpu().contiguous()
    return zlib.crc32(x.flatten().view(torch.uint8).numpy().data)


def _plain(value: object, depth: int = 0) -> Any:
    """Convert any value for JSON; an object becomes its class and its public attributes."""
    if isinstance(value, bool | int | str | None):
        return value
    if isinstance(value, float):
        return value
    if isinstance(value, Tensor):
        return {"shape": list(value.shape), "sum": _sum(value)}
    if depth > _DEEPEST:
        return type(value).__qualname__
    if isinstance(value, Mapping):
        return {str(k): _plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v, depth + 1) for v in value]
    if isinstance(value, set | frozenset):
        return sorted(str(_plain(v, depth + 1)) for v in value)
    if isinstance(value, functools.partial):
        return [_plain(x, depth + 1) for x in (value.func, value.args, value.keywords)]
    if inspect.isroutine(value) or isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    return _of_object(value, depth)


def _of_object(value: object, depth: int) -> Any:
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    if is_dataclass(value):
        own = {f.name: getattr(value, f.name) for f in fields(value)}
    else:
        own = dict(getattr(value, "__dict__", {}))
    if isinstance(value, nn.Module):
        own |= value._modules
    told = {k: v for k, v in own.items() if not k.startswith("_") and k not in _VOLATILE}
    return {"class": kind, **{k: _plain(v, depth + 1) for k, v in sorted(told.items())}}
