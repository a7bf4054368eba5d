"""Pictures of distances between posteriors; what they show is read off the axes."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.image import imread

from ppl_mm import plotting
from ppl_mm.evaluation import Relatedness
from ppl_mm.results.style import BLUE, ORANGE

NAMES = ["cat", "dog", "car"]


@pytest.fixture
def found():
    """Classes 0 and 1 are 1 and 2 apart, there and back, class 2 is 6 from both, all 0.5 wide."""
    of_class = torch.tensor([[0.5, 1.0, 6.0], [2.0, 0.5, 6.0], [6.0, 6.0, 0.5]])
    labels = torch.arange(9) % 3
    return Relatedness((("image",), ("text",)), of_class[labels][:, labels], labels)


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_matrix_shows_its_numbers(found):
    axes, bar = plotting.class_distances(found).axes
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("class of image", "class of text")
    assert ticks(axes.xaxis) == ticks(axes.yaxis) == ["0", "1", "2"]
    assert np.array_equal(axes.images[0].get_array(), found.matrix().numpy())
    written = {t.get_position(): (t.get_text(), t.get_color()) for t in axes.texts}
    assert written[1, 0] == ("1.00", "white")  # column, row: x_a of class 0 and x_b of class 1
    assert written[0, 1] == ("2.00", "white")
    assert written[2, 0] == ("6.00", "black")
    assert len(written) == 9
    assert bar.get_ylabel() == "mean 2-Wasserstein distance"


def test_class_names_stand_upright_where_they_are_long(found):
    axes = plotting.class_distances(found, NAMES).axes[0]
    assert ticks(axes.xaxis) == ticks(axes.yaxis) == NAMES
    assert axes.get_xticklabels()[0].get_rotation() == 0
    axes = plotting.class_distances(found, ["penguin", "dog", "car"]).axes[0]
    assert axes.get_xticklabels()[0].get_rotation() == 90
    for draw in (plotting.class_distances, plotting.class_dendrogram):
        with pytest.raises(ValueError, match="one for each of the 3 classes, got 2"):
            draw(found, NAMES[:2])


def test_many_classes_are_shown_without_numbers():
    found = Relatedness((("a",), ("b",)), torch.rand(80, 80), torch.arange(80) % 40)
    figure = plotting.class_distances(found)
    assert not figure.axes[0].texts
    assert len(ticks(figure.axes[0].xaxis)) == 40
    assert max(figure.get_size_inches()) < 8
    assert plotting.class_dendrogram(found).get_size_inches()[0] < 8


@pytest.mark.parametrize("by", ["item", "class"])
def test_histograms_have_area_one(found, by):
    (axes,) = plotting.pair_distances(found, by, bins=11).axes
    others, related = axes.containers
    for bars, colour, mean in (
        (others, ORANGE, found.mean(by, related=False)),
        (related, BLUE, found.mean(by)),
    ):
        areas = [bar.get_height() * bar.get_width() for bar in bars]
        assert sum(areas) == pytest.approx(1.0)
        centres = [bar.get_x() + bar.get_width() / 2 for bar in bars]
        assert np.dot(areas, centres) == pytest.approx(mean.value, abs=0.25)  # half a bin
        assert to_hex(bars[0].get_facecolor()) == colour.lower()
    assert [t.get_text() for t in axes.figure.legends[0].texts] == [
        "other pairs",
        f"pairs of the same {by}",
    ]
    assert axes.get_title() == f"posteriors given image and given text\nAUROC {found.auroc(by)}"


def test_distances_that_are_all_the_same():
    equal = Relatedness((("a",), ("b",)), torch.ones(6, 6), torch.arange(6) % 2)
    others, related = plotting.pair_distances(equal).axes[0].containers
    assert sum(b.get_height() > 0 for b in others) == sum(b.get_height() > 0 for b in related) == 1
    plotting.class_distances(equal)
    plotting.class_dendrogram(equal)


def test_dendrogram_joins_at_mean_distances(found):
    (axes,) = plotting.class_dendrogram(found, NAMES).axes
    (joins,) = axes.collections
    heights = sorted(path.vertices[:, 1].max() for path in joins.get_paths())
    assert heights == pytest.approx([1.5, 6.0])  # (1 + 2) / 2, then (6 + 6) / 2
    leaves = ticks(axes.xaxis)
    assert sorted(leaves) == sorted(NAMES)
    assert abs(leaves.index("cat") - leaves.index("dog")) == 1
    assert "image" in axes.get_title()


def test_pictures_are_written(found, tmp_path):
    figures = (
        plotting.class_distances(found),
        plotting.pair_distances(found),
        plotting.class_dendrogram(found),
    )
    for figure in figures:
        plotting.save(figure, tmp_path / "figure.png", dpi=60)
        assert imread(tmp_path / "figure.png")[..., :3].std() > 0.05


def test_classes_are_needed(found):
    without = Relatedness(found.subsets, found.distances)
    assert plotting.pair_distances(without, "item").axes
    for draw in (plotting.class_distances, plotting.class_dendrogram):
        with pytest.raises(ValueError, match="needs labels"):
            draw(without)
    with pytest.raises(ValueError, match="unknown relation 'class'"):
        plotting.pair_distances(without, "class")
