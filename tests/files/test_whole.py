"""Files are written whole in their place, or not at all; failures name the path."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ppl_mm.files import write_atomically
from ppl_mm.files.whole import remove_parts

FULL = """
import resource, sys
from pathlib import Path
from ppl_mm.files import write_atomically
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))  # as a disk that is nearly full
try:
    write_atomically(Path(sys.argv[1]), bytes(2000))
except OSError as error:
    print(error)
"""


def test_a_full_disk_stops_with_the_path_and_leaves_the_former_file(tmp_path):
    path = tmp_path / "checkpoint"
    path.write_bytes(b"former")
    done = subprocess.run([sys.executable, "-c", FULL, path], capture_output=True, text=True)
    assert "cannot write; the former file is as it was" in done.stdout
    assert str(path) in done.stdout
    assert path.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_written_stops_with_the_path():
    path = Path("/proc/self/checkpoint")
    with pytest.raises(OSError, match=r"cannot write: '/proc/self/checkpoint'"):
        write_atomically(path, b"x")


def test_what_is_written_is_on_the_disk_before_its_name_is(tmp_path, monkeypatch):
    done = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda handle: (done.append("sync"), sync(handle)))
    monkeypatch.setattr("os.replace", lambda *names: (done.append("rename"), replace(*names)))
    write_atomically(tmp_path / "file", b"x")
    assert done == ["sync", "rename", "sync"]


def test_several_writers_have_temporary_files_of_their_own(tmp_path):
    path = tmp_path / "file"
    contents = [bytes([i]) * 100_000 for i in range(8)]
    threads = [threading.Thread(target=write_atomically, args=(path, c)) for c in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    kept = [folder / "file", folder / ".hidden", tmp_path / ".other.x.part"]
    left = [folder / ".file.abc.part", tmp_path / ".run.abc.part"]
    for path in (*kept, *left):
        path.write_bytes(b"")
    remove_parts(folder)
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in left)


def test_what_a_killed_process_left_goes_when_the_file_is_written_again(tmp_path):
    """A process is killed between its temporary file and the rename."""
    killed = "import os, sys; from pathlib import Path; from ppl_mm.files import write_atomically; "
    killed += "os.fsync = lambda handle: os.kill(os.getpid(), 9); "
    killed += "write_atomically(Path(sys.argv[1]), b'half')"
    path = tmp_path / "page [1].md"
    for target in (path, tmp_path / "page 1.md"):
        done = subprocess.run([sys.executable, "-c", killed, str(target)], check=False)
        assert done.returncode == -9
    assert len(list(tmp_path.glob(".*.part"))) == 2
    (living,) = [p for p in tmp_path.glob(".*.part") if p.name.startswith(".page [1]")]
    host, _, _ = living.name.removeprefix(".page [1].md.").partition("-")
    living.with_name(f".page [1].md.{host}-{os.getpid()}-x.part").write_bytes(b"in work")
    write_atomically(path, b"whole")
    assert path.read_bytes() == b"whole"
    left = sorted(p.name for p in tmp_path.glob(".*.part"))
    assert [name.split(".md.")[0] for name in left] == [".page 1", ".page [1]"]
    assert left[1].endswith(f"-{os.getpid()}-x.part")
