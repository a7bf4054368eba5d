"""The user's own files: where a declaration says they are, and their content, gzipped or not."""

import csv
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

__all__ = ["located", "module_beside", "opened", "opened_text"]

_GZIPPED = b"\x1f\x8b"


def located(folder: Path, name: str) -> Path:
    r"""Return the path of a file that a declaration names.

    Example:
        >>> located(Path("data"), "x.csv").as_posix()
        'data/x.csv'
        >>> located(Path("data"), r"tables\x.csv").as_posix()  # a declaration written on Windows
        'data/tables/x.csv'
    """
    path = folder / os.path.expanduser(name)
    return path if path.exists() or "\\" not in name else folder / name.replace("\\", "/")


def module_beside(folder: Path, name: str) -> Path:
    """Return where the module of ``package.module:name`` would lie in a folder.

    Example:
        >>> module_beside(Path("data"), "own.nets:Encoder").as_posix()
        'data/own/nets.py'
    """
    return folder / (name.partition(":")[0].replace(".", "/") + ".py")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file for reading bytes; a gzipped one is unpacked, whatever its name is.

    Raises:
        ValueError: If gzipped content is damaged.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(len(_GZIPPED)) == _GZIPPED
            file.seek(0)
            if zipped:
                with gzip.open(file) as unpacked:
                    yield unpacked
            else:
                yield file
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path.name}: damaged ({error}); copy the file again.") from error


@contextmanager
def opened_text(path: Path) -> Iterator[TextIO]:
    """Open a text file, which is UTF-8, with or without a byte-order mark.

    Raises:
        ValueError: If the text is not UTF-8, is no text with delimiters, or is damaged.
    """
    try:
        with opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
            yield text
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: expected UTF-8 text ({error}); save it as such.") from error
    except csv.Error as error:
        raise ValueError(
            f"{path.name}: expected text with delimiters ({error}); close every quote."
        ) from error
