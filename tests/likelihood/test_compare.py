"""Log-likelihoods of several systems on the same rows, paired."""

import math

import pytest
import torch
from linear_gaussian import LinearGaussian

from ppl_mm import Observations, guides, log_likelihood
from ppl_mm.evaluation import Difference, LogLikelihood, annealed_log_likelihood, compare
from ppl_mm.results.likelihood_errors import ErrorPart
from ppl_mm.results.style import BLUE, GREY

IDS = tuple("abcd")


def told(value, half, k=0.1, **other):
    """A result by hand, whose intervals reach ``half`` to both sides."""
    value = torch.as_tensor(value, dtype=torch.float64)
    half = torch.as_tensor(half, dtype=torch.float64).expand_as(value)
    one = torch.ones_like(value)
    fields = {
        **{"value": value, "standard_error": half / 1.959964, "low": value - half},
        **{"high": value + half, "ess": 100 * one, "pareto_k": k * one, "draws": 1000 * one},
        **{"log_weight_variance": one, "refinement": 0 * one, "shared_error": 0 * one},
        **{"num_samples": 1000, "target": ("x", "y"), "given": (), "proposal": "guide"},
        **{"normalised": True, "row_ids": IDS[: len(value)]},
        "parts": (ErrorPart(half, half, torch.arange(len(value))),),
    }
    return LogLikelihood(**fields | other)


GOOD, BAD = [-1.0, -12.0, -3.0, -20.0], [-2.0, -12.1, -5.0, -20.5]


def test_differences_are_paired():
    found = compare({"bad": told(BAD, 0.3), "good": told(GOOD, 0.4)})
    assert list(found.results) == ["good", "bad"]
    frame = found.to_frame()
    differences = torch.tensor([1.0, 0.1, 2.0, 0.5], dtype=torch.float64)
    assert frame["elpd"].tolist() == pytest.approx([-36.0, -39.6])
    assert frame["elpd_diff"].tolist() == pytest.approx([0.0, 3.6])
    assert frame["dse"].tolist() == pytest.approx([0.0, 2 * differences.std().item()])
    assert frame["se"]["good"] == pytest.approx(2 * torch.tensor(GOOD).std().item())
    assert frame["dse"]["bad"] < 0.1 * frame["se"]["bad"]
    # Intervals reach 0.5 = hypot(0.3, 0.4) to both sides of each difference.
    assert frame["mcse"]["bad"] == pytest.approx(2 * 0.5 / 1.959964)
    assert frame["undecided"]["bad"] == 0.5 / 2  # 0.1 alone; 0.5 ends at 0
    assert frame["rank"].tolist() == [0, 1]
    back = found.difference("bad", "good")
    torch.testing.assert_close(back.value, -differences)


def test_rows_that_share_their_draws_share_their_errors():
    shared = told(GOOD, 0.3).sharing(torch.zeros(4, dtype=torch.long))
    found = compare({"shared": shared, "exact": told(BAD, 0.0)})
    assert found.to_frame()["mcse"]["exact"] == pytest.approx(4 * 0.3 / 1.959964)


def test_the_intervals_of_differences_are_those_of_conditionals():
    first, second = told(GOOD, [0.1, 0.2, 0.3, 0.4]), told(BAD, 0.3, target=("y",))
    found, conditional = Difference.of(first, second), first.minus(second)
    for name in ("value", "low", "high"):
        torch.testing.assert_close(getattr(found, name), getattr(conditional, name))


def test_rows_of_which_nothing_is_known_are_undecided():
    infinite = {"low": torch.full((2,), -math.inf).double(), "high": torch.tensor([0.0, math.inf])}
    lost = told([-1.0, -math.inf], 0.1, **infinite)
    found = Difference.of(told([-1.0, -2.0], 0.1), lost)
    assert found.value.tolist() == [0.0, math.inf]
    assert found.undecided.tolist() == [True, True]
    assert found.high[1] == math.inf
    assert math.isnan(found.dse())
    assert "inf" in str(compare({"a": told([-1.0, -2.0], 0.1), "b": lost}))


def test_rows_without_the_target_are_no_matter_of_doubt():
    found = Difference.of(told([0.0, -1.0], [0.0, 0.1]), told([0.0, -1.1], [0.0, 0.1]))
    assert found.undecided.tolist() == [False, True]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"target": ("x",)}, r"'one' and 'two' answer other questions: log p\(x, y\) and"),
        ({"given": ("w",)}, r"other questions: .*\| w\)"),
        ({"row_ids": ("a", "b", "z", "y")}, "other rows: 2 of 4 differ, the first is row 2"),
        ({"normalised": False}, "'two' has a score, 'one' a density"),
    ],
)
def test_results_that_cannot_be_compared_are_named(other, message):
    with pytest.raises(ValueError, match=message):
        compare({"one": told(GOOD, 0.1), "two": told(BAD, 0.1, **other)})


def test_one_result_or_other_numbers_of_rows_are_errors():
    with pytest.raises(ValueError, match="at least two results, got 1"):
        compare({"one": told(GOOD, 0.1)})
    with pytest.raises(ValueError, match="other rows: 4 and 2"):
        compare({"one": told(GOOD, 0.1), "two": told(GOOD[:2], 0.1)})
    with pytest.raises(ValueError, match="'c' is not compared; there are a, b"):
        compare({"a": told(GOOD, 0.1), "b": told(BAD, 0.1)}).difference("a", "c")


def test_the_table_fits_80_columns_and_shows_what_is_in_doubt():
    long = "a_system_with_a_very_long_name_indeed"
    results = {"mvae": told(GOOD, 0.1), long: told([-1e6, -2e6, -3e6, -4e6], 0.1, k=0.9)}
    found = compare(results)
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    assert "log p(x, y), sum over 4 rows, nats" in text
    assert "100.0%" in text
    assert "k > 0.7 in more than 5%" in " ".join(text.split())
    assert "grey" not in str(compare({"a": told(GOOD, 0.1), "b": told(BAD, 0.1)}))
    assert len(found.to_pandas()) == 2 * 5


def test_unreliable_systems_are_grey_in_the_figure(tmp_path):
    found = compare({"a": told(GOOD, 0.1), "b": told(BAD, 0.1, k=0.9)})
    left, right = found.plot(tmp_path / "compare.png").axes
    assert (tmp_path / "compare.png").exists()
    assert [label.get_text() for label in left.get_yticklabels()] == ["a", "b"]
    colours = [container.lines[0].get_color() for container in left.containers]
    assert colours == [BLUE, GREY]
    means = [container.lines[0].get_xdata()[0] for container in right.containers[::2]]
    assert means == pytest.approx([0.0, -0.9])


def test_ids_of_rows_follow_what_the_rows_hold_of_the_question():
    toy = LinearGaussian()
    system = toy.system(toy.exact_guide())
    obs = toy.sample(4)
    swapped = obs[[0, 1, 3, 2]]
    other_c = obs.replace("c", obs["c"] + 1.0)
    few = {"num_samples": 30}
    found = log_likelihood(system, obs, ["a", "b"], **few)
    assert len(set(found.row_ids)) == 4
    compare({"one": found, "other c": log_likelihood(system, other_c, ["b", "a"], **few)})
    with pytest.raises(ValueError, match="2 of 4 differ, the first is row 2"):
        compare({"one": found, "two": log_likelihood(system, swapped, ["a", "b"], **few)})
    junk = obs.values["b"].clone()
    junk[1] = torch.nan
    absent = {"b": torch.tensor([True, False, True, True])}
    for values in (obs.values, {**obs.values, "b": junk}):
        held = log_likelihood(system, Observations(values, absent), ["a", "b"], **few)
        assert [x == y for x, y in zip(held.row_ids, found.row_ids, strict=True)] == [
            True, False, True, True,
        ]  # fmt: skip


def test_systems_of_another_dtype_and_another_estimator_compare():
    toy = LinearGaussian({"a": 1, "b": 1})
    single = toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim)).float()
    double = toy.system(toy.exact_guide()).double()
    obs = toy.sample(3)
    found = compare(
        {
            "double": log_likelihood(double, obs, num_samples=30),
            "annealed": annealed_log_likelihood(single, obs, num_chains=30, num_temperatures=3),
        }
    )
    assert abs(found.difference("double", "annealed").value).max() < 1.0
    truth = toy.log_p(obs, ("a", "b"))
    torch.testing.assert_close(found.results["double"].value, truth)
