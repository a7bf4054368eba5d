"""Collapse, calibration and relatedness by hand: what their own tests of measures leave open."""

import math

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from ppl_mm import plotting
from ppl_mm.evaluation import Calibration, Collapse, Relatedness
from ppl_mm.results.style import BLUE, COLOURS


def collapse(*thresholds, delta=0.01):
    epsilons = torch.tensor([0.0, 0.5, 1.0])
    return Collapse("KL( q || p )", torch.tensor(thresholds), delta, epsilons)


def test_a_coordinate_is_collapsed_from_its_own_threshold_on():
    found = collapse(0.0, 0.5, 0.75, 2.0)
    assert found.fractions.tolist() == [0.25, 0.5, 0.75]
    assert [found.at(e) for e in (-0.1, 0.5, 0.7499, 2.0)] == [0.0, 0.5, 0.5, 1.0]
    rows = list(found.numbers())
    assert [(row["epsilon"], row["value"]) for row in rows] == [(0.0, 0.25), (0.5, 0.5), (1, 0.75)]
    assert {row["measure"] for row in rows} == {"collapsed share of KL( q || p )"}
    assert found.to_dict() == {
        "quantity": "KL( q || p )",
        "delta": 0.01,
        "epsilons": [0.0, 0.5, 1.0],
        "fractions": [0.25, 0.5, 0.75],
        "thresholds": [0.0, 0.5, 0.75, 2.0],
    }


def test_a_curve_of_collapse_names_its_quantity_and_delta():
    figure = collapse(0.5, 2.0, delta=0.25).figure()
    (axes,) = figure.axes
    assert axes.get_title() == "KL( q || p )"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epsilon", "collapsed coordinates, %")
    assert [t.get_text() for t in figure.legends[0].texts] == ["delta 0.25"]
    assert axes.lines[0].get_ydata().tolist() == [0.0, 50.0, 50.0]


def test_seven_curves_are_solid_and_the_next_seven_dashed():
    curves = {f"s{i}": collapse(0.1 * i) for i in range(15)}
    (axes,) = plotting.collapse_curves({"one": curves}).axes
    assert [line.get_color() for line in axes.lines] == [COLOURS[i % 7] for i in range(15)]
    assert [line.get_linestyle() for line in axes.lines] == ["-"] * 7 + ["--"] * 7 + ["-."]


def test_a_system_that_the_first_panel_lacks_is_in_the_legend():
    figure = plotting.collapse_curves({"one": {"a": collapse(0.1)}, "two": {"b": collapse(0.2)}})
    assert [t.get_text() for t in figure.legends[0].texts] == ["a", "b"]
    assert figure.axes[0].lines[0].get_color() != figure.axes[1].lines[0].get_color()
    assert figure.axes[1].get_ylabel() == ""


def calibration(given=("a", "b"), num_bins=4):
    """Two labels of four rows: in the bins [0, 1/4), [1/2, 3/4) and [3/4, 1]."""
    predicted = torch.tensor([[0.125, 0.5], [0.125, 0.625], [0.0, 0.75], [1.0, 0.75]]).double()
    happened = torch.tensor([[0, 1], [1, 0], [0, 1], [1, 0]]).bool()
    scores = torch.tensor([0.25, 0.5, 0.0, 0.25]).double()
    return Calibration(predicted, happened, scores, 2 * scores, num_bins, "smile", given)


def test_numbers_of_a_calibration_skip_empty_bins():
    rows = list(calibration().numbers())
    assert [row["measure"] for row in rows] == ["ECE", "Brier", "NLL", *["came true"] * 3]
    assert {(row["observed"], row["target"]) for row in rows} == {("a + b", "smile")}
    assert rows[1]["value"] == 0.25
    assert rows[2]["value"] == 0.5
    bins = [(row["value"], row["predicted"], row["count"]) for row in rows[3:]]
    assert bins == [
        (pytest.approx(1 / 3), pytest.approx(0.25 / 3), 3),
        (0.5, 0.5625, 2),
        (pytest.approx(2 / 3), pytest.approx(2.5 / 3), 3),
    ]
    assert rows[3]["standard_error"] == pytest.approx(math.sqrt(2 / 9 / 3))
    ece = (3 * (1 / 3 - 0.25 / 3) + 2 * (0.5625 - 0.5) + 3 * (2.5 / 3 - 2 / 3)) / 8
    assert rows[0]["value"] == pytest.approx(ece)
    told = calibration().to_dict()
    assert told["given"] == ["a", "b"]
    assert told["count"] == [3, 2, 3]
    assert told["came true"] == pytest.approx([1 / 3, 1 / 2, 2 / 3])
    assert told["predicted"] == pytest.approx([0.25 / 3, 0.5625, 2.5 / 3])
    assert (told["brier"][0], told["nll"][0]) == (0.25, 0.5)
    assert told["ece"] == calibration().ece().to_list()


@pytest.mark.parametrize(
    ("given", "words"), [(None, "smile"), ((), "smile given nothing"), (("a",), "smile given a")]
)
def test_the_title_of_a_reliability_diagram_says_what_was_given(given, words):
    found = calibration(given)
    above, below = found.figure().axes
    assert above.get_title() == f"{words}\nECE {found.ece()}"
    assert found.to_dict()["given"] == (None if given is None else list(given))
    assert {row["observed"] for row in found.numbers()} == {
        {None: "", (): "nothing", ("a",): "a"}[given]
    }
    (points,) = above.containers
    assert points.lines[0].get_xdata().tolist() == pytest.approx([0.25 / 3, 0.5625, 2.5 / 3])
    assert points.lines[0].get_ydata().tolist() == pytest.approx([1 / 3, 1 / 2, 2 / 3])
    low, high = points.lines[2][0].get_segments()[1][:, 1]
    assert (high - low) / 2 == pytest.approx(math.sqrt(0.25 / 2))
    assert [bar.get_height() for bar in below.patches] == [3, 0, 2, 3]
    assert to_hex(points.lines[0].get_color()) == BLUE.lower()


def test_a_bin_of_one_prediction_is_a_point_and_bins_go_from_0_to_1():
    assert len(calibration(num_bins=8).figure().axes[0].containers[0].lines[0].get_xdata()) == 6
    one = torch.tensor([0.625]).double()
    found = Calibration(one[:, None], torch.tensor([[True]]), one, one, 4)
    above, below = found.figure().axes
    assert above.containers[0].lines[0].get_xydata().tolist() == [[0.625, 1.0]]
    assert [bar.get_height() for bar in below.patches] == [0, 0, 1, 0]
    assert below.patches[0].get_x() == 0.0


def test_a_relation_that_there_is_not_is_told_with_those_that_there_are():
    distances = torch.tensor([[1.0, 2.0], [4.0, 3.0]])
    with_classes = Relatedness((("a",), ("b",)), distances, torch.tensor([0, 1]))
    message = "unknown relation 'items'; known: item, class. Did you mean 'item'?"
    with pytest.raises(ValueError, match=f"^{message.replace('?', '.')}$"):
        with_classes.mean("items")
    alone = Relatedness((("a",), ("b",)), distances)
    with pytest.raises(ValueError, match=r"^unknown relation 'class'; known: item\.$"):
        alone.related("class")
    assert set(alone.to_dict()) == {"given", "rows", "item"}
    message = "a matrix of classes needs labels; give relatedness the rows' classes."
    with pytest.raises(ValueError, match=f"^{message}$"):
        alone.matrix()


def test_relatedness_of_two_rows_by_hand():
    distances = torch.tensor([[1.0, 2.0], [4.0, 3.0]])
    found = Relatedness((("a", "c"), ("b",)), distances, torch.tensor([5, 2]))
    assert found.names == ("a + c", "b")
    assert found.classes == (2, 5)
    assert found.matrix().tolist() == [[3.0, 4.0], [2.0, 1.0]]  # in the order of the classes
    assert found.mean("item").value == 2.0
    assert found.mean("item", related=False).value == 3.0
    # others nearer than 1: none; nearer than 3: one of two
    assert found.auroc("item").value == pytest.approx((1.0 + 0.5) / 2)
    rows = list(found.numbers())
    assert [row["measure"] for row in rows[:3]] == [
        *("distance of related pairs", "distance of other pairs", "AUROC"),
    ]
    assert [row["target"] for row in rows] == ["item"] * 3 + ["class"] * 3
    assert {row["observed"] for row in rows} == {"a + c and b"}
    table = found.table()
    assert table.title == "distances of posteriors given a + c and given b"
    assert table.caption == "2-Wasserstein, all pairs of 2 rows"
    assert list(table.columns[0].cells) == ["item", "class"]
    assert list(table.columns[3].cells) == [str(found.auroc(by)) for by in ("item", "class")]


def test_twenty_classes_are_written_out_and_21_are_not():
    for count in (20, 21):
        labels = torch.arange(count)
        found = Relatedness((("a",), ("b",)), torch.rand(count, count), labels)
        axes = plotting.class_distances(found).axes[0]
        assert len(axes.texts) == (400 if count == 20 else 0)
        assert axes.get_xticklabels()[0].get_rotation() == (0 if count == 20 else 90)


def test_a_picture_of_pairs_is_by_class_where_there_are_classes():
    distances = torch.rand(4, 4)
    for labels, by in ((None, "item"), (torch.tensor([0, 0, 1, 1]), "class")):
        axes = Relatedness((("a",), ("b",)), distances, labels).figure().axes[0]
        assert axes.figure.legends[0].texts[1].get_text() == f"pairs of the same {by}"
        others, related = axes.containers
        assert len(others) == len(related) == 60
        widths = np.array([bar.get_width() for bar in related])
        np.testing.assert_allclose(widths, widths[0])
