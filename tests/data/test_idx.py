import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from ppl_mm.data import read_idx


@pytest.mark.parametrize("name", ["x", "x.gz"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_reads_what_was_written(tmp_path: Path, write_idx, dtype: str, name: str) -> None:
    array = np.arange(-12, 12).reshape(2, 3, 4).astype(dtype)
    read = read_idx(write_idx(tmp_path / name, array))
    assert torch.equal(read, torch.from_numpy(array))
    assert read.dtype == torch.from_numpy(array).dtype


def test_content_decides_whether_it_is_gzipped(tmp_path: Path, write_idx) -> None:
    array = np.arange(5, dtype="u1")
    plain = write_idx(tmp_path / "x", array).rename(tmp_path / "plain.gz")
    zipped = write_idx(tmp_path / "x.gz", array).rename(tmp_path / "zipped")
    assert read_idx(plain).tolist() == read_idx(zipped).tolist() == [0, 1, 2, 3, 4]


HEADER = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3])
GOOD = HEADER + bytes(6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"got no bytes"),
        (b"<html>not found</html>", r"first bytes 00 00 TYPE DIMS, got 3c 68 74 6d"),
        (b"\1" + GOOD[1:], r"got 01 00 08 02"),
        (bytes([0, 0, 7, 2]) + GOOD[4:], r"got 00 00 07 02"),
        (bytes([0, 0, 8, 0]), r"got 00 00 08 00"),
        (GOOD[:9], r"expected a header of 12 bytes, got 9 bytes"),
        (GOOD[:-1], r"expected 18 bytes for 2 x 3 values of 1 bytes, got 17 bytes"),
        (GOOD + b"\0", r"expected 18 bytes for 2 x 3 values of 1 bytes, got 19 bytes"),
        (gzip.compress(GOOD, mtime=0)[:-9], r"expected a complete gzip file, got a broken one"),
        (
            gzip.compress(GOOD, mtime=0)[:-8] + bytes(8),
            r"expected a complete gzip file, got a broken one",
        ),
        (b"\x1f\x8b and then no gzip", r"expected a complete gzip file, got a broken one"),
        (gzip.compress(GOOD[:-1], mtime=0), r"expected 18 bytes .* got 17 bytes"),
    ],
)
def test_damaged_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path.name}: .*{message}.*ppl-mm data get"):
        read_idx(path)


def test_damaged_deflate_data(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(HEADER[:4] + bytes([0, 0, 3, 0, 0, 0, 0, 1]) + bytes(768)))
    content[10] ^= 0xFF
    path = tmp_path / "x.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="a broken one"):
        read_idx(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_idx(tmp_path / "nowhere")
