"""The guide's posterior against NUTS, where the exact posterior is known."""

import arviz
import pytest
import torch
from every_system import build, complete
from linear_gaussian import LinearGaussian
from rich.console import Console
from torch import nn

from ppl_mm import Observations, guides
from ppl_mm.evaluation import PosteriorCheck, posterior_check


def small(spread=1.3):
    toy = LinearGaussian({"a": 1, "b": 2}, spread=spread)
    return toy, toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim))


@pytest.mark.slow  # two chains of a thousand draws
@pytest.mark.parametrize("given", [None, "a"])
def test_chains_have_the_moments_of_the_exact_posterior(given):
    toy = LinearGaussian({"a": 1, "b": 2})
    obs = toy.sample(2)
    obs = Observations(obs.values, {"b": torch.tensor([True, False])})
    system = toy.system(toy.exact_guide())
    found = posterior_check(system, obs, given, num_samples=1000, num_warmup=300)
    exact = toy.exact_guide().posterior(obs.given("a") if given else obs)
    draws = found.exact["z"].flatten(0, 1)
    error = exact.stddev / found.ess("z").sqrt()
    assert ((draws.mean(0) - exact.mean).abs() < 5 * error).all()
    # A variance's relative error is sqrt(2 / n), its own n not far below the mean's.
    assert ((draws.var(0) / exact.variance - 1).abs() < 5 * (4 / found.ess("z")).sqrt()).all()
    assert (found.r_hat("z") < 1.02).all()
    assert (found.distance("z") < 0.2).all()


def test_a_short_chain_finds_a_guide_that_is_too_narrow():
    toy, system = small(spread=0.1)
    obs = toy.sample(1)
    found = posterior_check(system, obs, num_samples=60, num_warmup=30, num_chains=1)
    assert found.exact["z"].shape == (1, 60, 1, 2)
    assert found.guide["z"].shape == (60, 1, 2)
    assert (found.ratio("z") < 0.4).all()
    assert (found.distance("z") > 0.6).all()
    assert found.r_hat("z").isnan().all()


def told():
    """Draws by hand: two chains, a guide that is off by one deviation and twice as wide."""
    noise = torch.randn(2, 400, 3, 2)
    exact = (noise - noise.mean((0, 1))) / noise.flatten(0, 1).std(0)
    guide = 1.0 + 2.0 * exact.flatten(0, 1)
    return PosteriorCheck({"z": 5.0 + 3.0 * exact}, {"z": 5.0 + 3.0 * guide}, ("a", "b"))


def test_shift_ratio_and_distance():
    found = told()
    one = torch.ones(3, 2)
    torch.testing.assert_close(found.shift("z"), one)
    torch.testing.assert_close(found.ratio("z"), 2 * one)
    torch.testing.assert_close(found.distance("z"), 2**0.5 * one)
    assert (found.r_hat("z") < 1.05).all()
    assert (found.ess("z") > 400).all()
    apart = PosteriorCheck({"z": found.exact["z"] + torch.tensor([0.0, 9.0]).reshape(2, 1, 1, 1)},
                           found.guide, ("a",))  # fmt: skip
    assert (apart.r_hat("z") > 1.5).all()


def test_results_print_plot_and_go_to_arviz(tmp_path):
    found = told()
    console = Console(width=100, record=True)
    console.print(found)
    text = console.export_text()
    assert "q(z | a, b) against NUTS" in text
    assert "1.41" in text
    frame = found.to_pandas()
    assert len(frame) == 3 * 5
    rows = frame[frame["measure"] == "distance"]
    assert rows["value"].tolist() == pytest.approx([2**0.5] * 3)
    assert rows["row"].tolist() == [0, 1, 2]
    assert len(found.plot(tmp_path / "check.png").axes) == 3
    assert (tmp_path / "check.png").exists()
    data = found.to_arviz()
    assert data.posterior["z"].shape == (2, 400, 3, 2)
    assert data.guide["z"].shape == (1, 800, 3, 2)
    assert data.posterior["z"].dims == ("chain", "draw", "row", "z_dim")
    first = data.posterior["z"].sel(row=0, z_dim=0)
    assert float(arviz.rhat(first.values)) == pytest.approx(float(found.r_hat("z")[0, 0]))


def test_private_latents_strings_and_missing_modalities():
    system = build("mmvae_plus")
    rows = complete(2).without("categorical")
    found = posterior_check(system, rows, num_samples=4, num_warmup=2, num_chains=1)
    assert {"u", "w_bernoulli", "w_normal"} <= set(found.exact)
    assert all(x.shape[:3] == (1, 4, 2) and x.isfinite().all() for x in found.exact.values())
    assert found.given == rows.names


def test_generator_and_modes_are_left_alone_and_a_seed_makes_it_reproducible():
    toy, system = small()
    options = {"num_samples": 4, "num_warmup": 2, "num_chains": 1}
    before = torch.get_rng_state()
    system.train()
    one, two = (posterior_check(system, toy.sample(1), **options) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert system.training
    assert torch.equal(one.exact["z"], two.exact["z"])
    assert torch.equal(one.guide["z"], two.guide["z"])
    assert all(p.grad is None for p in nn.Module.parameters(system))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_samples": 0}, "num_samples: expected an integer"),
        ({"num_chains": 0}, "num_chains: expected an integer"),
        ({"given": "d"}, "modality 'd'"),
    ],
)
def test_wrong_options_are_errors(options, message):
    toy, system = small()
    with pytest.raises(ValueError, match=message):
        posterior_check(system, toy.sample(2), **options)


def test_many_rows_are_an_error():
    toy, system = small()
    with pytest.raises(ValueError, match="expected at most 100 rows, got 101"):
        posterior_check(system, toy.sample(101))
