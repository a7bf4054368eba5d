"""log p(x_A | x_B) from the strata of mixture guides, against the closed form."""

import itertools
import math
from functools import partial

import pytest
import torch
from linear_gaussian import NAMES, LinearGaussian
from linear_gaussian_private import PrivateLinearGaussian
from plain_likelihood import log_likelihood

from ppl_mm import guides
from ppl_mm.guides.single_expert import SingleExpert
from ppl_mm.likelihood import sampling
from ppl_mm.likelihood.importance import from_guide, log_weights_of
from ppl_mm.objectives import log_weights

SUBSETS = [s for k in (1, 2, 3) for s in itertools.combinations(NAMES, k)]
SPLITS = [(a, b) for a in SUBSETS for b in SUBSETS if not set(a) & set(b)]
FIELDS = ("value", "standard_error", "ess", "pareto_k")


def pairs(modalities, latent_dim):
    """Some subsets only: a row of c alone allows none and gets the prior."""
    product = guides.ProductOfExperts(modalities, latent_dim, prior_expert=False)
    return guides.Mixture(product, [("a",), ("b",), ("a", "b", "c")])


PRODUCT = partial(guides.ProductOfExperts, prior_expert=False)
SHARED = {
    "experts": guides.MixtureOfExperts,
    "experts, laplace": partial(guides.MixtureOfExperts, prior="laplace"),
    "products": guides.MixtureOfProducts,
    "some products": pairs,
}


def plain(shared):
    """The model with one latent; Laplace experts with its Normal prior are a guide as well."""
    # Experts are exact but for their width: too wide, so that weights have a finite variance.
    toy = LinearGaussian(spread=1.3)
    return toy, toy.system(shared(toy.modalities, toy.latent_dim))


def private(shared):
    toy = PrivateLinearGaussian(spread=1.4)
    return toy, toy.system(shared)


CASES = {f"one latent, {n}": partial(plain, s) for n, s in SHARED.items()}
CASES |= {f"private, {n}": partial(private, s) for n, s in SHARED.items()}
CASES["private, product"] = partial(private, PRODUCT)
few_draws = pytest.mark.filterwarnings(
    "ignore::ppl_mm.results.unreliable.UnreliableLikelihoodWarning"
)
every_case = pytest.mark.parametrize("make", CASES.values(), ids=CASES)


def assert_within_error(found, exact, sigmas=4):
    """Within 4 of the estimates' own standard errors; rounding where the weights are constant."""
    assert ((found.value - exact).abs() <= sigmas * found.standard_error + 1e-9).all()
    assert found.standard_error.max() < 0.2


def conditional(toy, obs, target, given):
    return toy.log_p(obs, (*target, *given)) - toy.log_p(obs, given)


# ---------------------------------------------------------------- agreement with the closed form


@every_case
@pytest.mark.parametrize("target", SUBSETS)
def test_joint_and_marginals_of_every_pattern(make, target):
    toy, system = make()
    obs = toy.mixed(2)
    found = log_likelihood(system, obs, target, num_samples=2000)
    assert_within_error(found, toy.log_p(obs, target))
    held = torch.stack([obs.present[n] for n in target]).any(0)
    assert (found.standard_error[held] > 0).all()


@every_case
@pytest.mark.parametrize(
    ("target", "given"), [(("a",), ("b",)), (("b",), ("a", "c")), (("a", "c"), ("b",))]
)
def test_conditionals_of_every_pattern(make, target, given):
    toy, system = make()
    obs = toy.mixed(2)
    found = log_likelihood(system, obs, target, given, num_samples=2000)
    assert_within_error(found, conditional(toy, obs, target, given))


@pytest.mark.slow
@every_case
@pytest.mark.parametrize(("target", "given"), SPLITS)
def test_every_conditional_of_every_pattern(make, target, given):
    toy, system = make()
    obs = toy.mixed()
    found = log_likelihood(system, obs, target, given, num_samples=2000)
    assert_within_error(found, conditional(toy, obs, target, given))


@every_case
@pytest.mark.parametrize("proposal", ["joint", "given", "prior", "defensive", ["c"], ["a", "c"]])
def test_every_proposal(make, proposal):
    toy, system = make()
    obs = toy.mixed()
    found = log_likelihood(system, obs, ("a", "b"), ("c",), num_samples=5000, proposal=proposal)
    assert_within_error(found, conditional(toy, obs, ("a", "b"), ("c",)))


@every_case
def test_a_denominator_from_prior_draws(make):
    toy, system = make()
    obs = toy.mixed()
    found = log_likelihood(system, obs, "a", "c", num_samples=3000, denominator="prior")
    assert_within_error(found, conditional(toy, obs, ("a",), ("c",)))


@pytest.mark.slow  # sixty estimates
@pytest.mark.parametrize("case", ["one latent, products", "private, experts"])
def test_standard_errors_are_those_of_repeated_estimates(case):
    # 60 repeats: a relative standard error of sqrt(2 / 59) = 0.18 of each ratio of variances; 4.
    toy, system = CASES[case]()
    obs = toy.mixed()
    held = torch.stack(list(obs.present.values())).any(0)
    runs = [log_likelihood(system, obs, num_samples=210, seed=s) for s in range(60)]
    spread = torch.stack([r.value for r in runs]).var(0)[held]
    claimed = torch.stack([r.standard_error for r in runs]).square().mean(0)[held]
    assert ((spread / claimed).log().abs() < 4 * 0.18).all()


# ---------------------------------------------------------------- what the estimate is made of


def test_the_estimate_is_the_average_weight_of_all_strata():
    toy, system = plain(guides.MixtureOfExperts)
    obs = toy.sample(5)
    found = log_likelihood(system, obs, num_samples=30, seed=7)
    torch.manual_seed(7)
    strata = system.guide.strata(obs)
    log_w = log_weights(system.model, system.guide, strata, num_particles=10)
    expected = log_w.flatten(0, 1).logsumexp(0) - math.log(30)
    torch.testing.assert_close(found.value, expected, atol=1e-10, rtol=0)


def test_weights_of_different_rows_must_not_be_mixed():
    # A public implementation reads weights (draws, rows) as (rows, draws).
    toy, system = private(guides.MixtureOfExperts)
    obs = toy.sample(8)
    draws = from_guide(system.model, system.guide, obs, 3000)
    weights = log_weights_of(system.model, obs, draws, 10**6).of(NAMES)  # (S, K, B)
    log_w = weights.flatten(0, 1)
    exact = toy.log_p(obs, NAMES)

    def off(log_w):  # (L, B), in standard errors of the mean weight
        ratio = (log_w - exact).exp()
        return (ratio.mean(0) - 1).abs() / (ratio.std(0) / math.sqrt(len(ratio)))

    assert (off(log_w) < 4).all()
    assert (off(log_w.reshape(len(obs), -1).T) > 4).any()


def test_one_expert_is_weighted_by_the_density_of_all():
    # With the density of its own component each stratum's average would be the evidence as well;
    # with that of the mixture only the average over strata is, and its weights are bounded.
    toy, system = plain(guides.MixtureOfExperts)
    obs = toy.sample(4)
    strata = system.guide.strata(obs)
    log_w = log_weights(system.model, system.guide, strata, num_particles=20_000)
    ratio = (log_w - toy.log_p(obs, NAMES)).exp()
    mean, error = ratio.mean(0), ratio.std(0) / math.sqrt(20_000)
    assert ((mean - 1).abs() > 10 * error).any()
    total = error.square().sum(0).sqrt() / 3
    assert ((mean.mean(0) - 1).abs() < 4 * total).all()


@pytest.mark.parametrize("shared", ["experts", "products"])
@pytest.mark.parametrize("number", [100, 7, 1])
def test_every_row_gets_about_as_many_draws_as_asked_for(monkeypatch, shared, number):
    toy, system = plain(SHARED[shared])
    obs = toy.mixed(3)
    seen = []

    def count(model, batch, draws, chunk):
        patterns = torch.stack([batch.present[n] for n in NAMES], 1)
        assert (patterns == patterns[0]).all()
        assert (draws.log_pi > -torch.inf).all()  # none in vain
        seen.append(len(batch))
        allowed = int((system.guide.strata(batch).log_weight[:, 0] > -torch.inf).sum())
        # Two draws of each component at least, for their error; fewer come from any at random.
        components = allowed if number >= 2 * allowed else 1
        assert len(draws.log_pi) == components
        assert number <= len(draws.log_q) < number + components
        return log_weights_of(model, batch, draws, chunk)

    monkeypatch.setattr(sampling, "log_weights_of", count)
    log_likelihood(system, obs, num_samples=number)
    assert sum(seen) == len(obs)


def test_constant_weights_have_the_effective_size_of_their_draws():
    toy, _ = plain(guides.MixtureOfExperts)
    equal = guides.MixtureOfExperts(toy.modalities, 2)
    for expert in equal.encoders.values():  # every expert ignores its input
        torch.nn.init.zeros_(expert.map)
        torch.nn.init.zeros_(expert.log_scale)
    toy.weight = {n: torch.zeros_like(w) for n, w in toy.weight.items()}
    toy.modalities = [toy._modality(n, 1.0) for n in NAMES]
    obs = toy.mixed()
    found = log_likelihood(toy.system(equal), obs, num_samples=60)
    torch.testing.assert_close(found.value, toy.log_p(obs, NAMES), atol=1e-9, rtol=0)
    torch.testing.assert_close(found.ess, torch.full((8,), 60.0))


def test_few_draws_still_have_a_standard_error():
    for make in CASES.values():
        toy, system = make()
        found = log_likelihood(system, toy.mixed(), num_samples=3)
        assert found.standard_error.isfinite().all()


# ---------------------------------------------------------------- what must not matter


@few_draws
@every_case
@pytest.mark.parametrize("proposal", ["joint", "defensive"])
def test_chunks_do_not_matter(make, proposal):
    toy, system = make()
    obs = toy.mixed()
    results = [
        log_likelihood(system, obs, "a", "b", num_samples=30, proposal=proposal, chunk=chunk)
        for chunk in (10**6, 7)
    ]
    for field in FIELDS:
        one, other = (getattr(result, field) for result in results)
        torch.testing.assert_close(one, other, atol=1e-9, rtol=1e-9)


@every_case
def test_the_order_of_rows_comes_back(make):
    toy, system = make()
    obs = toy.mixed(2)
    found = log_likelihood(system, obs, num_samples=2000)
    order = torch.randperm(len(obs))
    turned = log_likelihood(system, obs[order], num_samples=2000)
    assert_within_error(turned, toy.log_p(obs, NAMES)[order])
    assert_within_error(found, toy.log_p(obs, NAMES))


@pytest.mark.parametrize("shared", ["experts", "products"])
def test_a_modality_that_the_data_lack_is_one_that_every_row_misses(shared):
    toy, system = private(SHARED[shared])
    obs = toy.sample(4)
    masked = log_likelihood(system, obs.without("b"), num_samples=90)
    gone = log_likelihood(system, obs.drop("b"), num_samples=90)
    torch.testing.assert_close(masked.value, gone.value, atol=1e-10, rtol=0)


def test_training_options_play_no_part():
    toy = PrivateLinearGaussian(spread=1.4)
    obs = toy.mixed()
    plain_, trained = (
        toy.system(guides.MixtureOfExperts, **options)
        for options in ({}, {"beta": 3.0, "weights": {"a": 9.0}, "private": "prior", "strata": 1})
    )
    trained.load_state_dict(plain_.state_dict())
    one, other = (log_likelihood(s, obs, num_samples=90).value for s in (plain_, trained))
    assert torch.equal(one, other)


def test_a_family_of_one_is_its_component():
    toy = LinearGaussian(spread=1.3)
    obs = toy.sample(4).without("b", "c")
    alone = guides.Mixture(SingleExpert(toy.modalities, 2), [("a",)])
    bare = PRODUCT(toy.modalities, 2)
    one, other = (
        log_likelihood(toy.system(g), obs, "a", num_samples=50).value for g in (alone, bare)
    )
    torch.testing.assert_close(one, other, atol=1e-10, rtol=0)
