"""Two processes give the parameters of one process with the joint batch, and go on from it."""

import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import data_parallel_run
import numpy as np
import pytest
import torch
from data_parallel_run import EPOCHS, RESUMED, cases, train
from every_system import modality

from ppl_mm import Modality, likelihoods, networks, runs, systems
from ppl_mm.files import read_sealed
from ppl_mm.files.nested import unpack

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs: one process here, then two of them, launched once."""
    out = tmp_path_factory.mktemp("data_parallel")
    for name, case in cases().items():
        train(case, f"{out}/one.{name}")
    train(cases()[RESUMED], f"{out}/one.stopped", checkpoint=out / "one.checkpoint")
    train(cases()[RESUMED], f"{out}/one.whole", epochs=2 * EPOCHS)
    shutil.copy(out / "one.checkpoint", out / "started")
    script = str(data_parallel_run.__file__)
    command = [sys.executable, *TORCHRUN, script, str(out / "two"), str(out / "started")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def assert_same(folder: Path, one: str, *others: str) -> None:
    expected = torch.load(folder / one, weights_only=True)
    for other in others:
        found = torch.load(folder / other, weights_only=True)
        for name, value in expected["state"].items():
            torch.testing.assert_close(found["state"][name], value, atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(found["losses"], expected["losses"], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", cases())
def test_two_processes_equal_one(folder, name):
    assert_same(folder, f"one.{name}.0", f"two.{name}.0", f"two.{name}.1")


def test_no_thread_of_the_group_outlives_the_script(folder):
    for rank in range(2):
        threads = (folder / f"two.threads.{rank}").read_text().splitlines()
        assert threads
        assert not [name for name in threads if "gloo" in name]


def test_two_processes_write_one_checkpoint(folder):
    for name in ("one", "two"):
        file = read_sealed(folder / f"{name}.checkpoint", "checkpoint", "")
        assert unpack(file.tensors(), file.header["content"])["epoch"] == EPOCHS
    assert not list(folder.glob(".*"))


def test_two_processes_go_on_from_the_checkpoint_of_one(folder):
    assert_same(folder, "one.whole.0", "two.resumed.0", "two.resumed.1")


def test_one_process_goes_on_from_the_checkpoint_of_two(folder):
    path = folder / "two.checkpoint"
    train(cases()[RESUMED], f"{folder}/back", epochs=2 * EPOCHS, checkpoint=path, resume=True)
    assert_same(folder, "one.whole.0", "back.0")


def test_the_document_runs(tmp_path, monkeypatch):
    torch.set_default_dtype(torch.float32)
    monkeypatch.chdir(tmp_path)
    np.save("images.npy", np.random.default_rng(0).integers(256, size=(1100, 1, 28, 28)))
    np.save("labels.npy", np.arange(1100) % 3)
    np.save("has_label.npy", np.arange(1100) % 2 == 0)
    image = Modality(
        "image",
        likelihoods.SoftBernoulli(),
        partial(networks.MLPEncoder, event_shape=(1, 28, 28), hidden=(4,)),
        partial(networks.MLPDecoder, event_shape=(1, 28, 28), hidden=(4,)),
    )
    text = (Path(__file__).parents[2] / "docs" / "several_machines.md").read_text()
    script, files = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    for code in (script, files):
        code = re.sub(r"epochs=\d+", "epochs=1, progress=False", code).replace("=100)", "=4)")
        exec(code, {"system": systems.mvae([image, modality("categorical", name="label")], 2)})
    assert Path("digits.safetensors").exists()


def test_only_the_first_process_writes_a_run_folder(tmp_path, monkeypatch):
    torch.set_default_dtype(torch.float32)
    monkeypatch.setenv("RANK", "1")
    runs.train(tmp_path, "mvae", "digits", epochs=1, batch_size=600, device="cpu", progress=False)
    assert list(tmp_path.iterdir()) == []
