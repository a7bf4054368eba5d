"""Values of rows as data frames: names of columns, order of elements, types and labels."""

import numpy as np
import pandas
import pytest
import torch

from ppl_mm.evaluation import Embedding, Imputation
from ppl_mm.results.imputation import frame_of


def test_columns_are_named_by_modality_and_element():
    x = torch.arange(12).reshape(2, 3, 2)
    found = frame_of({"one number": torch.tensor([7.0, 8.0]), "x": x, "y": torch.zeros(2, 1)})
    assert list(found.columns) == ["one number", *(f"x[{i}]" for i in range(6)), "y"]
    assert found["one number"].tolist() == [7.0, 8.0]
    assert found.loc[1, [f"x[{i}]" for i in range(6)]].tolist() == [6, 7, 8, 9, 10, 11]
    assert list(found.index) == [0, 1]


def test_columns_and_rows_have_the_names_they_are_given():
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    found = frame_of({"x": x, "y": x}, {"x": ["age, years", "bmi"]}, index=["p1", "p2"])
    assert list(found.columns) == ["age, years", "bmi", "y[0]", "y[1]"]
    assert list(found.index) == ["p1", "p2"]
    assert found.loc["p2", "bmi"] == 4.0


@pytest.mark.parametrize("names", [["a"], ["a", "b", "c"]])
def test_another_number_of_names_than_elements_is_told(names):
    message = rf"^modality 'x': expected 2 names of columns, one an element, got {len(names)}\."
    with pytest.raises(ValueError, match=message):
        frame_of({"x": torch.zeros(3, 2)}, {"x": names})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.bool, np.uint8),
        (torch.uint8, np.uint8),
        (torch.int64, np.int64),
        (torch.float32, np.float32),
        (torch.float64, np.float64),
    ],
)
def test_numbers_keep_their_type_and_truth_values_are_0_and_1(given, expected):
    x = torch.tensor([0, 1, 1]).to(given)
    column = frame_of({"x": x})["x"]
    assert column.dtype == expected
    assert column.tolist() == [0, 1, 1]


def test_values_that_need_gradients_become_numbers():
    assert frame_of({"x": torch.ones(2, requires_grad=True)})["x"].tolist() == [1.0, 1.0]


def imputation():
    held = {"x": torch.tensor([[True, False], [False, True]]), "label": torch.tensor([True, False])}
    mean = {"x": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "label": torch.tensor([1, 0])}
    low, high = {"x": mean["x"] - 0.5}, {"x": mean["x"] + 0.25}
    return Imputation(held, mean, low, high, {}, 0.9)


def test_an_imputation_gives_each_of_its_three_tables():
    found = imputation()
    assert found.names == ("x", "label")
    frames = {what: found.to_frame(what) for what in ("mean", "low", "high")}
    assert frames["mean"].to_dict("list") == {"x[0]": [1, 3], "x[1]": [2, 4], "label": [1, 0]}
    assert frames["low"].to_dict("list") == {"x[0]": [0.5, 2.5], "x[1]": [1.5, 3.5]}
    assert frames["high"].to_dict("list") == {"x[0]": [1.25, 3.25], "x[1]": [2.25, 4.25]}
    pandas.testing.assert_frame_equal(found.to_frame(), frames["mean"])
    named = found.to_frame("high", {"x": ["a", "b"]}, index=[7, 9])
    assert named.to_dict("index") == {7: {"a": 1.25, "b": 2.25}, 9: {"a": 3.25, "b": 4.25}}


def test_an_embedding_has_all_means_before_all_scales():
    found = Embedding(
        mean={"u": torch.tensor([[1.0, 2.0]]), "w_top": torch.tensor([[3.0]])},
        scale={"u": torch.tensor([[0.1, 0.2]]), "w_top": torch.tensor([[0.3]])},
        given=("top",),
    )
    frame = found.to_frame(index=["row"])
    assert frame.to_dict("index") == {
        "row": {
            **{"u[0]": 1.0, "u[1]": 2.0, "w_top[0]": 3.0},
            **{"u[0] scale": 0.1, "u[1] scale": 0.2, "w_top[0] scale": 0.3},
        }
    }
    assert list(frame.columns)[2:4] == ["w_top[0]", "u[0] scale"]
    assert list(found.to_frame().index) == [0]
