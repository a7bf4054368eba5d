"""Bounds put in by hand: their means, errors, tables and curves."""

import math
from dataclasses import replace

import pytest
import torch
from matplotlib.colors import to_hex

from ppl_mm import Observations, plotting
from ppl_mm.evaluation import Estimate, Sandwich, UpperBounds
from ppl_mm.results.style import BLUE, ORANGE

LOWER = torch.tensor([[-5.0, -3.0], [-4.0, -2.5]])
UPPER = torch.tensor([[-1.0, -1.0], [-3.5, -2.0]])
SIMULATED = Sandwich(
    num_temperatures=(10, 100),
    lower=LOWER,
    upper=UPPER,
    lower_error=torch.tensor([[0.3, 0.4], [0.0, 0.1]]),
    upper_error=torch.tensor([[0.6, 0.8], [0.2, 0.0]]),
    num_chains=5,
    target=("x", "left_eye"),
    start="posterior",
    obs=Observations({"x": torch.zeros(2, 1)}),
    latents={"z": torch.zeros(2, 1)},
)
REAL = UpperBounds(
    num_temperatures=(10, 100),
    lower=torch.tensor([[-9.0, -7.0, -8.0], [-6.0, -6.0, -6.0]]),
    upper=torch.tensor([[-3.0, -4.0, -5.0], [-5.0, -5.5, -6.0]]),
    lower_error=torch.zeros(2, 3),
    upper_error=torch.zeros(2, 3),
    simulated=SIMULATED,
    simulated_upper=torch.tensor([[-2.0, -0.5], [-4.0, -2.0]]),
)


def cells(table):
    return [list(column.cells) for column in table.columns]


def test_gaps_and_bias_are_upper_less_lower_and_approximate_less_exact():
    assert SIMULATED.gap.tolist() == [[4.0, 2.0], [0.5, 0.5]]
    assert REAL.gap.tolist() == [[6.0, 3.0, 3.0], [1.0, 0.5, 0.0]]
    assert REAL.bias.tolist() == [[-1.0, 0.5], [-0.5, 0.0]]


def test_errors_of_independent_rows_average_in_squares():
    assert SIMULATED.monte_carlo_error("lower").tolist() == pytest.approx([0.25, 0.05])
    assert SIMULATED.monte_carlo_error("upper").tolist() == pytest.approx([0.5, 0.1])


def test_a_sandwich_prints_a_line_for_each_number_of_temperatures():
    table = SIMULATED.table()
    assert table.title == "log p(x, left_eye) of 2 simulated rows, nats a row"
    assert [column.header for column in table.columns] == [
        *("temperatures", "lower bound", "chains", "upper bound", "chains", "gap"),
    ]
    assert cells(table) == [
        ["10", "100"],
        ["-4.000 ± 1.000", "-3.250 ± 0.750"],
        ["0.250", "0.050"],
        ["-1.000 ± 0.000", "-2.750 ± 0.750"],
        ["0.500", "0.100"],
        ["3.000 ± 1.000", "0.500 ± 0.000"],
    ]


def test_numbers_of_a_sandwich():
    rows = [row for row in SIMULATED.numbers() if row["temperatures"] == 100]
    assert [(row["measure"], row["value"]) for row in rows] == [
        ("lower bound", -3.25),
        ("upper bound", -2.75),
        ("gap", 0.5),
        ("Monte Carlo error of the lower bound", pytest.approx(0.05)),
        ("Monte Carlo error of the upper bound", pytest.approx(0.1)),
    ]
    assert [row["standard_error"] for row in rows[:3]] == pytest.approx([0.75, 0.75, 0.0])
    assert all(math.isnan(row["standard_error"]) for row in rows[3:])
    assert [row["temperatures"] for row in SIMULATED.numbers()] == [10] * 5 + [100] * 5


def test_curves_of_a_sandwich_have_half_of_two_errors_of_the_gap_on_either_side():
    (axes,) = SIMULATED.figure().axes
    assert axes.get_title() == SIMULATED.quantity == "log p(x, left_eye)"
    assert (axes.get_xscale(), axes.get_xlabel()) == ("log", "temperatures")
    assert axes.get_ylabel() == "log-likelihood, nats a row"
    lower, upper = axes.containers
    assert lower.lines[0].get_xydata().tolist() == [[10, -4.0], [100, -3.25]]
    assert upper.lines[0].get_xydata().tolist() == [[10, -1.0], [100, -2.75]]
    for bars, means in ((lower, [-4.0, -3.25]), (upper, [-1.0, -2.75])):
        ends = [segment[:, 1].tolist() for segment in bars.lines[2][0].get_segments()]
        first, second = means
        assert ends == [[first - 1.0, first + 1.0], [second, second]]
    assert [to_hex(b.lines[0].get_color()) for b in (lower, upper)] == [
        BLUE.lower(),
        ORANGE.lower(),
    ]
    assert [t.get_text() for t in axes.get_legend().texts] == ["lower", "upper"]


def test_no_curves_are_told():
    with pytest.raises(ValueError, match=r"^sandwich_curves: expected at least one result, got "):
        plotting.sandwich_curves({})


MEANS = {  # measure -> value and error at 10 temperatures, then at 100
    "lower bound": [(-8.0, 1 / math.sqrt(3)), (-6.0, 0.0)],
    "approximate upper bound": [(-4.0, 1 / math.sqrt(3)), (-5.5, 0.5 / math.sqrt(3))],
    "gap": [(4.0, 1.0), (0.5, 0.5 / math.sqrt(3))],
    "gap of simulated rows": [(3.0, 1.0), (0.5, 0.0)],
    "approximate less exact upper bound of simulated rows": [(-0.25, 0.75), (-0.25, 0.25)],
}


def test_upper_bounds_print_real_rows_beside_simulated_ones():
    table = REAL.table()
    assert table.title == "log p(x, left_eye) of 3 rows, and of 2 simulated ones, nats a row"
    assert [column.header for column in table.columns] == ["temperatures", "10", "100"]
    names, *columns = cells(table)
    assert names == list(MEANS)
    for s, column in enumerate(columns):
        assert column == [str(Estimate(*found[s])) for found in MEANS.values()]


def test_numbers_of_upper_bounds():
    rows = list(REAL.numbers())
    assert [row["temperatures"] for row in rows] == [10] * 5 + [100] * 5
    for s in range(2):
        for row, (name, expected) in zip(rows[5 * s :], MEANS.items(), strict=False):
            assert row["measure"] == name
            assert (row["value"], row["standard_error"]) == pytest.approx(expected[s])


def test_curves_of_upper_bounds_have_approximate_ones_dashed():
    left, right = REAL.figure().axes
    assert (left.get_title(), right.get_title()) == ("3 rows", "2 simulated rows")
    assert left.get_ylabel() == "log p(x, left_eye), nats a row"

    def drawn(axes):
        return [
            (b.get_label(), b.lines[0].get_linestyle(), b.lines[0].get_ydata().tolist())
            for b in axes.containers
        ]

    assert drawn(left) == [
        ("lower", "-", pytest.approx([-8.0, -6.0])),
        ("approximate upper", "--", pytest.approx([-4.0, -5.5])),
    ]
    assert drawn(right) == [
        ("lower", "-", [-4.0, -3.25]),
        ("upper", "-", [-1.0, -2.75]),
        ("approximate upper", "--", [-1.25, -3.0]),
    ]
    gap = left.containers[1].lines[2][0].get_segments()
    assert [s[1, 1] - s[0, 1] for s in gap] == pytest.approx([2.0, 1 / math.sqrt(3)])
    assert [t.get_text() for t in left.get_xticklabels()] == ["10", "100"]
    assert left.get_xlabel() == right.get_xlabel() == "temperatures"
    names = [t.get_text() for t in right.get_legend().texts]
    assert names == ["lower", "upper", "approximate upper"]


def test_bounds_of_one_row_by_one_chain_have_no_errors():
    one = replace(
        SIMULATED,
        **{n: getattr(SIMULATED, n)[:1, :1] for n in ("lower", "upper")},
        lower_error=torch.full((1, 1), math.nan),
        upper_error=torch.full((1, 1), math.nan),
        num_temperatures=(10,),
    )
    assert cells(one.table())[1:3] == [["-5.000 ± nan"], ["nan"]]
    assert len(one.figure().axes) == 1
