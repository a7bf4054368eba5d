"""Runs that are killed at random moments end bit for bit as those that never were."""

from functools import partial

import pytest
import torch
from comparing import call, spare_pictures
from killing import check_killed

from ppl_mm import data, fit, systems

SMALL = ["--modality", "top", "--modality", "label", "--latent-dim", "2"]
TRAIN = ["train", "mvae", "digits", *SMALL, "--epochs", "12", "--batch-size", "100"]
TRAIN += ["--no-evaluate", "--quiet"]
COMPARE = ["compare", "digits", "--system", "mvae", "--system", "mopoe", "--no-coherence", *SMALL]
COMPARE += ["--epochs", "6", "--batch-size", "100", "--num-samples", "10", "--rows", "3"]
COSINE = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=6)


def train(folder, step):
    resume = ["--resume"] if (folder / "config.json").exists() else []
    assert call(*TRAIN, "--step", step, "--out", folder, *resume).exit_code == 0


def compare(folder, step):
    assert call(*COMPARE, "--step", step, "--out", folder).exit_code == 0


def fits(folder, step):
    digits = data.load("digits")
    torch.manual_seed(0)
    system = systems.mvae(digits.modalities, 2)
    fit(
        system,
        digits.train,
        epochs=6,
        batch_size=100,
        validation=digits.test[:50],
        scheduler=COSINE,
        step=step,
        checkpoint=folder / "checkpoint",
        checkpoint_every=1,
        checkpoint_minutes=1e-3,
        resume=(folder / "checkpoint").exists(),
        progress=False,
    )
    system.save(folder / "system.safetensors")


SLOW = pytest.mark.slow
KINDS = [train, fits, compare]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("work", "step", "kills"),
    [
        *((work, "recorded", 1) for work in KINDS),
        *(pytest.param(work, s, 13, marks=SLOW) for work in KINDS for s in ("eager", "recorded")),
    ],
)
def test_killed_at_any_moment_it_ends_as_if_it_had_not_been(
    tmp_path, monkeypatch, work, step, kills
):
    torch.set_default_dtype(torch.float32)
    spare_pictures(monkeypatch)
    check_killed(partial(work, step=step), tmp_path, kills)
