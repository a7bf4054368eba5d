"""A prior that sees what is observed: exact answers, what the decoders see, questions refused."""

import math

import pyro
import pytest
import torch
from every_system import (
    KINDS,
    SameNoise,
    complete,
    loss_and_gradients,
    mixed,
    modalities,
    modality,
)
from linear_gaussian_conditional import NOISE
from linear_gaussian_prior import ExactGivenObserved, GaussianGivenObserved
from pyro.infer import Predictive, Trace_ELBO

from ppl_mm import Observations, System, generate, guides, log_likelihood, models, networks
from ppl_mm.distributions import ObservedPrior
from ppl_mm.evaluation import accuracy, elbo, predict
from ppl_mm.objectives import IWAE, ELBOTerms, Term, iwae_bound, log_weights

EXACT = {"atol": 1e-10, "rtol": 0}
TARGETS = ("a", "b")


@pytest.fixture
def toy():
    return GaussianGivenObserved()


def exact(toy):
    objective = ELBOTerms([Term(("a", "b", "c"), TARGETS)])
    return System(toy.model(), ExactGivenObserved(toy), objective)


def with_network(model):
    """The guide of a model of the toy."""
    return guides.ConditionalPosterior(
        model.modalities, 2, model.prior, hidden=(), in_features=model.in_features
    )


# ---------------------------------------------------------------- exact answers


@pytest.mark.parametrize("num_samples", [1, 7])
@pytest.mark.parametrize(
    ("target", "given"),
    [
        (TARGETS, "c"),
        (None, "c"),
        ("a", ("c",)),
        ("b", ("c",)),
        ("a", ("b", "c")),
        ("b", ("c", "a")),
    ],
)
def test_with_the_exact_posterior_every_conditional_is_exact(toy, num_samples, target, given):
    obs = toy.sample(5)
    result = log_likelihood(exact(toy), obs, target, given, num_samples)
    names = TARGETS if target is None else tuple(target)
    rest = tuple(n for n in given if n != "c")
    below = toy.log_p(obs, rest) if rest else 0.0
    expected = toy.log_p(obs, tuple(sorted({*names, *rest}))) - below
    torch.testing.assert_close(result.value, expected, **EXACT)
    if num_samples > 1:
        assert (result.standard_error < 1e-10).all()


# The prior covers the posterior, so weights are bounded and their variance finite.
@pytest.mark.parametrize(
    ("target", "given", "options"),
    [
        (TARGETS, "c", {"proposal": "prior"}),
        ("a", "c", {"proposal": "given"}),
        (TARGETS, "c", {"proposal": "defensive"}),
        ("a", ("b", "c"), {"denominator": "prior"}),
    ],
)
def test_other_proposals_agree_within_their_errors(toy, target, given, options):
    obs = toy.sample(6, seed=2)
    result = log_likelihood(exact(toy), obs, target, given, 20_000, **options)
    names, rest = tuple(target), tuple(n for n in given if n != "c")
    expected = toy.log_p(obs, (*names, *rest)) - (toy.log_p(obs, rest) if rest else 0.0)
    assert (result.standard_error < 0.1).all()
    assert ((result.value - expected).abs() < 4 * result.standard_error + 1e-9).all()


def test_the_defensive_proposal_has_the_models_prior_as_its_other_half(toy):
    """Its weights are then at most p(x | z) over the prior's share, of a tenth."""
    obs = toy.sample(4)
    model = toy.model()
    guide = with_network(model)
    with torch.no_grad():
        guide.network.head.bias.add_(torch.tensor([30.0, 30.0, -6.0, -6.0]))  # far off and narrow
    result = log_likelihood(System(model, guide, IWAE()), obs, TARGETS, "c", 40_000,
                            proposal="defensive")  # fmt: skip
    difference = result.value - toy.log_p(obs, TARGETS)
    assert (difference.abs() < 4 * result.standard_error).all()


def test_bounds_with_the_exact_posterior_are_the_conditional_likelihood(toy):
    system, obs = exact(toy), toy.sample(5)
    expected = toy.log_p(obs, TARGETS)
    model, guide = system.model, system.guide
    torch.testing.assert_close(system.objective.bound(model, guide, obs), expected, **EXACT)
    torch.testing.assert_close(elbo(system, obs), expected, **EXACT)
    for objective in (IWAE(1), IWAE(3)):
        torch.testing.assert_close(objective.bound(model, guide, obs), expected, **EXACT)
    assert Trace_ELBO().loss(model, guide, obs) == pytest.approx(-expected.sum().item())
    weights = log_weights(model, guide, obs, num_particles=4)
    torch.testing.assert_close(weights, expected.expand(4, -1), **EXACT)


def test_one_draw_averages_to_the_elbo_and_more_draws_are_never_worse(toy):
    """From the prior: log p(x | z) has the closed mean log p(x | E z) - tr / 2."""
    obs = toy.sample(1)
    many = Observations({n: x.expand(20_000, -1).clone() for n, x in obs.values.items()})
    found = [
        log_likelihood(exact(toy), many, TARGETS, "c", k, proposal="prior").value for k in (1, 2, 8)
    ]
    expected = 0.0
    for name in TARGETS:
        p = torch.distributions.Normal(toy.mean(obs["c"], name), NOISE[name])
        spread = (toy.weight[name] * toy.prior_scale).square().sum() / NOISE[name] ** 2
        expected = expected + p.log_prob(obs[name]).sum() - 0.5 * spread
    means = [v.mean() for v in found]
    errors = [v.std() / math.sqrt(20_000) for v in found]
    assert abs(means[0] - expected) < 4 * errors[0]
    assert means[0] + 4 * errors[0] < means[1] - 4 * errors[1]
    assert means[1] + 4 * errors[1] < means[2] - 4 * errors[2]
    assert means[2] < toy.log_p(obs, TARGETS).item()


def test_a_single_draws_log_likelihood_is_the_iwae_bound_of_one(toy):
    obs = toy.sample(3)
    model = toy.model()
    log_w = log_weights(model, with_network(model), obs, num_particles=1)
    torch.testing.assert_close(iwae_bound(log_w), log_w[0])


@pytest.mark.parametrize("given", ["c", ("b", "c")])
def test_generation_has_the_exact_mean_and_variance(toy, given):
    obs, num = toy.sample(2), 40_000
    drawn = generate(exact(toy), obs, "a", num, given=given)["a"]
    expected, variance = toy.mean(obs["c"], "a"), toy.covariance(("a",)).diagonal()
    if given != "c":
        whole = toy.covariance(TARGETS)
        gain = whole[:3, 3:] @ torch.linalg.inv(whole[3:, 3:])
        expected = expected + (obs["b"] - toy.mean(obs["c"], "b")) @ gain.T
        variance = (whole[:3, :3] - gain @ whole[3:, :3]).diagonal()
    error = (variance / num).sqrt()
    assert ((drawn.mean(0) - expected).abs() < 5 * error).all()
    assert ((drawn.var(0) / variance - 1).abs() < 5 * math.sqrt(2 / num)).all()


def test_prediction_is_the_decoder_at_the_priors_mean(toy):
    obs = toy.sample(4)
    model = toy.model()
    for system in (exact(toy), System(model, with_network(model), IWAE())):
        found = predict(system, obs, "a", "c")
        torch.testing.assert_close(found, toy.mean(obs["c"], "a"), **EXACT)


# ---------------------------------------------------------------- what depends on what


def conditional(*observed, **options):
    """By default numbers are observed, and the label is the class."""
    options = {"label": "categorical", **options}
    return models.ConditionalPrior(modalities(), 2, observed or ("normal",), **options)


def inputs(model, obs):
    """What each decoder sees, and z."""
    seen = {}
    for name, decoder in model.decoders.items():
        decoder.register_forward_hook(lambda _, args, __, name=name: seen.update({name: args[0]}))
    trace = pyro.poutine.trace(model).get_trace(obs)
    trace.compute_log_prob()
    assert set(model.conditions_on).isdisjoint(trace.nodes)
    return seen, trace.nodes["z"]["value"]


def test_decoders_see_z_and_the_observed_and_the_label_sees_z_alone():
    obs = complete(3)
    seen, z = inputs(conditional(), obs)
    torch.testing.assert_close(seen["bernoulli"], torch.cat([z, obs["normal"]], 1))
    assert torch.equal(seen["categorical"], z)
    seen, z = inputs(conditional(label=None), obs)  # no label: the class is one of the rest
    torch.testing.assert_close(seen["categorical"], torch.cat([z, obs["normal"]], 1))
    model = conditional(condition_decoder_on_observed=False)
    seen, z = inputs(model, obs)
    assert torch.equal(seen["bernoulli"], z)
    assert model.context is None
    assert conditional("normal", "bernoulli").context is None  # nothing but the label is left


def test_the_prior_depends_on_what_is_observed_alone():
    model, obs, other = conditional(), complete(3), complete(3)
    prior = model.prior(obs)
    changed = Observations({**other.values, "normal": obs["normal"]})
    assert torch.equal(model.prior(changed).mean, prior.mean)
    assert not torch.equal(model.prior(other).mean, prior.mean)
    for view in (obs.given("bernoulli"), obs.given(), obs.scoring("bernoulli")):
        assert torch.equal(model.prior(view).mean, prior.mean)
    loc, scale = model.prior.network(obs["normal"])
    assert torch.equal(prior.mean, loc)
    assert torch.equal(prior.stddev, scale)


def test_several_observed_modalities_have_a_trunk_each_side_by_side():
    def trunk():
        return networks.LabelFeatures(num_classes=3, hidden=(5,))

    declared = [modality("bernoulli"), modality("categorical", features=trunk), modality("normal")]
    prior = ObservedPrior(declared, 2, ("normal", "categorical"), hidden=())
    assert prior.names == ("categorical", "normal")
    obs = complete(3)
    features = [prior.network.trunks["categorical"](obs["categorical"]), obs["normal"]]
    raw = prior.network.head(torch.cat(features, 1))
    torch.testing.assert_close(prior(obs).mean, raw[:, :2])
    torch.testing.assert_close(prior(obs).stddev, (raw[:, 2:] / 2).exp())


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_may_be_observed_missing_or_the_label(kind):
    """Each kind in each part, over every pattern of missingness; gradients reach all networks."""
    own = modality(kind, name="own", features=None)
    others = modalities("bernoulli", "normal")
    obs = mixed("bernoulli", "normal", "categorical")
    values = {**obs.drop("categorical").values, "own": KINDS[kind].draw(len(obs))}
    present = {**obs.present, "own": obs.present["categorical"]}
    del present["categorical"]
    obs = Observations(values, present)
    for observed, label in (("own", None), ("own", "normal"), ("normal", "own"), ("normal", None)):
        prior = ObservedPrior([own, *others], 2, (observed,), (4,))
        model = models.ConditionalPrior([own, *others], 2, (observed,), label, prior=prior)
        guide = guides.ConditionalPosterior([own, *others], 2, prior, label, hidden=(4,))
        system = System(model, guide, IWAE(2))
        system.check(obs)
        loss, gradients = loss_and_gradients(system, obs)
        assert torch.isfinite(loss)
        assert all(torch.isfinite(g).all() and g.any() for g in gradients.values())


# ---------------------------------------------------------------- rows that lack something


def test_rows_that_lack_a_target_or_what_is_observed_add_exactly_nothing(toy):
    system, obs = exact(toy), toy.sample(4)
    guide = with_network(system.model)
    ours = System(system.model, guide, system.objective)
    present = {
        "a": torch.tensor([True, True, False, True]),
        "b": torch.tensor([True, True, True, False]),
        "c": torch.tensor([True, False, True, True]),
    }
    some = Observations(obs.values, present)
    found = elbo(system, some)
    torch.testing.assert_close(found[:1], toy.log_p(obs[:1], TARGETS), **EXACT)
    torch.testing.assert_close(found[[2]], toy.log_p(obs[[2]], ("b",)), **EXACT)
    torch.testing.assert_close(found[[3]], toy.log_p(obs[[3]], ("a",)), **EXACT)
    for objective in (system.objective, IWAE(3)):
        bound = objective.bound(ours.model, ours.guide, some)
        assert bound[1] == 0.0
    assert elbo(ours, some)[1] == 0.0


def test_without_what_is_observed_nothing_is_scored_and_draws_are_nan():
    for options in ({}, {"condition_decoder_on_observed": False}):
        model, obs = conditional(**options), mixed()
        trace = pyro.poutine.trace(model).get_trace(obs)
        trace.compute_log_prob()
        for name in ("bernoulli", "categorical"):
            scored = obs.present[name] & obs.present["normal"]
            assert (trace.nodes[name]["log_prob"] != 0).equal(scored)
        rows = Observations({"normal": torch.randn(2, 3)}, {"normal": torch.arange(2) > 0})
        normal_out = models.ConditionalPrior(
            modalities("laplace", "normal", "categorical"), 2, ("normal",), "categorical", **options
        )
        with pyro.validation_enabled(False):
            sampled = Predictive(normal_out, num_samples=2)(
                Observations.collate([rows, Observations({"categorical": torch.zeros(2).long()})])
            )["laplace"]
        assert sampled[:, [0, 2, 3]].isnan().all()
        assert sampled[:, 1].isfinite().all()


def test_no_gradient_is_touched_by_the_rows_left_out():
    model, obs = conditional(), mixed(rows_per_pattern=2)
    guide = guides.ConditionalPosterior(modalities(), 2, model.prior, "categorical", hidden=(4,))
    rows = obs.present["normal"]
    with SameNoise():
        for objective in (IWAE(2), ELBOTerms([Term((), ("bernoulli", "categorical"))])):
            system = System(model, guide, objective)
            loss, gradients = loss_and_gradients(system, obs)
            other, others = loss_and_gradients(system, obs[rows])
            torch.testing.assert_close(loss, other)
            for name, gradient in gradients.items():
                assert torch.isfinite(gradient).all()
                torch.testing.assert_close(gradient, others[name])


# ---------------------------------------------------------------- questions, declarations


DENSITY = r"'c': the model conditions on it and has no density of it.*given=\['c'\]"
NOT_GIVEN = r"'c': the model conditions on it, so it must be among what is given"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda s, obs: log_likelihood(s, obs), DENSITY),
        (lambda s, obs: log_likelihood(s, obs, "c", "a"), DENSITY),
        (lambda s, obs: log_likelihood(s, obs, "a", "b"), NOT_GIVEN),
        (lambda s, obs: generate(s, obs, "c"), DENSITY),
        (lambda s, obs: generate(s, Observations.blank(3), "a"), NOT_GIVEN),
        (lambda s, obs: predict(s, obs, "a", "b"), NOT_GIVEN),
        (lambda s, obs: accuracy(s, obs, "c"), DENSITY),
    ],
)
def test_what_the_model_does_not_define_is_an_error(toy, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(exact(toy), toy.sample(3))


@pytest.mark.parametrize(
    ("observed", "label", "error", "message"),
    [
        ("normal", None, TypeError, "observed: expected a tuple of names, got the string 'normal'"),
        (("normall",), None, ValueError, "modality in observed 'normall'.*Did you mean 'normal'"),
        ((), None, ValueError, r"observed: expected some .* and not all of them, got \[\]"),
        (("bernoulli", "categorical", "normal"), None, ValueError, "and not all of them"),
        (("normal",), "categorial", ValueError, "unknown label.*Did you mean 'categorical'"),
        (("normal",), "normal", ValueError, "'normal' is both observed and the label"),
    ],
)
def test_the_split_must_be_one(observed, label, error, message):
    with pytest.raises(error, match=message):
        models.ConditionalPrior(modalities(), 2, observed, label)


def test_a_prior_of_others_is_refused():
    prior = ObservedPrior(modalities(), 2, ("normal",))
    with pytest.raises(ValueError, match="looks at normal, and observed are bernoulli"):
        models.ConditionalPrior(modalities(), 2, ("bernoulli",), prior=prior)
    with pytest.raises(ValueError, match="both observed and the label"):
        guides.ConditionalPosterior(modalities(), 2, prior, "normal")


def test_values_that_do_not_fit_are_refused_by_name():
    obs = complete(3)
    for options in ({}, {"condition_decoder_on_observed": False}):
        model = conditional("categorical", label="normal", **options)
        with pytest.raises(ValueError, match=r"'categorical': expected classes .* below 3"):
            model.check(obs.replace("categorical", torch.tensor([0, 3, 1])))
        with pytest.raises(ValueError, match=r"'bernoulli'.*0 or 1"):
            model.check(obs.replace("bernoulli", torch.rand(3, 1, 3, 3)))
    with pytest.raises(ValueError, match="Did you mean 'normal'"):
        model.check(Observations({"norml": torch.zeros(2, 3)}))
