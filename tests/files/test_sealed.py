"""A file with a checksum: what is written comes back, and any damage is told."""

import json
import struct

import pytest
import torch
from safetensors.torch import save

from ppl_mm.files import read_sealed, write_sealed
from ppl_mm.files.nested import pack, unpack

TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "b": torch.tensor(3, dtype=torch.int64),
    "c": torch.zeros(0, 2, dtype=torch.uint8),
}


def write(path):
    write_sealed(path, "thing", TENSORS, {"text": "ünï"})


def read(path):
    return read_sealed(path, "thing", "Take another.")


def test_what_is_written_comes_back(tmp_path):
    write(tmp_path / "file")
    found = read(tmp_path / "file")
    assert found.header["text"] == "ünï"
    assert found.shapes == {"a": (2, 3), "b": (), "c": (0, 2)}
    for name, tensor in found.tensors().items():
        assert torch.equal(tensor, TENSORS[name])
        assert tensor.dtype == TENSORS[name].dtype


def test_tensors_that_share_memory_are_written_each(tmp_path):
    x = torch.arange(4.0)
    write_sealed(tmp_path / "file", "thing", {"x": x, "y": x, "z": x[1:]}, {})
    found = read(tmp_path / "file").tensors()
    assert torch.equal(found["x"], x)
    assert torch.equal(found["z"], x[1:])


def test_a_flipped_bit_is_told_wherever_it_is(tmp_path):
    path = tmp_path / "file"
    write(path)
    whole = path.read_bytes()
    for place in range(0, 8 * len(whole), 7):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"file: .*Take another\."):
            read(path).tensors()


def test_every_truncation_and_what_is_added_is_told(tmp_path):
    path = tmp_path / "file"
    write(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"file: .*Take another\."):
            read(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match="Take another"):
        read(path)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (None, "no thing; the file is of the format ''"),
        ("ppl_mm system 2", "no thing; the file is a system"),
        ("ppl_mm thing 3", "version 3 of its format"),
        ("ppl_mm thing 0", "version 0 of its format"),
        ("ppl_mm thing 2", "checksum is wrong"),
    ],
)
def test_foreign_and_newer_files_are_told_apart(tmp_path, told, message):
    (tmp_path / "file").write_bytes(save(TENSORS, {} if told is None else {"format": told}))
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "file")


def test_a_file_of_the_earlier_version_is_read_with_a_note(tmp_path):
    (tmp_path / "file").write_bytes(save(TENSORS, {"format": "ppl_mm thing 1"}))
    with pytest.warns(UserWarning, match="earlier version of ppl_mm, without a checksum"):
        found = read(tmp_path / "file")
    assert torch.equal(found.tensors()["a"], TENSORS["a"])


@pytest.mark.parametrize("shape", [[2**40], [2**62, 2**62], [-1], [1.5]])
def test_absurd_sizes_are_refused_before_memory_is_asked_for(tmp_path, shape):
    told = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]}}
    header = json.dumps({**told, "__metadata__": {"format": "ppl_mm thing 1"}}).encode()
    (tmp_path / "file").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(ValueError, match="Take another"):
        read(tmp_path / "file")
    (tmp_path / "file").write_bytes(struct.pack("<Q", 2**60) + header)
    with pytest.raises(ValueError, match="Take another"):
        read(tmp_path / "file")


def test_nested_values_come_back_and_others_are_refused_by_their_place():
    content = {"a": [1, 2.5, (None, "x", {"b": torch.ones(2)})], "d": torch.float16, "n": True}
    tensors, text = pack(content)
    found = unpack(tensors, text)
    assert torch.equal(found["a"][2][2].pop("b"), torch.ones(2))
    content["a"][2][2].clear()
    assert found == content
    with pytest.raises(TypeError, match=r"/a/0: a function cannot be written"):
        pack({"a": [test_what_is_written_comes_back]})
