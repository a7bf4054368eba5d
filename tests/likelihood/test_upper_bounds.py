"""Approximate upper bounds of real rows, and exact ones of simulated rows beside them."""

import pytest
import torch
from every_system import build, complete, kinds_of
from linear_gaussian import NAMES, LinearGaussian
from linear_gaussian_prior import ExactGivenObserved, GaussianGivenObserved

from ppl_mm import Observations, System, evaluation, guides
from ppl_mm.evaluation import annealed_log_likelihood, sandwich, upper_bounds
from ppl_mm.likelihood.chains import Annealing
from ppl_mm.likelihood.sandwich import bounded, simulated
from ppl_mm.objectives import IWAE
from ppl_mm.plotting import upper_bound_curves
from ppl_mm.results.estimate import Estimate
from ppl_mm.systems.evaluating import evaluating


def toy_system(spread=1.3, **options):
    toy = LinearGaussian({"a": 1, "b": 2, "c": 1}, spread=spread, **options)
    return toy, toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim))


@pytest.mark.slow  # statistical
def test_real_rows_lie_between_their_bounds_whatever_they_miss():
    toy, system = toy_system()
    obs = toy.mixed(2)
    obs = obs.replace("a", obs["a"] + 3.0)  # rows that the model would hardly make
    found = upper_bounds(system, obs, num_temperatures=(2, 16), num_chains=20)
    truth = toy.log_p(obs, NAMES)
    for low, high in zip(found.lower - truth, found.upper - truth, strict=True):
        assert low.mean() < 4 * Estimate.of(low).standard_error
        assert high.mean() > -4 * Estimate.of(high).standard_error
    assert found.gap[1].mean() < 0.05
    empty = ~torch.stack([obs.present[n] for n in NAMES]).any(0)
    torch.testing.assert_close(found.upper[:, empty], torch.zeros(2, 2), atol=0.1, rtol=0)


def test_simulated_rows_say_how_good_the_approximation_is():
    toy, system = toy_system()
    found = upper_bounds(system, toy.sample(30), num_temperatures=5, num_chains=20)
    truth = toy.log_p(found.simulated.obs, NAMES)
    assert (found.simulated.upper[0] - truth).mean() > -4 * _error(found.simulated.upper[0] - truth)
    assert abs(found.bias.mean()) < 4 * _error(found.bias[0]) + 0.01
    assert found.simulated.obs.names == NAMES


def _error(rows):
    return Estimate.of(rows).standard_error


def test_errors_of_bounds_cover_the_spread_of_repeated_chains():
    _, system = toy_system(spread=1.5)
    repeats = 100
    with evaluating(system, 0):
        obs, latents = simulated(system, 3)
        many = Observations({n: x.repeat_interleave(repeats, 0) for n, x in obs.values.items()})
        again = {n: x.repeat_interleave(repeats, 0) for n, x in latents.items()}
        plan = Annealing(50, 16, 3, "posterior", 2**14, 0)
        found = bounded(system, many, again, NAMES, [plan])
    for side in ("lower", "upper"):
        spread = found[side][0].reshape(3, repeats).std(1)
        told = found[f"{side}_error"][0].reshape(3, repeats).mean(1)
        # They count a tail that 50 chains mostly do not show; a deviation of 100 is known to 7 %.
        assert (spread < 1.3 * told).all(), side
        assert (spread > 0.3 * told).all(), side


def test_a_refined_start_closes_the_gap_of_simulated_rows():
    toy, system = toy_system(spread=0.4)
    options = {"num_temperatures": 4, "num_chains": 20, "num_leaps": 3}
    gaps = {}
    for start in ("posterior", "refined"):
        found = sandwich(system, 40, start=start, **options)
        truth = toy.log_p(found.obs, NAMES)
        for side, sign in ((found.lower[0] - truth, 1), (found.upper[0] - truth, -1)):
            assert sign * side.mean() < 4 * _error(side)
        gaps[start] = found.gap.mean()
    assert gaps["refined"] < 0.3 * gaps["posterior"]


@pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")  # 50 chains
def test_a_refined_start_is_one_of_the_annealed_estimator():
    toy, system = toy_system(spread=0.4)
    obs = toy.mixed(2)
    found = annealed_log_likelihood(
        system, obs, ["a", "b"], "c", start="refined", num_chains=50, num_temperatures=4
    )
    truth = toy.log_p(obs, NAMES) - toy.log_p(obs, "c")
    assert (abs(found.value - truth) < 5 * found.standard_error + 1e-6).all()
    assert found.proposal == "refined proposal, annealed over 4 temperatures"


@pytest.mark.slow  # statistical
def test_what_the_model_conditions_on_is_kept():
    toy = GaussianGivenObserved()
    system = System(toy.model(), ExactGivenObserved(toy), IWAE())
    obs = toy.sample(3)
    found = upper_bounds(system, obs, num_temperatures=30, num_chains=30)
    truth = toy.log_p(obs, ("a", "b"))
    torch.testing.assert_close(found.lower[0], truth, atol=0.1, rtol=0)
    torch.testing.assert_close(found.upper[0], truth, atol=0.1, rtol=0)
    assert torch.equal(found.simulated.obs["c"], obs["c"])


@pytest.mark.parametrize("name", ["mmvae_plus", "cmmd", "meme"])
def test_works_for_private_latents_and_conditional_priors(name):
    torch.manual_seed(1)
    system = build(name)
    rows = complete(2, *kinds_of(name))
    found = upper_bounds(system, rows, num_temperatures=2, num_chains=5, num_leaps=1)
    assert found.gap.isfinite().all()
    assert found.bias.isfinite().all()


def test_results_print_and_plot(tmp_path):
    toy, system = toy_system()
    found = upper_bounds(system, toy.sample(3), num_temperatures=(1, 2), num_chains=5)
    text = str(found)
    assert "log p(a, b, c) of 3 rows, and of 3 simulated ones" in text
    assert str(Estimate.of(found.gap[1])) in text
    assert "approximate less exact upper bound" in text
    frame = found.to_pandas()
    of_gap = frame[frame["measure"] == "gap of simulated rows"]
    assert of_gap["value"].tolist() == pytest.approx(found.simulated.gap.mean(1).tolist())
    left, right = found.plot(tmp_path / "bounds.png").axes
    assert left.get_lines()[1].get_ydata().tolist() == pytest.approx(found.upper.mean(1).tolist())
    assert [t.get_text() for t in right.get_legend().get_texts()] == [
        "lower", "upper", "approximate upper",
    ]  # fmt: skip
    assert upper_bound_curves(found).axes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_temperatures": ()}, "num_temperatures: expected at least one"),
        ({"num_chains": 0}, "num_chains: expected an integer"),
        ({"target": "d"}, "modality 'd'"),
    ],
)
def test_wrong_options_are_errors(options, message):
    toy, system = toy_system()
    with pytest.raises(ValueError, match=message):
        upper_bounds(system, toy.sample(2), **options)


def test_rows_whose_density_overflows_have_infinite_bounds_and_are_named():
    toy, system = toy_system()
    obs = toy.sample(3)
    far = obs.replace("a", obs["a"].index_fill(0, torch.tensor([1]), 1e200))
    with pytest.warns(evaluation.UnreliableLikelihoodWarning, match=r"1 of 3 rows.*\(rows 1\)"):
        found = upper_bounds(system, far, num_temperatures=2, num_chains=5)
    assert found.lower[0, 1] == -torch.inf
    assert found.upper[0, 1] == torch.inf
    assert found.gap[:, [0, 2]].isfinite().all()
