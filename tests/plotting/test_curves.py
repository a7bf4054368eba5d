"""The picture of estimates against a number; what it shows is read off the axes."""

import numpy as np
import pytest
from matplotlib.image import imread

from ppl_mm import plotting

PANELS = {
    "to SVHN": {"MEME": [(0.5, 0.6, 0.02), (0.1, 0.3, 0.04)], "MVAE": [(0.5, 0.1, 0.01)]},
    "to MNIST": {"MVAE": [(0.5, 0.4, 0.01), (0.1, 0.2, 0.03)]},
}
PAPER = {"to SVHN": {"MEME": [(1.0, 0.7, 0.0), (0.1, 0.4, 0.0)], "VAE": [(1.0, 0.0, 0.0)]}}


def test_values_errors_and_published_curves_are_where_they_should_be():
    figure = plotting.error_curves(
        PANELS, xlabel="pairs", ylabel="coherence", beside=PAPER, logarithmic=True
    )
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == tuple(PANELS)
    assert (first.get_xlabel(), first.get_ylabel(), first.get_xscale()) == (
        *("pairs", "coherence"),
        "log",
    )
    meme, mvae = first.containers
    assert np.array_equal(meme[0].get_xydata(), [[0.1, 0.3], [0.5, 0.6]])
    ends = [segment[:, 1].tolist() for segment in meme[2][0].get_segments()]
    np.testing.assert_allclose(ends, [[0.26, 0.34], [0.58, 0.62]])
    assert mvae[0].get_color() == second.containers[0][0].get_color() != meme[0].get_color()
    (dashed,) = [line for line in first.lines if line.get_linestyle() == "--"]
    assert np.array_equal(dashed.get_xydata(), [[0.1, 0.4], [1.0, 0.7]])
    assert dashed.get_color() == meme[0].get_color()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ["MEME", "MVAE"]


def test_panels_have_labels_of_their_own():
    labels = {"to MNIST": "size of w", "to SVHN": "β"}
    figure = plotting.error_curves(PANELS, xlabel=labels)
    assert [axes.get_xlabel() for axes in figure.axes] == ["β", "size of w"]


def test_many_panels_stand_in_rows_of_four():
    many = {f"panel {i}": PANELS["to MNIST"] for i in range(7)}
    figure = plotting.error_curves(many, xlabel="pairs")
    places = [axes.get_subplotspec() for axes in figure.axes]
    assert [(p.rowspan.start, p.colspan.start) for p in places] == [
        *((0, i) for i in range(4)),
        *((1, i) for i in range(3)),
    ]


@pytest.mark.parametrize("most", [2, 3, 5, 500])
def test_whole_numbers_have_whole_ticks(most):
    points = {"SVAE": [(2, 4.0, 0.0), (most, 20.0, 0.0)]}
    figure = plotting.error_curves({"millions": points}, xlabel="modalities")
    figure.draw_without_rendering()
    assert all(tick == round(tick) for tick in figure.axes[0].get_xticks())


def test_picture_is_written(tmp_path):
    plotting.save(plotting.error_curves(PANELS, xlabel="pairs"), tmp_path / "c.png", dpi=60)
    assert imread(tmp_path / "c.png")[..., :3].std() > 0.05


@pytest.mark.parametrize("panels", [{}, {"to SVHN": {}}, {"to SVHN": {"MEME": []}}])
def test_nothing_to_draw(panels):
    with pytest.raises(ValueError, match="expected panels with points, got none"):
        plotting.error_curves(panels, xlabel="pairs")
