"""Files that are written whole or not at all, have a checksum, and have one owner."""

from ppl_mm.files.json_file import json_text, read_json, write_json
from ppl_mm.files.owned import FolderInUseError, owned
from ppl_mm.files.sealed import Sealed, read_sealed, write_sealed
from ppl_mm.files.whole import write_atomically

__all__ = [
    "FolderInUseError",
    "Sealed",
    "json_text",
    "owned",
    "read_json",
    "read_sealed",
    "write_atomically",
    "write_json",
    "write_sealed",
]
