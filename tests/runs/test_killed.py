"""Runs that are killed at random moments end bit for bit as those that never were."""

import random
import shutil
import subprocess
import sys
import time

import pytest
import torch

from ppl_mm import System

TRAIN = ["train", "mvae", "digits", "--modality", "top", "--modality", "label"]
TRAIN += ["--latent-dim", "2", "--epochs", "30", "--batch-size", "100", "--no-evaluate"]
COMPARE = ["compare", "digits", "--system", "mvae", "--system", "mopoe", "--no-coherence"]
COMPARE += ["--modality", "top", "--modality", "label", "--latent-dim", "2", "--epochs", "8"]
COMPARE += ["--num-samples", "10", "--rows", "3"]


def command(words, out, step):
    start = [sys.executable, "-m", "ppl_mm", *words, "--out", str(out)]
    return [*start, "--step", step]


def killed(words, out, step, times, seconds):
    """Start it again and again, and kill it each time after a random while."""
    chance = random.Random(0)
    for _ in range(times):
        resume = ["--resume"] if words[0] == "train" and (out / "config.json").exists() else []
        process = subprocess.Popen(
            command([*words, *resume], out, step),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(chance.uniform(0.5, seconds))
        process.kill()
        process.wait()


def finish(words, out, step):
    resume = ["--resume"] if words[0] == "train" and (out / "config.json").exists() else []
    done = subprocess.run(command([*words, *resume], out, step), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def parameters(folder):
    return {
        str(path.relative_to(folder)): System.load(path).state_dict()
        for path in sorted(folder.rglob("system.safetensors"))
    }


@pytest.mark.slow
@pytest.mark.parametrize("step", ["eager", "recorded"])
@pytest.mark.parametrize(("words", "times"), [(TRAIN, 30), (COMPARE, 20)])
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(tmp_path, words, times, step):
    torch.set_default_dtype(torch.float32)
    start = time.monotonic()
    finish(words, tmp_path / "whole", step)
    seconds = time.monotonic() - start
    for attempt in range(times // 5):
        out = tmp_path / f"killed{attempt}"
        killed(words, out, step, 5, seconds)
        finish(words, out, step)
        whole, found = parameters(tmp_path / "whole"), parameters(out)
        assert whole.keys() == found.keys()
        for name, state in whole.items():
            assert all(torch.equal(value, found[name][key]) for key, value in state.items())
        assert not list(out.rglob(".*.part"))
        shutil.rmtree(out)
