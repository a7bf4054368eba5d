"""SVAE's and VAEVAE's terms on the toy in which every answer is known: p(x_i | z) = N(z, 1)."""

import math
from itertools import combinations

import pytest
import torch
from every_system import complete, modalities
from torch import nn
from torch.distributions import Normal, kl_divergence

from ppl_mm import Modality, Observations, guides, likelihoods, models, objectives
from ppl_mm.objectives import ELBOTerms, Term, chain_terms, paired_terms

NAMES = ("a", "b", "c")
DIGITS = 2e-7  # of the reference numbers


class Expert(nn.Module):
    """Normal(slope x, variance), with parameters of its own."""

    def __init__(self, slope, variance):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))
        self.log_scale = nn.Parameter(torch.tensor(0.5 * math.log(variance)))

    def forward(self, x):
        return self.slope * x, self.log_scale.exp().expand_as(x)


class Same(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.ones(()))

    def forward(self, z):
        return self.slope * z


def toy(number, power):
    """Experts likelihood * p(z)^power, stand-ins p(z)^power: the exact posteriors if 1 / n."""

    def modality(name):
        own = iter([Expert(1 / (1 + power), 1 / (1 + power))])

        def encoder(_):
            return next(own, None) or Expert(0.0, 1 / power)

        return Modality(name, likelihoods.Normal(scale=1.0), encoder, lambda _: Same())

    declared = [modality(name) for name in NAMES[:number]]
    return models.SharedLatent(declared, 1), guides.ReplacementExperts(declared, 1)


def rows(*values, copies=1):
    return Observations(
        {n: torch.full((copies, 1), v) for n, v in zip(NAMES, values, strict=False)}
    )


def log_p(*values):
    """Exact log p of the values together."""
    n = len(values)
    normal = torch.distributions.MultivariateNormal(torch.zeros(n), torch.eye(n) + torch.ones(n, n))
    return normal.log_prob(torch.tensor(values)).item()


def value(terms, model, guide, obs):
    """The sum of terms with its standard error over the copies of one row."""
    torch.manual_seed(1)
    objective = ELBOTerms(terms, rows="require")
    found = objective.bound(model, guide, obs).detach()
    return found.mean().item(), found.std().item() / math.sqrt(len(found))


@pytest.mark.parametrize(("values", "total"), [((1.0, 1.0), -5.4410331), ((1.0, -0.5), -5.9410331)])
def test_two_modalities_with_exact_posteriors_give_twice_the_log_likelihood(values, total):
    model, guide = toy(2, 1 / 2)
    terms = paired_terms(NAMES[:2], unimodal_on_complete_rows=False)
    found, error = value(terms, model, guide, rows(*values, copies=40_000))
    assert total == pytest.approx(2 * log_p(*values), abs=1e-7)
    assert abs(found - total) < 4 * error


def test_the_paired_part_alone_gives_the_two_conditionals():
    model, guide = toy(2, 1 / 2)
    terms = paired_terms(NAMES[:2], unimodal_on_complete_rows=False)[:2]
    found, error = value(terms, model, guide, rows(1.0, 1.0, copies=40_000))
    assert abs(found + 2.4100088) < 4 * error


def test_the_losses_differ_by_the_unimodal_bounds_of_complete_rows():
    model, guide = toy(2, 0.3)
    obs = rows(1.0, -0.5, copies=6)
    held = Observations(obs.values, {"b": torch.tensor([True, False] * 3)})
    parts = {}
    for often in (False, True):
        objective = ELBOTerms(
            paired_terms(NAMES[:2], unimodal_on_complete_rows=often),
            rows="require",
            mean="rows",
        )
        torch.manual_seed(1)
        parts[often] = objective.term_bounds(model, guide, held).detach()
    # Complete rows weigh 6 / 3 in the terms of their own, all six 1 in the stream of a.
    assert parts[False].shape == (4, 6)
    assert parts[True].shape == (6, 6)
    complete = torch.tensor([True, False] * 3)
    assert (parts[True][4:][:, complete] != 0).all()
    assert not parts[True][4:][:, ~complete].any()
    assert not parts[True][:2][:, ~complete].any()


def test_a_row_of_one_modality_reaches_its_own_expert_and_stand_in_alone():
    model, guide = toy(2, 0.3)
    objective = ELBOTerms(paired_terms(NAMES[:2], unimodal_on_complete_rows=True), rows="require")
    objective.differentiable_loss(model, guide, rows(1.0, 2.0, copies=3).only("a")).backward()
    reached = {
        "a": guide.encoders["a"].slope.grad,
        "b, of a": guide.stand_ins["a"]["b"].slope.grad,
        "b": guide.encoders["b"].slope.grad,
        "a, of b": guide.stand_ins["b"]["a"].slope.grad,
        "decoder of b": model.decoders["b"].slope.grad,
    }
    assert {n for n, g in reached.items() if g is not None and g.any()} == {"a", "b, of a"}


def test_the_sum_is_no_bound():
    # References N(0.6, 0.4) instead of the exact ones: above twice log p(x).
    model, guide = toy(2, 1 / 2)
    exact = guide.posterior(rows(1.0, 1.0))
    torch.testing.assert_close(exact.mean, torch.tensor([[2 / 3]]))
    with torch.no_grad():  # q_a = N(0.6, 0.4): precision 2.5 = 1.5 + 1, mean 0.6 = (1 + 0.5) / 2.5
        for name in ("a", "b"):
            other = "b" if name == "a" else "a"
            guide.stand_ins[name][other].slope.fill_(0.5)
            guide.stand_ins[name][other].log_scale.fill_(0.0)
    q = guide.posterior(rows(1.0, 1.0).only("a"))
    assert (q.mean.item(), q.variance.item()) == pytest.approx((0.6, 0.4))
    terms = paired_terms(NAMES[:2], unimodal_on_complete_rows=False)
    found, error = value(terms, model, guide, rows(1.0, 1.0, copies=40_000))
    assert abs(found + 5.3832553) < 4 * error
    assert found - 4 * error > 2 * log_p(1.0, 1.0)
    assert not ELBOTerms(terms).is_bound


# ---------------------------------------------------------------- three modalities

THREE = (1.0, 0.5, -0.5)


def pair_bound(x, y):
    """E_{q_ij} log p(x_i, x_j | z) - KL(q_ij || p) - KL(q_ij || q_i) - KL(q_ij || q_j), exact."""
    q = Normal(torch.tensor((x + y) / 3), 3**-0.5)
    value = -kl_divergence(q, Normal(0.0, 1.0))
    for v in (x, y):
        value = value + Normal(q.mean, 1.0).log_prob(torch.tensor(v)) - q.variance / 2
        value = value - kl_divergence(q, Normal(v / 2, 0.5**0.5))
    return value.item()


def test_three_modalities_with_exact_posteriors():
    model, guide = toy(3, 1 / 3)
    assert log_p(*THREE) == pytest.approx(-4.0749628, abs=1e-7)
    terms = paired_terms(NAMES, unimodal_on_complete_rows=False)
    of_pairs = sum(pair_bound(*pair) for pair in combinations(THREE, 2))
    rest = -3.9800054 - 4.1715364  # D.28 and the streams
    for listed, expected in (
        ([t for t in terms if len(t.source) == 2], of_pairs),
        ([t for t in terms if len(t.source) != 2], rest),
        (terms, of_pairs + rest),
    ):
        found, error = value(listed, model, guide, rows(*THREE, copies=40_000))
        assert abs(found - expected) < 4 * error + DIGITS


def test_the_chain_rule_over_all_orders_gives_six_log_likelihoods():
    model, guide = toy(3, 1 / 3)
    found, error = value(chain_terms(NAMES), model, guide, rows(*THREE, copies=40_000))
    assert abs(found - 6 * log_p(*THREE)) < 4 * error + DIGITS  # no noise at all: only rounding
    assert 6 * log_p(*THREE) == pytest.approx(-24.4497767, abs=1e-6)


def test_every_subset_has_its_exact_posterior_whoever_supplies_the_stand_ins():
    _, guide = toy(3, 1 / 3)
    obs = rows(*THREE)
    for held in (NAMES, NAMES[:2], NAMES[1:], ("a", "c"), ("a",), ("b",), ("c",)):
        x = sum(v for n, v in zip(NAMES, THREE, strict=True) if n in held)
        q = guide.posterior(obs.given(*held))
        precision = 1 + len(held)
        torch.testing.assert_close(q.mean, torch.full((1, 1), x / precision))
        torch.testing.assert_close(q.variance, torch.full((1, 1), 1 / precision))
        for via in held if len(held) == 2 else ():
            one = guide.posterior(obs.terms([Term(held, (), via=via)]))
            torch.testing.assert_close(one.mean[0], q.mean)


def test_suppliers_give_every_pair_two_posteriors():
    terms = paired_terms(NAMES, unimodal_on_complete_rows=True, suppliers=True)
    of_pairs = [(t.source, t.via) for t in terms if len(t.source) == 2 and t.scored]
    pairs = (("a", "b"), ("a", "c"), ("b", "c"))
    assert of_pairs == [(pair, via) for pair in pairs for via in pair]
    references = [(t.reference, t.via) for t in terms if t.source == NAMES]
    assert len(set(references)) == 6


def test_a_supplier_is_drawn_at_random_where_no_term_says_who():
    model, guide = toy(3, 1 / 3)
    with torch.no_grad():
        guide.stand_ins["a"]["c"].slope.fill_(3.0)
    obs = rows(1.0, 0.5).only("a", "b")
    q = guide.posterior(obs)
    each = [guide.posterior(obs.terms([Term(("a", "b"), (), via=via)])) for via in ("a", "b")]
    z = torch.randn(1, 1)
    expected = torch.logsumexp(torch.stack([one.log_prob(z)[0] for one in each]), 0) - math.log(2)
    torch.testing.assert_close(q.log_prob(z), expected)
    assert objectives.IWAE(5).bound(model, guide, obs).isfinite().all()


def test_a_supplier_that_a_term_names_is_the_only_one_whatever_other_rows_ask_for():
    _, guide = toy(3, 1 / 3)
    with torch.no_grad():
        guide.stand_ins["a"]["c"].slope.fill_(3.0)
    obs = rows(1.0, 0.5, copies=2)
    named, free = Term(("a", "b"), (), via="a"), Term(("a", "b"), ())
    alone = guide.posterior(obs.terms([named])).mean
    q = guide.posterior(obs.terms([named, free]))  # a mixture: the free term could have either
    for component in q.components:
        torch.testing.assert_close(component.mean[:1], alone)


def test_a_row_that_has_one_supplier_does_not_depend_on_its_neighbours():
    guide = guides.ReplacementExperts(modalities("normal", "bernoulli", "poisson", "laplace"), 2)
    obs = complete(2, "normal", "bernoulli", "poisson")
    held = Observations(obs.values, {"normal": torch.tensor([True, False])})
    # The second row restricts the term to two modalities, neither of which it names.
    term = [Term(("normal", "bernoulli", "poisson"), (), via="normal")]
    alone = guide.posterior(held[:1].terms(term)).mean
    components = guide.posterior(held.terms(term)).components
    assert len(components) == 4
    for component in components:
        torch.testing.assert_close(component.mean[:, :1], alone)


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_there_are_n_squared_encoders(count):
    modalities = [
        Modality(
            f"m{i}", likelihoods.Normal(scale=1.0), lambda _: Expert(1.0, 1.0), lambda _: Same()
        )
        for i in range(count)
    ]
    guide = guides.ReplacementExperts(modalities, 1)
    stand_ins = sum(len(of) for of in guide.stand_ins.values())
    assert len(guide.encoders) + stand_ins == count**2


def test_wrong_lists_are_errors():
    with pytest.raises(ValueError, match="two modalities or more, got 1"):
        paired_terms(("a",), unimodal_on_complete_rows=True)
    with pytest.raises(ValueError, match="unpaired: expected 'all' or 'disjoint'"):
        paired_terms(("a", "b"), unimodal_on_complete_rows=True, unpaired="both")
    with pytest.raises(ValueError, match="at least one modality"):
        chain_terms(())
