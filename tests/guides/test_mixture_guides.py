"""Mixtures over families of subsets: components, weights, the prior where nothing is allowed."""

import math

import pytest
import torch
from linear_gaussian import NAMES, LinearGaussian
from torch import nn

from ppl_mm import Observations, guides
from ppl_mm.batch.subsets import non_empty_subsets
from ppl_mm.distributions import RandomMixture, StratifiedMixture
from ppl_mm.guides.single_expert import SingleExpert
from ppl_mm.objectives import Term

EXACT = {"atol": 1e-12, "rtol": 1e-12}
MAKE = {
    "experts": lambda m: guides.MixtureOfExperts(m, 2),
    "experts, laplace": lambda m: guides.MixtureOfExperts(m, 2, prior="laplace"),
    "products": lambda m: guides.MixtureOfProducts(m, 2),
    "products, prior in all": lambda m: guides.MixtureOfProducts(m, 2, prior_expert=True),
    "products, prior in the full": lambda m: guides.MixtureOfProducts(m, 2, prior_expert="full"),
    "some": lambda m: guides.Mixture(guides.ProductOfExperts(m, 2), [("a", "b"), ("c",)]),
}
every_guide = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)


def build(make):
    toy = LinearGaussian(spread=1.3)
    return toy, make(toy.modalities), toy.mixed()


def allowed_of(guide, obs, row):
    held = {n for n in NAMES if bool(obs.evidence[n][row])}
    return [c for c, subset in enumerate(guide.family) if set(subset) <= held]


def same(one, other):
    torch.testing.assert_close(one.base_dist.loc, other.base_dist.loc, **EXACT)
    torch.testing.assert_close(one.base_dist.scale, other.base_dist.scale, **EXACT)


@every_guide
def test_components_are_the_guides_posteriors_of_the_subsets(make):
    _, guide, obs = build(make)
    mixture = guide.posterior(guide.strata(obs))
    assert isinstance(mixture, StratifiedMixture)
    base = mixture.components.base_dist
    for row in range(len(obs)):
        allowed = allowed_of(guide, obs, row)
        weight = mixture.log_weight[:, row].exp()
        expected = torch.zeros(len(guide.family))
        expected[allowed or [0]] = 1 / max(1, len(allowed))
        torch.testing.assert_close(weight, expected, **EXACT)
        for c in allowed:
            own = guide.guide.posterior(obs[[row]].given(*guide.family[c])).base_dist
            torch.testing.assert_close(base.loc[c, row], own.loc[0], **EXACT)
            torch.testing.assert_close(base.scale[c, row], own.scale[0], **EXACT)


@every_guide
def test_a_row_that_allows_no_component_gets_exactly_the_prior(make):
    _, guide, obs = build(make)
    rows = [r for r in range(len(obs)) if not allowed_of(guide, obs, r)]
    assert rows
    z = torch.randn(50, 1, len(rows), 2)
    prior = guide.prior()
    strata = guide.posterior(guide.strata(obs[rows])).log_prob(
        z.expand(-1, len(guide.family), -1, -1)
    )
    torch.testing.assert_close(strata[:, 0], prior.log_prob(z[:, 0]), **EXACT)
    q = guide.posterior(obs[rows])
    assert torch.equal(q.mean, prior.mean.expand_as(q.mean))
    torch.testing.assert_close(q.log_prob(z[:, 0]), prior.log_prob(z[:, 0]), **EXACT)


@every_guide
def test_with_and_without_strata_it_is_the_same_density(make):
    _, guide, obs = build(make)
    z = torch.randn(len(obs), 2)
    one, other = guide.posterior(obs), guide.posterior(guide.strata(obs))
    assert isinstance(one, RandomMixture)
    density = other.log_prob(z.expand(len(guide.family), -1, -1))
    for each in density:
        torch.testing.assert_close(each, one.log_prob(z), **EXACT)


@every_guide
def test_random_draws_have_the_mixtures_moments(make):
    _, guide, obs = build(make)
    q = guide.posterior(obs)
    draws = q.expand((20_000, len(obs))).rsample().detach()
    for values, expected in ((draws, q.mean), ((draws - q.mean) ** 2, q.variance)):
        error = values.std(0) / math.sqrt(20_000)
        assert ((values.mean(0) - expected).abs() < 4.5 * error).all()  # 32 numbers


@every_guide
def test_under_terms_each_term_has_its_own_mixture(make):
    _, guide, obs = build(make)
    terms = [Term(NAMES, NAMES), Term(("a",), NAMES), Term((), NAMES)]
    q = guide.posterior(obs.terms(terms, dedupe=False))
    assert q.batch_shape == (3, len(obs))
    for t, names in enumerate((NAMES, ("a",), ())):
        own = guide.posterior(obs.given(*names))
        torch.testing.assert_close(q.mean[t], own.mean, **EXACT)
        torch.testing.assert_close(q.variance[t], own.variance, **EXACT)


@every_guide
def test_masked_equals_absent_from_the_data(make):
    _, guide, obs = build(make)
    one, other = guide.posterior(obs.without("b")), guide.posterior(obs.drop("b"))
    z = torch.randn(len(obs), 2)
    torch.testing.assert_close(one.log_prob(z), other.log_prob(z), **EXACT)
    strata = [
        guide.posterior(guide.strata(o)).log_prob(z.expand(len(guide.family), -1, -1))
        for o in (obs.without("b"), obs.drop("b"))
    ]
    torch.testing.assert_close(*strata, **EXACT)


@every_guide
def test_blank_rows_get_the_prior(make):
    _, guide, _ = build(make)
    q = guide.posterior(Observations.blank(3))
    assert torch.equal(q.mean, torch.zeros(3, 2))


@every_guide
def test_encoders_run_once_whatever_the_number_of_components(make):
    _, guide, obs = build(make)
    calls = []
    for name, encoder in guide.encoders.items():
        encoder.register_forward_hook(lambda *_, name=name: calls.append(name))
    for some in (obs, guide.strata(obs), guide.strata(obs, 1)):
        guide.posterior(some)
        assert sorted(calls) == list(NAMES)
        calls.clear()


@pytest.mark.parametrize("junk", [float("nan"), float("inf"), 1e30])
def test_junk_in_missing_rows_changes_nothing(junk):
    for make in MAKE.values():
        _, guide, obs = build(make)
        values = {n: torch.where(obs.present[n][:, None], x, junk) for n, x in obs.values.items()}
        dirty = Observations(values, obs.present)
        one, other = guide.posterior(obs), guide.posterior(dirty)
        assert torch.equal(one.mean, other.mean)
        assert torch.equal(one.variance, other.variance)


def test_a_family_of_the_full_set_is_the_product():
    toy = LinearGaussian()
    product = guides.ProductOfExperts(toy.modalities, 2)
    mixture, obs = guides.Mixture(product, [NAMES]), toy.sample(4)
    z = torch.randn(4, 2)
    for q in (mixture.posterior(obs), mixture.posterior(mixture.strata(obs))):
        value = z if isinstance(q, RandomMixture) else z[None]
        found = q.log_prob(value).reshape(4)
        torch.testing.assert_close(found, product.posterior(obs).log_prob(z), **EXACT)


def test_families_by_name():
    toy = LinearGaussian()
    assert guides.MixtureOfExperts(toy.modalities, 2).family == (("a",), ("b",), ("c",))
    subsets = guides.MixtureOfProducts(toy.modalities, 2).family
    assert subsets == tuple(non_empty_subsets(NAMES))
    assert len(subsets) == 7


@pytest.mark.parametrize(
    ("prior_expert", "rows"), [("full", [7]), ("several", [3, 5, 6, 7]), (True, range(1, 8))]
)
def test_which_products_have_the_prior_as_an_expert(prior_expert, rows):
    toy = LinearGaussian()
    bits = torch.arange(8)
    obs = Observations(toy.sample(8).values, {n: (bits >> i) % 2 == 1 for i, n in enumerate(NAMES)})
    guide = guides.ProductOfExperts(toy.modalities, 2, prior_expert)
    bare = guides.ProductOfExperts(toy.modalities, 2, False)
    precision = guide.posterior(obs).variance.reciprocal()
    added = precision - bare.posterior(obs).variance.reciprocal()
    expected = torch.zeros(8)
    expected[list(rows)] = 1.0
    torch.testing.assert_close(added, expected[:, None].expand(8, 2), atol=1e-9, rtol=0)


@pytest.mark.parametrize("family", ["normal", "laplace"])
def test_a_single_expert_is_its_encoders_output(family):
    toy = LinearGaussian()
    guide, obs = SingleExpert(toy.modalities, 2, prior=family), toy.sample(3)
    q = guide.posterior(obs.given("b"))
    loc, scale = guide.encoders["b"](obs["b"])
    assert torch.equal(q.base_dist.loc, loc)
    assert torch.equal(q.base_dist.scale, scale)
    assert type(q.base_dist).__name__ == family.capitalize()


def test_several_sources_of_a_single_expert_are_an_error():
    toy = LinearGaussian()
    with pytest.raises(ValueError, match="several modalities to condition on"):
        SingleExpert(toy.modalities, 2).posterior(toy.sample(3))


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ([], "expected a family of different subsets"),
        ([("a", "b"), ("b", "a")], "expected a family of different subsets"),
        ([("a",), ("d",)], "unknown modality in the family 'd'"),
    ],
)
def test_wrong_families_are_errors(family, message):
    product = guides.ProductOfExperts(LinearGaussian().modalities, 2)
    with pytest.raises(ValueError, match=message):
        guides.Mixture(product, family)


def test_products_of_laplace_experts_are_an_error():
    with pytest.raises(TypeError, match="must be a diagonal normal one, got laplace"):
        guides.MixtureOfProducts(LinearGaussian().modalities, 2, prior="laplace")


def test_the_guides_parameters_are_the_encoders():
    toy = LinearGaussian()
    guide = guides.MixtureOfExperts(toy.modalities, 2)
    assert isinstance(guide.encoders, nn.ModuleDict)
    assert len(list(guide.parameters())) == 3 * 3
