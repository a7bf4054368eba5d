"""A reader of the IDX format of the MNIST data sets, for plain and gzipped files.

    0x00 0x00 TYPE D | D big-endian uint32 sizes | the values, row-major, big-endian

Source: the description on Y. LeCun's MNIST page.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from ppl_mm.arguments.typed import typed

__all__ = ["read_idx"]

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"


@typed
def read_idx(path: str | Path) -> Shaped[Tensor, "..."]:
    """Read an IDX file; its content, not its name, decides whether it is gzipped.

    Args:
        path: The path of the file.

    Returns:
        The array of the file's sizes and type: uint8, int8, int16, int32, float32 or float64.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not an IDX file, or is damaged, too short or too long.

    Example:
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp(), "labels-idx1-ubyte")
        >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
        >>> read_idx(path).tolist()
        [7, 2, 1]
    """
    content = Path(path).read_bytes()
    if content.startswith(_GZIP_MAGIC):
        try:
            content = gzip.decompress(content)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise _damaged(path, "a complete gzip file", f"a broken one ({error})") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _DTYPES or content[3] == 0:
        expected = "a gzip file or IDX's first bytes 00 00 TYPE DIMS"
        raise _damaged(path, expected, f"{content[:4].hex(' ') or 'no bytes'}")
    code, dims = content[2], content[3]
    header = 4 + 4 * dims
    if len(content) < header:
        raise _damaged(path, f"a header of {header} bytes", f"{len(content)} bytes")
    sizes = struct.unpack(f">{dims}I", content[4:header])
    dtype = np.dtype(_DTYPES[code])
    expected_bytes = header + math.prod(sizes) * dtype.itemsize
    if len(content) != expected_bytes:
        shape = " x ".join(map(str, sizes))
        expected = f"{expected_bytes} bytes for {shape} values of {dtype.itemsize} bytes"
        raise _damaged(path, expected, f"{len(content)} bytes")
    values = np.frombuffer(content, dtype, offset=header).astype(dtype.newbyteorder("="))
    return torch.from_numpy(values.reshape(sizes))


def _damaged(path: str | Path, expected: str, got: str) -> ValueError:
    return ValueError(
        f"{path}: expected {expected}, got {got}. The file is not the original or is damaged: "
        "delete it and download it again with `ppl-mm data get NAME`."
    )
