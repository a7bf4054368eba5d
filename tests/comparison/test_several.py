"""Trials made by several processes at once: the same numbers, one owner each, failures alone."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest
import torch
from comparing import compare
from toy_runs import content_of

from ppl_mm.comparison import plan, run
from ppl_mm.files import owned

ONE = {"systems": ("mvae",), "missing": ("0",), "seeds": ("0",)}
TWO = {"systems": ("mvae", "mmvae"), "missing": ("0",), "seeds": ("0",)}
SMALL = {"epochs": 1, "batch_size": 400, "num_samples": 30, "rows": 5, "latent_dim": 2}
SMALL["modalities"] = ["top", "label"]


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory):
    torch.set_default_dtype(torch.float32)
    folder = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        from comparing import spare_pictures

        spare_pictures(patch)
        assert compare(folder, "--no-coherence", **TWO).exit_code == 0
    return folder


@pytest.mark.slow
def test_two_processes_find_what_one_does(one_by_one, tmp_path):
    result = compare(tmp_path, "--no-coherence", "--jobs", "2", **TWO)
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "table.csv").read_text() == (one_by_one / "table.csv").read_text()


@pytest.mark.slow
def test_a_cluster_of_two_workers_finds_the_same(one_by_one, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        result = compare(tmp_path, "--no-coherence", "--dask", address, **TWO)
    assert result.exit_code == 0, result.stderr
    assert (tmp_path / "table.csv").read_text() == (one_by_one / "table.csv").read_text()


COMMAND = "import sys; from ppl_mm.cli import app; app(sys.argv[1:])"
LONG = ["compare", "digits", "--system", "mvae", "--system", "mmvae", "--no-coherence"]
LONG += ["--modality", "top", "--latent-dim", "2", "--epochs", "100000", "--out"]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["jobs", "dask"])
@pytest.mark.parametrize("whom", ["the command", "the terminal"])
def test_several_that_are_stopped_finish_their_steps_and_save_them(tmp_path, where, whom):
    with ExitStack() as stack:
        words = ["--jobs", "2"]
        if where == "dask":
            from distributed import LocalCluster

            cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
            words = ["--dask", stack.enter_context(cluster).scheduler_address]
        command = [sys.executable, "-c", COMMAND, *LONG, tmp_path / "out", *words]
        process = stack.enter_context(
            subprocess.Popen(command, stdout=-1, stderr=-1, text=True, start_new_session=True)
        )
        while len(list(tmp_path.rglob("history.csv"))) < 2:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        if whom == "the command":
            process.send_signal(signal.SIGTERM)
        else:
            os.killpg(process.pid, signal.SIGINT)
        output, error = process.communicate()
        assert process.returncode == 130, error
        assert "stopped; the same command goes on from here." in output
        for name in ("mvae-0-0", "mmvae-0-0"):
            content = content_of(tmp_path / "out" / name / "checkpoint.pt")
            assert 0 < content["epoch"] < 5000  # They come every 5,000 epochs.
            with owned(tmp_path / "out" / name):  # The run has ended.
                pass
        assert not list((tmp_path / "out").rglob(".*"))


@pytest.mark.slow
def test_a_second_signal_stops_several_at_once(tmp_path):
    command = [sys.executable, "-c", COMMAND, *LONG, tmp_path / "out", "--jobs", "2"]
    with subprocess.Popen(command, stdout=-1, stderr=-1, start_new_session=True) as process:
        while len(list(tmp_path.rglob("history.csv"))) < 2:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        for _ in range(2):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.01)
        process.communicate()
    assert process.returncode == 130
    for name in ("mvae-0-0", "mmvae-0-0"):
        with owned(tmp_path / "out" / name):  # Its process has ended.
            pass


def test_a_trial_that_another_process_makes_is_left_to_it(tmp_path):
    def other() -> None:
        with owned(tmp_path / "mvae-0-0"):
            begun.set()
            over.wait(60)

    begun, over = threading.Event(), threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    begun.wait(60)
    trials = plan(tmp_path, "digits", ["mvae", "mmvae"], **SMALL)
    outcomes = run(trials, coherence=False, progress=False)
    over.set()
    thread.join()
    assert [o.state for o in outcomes] == ["in work elsewhere", "done"]
    assert "in use by process" in outcomes[0].elsewhere


@pytest.mark.parametrize("name", ["config.json", "checkpoint.pt", "system.safetensors"])
def test_a_damaged_file_fails_its_trial_alone(tmp_path, name):
    trials = plan(tmp_path, "digits", ["mvae", "mmvae"], **SMALL)
    run(trials, coherence=False, progress=False)
    folder = trials[0].folder
    (folder / "metrics.json").unlink()
    if name == "checkpoint.pt":
        (folder / "system.safetensors").unlink()
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    again = plan(tmp_path, "digits", ["mvae", "mmvae"], **SMALL)
    outcomes = run(again, coherence=False, progress=False)
    assert [o.state for o in outcomes] == ["failed", "done"]
    assert name in outcomes[0].failure
    assert f"Remove {folder}, and the same command makes the trial anew." in outcomes[0].failure


@pytest.mark.parametrize("content", ["[]", "{}", "3", '{"options": 3}', "null", '{"options": {}}'])
def test_whatever_stands_in_a_record_the_others_go_on(tmp_path, content):
    trials = plan(tmp_path, "digits", ["mvae", "mmvae"], **SMALL)
    trials[0].folder.mkdir()
    (trials[0].folder / "config.json").write_text(content)
    (trials[0].folder / "metrics.json").write_text(json.dumps(content))
    again = plan(tmp_path, "digits", ["mvae"], **SMALL)
    (outcome,) = run(again, coherence=False, progress=False)
    assert outcome.state == "failed"
    assert "config.json: damaged" in outcome.failure
