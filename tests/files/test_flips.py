"""A flipped bit in a checkpoint, a system or an oracle is one ValueError with the file's name."""

import random

import pytest
import torch
from every_system import build
from toy_runs import go_on, start

from ppl_mm import System, data
from ppl_mm.evaluation import train_classifiers


def checkpoint(folder):
    start(folder / "run")
    return folder / "run", lambda: go_on(folder / "run"), "Start again without resume"


def system(folder):
    build("mvae").save(folder / "run")
    return folder / "run", lambda: System.load(folder / "run"), r"System\.save wrote"


def oracle(folder):
    torch.set_default_dtype(torch.float32)
    digits = data.load("digits")

    def classifier():
        options = {"epochs": 1, "folder": folder, "progress": False}
        train_classifiers(digits, ["top"], **options)

    classifier()
    (path,) = folder.iterdir()
    return path, classifier, "Remove the file"


@pytest.mark.parametrize("kind", [checkpoint, system, oracle])
@pytest.mark.parametrize("number", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_a_flip_is_never_accepted_and_never_a_bare_error(tmp_path, kind, number):
    path, read, remedy = kind(tmp_path)
    whole, chance = path.read_bytes(), random.Random(0)
    head = 8 * (8 + int.from_bytes(whole[:8], "little"))  # the file says there what it holds
    for i in range(number):
        place = chance.randrange(head if i % 2 else 8 * len(whole))
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=f"{path.name}: .*{remedy}"):
            read()
    path.write_bytes(whole)
    read()
