"""The course of an experiment's run: it trains, measures and writes a record, or resumes.

The options of an experiment are an :class:`~ppl_mm.experiments.options.Options`.
"""

import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import rich
import torch

from ppl_mm.batch.observations import Observations
from ppl_mm.data import DataSet
from ppl_mm.experiments.earlier_names import name_now
from ppl_mm.experiments.options import without_effect
from ppl_mm.files import json_text
from ppl_mm.runs import records
from ppl_mm.runs.records import PLACES, Files, Record, check_same, facts, torch_device
from ppl_mm.systems import System

__all__ = [
    "begin",
    "check",
    "command",
    "command_line",
    "describe",
    "files",
    "finish",
    "loaded",
    "run",
    "train",
    "trained",
]

Config = Any
_UNTOLD = ("bound", "surrogate", "seconds")  # Columns of a training's history that records lack.


def files(config: Config) -> Files:
    """Return the places of the run's record, checkpoint and trained system."""
    ends = ("json", "checkpoint", "safetensors")
    return Files(*(Path(config.out, f"{config.name}.{end}") for end in ends))


def begin(config: Config) -> Record:
    """Check an earlier run of the same name, set torch's threads and seed, and return its record.

    Raises:
        ValueError: If the earlier run had other options. The options of measures may differ.
    """
    record = files(config).read()
    check(config, record, may_differ=(*PLACES, *config.of_measures))
    for reason in without_effect(config):
        rich.print(f"no effect: {reason}")
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    return record


def run(
    config: Config,
    load: Callable[[Config], DataSet],
    build: Callable[[Config, DataSet], System],
    train: Callable[[System, DataSet, Config], Record],
    measure: Callable[[System, DataSet, Config], Record],
    *,
    train_only: bool = False,
) -> Record:
    """Train where that is not done yet, measure, write record and system; return the measures.

    The record says how the training went only when the system is saved. A run that was stopped at
    any time can be resumed: the last checkpoint of its training holds everything that the record
    and the system need.

    Raises:
        ValueError: If an earlier run of this name had other options, see :func:`begin`.
    """
    record, kept = begin(config), files(config)
    dataset = loaded(load, config)
    system = build(config, dataset)
    if "train_seconds" in record and kept.system.exists():
        System.load(kept.system, system=system)
        if torch.cuda.is_available():
            system.to(torch_device(config.device))
    else:
        kept.write(_options(config))
        record = train(system, dataset, config)
        system.save(kept.system)
        kept.write(record)
    if train_only:
        return {}
    start = time.perf_counter()
    measures = measure(system, dataset, config)
    told = {"measures": measures, "evaluation_seconds": time.perf_counter() - start}
    return finish(config, record | told)


def loaded(load: Callable[[Config], DataSet], config: Config) -> DataSet:
    """Return the data of a run: the first rows of each part, or all."""
    dataset = load(config)
    if config.rows is None:
        return dataset
    parts = {name: getattr(dataset, name) for name in ("train", "validation", "test")}
    cut = {name: obs[: config.rows] for name, obs in parts.items() if obs is not None}
    labels = {name: found[: config.rows] for name, found in (dataset.labels or {}).items()}
    return replace(dataset, **cut, labels=labels or None)


def finish(config: Config, record: Record) -> Record:
    """Write a record that has measures, with the options of its run; return the measures."""
    files(config).write(record | _options(config))
    return dict(record["measures"])


def trained(
    config: Config,
    load: Callable[[Config], DataSet],
    build: Callable[[Config, DataSet], System],
) -> tuple[System, DataSet]:
    """Return the system of a run that is done, from its file, and its data, to draw pictures."""
    begin(config)
    dataset = loaded(load, config)
    system = build(config, dataset)
    System.load(files(config).system, system=system)
    return system, dataset


def train(
    system: System, rows: Observations | Sequence[Observations], config: Config, **options: Any
) -> Record:
    """Train the system, from its checkpoint where there is one; return the record so far.

    The ``options`` of :func:`ppl_mm.fit` take precedence over the configuration.
    """
    options = {"checkpoint_every": config.checkpoint_every, "step": config.step, **options}
    result = files(config).train(system, rows, config, config.lr, **options)
    seconds = sum(row["seconds"] for row in result.history)
    told = [{k: v for k, v in row.items() if k not in _UNTOLD} for row in result.history]
    return describe(config, seconds, system.device) | {"step": result.step, "history": told}


def check(config: Config, record: Record, *, may_differ: Sequence[str] = PLACES) -> None:
    """Raise ValueError if a record belongs to another experiment or has other options.

    A record that lacks an option is older than the option; its run did what the default does.
    """
    if record:
        made = name_now(record.get("experiment", config.experiment))
        saved = {"experiment": made, **asdict(type(config)()), **record["config"]}
        asked = {"experiment": config.experiment, **asdict(config)}
        path, remedy = files(config).record, "Give another folder with --out."
        check_same(path, saved, asked, remedy, may_differ=may_differ)


def describe(config: Config, seconds: float, device: torch.device | str = "cpu") -> Record:
    """Return the record of a training: options, command, time, hardware and versions."""
    return {**_options(config), "train_seconds": seconds, **facts(device)}


def _options(config: Config) -> Record:
    options = {name: value for name, value in asdict(config).items() if name != "out"}
    return {"experiment": config.experiment, "config": options, "command": command(config)}


def command(config: Config) -> str:
    """Return the command line that repeats the run, with all options that are not the defaults."""
    default = asdict(type(config)())
    changed = {k: v for k, v in asdict(config).items() if v != default[k] and k != "out"}
    return records.command(["python", "-m", f"ppl_mm.experiments.{config.experiment}"], changed)


def command_line(main: Callable[..., Any], config: type) -> Callable[..., None]:
    """Return a function for ``typer.run`` whose options are those of ``config`` and of ``main``.

    Experiments that train have ``main(config, *, train_only=False)``; with ``train_only`` it leaves
    the measures for later.
    """
    own = [p.name for p in inspect.signature(main).parameters.values() if p.kind == p.KEYWORD_ONLY]

    def run(**options: Any) -> None:
        flags = {name: options.pop(name) for name in own}
        rich.print_json(json_text(main(config(**options), **flags)))

    run.__doc__ = "Run one setting and print its measures."
    options: list[tuple[str, Any, Any]] = [(name, bool, False) for name in own]
    options += [(f.name, f.type, f.default) for f in fields(config)]
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value, annotation=kind)
            for name, kind, value in options
        ]
    )
    return run
