"""What several processes might write has one owner at a time."""

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from ppl_mm.files import FolderInUseError, owned
from ppl_mm.files.owned import at_work, owner

HOLD = """
import sys, time
from ppl_mm.files import owned
with owned(sys.argv[1]):
    print("mine", flush=True)
    time.sleep(60)
"""
RACE = """
import sys, time
from ppl_mm.files import FolderInUseError, owned
print("ready", flush=True)
sys.stdin.readline()
try:
    with owned(sys.argv[1]):
        time.sleep(0.2)
        print("won")
except FolderInUseError:
    print("refused")
"""

MANY = """
import os, sys
from pathlib import Path
from ppl_mm.files import FolderInUseError, owned
path, won = Path(sys.argv[1]), 0
for _ in range(1000):
    try:
        with owned(path / "new" / "run"):
            os.close(os.open(path / "inside", os.O_CREAT | os.O_EXCL))  # fails with two inside
            (path / "inside").unlink()
            won += 1
    except FolderInUseError:
        pass
print(won)
"""


@pytest.fixture
def held(tmp_path):
    path = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"mine\n"
    yield path, process
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_second_is_refused_with_the_owners_process_and_host(held):
    path, process = held
    told = rf"run: in use by process {process.pid} on {socket.gethostname()} since 20"
    with pytest.raises(FolderInUseError, match=told), owned(path):
        pass
    assert owner(path)["process"] == process.pid  # the refused one changed nothing


def test_a_dead_owners_lock_is_taken_over(held):
    path, process = held
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert owner(path)["process"] == process.pid
    assert at_work(path) == {}
    with owned(path):
        assert at_work(path) == owner(path)
        assert owner(path)["process"] == os.getpid()
    assert list(path.parent.iterdir()) == []


def test_the_owner_may_ask_again_and_another_thread_is_refused(tmp_path):
    refused = []

    def other() -> None:
        with pytest.raises(FolderInUseError, match=f"process {os.getpid()}"), owned(tmp_path / "x"):
            pass
        refused.append(True)

    with owned(tmp_path / "x"), owned(tmp_path / "x"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert refused == [True]
    with owned(tmp_path / "x"):
        pass


def test_an_error_inside_gives_it_back(tmp_path):
    with pytest.raises(ZeroDivisionError), owned(tmp_path / "x"):
        raise ZeroDivisionError
    with owned(tmp_path / "x"):
        pass


def race(path) -> list[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", RACE, path], **pipes) for _ in range(2)]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    return sorted(process.communicate()[0].strip() for process in both)


def test_of_two_that_start_at_once_one_wins(tmp_path):
    assert race(tmp_path / "run") == ["refused", "won"]


@pytest.mark.slow
def test_removing_lock_files_and_folders_never_gives_two_owners(tmp_path):
    words = [sys.executable, "-c", MANY, tmp_path]
    several = [subprocess.Popen(words, stdout=-1, stderr=-1, text=True) for _ in range(4)]
    for process in several:
        output, error = process.communicate()
        assert process.returncode == 0, error
        assert int(output) > 0
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(20))
def test_of_two_that_start_at_once_one_always_wins(tmp_path, attempt):
    assert race(tmp_path / "run") == ["refused", "won"]
