"""What is not read as rows is refused by name, with a line that mends it: that very line is run."""

import warnings
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from every_system import build, modality

from ppl_mm import Observations, fit

QUIET = {"epochs": 1, "batch_size": 4, "progress": False, "device": "cpu"}


def read(x: Any) -> tuple[Any, list[bool]]:
    """The values as lists, and the mask."""
    obs = Observations.from_arrays({"x": x})
    return obs["x"].tolist(), obs.present["x"].tolist()


def quietly(make: Callable[[], Any]) -> Any:
    """What is made by a call that warns of a prototype."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


# ------------------------------------------------------------------ refusals and their remedies


WORDS = ["b", None, "a", "b"]
DAYS = pd.to_datetime(["2000-01-02", None, "2000-01-04"])
CODES = [1, 0, 0, 1]
CATEGORY_CODES = "np.ma.masked_less(pd.Series(x).cat.codes, 0)"
NAME_CODES = "np.ma.masked_less(pd.factorize(pd.Series(x), sort=True)[0], 0)"
PARTS = "np.stack([np.real(x), np.imag(x)], -1)"
FIELDS = "np.stack([x[field] for field in x.dtype.names], -1)"
DAYS_SINCE_2000 = (
    "(pd.to_datetime(pd.Series(x), utc=True) - pd.Timestamp('2000-01-01', tz='UTC')) / "
    "pd.Timedelta(days=1)"
)

REMEDIES: list[tuple[str, Any, type[Exception], str, list[Any], str]] = [
    ("dict of rows", {5: [1, 2], 7: [3, 4]}, TypeError, "list(x.values())", [[1, 2], [3, 4]], "11"),
    (
        "dict of columns",
        {"a": [1, 2], "b": [3, 4]},
        TypeError,
        "pd.DataFrame(x)",
        [[1, 3], [2, 4]],
        "11",
    ),
    ("records", [{"a": 1, "b": 2}], TypeError, "pd.DataFrame(x)", [[1, 2]], "1"),
    ("set", {2, 1}, TypeError, "sorted(x)", [1, 2], "11"),
    ("number", 3.0, TypeError, "[x]", [3.0], "1"),
    (
        "category",
        pd.Series(WORDS, dtype="category"),
        TypeError,
        CATEGORY_CODES,
        CODES,
        "1011",
    ),
    (
        "categorical",
        pd.Categorical(WORDS),
        TypeError,
        CATEGORY_CODES,
        CODES,
        "1011",
    ),
    (
        "category of numbers",
        pd.Series([5, None, 7], dtype="category"),
        TypeError,
        "pd.Series(x).astype(object)",
        [5, 0, 7],
        "101",
    ),
    (
        "class names",
        WORDS,
        TypeError,
        NAME_CODES,
        CODES,
        "1011",
    ),
    (
        "column of names",
        pd.Series(WORDS),
        TypeError,
        NAME_CODES,
        CODES,
        "1011",
    ),
    (
        "array of names",
        np.array(["b", "a"]),
        TypeError,
        NAME_CODES,
        [1, 0],
        "11",
    ),
    (
        "spelled numbers",
        np.array(["1.5", "2"]),
        TypeError,
        "pd.to_numeric(pd.Series(x))",
        [1.5, 2.0],
        "11",
    ),
    ("spelled, in a list", ["1", None], TypeError, "pd.to_numeric(pd.Series(x))", [1.0, 0.0], "10"),
    (
        "complex",
        np.array([1 + 2j]),
        TypeError,
        PARTS,
        [[1.0, 2.0]],
        "1",
    ),
    (
        "complex numbers",
        [1 + 2j],
        TypeError,
        PARTS,
        [[1.0, 2.0]],
        "1",
    ),
    (
        "complex tensor",
        torch.tensor([1 + 2j]),
        TypeError,
        PARTS,
        [[1.0, 2.0]],
        "1",
    ),
    (
        "structured",
        np.array([(1, 2.5)], dtype=[("a", int), ("b", float)]),
        TypeError,
        FIELDS,
        [[1.0, 2.5]],
        "1",
    ),
    (
        "beyond int64",
        np.array([2**63], np.uint64),
        ValueError,
        "np.asarray(x, dtype=float)",
        [2.0**63],
        "1",
    ),
    ("beyond any integer", [2**70], TypeError, "np.asarray(x, dtype=float)", [2.0**70], "1"),
    (
        "nested",
        quietly(lambda: torch.nested.nested_tensor([torch.ones(1), torch.ones(2)])),
        ValueError,
        "torch.nested.to_padded_tensor(x, 0.0)",
        [[1.0, 0.0], [1.0, 1.0]],
        "11",
    ),
    (
        "spans",
        pd.Series(pd.to_timedelta([1, None], unit="D")),
        TypeError,
        "pd.Series(x) / pd.Timedelta(days=1)",
        [1.0, 0.0],
        "10",
    ),
    *(
        (
            what,
            x,
            TypeError,
            DAYS_SINCE_2000,
            [1.0, 0.0, 3.0],
            "101",
        )
        for what, x in (
            ("days", pd.Series(DAYS)),
            ("an index of days", DAYS),
            ("days of a zone", pd.Series(DAYS.tz_localize("UTC"))),
            ("days of NumPy", DAYS.to_numpy()),
            ("days in a list", [date(2000, 1, 2), None, date(2000, 1, 4)]),
        )
    ),
]


@pytest.mark.parametrize(
    ("x", "kind", "line", "values", "present"),
    [case[1:] for case in REMEDIES],
    ids=[case[0] for case in REMEDIES],
)
def test_what_is_no_array_of_numbers_is_refused_with_the_line_that_mends_it(
    x: Any, kind: type[Exception], line: str, values: list[Any], present: str
) -> None:
    with pytest.raises(kind, match="modality 'x': ") as refused:
        read(x)
    assert line in str(refused.value)
    mended = eval(line, {"np": np, "pd": pd, "torch": torch, "x": x})
    found, mask = read(mended)
    assert found == values
    assert mask == [digit == "1" for digit in present]


def test_a_column_that_is_refused_is_named() -> None:
    frame = pd.DataFrame({"a": [1, 2], "word": ["v", "u"], "pair": [[1, 2], [3, 4]]})
    with pytest.raises(TypeError, match="'x': column 'word': expected numbers") as refused:
        read(frame[["a", "word"]])
    line = "np.ma.masked_less(pd.factorize(pd.Series(x['word']), sort=True)[0], 0)"
    assert line in str(refused.value)
    frame["word"] = eval(line, {"np": np, "pd": pd, "x": frame})
    assert read(frame[["a", "word"]])[0] == [[1, 1], [2, 0]]
    with pytest.raises(ValueError, match=r"column 'pair' holds arrays.*x\['pair'\]"):
        read(frame[["a", "pair"]])
    assert read(frame["pair"])[0] == [[1, 2], [3, 4]]
    with pytest.raises(ValueError, match="'x': expected a data frame of at least one column"):
        read(frame[[]])


@pytest.mark.parametrize(
    ("x", "kind", "message"),
    [
        ("abc", TypeError, "got the str 'abc'"),
        (b"abc", TypeError, "got the bytes"),
        ("rows.npy", TypeError, r"'rows.npy'; read the file: np.load\(x\)"),
        (np.float64, TypeError, "got type"),
        (len, TypeError, "got builtin_function_or_method"),
        (object(), TypeError, "got object; make an array of numbers"),
        (Observations.blank(2), TypeError, "got Observations"),
        (np.zeros((0, 3)), ValueError, "at least one row, got none"),
        (pd.DataFrame({"a": []}), ValueError, "at least one row, got none"),
        (np.array(3.0), ValueError, "got a scalar"),
        (np.ma.masked, ValueError, "got a scalar"),
        (torch.ones(2, device="meta"), ValueError, "'meta' holds no values"),
        ([[1.0], {2.0}], TypeError, "got set, whose rows have no order"),
        ([pd.Period("2000")], TypeError, "got Period"),
        (sp.coo_array(([1.0], ([0], [0])), shape=(10**9, 10**9)), MemoryError, r"fewer columns"),
    ],
    ids=lambda x: str(x)[:20],
)
def test_what_holds_no_rows_is_refused_by_name(x: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"modality 'x': .*{message}"):
        read(x)


@pytest.mark.parametrize(
    "arrays", [pd.DataFrame({"a": [1, 2], "b": [3, 4]}), [[1, 2]], np.eye(2), None], ids=type
)
def test_arrays_without_names_are_refused(arrays: Any) -> None:
    with pytest.raises(TypeError, match=r"from_arrays: expected arrays as a dict.*write {'x': x}"):
        Observations.from_arrays(arrays)
    if isinstance(arrays, pd.DataFrame):
        assert Observations.from_arrays(dict(arrays)).names == ("a", "b")
    with pytest.raises(ValueError, match="unknown modality in the mask 'y'; known: x"):
        Observations.from_arrays({"x": [1]}, {"y": [True]})
    with pytest.raises(TypeError, match="from_arrays: expected present as a dict"):
        Observations.from_arrays({"x": [1]}, [True])


def test_a_label_column_with_gaps_keeps_its_mask() -> None:
    frame = pd.DataFrame({"label": [0, 1, None, 2]})  # floats, as pandas makes of it
    assert frame["label"].dtype == float
    declared = modality("categorical")
    obs = Observations.from_arrays({"categorical": frame["label"]})
    system = build("vae", [declared])
    with pytest.raises(
        ValueError, match="'categorical': expected integer class indices"
    ) as refused:
        fit(system, obs, **QUIET)
    line = "obs = obs.replace('categorical', obs['categorical'].long())"
    assert line in str(refused.value)
    scope = {"obs": obs}
    exec(line, scope)
    fit(system, scope["obs"], **QUIET)
    assert scope["obs"].present["categorical"].tolist() == [True, True, False, True]
    same = Observations.from_arrays({"categorical": frame["label"].astype("Int64")})
    assert torch.equal(same["categorical"], scope["obs"]["categorical"])
    assert torch.equal(same.present["categorical"], scope["obs"].present["categorical"])
    fractions = Observations({"categorical": torch.tensor([0.5, 1.0])})
    with pytest.raises(ValueError, match="They number classes") as refused:  # not to be cut off
        fit(system, fractions, **QUIET)
    assert ".long()" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "values", "line"),
    [
        ("categorical", np.array([0, -1, 2]), "np.ma.masked_less(x, 0)"),
        ("categorical", np.array([[0], [1], [2]]), "obs['categorical'][:, 0]"),
        ("bernoulli", np.ones((3, 1, 3, 3), int), "obs['bernoulli'].to(torch.get_default_dtype())"),
        ("tokens", np.ones((3, 4)), "obs['tokens'].long()"),
    ],
    ids=str,
)
def test_values_that_a_likelihood_refuses_and_the_line_that_mends_them(
    kind: str, values: np.ndarray, line: str
) -> None:
    system = build("vae", [modality(kind)])
    obs = Observations.from_arrays({kind: values})
    with pytest.raises(ValueError, match=f"modality '{kind}'") as refused:
        fit(system, obs, **QUIET)
    assert line in str(refused.value)
    mended = eval(line, {"np": np, "torch": torch, "x": values, "obs": obs})
    fit(system, Observations.from_arrays({kind: mended}), **QUIET)
