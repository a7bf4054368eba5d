"""One number, the list of them as a table, and their picture: exact words and places."""

import math
from dataclasses import dataclass

import pytest
import torch
from matplotlib.figure import Figure

from ppl_mm import plotting
from ppl_mm.evaluation import Estimate, Result
from ppl_mm.results.result import in_words, number


@dataclass(frozen=True)
class Listed(Result):
    """A result that is a list of numbers."""

    rows: tuple[dict, ...]

    def numbers(self):
        yield from self.rows


def cells(table):
    return [list(column.cells) for column in table.columns]


def headers(table):
    return [column.header for column in table.columns]


def test_a_number_says_what_it_is_of():
    assert number("ECE", Estimate(0.5, 0.25), ("a", "b"), "label", count=3) == {
        "measure": "ECE",
        "observed": "a + b",
        "target": "label",
        "value": 0.5,
        "standard_error": 0.25,
        "count": 3,
    }


def test_what_was_given_is_nothing_or_no_part_of_the_question():
    assert number("m", 1)["observed"] == ""
    assert number("m", 1, [])["observed"] == "nothing"
    assert in_words(()) == "nothing"
    assert in_words(("left eye", "top")) == "left eye + top"


@pytest.mark.parametrize("value", [2, True, torch.tensor(2.0)])
def test_a_value_is_a_float_whatever_it_came_as(value):
    found = number("m", value)
    assert type(found["value"]) is float
    assert found["value"] == float(value)
    assert math.isnan(found["standard_error"])


def test_an_estimate_of_rows_by_hand():
    found = Estimate.of(torch.tensor([1, 2, 6]))
    assert found.to_list() == pytest.approx([3.0, math.sqrt(7 / 3)])
    share = Estimate.of(torch.tensor([True, False, False, True]))
    assert share.to_list() == pytest.approx([0.5, math.sqrt(1 / 3) / 2])
    assert str(Estimate(-0.12345, 0.0005)) == "-0.123 ± 0.001"
    assert list(Estimate(2.0, 0.5).numbers()) == [number("mean", Estimate(2.0, 0.5))]


def test_an_estimate_of_one_row_has_no_error():
    found = Estimate.of(torch.tensor([7.0]))
    assert found.value == 7.0
    assert math.isnan(found.standard_error)


def test_an_estimate_of_single_precision_is_summed_in_double():
    rows = torch.tensor([1.0, 1.0 + 2**-20]).float()
    assert Estimate.of(rows).value == 1.0 + 2**-21
    assert Estimate.of(rows).standard_error == pytest.approx(2**-21)


def test_a_table_has_the_columns_that_say_something():
    rows = (
        number("a", 0.000123456, target="x", rows=4),
        number("b", 12345.6, target=""),
        number("c", math.nan, target="z", rows=5),
    )
    table = Listed(rows).table()
    assert headers(table) == ["measure", "target", "value", "rows"]
    assert cells(table) == [
        ["a", "b", "c"],
        ["x", "", "z"],
        ["0.0001235", "1.235e+04", ""],
        ["4", "", "5"],
    ]


def test_headings_are_words_and_errors_are_shown_where_they_are_known():
    rows = (number("a", Estimate(1.0, 0.5)), number("b", 2.0, share_of_rows=0.25))
    table = Listed(rows).table()
    assert headers(table) == ["measure", "value", "standard error", "share of rows"]
    assert cells(table)[2] == ["0.5", ""]
    assert cells(table)[3] == ["", "0.25"]


def test_names_with_square_brackets_are_printed_as_they_are():
    text = str(Listed((number("a", 1.0, ("x",), "site [new]"),)))
    assert "site [new]" in text


def test_a_printed_table_has_at_most_100_columns():
    rows = tuple(number("m" * 60, i, ("x" * 60,), "y" * 60) for i in range(3))
    lines = str(Listed(rows)).splitlines()
    assert max(map(len, lines)) == 100
    assert not lines[-1].endswith("\n")


def points(axes):
    (found,) = axes.containers
    return found.lines[0].get_xydata().tolist()


def test_the_picture_has_a_panel_for_each_measure_and_a_line_for_each_number():
    rows = (
        number("one", Estimate(1.0, 0.5), ("x",), "y"),
        number("two", 3.0, (), target="y", epsilon=0.5, row=2),
        number("one", Estimate(2.0, 0.25), None, "y"),
        number("two", 4.0),
    )
    figure = plotting.estimates(Listed(rows))
    one, two = figure.axes
    assert (one.get_title(), two.get_title()) == ("one", "two")
    assert points(one) == [[1.0, 0.0], [2.0, 1.0]]
    assert points(two) == [[3.0, 0.0], [4.0, 1.0]]
    assert one.get_ylim() == (1.5, -0.5)  # the first number at the top
    ends = one.containers[0].lines[2][0].get_segments()
    assert [segment[:, 0].tolist() for segment in ends] == [[0.5, 1.5], [1.75, 2.25]]
    told = [[label.get_text() for label in axes.get_yticklabels()] for axes in (one, two)]
    assert told == [["x → y", "y"], ["nothing → y, epsilon 0.5, row 2", ""]]


def test_what_tells_numbers_apart_stands_alone_where_nothing_was_given():
    figure = plotting.estimates(Listed((number("m", 1.0, epsilon=0.1, row=3),)))
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["epsilon 0.1, row 3"]


def test_longer_panels_are_higher_in_their_share():
    rows = tuple(number("m", i) for i in range(6)) + tuple(number("n", i) for i in range(2))
    figure = plotting.estimates(Listed(rows))
    specification = figure.axes[0].get_subplotspec().get_gridspec()
    assert list(specification.get_height_ratios()) == [6, 2]
    assert figure.get_size_inches().tolist() == pytest.approx([5.6, 0.24 * 8 + 0.9 * 2])


def test_plot_writes_a_file_only_where_it_is_given_a_path(tmp_path, few_pixels):
    found = Estimate(0.75, 0.25)
    assert isinstance(found.plot(), Figure)
    assert list(tmp_path.iterdir()) == []
    for path in (tmp_path / "new" / "a.png", str(tmp_path / "b.png")):
        found.plot(path)
    assert (tmp_path / "new" / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "b.png").read_bytes()[:4] == b"\x89PNG"
