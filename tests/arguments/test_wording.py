"""Messages show values briefly, and name what was probably meant."""

import numpy as np
import pytest
import torch

from ppl_mm import Modality, data, likelihoods
from ppl_mm.arguments.shown import shown
from ppl_mm.arguments.wording import article, counted, either, first_line, unknown_name


def test_one_thing_is_no_plural():
    told = [counted(number, "epoch") for number in (0, 1, 2)]
    assert told == ["0 epochs", "1 epoch", "2 epochs"]


def test_an_unknown_name_comes_with_those_that_are_known():
    assert unknown_name("modality", "imgae", ["image", "text"]) == (
        "unknown modality 'imgae'; known: image, text. Did you mean 'image'?"
    )
    assert unknown_name("system", "xyz", ["mvae"]) == "unknown system 'xyz'; known: mvae."
    assert unknown_name("modality", "x", []) == "unknown modality 'x'; known: none."
    assert unknown_name("row", 3, ["a"]) == "unknown row 3; known: a."
    assert unknown_name("name", "a", (n for n in "ab")).endswith("known: a, b. Did you mean 'a'?")


@pytest.mark.parametrize(
    ("choices", "said"),
    [(["a"], "a"), (["a", "b"], "a or b"), (["a", "b", "c"], "a, b or c")],
    ids=len,
)
def test_choices_are_joined_by_or(choices, said):
    assert either(choices) == said


@pytest.mark.parametrize(
    ("noun", "said"),
    [
        ("ELBO", "an ELBO"),
        ("Observations", "Observations"),
        ("int", "an int"),
        ("str", "a str"),
    ],
    ids=str,
)
def test_nouns_have_an_article(noun, said):
    assert article(noun) == said


class Named:
    name = "digits"


X = Modality("x", likelihoods.Bernoulli(), lambda size: None, lambda size: None)

SHOWN = [
    (None, "None"),
    (True, "True"),
    (1.5, "1.5"),
    ("a", "'a'"),
    (b"a", "b'a'"),
    (1j, "1j"),
    ("a" * 100, "'" + "a" * 27 + "..." + "a" * 28 + "'"),
    (np.float64(0.5), "np.float64(0.5)"),
    (torch.device("cpu"), "device(type='cpu')"),
    (torch.float16, "torch.float16"),
    (dict, "the class dict"),
    (torch.zeros(2, 3, dtype=torch.float32), "a tensor of float32 of shape (2, 3)"),
    (torch.tensor([float("nan")]), "a tensor of float32 of shape (1,) with NaN or infinity"),
    (torch.zeros(1, device="meta"), "a tensor of float32 of shape (1,)"),
    (torch.zeros(2).to_sparse(), "a tensor of float32 of shape (2,)"),
    (np.zeros((2, 1)), "a NumPy array of float64 of shape (2, 1)"),
    ({}, "a dict, {}"),
    ({"x": 1, "y": 2}, "a dict with keys 'x', 'y'"),
    ({i: i for i in range(9)}, "a dict with keys 0, 1, 2, 3"),
    ([], "[]"),
    ([1, "a", None], "[1, 'a', None]"),
    ((1.0,), "(1.0,)"),
    ([1, 2, 3, 4, 5, 6], "[1, 2, 3, 4, ...]"),
    ([torch.zeros(1), 2], "a list of 2"),
    (([],), "a tuple of 1"),
    (X, "a Modality 'x'"),
    (Named(), "a Named 'digits'"),
    (object(), "an object"),
    (len, "a builtin_function_or_method"),
    (lambda: 0, "a function"),
    ({1, 2}, "a set"),
]


@pytest.mark.parametrize(("value", "said"), SHOWN, ids=[said for _, said in SHOWN])
def test_a_value_is_shown_briefly(value, said):
    assert shown(value) == said


def test_a_long_number_is_cut():
    assert len(shown(10**500)) <= 60


def test_a_data_set_is_shown_by_its_name():
    assert shown(data.load("digits")) == "a DataSet 'digits'"


def test_the_first_line_of_an_error_is_never_empty():
    assert first_line(ValueError("\none\ntwo")) == "one"
    assert first_line(AssertionError()) == "AssertionError"
