"""Intervals against bounds, each put in by hand: which hold, which do so for certain, which not."""

import math

import pytest
import torch
from likelihoods_by_hand import result
from matplotlib.colors import to_hex

from ppl_mm import Observations
from ppl_mm.evaluation import Certificate, Sandwich
from ppl_mm.results.style import BLUE, ORANGE

Z = 1.959964


def certificate(rows):
    """From rows (value, below, above, lower, upper, error of lower, error of upper)."""
    value, below, above, lower, upper, *errors = (list(x) for x in zip(*rows, strict=True))
    bounds = Sandwich(
        (10,),
        *(torch.tensor([x]) for x in (lower, upper, *errors)),
        num_chains=5,
        target=("x", "y"),
        start="posterior",
        obs=Observations({"x": torch.zeros(len(rows), 1)}),
        latents={},
    )
    return Certificate(result(value, below, above), bounds)


HELD = (-1.0, 0.5, 0.5, -1.25, -0.75, 0.0, 0.0)
EDGE = (-1.0, 0.5, 0.5, -1.5, -1.5, 0.0, 0.0)
BEYOND = (-1.0, 0.5, 0.5, -1.75, -1.5, 0.0, 0.0)  # the middle lies outside, a bound at the end
APART = (-1.0, 0.5, 0.5, -2.0, -1.75, 0.0, 0.0)


def test_the_middle_and_the_error_of_an_estimate():
    found = certificate([(-1.0, 0.5, 0.5, -3.0, -2.0, 0.6, 0.8)])
    assert found.middle.tolist() == [-2.5]
    assert found.error.tolist() == [1.5]
    assert found.middle_error.tolist() == pytest.approx([0.5])


def test_an_interval_holds_the_middle_up_to_its_ends():
    found = certificate([HELD, EDGE, BEYOND, APART])
    assert found.holds.tolist() == [True, True, False, False]
    assert found.certain.tolist() == [True, True, False, False]
    assert found.contradicted.tolist() == [False, False, False, True]


def test_an_interval_that_touches_the_range_of_the_truth_is_not_contradicted():
    ends = [(-1.0, 0.5, 0.5, -0.5, 0.0, 0.0, 0.0), (-1.0, 0.5, 0.5, -2.0, -1.5, 0.0, 0.0)]
    beyond = (-1.0, 0.5, 0.5, -0.25, 0.0, 0.0, 0.0)
    assert certificate([*ends, beyond]).contradicted.tolist() == [False, False, True]


def test_each_side_is_judged_by_its_own_distance():
    high = (-1.0, 0.1, 2.0, 0.5, 0.5, 0.0, 0.0)
    low = (-1.0, 2.0, 0.1, -2.5, -2.5, 0.0, 0.0)
    wrong_side = (-1.0, 2.0, 0.1, 0.5, 0.5, 0.0, 0.0)
    found = certificate([high, low, wrong_side])
    assert found.holds.tolist() == [True, True, False]
    assert found.contradicted.tolist() == [False, False, True]
    below, above = found.sides
    assert below.tolist() == pytest.approx([0.1, 2.0, 2.0])
    assert above.tolist() == pytest.approx([2.0, 0.1, 0.1])


def test_the_error_of_the_middle_widens_the_sides_in_squares():
    error = 0.4 / Z * math.sqrt(2)  # of either bound, so that 1.96 errors of the middle are 0.4
    found = certificate([(-1.0, 0.3, 0.3, -1.49, -1.49, error, error),
                         (-1.0, 0.3, 0.3, -1.51, -1.51, error, error)])  # fmt: skip
    assert [side.tolist() for side in found.sides] == [pytest.approx([0.5, 0.5])] * 2
    assert found.holds.tolist() == [True, False]


def test_the_truth_is_between_the_bounds_and_two_errors_beyond_whichever_is_lower():
    crossed = (-1.0, 0.5, 0.5, -0.5, -1.5, 0.0, 0.0)  # by chance the lower one is higher
    found = certificate([(-1.0, 0.5, 0.5, -1.25, -1.0, 0.1, 0.25), crossed])
    lower, upper = found.range
    assert lower.tolist() == pytest.approx([-1.45, -1.5])
    assert upper.tolist() == pytest.approx([-0.5, -0.5])
    assert found.certain.tolist() == [True, True]
    wider = certificate([(-1.0, 0.5, 0.5, -1.25, -1.0, 0.2, 0.0),
                         (-1.0, 0.5, 0.5, -1.25, -1.0, 0.0, 0.3)])  # fmt: skip
    assert wider.certain.tolist() == [False, False]


@pytest.mark.parametrize(("rows", "expected"), [(1, (0, 1)), (20, (17, 20)), (100, (90, 99))])
def test_how_many_intervals_are_expected_to_hold(rows, expected):
    assert certificate([HELD] * rows).expected() == expected


def test_numbers_and_words():
    found = certificate([HELD, BEYOND, APART, APART])
    rows = {row["measure"]: row for row in found.numbers()}
    assert {name: row["value"] for name, row in rows.items()} == {
        "holds": 0.25,
        "certain": 0.25,
        "contradicted": 0.5,
        "error": pytest.approx((0 + 0.625 + 2 * 0.875) / 4),
        "gap": pytest.approx((0.5 + 3 * 0.25) / 4),
    }
    assert rows["holds"]["standard_error"] == 0.25
    assert {(row["observed"], row["target"]) for row in rows.values()} == {("nothing", "x, y")}
    error, gap = rows["error"], rows["gap"]
    assert str(found).splitlines() == [
        "log p(x, y): intervals hold in 1 of 4 simulated rows (3 to 4 expected)",
        "  certainly in 1, certainly not in 2; the exact bounds are "
        f"{gap['value']:.3f} ± {gap['standard_error']:.3f} nats apart",
        f"  the estimates are {error['value']:.3f} ± {error['standard_error']:.3f} nats from the "
        "middle of the bounds; Pareto k above 0.7 in 0 rows",
    ]


def test_the_picture_has_rows_in_the_order_of_their_errors():
    found = certificate([APART, HELD, BEYOND])
    (axes,) = found.figure().axes
    assert axes.get_title() == "log p(x, y): 1 of 3 hold"
    holds, not_ = axes.containers
    assert holds.lines[0].get_xydata().tolist() == [[0, 0.0]]
    assert not_.lines[0].get_xydata().tolist() == [[1, 0.625], [2, 0.875]]
    assert to_hex(holds.lines[0].get_color()) == BLUE.lower()
    assert to_hex(not_.lines[0].get_color()) == ORANGE.lower()
    ends = [s[:, 1].tolist() for s in not_.lines[2][0].get_segments()]
    assert ends == [[0.125, 1.125], [0.375, 1.375]]
    truth = [s[:, 1].tolist() for s in axes.collections[0].get_segments()]
    assert truth == [[-0.25, 0.25], [-0.125, 0.125], [-0.125, 0.125]]
    legend = [t.get_text() for t in axes.figure.legends[0].texts]
    assert set(legend) == {"truth", "interval holds", "interval does not hold"}
    (all_hold,) = certificate([HELD]).figure().axes
    assert "interval does not hold" not in [t.get_text() for t in all_hold.figure.legends[0].texts]
