"""Numbers by subset and target: what is averaged, what is in brackets, and what is left out."""

import math

import pytest
import torch

from ppl_mm.evaluation import Coherence, Estimate, MutualInformation

SUBSETS = (("a",), ("b", "left eye"), ())
TARGETS = ("b", "a")
ROWS = torch.arange(3 * 2 * 4).reshape(3, 2, 4).double()
"""Subset s, target t and row n have the number 8 s + 4 t + n."""


@pytest.fixture
def found():
    return MutualInformation(SUBSETS, TARGETS, ROWS)


def cells(table):
    return [list(column.cells) for column in table.columns]


def test_a_cell_is_the_mean_over_rows_of_its_own_subset_and_target(found):
    error = math.sqrt(5 / 3) / 2  # of n = 0, 1, 2, 3
    expected = {
        (("a",), "b"): 1.5,
        (("a",), "a"): 5.5,
        (("b", "left eye"), "b"): 9.5,
        (("b", "left eye"), "a"): 13.5,
        ((), "b"): 17.5,
        ((), "a"): 21.5,
    }
    for (given, target), value in expected.items():
        assert found.cell(given, target).to_list() == pytest.approx([value, error])
    assert found.cell(["a"], "b") == found.cell(("a",), "b")
    alone = MutualInformation((("left eye",),), ("b",), ROWS[:1, :1])
    assert alone.cell("left eye", "b") == found.cell("a", "b")


def test_means_of_a_target_leave_out_the_subsets_that_hold_it(found):
    means = found.per_target()
    assert list(means) == ["b", "a"]
    error = math.sqrt(5 / 3) / 2  # rows first: the cells of one row share its input
    assert means["b"].to_list() == pytest.approx([(1.5 + 17.5) / 2, error])
    assert means["a"].to_list() == pytest.approx([(13.5 + 21.5) / 2, error])


def test_the_error_of_a_mean_is_that_of_rows_whose_cells_are_averaged_first():
    opposite = torch.stack([torch.arange(4.0), 3.0 - torch.arange(4.0)])[:, None]
    found = MutualInformation(((), ("c",)), ("a",), opposite)
    assert found.per_target()["a"] == Estimate(1.5, 0.0)
    assert found.cell((), "a").standard_error > 0


def test_numbers_are_the_cells_by_subset_and_then_the_means(found):
    rows = list(found.numbers())
    names = [(row["measure"], row["observed"], row["target"]) for row in rows]
    assert names == [
        ("mutual information", "a", "b"),
        ("mutual information", "a", "a"),
        ("mutual information", "b + left eye", "b"),
        ("mutual information", "b + left eye", "a"),
        ("mutual information", "nothing", "b"),
        ("mutual information", "nothing", "a"),
        ("mean mutual information", "", "b"),
        ("mean mutual information", "", "a"),
    ]
    assert [row["value"] for row in rows] == [1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 9.5, 17.5]


def test_the_table_has_brackets_around_targets_that_were_given(found):
    table = found.table()
    assert table.title == "mutual information (nats)"
    assert [column.header for column in table.columns] == ["given", "b", "a"]
    assert cells(table) == [
        ["a", "b + left eye", "nothing", "mean"],
        ["1.500 ± 0.645", "(9.500 ± 0.645)", "17.500 ± 0.645", "9.500 ± 0.645"],
        ["(5.500 ± 0.645)", "13.500 ± 0.645", "21.500 ± 0.645", "17.500 ± 0.645"],
    ]
    assert table.caption == "means are without targets in brackets, which were given"


def test_no_caption_speaks_of_brackets_that_are_not_there():
    table = MutualInformation((("c",), ()), ("a",), ROWS[:2, :1]).table()
    assert table.caption is None
    assert cells(table)[1] == ["1.500 ± 0.645", "9.500 ± 0.645", "5.500 ± 0.645"]


def test_a_target_that_was_always_given_has_no_mean():
    found = MutualInformation((("a",), ("a", "b")), ("a", "b"), ROWS[:2])
    assert list(found.per_target()) == ["b"]
    assert cells(found.table())[1] == ["(1.500 ± 0.645)", "(9.500 ± 0.645)", ""]
    assert [n["target"] for n in found.numbers() if n["measure"].startswith("mean ")] == ["b"]
    assert list(found.to_dict()["per target"]) == ["b"]
    alone = MutualInformation((("a",),), ("a",), ROWS[:1, :1])
    assert alone.table().caption is None
    assert alone.per_target() == {}


def test_json_has_every_cell_in_the_order_of_the_matrix(found):
    told = found.to_dict()
    assert told["given"] == [["a"], ["b", "left eye"], []]
    assert told["targets"] == ["b", "a"]
    values = [[cell[0] for cell in line] for line in told["cells"]]
    assert values == [[1.5, 5.5], [9.5, 13.5], [17.5, 21.5]]
    assert {target: cell[0] for target, cell in told["per target"].items()} == {"b": 9.5, "a": 17.5}


def test_one_row_has_a_mean_and_no_error():
    found = MutualInformation((("b",),), ("a",), torch.tensor([[[2.0]]]))
    assert found.cell("b", "a").value == 2.0
    assert math.isnan(found.cell("b", "a").standard_error)
    assert cells(found.table())[1] == ["2.000 ± nan", "2.000 ± nan"]


def test_a_subset_or_target_that_was_not_measured_is_an_error(found):
    for given, target in ((("left eye", "b"), "a"), ("a", "c")):
        with pytest.raises(ValueError, match="not in tuple"):
            found.cell(given, target)


HITS = torch.tensor(
    [
        [[1, 1, 0, 0], [1, 0, 0, 0]],  # given c: a in half of the rows, b in a quarter
        [[1, 1, 1, 1], [0, 0, 0, 0]],  # given a
        [[0, 1, 1, 1], [1, 1, 1, 1]],  # given b and c
    ]
).bool()


def test_coherence_by_size_averages_targets_of_subsets_without_them():
    found = Coherence((("c",), ("a",), ("b", "c")), ("a", "b"), HITS)
    by_size = {size: e.value for size, e in found.by_size().items()}
    assert by_size == {1: pytest.approx((1 / 2 + (1 / 4 + 0) / 2) / 2), 2: 0.75}
    assert found.mean().value == pytest.approx(((1 / 2 + 3 / 4) / 2 + (1 / 4 + 0) / 2) / 2)
    told = found.to_dict()
    assert list(told["by size"]) == ["1", "2"]
    assert told["mean"] == found.mean().to_list()
    assert found.table().caption == (
        f"mean {found.mean()}; means are without targets in brackets, which were given"
    )


def test_coherence_of_targets_that_were_all_given_has_no_mean():
    found = Coherence((("a",),), ("a",), HITS[:1, :1])
    assert found.by_size() == {}
    assert found.to_dict()["mean"] is None
    assert found.table().caption is None
