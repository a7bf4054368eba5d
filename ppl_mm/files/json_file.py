"""JSON files with numbers that are not finite.

JSON has no NaN and no infinity, and most readers refuse the words that Python's ``json`` writes for
them. Here they are the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, as with other
libraries, and become numbers again when the file is read.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ppl_mm.files.whole import write_atomically

__all__ = ["json_text", "read_json", "write_json"]

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def json_text(content: object) -> str:
    """Return nested dicts, lists, strings and numbers as JSON.

    Example:
        >>> print(json_text({"mean": -math.inf, "error": None}))
        {
         "mean": "-Infinity",
         "error": null
        }
    """
    return json.dumps(_strings(content), indent=1, allow_nan=False)


def write_json(path: Path, content: object) -> None:
    """Write nested dicts, lists, strings and numbers, whole or not at all."""
    write_atomically(path, f"{json_text(content)}\n".encode())


def read_json(path: Path) -> Any:
    """Return the content of a file of :func:`write_json`, or of another JSON file.

    Raises:
        ValueError: If the file is no JSON.
    """
    return _numbers(json.loads(path.read_text()))


def _strings(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return {key: _strings(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strings(item) for item in value]
    return value


def _numbers(value: Any) -> Any:
    if isinstance(value, str):
        return _NOT_FINITE.get(value, value)
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return value
