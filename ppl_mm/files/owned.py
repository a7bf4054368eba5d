"""One owner for what several processes might write: a lock beside the folder or file."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ppl_mm.files.whole import remove_parts

__all__ = ["FolderInUseError", "owned", "owner"]


class FolderInUseError(OSError):
    """Another process, or another thread, writes there."""


@contextmanager
def owned(path: str | os.PathLike[str]) -> Iterator[None]:
    """Inside, this thread alone owns a run folder or a file; it may ask for it again.

    The lock is the operating system's, on ``.NAME.lock`` beside the path: it goes with its
    process, however that ends. The owner says who it is in ``.NAME.owner``, and removes the
    temporary files that a killed owner left.

    Args:
        path: The folder or file, which need not be there yet.

    Raises:
        FolderInUseError: If it has another owner; it names the process and its host.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, owned(folder + "/run"):
        ...     owner(folder + "/run")["process"] == os.getpid()
        True
    """
    place = Path(path).absolute()
    made = [folder for folder in place.parents if not folder.exists()]
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_beside(place, "lock"), is_singleton=True)
    if lock.is_locked:
        yield
        return
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise FolderInUseError(_refusal(place)) from None
    told = _beside(place, "owner")
    try:
        told.write_text(json.dumps(_myself()))
        remove_parts(place)
        yield
    finally:
        told.unlink(missing_ok=True)
        _beside(place, "lock").unlink(missing_ok=True)  # while it is held: a waiter sees that
        lock.release()
        for folder in made:
            with suppress(OSError):  # it is not empty
                folder.rmdir()


def owner(path: str | os.PathLike[str]) -> dict[str, int | str]:
    """Who owned a folder or file last: process, host and time; empty where that is not known.

    After a kill that is the dead owner.
    """
    try:
        found = json.loads(_beside(Path(path).absolute(), "owner").read_text())
        return {str(key): value for key, value in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _beside(path: Path, end: str) -> Path:
    return path.with_name(f".{path.name}.{end}")


def _myself() -> dict[str, int | str]:
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return {"process": os.getpid(), "host": socket.gethostname(), "since": since}


def _refusal(path: Path) -> str:
    who = owner(path)
    told = "another process"
    if {"process", "host", "since"} <= who.keys():
        told = f"process {who['process']} on {who['host']} since {who['since']}"
    return f"{path}: in use by {told}. Wait until it ends, stop it, or give another place."
