"""The log-likelihood of simulated data between two bounds."""

import pytest
import torch
from every_system import SYSTEMS, build, complete, kinds_of
from linear_gaussian import NAMES, LinearGaussian
from linear_gaussian_prior import ExactGivenObserved, GaussianGivenObserved
from linear_gaussian_private import PrivateLinearGaussian
from rich.console import Console

from ppl_mm import Observations, System, guides
from ppl_mm.evaluation import log_likelihood, sandwich
from ppl_mm.likelihood.sandwich import simulated
from ppl_mm.objectives import IWAE
from ppl_mm.plotting import sandwich_curves
from ppl_mm.results.estimate import Estimate

FEW = {"num_chains": 16, "num_leaps": 3}


def toy_system(spread=1.3):
    toy = LinearGaussian({"a": 1, "b": 2, "c": 1}, spread=spread)
    return toy, toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim))


@pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")
@pytest.mark.parametrize("start", ["prior", "posterior"])
def test_the_truth_is_between_the_bounds_and_the_gap_closes(start):
    toy, system = toy_system()
    found = sandwich(system, 40, num_temperatures=(1, 3, 12), start=start, **FEW)
    truth = toy.log_p(found.obs, NAMES)
    for low, high in zip(found.lower - truth, found.upper - truth, strict=True):
        assert low.mean() < 4 * Estimate.of(low).standard_error  # on average too low
        assert high.mean() > -4 * Estimate.of(high).standard_error  # and too high
    gaps = found.gap.mean(1)
    assert (gaps.diff() < 0).all()
    assert gaps[-1] < 0.2 * gaps[0]
    # 40 rows: no bound is wrong by more than log(40 / 1e-4) = 13 nats but once in ten thousand.
    assert (found.lower - truth).max() < 13
    assert (truth - found.upper).max() < 13
    other = log_likelihood(system, found.obs, num_samples=1000)
    # Where the bounds meet, Monte Carlo error puts either of them first.
    away = other.value - (found.lower[-1] + found.upper[-1]) / 2
    error = Estimate.of(away).standard_error
    assert abs(away.mean()) < gaps[-1].clamp(min=0) / 2 + 4 * error
    assert error < 0.1


def test_the_exact_posterior_closes_the_gap_at_once():
    toy = LinearGaussian()
    system = toy.system(toy.exact_guide())
    found = sandwich(system, 3, num_temperatures=1, start="posterior", **FEW)
    truth = toy.log_p(found.obs, NAMES)
    for bound in (found.lower, found.upper):
        torch.testing.assert_close(bound, truth[None])


def test_private_latents_and_some_modalities():
    toy = PrivateLinearGaussian(sizes={"a": 2, "b": 1}, private_dim=1)
    system = toy.system(guides.MixtureOfExperts)
    found = sandwich(system, toy.mixed(8), "a", num_temperatures=6, **FEW)
    assert (found.target, set(found.latents)) == (("a",), {"u", "w_a", "w_b"})
    truth = toy.log_p(found.obs, ("a",))
    for side, sign in ((found.lower[0] - truth, 1), (found.upper[0] - truth, -1)):
        assert sign * side.mean() < 4 * Estimate.of(side).standard_error
    lacking = ~found.obs.present["a"]
    assert lacking.any()
    assert (found.gap[0][lacking] == 0).all()


def test_rows_keep_their_missingness_and_what_the_model_conditions_on():
    toy = GaussianGivenObserved()
    system = System(toy.model(), ExactGivenObserved(toy), IWAE())
    like = toy.sample(4)
    like = Observations(like.values, {"a": torch.tensor([True, True, False, True])})
    found = sandwich(system, like, num_temperatures=1, start="posterior", **FEW)
    assert torch.equal(found.obs["c"], like["c"])
    assert torch.equal(found.obs.present["a"], like.present["a"])
    assert not torch.equal(found.obs["b"], like["b"])
    complete_rows = like.present["a"]
    truth = toy.log_p(found.obs[complete_rows], ("a", "b"))
    torch.testing.assert_close(found.lower[0][complete_rows], truth)
    torch.testing.assert_close(found.upper[0][complete_rows], truth)
    with pytest.raises(ValueError, match="rows: the model conditions on c"):
        sandwich(system, 4, **FEW)
    with pytest.raises(ValueError, match="both target and given"):
        sandwich(system, like, "c", **FEW)


def test_data_are_simulated_from_their_latents():
    toy, system = toy_system()
    torch.manual_seed(0)
    obs, latents = simulated(system, 3000)
    z = latents["z"]
    assert z.shape == (3000, 2)
    for n in NAMES:
        noise = (obs[n] - z @ toy.weight[n].T - toy.bias[n]) / toy.noise[n]
        assert (noise.mean(0).abs() < 4 / 3000**0.5).all()
        assert ((noise.var(0) - 1).abs() < 4 * (2 / 3000) ** 0.5).all()


@pytest.mark.parametrize("name", SYSTEMS)
def test_works_for_every_system(name):
    torch.manual_seed(1)
    system = build(name)
    rows = complete(2, *kinds_of(name))
    few = {"num_temperatures": 2, "num_chains": 2, "num_leaps": 1}
    found = sandwich(system, rows, start="posterior", **few)
    assert found.gap.isfinite().all()


def test_results_print_and_plot(tmp_path):
    _, system = toy_system()
    found = sandwich(system, 3, num_temperatures=(1, 2), num_chains=2, num_leaps=1)
    console = Console(width=100, record=True)
    console.print(found.table())
    text = console.export_text()
    assert "log p(a, b, c) of 3 simulated rows" in text
    assert str(Estimate.of(found.gap[1])) in text
    assert str(Estimate.of(found.lower[0])) in str(found)
    frame = found.to_pandas()
    last = frame[(frame["temperatures"] == 2) & (frame["measure"] == "gap")]
    assert last[["value", "standard_error"]].values.tolist() == [
        Estimate.of(found.gap[1]).to_list()
    ]
    assert found.plot(tmp_path / "gap.png").axes[0].get_title() == "log p(a, b, c)"
    assert (tmp_path / "gap.png").exists()
    figure = sandwich_curves({"one": found, "two": found})
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    lines = figure.axes[0].get_lines()
    assert lines[0].get_ydata().tolist() == pytest.approx(found.lower.mean(1).tolist())
    assert lines[1].get_ydata().tolist() == pytest.approx(found.upper.mean(1).tolist())
    with pytest.raises(ValueError, match="expected at least one result"):
        sandwich_curves({})


def test_no_temperatures_are_an_error():
    _, system = toy_system()
    with pytest.raises(ValueError, match="num_temperatures: expected at least one"):
        sandwich(system, 3, num_temperatures=())
