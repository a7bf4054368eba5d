"""A run in a real terminal: its lines fit, and a terminal that closes loses nothing."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ppl_mm.runs import load

pytestmark = pytest.mark.slow
SMALL = ["--modality", "top", "--modality", "label", "--latent-dim", "2", "--batch-size", "100"]
TRAIN = ["train", "mvae", "digits", *SMALL, "--no-evaluate", "--epochs"]
COMMAND = [str(Path(sys.executable).with_name("ppl-mm"))]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LAST = 300.0  # seconds after which a run is taken to hang


def in_terminal(words: list[str], until: Callable[[str], bool] = lambda text: False) -> str:
    """Run a command in a terminal of 80 columns, which closes once what it shows suffices."""
    process, terminal = pty.fork()
    if not process:
        os.environ |= {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        os.execv(COMMAND[0], [*COMMAND, *words])
    shown, begin = b"", time.monotonic()
    while not until(shown.decode(errors="replace")):
        assert time.monotonic() - begin < LAST
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                shown += os.read(terminal, 2**16)
            except OSError:  # The process has ended.
                break
    os.close(terminal)
    os.waitpid(process, 0)
    return shown.decode(errors="replace")


def test_a_terminal_that_closes_loses_no_step(tmp_path: Path) -> None:
    whole, closed = tmp_path / "whole", tmp_path / "closed"
    subprocess.run([*COMMAND, *TRAIN, "40", "--out", str(whole)], check=True, capture_output=True)
    in_terminal([*TRAIN, "40", "--out", str(closed)], lambda text: "epoch 3/40" in text)
    assert not (closed / "system.safetensors").exists()
    resume = [*TRAIN, "40", "--out", str(closed), "--resume", "--quiet"]
    subprocess.run([*COMMAND, *resume], check=True, capture_output=True)
    one, other = (load(folder).system.state_dict() for folder in (whole, closed))
    assert all(one[name].equal(other[name]) for name in one)


def test_what_a_terminal_shows_fits_it_and_can_be_watched(tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    for words in ([*TRAIN, "3", "--out", out], ["watch", out, "--no-follow"]):
        shown = in_terminal(words)
        assert "epoch" in shown
        lines = re.split(r"[\r\n]+|\x1b\[2K", shown)  # a line, or one in place of another
        assert max(len(ESCAPES.sub("", line)) for line in lines) <= 80
