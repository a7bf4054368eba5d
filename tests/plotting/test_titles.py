"""Pictures of data, training and latents: titles, marks and the order of rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from ppl_mm import Observations, data, plotting, systems
from ppl_mm.results.style import BLUE, ORANGE


@pytest.fixture(scope="module")
def digits():
    return data.digits()


def test_classes_are_indices_or_one_hot_and_minus_one_where_there_is_none():
    held = {"y": torch.tensor([True, False, True])}
    whole = Observations({"y": torch.tensor([2, 1, 0])}, held)
    assert plotting.classes(whole, "y") == [2, -1, 0]
    hot = Observations({"y": torch.tensor([[0.1, 0.9], [0, 1], [0.6, 0.4]])}, held)
    assert plotting.classes(hot, "y") == [1, -1, 0]
    assert plotting.classes(whole, "x") == plotting.classes(whole, None) == [-1] * 3


def pattern(dataset):
    figure = plotting.presence(dataset)
    (axes,) = figure.axes
    return axes, np.asarray(axes.images[0].get_array())


def test_rows_of_one_pattern_stand_together_the_most_frequent_first(digits):
    rows = digits.train[:6]
    held = {
        "top": torch.tensor([1, 0, 1, 0, 1, 0]).bool(),
        "bottom": torch.tensor([1, 1, 1, 0, 1, 1]).bool(),
    }
    own = replace(
        digits,
        name="own data",
        train=Observations(rows.values, held),
        validation=None,
        test=digits.test[:1].without("label"),
    )
    axes, shown = pattern(own)
    assert shown.tolist() == [[1, 1, 1]] * 3 + [[0, 1, 1]] * 2 + [[0, 0, 1], [1, 1, 0]]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["top", "bottom", "label"]
    assert [t.get_text() for t in axes.texts] == ["57%", "86%", "86%"]
    assert axes.get_ylabel() == "7 rows"
    assert axes.get_title() == "what the rows of own data hold"


def test_the_pattern_is_of_all_splits(digits):
    axes, shown = pattern(digits)
    assert shown.shape == (1797, 3)
    assert axes.get_ylabel() == "1,797 rows"
    assert [t.get_text() for t in axes.texts] == ["100%"] * 3


def history(values, elbos=None):
    rows = [{"epoch": i + 1, "loss": x} for i, x in enumerate(values)]
    for row, elbo in zip(rows, elbos or (), strict=False):
        row["validation_elbo"] = elbo
    return rows


def test_losses_have_a_panel_each_and_the_best_epoch_is_named():
    figure = plotting.losses(history([4.0, 3.0, 2.0], [-5.0, -4.0, -4.5]), 2)
    loss, bound = figure.axes
    assert loss.get_title() == "training loss (nats per row)"
    assert bound.get_title() == "validation ELBO (nats per row)"
    assert loss.lines[0].get_xydata().tolist() == [[1, 4.0], [2, 3.0], [3, 2.0]]
    curve, mark = bound.lines
    assert curve.get_ydata().tolist() == [-5.0, -4.0, -4.5]
    assert mark.get_xydata().tolist() == [[2, -4.0]]
    assert [t.get_text() for t in bound.texts] == ["best: -4.0 in epoch 2"]
    assert bound.texts[0].get_ha() == "right"
    assert not loss.texts
    colours = [to_hex(axes.lines[0].get_color()).upper() for axes in (loss, bound)]
    assert colours == [ORANGE, BLUE]


def test_losses_without_a_best_epoch_or_with_one_that_is_not_there():
    rows = history([4.0, 3.0, 2.0], [-5.0])
    for best in (None, 3):
        _, bound = plotting.losses(rows, best).axes
        assert not bound.texts
        assert len(bound.lines) == 1
    early = plotting.losses(history([3.0] * 4, [-1.0, -2.0, -2.0, -2.0]), 1).axes[1].texts[0]
    assert early.get_ha() == "left"
    assert len(plotting.losses(history([3.0]), 1).axes) == 1


def test_marks_are_left_out_of_long_curves():
    marks = [plotting.losses(history([1.0] * n)).axes[0].lines[0].get_marker() for n in (14, 15)]
    assert marks == ["o", "None"]


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        ([100.0] + [2.0] * 9 + [1.0] * 10, (0.95, 2.05)),  # the first of twenty is left out
        ([3.1] + [2.0] * 9 + [1.0] * 10, (0.95, 2.05)),
        ([3.0] + [2.0] * 9 + [1.0] * 10, None),  # not more than twice the range of the rest
        ([100.0] + [2.0] * 9 + [1.0] * 9, None),  # too few
        ([100.0] + [1.0] * 19, None),  # nothing to magnify
    ],
)
def test_an_axis_spares_a_start_that_would_flatten_the_rest(values, limits):
    low, high = plotting.losses(history(values)).axes[0].get_ylim()
    if limits is None:
        assert high > max(values)
    else:
        assert (low, high) == pytest.approx(limits)


def test_posterior_means_look_at_everything_but_the_label(digits):
    system = systems.mvae(digits.modalities, 2)
    rows = digits.test[:12]
    (axes,) = plotting.posterior_means(system, rows, label="label").axes
    assert axes.get_title() == (
        "posterior means given top + bottom\neach mark: the label of a test row"
    )
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "mean of z, dimension 1",
        "mean of z, dimension 2",
    )
    mean = system.posterior(rows.given("top", "bottom")).mean.detach()
    expected = [mean[rows["label"] == kind] for kind in rows["label"].unique()]
    for marks, own in zip(axes.collections, expected, strict=True):
        np.testing.assert_allclose(marks.get_offsets().data, own)
    (plain,) = plotting.posterior_means(system, rows).axes
    assert plain.get_title() == "posterior means given top + bottom + label"
    (alone,) = plotting.posterior_means(system, rows.drop("top", "bottom"), label="label").axes
    assert alone.get_title().startswith("posterior means given label\n")


def test_posteriors_of_a_conditional_model_look_at_all(digits):
    system = systems.cvae(digits.modalities, 2, given=("label",))
    (axes,) = plotting.posterior_means(system, digits.test[:4], label="label").axes
    assert axes.get_title().startswith("posterior means given top + bottom + label\n")


def test_one_coordinate_is_shown_beside_its_standard_deviation(digits):
    system = systems.mvae(digits.modalities, 1)
    rows = digits.test[:5]
    (axes,) = plotting.posterior_means(system, rows).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("mean of z", "standard deviation of z")
    q = system.posterior(rows)
    expected = torch.cat([q.mean, q.stddev], 1).detach()
    np.testing.assert_allclose(axes.collections[0].get_offsets().data, expected)
