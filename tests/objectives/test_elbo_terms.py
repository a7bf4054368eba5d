"""With the exact posterior every ELBO term is log p of its subset, whatever is missing.

Tolerances of 1e-10 are for rounding: the values are a few tens of nats in float64.
"""

import math
from dataclasses import replace

import pytest
import torch
from linear_gaussian import NAMES, LinearGaussian
from torch.distributions import kl_divergence

from ppl_mm import Observations, guides, models
from ppl_mm.objectives import ELBOTerms, Term, subset_terms
from ppl_mm.objectives.handlers import SharedNoise
from ppl_mm.objectives.weights import guide_trace, particles

EXACT = {"atol": 1e-10, "rtol": 0}
ALL_SUBSETS = subset_terms(None)


def term(source, scored="", reference="", weight=1.0):
    """One letter a modality."""
    return Term(tuple(source), tuple(scored), tuple(reference), weight)


def expected_subset_terms(toy, obs, dedupe):
    """log p(x_S) of each term and row by enumeration; a repeated or empty S is worth 0."""
    subsets = [t.source for t in ALL_SUBSETS(NAMES)]
    expected = torch.zeros(len(subsets), len(obs))
    for row in range(len(obs)):
        seen = set()
        for t, subset in enumerate(subsets):
            held = frozenset(n for n in subset if obs.present[n][row])
            if held and not (dedupe and held in seen):
                expected[t, row] = toy.log_p(obs[[row]], sorted(held))[0]
            seen.add(held)
    return expected


def grads(loss, *modules):
    for module in modules:
        module.zero_grad()
    loss.backward()
    return [None if p.grad is None else p.grad.clone() for m in modules for p in m.parameters()]


# ---------------------------------------------------------------- exact values


@pytest.mark.parametrize("dedupe", [True, False])
@pytest.mark.parametrize("num_particles", [1, 3])
@pytest.mark.parametrize("rank", [None, 1])
def test_exact_posterior_gives_log_evidence_of_every_subset(dedupe, num_particles, rank):
    toy = LinearGaussian(rank=rank)
    obs = toy.mixed()
    objective = ELBOTerms(ALL_SUBSETS, dedupe=dedupe, num_particles=num_particles)
    found = objective.term_bounds(toy.model(), toy.exact_guide(), obs)
    torch.testing.assert_close(found, expected_subset_terms(toy, obs, dedupe), **EXACT)


def test_analytic_kl_and_exact_product_give_log_evidence_in_expectation(exact_experts):
    # One latent coordinate: the product of the experts is the exact posterior. A draw's ELBO has
    # finite variance (a quadratic of a Normal), so 4 standard errors of these very draws.
    toy = LinearGaussian(latent_dim=1)
    obs = toy.mixed()
    guide = guides.ProductOfExperts(exact_experts(toy), 1)
    repeated = obs[torch.arange(len(obs)).repeat(400)]
    draws = ELBOTerms(ALL_SUBSETS).term_bounds(toy.model(), guide, repeated)
    draws = draws.reshape(-1, 400, len(obs))
    error = draws.std(1) / math.sqrt(400)
    off = (draws.mean(1) - expected_subset_terms(toy, obs, True)).abs()
    assert (off <= 4 * error + 1e-10).all()


def test_row_with_one_modality_counts_once_with_dedupe_and_twice_without():
    toy = LinearGaussian()
    obs = toy.sample(3).only("a")
    bounds = {
        dedupe: ELBOTerms(subset_terms(), dedupe=dedupe).bound(toy.model(), toy.exact_guide(), obs)
        for dedupe in (True, False)
    }
    exact = toy.log_p(obs, ["a"])
    torch.testing.assert_close(bounds[True], exact, **EXACT)
    torch.testing.assert_close(bounds[False], 2 * exact, **EXACT)


def test_terms_that_differ_in_more_than_modalities_all_count():
    toy = LinearGaussian()
    obs = toy.sample(3)
    a = Term(("a",), ("a",))
    others = [
        replace(a, weight=9.0),
        replace(a, lambdas={"a": 1.0}),
        replace(a, requires=("b",)),
        replace(a, fixed_model=True),
        replace(a, via="a"),
    ]
    for rows in ("require", "restrict"):
        for terms, times in (([a, a], 1), *(([a, b], 1 + b.weight) for b in others)):
            objective = ELBOTerms(terms, rows=rows)
            found = objective.bound(toy.model(), toy.exact_guide(), obs)
            torch.testing.assert_close(found, times * toy.log_p(obs, ["a"]), **EXACT)


def test_the_value_of_several_particles_is_their_mean(exact_experts):
    toy = LinearGaussian(latent_dim=1)
    guide = guides.ProductOfExperts(exact_experts(toy), 1)
    obs = toy.sample(1)[[0] * 20_000]
    spread = {}
    for k in (1, 4):
        torch.manual_seed(0)
        objective = ELBOTerms([Term(("a",), ("a", "b"))], num_particles=k)
        spread[k] = objective.bound(toy.model(), guide, obs).detach().std()
    # The standard deviation of a mean of 4; a standard deviation is known to 1 / sqrt(2 N).
    assert abs(2 * spread[4] / spread[1] - 1) < 4 * math.sqrt(4 / 20_000)


# The reference's numbers are printed with eight digits.
@pytest.mark.parametrize(
    ("values", "total", "conditionals"),
    [((1.0, 1.0), 5.4410331, 2.4100088), ((1.0, -0.5), 5.9410331, None)],
)
def test_paired_loss_of_svae_is_twice_the_joint_log_evidence(
    scalar_toy, values, total, conditionals
):
    toy = scalar_toy(a=(1.0, 1.0), b=(1.0, 1.0))
    obs = Observations({n: torch.full((1, 1), v) for n, v in zip("ab", values, strict=True)})
    four = [term("ab", "a", "b"), term("ab", "b", "a"), term("a", "a"), term("b", "b")]
    objective = ELBOTerms(four, rows="require")
    terms = objective.term_bounds(toy.model(), toy.exact_guide(), obs)
    assert -terms.sum().item() == pytest.approx(total, abs=5e-8)
    assert -terms.sum().item() == pytest.approx(-2 * toy.log_p(obs, "ab").item(), abs=1e-10)
    if conditionals is not None:
        assert -terms[:2].sum().item() == pytest.approx(conditionals, abs=5e-8)


@pytest.mark.parametrize(
    ("values", "to_a", "a_to_prior"),
    [((1.0, 1.0), 0.0638437, 0.2215736), ((1.0, -0.5), 0.1471770, 0.2215736)],
)
def test_references_give_the_digests_divergences(
    scalar_toy, exact_experts, values, to_a, a_to_prior
):
    toy = scalar_toy(a=(1.0, 1.0), b=(1.0, 1.0))
    obs = Observations({n: torch.full((1, 1), v) for n, v in zip("ab", values, strict=True)})
    guide = guides.ProductOfExperts(exact_experts(toy), 1)
    objective = ELBOTerms([term("ab", "", "a"), term("a")], rows="require")
    terms = objective.term_bounds(toy.model(), guide, obs).squeeze(-1)
    assert (-terms).tolist() == pytest.approx([to_a, a_to_prior], abs=5e-8)


def test_linear_gaussian_numbers_of_the_mvae_digest(scalar_toy):
    toy = scalar_toy(a=(2.0, 1.0), b=(0.5, 2.0))
    obs = Observations({"a": torch.tensor([[1.0]]), "b": torch.tensor([[-1.0]])})
    objective = ELBOTerms(subset_terms())
    terms = objective.term_bounds(toy.model(), toy.exact_guide(), obs).squeeze(-1)
    # Printed with six digits after the point, not always rounded to nearest.
    assert terms.tolist() == pytest.approx([-3.619732, -1.823658, -1.760045], abs=1e-6)


# ---------------------------------------------------------------- terms against separate terms


@pytest.mark.parametrize(
    "terms",
    [
        [term("abc", "abc"), term("a", "a"), term("bc", "bc")],
        [term("abc", "abc"), term("abc", "", "a", 0.3), term("b", "abc", "c", 2.0)],
    ],
)
@pytest.mark.parametrize("rows", ["restrict", "require"])
def test_list_equals_its_terms_one_by_one(held_noise, terms, rows):
    toy = LinearGaussian(spread=1.3)
    obs, model = toy.mixed(), toy.model()
    guide = held_noise(guides.ProductOfExperts(toy.modalities, 2))
    together = ELBOTerms(terms, rows=rows, dedupe=False)
    alone = [ELBOTerms([t], rows=rows, dedupe=False) for t in terms]
    found = together.term_bounds(model, guide, obs)
    expected = torch.cat([one.term_bounds(model, guide, obs) for one in alone])
    torch.testing.assert_close(found, expected, **EXACT)
    found = grads(together.differentiable_loss(model, guide, obs), model, guide)
    losses = [one.differentiable_loss(model, guide, obs) for one in alone]
    for a, b in zip(found, grads(sum(losses), model, guide), strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def test_mixed_batch_equals_row_by_row(held_noise):
    toy = LinearGaussian(spread=1.3)
    obs, model = toy.mixed(), toy.model()
    guide = held_noise(guides.ProductOfExperts(toy.modalities, 2))
    objective = ELBOTerms(ALL_SUBSETS)
    together = objective.term_bounds(model, guide, obs)
    for row in range(len(obs)):
        alone = objective.term_bounds(model, guide, obs[[row]])
        torch.testing.assert_close(together[:, [row]], alone, **EXACT)


def test_particles_of_held_noise_change_nothing(held_noise):
    toy = LinearGaussian()
    guide = held_noise(guides.ProductOfExperts(toy.modalities, 2))
    one, five = (
        ELBOTerms(ALL_SUBSETS, num_particles=k).term_bounds(toy.model(), guide, toy.mixed())
        for k in (1, 5)
    )
    torch.testing.assert_close(one, five, **EXACT)


def test_terms_given_as_a_function_see_the_models_names():
    toy = LinearGaussian()
    seen = []

    def terms(names):
        seen.append(tuple(names))
        return [Term(names, names)]

    ELBOTerms(terms).bound(toy.model(), toy.exact_guide(), toy.sample(1).drop("c"))
    assert seen == [NAMES]


# ---------------------------------------------------------------- nothing there


def test_all_missing_rows_are_exactly_zero_with_zero_gradients(held_noise):
    toy = LinearGaussian()
    complete = toy.sample(4)
    present = torch.tensor([True, False, True, False])
    obs = Observations(
        {n: torch.where(present[:, None], x, torch.nan) for n, x in complete.values.items()},
        dict.fromkeys(NAMES, present),
    )
    model = toy.model()
    guide = held_noise(guides.ProductOfExperts(toy.modalities, 2))
    objective = ELBOTerms(subset_terms())
    terms = objective.term_bounds(model, guide, obs)
    assert (terms[:, ~present] == 0).all()
    found = grads(terms.sum(), model, guide)
    expected = grads(objective.bound(model, guide, complete[[0, 2]]).sum(), model, guide)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, **EXACT)
    nothing = obs[[1, 3]]
    assert objective.loss(model, guide, nothing) == 0
    for module in (model, guide):
        module.zero_grad()
    assert objective.loss_and_grads(model, guide, nothing) == 0
    for parameter in (*model.parameters(), *guide.parameters()):
        assert parameter.grad is None or (parameter.grad == 0).all()


def test_values_of_missing_modalities_are_never_seen(held_noise):
    toy = LinearGaussian()
    present = {"b": torch.tensor([True, False, True])}
    values = toy.sample(3).values
    model, results = toy.model(), []
    guide = held_noise(guides.ProductOfExperts(toy.modalities, 2))
    for junk in (0.0, 1e30, math.nan, math.inf):
        b = torch.where(present["b"][:, None], values["b"], junk)
        obs = Observations({**values, "b": b}, present)
        loss = ELBOTerms(ALL_SUBSETS).differentiable_loss(model, guide, obs)
        results.append([loss.detach(), *grads(loss, model, guide)])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_row_without_a_modality_equals_the_term_of_the_others_alone(held_noise):
    toy = LinearGaussian({"a": 3, "b": 4})
    obs, model = toy.sample(5), toy.model()
    guide = held_noise(guides.ProductOfExperts(toy.modalities, 2))
    masked = ELBOTerms(subset_terms()).differentiable_loss(model, guide, obs.without("b"))
    alone = ELBOTerms([term("a", "a")]).differentiable_loss(model, guide, obs.drop("b"))
    assert torch.equal(masked, alone)
    for a, b in zip(grads(masked, model, guide), grads(alone, model, guide), strict=True):
        assert (a is None or not a.any()) if b is None else torch.equal(a, b)


# ---------------------------------------------------------------- rows="require", mean="rows"


def jmvae(alpha):
    return [term("ab", "ab"), term("ab", "", "a", alpha), term("ab", "", "b", alpha)]


def test_required_terms_of_incomplete_rows_are_exactly_zero_latent_site_included(held_noise):
    toy = LinearGaussian({"a": 3, "b": 4}, spread=1.3)
    obs, model = toy.mixed(), toy.model()
    guide = held_noise(guides.ProductOfExperts(toy.modalities, 2, prior_expert=False))
    objective = ELBOTerms(jmvae(0.5), rows="require")
    terms = objective.term_bounds(model, guide, obs)
    assert (terms[:, 0] != 0).all()
    assert (terms[:, 1:] == 0).all()
    found = grads(terms.sum(), model, guide)
    complete = objective.differentiable_loss(model, guide, obs[[0]])
    assert -complete.item() == pytest.approx(terms[:, 0].sum().item(), abs=1e-10)
    for a, b in zip(found, grads(-complete, model, guide), strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def test_restricted_terms_of_incomplete_rows_use_what_there_is():
    toy = LinearGaussian({"a": 3, "b": 4})
    obs = toy.mixed()
    terms = ELBOTerms([term("ab", "ab")]).bound(toy.model(), toy.exact_guide(), obs)
    torch.testing.assert_close(terms, toy.log_p(obs, "ab"), **EXACT)


def test_jmvae_terms_are_their_closed_form(held_noise):
    toy = LinearGaussian({"a": 3, "b": 4}, spread=1.3)
    obs, model = toy.sample(5), toy.model()
    guide = held_noise(guides.ProductOfExperts(toy.modalities, 2, prior_expert=False))
    terms = ELBOTerms(jmvae(0.01), rows="require").term_bounds(model, guide, obs)
    q = guide.posterior(obs)
    for row, name in ((1, "a"), (2, "b")):
        expected = -0.01 * kl_divergence(q, guide.posterior(obs.given(name)))
        torch.testing.assert_close(terms[row], expected, **EXACT)
    z = q.mean + 0.7 * q.stddev
    expected = -kl_divergence(q, model.prior())
    for n in "ab":
        p = torch.distributions.Normal(model.decoders[n](z), toy.noise[n])
        expected = expected + p.log_prob(obs[n]).sum(-1)
    torch.testing.assert_close(terms[0], expected, **EXACT)


def test_jmvae_without_alpha_reaches_the_single_encoders_through_the_joint_alone(held_noise):
    toy = LinearGaussian({"a": 3, "b": 4}, spread=1.3)
    obs, model = toy.sample(5), toy.model()
    guide = held_noise(guides.ProductOfExperts(toy.modalities, 2))
    with_zero = ELBOTerms(jmvae(0.0), rows="require").differentiable_loss(model, guide, obs)
    without = ELBOTerms([term("ab", "ab")]).differentiable_loss(model, guide, obs)
    torch.testing.assert_close(with_zero, without, **EXACT)
    for a, b in zip(grads(with_zero, guide), grads(without, guide), strict=True):
        torch.testing.assert_close(a, b, **EXACT)


def test_reference_equal_to_the_source_costs_nothing():
    toy = LinearGaussian({"a": 3, "b": 4})
    guide = guides.ProductOfExperts(toy.modalities, 2)
    terms = ELBOTerms([term("ab", "", "ab")]).bound(toy.model(), guide, toy.mixed())
    assert (terms == 0).all()


def test_reference_that_a_row_lacks_is_the_models_own_prior(held_noise):
    toy = LinearGaussian({"a": 3, "b": 4})
    obs, model = toy.mixed(), toy.model()
    guide = held_noise(guides.ProductOfExperts(toy.modalities, 2, prior_expert=False))
    row = int((obs.present["a"] & ~obs.present["b"]).nonzero())
    found = ELBOTerms([term("ab", "", "b")]).bound(model, guide, obs)[row]
    expected = -kl_divergence(guide.posterior(obs), model.prior())[row]
    torch.testing.assert_close(found, expected, **EXACT)


def test_reference_looks_at_the_evidence_whatever_is_scored():
    toy = LinearGaussian({"a": 3, "b": 4})
    obs, model = toy.sample(3), toy.model()
    guide = guides.ProductOfExperts(toy.modalities, 2)
    objective = ELBOTerms([term("ab", "", "b")])
    q, r = guide.posterior(obs), guide.posterior(obs.given("b"))
    found = objective.bound(model, guide, obs.scoring("a"))
    torch.testing.assert_close(found, -kl_divergence(q, r), **EXACT)
    found = objective.bound(model, guide, obs.given("a"))  # b is no evidence: source a, prior
    q = guide.posterior(obs.given("a"))
    torch.testing.assert_close(found, -kl_divergence(q, model.prior().expand((3,))), **EXACT)


def test_mean_over_rows_averages_each_term_over_its_active_rows():
    toy = LinearGaussian({"a": 3, "b": 4})
    obs = toy.mixed(2)
    terms = [term("ab", "ab"), term("a", "a"), term("b", "b")]
    found = ELBOTerms(terms, rows="require", mean="rows").term_bounds(
        toy.model(), toy.exact_guide(), obs
    )
    held = int((obs.present["a"] | obs.present["b"]).sum())
    for t, names in enumerate(("ab", "a", "b")):
        rows = torch.stack([obs.present[n] for n in names]).all(0)
        mean = toy.log_p(obs[rows], names).mean()
        assert found[t].sum().item() / held == pytest.approx(mean.item(), abs=1e-10)


# ---------------------------------------------------------------- work done once, and order


def test_encoders_run_once_under_terms_and_references_and_on_evidence_rows_alone():
    toy = LinearGaussian({"a": 3, "b": 4})
    obs = toy.mixed(2)
    guide, seen = guides.ProductOfExperts(toy.modalities, 2), []
    guide.encoders["a"].register_forward_hook(lambda _, args, __: seen.append(len(args[0])))
    terms = [*subset_terms(None)(("a", "b")), *jmvae(0.3)[1:]]
    ELBOTerms(terms, num_particles=3).bound(toy.model(), guide, obs)
    assert seen == [int(obs.present["a"].sum())]


def test_order_of_modalities_changes_neither_loss_nor_gradients(held_noise):
    toy = LinearGaussian(spread=1.3)
    obs = toy.mixed()
    results = []
    for order in (toy.modalities, toy.modalities[::-1]):
        model = models.SharedLatent(order, 2)
        guide = held_noise(guides.ProductOfExperts(order, 2))
        names = [m.name for m in order]
        shuffled = Observations({n: obs[n] for n in names}, {n: obs.present[n] for n in names})
        loss = ELBOTerms(ALL_SUBSETS).differentiable_loss(model, guide, shuffled)
        found = grads(loss, model, guide)
        keys = [k for m in (model, guide) for k, _ in m.named_parameters()]
        results.append((loss.detach(), dict(zip(keys, found, strict=True))))
    torch.testing.assert_close(results[0][0], results[1][0], **EXACT)
    for key, grad in results[0][1].items():
        torch.testing.assert_close(grad, results[1][1][key], **EXACT)


def test_each_single_term_trains_its_own_networks_and_the_joint_all(
    held_noise, image_and_label, pairs
):
    model = models.SharedLatent(image_and_label, 2)
    guide = held_noise(guides.ProductOfExperts(image_and_label, 2))

    def reached(*source):
        loss = ELBOTerms([Term(source, source)]).differentiable_loss(model, guide, pairs)
        grads(loss, model, guide)
        parts = {
            f"{kind} {n}": network
            for kind, group in (("decoder", model.decoders), ("encoder", guide.guide.encoders))
            for n, network in group.items()
        }
        return {
            name
            for name, network in parts.items()
            if any(p.grad is not None and p.grad.any() for p in network.parameters())
        }

    assert reached("image") == {"decoder image", "encoder image"}
    assert reached("label") == {"decoder label", "encoder label"}
    assert len(reached("image", "label")) == 4


def test_labels_of_other_images_matter_in_pairs_alone(held_noise, image_and_label, pairs):
    # At the mean there is no noise, so a permutation of rows changes only what is paired.
    model = models.SharedLatent(image_and_label, 2)
    guide = held_noise(guides.ProductOfExperts(image_and_label, 2), 0)
    objective = ELBOTerms(subset_terms())
    permuted = pairs.replace("label", pairs["label"].roll(1))
    assert abs(objective.loss(model, guide, pairs) - objective.loss(model, guide, permuted)) > 1e-3

    def unpaired(obs):
        return Observations.collate([obs.only("image"), obs.only("label")])

    losses = [objective.loss(model, guide, unpaired(obs)) for obs in (pairs, permuted)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-10)


def test_moving_precision_between_experts_leaves_the_joint_term_alone(held_noise, exact_experts):
    toy = LinearGaussian({"a": 3, "b": 4}, latent_dim=1)
    obs, model = toy.sample(4), toy.model()
    guide = guides.ProductOfExperts(exact_experts(toy), 1)

    class Moved(torch.nn.Module):
        def __init__(self, encoder, amount):
            super().__init__()
            self.encoder, self.amount = encoder, amount

        def forward(self, x):
            loc, scale = self.encoder(x)
            precision = scale**-2 + self.amount
            return (loc * scale**-2 + 0.5 * self.amount) / precision, precision**-0.5

    terms = ELBOTerms(subset_terms())
    before = terms.term_bounds(model, held_noise(guide), obs)
    guide.encoders["a"] = Moved(guide.encoders["a"], -0.2)
    guide.encoders["b"] = Moved(guide.encoders["b"], 0.2)
    after = terms.term_bounds(model, held_noise(guide), obs)
    torch.testing.assert_close(before[0], after[0], **EXACT)
    assert ((before - after)[1:].abs() > 1e-3).all()


# ---------------------------------------------------------------- clear errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ELBOTerms([term("a", "a")], rows="some"), "rows: expected 'restrict'"),
        (lambda: ELBOTerms([term("a", "a")], mean="all"), "mean: expected 'batch'"),
        (lambda: ELBOTerms([term("a", "a")], num_particles=0), "num_particles: .*at least 1"),
    ],
)
def test_unknown_options_are_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_term_of_an_unknown_modality_is_an_error():
    toy = LinearGaussian()
    with pytest.raises(ValueError, match="modality in a term 'd'"):
        ELBOTerms([term("d", "d")]).bound(toy.model(), toy.exact_guide(), toy.sample(2))


# ---------------------------------------------------------------- noise that terms share


@pytest.mark.parametrize("num_particles", [1, 3])
def test_terms_share_their_noise(num_particles):
    toy = LinearGaussian()
    obs = toy.mixed()
    # The wrong posterior of everything, drawn from twice: with one noise the values agree.
    terms = [term("abc", "abc"), term("abc", "abc", weight=2.0), term("a", "a")]
    options = {"num_particles": num_particles, "dedupe": False}
    guide = guides.ProductOfExperts(toy.modalities, toy.latent_dim)
    for shared in (False, True):
        objective = ELBOTerms(terms, shared_noise=shared, **options)
        found = objective.term_bounds(toy.model(), guide, obs)
        held = found[0] != 0
        assert torch.equal(2 * found[0], found[1]) == shared
        assert len(found[0][held].unique()) == held.sum()  # rows have noise of their own


def test_shared_noise_is_a_draw_of_its_own_for_each_particle_row_and_coordinate():
    toy = LinearGaussian()
    obs = toy.mixed()
    guide = guides.ProductOfExperts(toy.modalities, toy.latent_dim)
    obs = obs.terms([term("abc", "abc"), term("a", "a")], rows="restrict", dedupe=False)
    torch.manual_seed(0)
    with SharedNoise(), particles(3):
        site = guide_trace(guide, obs).nodes["z"]
    q = site["fn"].base_dist
    eps = (site["value"] - q.loc) / q.scale
    torch.manual_seed(0)
    expected = torch.randn(3, 1, len(obs), toy.latent_dim).expand_as(eps)
    torch.testing.assert_close(eps, expected, **EXACT)


def test_shared_noise_needs_normals():
    toy = LinearGaussian()
    objective = ELBOTerms(ALL_SUBSETS, shared_noise=True)
    with pytest.raises(
        ValueError, match="shared_noise needs a guide of diagonal Normals; 'z' is a"
    ):
        objective.term_bounds(toy.model(), toy.exact_guide(), toy.mixed())
