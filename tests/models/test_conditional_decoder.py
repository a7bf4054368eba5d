"""Decoders that see what is given: exact answers, rows that lack it, and questions refused."""

import math

import pyro
import pytest
import torch
from every_system import SameNoise, complete, loss_and_gradients, mixed, modalities, modality
from linear_gaussian_conditional import NOISE, ConditionalGaussian, ExactConditional, Z
from pyro.infer import Predictive, Trace_ELBO
from torch import nn

from ppl_mm import (
    Observations,
    System,
    generate,
    guides,
    likelihoods,
    log_likelihood,
    models,
    networks,
)
from ppl_mm.evaluation import accuracy, elbo, log_likelihoods, predict
from ppl_mm.objectives import IWAE, ELBOTerms, Term, log_weights

EXACT = {"atol": 1e-10, "rtol": 0}
TARGETS = ("a", "b")


@pytest.fixture
def toy():
    return ConditionalGaussian()


def exact(toy):
    objective = ELBOTerms([Term(("a", "b", "c"), TARGETS)], rows="require")
    return System(toy.model(), ExactConditional(toy), objective)


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
    assert result.target == names
    assert result.given == tuple(given)
    if num_samples > 1:
        assert (result.standard_error < 1e-10).all()


# The prior covers the posterior, so weights are bounded and their variance finite.
@pytest.mark.parametrize(
    ("target", "given", "options"),
    [
        ("a", "c", {"proposal": "prior"}),
        ("a", "c", {"proposal": "given"}),
        (TARGETS, "c", {"proposal": ["a"]}),
        (TARGETS, "c", {"proposal": "defensive"}),
        ("a", ("b", "c"), {"denominator": "prior"}),
        ("a", ("b", "c"), {"proposal": "prior", "denominator": "prior"}),
    ],
)
def test_other_proposals_agree_within_their_errors(toy, target, given, options):
    obs = toy.sample(6, seed=2)  # no row so rare that few prior draws explain it
    result = log_likelihood(exact(toy), obs, target, given, 20_000, **options)
    expected = toy.log_p(obs, TARGETS) - toy.log_p(obs, ("b",))
    if given == "c":
        expected = toy.log_p(obs, tuple(target))
    assert (result.standard_error < 0.1).all()
    assert ((result.value - expected).abs() < 4 * result.standard_error + 1e-9).all()


def test_rows_that_share_a_value_but_not_what_is_given_are_not_one_row(toy):
    # With prior draws equal rows are scored once: here b is equal, and c is not.
    obs = toy.sample(4)
    obs = obs.replace("b", obs["b"][:1].expand(4, -1).clone())
    result = log_likelihood(exact(toy), obs, "a", ("b", "c"), 20_000, denominator="prior")
    expected = toy.log_p(obs, TARGETS) - toy.log_p(obs, ("b",))
    assert len(set(toy.log_p(obs, ("b",)).tolist())) == 4
    assert ((result.value - expected).abs() < 4 * result.standard_error + 1e-9).all()


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


def test_prediction_is_the_decoder_at_the_posterior_mean(toy):
    obs = toy.sample(4)
    found = predict(exact(toy), obs, "a", "c")  # nothing to infer z from: its mean is 0
    torch.testing.assert_close(found, toy.mean(obs["c"], "a"), **EXACT)


# ---------------------------------------------------------------- what the decoders see


def conditional(*given, **changes):
    declared = [modality("bernoulli"), modality("categorical", **changes), modality("normal")]
    return models.ConditionalDecoder(declared, 2, given or ("categorical",))


def test_decoders_see_z_and_then_the_features_in_the_order_of_names():
    model, obs = conditional("normal", "categorical"), complete(3)
    assert model.conditions_on == ("categorical", "normal")
    assert list(model.decoders) == ["bernoulli"]
    seen = []
    model.decoders["bernoulli"].register_forward_hook(lambda _, args, __: seen.append(args[0]))
    trace = pyro.poutine.trace(model).get_trace(obs)
    trace.compute_log_prob()
    z, one_hot = trace.nodes["z"]["value"], torch.eye(3)[obs["categorical"]]
    torch.testing.assert_close(seen[0], torch.cat([z, one_hot, obs["normal"]], 1))
    assert {"categorical", "normal"}.isdisjoint(trace.nodes)


def test_the_model_sees_what_is_there_whatever_the_guide_may_look_at():
    model, obs = conditional(), complete(3)
    for view in (obs.given("normal"), obs.given(), obs.scoring("normal")):
        features, known = model.context(view)
        assert known.all()
        assert torch.equal(features, model.context(obs)[0])


def test_classes_may_be_indices_or_one_hot_rows():
    model, obs = conditional(), complete(3)
    one_hot = Observations({**obs.values, "categorical": torch.eye(3)[obs["categorical"]]})
    found = [model.context(o)[0] for o in (obs, one_hot)]
    assert torch.equal(*found)


def test_tokens_and_images_are_flattened():
    model = models.ConditionalDecoder(
        modalities("tokens", "bernoulli", "normal"), 2, ("tokens", "bernoulli")
    )
    obs = complete(3, "tokens", "bernoulli", "normal")
    features, known = model.context(obs)
    assert known.all()
    symbols = nn.functional.one_hot(obs["tokens"], 5).flatten(1)
    expected = torch.cat([obs["bernoulli"].flatten(1), symbols], 1)
    torch.testing.assert_close(features, expected)
    assert model.in_features == 2 + 9 + 20


def test_a_declared_trunk_is_used_learns_and_runs_once_a_step():
    def trunk():
        return networks.LabelFeatures(num_classes=3, hidden=(5,))

    declared = [modality("bernoulli"), modality("categorical", features=trunk)]
    model = models.ConditionalDecoder(declared, 2, ("categorical",))
    guide = guides.ConditionalNetwork(declared, 2, ("categorical",), hidden=(4,))
    assert model.in_features == 2 + 5
    seen = []
    for part in (model.context, guide.network):
        part.trunks["categorical"].register_forward_hook(lambda *args: seen.append(len(args[2])))
    names = ("bernoulli", "categorical")
    terms = [Term(names, names[:1]), Term((), names[:1], fixed_model=True)]
    obs = mixed(*names)
    _, gradients = loss_and_gradients(System(model, guide, ELBOTerms(terms)), obs)
    assert seen == [1, 2]  # the guide's complete row, the model's two rows with a label
    assert all(g.any() for g in gradients.values())


# ---------------------------------------------------------------- rows that lack something


def test_rows_that_lack_a_target_or_what_is_given_add_exactly_nothing(toy):
    system, obs = exact(toy), toy.sample(4)
    present = {
        "a": torch.tensor([True, True, False, True]),
        "c": torch.tensor([True, False, True, True]),
    }
    obs = Observations(obs.values, present)
    bound = system.objective.bound(system.model, system.guide, obs)
    torch.testing.assert_close(bound[[0, 3]], toy.log_p(obs[[0, 3]], TARGETS), **EXACT)
    assert not bound[[1, 2]].any()
    found = elbo(system, obs)
    torch.testing.assert_close(found[[0, 3]], bound[[0, 3]], **EXACT)
    torch.testing.assert_close(found[[2]], toy.log_p(obs[[2]], ("b",)), **EXACT)


def test_without_what_is_given_nothing_is_scored_and_draws_are_nan():
    model = conditional()
    obs = mixed()
    trace = pyro.poutine.trace(model).get_trace(obs)
    trace.compute_log_prob()
    for name in ("bernoulli", "normal"):
        scored = obs.present[name] & obs.present["categorical"]
        assert (trace.nodes[name]["log_prob"] != 0).equal(scored)
    labels = Observations(
        {"categorical": torch.tensor([0, 2])}, {"categorical": torch.arange(2) > 0}
    )
    with pyro.validation_enabled(False):
        drawn = Predictive(conditional("categorical", "bernoulli"), num_samples=2)(
            Observations.collate([labels, complete(1)]).drop("normal")
        )["normal"]
    assert drawn[:, :2].isnan().all()
    assert drawn[:, 2].isfinite().all()


def test_no_gradient_is_touched_by_the_rows_left_out():
    model, obs = conditional(), mixed(rows_per_pattern=2)
    guide = guides.ConditionalNetwork(modalities(), 2, ("categorical",), hidden=(4,))
    rows = obs.present["categorical"]
    with SameNoise():
        for objective in (IWAE(2), ELBOTerms([Term((), ("bernoulli", "normal"))])):
            system = System(model, guide, objective)
            loss, gradients = loss_and_gradients(system, obs)
            other, others = loss_and_gradients(system, obs[rows])
            torch.testing.assert_close(loss, other)
            for name, gradient in gradients.items():
                assert torch.isfinite(gradient).all()
                torch.testing.assert_close(gradient, others[name])


# ---------------------------------------------------------------- questions


def few(toy):
    obs = toy.sample(3)
    return Observations(obs.values, {"c": torch.tensor([True, False, True])})


DENSITY = r"'c': the model conditions on it and has no density of it.*given=\['c'\]"
NOT_GIVEN = r"'c': the model conditions on it, so it must be among what is given"
LACKS = r"'c': row 1 lacks it.*obs\[obs.present\['c'\]\]"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda s, toy: log_likelihood(s, toy.sample(3)), DENSITY),
        (lambda s, toy: log_likelihood(s, toy.sample(3), "c", "a"), DENSITY),
        (lambda s, toy: log_likelihood(s, toy.sample(3), ("a", "c")), DENSITY),
        (lambda s, toy: log_likelihood(s, toy.sample(3), "a"), NOT_GIVEN),
        (lambda s, toy: log_likelihood(s, toy.sample(3), "a", "b"), NOT_GIVEN),
        (lambda s, toy: log_likelihood(s, few(toy), "a", "c"), LACKS),
        (lambda s, toy: log_likelihood(s, toy.sample(3).drop("c"), "a"), NOT_GIVEN),
        (lambda s, toy: log_likelihoods(s, toy.sample(3), [["a"]]), NOT_GIVEN),
        (lambda s, toy: generate(s, toy.sample(3), "c"), DENSITY),
        (lambda s, toy: generate(s, toy.sample(3), "a", given=()), NOT_GIVEN),
        (lambda s, toy: generate(s, Observations.blank(3), "a"), NOT_GIVEN),
        (lambda s, toy: generate(s, few(toy), "a", given="c"), LACKS),
        (lambda s, toy: predict(s, toy.sample(3), "c"), DENSITY),
        (lambda s, toy: predict(s, toy.sample(3), "a", "b"), NOT_GIVEN),
        (lambda s, toy: accuracy(s, toy.sample(3), "c"), DENSITY),
    ],
)
def test_what_the_model_does_not_define_is_an_error(toy, ask, message):
    with pytest.raises(ValueError, match=message):
        ask(exact(toy), toy)


# ---------------------------------------------------------------- declarations


class Dice(likelihoods.Likelihood):
    """The user's own integers."""

    def __call__(self, parameters, batch_dims=1, event_shape=None):
        return Rolls(logits=parameters)


class Rolls(torch.distributions.Binomial):
    def sample(self, sample_shape=()):
        return super().sample(torch.Size(sample_shape)).long()


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("categorical", TypeError, "tuple of names, got the string 'categorical'"),
        (("categoricl",), ValueError, "Did you mean 'categorical'"),
        ((), ValueError, r"not all of them, got \[\]"),
        (("bernoulli", "categorical", "normal"), ValueError, "and not all of them"),
    ],
)
def test_what_is_given_must_be_some_of_the_modalities(given, error, message):
    for kind in (models.ConditionalDecoder, guides.ConditionalNetwork):
        with pytest.raises(error, match=message):
            kind(modalities(), 2, given)


def test_integers_of_an_unknown_number_need_features():
    dice = modality("normal", name="dice", likelihood=Dice())
    with pytest.raises(TypeError, match=r"'dice': its values are integers.*declare features="):
        models.ConditionalDecoder([modality("normal"), dice], 2, ("dice",))


def test_values_that_do_not_fit_are_refused_by_name():
    model, obs = conditional(), complete(3)
    with pytest.raises(ValueError, match=r"'categorical': expected classes .* below 3, .* got 3"):
        model.check(obs.replace("categorical", torch.tensor([0, 3, 1])))
    grey = Observations({"bernoulli": torch.rand(3, 1, 3, 3)})
    with pytest.raises(ValueError, match=r"'bernoulli'.*0 or 1"):
        conditional("bernoulli").check(grey)
    for part in (model, guides.ConditionalNetwork(modalities(), 2, ("categorical",))):
        with pytest.raises(ValueError, match="Did you mean 'normal'"):
            part.check(Observations({"norml": torch.zeros(2, 3)}))


def test_the_toy_is_what_its_program_says(toy):
    obs = toy.sample(3)
    values = {n: x[:, None].expand(-1, 4, -1).flatten(0, 1) for n, x in obs.values.items()}
    q = ExactConditional(toy).posterior(Observations(values))
    z = q.sample()
    joint = dist_log_prob(toy, Observations(values), z) - q.log_prob(z)
    torch.testing.assert_close(joint, toy.log_p(Observations(values), TARGETS), **EXACT)


def dist_log_prob(toy, obs, z):
    """log p(x_a, x_b, z | c), written out."""
    total = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    assert z.shape[-1] == Z
    for name in TARGETS:
        loc = z @ toy.weight[name].T + toy.mean(obs["c"], name)
        total = total + torch.distributions.Normal(loc, NOISE[name]).log_prob(obs[name]).sum(-1)
    return total
