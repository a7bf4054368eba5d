"""Unusual names, damaged neighbours, every type of tensor: files keep what they promise."""

import json
import os
import socket
import stat

import pytest
import torch

from ppl_mm.files import FolderInUseError, owned, read_sealed, write_atomically, write_sealed
from ppl_mm.files.owned import at_work, owner
from ppl_mm.files.whole import remove_parts


def read(path):
    return read_sealed(path, "thing", "Take another.")


# ---------------------------------------------------------------- files that are written whole


def test_folders_are_made_and_all_may_read_the_file(tmp_path):
    path = tmp_path / "new folder" / "deep" / "a file.txt"
    write_atomically(path, b"first")
    write_atomically(path, b"")
    assert path.read_bytes() == b""
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["a file.txt"]


def test_a_new_file_that_cannot_be_written_has_no_former_one(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OSError, match="cannot write") as caught:
        write_atomically(tmp_path / "file" / "inside", b"y")
    assert "former" not in str(caught.value)
    assert caught.value.filename == str(tmp_path / "file" / "inside")
    assert caught.value.errno is not None


def test_a_folder_in_the_place_of_the_file_is_left_as_it_was(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(OSError, match="cannot write; the former file is as it was"):
        write_atomically(tmp_path / "run", b"x")
    assert list(tmp_path.rglob("*")) == [tmp_path / "run"]


@pytest.mark.parametrize("name", ["run[12]", "run*", "run?", "a run"])
def test_signs_of_patterns_in_a_name_are_signs_of_the_name(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    own = [tmp_path / f".{name}.abc.part", folder / ".file.abc.part"]
    others = [tmp_path / f".{other}.abc.part" for other in ("run1", "run2", "runner", "a runner")]
    for path in (*own, *others):
        path.write_bytes(b"")
    remove_parts(folder)
    assert not any(path.exists() for path in own)
    assert all(path.exists() for path in others)


def test_parts_of_a_file_that_does_not_exist_yet_are_removed(tmp_path):
    left, kept = tmp_path / ".new.abc.part", tmp_path / "new.abc.part"
    left.write_bytes(b"")
    kept.write_bytes(b"")
    remove_parts(tmp_path / "new")
    assert list(tmp_path.iterdir()) == [kept]


def test_what_a_process_leaves_that_is_killed_while_it_writes_is_removed(tmp_path, monkeypatch):
    path, left = tmp_path / "run.csv", []
    monkeypatch.setattr("os.fsync", lambda handle: left.extend(tmp_path.iterdir()))
    write_atomically(path, b"x")
    part = left[0]
    assert part not in (path, *tmp_path.iterdir())
    part.write_bytes(b"half of i")
    remove_parts(tmp_path / "other")
    assert part.exists()
    remove_parts(path)
    assert list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------- owners


def test_folders_that_were_made_for_the_lock_go_unless_something_is_in_them(tmp_path):
    path = tmp_path / "a" / "b" / "run"
    with owned(path):
        assert path.parent.is_dir()
        assert not path.exists()
    assert list(tmp_path.iterdir()) == []
    with owned(path):
        write_atomically(path.parent / "kept", b"x")
    assert [p.name for p in path.parent.iterdir()] == ["kept"]


def test_a_path_relative_to_the_folder_is_the_same_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with owned("run"):
        assert owner(tmp_path / "run") == owner("run")
        assert owner("run")["process"] == os.getpid()
        with owned(tmp_path / "run"):  # its owner may acquire it again
            pass
        assert owner("run")["host"] == socket.gethostname()
    assert owner("run") == {}


MINE = {"host": socket.gethostname(), "since": "2026-01-01 00:00:00"}


@pytest.mark.parametrize(
    ("told", "seen"),
    [
        ({"process": os.getpid(), **MINE}, True),
        ({"process": str(os.getpid()), **MINE}, True),
        ({"process": 2**22 + 1, **MINE}, False),  # beyond the largest number of a process
        ({"process": 10**30, **MINE}, False),
        ({"process": None, **MINE}, False),
        ({"process": "x", **MINE}, False),
        (MINE, False),
        ({"process": 1, "host": "elsewhere"}, True),  # nothing is known of its processes
    ],
)
def test_who_is_at_work_is_asked_of_this_machine(tmp_path, told, seen):
    (tmp_path / ".run.owner").write_text(json.dumps(told))
    assert owner(tmp_path / "run") == told
    assert at_work(tmp_path / "run") == (told if seen else {})


@pytest.mark.parametrize("text", ["", "[1]", "3", "{", "\x00"])
def test_a_damaged_record_of_an_owner_says_nothing(tmp_path, text):
    (tmp_path / ".run.owner").write_text(text)
    assert owner(tmp_path / "run") == at_work(tmp_path / "run") == {}


def test_a_refusal_without_a_record_names_another_process(tmp_path):
    from filelock import FileLock

    with FileLock(tmp_path / ".run.lock"):
        message = r"run: in use by another process\. Wait until it ends, stop it, or give another"
        with pytest.raises(FolderInUseError, match=message), owned(tmp_path / "run"):
            pass
        (tmp_path / ".run.owner").write_text(json.dumps({"process": 7, **MINE}))
        message = rf"run: in use by process 7 on {MINE['host']} since 2026-01-01 00:00:00\."
        with pytest.raises(FolderInUseError, match=message), owned(tmp_path / "run"):
            pass


# ---------------------------------------------------------------- sealed files


TYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)


def test_every_type_of_tensor_comes_back(tmp_path):
    given = {str(kind): torch.tensor([0, 1, 1]).to(kind) for kind in TYPES}
    write_sealed(tmp_path / "file", "thing", given, {})
    found = read(tmp_path / "file")
    assert found.dtypes == {str(kind): kind for kind in TYPES}
    for name, tensor in found.tensors().items():
        assert torch.equal(tensor, given[name])
        assert tensor.dtype == given[name].dtype


def test_tensors_are_written_in_their_own_order_of_elements(tmp_path):
    x = torch.arange(6.0).reshape(2, 3)
    parameter = torch.nn.Parameter(x.clone())
    write_sealed(tmp_path / "file", "thing", {"x.T": x.T, "p": parameter, "part": x[:, 1]}, {})
    found = read(tmp_path / "file")
    assert found.shapes == {"x.T": (3, 2), "p": (2, 3), "part": (2,)}
    tensors = found.tensors()
    assert tensors["x.T"].tolist() == x.T.tolist()
    assert tensors["part"].tolist() == [1.0, 4.0]
    assert not tensors["p"].requires_grad


def test_a_file_without_tensors_and_a_header_like_its_own_come_back(tmp_path):
    zeros = "0" * 64
    header = {"a name": f'"checksum":"{zeros}"', "checksum of": zeros, "empty": ""}
    write_sealed(tmp_path / "file", "thing", {}, header)
    found = read(tmp_path / "file")
    assert {name: found.header[name] for name in header} == header
    assert (found.tensors(), found.version, found.remedy) == ({}, 2, "Take another.")
    assert found.header["format"] == "ppl_mm thing 2"


def test_what_was_read_stays_when_the_file_changes(tmp_path):
    path = tmp_path / "file"
    write_sealed(path, "thing", {"x": torch.ones(3)}, {})
    found = read(path)
    tensors = found.tensors()
    tensors["x"][0] = 5.0
    assert found.tensors()["x"].tolist() == [1.0] * 3
    path.write_bytes(b"short")
    assert tensors["x"].tolist() == [5.0, 1.0, 1.0]
    with pytest.raises(ValueError, match=r"file: truncated, damaged, .* Take another\.$"):
        found.tensors()


def test_no_file_and_a_folder_are_not_damaged_files(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("nothing", "folder"):
        with pytest.raises(FileNotFoundError, match=f"{name}: no such file"):
            read(tmp_path / name)
