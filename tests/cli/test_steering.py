"""The command's schedulers, monitors, loggers and callbacks, and the view of a run."""

import csv
import json

import pytest
import torch
from comparing import call, spare_pictures

from ppl_mm.files import owned
from ppl_mm.training import Callback

SMALL = ["--epochs", "2", "--batch-size", "400", "--modality", "top", "--modality", "label"]
SMALL += ["--no-evaluate", "--quiet"]
SEEN = []


class Own(Callback):
    def after_epoch(self, training):
        SEEN.append(training.epoch)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_default_dtype(torch.float32)
    spare_pictures(monkeypatch)


def train(folder, *words):
    return call("train", "mvae", "digits", "--out", folder, *SMALL, *words)


def test_everything_reaches_the_run(tmp_path, monkeypatch):
    SEEN.clear()
    words = ["--scheduler", "cosine", "--monitor", "accuracy:label", "--logger", "csv"]
    words += ["--callback", f"{__name__}:Own"]
    monkeypatch.setitem(__import__("sys").modules, __name__, __import__("sys").modules[__name__])
    result = train(tmp_path / "run", *words)
    assert result.exit_code == 0, result.stderr
    assert SEEN == [1, 2]
    with (tmp_path / "run" / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert all(0 <= float(row["accuracy:label"]) <= 1 for row in rows)
    assert list((tmp_path / "run" / "logs").rglob("metrics.csv"))
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert "--scheduler cosine" in record["command"]
    assert "--monitor accuracy:label" in record["command"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--scheduler", "cosin"], "Did you mean 'cosine'"),
        (["--monitor", "acuracy"], "monitor: expected"),
        (["--logger", "tensorbord"], "Did you mean 'tensorboard'"),
        (["--callback", "nowhere:X"], "callback: expected MODULE:NAME"),
    ],
)
def test_wrong_words_are_told_in_one_line(tmp_path, words, told):
    result = train(tmp_path / "run", *words)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert told in line
    assert not (tmp_path / "run").exists()


def test_a_run_can_be_watched(tmp_path):
    train(tmp_path / "run")
    shown = call("watch", tmp_path / "run").stdout
    assert "ended, 2 epochs" in " ".join(shown.split())
    assert "loss" in shown
    with owned(tmp_path / "run"):
        assert "run: process" in call("watch", tmp_path / "run", "--no-follow").stdout
    assert call("watch", tmp_path / "nothing").exit_code == 2
