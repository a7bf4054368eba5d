"""Several runs at a time, in processes of this machine or of a Dask cluster, in one table."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import joblib
import torch
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ppl_mm.files.owned import at_work
from ppl_mm.runs.folder import read_history
from ppl_mm.training.signals import Signals, deaf, stopped_by

__all__ = ["in_parallel"]

T = TypeVar("T")


def in_parallel(
    function: Callable[..., T],
    calls: Sequence[tuple[Any, ...]],
    folders: Mapping[str, Path],
    console: Console,
    num_jobs: int,
    dask: str | None,
) -> Iterator[tuple[int, T]]:
    """Call a function once for each run, and yield each result as soon as it is ready.

    Args:
        function: The function, which each process imports.
        calls: The arguments of each call.
        folders: The run folders by name, whose progress is shown.
        console: The console that shows progress.
        num_jobs: The number of processes on this machine.
        dask: The address of a Dask scheduler, in place of them.

    Ctrl-C, SIGTERM and SIGHUP let each run finish its step and write its checkpoint, by a file in
    the runs' folder, which also reaches workers on other machines. A second signal stops at once.

    Raises:
        KeyboardInterrupt: After such a signal, when all runs have stopped.
        ModuleNotFoundError: If ``dask`` is given and Dask is not installed.
    """
    threads = max(1, torch.get_num_threads() // num_jobs)
    home = next(iter(folders.values())).parent.absolute() if folders else Path.cwd()
    stop = home / f".{uuid4().hex}.stop"

    def ask() -> None:
        home.mkdir(parents=True, exist_ok=True)
        stop.touch()

    with ExitStack() as stack:
        stack.callback(stop.unlink, missing_ok=True)
        if dask is not None:
            stack.enter_context(_client(dask))
            stack.enter_context(joblib.parallel_config("dask"))
            num_jobs = -1
        done: set[int] = set()
        shown = Live(
            console=console, get_renderable=lambda: _table(folders, done), refresh_per_second=1
        )
        stack.enter_context(shown)
        signals = stack.enter_context(Signals(ask))
        pool = joblib.Parallel(n_jobs=num_jobs, return_as="generator_unordered")
        work = (joblib.delayed(_call)(i, threads, stop, function, c) for i, c in enumerate(calls))
        for i, found in pool(work):
            if found:
                done.add(i)
                yield i, found[0]
        if signals.caught:
            raise KeyboardInterrupt


def _call(
    i: int, threads: int, stop: Path, function: Callable[..., T], call: tuple[Any, ...]
) -> tuple[int, tuple[T, ...]]:
    """Call the function in its own process, without bars, which would mix with the others'.

    The tuple is empty if the run was stopped, or did not begin as all were.
    """
    if stop.exists():
        return i, ()
    torch.set_num_threads(threads)
    try:
        with redirect_stdout(io.StringIO()), deaf(), stopped_by(stop):
            return i, (function(*call),)
    except KeyboardInterrupt:
        return i, ()


def _client(address: str) -> Any:
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a Dask cluster needs Dask: pip install 'ppl-mm[distributed]'."
        ) from error
    return Client(address)


def _table(folders: Mapping[str, Path], done: set[int]) -> Table:
    """Return the state of each run."""
    table = Table("run", "state", "epochs", "loss")
    for i, (name, folder) in enumerate(folders.items()):
        rows = read_history(folder)
        state = "done" if i in done else "in work" if at_work(folder) else "waits"
        loss = f"{rows[-1]['loss']:.2f}" if rows else ""
        table.add_row(name, state, str(len(rows)), loss)
    return table
