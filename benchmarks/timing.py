"""Functions of all benchmarks: steps that take turns, peak memory, and records with a setting."""

import ctypes
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyro
import torch
from rich import print as rich_print
from rich.table import Table

from ppl_mm.files import write_json

Step = Callable[[], object]


def optimised(parameters: Any, loss: Callable[[], torch.Tensor]) -> Step:
    """Return a training step: ``loss``, its gradients and fused Adam, as in :func:`ppl_mm.fit`."""
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def timer(threads: int) -> Callable[[], float]:
    """Return a clock: processor time with one thread, and wall-clock time with several.

    A thread that waits for a core spends no processor time. With one thread, the two times are
    equal on an idle machine, and processor time is almost the same on a busy one.
    """
    return time.process_time if threads == 1 else time.perf_counter


def clock(threads: int) -> str:
    """Return the name of the time that :func:`timer` counts, for a table's title."""
    return "processor time" if threads == 1 else "wall time"


def alternate(
    steps: Mapping[str, Step], rounds: int, warmup: int, threads: int
) -> dict[str, list[float]]:
    """Return the milliseconds of every round; the order of steps changes between rounds."""
    now = timer(threads)
    times: dict[str, list[float]] = {name: [] for name in steps}
    for i in range(rounds + warmup):
        for name in list(steps) if i % 2 == 0 else list(steps)[::-1]:
            start = now()
            steps[name]()
            if i >= warmup:
                times[name].append(1e3 * (now() - start))
    return times


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median, with the quartiles in brackets, as text."""
    low, median, high = statistics.quantiles(values, n=4)
    return f"{median:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Return the ratio in each round; both sides of a ratio then run under the same load."""
    return [a / b for a, b in zip(over, under, strict=True)]


def peak_memory(build: Callable[[], Step], threads: int, steps: int = 2) -> float:
    """Return the peak memory of a few steps in MiB, above that of the process before them.

    A forked process measures it by its largest resident set. Call this before anything has run in
    several threads; otherwise the fork would wait for threads that it does not have.
    """
    parent, child = multiprocessing.Pipe(duplex=False)
    _give_back()

    def run() -> None:
        torch.set_num_threads(threads)
        before = _resident()
        step = build()
        for _ in range(steps):
            step()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        child.send(peak - before)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    child.close()
    try:
        return float(parent.recv())
    finally:
        process.join()


def _give_back() -> None:
    """Return freed memory to the system, if the C library can, so that no step reuses it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def load() -> float:
    """Return the average number of processes that wanted a core in the last minute."""
    return round(os.getloadavg()[0], 1)


def setting(threads: int, seed: int, **options: Any) -> dict[str, Any]:
    """Return the command, hardware, versions and load at the beginning of a measurement."""
    return {
        "command": " ".join(["python", *sys.argv]),
        "begun": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "hardware": f"{_processor()}, {os.cpu_count()} cores",
        "threads": threads,
        "seed": seed,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "pyro": pyro.__version__,
        },
        "load at the start": load(),
        **options,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Print a table and return it for the record."""
    shown = Table(*columns, title=title)
    for row in rows:
        shown.add_row(*row)
    rich_print(shown)
    return {"title": title, "columns": list(columns), "rows": [list(row) for row in rows]}


def write(record: dict[str, Any], out: str) -> None:
    """Write a record with the load at its end; without a file name, write nothing."""
    record["setting"]["load at the end"] = load()
    if out:
        write_json(Path(out), record)
