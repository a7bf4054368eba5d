"""The picture of curves of collapse; what it shows is read off the axes."""

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from ppl_mm import plotting
from ppl_mm.evaluation import collapse_of


@pytest.fixture
def curves():
    return {
        name: collapse_of(shift + torch.rand(50, 8), epsilons=torch.linspace(0, 3, 40))
        for name, shift in (("CMMD", 1.0), ("MVAE", 0.5), ("VCCA", 0.0))
    }


def test_every_curve_is_drawn_in_the_colour_of_its_system(curves):
    some = {name: curves[name] for name in ("VCCA", "CMMD")}
    figure = plotting.collapse_curves({"given x": curves, "given all": some})
    first, second = figure.axes
    assert (first.get_title(), second.get_title()) == ("given x", "given all")
    assert first.get_ylabel() == "collapsed coordinates, %"
    assert [line.get_label() for line in first.lines] == ["CMMD", "MVAE", "VCCA"]
    for line in first.lines:
        curve = curves[line.get_label()]
        assert np.array_equal(line.get_xdata(), curve.epsilons.numpy())
        assert np.array_equal(line.get_ydata(), 100 * curve.fractions.numpy())
    colours = {line.get_label(): line.get_color() for line in first.lines}
    assert len(set(colours.values())) == 3
    assert {line.get_label(): line.get_color() for line in second.lines} == {
        name: colours[name] for name in some
    }
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.texts] == ["CMMD", "MVAE", "VCCA"]


def test_many_systems_differ_by_dashes(curves):
    many = {f"system {i}": curves["CMMD"] for i in range(9)}
    (axes,) = plotting.collapse_curves({"all": many}).axes
    assert len({(line.get_color(), line.get_linestyle()) for line in axes.lines}) == 9


def test_picture_is_written(curves, tmp_path):
    plotting.save(plotting.collapse_curves({"given x": curves}), tmp_path / "c.png", dpi=60)
    assert imread(tmp_path / "c.png")[..., :3].std() > 0.05


@pytest.mark.parametrize("panels", [{}, {"given x": {}}])
def test_nothing_to_draw(panels):
    with pytest.raises(ValueError, match="expected panels with curves, got none"):
        plotting.collapse_curves(panels)
