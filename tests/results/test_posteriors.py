"""Ranks and draws of posteriors by hand: bins, moments, tables and pictures."""

import math

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from ppl_mm import plotting
from ppl_mm.evaluation import PosteriorCheck, PosteriorRanks
from ppl_mm.results.style import BLUE, ORANGE


def ranked(ranks, num_draws, draws="guide", given=("a",)):
    names = tuple(f"z[{d}]" for d in range(ranks.shape[1]))
    return PosteriorRanks(ranks, num_draws, names, given, draws)


def cells(table):
    return [list(column.cells) for column in table.columns]


@pytest.mark.parametrize(
    ("rows", "num_draws", "bins"),
    [(1000, 99, 20), (1000, 999, 20), (99, 99, 10), (1000, 10, 11), (1000, 22, 1), (4, 9, 1)],
)
def test_bins_are_a_divisor_of_the_ranks_with_five_rows_in_each(rows, num_draws, bins):
    found = ranked(torch.zeros(rows, 1).long(), num_draws)
    assert found.num_bins == bins
    assert found.counts().tolist() == [[rows, *[0] * (bins - 1)]]


def test_the_last_rank_is_in_the_last_bin():
    found = ranked(torch.tensor([[0], [3], [4], [9]] * 5), 9)
    assert found.num_bins == 2
    assert found.counts().tolist() == [[15, 5]]


def test_width_and_shift_by_hand():
    low, high = torch.zeros(6, 1).long(), torch.full((6, 1), 4)
    found = ranked(torch.cat([low, high, torch.cat([low[:3], high[:3]])], 1), 4)
    assert found.shift().tolist() == [-0.5, 0.5, 0.0]
    # shares 0.1 and 0.9; the variance of five equal ranks is (1 - 1 / 25) / 12
    assert found.width().tolist() == pytest.approx([12 * 0.16 / (24 / 25)] * 3)


def test_all_coordinates_together_are_judged_by_the_smallest_p_value():
    uniform = torch.arange(10).repeat(10)
    found = ranked(torch.stack([uniform, uniform, (uniform + 1) // 2 * 2 % 10], 1), 9)
    p = found.p_values().tolist()
    assert p[:2] == [1.0, 1.0]
    assert found.p_value() == pytest.approx(min(1.0, 3 * p[2]))


def test_the_table_of_ranks():
    uniform = torch.arange(10).repeat(10)
    fine = ranked(uniform[:, None], 9, given=()).table()
    assert fine.title == "guide draws of p(z | nothing), ranks of the truth in 100 rows"
    assert fine.caption == (
        "all together: p = 1, as if uniform. width: above 1 too narrow. shift: above 0 too small."
    )
    assert cells(fine) == [["z[0]"], ["1"], ["1.00"], ["+0.000"]]
    wrong = ranked(torch.zeros(100, 1).long(), 9, "refined", ("a", "b")).table()
    assert wrong.title == "refined draws of p(z | a, b), ranks of the truth in 100 rows"
    p = ranked(torch.zeros(100, 1).long(), 9, "refined").p_value()
    assert wrong.caption == (
        f"all together: p = {p:.2g}, not uniform: these are not draws of the posterior. width: "
        "above 1 too narrow. shift: above 0 too small."
    )
    assert cells(wrong)[2:] == [["2.45"], ["-0.500"]]


def test_the_picture_of_ranks():
    uniform = torch.arange(10).repeat(10)
    found = ranked(torch.stack([uniform, torch.zeros(100).long()], 1), 9)
    figure = plotting.rank_curves(found)
    left, right = figure.axes
    assert figure.get_suptitle().startswith("guide draws: p = ")
    assert [bar.get_height() for bar in left.patches] == [55.0, *[5.0] * 9]
    assert left.patches[3].get_x() == pytest.approx(0.3)
    assert left.patches[0].get_width() == pytest.approx(0.1)
    assert list(left.lines[0].get_ydata()) == [10.0, 10.0]
    (band,) = right.patches
    edges = band.get_extents().transformed(right.transData.inverted())
    half = math.sqrt(math.log(40) / 200)
    assert (edges.y0, edges.y1) == pytest.approx((-half, half))
    fine, off = right.lines
    assert [to_hex(line.get_color()) for line in (fine, off)] == [BLUE.lower(), ORANGE.lower()]
    n = (torch.arange(100) + 0.5) / 100
    np.testing.assert_allclose(off.get_xdata(), 0.05)
    np.testing.assert_allclose(off.get_ydata(), n - 0.05)
    np.testing.assert_allclose(fine.get_ydata(), n - (uniform.sort().values + 0.5) / 10)
    (label,) = right.get_legend().get_texts()
    assert label.get_text().startswith("z[1] (p = ")
    assert left.get_xlabel() == right.get_xlabel() == "rank / draws"
    assert left.get_ylabel() == "rows, mean over coordinates"
    assert right.get_ylabel() == "share of rows below, less rank"


def test_numbers_of_ranks_are_by_coordinate():
    found = ranked(torch.tensor([[0, 4]] * 6), 4, given=("a", "b"))
    rows = [(row["measure"], row["target"], row["value"]) for row in found.numbers()]
    assert [row[:2] for row in rows] == [
        (measure, name) for measure in ("p-value", "width", "shift") for name in ("z[0]", "z[1]")
    ]
    assert [row[2] for row in rows[4:]] == [-0.5, 0.5]
    assert {row["observed"] for row in found.numbers()} == {"a + b"}


def test_a_legend_is_left_out_where_none_or_many_stand_out():
    uniform = torch.arange(10).repeat(10)[:, None]
    assert plotting.rank_curves(ranked(uniform, 9)).axes[1].get_legend() is None
    many = ranked(torch.zeros(100, 5).long(), 9)
    assert plotting.rank_curves(many).axes[1].get_legend() is None
    four = ranked(torch.zeros(100, 4).long(), 9)
    assert len(plotting.rank_curves(four).axes[1].get_legend().get_texts()) == 4


CHAINS = torch.tensor([[0.0, 2.0], [4.0, 6.0]]).reshape(2, 2, 1, 1)  # two chains of two draws
DRAWN = torch.tensor([1.0, 3.0, 8.0]).reshape(3, 1, 1)


def checked(rows=1, size=1):
    exact = {"z": CHAINS.expand(2, 2, rows, size), "w": CHAINS.expand(2, 2, rows, size)}
    return PosteriorCheck(exact, {"z": DRAWN.expand(3, rows, size)}, ("a", "b"))


def test_shift_and_ratio_are_in_the_deviations_of_all_chains_together():
    found = checked()
    deviation = math.sqrt(20 / 3)  # of 0, 2, 4 and 6 around 3
    assert found.shift("z").item() == pytest.approx(1 / deviation)
    ratio = math.sqrt(13) / deviation  # of 1, 3 and 8 around 4
    assert found.ratio("z").item() == pytest.approx(ratio)
    assert found.distance("z").item() == pytest.approx(math.hypot(1 / deviation, 1 - ratio))


def test_numbers_are_of_the_sites_of_the_guide_by_row():
    torch.manual_seed(0)
    noise = torch.randn(2, 20, 2, 2)
    guide = torch.randn(30, 2, 2) - torch.tensor([3.0, -3.0])
    found = PosteriorCheck({"z": noise, "w": noise}, {"z": guide}, ())
    rows = list(found.numbers())
    assert {row["target"] for row in rows} == {"z"}
    values = {}
    for row in rows:
        values.setdefault(row["measure"], []).append(row["value"])
        assert row["observed"] == "nothing"
    assert [row["row"] for row in rows] == [0, 1] * 5
    expected = {
        "shift": found.shift("z").abs().mean(1),  # of opposite signs
        "ratio of deviations": found.ratio("z").mean(1),
        "distance": found.distance("z").mean(1),
        "R-hat": found.r_hat("z").amax(1),
        "effective sample size": found.ess("z").amin(1),
    }
    assert values == {name: x.tolist() for name, x in expected.items()}
    assert min(values["shift"]) > 1
    assert (
        found.table().title == "q(z | nothing) against NUTS, in standard deviations of the latter"
    )
    assert [str(c.header) for c in found.table().columns] == [
        *("site", "row", "|shift|", "ratio of sd", "distance", "R-hat", "ESS"),
    ]
    lines = cells(found.table())
    assert lines[:2] == [["z", "z"], ["0", "1"]]
    assert lines[2] == [f"{x:.3g}" for x in values["shift"]]
    assert lines[6] == [f"{x:.3g}" for x in values["effective sample size"]]


def test_draws_go_to_arviz_by_chain_draw_row_and_coordinate():
    data = checked(rows=3, size=2).to_arviz()
    assert data["posterior"]["z"].sizes == {"chain": 2, "draw": 2, "row": 3, "z_dim": 2}
    assert data["posterior"]["w"].dims == ("chain", "draw", "row", "w_dim")
    assert data["guide"]["z"].sizes == {"chain": 1, "draw": 3, "row": 3, "z_dim": 2}
    assert data["posterior"]["z"].values[1, 0].tolist() == [[4.0, 4.0]] * 3
    assert data["posterior"]["row"].values.tolist() == [0, 1, 2]


def test_the_picture_has_six_rows_and_twelve_coordinates_at_most():
    figure = plotting.posterior_intervals(checked(rows=7, size=13))
    assert [axes.get_title() for axes in figure.axes] == [f"row {i}" for i in range(6)]
    axes = figure.axes[0]
    assert axes.get_ylabel() == "z"
    exact, guide = axes.containers
    assert (exact.get_label(), guide.get_label()) == ("NUTS", "guide")
    assert exact.lines[0].get_xdata().tolist() == pytest.approx([i - 0.15 for i in range(12)])
    assert guide.lines[0].get_xdata().tolist() == pytest.approx([i + 0.15 for i in range(12)])
    assert set(exact.lines[0].get_ydata()) == {3.0}
    low, high = exact.lines[2][0].get_segments()[0][:, 1]
    assert (low, high) == pytest.approx((3 - 2 * math.sqrt(20 / 3), 3 + 2 * math.sqrt(20 / 3)))
    assert [t.get_text() for t in axes.get_legend().texts] == ["NUTS", "guide"]
    assert figure.axes[5].get_xlabel() == "coordinate"
