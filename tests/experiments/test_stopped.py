"""``compare`` and ``reproduce`` after Ctrl-C and SIGTERM: the step is finished, nothing is lost."""

import os
import signal
import time
from dataclasses import replace

import pytest
import torch
from comparing import call, spare_pictures
from killing import FORK
from toy_runs import content_of

from ppl_mm import data
from ppl_mm.experiments import papers
from ppl_mm.experiments.mvae import experiment as mvae
from ppl_mm.experiments.reproduction import Table
from ppl_mm.training.loop import Loop

COMPARE = ["compare", "digits", "--system", "mvae", "--system", "mopoe", "--modality", "top"]
COMPARE += ["--modality", "label", "--latent-dim", "2", "--batch-size", "100", "--epochs", "3"]
COMPARE += ["--num-samples", "10", "--rows", "3", "--step", "eager", "--no-coherence"]
GOES_ON = "stopped; the same command goes on from here."


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    torch.set_default_dtype(torch.float32)
    spare_pictures(monkeypatch)
    # A shell's background job ignores SIGINT, and what it starts does too.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def compare(folder):
    return call(*COMPARE, "--out", folder)


def reproduce(folder):
    return call("reproduce", "mvae", "page", "--scale", "paper", "--out", folder)


def wait_in_step(folder, number, seconds):
    """The process's step of that number lasts so long, and says that it has begun."""
    steps, step = [], Loop.step

    def longer(self, *args):
        steps.append(1)
        if len(steps) == number:
            (folder.parent / "begun").touch()
            time.sleep(seconds)
        return step(self, *args)

    Loop.step = longer


def signalled(work, folder, signals, seconds):
    """Send the signals to the second step of a process; its exit code, time and output."""

    def run():
        wait_in_step(folder, 2, seconds)
        done = work(folder)
        (folder.parent / "output").write_text(done.output)
        os._exit(done.exit_code)

    process = FORK.Process(target=run)
    process.start()
    while not (folder.parent / "begun").exists():
        assert process.is_alive()
        time.sleep(0.01)
    start = time.monotonic()
    for number in signals:
        os.kill(process.pid, number)
        time.sleep(0.1)
    process.join()
    return process.exitcode, time.monotonic() - start, (folder.parent / "output").read_text()


@pytest.fixture
def tables(tiny_mnist, monkeypatch):
    """A paper with one table of two runs."""
    small = replace(mvae.SMOKE, dataset="binary_mnist", batch_size=10, epochs=3)
    runs = [replace(small, system=name) for name in ("vae", "jmvae")]
    table = Table("Two", mvae, ("binary_mnist",), runs, runs, lambda records: [])
    monkeypatch.setattr(papers, "table", lambda paper, name: table)
    load = data.load

    def all_rows(name, *folder, **options):
        return load(name, *folder, **({"validation": 0} if "mnist" in name else {}), **options)

    monkeypatch.setattr(data, "load", all_rows)


SLOW = pytest.mark.slow


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("work", "number"),
    [
        (compare, signal.SIGINT),
        (reproduce, signal.SIGTERM),
        pytest.param(compare, signal.SIGTERM, marks=SLOW),
        pytest.param(reproduce, signal.SIGINT, marks=SLOW),
    ],
)
def test_what_is_stopped_finishes_its_step_and_saves_it(tables, tmp_path, work, number):
    code, _, output = signalled(work, tmp_path / "out", [number], 0.5)
    assert code == 130
    assert GOES_ON in output
    (path,) = (tmp_path / "out").rglob("*checkpoint*")  # The other run has not begun.
    content = content_of(path)
    assert (content["epoch"], content["within"]["step"]) == (0, 2)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("work", [compare, pytest.param(reproduce, marks=SLOW)])
def test_a_second_signal_stops_at_once(tables, tmp_path, work):
    code, seconds, output = signalled(work, tmp_path / "out", [signal.SIGTERM] * 2, 600.0)
    assert code == 130
    assert GOES_ON in output
    assert seconds < 300  # The step lasts 600.
    assert not list((tmp_path / "out").rglob("*checkpoint*"))
    assert not list((tmp_path / "out").rglob(".*"))
