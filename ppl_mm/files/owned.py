"""Locks beside folders and files, so that only one of several processes writes to them."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from ppl_mm.files.whole import is_running, remove_parts

__all__ = ["FolderInUseError", "at_work", "owned", "owner"]

_TRIES = 100  # to lock a path in a folder that others make and remove


class FolderInUseError(OSError):
    """Another process or thread owns the folder or file."""


@contextmanager
def owned(path: str | os.PathLike[str]) -> Iterator[None]:
    """Inside, this thread alone owns a run folder or a file; it may acquire it again.

    The operating system locks ``.NAME.lock`` beside the path, and releases it when the process ends
    in any way. The owner records itself in ``.NAME.owner``, and removes the temporary files that a
    killed owner left.

    Args:
        path: The folder or file, which need not exist yet.

    Raises:
        FolderInUseError: If the path has another owner; the error names the process and its host.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, owned(folder + "/run"):
        ...     owner(folder + "/run")["process"] == os.getpid()
        True
    """
    place = Path(path).absolute()
    lock = FileLock(_beside(place, "lock"), is_singleton=True)
    if lock.is_locked:
        yield
        return
    made = _acquired(lock, place)
    told = _beside(place, "owner")
    try:
        told.write_text(json.dumps(_myself()))
        remove_parts(place)
        yield
    finally:
        told.unlink(missing_ok=True)
        _beside(place, "lock").unlink(missing_ok=True)  # A waiter sees the removal.
        lock.release()
        for folder in made:
            with suppress(OSError):  # The folder is not empty.
                folder.rmdir()


def owner(path: str | os.PathLike[str]) -> dict[str, int | str]:
    """Return the last owner of a folder or file: process, host and time; empty if not known.

    After a kill, this is the dead owner.
    """
    try:
        found = json.loads(_beside(Path(path).absolute(), "owner").read_text())
        return {str(key): value for key, value in found.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def at_work(path: str | os.PathLike[str]) -> dict[str, int | str]:
    """Return the owner, unless it is a process of this machine that has died."""
    found = owner(path)
    here = found.get("host") == socket.gethostname()
    return {} if here and not is_running(found.get("process")) else found


def _acquired(lock: FileLock, place: Path) -> list[Path]:
    """Lock the path; return the folders that were made for it, the innermost first."""
    for attempt in range(_TRIES):
        made = [folder for folder in place.parents if not folder.exists()]
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
            return made
        except Timeout:
            raise FolderInUseError(_refusal(place)) from None
        except FileNotFoundError:  # An owner has removed the folder, which it had made.
            if attempt == _TRIES - 1:
                raise
    raise AssertionError


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
