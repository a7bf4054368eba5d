"""The files that every run keeps, both of the command and of experiments.

A run has a frozen dataclass of options. Its record is a JSON file with these options, the command
that repeats the run, the hardware and the versions. A stopped run continues from its checkpoint,
and the last file is the trained system.
"""

import csv
import io
import json
import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyro
import torch

import ppl_mm
from ppl_mm.files import read_json, write_atomically, write_json
from ppl_mm.systems import System
from ppl_mm.training import fit
from ppl_mm.training.history import FitResult

__all__ = [
    "PLACES",
    "Files",
    "Record",
    "check_same",
    "command",
    "facts",
    "torch_device",
    "write_csv",
]

Record = dict[str, Any]

PLACES = (
    *("device", "step", "threads"),
    *("data_dir", "checkpoint_every", "out"),
)
"""Options that set where and how fast a run trains; a resumed run may change them."""

_TRAINED_WITH = ("epochs", "batch_size", "clip_norm", "precision", "seed", "device")


@dataclass(frozen=True)
class Files:
    """The paths of a run's record, checkpoint and trained system."""

    record: Path
    checkpoint: Path
    system: Path

    def read(self) -> Record:
        """Return the record; it is empty where there is none.

        Raises:
            ValueError: If the file is damaged.
        """
        if not self.record.exists():
            return {}
        try:
            return dict(read_json(self.record))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{self.record}: damaged ({error}). Remove it, and the run is made anew."
            ) from error

    def write(self, record: Mapping[str, Any]) -> None:
        """Write the record, whole or not at all."""
        write_json(self.record, record)

    def train(
        self,
        system: System,
        rows: object,
        config: object,
        learning_rate: float,
        *,
        resume: bool = True,
        **options: Any,
    ) -> FitResult:
        """Train a system by Adam, from the checkpoint where there is one.

        Args:
            system: The system, which is trained in place.
            rows: The training rows.
            config: The options of the run.
            learning_rate: The learning rate of Adam.
            resume: Whether the run continues from its checkpoint.
            options: Options of :func:`ppl_mm.fit`, which come before those of ``config``.
        """
        given = {name: getattr(config, name) for name in _TRAINED_WITH}
        given["optimizer"] = partial(torch.optim.Adam, lr=learning_rate, fused=True)
        given |= {"checkpoint": self.checkpoint, "resume": resume and self.checkpoint.exists()}
        return fit(system, rows, **{**given, **options})


def check_same(
    where: Path,
    saved: Mapping[str, Any],
    asked: Mapping[str, Any],
    remedy: str,
    *,
    may_differ: Sequence[str] = PLACES,
) -> None:
    """Check that a resumed run has the options of the saved run.

    Args:
        where: The folder or the record of the run that was saved.
        saved: The options of that run.
        asked: The options that are asked for.
        remedy: The remedy if they differ, for the message.
        may_differ: The options that may differ.

    Raises:
        ValueError: If an option differs.
    """
    for name, value in asked.items():
        before = saved.get(name)
        if name not in may_differ and _plain(value) != _plain(before):
            raise ValueError(
                f"{name}: the run in {where} has {before!r}, asked to go on with {value!r}. "
                f"{remedy}"
            )


def _plain(value: object) -> Any:
    """Return a value as JSON stores it."""
    return json.loads(json.dumps(value))


def command(words: Sequence[str], given: Mapping[str, Any]) -> str:
    """Return the command line of a program and its flags.

    Example:
        >>> command(["ppl-mm", "train"], {"seed": 3, "clip_norm": None})
        'ppl-mm train --seed 3'
    """
    return shlex.join([*words, *_words(given)])


def _words(given: Mapping[str, Any]) -> list[str]:
    """Return the words of a command line that set these flags; a flag of None is left out.

    Example:
        >>> _words({"seed": [0, 1], "clip_norm": None, "data_dir": "x", "resume": False})
        ['--seed', '0', '--seed', '1', '--data-dir', 'x', '--no-resume']
    """
    found = []
    for name, value in given.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            several = value if isinstance(value, list) else [] if value is None else [value]
            found += [word for each in several for word in (f"--{flag}", str(each))]
    return found


def facts(device: torch.device | str) -> Record:
    """Return the hardware of a run on a device, and the versions of the software."""
    device = torch.device(device)
    if device.type == "cuda" and torch.cuda.is_available():
        hardware = torch.cuda.get_device_name(device)
    else:
        hardware = f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s)"
    versions = {
        "ppl_mm": ppl_mm.__version__,
        "torch": torch.__version__,
        "pyro": pyro.__version__,
        "python": platform.python_version(),
    }
    return {"hardware": hardware, "versions": versions}


def torch_device(name: str) -> torch.device:
    """Return the device of a name; "auto" is CUDA where there is one."""
    cuda = torch.cuda.is_available()
    return torch.device(("cuda" if cuda else "cpu") if name == "auto" else name)


def write_csv(path: Path, rows: Sequence[Mapping[str, float | str]]) -> None:
    """Write at least one row; a column that some rows lack is empty there."""
    file = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, file.getvalue().encode())
