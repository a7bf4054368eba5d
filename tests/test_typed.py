"""What a public function's door lets in, how it says no, and what it costs."""

import inspect
import time
import timeit
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import torch
from every_system import build, complete
from torch import Tensor, nn

from ppl_mm import (
    Observations,
    data,
    fit,
    generate,
    likelihoods,
    log_likelihood,
    systems,
)
from ppl_mm.arguments.annotations import kind_of
from ppl_mm.arguments.kinds import NO, Range
from ppl_mm.arguments.typed import RANGES, typed

OBS = Observations({"x": torch.ones(2, 2)})
LINEAR = nn.Linear(2, 2)

ADMITTED = [  # annotation, value, what it becomes
    (int, 3, 3),
    (int, np.int64(3), 3),
    (float, 2, 2.0),
    (float, np.float32(0.5), 0.5),
    (float | None, None, None),
    (bool, np.bool_(True), True),
    (bool | str, "auto", "auto"),
    (Literal["a", "b"], "b", "b"),
    (Literal[1, 2], 2, 2),
    (Sequence[str], ["a"], ["a"]),
    (Sequence[str], (x for x in "ab"), ("a", "b")),
    (Sequence[str], {"a": 1}.keys(), ("a",)),
    (Sequence[int], (np.int64(1), 2), (1, 2)),
    (Sequence[int], np.array([1, 2]), (1, 2)),
    (str | Sequence[str] | None, "a", "a"),
    (Iterable[str], {"a"}, ("a",)),
    (Mapping[str, float], {"a": np.float64(1)}, {"a": 1.0}),
    (int | Mapping[str, int], {"a": 1}, {"a": 1}),
    (tuple[int, float], (1, 2), (1, 2.0)),
    (Path | None, "x", Path("x")),
    (str | Path, Path("x"), Path("x")),
    (Callable[[int], nn.Module], partial(nn.Linear, 2), ...),
    (Callable[[int], nn.Module], nn.ReLU, nn.ReLU),
    (Observations, OBS, OBS),
    (Annotated[int, Range(0)], 0, 0),
    (Any, object, object),
]
REFUSED = [  # annotation, value, the sentence's end, the error
    (int, True, "an integer, got True", TypeError),
    (int, 2.0, "an integer, got 2.0", TypeError),
    (int, torch.tensor(3), "an integer, got a tensor", TypeError),
    (int, 10**20, "the largest is 4294967295", ValueError),
    (float, "a", "a finite number, got 'a'", TypeError),
    (float, True, "a finite number, got True", TypeError),
    (float, float("nan"), "a finite number, got nan", ValueError),
    (float, np.float32("inf"), "a finite number, got .*inf", ValueError),
    (float, 10**400, "a finite number, got 1000", ValueError),
    (float, torch.tensor(1.0), r"take its number: \.item\(\)", TypeError),
    (bool, "zzz", "True or False, got 'zzz'", TypeError),
    (bool, 1, "True or False, got 1", TypeError),
    (str, b"x", "a string, got b'x'", TypeError),
    (Literal["shared", "private"], "privat", "Did you mean 'private'", ValueError),
    (Literal[1, 2], True, "1 or 2, got True", TypeError),
    (Sequence[str], "ab", r"put it in a list, \['ab'\]", TypeError),
    (Sequence[str], {"a"}, "a sequence of strings, got a set", TypeError),
    (Sequence[str], {"a": 1}, "a sequence of strings, got a dict", TypeError),
    (Sequence[int], torch.ones(2), "a sequence of integers, got a tensor", TypeError),
    (Mapping[str, float], ["a"], "a dict from strings to finite numbers, got", TypeError),
    (tuple[int, float], (1,), r"a tuple \(an integer, a finite number\)", TypeError),
    (Tensor, np.ones(3), r"make it a tensor: torch\.as_tensor", TypeError),
    (Tensor, [1.0], r"make it a tensor: torch\.as_tensor", TypeError),
    (nn.Module, lambda: 0, r"the forward method of a torch\.nn\.Module", TypeError),
    (Callable[[int], nn.Module], LINEAR, "write lambda size: MyNetwork", TypeError),
    (Callable[[Any], Any], 0.5, "a function, got 0.5", TypeError),
    (Observations, {"x": torch.ones(2)}, r"wrap a dict of tensors as Observations", TypeError),
    (likelihoods.Likelihood, likelihoods.Normal, r"make one of it: Normal\(", TypeError),
]


def function(annotation: Any) -> Any:
    def takes(value):
        return value

    takes.__annotations__ = {"value": annotation}
    return typed(takes)


@pytest.mark.parametrize(("annotation", "value", "read"), ADMITTED)
def test_what_is_admitted(annotation: Any, value: Any, read: Any) -> None:
    found = function(annotation)(value)
    if read is not ...:
        assert type(found) is type(read)
        assert found == read


@pytest.mark.parametrize(("annotation", "value", "said", "error"), REFUSED)
def test_what_is_refused(annotation: Any, value: Any, said: str, error: type) -> None:
    takes = function(annotation)
    with pytest.raises(error, match=rf"takes, argument value: expected .*{said}"):
        takes(value)
    with pytest.raises(error, match=rf"takes, argument value: expected .*{said}"):
        takes(value=value)


@pytest.mark.parametrize(
    ("annotation", "value", "where"),
    [
        (Sequence[str], ["a", 3], r"value\[1\]: expected a string, got 3"),
        (Mapping[str, int], {"a": "b"}, r"value\['a'\]: expected an integer, got 'b'"),
        (Mapping[str, int], {3: 1}, r"value's key 3: expected a string, got 3"),
        (str | Sequence[Sequence[str]], [["a"], [1]], r"value\[1\]\[0\]: expected a string"),
        (int | Mapping[str, int] | None, {"a": 0.5}, r"value\['a'\]: expected an integer, got 0.5"),
    ],
)
def test_the_element_that_is_wrong_is_found(annotation: Any, value: Any, where: str) -> None:
    with pytest.raises(TypeError, match=f"takes, argument {where}"):
        function(annotation)(value)


def test_names_say_ranges() -> None:
    @typed
    def draw(num_samples: int = 1, *, seed: int = 0, weights: Mapping[str, float] | None = None):
        return num_samples, seed, weights

    assert draw(3, seed=2**32 - 1, weights={"a": 0}) == (3, 2**32 - 1, {"a": 0.0})
    for wrong in ({"num_samples": 0}, {"seed": -1}, {"seed": 2**32}, {"weights": {"a": -0.1}}):
        with pytest.raises(ValueError, match=f"draw, argument {next(iter(wrong))}"):
            draw(**wrong)
    assert all(isinstance(limits, Range) for limits in RANGES.values())


def test_names_that_are_wrong_missing_or_too_many() -> None:
    @typed
    def draw(obs: Observations, num_samples: int = 1, *, seed: int): ...

    with pytest.raises(TypeError, match=r"draw: unknown argument 'sed'; .* Did you mean 'seed'"):
        draw(OBS, sed=3)
    with pytest.raises(TypeError, match="draw: argument obs is missing"):
        draw(seed=3)
    with pytest.raises(TypeError, match="draw: argument seed is missing"):
        draw(OBS)
    with pytest.raises(TypeError, match="draw: expected at most 2 arguments without a name"):
        draw(OBS, 1, 2, seed=3)


def test_a_checked_function_looks_as_before() -> None:
    found = log_likelihood
    assert found.__name__ == "log_likelihood"
    assert found.__module__ == "ppl_mm.likelihood.log_likelihood"
    assert list(inspect.signature(found).parameters)[:3] == ["system", "obs", "target"]
    assert "Pareto" in found.__doc__
    assert "TypeError" in inspect.getdoc(likelihoods.Normal)


def test_methods_and_constructors_name_their_class() -> None:
    with pytest.raises(TypeError, match=r"Observations.only, argument \*names: .*got 3"):
        OBS.only(3)
    with pytest.raises(ValueError, match=r"Normal, argument scale: .*above 0 or None, got 0.0"):
        likelihoods.Normal(scale=0.0)
    with pytest.raises(TypeError, match=r"Normal, argument scale: .*got a dict"):
        likelihoods.Normal(scale={"a": 1.0})


WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: log_likelihood(system(), rows(), target=3), TypeError, "argument target: .*got 3"),
    (lambda: log_likelihood(system(), rows(), seed="a"), TypeError, "argument seed: .*got 'a'"),
    (lambda: log_likelihood(system(), rows(), seed=-(10**20)), ValueError, "argument seed"),
    (lambda: generate(system(), rows(), "normal", mean="zzz"), TypeError, "argument mean: .*'zzz'"),
    (lambda: train(transform=0.5), TypeError, "fit, argument transform: expected a function"),
    (lambda: systems.mmjsd(system().modalities[0], 2), TypeError, "mmjsd, .*put it in a list"),
    (lambda: train(optimizer=torch.optim.LBFGS), TypeError, "optimizer: .*LBFGS.*closure"),
    (lambda: data.load("digits", seed=1.5), TypeError, "digits, argument seed: .*got 1.5"),
]


def system() -> Any:
    return build("mvae")


def rows() -> Observations:
    return complete(4)


def train(**options: Any) -> Any:
    return fit(system(), rows(), **{"epochs": 1, "progress": False, **options})


@pytest.mark.parametrize(("call", "error", "said"), WRONG)
def test_wrong_types_are_said_at_the_door(call: Any, error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        call()


def test_a_device_is_a_name_or_torchs_own() -> None:
    assert len(train(device=torch.device("cpu")).history) == 1
    with pytest.raises(ValueError, match=r"fit, argument device: .*such as .*got 'gpu'"):
        train(device="gpu")


def test_a_call_costs_microseconds() -> None:
    def plain(obs, target=None, num_samples=3, *, seed=0): ...

    plain.__annotations__ = {
        **{"obs": Observations, "target": str | Sequence[str] | None, "num_samples": int},
        "seed": int,
    }
    checked = typed(plain)
    call = partial(checked, OBS, ("a", "b"), 10, seed=3)
    call()
    each = min(timeit.repeat(call, number=1000, repeat=15, timer=time.process_time))
    assert each / 1000 < 20e-6


def test_kinds_know_what_they_do_not_admit() -> None:
    assert kind_of(int).read("a") is NO
    assert kind_of(Any).read(object) is object
