"""What the benchmarks share: steps that take turns, peak memory, and records with their setting."""

import ctypes
import json
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

Step = Callable[[], object]


def optimised(parameters: Any, loss: Callable[[], torch.Tensor]) -> Step:
    """A training step: ``loss``, its gradients and fused Adam, as :func:`ppl_mm.fit` has it."""
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    return step


def timer(threads: int) -> Callable[[], float]:
    """Seconds: of the processor with one thread, of the clock on the wall with several.

    A thread that waits for a core while others use it spends no processor time: with one, the two
    are the same on an idle machine, and the first is nearly so on a busy one.
    """
    return time.process_time if threads == 1 else time.perf_counter


def clock(threads: int) -> str:
    """What :func:`timer` counts, for a table's title."""
    return "processor time" if threads == 1 else "wall time"


def alternate(
    steps: Mapping[str, Step], rounds: int, warmup: int, threads: int
) -> dict[str, list[float]]:
    """Milliseconds of every round; the order within a round changes from one to the next."""
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
    """The median, and the quartiles in brackets."""
    low, median, high = statistics.quantiles(values, n=4)
    return f"{median:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def ratios(over: Sequence[float], under: Sequence[float]) -> list[float]:
    """Round by round: both sides of a ratio then meet the same load."""
    return [a / b for a, b in zip(over, under, strict=True)]


def peak_memory(build: Callable[[], Step], threads: int, steps: int = 2) -> float:
    """MiB that a few steps add at their peak to what a process holds before it builds them.

    Measured in a forked process by its largest resident set. Call it before anything has run in
    several threads, or the fork would wait for threads that it lacks.
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
    """What was freed goes back to the system, where the C library can: no step is to reuse it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def load() -> float:
    """Processes that wanted a core, on average over the last minute."""
    return round(os.getloadavg()[0], 1)


def setting(threads: int, seed: int, **options: Any) -> dict[str, Any]:
    """The command, the hardware, the versions and the load: taken when a measurement begins."""
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
    """A table of a record, printed too."""
    shown = Table(*columns, title=title)
    for row in rows:
        shown.add_row(*row)
    rich_print(shown)
    return {"title": title, "columns": list(columns), "rows": [list(row) for row in rows]}


def write(record: dict[str, Any], out: str) -> None:
    """Write a record, with the load at the end; nothing without a file's name."""
    record["setting"]["load at the end"] = load()
    if out:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(json.dumps(record, indent=1) + "\n")
