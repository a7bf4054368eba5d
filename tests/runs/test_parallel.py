"""Several runs at a time: results as they come, what is shown of them, and how they stop."""

import io
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from rich.console import Console

from ppl_mm.files import owned
from ppl_mm.runs.parallel import _call, _table, in_parallel


def add(a, b):
    print("this would mix with the others' lines")
    return a + b


def quiet():
    return Console(file=io.StringIO(), width=80)


def cells(table):
    return [list(column.cells) for column in table.columns]


def test_every_call_gives_its_result_with_its_number(tmp_path, capsys):
    folders = {"one": tmp_path / "new" / "a", "two": tmp_path / "new" / "b"}
    calls = [(1, 2), (10, 20), ("x", "y")]
    found = dict(in_parallel(add, calls, folders, quiet(), 1, None))
    assert found == {0: 3, 1: 30, 2: "xy"}
    assert capsys.readouterr().out == ""
    assert not (tmp_path / "new").exists()
    assert dict(in_parallel(add, [], {}, quiet(), 1, None)) == {}


def test_an_error_of_a_call_reaches_the_caller(tmp_path):
    with pytest.raises(TypeError, match="unsupported operand"):
        list(in_parallel(add, [(1, "a")], {"one": tmp_path / "a"}, quiet(), 1, None))
    assert list(tmp_path.iterdir()) == []


def stop_at(number, at):
    if number == at:
        signal.raise_signal(signal.SIGTERM)
    return number


def test_a_signal_leaves_the_results_before_it_and_no_file(tmp_path, monkeypatch):
    """In processes of their own calls are deaf to signals; here they run in this one."""
    monkeypatch.setattr("ppl_mm.runs.parallel.deaf", nullcontext)
    folders = {"one": tmp_path / "new" / "a"}
    calls = [(0, 1), (1, 1), (2, 1)]
    results = in_parallel(stop_at, calls, folders, quiet(), 1, None)
    # The call that is under way ends, and the next does not begin.
    assert [next(results), next(results)] == [(0, 0), (1, 1)]
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert list((tmp_path / "new").iterdir()) == []  # the file that asked them to stop is gone


def test_a_call_after_the_stop_does_not_begin(tmp_path):
    stop = tmp_path / "stop"
    assert _call(3, 1, stop, add, (1, 2)) == (3, (3,))
    stop.touch()
    assert _call(3, 1, stop, pytest.fail, ("it began",)) == (3, ())


def interrupted():
    raise KeyboardInterrupt


def test_a_call_that_is_stopped_has_no_result(tmp_path):
    before = torch.get_num_threads()
    assert _call(1, before, tmp_path / "stop", interrupted, ()) == (1, ())
    assert torch.get_num_threads() == before


def test_the_state_of_each_run_is_shown(tmp_path):
    folders = {name: tmp_path / name for name in ("done", "works", "waits")}
    folders["done"].mkdir()
    (folders["done"] / "history.csv").write_text("epoch,loss\n1,4.0\n2,3.456\n")
    with owned(folders["works"]):
        table = _table(folders, {0})
    assert [column.header for column in table.columns] == ["run", "state", "epochs", "loss"]
    assert cells(table) == [
        ["done", "works", "waits"],
        ["done", "in work", "waits"],
        ["2", "0", "0"],
        ["3.46", "", ""],
    ]


def test_a_cluster_without_dask_is_told_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    message = r"^a Dask cluster needs Dask: pip install 'ppl-mm\[distributed\]'\.$"
    with pytest.raises(ModuleNotFoundError, match=message):
        list(in_parallel(add, [(1, 2)], {"a": Path(tmp_path, "a")}, quiet(), 1, "tcp://x"))
