"""How pictures are written and shown."""

import re

import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from ppl_mm import plotting
from ppl_mm.results.picture import Picture
from ppl_mm.results.style import BLUE, COLOURS, GREY, MARKS, ORANGE, PALE


def pixels(path):
    height, width = imread(path).shape[:2]
    return width, height


def test_a_picture_has_the_dots_that_were_asked_for(tmp_path):
    plotting.save(Figure(figsize=(2, 1)), tmp_path / "a.png", dpi=40)
    assert pixels(tmp_path / "a.png") == (80, 40)
    plotting.save(Figure(figsize=(2, 1)), tmp_path / "b.png")
    assert pixels(tmp_path / "b.png") == (300, 150)


def test_the_longer_side_is_bounded_whichever_it_is(tmp_path, few_pixels):
    plotting.save(Figure(figsize=(2, 8)), tmp_path / "high.png")
    assert pixels(tmp_path / "high.png") == (150, 600)
    plotting.save(Figure(figsize=(8, 2)), tmp_path / "wide.png", dpi=100)
    assert pixels(tmp_path / "wide.png") == (600, 150)
    plotting.save(Figure(figsize=(4, 2)), tmp_path / "fits.png", dpi=150)
    assert pixels(tmp_path / "fits.png") == (600, 300)


def test_what_is_no_figure_is_told_with_what_makes_one(tmp_path):
    message = (
        "save, argument figure: expected a Figure, got list; functions of ppl_mm.plotting and the "
        "method figure of a result make one."
    )
    with pytest.raises(TypeError, match=f"^{re.escape(message)}$"):
        plotting.save([1, 2], tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_that_cannot_be_drawn_leaves_the_former_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"former")
    figure = Figure(figsize=(1, 1))
    figure.text(0.5, 0.5, r"$\wrong$")
    with pytest.raises(ValueError, match="wrong"):
        plotting.save(figure, path)
    assert path.read_bytes() == b"former"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_notebook_shows_the_very_picture(tmp_path):
    figure = Picture(figsize=(1, 1))
    (tmp_path / "shown.png").write_bytes(figure._repr_png_())
    assert imread(tmp_path / "shown.png").ndim == 3


def test_seven_curves_have_their_own_colours_and_marks():
    assert len(set(COLOURS)) == len(set(MARKS)) == 7
    assert COLOURS[:2] == (BLUE, ORANGE)
    assert not {PALE, GREY} & set(COLOURS)  # of grids, and of what is in doubt
