"""What the experiments share: a record of each run, which goes on where it was stopped.

An experiment has a frozen dataclass of options, an :class:`~ppl_mm.experiments.options.Options`
with a ``name`` for the run's files.
"""

import inspect
import json
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import rich
import torch
from ppl_mm.experiments.options import ELSEWHERE

import ppl_mm
from ppl_mm.data import DataSet
from ppl_mm.files import write_atomically
from ppl_mm.systems import System
from ppl_mm.training import FitResult, fit

__all__ = [
    "begin",
    "check_same",
    "command_line",
    "describe",
    "paths",
    "run",
    "train",
    "trained",
    "write",
]

Config = Any
Record = dict[str, Any]


def paths(config: Config) -> tuple[Path, Path, Path]:
    """The run's trained system, record and checkpoint."""
    out = Path(config.out)
    system, record, checkpoint = (
        out / f"{config.name}.{end}" for end in ("safetensors", "json", "checkpoint")
    )
    return system, record, checkpoint


def begin(config: Config) -> None:
    """Before anything is read or drawn: torch's threads and seed."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)


def run(
    experiment: str,
    config: Config,
    load: Callable[[Config], DataSet],
    build: Callable[[Config, DataSet], System],
    train: Callable[[System, DataSet, Config], Record],
    measure: Callable[[System, DataSet, Config], Record],
    *,
    of_measures: Sequence[str] = (),
    train_only: bool = False,
) -> Record:
    """Train where that is not done yet, measure, write record and system; the measures.

    Raises:
        ValueError: If an earlier run of this name trained otherwise. ``of_measures`` names the
            options that may differ, besides ``ELSEWHERE``.
    """
    begin(config)
    dataset = load(config)
    system = build(config, dataset)
    _, path, _ = paths(config)
    record = _trained(experiment, system, dataset, config, train, of_measures)
    if train_only:
        return {}
    start = time.perf_counter()
    measures = measure(system, dataset, config)
    record |= {"config": asdict(config), "command": command(experiment, config)}
    record |= {"measures": measures, "evaluation_seconds": time.perf_counter() - start}
    write(path, record)
    return measures


def trained(
    config: Config,
    load: Callable[[Config], DataSet],
    build: Callable[[Config, DataSet], System],
) -> tuple[System, DataSet]:
    """The system of a run that is done, from its file, and the run's data, to draw pictures of."""
    begin(config)
    dataset = load(config)
    system = build(config, dataset)
    System.load(paths(config)[0], system=system)
    return system, dataset


def _trained(
    experiment: str,
    system: System,
    dataset: DataSet,
    config: Config,
    train: Callable[[System, DataSet, Config], Record],
    of_measures: Sequence[str],
) -> Record:
    """The run's record so far, its system trained or read where that is done."""
    saved, path, _ = paths(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    record: Record = json.loads(path.read_text()) if path.exists() else {}
    check_same(path, record, experiment, config, (*ELSEWHERE, *of_measures))
    if saved.exists():
        System.load(saved, system=system)
        if config.device != "cpu" and torch.cuda.is_available():
            system.to("cuda" if config.device == "auto" else config.device)
        return record
    write(path, {"experiment": experiment, "config": asdict(config)})
    record = train(system, dataset, config)
    system.save(saved)
    write(path, record)
    return record


def train(experiment: str, system: System, rows: Any, config: Config, **options: Any) -> Record:
    """Train the system, from its checkpoint where there is one; the record so far.

    ``options`` of :func:`ppl_mm.fit` come before what the config says; the optimiser is Adam.
    """
    checkpoint = paths(config)[2]
    names = ("epochs", "batch_size", "clip_norm", "precision", "seed", "device", "checkpoint_every")
    said = {name: getattr(config, name) for name in names}
    said["optimizer"] = partial(torch.optim.Adam, lr=config.lr, fused=True)
    result = fit(
        system, rows, checkpoint=checkpoint, resume=checkpoint.exists(), **{**said, **options}
    )
    return describe(experiment, system, result, config)


def check_same(
    path: Path, record: Record, experiment: str, config: Config, but: Sequence[str]
) -> None:
    """Raise ValueError if the record at ``path`` is of another experiment or other options.

    Those named in ``but`` may differ.
    """
    made = record.get("experiment", experiment)
    if made != experiment:
        raise ValueError(
            f"{path}: an earlier run was of the experiment {made}, this one is of {experiment}; "
            "give another folder with --out."
        )
    earlier = record.get("config", {})
    for name, value in asdict(config).items():
        if name not in but and earlier.get(name, value) != value:
            raise ValueError(
                f"{path}: an earlier run had {name}={earlier[name]!r}, this one {value!r}; give "
                "another folder with --out."
            )


def describe(experiment: str, system: System, result: FitResult, config: Config) -> Record:
    """What a record says of the training: options, command, time, losses, machine, versions."""
    seconds = sum(row["seconds"] for row in result.history)
    return {
        **describe_fit(experiment, config, seconds, system.device),
        "history": [{k: row[k] for k in ("epoch", "loss")} for row in result.history],
    }


def describe_fit(
    experiment: str, config: Config, seconds: float, device: torch.device | str = "cpu"
) -> Record:
    """The same of what has no losses to tell."""
    device = torch.device(device)
    processor = f"{platform.machine()} CPU, {config.threads} thread(s)"
    return {
        "experiment": experiment,
        "config": asdict(config),
        "command": command(experiment, config),
        "train_seconds": seconds,
        "hardware": torch.cuda.get_device_name(device) if device.type == "cuda" else processor,
        "versions": {"ppl_mm": ppl_mm.__version__, "torch": torch.__version__},
    }


def command(experiment: str, config: Config) -> str:
    """The command line that repeats the run: the options other than the defaults."""
    default = type(config)()
    changed = {k: v for k, v in asdict(config).items() if v != getattr(default, k)}
    flags = " ".join(_flag(k.replace("_", "-"), v) for k, v in changed.items() if k != "out")
    return f"python -m ppl_mm.experiments.{experiment} {flags}".strip()


def _flag(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name} {value}"


def write(path: Path, record: Record) -> None:
    """Write a record, whole or not at all."""
    write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())


def command_line(main: Callable[..., Any], config: type) -> Callable[..., None]:
    """A function for ``typer.run`` whose options are those of ``config`` and of ``main``.

    Experiments that train have ``main(config, *, train_only=False)``, which leaves the measures
    for later.
    """
    own = [p.name for p in inspect.signature(main).parameters.values() if p.kind == p.KEYWORD_ONLY]

    def run(**options: Any) -> None:
        flags = {name: options.pop(name) for name in own}
        rich.print_json(data=main(config(**options), **flags))

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
