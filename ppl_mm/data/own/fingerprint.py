"""A fingerprint that changes with a declaration and with the files that it names."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ppl_mm.data.own.opened import located, module_beside

__all__ = ["fingerprint"]

_PIECE = 2**20


def fingerprint(content: Mapping[str, Any], folder: Path) -> str:
    """Return 16 hexadecimal digits of a declaration and its files, wherever they lie.

    Comments and the order of keys do not matter. A module beside the declaration
    counts for ``module:name``, the names and sizes of its files for a folder of images, and the
    whole content for a file.

    Args:
        content: The content of the declaration.
        folder: The folder that its files are relative to.
    """
    digest = hashlib.blake2b(
        json.dumps(content, sort_keys=True, default=str).encode(), digest_size=8
    )
    tables = content.get("modalities", {}).values()
    keys = ("file", "index", "encoder", "decoder")
    names = [content.get("file"), *(t.get(key) for t in tables for key in keys)]
    for name in sorted({name for name in names if isinstance(name, str)}):
        path = located(folder, name)
        if ":" in name and not path.exists():  # the module of a function, if it lies beside
            path = module_beside(folder, name)
        if path.is_dir():
            sizes = sorted((p.name, p.stat().st_size) for p in path.iterdir() if p.is_file())
            digest.update(json.dumps(sizes).encode())
        elif path.is_file():
            with path.open("rb") as file:
                while piece := file.read(_PIECE):
                    digest.update(piece)
    return digest.hexdigest()
