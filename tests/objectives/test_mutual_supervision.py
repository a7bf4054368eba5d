"""MEME's bound with two modalities: closed forms, quadrature, gradients, and by hand."""

import math

import pytest
import torch
from every_system import SameNoise
from pyro.infer import Trace_ELBO
from torch.distributions import Normal
from toy_meme import (
    DECODERS,
    PAIR,
    Noise,
    Recording,
    Toy,
    consistent,
    draw,
    quadrature,
    random_toy,
)
from toy_mixture import assert_mean

from ppl_mm import Observations, guides, models
from ppl_mm.objectives import IWAE, MutualSupervisionELBO
from ppl_mm.objectives.directions import Direction

EXACT = {"atol": 1e-10, "rtol": 1e-10}
CONSISTENT = -0.430493  # log p(s) - log p(t) under z ~ Normal(0, 1)
SLOPE = {n: f"model.decoders.{n}.slope" for n in "st"}


def assert_below(draws, limit, sigmas=4.0):
    """The mean over the last dim is at most ``limit``, within its own standard errors."""
    error = draws.std(-1) / math.sqrt(draws.shape[-1])
    assert (draws.mean(-1) <= limit + sigmas * error).all()


def gradients(value, system):
    names, parameters = zip(*system.named_parameters(), strict=True)
    found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    return {n: torch.zeros(()) if g is None else g for n, g in zip(names, found, strict=True)}


def recorded(toy, num_rows, *args, seed=0, **options):
    """As ``toy_meme.draw``, with gradients; and the system."""
    objective = Recording(*args, **options)
    system = toy.system(objective)
    torch.manual_seed(seed)
    system(toy.rows(num_rows))
    return objective, system


# ---------------------------------------------------------------- values


@pytest.mark.parametrize("estimator", ["symmetric", "single"])
@pytest.mark.parametrize(
    ("num_particles", "points", "value"),
    [(1, 60, -1.958619), (2, 60, -2.055308), (3, 40, -2.102282)],
)
def test_expectations_by_quadrature(estimator, num_particles, points, value):
    found = quadrature(PAIR, num_particles, points, estimator=estimator)
    assert found[0].item() == pytest.approx(value, abs=1e-6)


def test_expectation_of_eleven_draws():
    one, other = (draw(PAIR, 40_000, 11, estimator=e).each for e in ("symmetric", "single"))
    assert_mean(one[0], -2.1755, slack=2e-4)
    assert_mean(other[0], -2.1755, slack=2e-4)
    assert one[0].std() == pytest.approx(0.27, abs=0.02)
    assert other[0].std() == pytest.approx(1.56, abs=0.1)


def test_closed_forms_of_many_draws():
    assert PAIR.exact("s", "t") == pytest.approx(-2.202630, abs=1e-6)
    assert PAIR.exact("t", "s") == pytest.approx(-1.358336, abs=1e-6)
    variance, mean = PAIR.posterior("s", "t")
    assert (mean, variance) == pytest.approx((0.0965213, 0.1587457), abs=1e-7)
    # The bias falls as 1/M: -2.1755 + 2.2026 at M = 11 leaves 3e-6 at 1e5.
    each = draw(PAIR, 20, 100_000).each
    for i, (one, other) in enumerate(("st", "ts")):
        assert_mean(each[i], PAIR.exact(one, other), slack=1e-5)


def test_log_z_is_biased_as_known_and_tends_to_the_other_direction():
    objective = draw(PAIR, 40_000, 2)
    log_z = objective.l.logsumexp(0) - math.log(2)
    assert_mean(log_z[0], -1.175723, slack=1e-6)
    objective = draw(PAIR, 20, 100_000)
    log_z = objective.l.logsumexp(0) - math.log(100_000)
    system = PAIR.system()
    for i, (one, other) in enumerate(("st", "ts")):
        assert_mean(log_z[i], PAIR.conditional(system, other, [one]), slack=1e-4)
    assert PAIR.conditional(system, "t", "s") == pytest.approx(-1.100549, abs=1e-6)


def test_the_objective_of_the_release_is_another():
    each = draw(PAIR, 20, 100_000, kl="analytic").each
    assert_mean(each[0], -2.562776, slack=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_two_forms_of_the_estimate(seed):
    objective = draw(random_toy(seed), 50, 7)
    w = objective.l.softmax(0)
    divergence = (w * (7 * w).log()).sum(0)  # of the weights from equal ones
    torch.testing.assert_close(objective.each, (w * objective.r).sum(0) - divergence, **EXACT)
    assert (divergence >= -1e-12).all()
    assert (divergence <= math.log(7)).all()


@pytest.mark.parametrize("estimator", ["symmetric", "single"])
@pytest.mark.parametrize("num_particles", [1, 2, 5, 50])
def test_every_number_of_draws_gives_a_lower_bound(estimator, num_particles):
    for seed in range(6):
        toy = random_toy(seed)
        system = toy.system()
        limits = [toy.conditional(system, i, [j]) for i, j in ("st", "ts")]
        each = draw(toy, 4000, num_particles, estimator=estimator).each
        assert_below(each, torch.tensor(limits))


def test_without_the_log_of_their_number_it_exceeds_the_evidence():
    each = draw(PAIR, 1000, 11).each[0] + math.log(11)
    assert each.mean() > -1.846171 + 10 * each.std() / math.sqrt(1000)


def test_the_value_of_one_draw_is_pyros_elbo_of_the_direction():
    system = PAIR.system(Recording(1))
    obs, noise = PAIR.rows(9), torch.randn(1, 1, 9)
    with Noise(noise):
        system(obs)
    direction = Direction(system.model, "s", ("t",), "mixture")
    given_s = lambda rows: system.guide.guide(rows.given("s"))  # noqa: E731
    with Noise(noise[0, 0]):
        loss = Trace_ELBO().loss(direction, given_s, obs.scoring("s"))
    assert -loss == pytest.approx(system.objective.each[0].sum().item(), abs=1e-10)


# ---------------------------------------------------------------- directions of one joint density


@pytest.mark.parametrize("num_particles", [1, 4, 11])
def test_where_both_directions_are_one_joint_every_draw_says_so(num_particles):
    objective = draw(consistent(), 30, num_particles)
    difference = objective.r - objective.l
    expected = torch.tensor([CONSISTENT, -CONSISTENT])[None, :, None]
    torch.testing.assert_close(difference, expected.expand_as(difference), atol=1e-6, rtol=0)


def test_where_both_directions_are_one_joint_the_bounds_are_tight():
    toy = consistent()
    each = draw(toy, 20, 100_000).each
    system = toy.system()
    for i, (one, other) in enumerate(("st", "ts")):
        assert_mean(each[i], toy.conditional(system, one, [other]), slack=1e-4)
    log_p = {}
    for n in "st":
        slope, noise = DECODERS[n]
        total = math.sqrt(slope**2 + noise**2)
        log_p[n] = Normal(0.0, total).log_prob(torch.tensor(toy.values[n])).item()
    assert_mean(each[0] + log_p["t"] - each[1] - log_p["s"], 0.0, slack=1e-4)


# ---------------------------------------------------------------- gradients


def test_with_the_weights_held_fixed_nothing_is_learned_from_the_other_likelihood():
    objective, system = recorded(PAIR, 6, 11)
    found = gradients(objective.each[0].sum(), system)
    w = objective.l.softmax(0).detach()
    expected = gradients((w * objective.r).sum(0)[0].sum(), system)
    assert found[SLOPE["t"]].abs() < 1e-10  # the decoder of the modality that is not explained
    assert found[SLOPE["s"]].abs() > 1e-3
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], **EXACT)


def test_what_the_stop_gradient_leaves_out():
    objective, system = recorded(PAIR, 6, 11, stop_gradient=False)
    stopped, other = recorded(PAIR, 6, 11)
    assert torch.equal(objective.each, stopped.each)
    w = objective.l.softmax(0).detach()
    r, l = objective.r.detach(), objective.l  # noqa: E741
    rest = (w * (l - (w * l).sum(0)) * (r - l.detach())).sum(0)[0].sum()
    full, part = (gradients(o.each[0].sum(), s) for o, s in ((objective, system), (stopped, other)))
    for name, gradient in gradients(rest, system).items():
        torch.testing.assert_close(full[name] - part[name], gradient, **EXACT)
    assert full[SLOPE["t"]].abs() > 1e-3


@pytest.mark.parametrize("stop", [True, False])
def test_gradients_of_the_single_estimator(stop):
    objective, system = recorded(PAIR, 6, 11, estimator="single", stop_gradient=stop)
    log_z = objective.l.logsumexp(0) - math.log(11)
    ratio = torch.exp(objective.l[0] - log_z)
    value = (ratio.detach() if stop else ratio) * (objective.r[0] - objective.l[0]) + log_z
    expected = gradients(value.sum(), system)
    for name, gradient in gradients(objective.each.sum(), system).items():
        torch.testing.assert_close(gradient, expected[name], **EXACT)


def test_where_both_directions_are_one_joint_the_stop_gradient_is_exact():
    found = []
    for stop in (True, False):
        objective, system = recorded(consistent(), 6, 11, stop_gradient=stop)
        found.append(gradients(objective.each.sum(), system))
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], **EXACT)


@pytest.mark.parametrize("stop", [True, False])
def test_alpha_adds_gradients_of_log_z(stop):
    found = []
    for alpha in (10.0, 1.0):
        objective, system = recorded(PAIR, 6, 11, alpha=alpha, stop_gradient=stop)
        found.append(gradients(objective.each.sum(), system))
    log_z = objective.l.logsumexp(0) - math.log(11)
    for name, gradient in gradients(log_z.sum(), system).items():
        torch.testing.assert_close(found[0][name] - found[1][name], 9 * gradient, **EXACT)


def test_single_weights_are_bounded_and_average_to_one():
    objective = draw(PAIR, 20_000, 11, estimator="single")
    weight = torch.exp(objective.l[0] - objective.l.logsumexp(0) + math.log(11))
    assert (weight <= 11 + 1e-9).all()
    for each in weight:
        assert_mean(each, 1.0)
    expected = weight * (objective.r[0] - objective.l[0])
    log_z = objective.l.logsumexp(0) - math.log(11)
    torch.testing.assert_close(objective.each, expected + log_z, **EXACT)


def test_what_a_modality_alone_teaches():
    system = PAIR.system(MutualSupervisionELBO(3))
    system(PAIR.rows(5).only("s")).backward()
    found = {
        n: None if p.grad is None else p.grad.abs().sum() for n, p in system.named_parameters()
    }
    nothing = ("model.decoders.t", "model.prior.inputs.s")
    for name, gradient in found.items():
        if name.startswith(nothing):
            assert gradient is None or gradient == 0.0, name
        else:
            assert gradient > 0.0, name


def test_complete_rows_teach_pseudo_inputs_nothing():
    system = PAIR.system(MutualSupervisionELBO(3))
    system(PAIR.rows(5)).backward()
    for name, parameter in system.named_parameters():
        assert (parameter.grad is None) == ("inputs" in name), name


# ---------------------------------------------------------------- one modality alone


def alone(system, noise, num_rows):
    """The value of rows that hold s alone."""
    with Noise(noise):
        return -system(PAIR.rows(num_rows).only("s"))


def test_one_pseudo_input_is_an_observed_modality():
    noise = torch.randn(1, 1, 6)
    objective = Recording(1)
    paired = PAIR.system(objective)
    with Noise(noise):
        paired(PAIR.rows(6))
    one = PAIR.system(MutualSupervisionELBO(1), {"s": [0.1], "t": [PAIR.values["t"]]})
    torch.testing.assert_close(alone(one, noise, 6), objective.each[0].sum(), **EXACT)


def test_equal_pseudo_inputs_are_one():
    noise = torch.randn(4, 1, 6)
    few, many = (
        PAIR.system(MutualSupervisionELBO(4), {"s": [0.1] * n, "t": [0.7] * n}) for n in (1, 9)
    )
    torch.testing.assert_close(alone(few, noise, 6), alone(many, noise, 6), **EXACT)


@pytest.mark.parametrize("estimator", ["symmetric", "single"])
def test_one_modality_alone_by_hand(estimator):
    system = PAIR.system(MutualSupervisionELBO(4, estimator=estimator))
    noise = torch.randn(4, 1, 6)
    z = 0.4 * 0.8 + 0.45 * noise[:, 0]
    u = system.model.prior.pseudo_inputs("t").flatten()
    prior = Normal(0.9 * u, 0.7).log_prob(z[..., None]).logsumexp(-1) - math.log(len(u))
    r = Normal(1.3 * z, 0.5).log_prob(torch.tensor(0.8)) + prior - Normal(0.32, 0.45).log_prob(z)
    expected = r.mean(0) if estimator == "symmetric" else r[0]
    torch.testing.assert_close(alone(system, noise, 6), expected.sum(), **EXACT)


def test_one_modality_alone_is_below_its_evidence():
    for seed in range(6):
        toy = random_toy(seed)
        system = toy.system(MutualSupervisionELBO(3))
        bound = system.objective.bound(system.model, system.guide, toy.rows(4000).only("t"))
        assert_below(bound.detach(), toy.conditional(system, "t", ()))


# ---------------------------------------------------------------- batches and rows


def mixed_rows():
    """Pairs, each modality alone, and nothing: eight rows of different values."""
    present = {"s": torch.arange(8) % 4 < 2, "t": torch.arange(8) % 2 == 0}
    return Observations({n: torch.randn(8, 1) for n in "st"}, present)


@pytest.mark.parametrize("preset", ["bound", "paper", "code"])
def test_a_mixed_batch_is_its_rows(preset):
    objective = MutualSupervisionELBO.preset(preset, num_particles=5)
    system, obs = PAIR.system(objective), mixed_rows()
    with SameNoise():
        value = objective.bound(system.model, system.guide, obs)
        rows = [objective.bound(system.model, system.guide, obs[i]) for i in range(8)]
    torch.testing.assert_close(value, torch.cat(rows), **EXACT)
    assert not value[~(obs.present["s"] | obs.present["t"])].any()
    assert value[obs.present["s"] | obs.present["t"]].all()


def test_values_of_what_is_missing_change_nothing():
    objective = MutualSupervisionELBO(5)
    system, obs = PAIR.system(objective), mixed_rows()
    found = []
    for filling in (0.0, 1e30, math.nan):
        other = obs[:]
        other.values = {
            n: torch.where(obs.present[n][:, None], x, filling) for n, x in obs.values.items()
        }
        system.zero_grad()
        with SameNoise():
            loss = system(other)
        loss.backward()
        found.append([loss.detach(), *(p.grad.clone() for p in system.parameters())])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_directions_are_averaged_or_summed():
    total, mean = (draw(PAIR, 4, 3, combine=c) for c in ("sum", "mean"))
    with torch.no_grad():
        values = []
        for objective in (total, mean):
            system = PAIR.system(objective)
            torch.manual_seed(1)
            values.append(objective.bound(system.model, system.guide, PAIR.rows(4)))
    torch.testing.assert_close(values[0], 2 * values[1], **EXACT)


def test_swapped_roles_give_the_same():
    noise, values = torch.randn(5, 1, 4), []
    for names in ("st", "ts"):
        system = PAIR.system(MutualSupervisionELBO(5), names=names)
        with Noise(noise):
            values.append(system(PAIR.rows(4)))
    torch.testing.assert_close(*values, **EXACT)


@pytest.mark.parametrize("factor", [0.2, 7.0])
def test_the_unit_of_the_latent_plays_no_part(factor):
    other = Toy(
        {n: (a / factor, s) for n, (a, s) in PAIR.decoders.items()},
        {n: (factor * a, factor * s) for n, (a, s) in PAIR.encoders.items()},
        PAIR.values,
    )
    obs, noise = mixed_rows()[[0, 1, 2, 4, 5, 6]], torch.randn(5, 1, 6)
    values = []
    for toy in (PAIR, other):
        system = toy.system(MutualSupervisionELBO(5))
        with Noise(noise):
            values.append(system.objective.bound(system.model, system.guide, obs))
    torch.testing.assert_close(*values, **EXACT)


# ---------------------------------------------------------------- weights, beta, float32


def test_weights_and_beta_by_hand():
    plain, other = draw(PAIR, 5, 3), draw(PAIR, 5, 3, weights={"s": 2.0, "t": 3.0}, beta=0.5)
    torch.testing.assert_close(other.l, torch.tensor([3.0, 2.0])[:, None] * plain.l, **EXACT)
    own = draw(PAIR, 5, 3, beta=0.0).r  # log p(x_i | z) alone
    weighted = torch.tensor([2.0, 3.0])[:, None] * own
    torch.testing.assert_close(other.r, weighted + 0.5 * (plain.r - own), **EXACT)


def test_beta_is_a_factor_of_the_closed_divergence_too():
    plain, half = (draw(PAIR, 5, 3, kl="analytic", beta=b).r for b in (1.0, 0.5))
    none = draw(PAIR, 5, 3, beta=0.0).r
    torch.testing.assert_close(half - none, 0.5 * (plain - none), **EXACT)
    assert (plain - none).std(0).max() < 1e-12  # the same for every draw


@pytest.mark.parametrize("preset", ["bound", "paper", "code"])
def test_finite_at_the_scale_of_images(preset):
    # Log-likelihoods of -2500 nats and less, 50 nats apart and more, in float32.
    torch.set_default_dtype(torch.float32)
    toy = Toy(
        {"s": (1.3, 0.01), "t": (0.7, 0.008)},
        {"s": (0.4, 1e-3), "t": (0.9, 0.7)},
        {"s": 0.8, "t": -0.5},
    )
    objective = Recording(11, **vars_of(preset))
    system = toy.system(objective)
    system(toy.rows(6)).backward()
    assert objective.l.min() < -2500
    assert (objective.l.amax(0) - objective.l.amin(0)).max() > 50
    assert objective.each.isfinite().all()
    for parameter in system.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()


def vars_of(preset):
    objective = MutualSupervisionELBO.preset(preset)
    names = ("alpha", "kl", "estimator", "stop_gradient", "combine")
    return {n: getattr(objective, n) for n in names}


# ---------------------------------------------------------------- options


def test_presets():
    assert vars_of("bound") == vars_of("paper") | {"estimator": "symmetric", "stop_gradient": False}
    assert vars_of("paper") == {
        "alpha": 1.0,
        "kl": "sample",
        "estimator": "single",
        "stop_gradient": True,
        "combine": "mean",
    }
    assert vars_of("code") == vars_of("paper") | {"alpha": 10.0, "kl": "analytic", "combine": "sum"}
    assert MutualSupervisionELBO.preset("code", alpha=2.0, num_particles=3).alpha == 2.0
    assert MutualSupervisionELBO.preset("paper").num_particles == 11


@pytest.mark.parametrize(
    ("options", "is_bound"),
    [
        ({}, True),
        ({"estimator": "single"}, True),
        ({"stop_gradient": False}, True),
        ({"conditional_prior": "product"}, True),
        ({"alpha": 10.0}, False),
        ({"kl": "analytic"}, False),
        ({"combine": "sum"}, False),
        ({"beta": 0.5}, False),
        ({"weights": {"s": 2.0}}, False),
    ],
)
def test_what_is_a_bound(options, is_bound):
    assert MutualSupervisionELBO(3, **options).is_bound is is_bound


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kl": "closed"}, "kl: expected 'sample' or 'analytic', got 'closed'"),
        ({"estimator": "singel"}, "Did you mean 'single'"),
        ({"combine": "max"}, "combine: expected 'mean' or 'sum', got 'max'"),
        ({"conditional_prior": "experts"}, "conditional_prior: expected 'mixture' or 'product'"),
        ({"alpha": -1.0}, "alpha: .*at least 0"),
        ({"num_particles": 0}, "num_particles: .*at least 1"),
    ],
)
def test_wrong_options_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        MutualSupervisionELBO(**options)


def test_an_unknown_preset_is_an_error():
    with pytest.raises(ValueError, match=r"name: expected .* got 'papr'. Did you mean 'paper'"):
        MutualSupervisionELBO.preset("papr")


def test_other_programs_are_refused():
    system, objective = PAIR.system(), MutualSupervisionELBO(2)
    plain = models.SharedLatent(system.modalities, 1)
    with pytest.raises(ValueError, match="prior is a PseudoInputPrior"):
        objective.bound(plain, system.guide, PAIR.rows(2))
    product = guides.ProductOfExperts(system.modalities, 1)
    with pytest.raises(ValueError, match=r"MixtureOfExperts; got ProductOfExperts"):
        objective.bound(system.model, product, PAIR.rows(2))


def test_its_parts_train_under_another_objective():
    system = PAIR.system(IWAE(3))
    (-system.objective.bound(system.model, system.guide, mixed_rows()).sum()).backward()
    assert all(p.grad.isfinite().all() for p in system.parameters())
