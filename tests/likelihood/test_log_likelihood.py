"""log p(x_A | x_B) against the closed form, and what the estimates say about their own error."""

import itertools
import re
import warnings

import pytest
import torch
from linear_gaussian import NAMES, LinearGaussian
from plain_likelihood import log_likelihood
from torch import nn

from ppl_mm import Modality, Observations, System, guides, likelihoods, models
from ppl_mm.evaluation import UnreliableLikelihoodWarning
from ppl_mm.likelihood.log_likelihood import log_likelihoods
from ppl_mm.objectives import IWAE, ELBOTerms, iwae_bound, log_weights, subset_terms

SUBSETS = [s for k in (1, 2, 3) for s in itertools.combinations(NAMES, k)]
SPLITS = [(a, b) for a in SUBSETS for b in SUBSETS if not set(a) & set(b)]
FIELDS = ("value", "standard_error", "ess", "pareto_k", "log_weight_variance", "shared_error")

# Experts that are too wide on purpose: the estimate is then no constant. Rank-1 decoders leave
# the experts' posteriors strongly correlated, so the diagonal experts have to be wider.
TOYS = {"full rank": (None, 1.3), "rank 1": (1, 2.5)}
every_toy = pytest.mark.parametrize(("rank", "spread"), TOYS.values(), ids=TOYS)


def product(toy, prior_expert=False):
    return guides.ProductOfExperts(toy.modalities, toy.latent_dim, prior_expert=prior_expert)


def assert_weights_have_finite_variance(toy, guide, obs, evidence, scored):
    """E_q[w^2] = integral of p^2 / q is finite iff 2 P_p - P_q is positive definite."""
    q = guide.posterior(obs.given(*evidence))
    p = toy.exact_guide().posterior(obs.given(*scored))
    excess = 2 * p.precision_matrix - torch.diag_embed(q.variance.reciprocal())
    assert (torch.linalg.eigvalsh(excess) > 0).all()


def assert_within_error(found, exact, sigmas=4):
    """Within 4 of the estimates' own standard errors; rounding where the weights are constant."""
    assert ((found.value - exact).abs() <= sigmas * found.standard_error + 1e-9).all()
    assert found.standard_error.max() < 0.3


def conditional(toy, obs, target, given):
    return toy.log_p(obs, (*target, *given)) - toy.log_p(obs, given)


# ---------------------------------------------------------------- agreement with the closed form


@every_toy
@pytest.mark.parametrize("prior_expert", [False, True])
@pytest.mark.parametrize("target", SUBSETS)
def test_joint_and_marginals(rank, spread, prior_expert, target):
    toy = LinearGaussian(rank=rank, spread=spread)
    obs, guide = toy.mixed(), product(toy, prior_expert)
    assert_weights_have_finite_variance(toy, guide, obs, target, target)
    found = log_likelihood(toy.system(guide), obs, target, num_samples=2000)
    assert_within_error(found, toy.log_p(obs, target))


@every_toy
@pytest.mark.parametrize(("target", "given"), SPLITS)
def test_conditionals(rank, spread, target, given):
    toy = LinearGaussian(rank=rank, spread=spread)
    obs, guide = toy.mixed(), product(toy)
    both = (*target, *given)
    assert_weights_have_finite_variance(toy, guide, obs, both, both)
    assert_weights_have_finite_variance(toy, guide, obs, given, given)
    found = log_likelihood(toy.system(guide), obs, target, given, num_samples=2000)
    assert_within_error(found, conditional(toy, obs, target, given))


@every_toy
@pytest.mark.parametrize("proposal", ["joint", "given", "prior", "defensive", ["c"], ["a", "c"]])
@pytest.mark.parametrize("denominator", ["posterior", "prior"])
def test_proposals_and_denominators(rank, spread, proposal, denominator):
    toy = LinearGaussian({"a": 2, "b": 2, "c": 1}, rank=rank, spread=spread)
    toy.noise = dict.fromkeys(NAMES, 2.0)  # vague modalities: the prior is a fair proposal
    toy.modalities = [toy._modality(n, spread) for n in NAMES]
    obs, guide = toy.mixed(), product(toy)
    found = log_likelihood(
        toy.system(guide),
        obs,
        ("a", "b"),
        ("c",),
        num_samples=2000,
        proposal=proposal,
        denominator=denominator,
    )
    assert_within_error(found, conditional(toy, obs, ("a", "b"), ("c",)))
    labels = {
        "joint": "joint posterior",
        "given": "posterior of the given",
        "prior": "prior",
        "defensive": "defensive mixture",
    }
    if isinstance(proposal, str):
        assert found.proposal == labels[proposal]
    else:
        assert found.proposal == f"posterior of {', '.join(proposal)}"


@every_toy
@pytest.mark.parametrize("given", [(), ("a",), ("b", "c")])
def test_exact_posterior_gives_constant_weights(rank, spread, given):
    # The draws see everything, or only the given; then the rows are those that hold no more.
    toy = LinearGaussian(rank=rank)
    obs = toy.mixed()
    if given:
        others = [obs.present[n] for n in NAMES if n not in given]
        obs = obs[~torch.stack(others).any(0)]
    proposal = given or "joint"
    system = toy.system(toy.exact_guide())
    found = log_likelihood(system, obs, proposal=proposal, num_samples=50)
    exact = toy.log_p(obs, NAMES)
    torch.testing.assert_close(found.value, exact, atol=1e-10, rtol=0)
    assert found.log_weight_variance.max() < 1e-10  # weights equal to 1e-5 nats
    assert found.standard_error.max() < 1e-5
    assert (found.pareto_k == 0).all()
    torch.testing.assert_close(found.ess, torch.full_like(exact, 50.0))


@pytest.mark.parametrize(("target", "given"), SPLITS)
def test_exact_posterior_gives_exact_conditionals(target, given):
    toy = LinearGaussian()
    obs = toy.mixed()
    system = toy.system(toy.exact_guide())
    found = log_likelihood(system, obs, target, given, num_samples=30)
    expected = conditional(toy, obs, target, given)
    torch.testing.assert_close(found.value, expected, atol=1e-9, rtol=0)
    assert found.standard_error.max() < 1e-5
    assert (found.pareto_k == 0).all()


def scalar_toy():
    """z ~ N(0, 1), a ~ N(2 z, 1), b ~ N(z / 2, 2^2), at a = 1, b = -1."""
    toy = LinearGaussian({"a": 1, "b": 1}, latent_dim=1)
    toy.weight = {"a": torch.tensor([[2.0]]), "b": torch.tensor([[0.5]])}
    toy.bias = {"a": torch.zeros(1), "b": torch.zeros(1)}
    toy.noise = {"a": 1.0, "b": 2.0}
    toy.modalities = [toy._modality(n, 1.0) for n in toy.sizes]
    return toy, Observations({"a": torch.tensor([[1.0]]), "b": torch.tensor([[-1.0]])})


@pytest.mark.parametrize(
    ("target", "given", "number"),
    [
        ("a", (), -1.823658),
        ("b", (), -1.760045),
        (("a", "b"), (), -3.619732),
        ("a", "b", -1.859687),
    ],
)
def test_numbers_of_the_mvae_digest(target, given, number):
    toy, obs = scalar_toy()
    found = log_likelihood(toy.system(toy.exact_guide()), obs, target, given, num_samples=30)
    # Printed with six digits after the point, not always rounded to nearest.
    assert found.value.item() == pytest.approx(number, abs=1e-6)


def test_joint_by_the_posterior_of_one_modality():
    toy, obs = scalar_toy()
    system = toy.system(toy.exact_guide())
    found = log_likelihood(system, obs, proposal=["a"], num_samples=40_000)
    assert abs(found.value.item() + 3.619732) < 4 * found.standard_error.item() + 1e-6
    # log w = const - T (z - m)^2 / 2 is quadratic in a Normal z of mean 0.4 and variance 0.2, with
    # T = 1/16 and m = -2: its variance is T^2 (V^2 / 2 + (mean - m)^2 V).
    variance = (1 / 16) ** 2 * (0.2**2 / 2 + 2.4**2 * 0.2)
    assert variance == pytest.approx(0.0046, abs=5e-5)
    # A relative standard error of sqrt(2 / K) for the variance of a near-Normal, times 4.
    assert found.log_weight_variance.item() == pytest.approx(variance, rel=4 * 0.0071)


def test_decoder_that_ignores_the_latent_has_its_exact_log_probability_for_any_draws():
    toy = LinearGaussian(spread=1.3)
    toy.weight["b"] = torch.zeros_like(toy.weight["b"])
    toy.modalities = [toy._modality(n, 1.3) for n in NAMES]
    obs = toy.sample(3)
    normal = torch.distributions.Normal(toy.bias["b"], toy.noise["b"])
    exact = normal.log_prob(obs["b"]).sum(-1)
    found = log_likelihood(toy.system(product(toy)), obs, "b", num_samples=3, proposal="prior")
    torch.testing.assert_close(found.value, exact, atol=1e-10, rtol=0)


# ---------------------------------------------------------------- identities


def test_chain_rule_holds_for_the_estimates_themselves():
    # log p(a, b) - log p(a | b) is the conditional's own estimate of log p(b), whatever the seed:
    # the numerator has the joint's draws. For the exact guide of b it is log p(b) itself.
    toy = LinearGaussian(spread=1.3)
    obs = toy.sample(4)
    narrow = product(toy)

    class ExactForB(nn.Module):
        def posterior(self, obs):
            return toy.exact_guide().posterior(obs)

        def forward(self, obs):
            (toy.exact_guide() if not obs.evidence["a"].any() else narrow)(obs)

    system = toy.system(ExactForB())
    joint = log_likelihood(system, obs, ("a", "b"), num_samples=200)
    given_b = log_likelihood(system, obs, "a", "b", num_samples=200)
    difference = joint.value - given_b.value
    torch.testing.assert_close(difference, toy.log_p(obs, "b"), atol=1e-10, rtol=0)
    assert joint.standard_error.min() > 1e-3  # the parts themselves are noisy


def test_joint_and_conditional_log_weights_have_the_same_variance():
    # For one proposal and one set of draws they differ by the constant log p(b).
    toy = LinearGaussian(spread=1.3)
    obs = toy.sample(4)
    system = toy.system(product(toy))
    joint = log_likelihood(system, obs, ("a", "b"), num_samples=300)
    given_b = log_likelihood(system, obs, "a", "b", num_samples=300)
    torch.testing.assert_close(joint.log_weight_variance, given_b.log_weight_variance)
    assert joint.log_weight_variance.min() > 0


def test_estimate_is_the_average_weight_of_its_draws():
    toy = LinearGaussian(spread=1.3)
    obs, k = toy.mixed(), 64
    model, guide = toy.model(), product(toy)
    system = System(model, guide, IWAE())
    found = log_likelihood(system, obs, num_samples=k, seed=11)
    torch.manual_seed(11)
    log_w = log_weights(model, guide, obs, num_particles=k)
    torch.testing.assert_close(found.value, iwae_bound(log_w), atol=1e-10, rtol=0)
    weights = (log_w - log_w.logsumexp(0)).exp()
    held = torch.stack([obs.present[n] for n in NAMES]).any(0)
    torch.testing.assert_close(found.ess[held], 1 / weights.square().sum(0)[held])
    error = weights.std(0) * k**0.5
    torch.testing.assert_close(found.standard_error[held], error[held])
    torch.testing.assert_close(found.log_weight_variance[held], log_w.var(0)[held])


@pytest.mark.slow  # sixty estimates
def test_standard_errors_are_those_of_repeated_estimates():
    # 60 repeats: the ratio of variances has a relative standard error of sqrt(2/59) = 0.18 for
    # each of 3 rows; 4 of these.
    toy = LinearGaussian(spread=1.3)
    obs = toy.sample(3)
    system = toy.system(product(toy))
    runs = [log_likelihood(system, obs, num_samples=200, seed=s) for s in range(60)]
    spread = torch.stack([r.value for r in runs]).var(0)
    claimed = torch.stack([r.standard_error for r in runs]).square().mean(0)
    assert ((spread / claimed).log().abs() < 4 * 0.18).all()


# ---------------------------------------------------------------- poor guides say so


def vague_toy(spread):
    """Noisy modalities, so that a tenth of prior draws explains a fair share of the data."""
    toy = LinearGaussian({"a": 1, "b": 1})
    toy.noise = dict.fromkeys("ab", 2.0)
    toy.modalities = [toy._modality(n, spread) for n in "ab"]
    return toy


def test_too_narrow_encoder_is_flagged_and_the_defensive_proposal_repairs_it():
    toy = vague_toy(spread=0.3)
    obs = toy.sample(12)
    system = toy.system(product(toy))
    with pytest.warns(UnreliableLikelihoodWarning, match=r"rows have a Pareto k above 0\.7") as log:
        narrow = log_likelihood(system, obs, num_samples=2000)
    rows = (narrow.pareto_k > 0.7).nonzero().squeeze(-1)
    assert len(rows) > 6
    assert torch.equal(rows, narrow.unreliable)
    assert f"rows {', '.join(map(str, rows.tolist()[:10]))}" in str(log[0].message)
    assert "proposal='defensive'" in str(log[0].message)
    repaired = log_likelihood(system, obs, num_samples=2000, proposal="defensive")
    assert repaired.pareto_k.max() < 0.7
    more = log_likelihood(system, obs, num_samples=20_000, proposal="defensive")
    assert more.pareto_k.max() < 0.7  # bounded weights have no tail, however many draws
    assert_within_error(repaired, toy.log_p(obs, ("a", "b")))


def test_encoder_that_knows_nothing_is_repaired_by_the_defensive_proposal():
    toy = vague_toy(spread=0.4)
    obs = toy.sample(8)
    guide = product(toy)
    with torch.no_grad():
        for encoder in guide.encoders.values():
            encoder.map.copy_(torch.randn_like(encoder.map))
    system = toy.system(guide)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnreliableLikelihoodWarning)
        random = log_likelihood(system, obs, num_samples=1000)
        trusted = random.pareto_k < 0.7
    assert not trusted.all()
    repaired = log_likelihood(system, obs, num_samples=4000, proposal="defensive")
    assert_within_error(repaired, toy.log_p(obs, "ab"))


def test_conditional_of_a_too_narrow_encoder_is_flagged_and_repaired_in_both_its_parts():
    toy = vague_toy(spread=0.3)
    obs, system = toy.sample(12), toy.system(product(toy))
    with pytest.warns(UnreliableLikelihoodWarning, match=r"log p\(a \| b\): \d+ of 12 rows"):
        narrow = log_likelihood(system, obs, "a", "b", num_samples=2000)
    assert len(narrow.unreliable) > 6
    # The numerator alone is right here: the flag is the denominator's.
    with pytest.warns(UnreliableLikelihoodWarning):
        half = log_likelihood(system, obs, "a", "b", num_samples=2000, proposal="prior")
    assert len(half.unreliable) > 3
    for options in ({"proposal": "defensive"}, {"proposal": "prior", "denominator": "prior"}):
        repaired = log_likelihood(system, obs, "a", "b", num_samples=2000, **options)
        assert_within_error(repaired, conditional(toy, obs, ("a",), ("b",)))


def test_difference_of_two_estimates_has_the_errors_of_both():
    toy = LinearGaussian(spread=1.3)
    obs, system = toy.mixed(), toy.system(product(toy))
    both, given = (log_likelihood(system, obs, t, num_samples=99) for t in (("a", "b"), ("b",)))
    found = both.minus(given)
    torch.testing.assert_close(found.value, both.value - given.value)
    assert torch.equal(found.pareto_k, torch.maximum(both.pareto_k, given.pareto_k))
    assert torch.equal(found.ess, torch.minimum(both.ess, given.ess))
    squares = both.standard_error**2 + given.standard_error**2
    torch.testing.assert_close(found.standard_error**2, squares)
    # It is least where the first is least and the second is largest.
    down = (both.value - both.low).square() + (given.high - given.value).square()
    up = (both.high - both.value).square() + (given.value - given.low).square()
    torch.testing.assert_close((found.value - found.low).square(), down)
    torch.testing.assert_close((found.high - found.value).square(), up)
    assert (found.target, found.given) == (("a",), ("b",))


# ---------------------------------------------------------------- what must not matter


@pytest.mark.parametrize("chunk", [1, 7, 100, 10_000])
@pytest.mark.parametrize("proposal", ["joint", "prior", "defensive"])
@pytest.mark.parametrize("denominator", ["posterior", "prior"])
def test_chunks_do_not_matter(chunk, proposal, denominator):
    toy = LinearGaussian(spread=1.3)
    obs, system = toy.mixed(), toy.system(product(toy))
    options = {"num_samples": 23, "proposal": proposal, "denominator": denominator}
    whole = log_likelihood(system, obs, "a", "b", **options)
    cut = log_likelihood(system, obs, "a", "b", **options, chunk=chunk)
    for field in ("value", "standard_error", "ess"):
        torch.testing.assert_close(
            getattr(whole, field), getattr(cut, field), atol=1e-10, rtol=1e-10
        )


def test_rows_drawn_in_blocks_agree_with_the_closed_form(monkeypatch):
    # Blocks of rows bound the memory of the draws; other draws, the same estimate.
    toy = LinearGaussian(spread=1.3)
    obs, system = toy.mixed(), toy.system(product(toy))
    monkeypatch.setattr("ppl_mm.likelihood.sampling._DRAWS_AT_ONCE", 3 * 1000)
    found = log_likelihood(system, obs, num_samples=1000)
    assert_within_error(found, toy.log_p(obs, NAMES))


def test_training_weights_and_beta_do_not_matter():
    toy = LinearGaussian(spread=1.3)
    model, guide, obs = toy.model(), product(toy), toy.mixed()
    heavy = ELBOTerms(subset_terms(), weights={"a": 50.0}, beta=0.1)
    heavy.annealing = 0.01
    plain, weighted = (
        log_likelihood(System(model, guide, o), obs, num_samples=30) for o in (IWAE(), heavy)
    )
    assert torch.equal(plain.value, weighted.value)


def test_seed_makes_it_reproducible_and_torchs_generator_is_left_alone():
    toy = LinearGaussian(spread=1.3)
    obs, system = toy.mixed(), toy.system(product(toy))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = log_likelihood(system, obs, num_samples=30, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    two, other = (log_likelihood(system, obs, num_samples=30, seed=s) for s in (4, 5))
    assert torch.equal(one.value, two.value)
    assert not torch.equal(one.value, other.value)


def test_modes_of_the_networks_are_put_back_and_eval_mode_is_used():
    toy = LinearGaussian()
    system, seen = toy.system(product(toy)), []
    system.train()
    system.guide.encoders["b"].eval()
    system.model.decoders["a"].register_forward_hook(lambda m, *_: seen.append(m.training))
    before = [m.training for m in system.modules()]
    log_likelihood(system, toy.sample(2), num_samples=2)
    assert [m.training for m in system.modules()] == before
    assert seen
    assert not any(seen)
    with pytest.raises(ValueError, match="proposal"):
        log_likelihood(system, toy.sample(2), num_samples=2, proposal="best")
    assert [m.training for m in system.modules()] == before


def test_no_gradients_are_kept():
    toy = LinearGaussian()
    found = log_likelihood(toy.system(product(toy)), toy.sample(2), num_samples=2)
    assert not found.value.requires_grad


def test_values_of_other_modalities_do_not_matter():
    toy = LinearGaussian(spread=1.3)
    obs, system = toy.mixed(), toy.system(product(toy))
    options = {"target": "a", "given": "b", "num_samples": 30}
    with_c = log_likelihood(system, obs, **options)
    without_c = log_likelihood(system, obs.drop("c"), **options)
    assert torch.equal(with_c.value, without_c.value)


# ---------------------------------------------------------------- edges


@pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")
@pytest.mark.parametrize("proposal", ["joint", "given", "prior", "defensive", ["b"]])
@pytest.mark.parametrize("denominator", ["posterior", "prior"])
def test_rows_with_nothing_of_the_target_are_exactly_zero(proposal, denominator):
    toy = LinearGaussian({"a": 3, "b": 1}, spread=1.3)
    obs, system = toy.mixed(), toy.system(product(toy))
    found = log_likelihood(
        system, obs, "a", "b", num_samples=40, proposal=proposal, denominator=denominator
    )
    nothing = ~obs.present["a"]
    for field in ("value", "standard_error", "pareto_k", "log_weight_variance"):
        assert (getattr(found, field)[nothing] == 0).all()
    assert (found.value[~nothing] != 0).all()


@pytest.mark.parametrize("proposal", ["joint", "prior", "defensive"])
def test_one_draw_keeps_shapes_and_knows_no_error(proposal):
    toy = LinearGaussian(spread=1.3)
    obs, system = toy.sample(5), toy.system(product(toy))
    found = log_likelihood(system, obs, num_samples=1, proposal=proposal)
    assert found.value.shape == found.standard_error.shape == found.pareto_k.shape == (5,)
    assert found.value.isfinite().all()
    assert found.standard_error.isnan().all()
    assert found.pareto_k.isnan().all()
    assert len(found.unreliable) == 0
    assert "nan" in str(found)


@pytest.mark.parametrize("num_rows", [1, 3])
def test_latent_of_size_one_and_single_rows(num_rows):
    toy = LinearGaussian({"a": 3, "b": 1}, latent_dim=1, spread=1.3)
    obs, system = toy.sample(num_rows), toy.system(product(toy))
    for given in ((), ("b",)):
        found = log_likelihood(system, obs, ("a",), given, num_samples=1000)
        assert_within_error(found, conditional(toy, obs, ("a",), given))


def test_two_modalities_of_equal_rows_share_their_denominator():
    # Labels repeat: the shared draws are scored once for each distinct row.
    toy = LinearGaussian({"a": 3, "b": 1}, spread=1.3)
    obs = toy.sample(6)
    obs = obs.replace("b", obs["b"][[0, 0, 0, 1, 1, 1]])
    system, seen = toy.system(product(toy)), []
    system.model.decoders["b"].register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    found = log_likelihood(system, obs, "a", "b", num_samples=10, denominator="prior")
    assert 2 * 50 in seen
    assert (found.shared_error > 0).all()
    assert torch.equal(found.shared_error[:1].expand(3), found.shared_error[:3])


# ---------------------------------------------------------------- several targets


def test_several_targets_equal_separate_calls_with_the_same_draws():
    toy = LinearGaussian(spread=1.3)
    obs, system = toy.mixed(), toy.system(product(toy))
    targets = [("a",), ("a", "b"), NAMES]
    together = log_likelihoods(system, obs, targets, num_samples=200, proposal=["a"], seed=3)
    for target, found in zip(targets, together, strict=True):
        alone = log_likelihood(system, obs, target, num_samples=200, proposal=["a"], seed=3)
        for field in FIELDS:
            torch.testing.assert_close(
                getattr(found, field), getattr(alone, field), atol=1e-10, rtol=1e-10
            )
        assert (found.target, found.given, found.proposal) == (target, (), "posterior of a")


def test_several_targets_decode_each_modality_once():
    toy = LinearGaussian()
    system, seen = toy.system(product(toy)), []
    system.model.decoders["a"].register_forward_hook(lambda *_: seen.append(1))
    obs = toy.sample(3)
    log_likelihoods(system, obs, [["a"], ["a", "b"], NAMES], num_samples=5)
    once = len(seen)
    seen.clear()
    log_likelihood(system, obs, "a", num_samples=5)
    assert once == len(seen)


@pytest.mark.parametrize(("target", "given"), [("a", ()), ("a", "b"), (("a", "c"), ())])
def test_modalities_that_are_not_asked_for_are_never_decoded(target, given):
    toy = LinearGaussian()
    system, seen = toy.system(product(toy)), set()
    for name, decoder in system.model.decoders.items():
        decoder.register_forward_hook(lambda *_, n=name: seen.add(n))
    obs = toy.sample(3)
    system.check(obs)  # shapes and supports are checked by a run of every decoder
    seen.clear()
    system.check = lambda obs: None
    log_likelihood(system, obs, target, given, num_samples=5)
    assert seen == {*target, *given}


# ---------------------------------------------------------------- the result


def test_result_says_what_it_is():
    toy = LinearGaussian(spread=1.3)
    obs, system = toy.mixed(2), toy.system(product(toy))
    found = log_likelihood(system, obs, "a", ("b", "c"), num_samples=100)
    assert found.quantity == "log p(a | b, c)"
    assert (found.target, found.given, found.num_samples) == (("a",), ("b", "c"), 100)
    assert found.normalised
    assert found.mean() == pytest.approx(found.value.mean().item())
    summary = found.summary()
    assert summary["mean"] == found.mean()
    spread = found.value.std().item() / len(obs) ** 0.5
    assert summary["standard_error"] == pytest.approx(spread)
    assert summary["low"] < summary["monte_carlo_low"] < summary["mean"]
    assert summary["mean"] < summary["monte_carlo_high"] < summary["high"]
    assert summary["rows"] == len(obs)
    assert f"{found.mean():.3f}" in str(found)
    assert "joint posterior" in str(found)


def test_error_shared_by_all_rows_does_not_average_out():
    toy = LinearGaussian({"a": 3, "b": 1}, spread=1.3)
    obs = toy.sample(1)[[0] * 400]
    system = toy.system(product(toy))
    found = log_likelihood(system, obs, "a", "b", num_samples=50, denominator="prior")
    assert found.summary()["monte_carlo_error"] >= found.shared_error.mean().item()


def test_result_goes_to_arviz():
    toy = LinearGaussian(spread=1.3)
    found = log_likelihood(toy.system(product(toy)), toy.mixed(), num_samples=50)
    data = found.to_arviz()
    assert data.estimates["value"].values.tolist() == found.value.tolist()
    assert data.estimates["pareto_k"].dims == ("row",)
    assert data.estimates.attrs == {"quantity": "log p(a, b, c)", "num_samples": 50}


@pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")
def test_result_is_a_table_and_a_picture(tmp_path):
    toy = LinearGaussian(spread=0.6)
    found = log_likelihood(toy.system(product(toy)), toy.sample(30), num_samples=100)
    first = next(found.numbers())
    assert first["measure"] == "log p(a, b, c)"
    assert first["value"] == pytest.approx(found.mean())
    frame = found.to_pandas().set_index("measure")["value"]
    assert frame["unreliable rows"] == len(found.unreliable)
    assert 0 < len(found.unreliable) < 30
    (axes,) = found.plot(tmp_path / "rows.png").axes
    sizes = [len(bars[0].get_xdata()) for bars in axes.containers]
    assert sizes == [30 - len(found.unreliable), len(found.unreliable)]
    assert (tmp_path / "rows.png").exists()


@pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")
@pytest.mark.parametrize(
    ("num_samples", "spread", "said"),
    [
        (24, 1.3, "Pareto k needs 25 draws a row"),
        (25, 0.5, r"Pareto k above 0\.7 in [1-9]\d* rows \(largest .*: those are mostly too low"),
        (1000, 1.3, r"Pareto k above 0\.7 in 0 rows \(largest -?\d\.\d\d\)$"),
    ],
)
def test_result_says_how_far_its_errors_can_be_believed(num_samples, spread, said):
    toy = LinearGaussian(spread=spread)
    found = log_likelihood(toy.system(product(toy)), toy.sample(20), num_samples=num_samples)
    assert re.search(said, str(found))


def test_one_row_has_no_spread():
    toy = LinearGaussian()
    found = log_likelihood(toy.system(product(toy)), toy.sample(1), num_samples=5)
    assert found.summary()["standard_error"] != found.summary()["standard_error"]
    assert "1 rows" in str(found)


class Constant(nn.Module):
    """Logits that ignore z."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, z):
        return self.logits.expand(len(z), -1)


class NeverAsked(nn.Module):
    """A guide that the prior as a proposal has no use for."""

    def forward(self, obs):
        raise AssertionError("the prior needs no guide")


def test_soft_bernoulli_is_a_score_and_says_so():
    toy = LinearGaussian({"a": 2})
    logits = torch.tensor([0.3, -1.2, 2.0])
    grey = Modality(
        "grey", likelihoods.SoftBernoulli(), lambda _: nn.Identity(), lambda _: Constant(logits)
    )
    model = models.SharedLatent([*toy.modalities, grey], 2)
    obs = Observations({"a": toy.sample(4)["a"], "grey": torch.rand(4, 3)})
    system = System(model, NeverAsked(), IWAE())
    for target, score in ((("grey",), True), (("a",), False), (("a", "grey"), True)):
        found = log_likelihood(system, obs, target, num_samples=20, proposal="prior")
        assert found.normalised is not score
        assert ("a score, not a density" in str(found)) is score
        assert found.quantity.startswith("score(" if score else "log p(")
        if target == ("grey",):
            exact = (obs["grey"] * logits - torch.nn.functional.softplus(logits)).sum(-1)
            torch.testing.assert_close(found.value, exact, atol=1e-10, rtol=0)


# ---------------------------------------------------------------- clear errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "d"}, "target modality 'd'"),
        ({"target": "a", "given": "d"}, "given modality 'd'"),
        ({"target": "a", "given": "a"}, "'a' is both target and given"),
        ({"target": ()}, "at least one target modality"),
        ({"target": ("a", "a")}, "target modality 'a' is named twice"),
        ({"target": "a", "given": ("b", "b")}, "given modality 'b' is named twice"),
        ({"given": NAMES}, "at least one target modality"),
        ({"num_samples": 0}, "num_samples: expected an integer of at least 1"),
        ({"chunk": 0}, "chunk: expected an integer of at least 1"),
        ({"proposal": "jiont"}, "Did you mean 'joint'"),
        ({"proposal": ["d"]}, "modality in proposal 'd'"),
        ({"denominator": "none"}, "denominator: expected 'posterior' or 'prior'"),
    ],
)
def test_wrong_options_are_errors(options, message):
    toy = LinearGaussian()
    with pytest.raises(ValueError, match=message):
        log_likelihood(toy.system(product(toy)), toy.sample(2), **options)
