"""Processes divide the rows of an estimate, and each has the whole result of one."""

import multiprocessing
import warnings
from typing import Any

import evaluated_run
import pytest
import torch
from evaluated_run import NUM_ROWS, QUESTIONS, one_of_two

DIFFERENT = NUM_ROWS - 1  # two rows are equal, and refined once
FORK = multiprocessing.get_context("fork")  # a child has what its parent has imported


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes found, launched once."""
    out = str(tmp_path_factory.mktemp("two") / "found")
    processes = [FORK.Process(target=one_of_two, args=(rank, out)) for rank in range(2)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*fork", DeprecationWarning)
        for process in processes:
            process.start()
    for process in processes:
        process.join(400)
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(f"{out}.{rank}", weights_only=False) for rank in range(2)]


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
    assert [found["together"] for found in two] == [DIFFERENT - DIFFERENT // 2, DIFFERENT // 2]


def test_one_process_may_ask_by_itself(two):
    assert two[0]["alone"] == DIFFERENT


def test_one_process_that_the_others_leave_waiting_says_so(two):
    assert two[0]["unasked"] == DIFFERENT
    assert any("not all 2 processes asked for it" in text for text in two[0]["told"])
