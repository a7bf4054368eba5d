"""Lambda and beta, in our objectives and in Pyro's, against the closed form."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from linear_gaussian import NAMES, LinearGaussian
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from torch.distributions import kl_divergence

from ppl_mm import guides, models
from ppl_mm.distributions import kl
from ppl_mm.objectives import IWAE, ELBOTerms, Reweighted, Term, linear_annealing, subset_terms
from ppl_mm.objectives.handlers import ScaleSites

EXACT = {"atol": 1e-10, "rtol": 0}  # rounding of a few tens of nats in float64


@pytest.fixture
def parts(held_noise):
    """A model, a guide of held noise, rows, and the closed-form pieces of every row."""
    toy = LinearGaussian(spread=1.3)
    obs, model = toy.sample(4), toy.model()
    guide = held_noise(guides.ProductOfExperts(toy.modalities, 2))
    q = guide.posterior(obs)
    z = q.mean + 0.7 * q.stddev
    log_p = {
        n: dist.Normal(model.decoders[n](z), toy.noise[n]).log_prob(obs[n]).sum(-1) for n in NAMES
    }
    return {
        "model": model,
        "guide": guide,
        "obs": obs,
        "log_p": log_p,
        "kl": kl_divergence(q, model.prior()),
        "at_draw": q.log_prob(z) - model.prior().log_prob(z),
    }


def weighted(parts, weights, divergence, beta):
    total = sum(weights.get(n, 1.0) * lp for n, lp in parts["log_p"].items())
    return total - (beta * parts[divergence] if beta else 0.0)


SETTINGS = [
    ({}, 1.0),
    ({"b": 5.0}, 0.3),
    ({"a": 0.0, "b": 50.0}, 2.0),
    ({"a": 0.5}, 0.0),
    (dict.fromkeys(NAMES, 0.0), 1.0),
]


@pytest.mark.parametrize(("weights", "beta"), SETTINGS)
def test_elbo_terms(parts, weights, beta):
    objective = ELBOTerms([Term(NAMES, NAMES)], weights=weights, beta=beta)
    found = objective.bound(parts["model"], parts["guide"], parts["obs"])
    torch.testing.assert_close(found, weighted(parts, weights, "kl", beta), **EXACT)


@pytest.mark.parametrize(("weights", "beta"), SETTINGS)
def test_iwae_of_one_particle(parts, weights, beta):
    objective = IWAE(num_particles=1, weights=weights, beta=beta)
    found = objective.bound(parts["model"], parts["guide"], parts["obs"])
    torch.testing.assert_close(found, weighted(parts, weights, "at_draw", beta), **EXACT)


@pytest.mark.parametrize(("weights", "beta"), SETTINGS)
@pytest.mark.parametrize(
    ("stock", "divergence"), [(Trace_ELBO, "at_draw"), (TraceMeanField_ELBO, "kl")]
)
def test_reweighted_stock_objectives(parts, weights, beta, stock, divergence):
    objective = Reweighted(stock(), weights=weights, beta=beta)
    args = parts["model"], parts["guide"], parts["obs"]
    expected = -weighted(parts, weights, divergence, beta).sum()
    torch.testing.assert_close(objective.differentiable_loss(*args), expected, **EXACT)
    assert objective.loss(*args) == pytest.approx(expected.item(), abs=1e-9)
    assert objective.loss_and_grads(*args) == pytest.approx(expected.item(), abs=1e-9)


def test_scale_on_one_side_only_is_wrong_in_both_stock_objectives(parts):
    # Why objectives weight the model and the guide alike.
    model, guide, obs = parts["model"], parts["guide"], parts["obs"]
    beta, handler = 0.3, ScaleSites(beta=0.3)
    likelihood = sum(parts["log_p"].values())
    q = guide.posterior(obs)
    z = q.mean + 0.7 * q.stddev
    log_q, log_prior = q.log_prob(z), model.prior().log_prob(z)
    cases = [
        (Trace_ELBO(), handler(model), guide, likelihood + beta * log_prior - log_q),
        (Trace_ELBO(), model, handler(guide), likelihood + log_prior - beta * log_q),
        (TraceMeanField_ELBO(), handler(model), guide, likelihood - parts["kl"]),
        (TraceMeanField_ELBO(), model, handler(guide), likelihood - beta * parts["kl"]),
    ]
    for objective, p, r, wrong in cases:
        found = objective.differentiable_loss(p, r, obs)
        torch.testing.assert_close(-found, wrong.sum(), **EXACT)


def test_zero_weight_hides_even_an_impossible_value():
    def model():
        z = pyro.sample("z", dist.Uniform(0.0, 1.0, validate_args=False))
        pyro.sample("x", dist.Uniform(0.0, 1.0, validate_args=False), obs=torch.tensor(2.0))
        return z

    trace = pyro.poutine.trace(ScaleSites({"x": 0.0}, beta=0.0)(model)).get_trace()
    assert trace.log_prob_sum() == 0  # a factor of zero would give 0 * -inf = NaN


def test_weights_multiply_the_scales_that_a_model_sets_itself():
    def model():
        with pyro.plate("data", 10, subsample_size=5), pyro.poutine.scale(scale=0.7):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=torch.zeros(5))

    trace = pyro.poutine.trace(ScaleSites({"x": 3.0}, beta=0.5)(model)).get_trace()
    assert trace.nodes["x"]["scale"] == pytest.approx(2 * 0.7 * 3.0)
    assert trace.nodes["z"]["scale"] == pytest.approx(2 * 0.7 * 0.5)


def test_digests_divergence_and_weighted_loss():
    # KL(N(1, e^-2) || N(0, 1)); the reference prints six digits after the point.
    q = dist.Normal(torch.ones(1), torch.full((1,), math.exp(-1))).to_event(1)
    p = dist.Normal(torch.zeros(1), torch.ones(1)).to_event(1)
    assert kl(q, p).item() == pytest.approx(1.067668, abs=5e-7)

    def model():
        z = pyro.sample("z", p)
        pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=torch.zeros(1))

    def guide():
        pyro.sample("z", q)

    objective = Reweighted(TraceMeanField_ELBO(), weights={"x": 5.0}, beta=0.3)
    draws = torch.tensor([objective.loss(model, guide) for _ in range(1000)])
    # E log p(x | z) = -(log 2 pi + 1 + e^-2) / 2, a quadratic of a Normal: finite variance.
    expected = 0.3 * 1.067668 + 2.5 * (math.log(2 * math.pi) + 1 + math.exp(-2))
    assert abs(draws.mean() - expected) < 4 * draws.std() / math.sqrt(1000)


def test_label_loss_without_its_kl_scales_with_lambda_and_so_do_its_gradients(
    held_noise, image_and_label, pairs
):
    model = models.SharedLatent(image_and_label, 2)
    guide = held_noise(guides.ProductOfExperts(image_and_label, 2))
    results = {}
    for weight in (0.0, 1.0, 50.0):
        terms = [Term(("label",), ("label",))]
        objective = ELBOTerms(terms, weights={"label": weight}, beta=0.5)
        model.zero_grad()
        loss = objective.differentiable_loss(model, guide, pairs)
        loss.backward()
        gradients = [p.grad for p in model.decoders["label"].parameters()]
        results[weight] = loss.detach(), [None if g is None else g.clone() for g in gradients]
    only_kl = results[0.0][0]
    ratio = (results[50.0][0] - only_kl) / (results[1.0][0] - only_kl)
    assert ratio.item() == pytest.approx(50.0, rel=1e-10)
    assert all(g is None or not g.any() for g in results[0.0][1])
    for one, fifty in zip(results[1.0][1], results[50.0][1], strict=True):
        torch.testing.assert_close(50.0 * one, fifty, atol=1e-10, rtol=1e-10)


def test_term_weights_multiply_whole_terms(parts):
    args = parts["model"], parts["guide"], parts["obs"]
    terms = subset_terms(None)(NAMES)
    plain = ELBOTerms(terms).term_bounds(*args)
    weights = torch.arange(len(terms)).to(plain.dtype)  # the first is zero
    heavy = [Term(t.source, t.scored, t.reference, w.item()) for t, w in zip(terms, weights)]  # noqa: B905
    torch.testing.assert_close(
        ELBOTerms(heavy).term_bounds(*args), weights[:, None] * plain, **EXACT
    )


def test_annealing_multiplies_beta(parts):
    args = parts["model"], parts["guide"], parts["obs"]
    for objective in (
        ELBOTerms([Term(NAMES, NAMES)], beta=0.8),
        Reweighted(Trace_ELBO(), beta=0.8),
    ):
        objective.annealing = 0.25
        other = type(objective)(getattr(objective, "terms", None) or objective.elbo, beta=0.2)
        assert objective.loss(*args) == pytest.approx(other.loss(*args), abs=1e-9)


@pytest.mark.parametrize(
    ("step", "beta"),
    [
        (0, 8.3333e-6),
        (199 * 600 - 1, 0.995),
        (199 * 600, 1.0),
        (200 * 600, 1.0),
        (500 * 600, 1.0),
    ],
)
def test_annealing_schedule_of_the_release(step, beta):
    found = linear_annealing(step, epochs=200, steps_per_epoch=600)
    assert found == pytest.approx(beta, rel=1e-5)  # the reference prints five digits


def test_annealing_never_falls():
    betas = [linear_annealing(s, epochs=5, steps_per_epoch=7) for s in range(40)]
    assert betas == sorted(betas)
    assert linear_annealing(0, epochs=0, steps_per_epoch=7) == 1.0
    assert linear_annealing(0, epochs=1, steps_per_epoch=7) == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": {"d": 1.0}}, "modality in weights 'd'"),
        ({"weights": {"a": -1.0}}, r"weights\['a'\]: expected .*at least 0"),
        ({"weights": {"a": math.nan}}, r"weights\['a'\]: expected .*at least 0"),
        ({"beta": -0.1}, "beta: .*at least 0"),
    ],
)
@pytest.mark.parametrize(
    "make",
    [
        lambda **o: ELBOTerms(subset_terms(), **o),
        lambda **o: IWAE(num_particles=1, **o),
        lambda **o: Reweighted(Trace_ELBO(), **o),
    ],
)
def test_wrong_weights_are_errors(parts, make, options, message):
    with pytest.raises(ValueError, match=message):
        make(**options).loss(parts["model"], parts["guide"], parts["obs"])
