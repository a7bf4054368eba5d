"""Files that are written whole or not at all."""

import glob
import os
import socket
import tempfile
import zlib
from pathlib import Path

__all__ = ["is_running", "remove_parts", "write_atomically"]

_PART = ".part"


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to a temporary neighbour, then rename it over ``path``.

    The content is on the disk before the name is, so a loss of power leaves the former file or the
    new one. Each call has its own temporary file, whose name holds the host and the process; those
    that killed processes of this host left of ``path`` are removed.

    Raises:
        OSError: If the disk is full or the folder cannot be written; the error names ``path``,
            which is unchanged, and no temporary file is left.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        own = f".{path.name}.{zlib.crc32(socket.gethostname().encode()):08x}-"
        for part in path.parent.glob(f"{glob.escape(own)}*{_PART}"):
            if not is_running(part.name.removeprefix(own).partition("-")[0]):
                part.unlink(missing_ok=True)
        prefix = f"{own}{os.getpid()}-"
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=_PART)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _sync(path.parent)
    except OSError as error:
        kept = "; the former file is as it was" if path.exists() else ""
        raise OSError(error.errno, f"{error.strerror}: cannot write{kept}", str(path)) from error


def remove_parts(path: Path) -> None:
    """Remove the temporary files that a killed process left of ``path``, or in the folder ``path``.

    Only the owner of ``path`` may do so, see :func:`ppl_mm.files.owned`.
    """
    inside = path.glob(f".*{_PART}") if path.is_dir() else ()
    for part in (*inside, *path.parent.glob(f".{glob.escape(path.name)}.*{_PART}")):
        part.unlink(missing_ok=True)


def is_running(process: object) -> bool:
    """Whether this host has a process of this number; where that cannot be asked, it has."""
    if os.name != "posix":
        return True
    try:
        os.kill(int(str(process)), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except PermissionError:  # It runs, and belongs to another user.
        return True
    return True


def _sync(folder: Path) -> None:
    """Write the names of a folder to the disk, if the system supports it."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
