"""Intervals of log-likelihoods against exact bounds of simulated rows."""

from dataclasses import replace

import pytest
import torch
from every_system import build
from linear_gaussian import NAMES, LinearGaussian

from ppl_mm import guides
from ppl_mm.evaluation import Certificate, certify
from ppl_mm.plotting import certified_intervals

FEW = {"num_temperatures": 12, "num_chains": 80, "num_leaps": 3}


def toy_system(spread=1.3):
    toy = LinearGaussian({"a": 1, "b": 2, "c": 1}, spread=spread)
    return toy, toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim))


def test_the_middle_of_the_bounds_is_the_truth_and_intervals_hold_it():
    toy, system = toy_system()
    found = certify(system, 40, num_samples=200, **FEW)
    truth = toy.log_p(found.bounds.obs, NAMES)
    torch.testing.assert_close(found.middle, truth, atol=0.15, rtol=0)
    exact = (found.estimate.low <= truth) & (truth <= found.estimate.high)
    assert abs(int(found.holds.sum()) - int(exact.sum())) <= 2
    far = abs(found.middle - truth) / found.middle_error
    assert (far < 4).all()
    low, high = found.expected()
    assert (low, high) == (35, 40)
    assert low <= int(found.holds.sum())
    assert not (found.certain & found.contradicted).any()
    assert (found.certain <= found.holds).all()
    lower, upper = found.range
    assert ((lower <= truth) & (truth <= upper)).double().mean() > 0.9


def test_intervals_that_are_wrong_are_found():
    _, system = toy_system()
    found = certify(system, 20, num_samples=200, **FEW)
    move = {f: getattr(found.estimate, f) - 1.0 for f in ("value", "low", "high")}
    moved = Certificate(replace(found.estimate, **move), found.bounds)
    assert int(moved.holds.sum()) == 0
    assert moved.contradicted.double().mean() > 0.9
    assert "intervals hold in 0 of 20 simulated rows (17 to 20 expected)" in str(moved)
    assert moved.error.mean() < -0.9


def test_the_missingness_of_given_rows_is_kept():
    toy, system = toy_system()
    rows = toy.mixed(1)
    found = certify(system, rows, ["a", "b"], num_samples=100, **FEW)
    assert torch.equal(found.bounds.obs.present["a"], rows.present["a"])
    assert found.estimate.target == ("a", "b")
    lacking = ~(rows.present["a"] | rows.present["b"])
    assert (found.estimate.value[lacking] == 0).all()


def test_likelihoods_of_conditionals_are_refused():
    with pytest.raises(ValueError, match="put together from conditionals"):
        certify(build("meme"), 2, num_samples=30, **FEW)


def test_results_print_and_plot(tmp_path):
    _, system = toy_system()
    found = certify(system, 8, num_samples=100, **FEW)
    first, second, third = str(found).splitlines()
    assert first.startswith("log p(a, b, c): intervals hold in ")
    assert max(len(line) for line in (first, second, third)) <= 100
    frame = found.to_pandas()
    assert frame["measure"].tolist() == ["holds", "certain", "contradicted", "error", "gap"]
    assert frame["value"][0] == pytest.approx(found.holds.double().mean().item())
    (axes,) = found.plot(tmp_path / "certificate.png").axes
    assert f"{int(found.holds.sum())} of 8 hold" in axes.get_title()
    assert certified_intervals(found).axes
