"""Ctrl-C and SIGTERM: the step is finished, the checkpoint written; a second one stops at once."""

import os
import signal
import threading
import time

import pytest
import torch
from linear_gaussian import LinearGaussian
from toy_runs import QUIET, content_of, go_on, rows, same, start, toy

from ppl_mm import fit, log_likelihood
from ppl_mm.training import Callback, StoppedError

ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _interrupts():
    """A shell's background job ignores SIGINT, and under nohup SIGHUP; what it starts does too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    closed = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGHUP, closed)


class Press(Callback):
    """Send signals in a step of the second epoch."""

    def __init__(self, number, step=2, times=1):
        self.number, self.step, self.times = number, step, times

    def before_step(self, training):
        if (training.epoch, training.step) == (1, self.step - 1):
            for _ in range(self.times):
                os.kill(os.getpid(), self.number)
                time.sleep(0.01)


@pytest.mark.parametrize("number", ALL)
@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_stopped_run_is_saved_and_goes_on_exactly(tmp_path, number, step, capfd):
    whole, stopped, resumed = toy(), toy(), toy()
    handlers = [signal.getsignal(n) for n in ALL]
    fit(whole, rows(), epochs=3, batch_size=8, **QUIET)
    with pytest.raises(StoppedError, match=r"run', resume=True") as caught:
        start(tmp_path / "run", stopped, epochs=3, callbacks=[Press(number, step)])
    assert caught.value.number == number
    place = "2 of 3 epochs" if step == 3 else f"1 of 3 epochs and {step} of 3 steps"
    assert f"training stopped after {place}" in str(caught.value)
    assert "a second time stops at once" in capfd.readouterr().err
    assert [signal.getsignal(n) for n in ALL] == handlers
    go_on(tmp_path / "run", resumed, epochs=3)
    assert same(whole, resumed)


def test_a_second_one_stops_at_once(tmp_path):
    start(tmp_path / "run")
    before = (tmp_path / "run").read_bytes()
    with pytest.raises(KeyboardInterrupt) as caught:
        go_on(tmp_path / "run", epochs=3, callbacks=[Press(signal.SIGINT, times=2)])
    assert not isinstance(caught.value, StoppedError)
    assert (tmp_path / "run").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_terminal_that_closes_sends_several_and_the_run_is_saved(tmp_path):
    with pytest.raises(StoppedError, match="SIGHUP: training stopped after 1 of 3 epochs"):
        start(tmp_path / "run", epochs=3, callbacks=[Press(signal.SIGHUP, times=3)])
    assert content_of(tmp_path / "run")["within"]["step"] == 2


def test_without_a_checkpoint_it_says_so():
    with pytest.raises(StoppedError, match="fit has no checkpoint="):
        fit(toy(), rows(), epochs=3, batch_size=8, callbacks=[Press(signal.SIGINT)], **QUIET)


def test_a_run_whose_standard_error_is_a_broken_pipe_is_saved(tmp_path):
    """As after Ctrl-C in ``ppl-mm train ... 2>&1 | tee log``, which ends tee first."""
    read, write = os.pipe()
    os.close(read)
    before = os.dup(2)
    os.dup2(write, 2)
    try:
        with pytest.raises(StoppedError, match="resume=True"):
            start(tmp_path / "run", epochs=3, callbacks=[Press(signal.SIGINT)])
    finally:
        os.dup2(before, 2)
        for handle in (before, write):
            os.close(handle)
    assert content_of(tmp_path / "run")["within"]["step"] == 2


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        fit(toy(), rows(), epochs=2, batch_size=8, callbacks=[Press(signal.SIGINT)], **QUIET)
    finally:
        signal.signal(signal.SIGINT, before)


# ----------------------------------------------------------------------------------------- threads


def in_threads(functions):
    found = [None] * len(functions)

    def work(i):
        torch.set_default_dtype(torch.float64)
        found[i] = functions[i]()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_two_threads_find_what_one_does():
    def trained(seed):
        system = toy()
        result = fit(system, rows(), epochs=4, batch_size=8, seed=seed, **QUIET)
        return [row["loss"] for row in result.history]

    def likely(seed):
        obs = LinearGaussian().sample(5, seed=7)
        return log_likelihood(system, obs, num_samples=200, seed=seed).value.tolist()

    system = toy()
    work = [lambda seed=s, f=f: f(seed) for s in range(4) for f in (trained, likely)]
    expected = [f() for f in work]
    assert in_threads(work) == expected
