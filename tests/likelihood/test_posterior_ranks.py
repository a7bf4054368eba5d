"""Ranks of true latents among posterior draws: uniform if and only if these are right."""

import pyro.distributions as dist
import pytest
import torch
from every_system import build, complete, kinds_of
from linear_gaussian import ExactPosterior, LinearGaussian
from linear_gaussian_prior import ExactGivenObserved, GaussianGivenObserved
from scipy.stats import chisquare

from ppl_mm import Observations, System, guides, plotting
from ppl_mm.evaluation import PosteriorRanks, posterior_ranks, upper_bounds
from ppl_mm.likelihood.posterior_ranks import _ranks
from ppl_mm.objectives import IWAE
from ppl_mm.plotting import rank_curves


def toy_system(spread=1.0):
    toy = LinearGaussian({"a": 1, "b": 2}, spread=spread)
    return toy, toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim))


def test_the_exact_posterior_has_uniform_ranks():
    toy = LinearGaussian({"a": 1, "b": 2})
    found = posterior_ranks(toy.system(toy.exact_guide()), 1000)
    assert found.ranks.shape == (1000, 2)
    assert found.p_value() > 0.01
    # The variance of 1000 squares of uniform numbers, 4/5 of their mean squared.
    assert ((found.width() - 1).abs() < 4 * (0.8 / 1000) ** 0.5).all()
    assert (found.shift().abs() < 4 / (12 * 1000) ** 0.5).all()


class Scaled(ExactPosterior):
    """The exact posterior with its standard deviations times a factor."""

    factor = 1.0

    def posterior(self, obs):
        exact = super().posterior(obs)
        return dist.MultivariateNormal(exact.loc, scale_tril=self.factor * exact.scale_tril)


@pytest.mark.parametrize(("factor", "narrow"), [(0.4, True), (2.5, False)])
def test_guides_that_are_too_narrow_or_too_wide_are_found(factor, narrow):
    toy, _ = toy_system()
    guide = Scaled(toy)
    guide.factor = factor
    found = posterior_ranks(toy.system(guide), 300, num_draws=19)
    assert found.p_value() < 1e-4
    assert ((found.width() > 1.3) == narrow).all()
    assert ((found.width() < 0.7) != narrow).all()
    assert "not uniform" in str(found)


def test_refined_draws_mend_a_guide_that_is_too_narrow():
    _, system = toy_system(0.3)
    found = posterior_ranks(system, 400, draws="refined", num_draws=19)
    assert found.p_value() > 0.01
    assert "as if uniform" in str(found)


def test_part_of_the_modalities_and_missing_values():
    toy = LinearGaussian({"a": 1, "b": 2})
    rows = Observations(toy.sample(600).values, {"a": torch.arange(600) % 2 == 0})
    system = toy.system(toy.exact_guide())
    for given in ("a", "b", None):
        found = posterior_ranks(system, rows, given, num_draws=19)
        assert found.p_value() > 0.01
    assert found.given == ("a", "b")


def test_what_the_model_conditions_on_is_kept():
    toy = GaussianGivenObserved()
    system = System(toy.model(), ExactGivenObserved(toy), IWAE())
    found = posterior_ranks(system, toy.sample(500), num_draws=19)
    assert found.p_value() > 0.01
    with pytest.raises(ValueError, match="rows: the model conditions on c"):
        posterior_ranks(system, 5)


@pytest.mark.parametrize("draws", ["guide", "refined"])
@pytest.mark.parametrize("name", ["mmvae_plus", "mmvae", "meme", "cmmd"])
def test_mixtures_private_latents_and_conditional_priors(name, draws):
    torch.manual_seed(0)
    system = build(name)
    found = posterior_ranks(system, complete(4, *kinds_of(name)), draws=draws, num_draws=9)
    assert found.ranks.shape == (4, len(found.coordinates))
    assert ((found.ranks >= 0) & (found.ranks <= 9)).all()


def test_more_coordinates_than_can_be_refined_are_refused(monkeypatch):
    _, system = toy_system()
    monkeypatch.setattr("ppl_mm.likelihood.refined.estimate.MOST_COORDINATES", 1)
    with pytest.raises(ValueError, match="proposals of their own: 2 latent coordinates"):
        posterior_ranks(system, 3, draws="refined")
    assert posterior_ranks(system, 3, num_draws=9).ranks.shape == (3, 2)
    with pytest.raises(ValueError, match="more than 1"):
        upper_bounds(system, toy_system()[0].sample(2))
    with pytest.raises(ValueError, match="more than 1"):
        plotting.posterior(system, toy_system()[0].sample(2))


def told(ranks, num_draws=9):
    names = tuple(f"z[{d}]" for d in range(ranks.shape[1]))
    return PosteriorRanks(ranks, num_draws, names, ("a",), "guide")


def test_counts_p_values_and_bins():
    ranks = torch.arange(10).repeat(10)
    found = told(torch.stack([ranks, ranks // 2], 1))
    assert found.num_bins == 10
    assert found.counts().tolist() == [[10] * 10, [20] * 5 + [0] * 5]
    expected = [1.0, chisquare([20] * 5 + [0] * 5).pvalue]
    assert found.p_values().tolist() == pytest.approx(expected)
    assert found.p_value() == pytest.approx(2 * expected[1])
    assert found.width()[0] == pytest.approx(1.0)
    assert found.shift().tolist() == pytest.approx([0.0, 2 / 9 - 0.5])
    assert told(ranks[:10, None]).num_bins == 2  # at least five rows in each
    assert told(ranks[:3, None]).num_bins == 1
    assert told(ranks[:3, None]).p_value() == 1.0


def test_equal_draws_are_ranked_at_random():
    torch.manual_seed(0)
    truth = torch.zeros(1, 5000, 1)
    drawn = torch.stack([truth[0], truth[0], truth[0] - 1.0])
    found = _ranks(truth, drawn)[:, 0].bincount()
    assert found[0] == 0
    assert chisquare(found[1:].numpy()).pvalue > 0.01


def test_results_print_and_plot(tmp_path):
    torch.manual_seed(0)
    found = told(torch.stack([torch.randint(10, (100,)), torch.randint(5, (100,))], 1))
    frame = found.to_pandas()
    assert frame["target"].tolist() == ["z[0]", "z[1]"] * 3
    left, right = found.plot(tmp_path / "ranks.png").axes
    assert [bar.get_height() for bar in left.patches] == found.counts().double().mean(0).tolist()
    (label,) = right.get_legend().get_texts()
    assert label.get_text().startswith("z[1] (p = ")
    assert rank_curves(found).axes
