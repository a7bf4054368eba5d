"""Tensors and a header in one safetensors file, whose checksum detects any damage.

The header's entry ``checksum`` is the SHA-256 of the whole file with zeros in its place. A file
holds numbers and text; no code is read from it.
"""

import hashlib
import re
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Shaped
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from ppl_mm.files.whole import write_atomically

__all__ = ["Sealed", "read_sealed", "write_sealed"]

VERSION = 2
"""The version of the formats; files of version 1 have no checksum."""

_ZEROS = b"0" * 64
_DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8},
    **{"U8": torch.uint8, "BOOL": torch.bool, "C64": torch.complex64},
}
_BLOCK = 1 << 24
_BROKEN = (SafetensorError, RuntimeError, KeyError, TypeError, ValueError, OverflowError)


@dataclass(frozen=True)
class Sealed:
    """A file whose header has been read and whose checksum is right; tensors are read on demand.

    Attributes:
        path: The file.
        version: The version of the file's format.
        header: The entries of the file's header.
        shapes: The name of each tensor -> its shape.
        dtypes: The name of each tensor -> its dtype.
        remedy: The remedy for a damaged file, for messages.
    """

    path: Path
    version: int
    header: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, torch.dtype]
    remedy: str

    def tensors(self) -> dict[str, Shaped[Tensor, "..."]]:
        """Read the tensors to the CPU, as copies that later changes of the file do not affect."""
        try:
            with safe_open(self.path, framework="pt") as file:
                return {name: file.get_tensor(name).clone() for name in self.shapes}
        except _BROKEN as error:
            raise damaged(self.path, self.remedy, error) from error


def write_sealed(
    path: Path, kind: str, tensors: Mapping[str, Shaped[Tensor, "..."]], header: Mapping[str, str]
) -> None:
    """Write tensors and a header to one file, whole or not at all.

    Args:
        path: The file.
        kind: The kind of its content, such as "system".
        tensors: Name -> tensor; tensors that share memory are written separately.
        header: Further entries of the header.
    """
    told = {**header, "format": f"ppl_mm {kind} {VERSION}", "checksum": _ZEROS.decode()}
    content = bytearray(safetensors_bytes(_apart(tensors), metadata=told))
    start, end = _place(content)
    content[start:end] = hashlib.sha256(content).hexdigest().encode()
    write_atomically(path, bytes(content))


def read_sealed(path: Path, kind: str, remedy: str) -> Sealed:
    """Read the header of a file that :func:`write_sealed` wrote, and check the whole file.

    Args:
        path: The file.
        kind: The expected kind of its content.
        remedy: A sentence with the remedy for a wrong file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, foreign, of another kind or of a newer version.

    Warns:
        UserWarning: If the file has an earlier version, which has no checksum.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file.")
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
            dtypes = {name: _DTYPES[part.get_dtype()] for name, part in slices.items()}
    except _BROKEN as error:
        raise damaged(path, remedy, error) from error
    version = _version(path, header.get("format", ""), kind, remedy)
    if version < VERSION:
        warnings.warn(
            f"{path}: written by an earlier version of ppl_mm, without a checksum, so that damage "
            "may not be noticed.",
            stacklevel=4,
        )
    elif _checksum(path) != header.get("checksum"):
        raise damaged(path, remedy, "its checksum is wrong")
    return Sealed(path, version, header, shapes, dtypes, remedy)


def damaged(path: Path, remedy: str, why: object) -> ValueError:
    """Return the error for a file that cannot be read."""
    return ValueError(f"{path}: truncated, damaged, or another kind of file ({why}). {remedy}")


def _version(path: Path, told: str, kind: str, remedy: str) -> int:
    found = re.fullmatch(r"ppl_mm (.+) (\d{1,4})", told)
    if found is None or found[1] != kind:
        what = f"a {found[1]}" if found else f"of the format {told!r}"
        raise ValueError(f"{path}: no {kind}; the file is {what}. {remedy}")
    version = int(found[2])
    if not 1 <= version <= VERSION:
        raise ValueError(
            f"{path}: written in version {version} of its format, and this ppl_mm reads up to "
            f"{VERSION}; it is damaged or of a newer ppl_mm. Install that, or: {remedy}"
        )
    return version


def _place(content: bytes | bytearray) -> tuple[int, int]:
    """Return the position of the checksum in a header."""
    found = re.search(rb'"checksum":"([0-9a-f]{64})"', content)
    if found is None:
        raise ValueError("no checksum in the header")
    return found.span(1)


def _checksum(path: Path) -> str:
    """Compute the checksum of a file; empty if its header has no place for one."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = bytearray(struct.pack("<Q", size) + file.read(size))  # a checked size
        try:
            start, end = _place(header)
        except ValueError:
            return ""
        header[start:end] = _ZEROS
        found = hashlib.sha256(header)
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Move tensors to the CPU; copy those that share memory, which the format refuses."""
    seen: set[int] = set()
    out = {}
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        storage = own.untyped_storage().data_ptr()
        out[name] = own.clone() if storage in seen else own
        seen.add(storage)
    return out
