"""Log-likelihoods put in by hand: averages, differences, columns and the picture."""

import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from likelihoods_by_hand import result
from matplotlib.colors import to_hex

from ppl_mm import Modality, likelihoods, networks, plotting
from ppl_mm.results.log_likelihood import COLUMNS
from ppl_mm.results.style import BLUE, ORANGE

INF = math.inf
Z = 1.959964  # the 97.5 % quantile of a standard Normal


def modality(name, likelihood):
    return Modality(
        name,
        likelihood,
        encoder=partial(networks.MLPEncoder, event_shape=(2,)),
        decoder=partial(networks.MLPDecoder, event_shape=(2,)),
    )


DECLARED = [modality("x", likelihoods.Normal(1.0)), modality("grey", likelihoods.SoftBernoulli())]


@pytest.mark.parametrize(
    ("target", "given", "quantity"),
    [
        (("x",), (), "log p(x)"),
        (("x",), ("grey",), "log p(x | grey)"),
        (("x", "grey"), (), "score(x, grey)"),
        (("grey",), ("x", "y"), "score(grey | x, y)"),
    ],
)
def test_a_score_is_told_from_a_density_by_what_is_scored(target, given, quantity):
    found = result([-1.0], target=target, given=given, modalities=DECLARED)
    assert found.quantity == quantity
    assert found.normalised == quantity.startswith("log p")
    assert ("SoftBernoulli is not normalised" in str(found)) != found.normalised


def test_a_row_of_which_nothing_is_known_has_every_number_of_nothing():
    given = {"ess": 7.0, "log_weight_variance": math.nan, "draws": 50.0, "refinement": 2.0}
    found = result([-1.0, -INF], [0.5, math.nan], k=[0.3, math.nan], **given)
    assert {name: getattr(found, name).tolist()[1] for name in COLUMNS} == {
        "value": -INF,
        "standard_error": INF,
        "low": -INF,
        "high": INF,
        "ess": 0.0,
        "pareto_k": INF,
        "log_weight_variance": INF,
        "draws": 50.0,
        "refinement": 2.0,
    }
    assert [getattr(found, n)[0].item() for n in ("low", "high", "ess")] == [-1.5, -0.5, 7.0]
    assert found.parts[0].below.tolist() == found.parts[0].above.tolist() == [0.5, INF]
    assert found.shared_error.tolist() == [0.0, 0.0]


def test_rows_above_0_7_alone_are_unreliable():
    found = result([-1.0] * 4, k=[0.7, 0.71, -0.2, INF])
    assert found.unreliable.tolist() == [1, 3]
    assert result([-1.0], k=math.nan).unreliable.tolist() == []


def test_averages_by_hand():
    ess, k, variance = [10.0, 30.0, 20.0, 40.0], [0.1, 0.9, 0.8, 0.2], [1.0, 2.0, 3.0, 6.0]
    columns = {"ess": ess, "log_weight_variance": variance, "refinement": [0.0, 1.0, 4.0, 1.0]}
    found = result([-1.0, -2.0, -3.0, -6.0], [3.0, 4.0, 0.0, 0.0], 1.0, k=k, **columns).summary()
    spread = math.sqrt(14 / 3) / 2  # deviations 2, 1, 0, -3
    assert found == {
        "mean": -3.0,
        "standard_error": pytest.approx(spread),
        "low": pytest.approx(-3.0 - math.hypot(Z * spread, 5 / 4)),
        "high": pytest.approx(-3.0 + math.hypot(Z * spread, 2 / 4)),
        "monte_carlo_error": pytest.approx((5 / 4 + 2 / 4) / (2 * Z)),
        "monte_carlo_low": pytest.approx(-3.0 - 5 / 4),
        "monte_carlo_high": pytest.approx(-3.0 + 2 / 4),
        "log_weight_variance": 3.0,
        "median_ess": 20.0,  # the lower one of 20 and 30
        "largest_pareto_k": 0.9,
        "unreliable_rows": 2.0,
        "refined_rows": 3.0,
        "rows": 4.0,
    }


def test_the_average_of_one_row_has_an_error_over_draws_alone():
    found = result([-2.0], 0.5, 0.25).summary()
    assert math.isnan(found["standard_error"])
    assert (found["monte_carlo_low"], found["monte_carlo_high"]) == (-2.5, -1.75)
    assert "over rows" not in str(result([-2.0], 0.5))


def test_the_average_with_an_unknown_row_is_unknown_and_never_nan():
    found = result([-1.0, -INF], 0.5).summary()
    assert [found[n] for n in ("mean", "low", "monte_carlo_low")] == [-INF] * 3
    names = ("standard_error", "high", "monte_carlo_error", "monte_carlo_high")
    assert [found[n] for n in names] == [INF] * 4
    assert not any(map(math.isnan, result([-INF, -INF]).summary().values()))


def test_numbers_are_the_average_and_the_rest_of_the_summary():
    found = result([-1.0, -3.0], 0.5, target=("x", "y"), given=("a", "b"))
    first, *others = found.numbers()
    assert first == {
        "measure": "log p(x, y | a, b)",
        "observed": "a + b",
        "target": "x, y",
        "value": -2.0,
        "standard_error": 1.0,
    }
    told = {row["measure"].replace(" ", "_"): row["value"] for row in others}
    rest = found.summary().items()
    assert told == {n: v for n, v in rest if n not in ("mean", "standard_error")}
    assert {(row["observed"], row["target"]) for row in others} == {("a + b", "x, y")}


def test_a_conditional_is_a_difference_with_both_errors():
    joint = result([-5.0, -6.0], [0.3, 0.6], [0.4, 0.8], k=[0.2, math.nan], ess=[10.0, 9.0],
                   draws=[100.0, 400.0], refinement=[1.0, 0.0], standard_error=[0.3, 0.6],
                   log_weight_variance=[2.0, 3.0])  # fmt: skip
    given = result([-1.0, -2.0], [0.3, 0.6], [0.4, 0.8], k=[0.5, 0.1], ess=[20.0, 3.0],
                   draws=[200.0, 300.0], refinement=[0.0, 4.0], standard_error=[0.4, 0.8],
                   target=("y",))  # fmt: skip
    joint = replace(joint, shared_error=torch.tensor([3.0, 0.0]), reason="")
    given = replace(given, shared_error=torch.tensor([4.0, 1.0]), reason="too few draws")
    found = joint.minus(given)
    expected = {
        "value": [-4.0, -4.0],
        "standard_error": [0.5, 1.0],
        "low": [-4.0 - 0.5, -4.0 - 1.0],  # 0.3 below with 0.4 above
        "high": [-4.0 + 0.5, -4.0 + 1.0],
        "ess": [10.0, 3.0],
        "pareto_k": [0.5, 0.1],  # the larger that is known
        "log_weight_variance": [2.0, 3.0],
        "draws": [200.0, 400.0],
        "refinement": [1.0, 4.0],
        "shared_error": [5.0, 1.0],
    }
    for name, numbers in expected.items():
        assert getattr(found, name).tolist() == pytest.approx(numbers), name
    assert (found.target, found.given, found.quantity) == (("x",), ("y",), "log p(x | y)")
    assert found.reason == "too few draws"
    own, other = found.parts
    assert own.below.tolist() == pytest.approx([0.3, 0.6])
    assert other.below.tolist() == pytest.approx([0.4, 0.8])  # of minus the second
    assert other.above.tolist() == pytest.approx([0.3, 0.6])
    assert found.side == "off to either side"
    assert joint.side == "mostly too low"


def test_weights_of_a_conditional_are_divided_by_the_estimate_of_what_is_given():
    joint = replace(result([-5.0, -6.0]), log_weights=torch.tensor([[-5.0, -7.0], [-5.0, -5.5]]))
    given = result([-1.0, -2.0], target=("y",))
    assert joint.minus(given).log_weights.tolist() == [[-4.0, -5.0], [-4.0, -3.5]]
    assert result([-5.0, -6.0]).minus(given).log_weights is None


def test_a_conditional_on_what_has_no_probability_is_not_known():
    found = result([-5.0, -INF], 0.3).minus(result([-INF, -INF], 0.3, target=("y",)))
    assert found.value.tolist() == [-INF, -INF]
    assert found.high.tolist() == [INF, INF]
    assert found.ess.tolist() == [0.0, 0.0]


def test_rows_share_their_errors_where_they_share_their_draws():
    found = result([-1.0] * 4, 0.5)
    assert found.parts[0].draws.tolist() == [0, 1, 2, 3]
    shared = found.sharing(torch.tensor([7, 7, 7, 7]))
    assert found.summary()["monte_carlo_low"] == pytest.approx(-1.0 - 0.5 / 2)
    assert shared.summary()["monte_carlo_low"] == pytest.approx(-1.0 - 0.5)


def test_arviz_gets_every_column_and_the_weights_in_one_chain():
    found = replace(
        result([-1.0, -2.0], 0.5), log_weights=torch.tensor([[-1.0, -2.0], [-1.5, -2.5]] * 2)
    )
    data = found.to_arviz()
    weights = data["posterior"]["log_weight"]
    assert weights.sizes == {"chain": 1, "draw": 4, "row": 2}
    assert weights.values[0, 1].tolist() == [-1.5, -2.5]
    assert list(data["log_likelihood"].data_vars) == ["log_p"]
    group = data["estimates"]
    for name in COLUMNS:
        assert group[name].dims == ("row",)
        assert group[name].values.tolist() == getattr(found, name).tolist()
    assert group.attrs == {"quantity": "log p(x, y)", "num_samples": 1000}
    assert set(group.data_vars) == set(COLUMNS)
    without = result([-1.0]).to_arviz()
    assert list(without.groups()) == ["estimates"]


def test_the_picture_has_rows_in_order_and_doubtful_ones_apart():
    found = result([-1.0, -3.0, -2.0], [0.1, 0.2, 0.3], [0.4, 0.5, 0.6], k=[0.1, 0.9, 0.7])
    (axes,) = plotting.likelihood_intervals(found).axes
    fine, doubtful = axes.containers
    assert fine.lines[0].get_xydata().tolist() == [[1, -2.0], [2, -1.0]]
    assert doubtful.lines[0].get_xydata().tolist() == [[0, -3.0]]
    ends = [s[:, 1].tolist() for s in fine.lines[2][0].get_segments()]
    assert ends == [pytest.approx([-2.3, -1.4]), pytest.approx([-1.1, -0.6])]
    assert [to_hex(c.lines[0].get_color()) for c in axes.containers] == [
        BLUE.lower(),
        ORANGE.lower(),
    ]
    assert axes.get_ylabel() == "log p(x, y), nats"
    (alone,) = plotting.likelihood_intervals(result([-1.0])).axes
    assert [t.get_text() for t in alone.figure.legends[0].texts] == ["Pareto k up to 0.7"]
