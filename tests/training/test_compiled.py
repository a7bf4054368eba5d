"""Compiled steps: eager ones up to rounding, exact when resumed; recorded without a compiler."""

import pytest
import torch
from every_system import SYSTEMS, build, complete, kinds_of

from ppl_mm import fit
from ppl_mm.training import plan, replayed
from ppl_mm.training.tape import program

QUIET = {"epochs": 3, "batch_size": 8, "device": "cpu", "progress": False, "precision": "64-true"}


def trained(name, data, **options):
    torch.manual_seed(0)
    system = build(name)
    result = fit(system, data, **{**QUIET, **options})
    return result.step, dict(system.state_dict())


def interpreted(change=lambda x: x):
    """In the place of the compiler."""

    def compiled(graph, constants, inputs):
        run = program(graph, constants)
        return lambda *given: [None if x is None else change(x) for x in run(*given)]

    return compiled


def fails(*args, **kwargs):
    raise RuntimeError("no C++ compiler\nmore")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(plan, "check_compiler", lambda device: None)
    monkeypatch.setattr(replayed, "compiled", interpreted(lambda x: x * (1 + 1e-9)))


def assert_close(one, other):
    for key, value in one.items():
        torch.testing.assert_close(value, other[key], rtol=1e-6, atol=1e-7)


def test_compiled_steps_are_eager_ones_up_to_rounding(quick):
    data = complete(27)  # the last batch of an epoch, of 3, is recorded alone
    step, compiled = trained("mvae", data, step="compiled")
    assert step == "compiled: 8 steps replayed"
    _, eager = trained("mvae", data, step="eager")
    assert_close(eager, compiled)
    assert not all(torch.equal(value, eager[key]) for key, value in compiled.items())


def test_a_resumed_run_equals_an_uninterrupted_one(quick, tmp_path):
    data, options = complete(20), {"checkpoint": tmp_path / "run.pt", "step": "compiled"}
    _, whole = trained("mvae", data, epochs=4, step="compiled")
    trained("mvae", data, epochs=1, **options)
    _, resumed = trained("mvae", data, epochs=4, resume=True, **options)
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())


def test_a_long_run_is_compiled(quick, monkeypatch):
    monkeypatch.setattr(plan, "_LONG", 40)
    assert trained("mvae", complete(16), step="auto", epochs=19)[0].startswith("recorded")
    assert trained("mvae", complete(16), step="auto", epochs=20)[0].startswith("compiled")


def test_without_a_compiler_auto_records_and_compiled_is_an_error(quick, monkeypatch):
    monkeypatch.setattr(plan, "_LONG", 20)
    monkeypatch.setattr(replayed, "compiled", fails)
    data = complete(16)
    step, state = trained("mvae", data, step="auto", epochs=10)
    assert step == "recorded: 18 steps replayed (not compiled: no C++ compiler)"
    _, eager = trained("mvae", data, step="eager", epochs=10)
    assert all(torch.equal(value, eager[key]) for key, value in state.items())
    monkeypatch.undo()
    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(RuntimeError, match=r"compiler does not work here \(no C\+\+ compiler\)"):
        trained("mvae", data, step="compiled")


def test_a_compiler_that_computes_something_else_is_noticed(quick, monkeypatch):
    monkeypatch.setattr(replayed, "compiled", interpreted(lambda x: x * 1.1))
    data = complete(16)
    step, state = trained("mvae", data, step="compiled")
    assert step.startswith("recorded: ")
    assert "(not compiled: it gives other numbers)" in step
    _, eager = trained("mvae", data, step="eager")
    assert all(torch.equal(value, eager[key]) for key, value in state.items())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of itself
@pytest.mark.parametrize("name", SYSTEMS)
def test_torchs_compiler_draws_the_same_numbers(name):
    data = complete(27, *kinds_of(name))
    step, compiled = trained(name, data, step="compiled")
    assert step.startswith("compiled: ")
    assert_close(trained(name, data, step="eager")[1], compiled)
