"""Processes divide the rows of an estimate, and each has the whole result of one."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import evaluated_run
import pytest
import torch
from evaluated_run import NUM_ROWS, QUESTIONS

TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found, launched once."""
    out = tmp_path_factory.mktemp("two") / "found"
    command = [sys.executable, *TORCHRUN, str(evaluated_run.__file__), str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(Path(f"{out}.{rank}"), weights_only=False) for rank in range(2)]


@pytest.fixture(scope="module")
def one() -> dict[str, Any]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return evaluated_run.answers(evaluated_run.linear())
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("name", QUESTIONS)
def test_each_process_has_the_whole_estimate_of_one(one, two, name):
    for found in two:
        columns, weights, ids = found["answers"][name]
        for field, expected in one[name][0].items():
            torch.testing.assert_close(columns[field], expected, atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(weights, one[name][1], atol=1e-5, rtol=1e-5, equal_nan=True)
        assert ids == one[name][2]


def test_each_process_has_the_whole_readings_of_one(one, two):
    for found in two:
        readings = found["answers"]["readings"]
        assert readings.keys() == one["readings"].keys()
        for key, expected in one["readings"].items():
            assert torch.equal(readings[key], expected)


@pytest.mark.parametrize("name", ["diversity", "elbo", "means", "averages"])
def test_each_process_has_the_whole_measure_of_one(one, two, name):
    for found in two:
        torch.testing.assert_close(found["answers"][name], one[name], atol=1e-9, rtol=1e-9)


def test_each_process_refines_its_own_rows(two):
    assert [found["together"] for found in two] == [NUM_ROWS - NUM_ROWS // 2, NUM_ROWS // 2]


def test_one_process_may_ask_by_itself(two):
    assert two[0]["alone"] == NUM_ROWS


def test_one_process_that_the_others_leave_waiting_says_so(two):
    assert two[0]["unasked"] == NUM_ROWS
    assert any("not all 2 processes asked for it" in text for text in two[0]["told"])
