"""Work in a process of its own that is killed at random moments, and what it leaves."""

import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ppl_mm import System

Work = Callable[[Path], None]
"""Does a job in a folder; where the folder holds a part of it, it goes on."""

FORK = multiprocessing.get_context("fork")  # a child has what its parent has imported


def _start(work: Work, folder: Path) -> multiprocessing.process.BaseProcess:
    def quietly() -> None:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        work(folder)

    process = FORK.Process(target=quietly)
    process.start()
    return process


def finish(work: Work, folder: Path) -> float:
    """Let it work to its end; the seconds that it took."""
    start = time.monotonic()
    process = _start(work, folder)
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - start


def check_killed(work: Work, tmp_path: Path, kills: int) -> None:
    """Kill it so many times, and compare what comes of it with work that was not killed."""
    whole, folder, chance = tmp_path / "whole", tmp_path / "killed", random.Random(0)
    work(whole)  # in this process: what it imports, no child imports again
    seconds = finish(work, tmp_path / "timed")
    while kills:
        process = _start(work, folder)
        time.sleep(chance.uniform(0, seconds))
        process.kill()
        process.join()
        if process.exitcode == -signal.SIGKILL:
            kills -= 1
        else:  # it was through
            _check_same(work, whole, folder)
            shutil.rmtree(folder)
    _check_same(work, whole, folder)


def _check_same(work: Work, whole: Path, folder: Path) -> None:
    finish(work, folder)
    expected, found = parameters(whole), parameters(folder)
    assert expected
    assert expected.keys() == found.keys()
    for name, state in expected.items():
        assert all(torch.equal(value, found[name][key]) for key, value in state.items())
    assert measures(whole) == measures(folder)
    assert not list(folder.rglob(".*.part"))


def parameters(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """File -> parameters, of every system in a folder."""
    return {
        str(path.relative_to(folder)): System.load(path).state_dict()
        for path in sorted(folder.rglob("*.safetensors"))
    }


def measures(folder: Path) -> dict[str, object]:
    """File -> what a run's measures came to."""
    return {
        str(path.relative_to(folder)): json.loads(path.read_text())
        for path in sorted(folder.rglob("metrics.json"))
    }
