"""Two processes give the parameters of one process with the joint batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("data_parallel_run.py")


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def run(out: Path, *launcher: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, str(SCRIPT), str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data_parallel")
    run(out / "one")
    run(out / "two", *TORCHRUN)
    return out


@pytest.mark.parametrize(
    "objective",
    ["subset_terms", "row_means", "iwae", "impartial", "cmmd", "mmvae_plus", "streams", "telbo"],
)
def test_two_processes_equal_one(folder, objective):
    one = torch.load(folder / f"one.{objective}.0", weights_only=True)
    for rank in (0, 1):
        two = torch.load(folder / f"two.{objective}.{rank}", weights_only=True)
        for name, value in one["state"].items():
            torch.testing.assert_close(two["state"][name], value, atol=1e-10, rtol=1e-10)
        torch.testing.assert_close(two["losses"], one["losses"], atol=1e-9, rtol=1e-9)


def test_two_processes_write_one_checkpoint(folder):
    one = torch.load(folder / "one.iwae.checkpoint", weights_only=True)
    two = torch.load(folder / "two.iwae.checkpoint", weights_only=True)
    assert one["epoch"] == two["epoch"] == 3
    assert not list(folder.glob(".*"))
