"""Systems in pairs, by hand: differences with uneven intervals, the table and the picture."""

import math

import pytest
import torch
from likelihoods_by_hand import result
from rich.console import Console

from ppl_mm.evaluation import Difference, compare
from ppl_mm.results.style import BLUE, GREY

INF = math.inf
Z = 1.959964


def test_a_difference_takes_the_ends_of_the_second_the_other_way_round():
    first = result([-1.0, -2.0], [0.3, 0.0], [0.5, 0.0])
    second = result([-2.0, -2.5], [1.2, 0.1], [0.4, 0.2])
    found = Difference.of(first, second)
    assert found.value.tolist() == [1.0, 0.5]
    assert found.low.tolist() == pytest.approx([1.0 - 0.5, 0.5 - 0.2])  # hypot(0.3, 0.4)
    assert found.high.tolist() == pytest.approx([1.0 + 1.3, 0.5 + 0.1])  # hypot(0.5, 1.2)
    assert found.sum() == 1.5
    below = math.hypot(math.hypot(0.3, 0.0), math.hypot(0.4, 0.2)) / 2
    above = math.hypot(math.hypot(0.5, 0.0), math.hypot(1.2, 0.1)) / 2
    assert found.mcse() == pytest.approx(2 * (below + above) / (2 * Z))


def test_an_interval_that_ends_at_0_is_decided():
    first = result([0.0] * 4, 0.0)
    found = Difference.of(first, result([-1.0, -1.0, 1.0, 0.5], [1.0, 1.0, 0.0, 1.0],
                                        [1.0, 1.1, 1.0, 1.0]))  # fmt: skip
    assert found.low.tolist() == pytest.approx([0.0, -0.1, -2.0, -1.5])
    assert found.high.tolist() == pytest.approx([2.0, 2.0, -1.0, 0.5])
    assert found.undecided.tolist() == [False, True, False, True]


def test_the_error_of_a_sum_over_rows():
    found = Difference.of(result([0.0, 2.0, 4.0]), result([0.0, 0.0, 0.0]))
    assert found.dse() == pytest.approx(math.sqrt(3) * 2.0)
    assert found.mcse() == 0.0
    alone = Difference.of(result([-1.0]), result([-2.0]))
    assert math.isnan(alone.dse())


def test_a_sum_with_an_unknown_row_has_unknown_errors():
    found = Difference.of(result([-1.0, -INF], 0.1), result([-1.0, -INF], 0.1))
    assert math.isnan(found.value[1].item())
    assert (found.low[1].item(), found.high[1].item()) == (-INF, INF)
    assert found.mcse() == INF
    assert math.isnan(found.dse())


@pytest.fixture
def three():
    """The best in doubt, since one row of its ten is unreliable; the worst with one of forty."""
    base = torch.arange(40).double()
    return compare(
        {
            "worst": result((-3 - base).tolist(), 0.1, k=[0.9] + [0.1] * 39, given=("w",)),
            "best": result((-1 - base).tolist(), 0.1, k=[0.9] * 4 + [0.1] * 36, given=("w",)),
            "middle": result((-2 - base - base % 2).tolist(), 0.1, given=("w",)),
        }
    )


def test_systems_stand_from_best_to_worst_with_their_own_numbers(three):
    assert (three.best, three.quantity) == ("best", "log p(x, y | w)")
    frame = three.to_frame()
    assert list(frame.index) == ["best", "middle", "worst"]
    assert list(frame.columns) == [
        *("rank", "elpd", "se", "elpd_diff", "dse", "mcse", "undecided", "unreliable"),
    ]
    assert frame["rank"].tolist() == [0, 1, 2]
    assert frame["elpd"].tolist() == [-820.0, -880.0, -900.0]
    assert frame["elpd_diff"].tolist() == [0.0, 60.0, 80.0]
    deviation = torch.arange(40).double().std().item()
    assert frame["se"]["best"] == pytest.approx(math.sqrt(40) * deviation)
    half = (torch.arange(40) % 2).double().std().item()
    assert frame["dse"].tolist() == pytest.approx([0.0, math.sqrt(40) * half, 0.0])
    error = 0.1 * math.sqrt(2) * math.sqrt(40) / Z
    assert frame["mcse"].tolist() == pytest.approx([0.0, error, error])
    assert frame["undecided"].tolist() == [1.0, 0.0, 0.0]
    assert frame["unreliable"].tolist() == [0.1, 0.0, 0.025]
    assert [line["name"] for line in three.lines()] == list(frame.index)


def test_numbers_carry_the_error_of_each_sum(three):
    rows = [row for row in three.numbers() if row["system"] == "middle"]
    line = three.lines()[1]
    assert [row["measure"] for row in rows] == [
        *("elpd", "elpd_diff", "mcse", "undecided", "unreliable"),
    ]
    assert [row["value"] for row in rows] == [line[row["measure"]] for row in rows]
    assert [row["standard_error"] for row in rows[:2]] == [line["se"], line["dse"]]
    assert all(math.isnan(row["standard_error"]) for row in rows[2:])
    assert {(row["observed"], row["target"]) for row in rows} == {("w", "x, y")}


def columns(table):
    return {str(c.header): list(c.cells) for c in table.columns}


def test_the_table_has_no_difference_of_the_best_to_itself(three):
    table = three.table()
    assert table.title == "log p(x, y | w), sum over 40 rows, nats"
    found = columns(table)
    assert found[""] == ["best", "middle", "worst"]
    assert found["rank"] == ["0", "1", "2"]
    assert found["elpd"] == ["-820.00", "-880.00", "-900.00"]
    assert found["elpd_diff"] == ["", "60.00", "80.00"]
    assert [found[n][0] for n in ("dse", "mcse", "undecided")] == [""] * 3
    assert found["undecided"][1:] == ["0%", "0%"]
    assert found["k>0.7"] == ["10.0%", "0.0%", "2.5%"]
    assert [x[:1] for x in found["mcse"]] == ["", "≥", "≥"]  # the best is in doubt
    assert [row.style for row in table.rows] == ["bright_black", None, None]


def test_the_caption_names_the_systems_in_doubt(three):
    assert three.table().caption == (
        "elpd_diff: elpd of best less that of the line. dse: its standard error over rows. mcse: "
        "over draws. undecided: share of rows whose interval of the difference holds 0. ≥: the "
        "errors of rows with k > 0.7 are not all in it. In doubt, and grey: best (k > 0.7 in more "
        "than 5% of the rows); their elpd may be far off, mostly too low."
    )
    plain = compare({"a": result([-1.0]), "b": result([-2.0])})
    assert plain.table().caption.endswith("holds 0.")
    assert not columns(plain.table())["mcse"][1].startswith("≥")


def test_a_share_of_5_percent_is_not_in_doubt():
    k = [0.9] + [0.1] * 19
    found = compare({"a": result([-1.0] * 20, k=k), "b": result([-2.0] * 20, k=[0.9, *k[:-1]])})
    assert [row.style for row in found.table().rows] == [None, "bright_black"]
    assert found.unreliable("a") == 0.05


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-999.99, "-999.99"),
        (-1000.0, "-1000.0"),
        (-99999.9, "-99999.9"),
        (-100000.0, "-100000"),
        (-1234567.8, "-1234568"),
        (-INF, "-inf"),
    ],
)
def test_numbers_of_nats_have_eight_signs_at_most(value, text):
    found = compare({"a": result([0.0]), "b": result([value])})
    assert columns(found.table())["elpd"][1] == text


def test_names_of_systems_with_square_brackets_are_shown_whole():
    found = compare({"mvae [small]": result([-1.0, -1.5]), "mvae [/large]": result([-2.0, -3.0])})
    console = Console(width=100, record=True)
    console.print(found)
    for text in (str(found), console.export_text()):
        assert "mvae [small]" in text
        assert "mvae [/large]" in text


def test_the_picture_shows_means_a_row_and_differences_to_the_best(three):
    left, right = three.figure().axes
    assert left.get_xlabel() == "log p(x, y | w), nats a row"
    assert right.get_xlabel() == "less that of best, nats a row"
    assert left.get_ylim() == (2.5, -0.5)  # the best at the top
    middles = [c.lines[0].get_xydata().tolist()[0] for c in left.containers]
    assert middles == [[-20.5, 0], [-22.0, 1], [-22.5, 2]]
    lines = three.lines()

    def half(container):
        (segment,) = container.lines[2][0].get_segments()
        return (segment[1, 0] - segment[0, 0]) / 2

    assert [half(c) for c in left.containers] == pytest.approx([x["se"] / 40 for x in lines])
    thin, thick = right.containers[::2], right.containers[1::2]
    places = [c.lines[0].get_xdata()[0] for c in thin]
    assert places == pytest.approx([0.0, -1.5, -2.0])
    assert [half(c) for c in thin] == pytest.approx([x["dse"] / 40 for x in lines])
    assert [half(c) for c in thick] == pytest.approx([x["mcse"] / 40 for x in lines])
    assert [c.lines[0].get_color() for c in left.containers] == [GREY, BLUE, BLUE]
    note = "grey: Pareto k above 0.7 in more than 5% of the rows"
    assert three.figure().get_supxlabel() == note
    plain = compare({"a": result([-1.0, -2.0]), "b": result([-2.0, -4.0])})
    assert plain.figure().get_supxlabel() == ""
