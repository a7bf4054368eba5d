"""Doubly reparameterised gradients: IWAE's expectation for every guide, with less variance.

Draws of both objectives are the same for a seed, so differences of gradients are paired: every
row is a draw, and tolerances are 4 standard errors of the mean of those very differences.
"""

import math
from functools import partial

import pytest
import torch
from torch.distributions import Normal
from toy_mixture import (
    EXPERTS,
    NOISE,
    SLOPES,
    VALUES,
    Scene,
    assert_mean,
    declare,
    private_scene,
    rows,
    standard_errors_off,
    toy_t,
)

from ppl_mm import guides, models
from ppl_mm.distributions import LearnedScale
from ppl_mm.objectives import IWAE, DReG
from ppl_mm.objectives.weights import guide_trace, particles

ROUNDING = {"atol": 1e-9, "rtol": 1e-9}
WIDE = partial(guides.ProductOfExperts, prior_expert=False)


def simple(guide, num_rows, prior=None, names="abc"):
    declared = declare(num_rows, names)
    guide = guide(declared, 1, prior=prior)
    return Scene(models.SharedLatent(declared, 1, prior=prior), guide, rows(num_rows, names))


AUXILIARY = {"private": "auxiliary"}
CASES = {
    "product": (partial(simple, WIDE), {}),
    "experts, normal": (partial(simple, guides.MixtureOfExperts), {}),
    "experts, laplace": (partial(simple, guides.MixtureOfExperts, prior="laplace"), {}),
    "products": (partial(simple, guides.MixtureOfProducts), {}),
    "private, normal": (private_scene, AUXILIARY),
    "private, laplace": (partial(private_scene, family="laplace"), AUXILIARY),
    "private, from the prior": (private_scene, {"private": "prior"}),
    "private, from the posterior": (private_scene, {"private": "posterior"}),
    "private, products": (partial(private_scene, shared=guides.MixtureOfProducts), AUXILIARY),
    "private, one product": (partial(private_scene, shared=WIDE), {}),
}
every_case = pytest.mark.parametrize(("make", "options"), CASES.values(), ids=CASES)
SETTINGS = [(2, 1.0, "looser"), (10, 2.5, "looser"), (2, 2.5, "tighter"), (10, 1.0, "tighter")]
every_setting = pytest.mark.parametrize(("number", "beta", "form"), SETTINGS)


def differences(scene, number, seed=0, **options):
    """Paired differences of the gradients of every row's experts."""
    one, other = (scene.row_gradients(o(number, **options), seed) for o in (DReG, IWAE))
    assert one.keys() == other.keys()
    return {n: one[n] - other[n] for n in one}


# ---------------------------------------------------------------- expectation


@every_case
@every_setting
def test_the_guides_gradient_has_iwaes_expectation(make, options, number, beta, form):
    scene = make(4000)
    for difference in differences(scene, number, beta=beta, form=form, **options).values():
        assert difference.any()
        assert_mean(difference)


@every_case
@pytest.mark.parametrize("beta", [1.0, 2.5])
def test_the_guides_gradient_has_iwaes_expectation_in_a_batch_of_mixed_patterns(
    make, options, beta
):
    scene = make(6000)
    names, each = scene.obs.names, 2 ** len(scene.obs.names)
    pattern = torch.arange(6000) % each
    present = {n: (pattern >> i) % 2 == 0 for i, n in enumerate(names)}
    obs = type(scene.obs)(scene.obs.values, present)
    found = differences(scene.seeing(obs), 4, beta=beta, **options)
    for name, difference in found.items():
        held = present[name.split(".")[-2]]
        assert not difference[~held].any(), name
        for p in pattern[held].unique():
            assert_mean(difference[pattern == p])


@pytest.mark.parametrize("case", ["products", "private, normal", "private, laplace"])
@pytest.mark.parametrize("strata", [1, 2])
def test_some_strata_at_random_keep_the_expectation(case, strata):
    make, options = CASES[case]
    found = differences(make(6000), 4, beta=1.5, strata=strata, **options)
    for difference in found.values():
        assert_mean(difference)


# ---------------------------------------------------------------- what is identical


@every_case
@every_setting
def test_the_value_and_all_other_gradients_are_iwaes_for_the_same_draws(
    make, options, number, beta, form
):
    scene, weights = make(7), {"a": 0.3}
    objectives = [o(number, beta=beta, form=form, weights=weights, **options) for o in (DReG, IWAE)]
    values = [scene.backward(o, seed=3) for o in objectives]
    torch.testing.assert_close(*values, **ROUNDING)
    one, other = (scene.shared_gradients(o, seed=3) for o in objectives)
    assert one.keys() == other.keys()
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], **ROUNDING)
    decoders = {n for n in one if n.startswith("decoders")}
    auxiliary = {n for n in one if n.startswith("auxiliary")}
    assert decoders
    assert all(one[n].any() for n in decoders)
    if options.get("private") == "auxiliary":
        assert auxiliary
        assert all(one[n].any() for n in auxiliary)


@pytest.mark.parametrize("family", ["normal", "laplace"])
def test_a_learned_priors_gradient_is_iwaes(family):
    declared, prior = declare(7), LearnedScale(1, family, "exp")
    model = models.SharedLatent(declared, 1, prior=prior)
    scene = Scene(model, guides.MixtureOfExperts(declared, 1, prior=prior), rows(7))
    one, other = (scene.shared_gradients(o(5, beta=2.5), seed=3) for o in (DReG, IWAE))
    assert one["prior.raw"].any()
    torch.testing.assert_close(one["prior.raw"], other["prior.raw"], **ROUNDING)


def test_the_guides_own_gradient_differs_from_iwaes_draw_by_draw():
    # Catches a hook that never fires, as in the releases of MMVAE and MMVAE+.
    for make, options in CASES.values():
        for difference in differences(make(7), 5, seed=3, **options).values():
            assert (difference.abs() > 1e-6).all()


def test_nothing_is_differentiated_without_gradients():
    scene = toy_t(3)
    with torch.no_grad():
        value = DReG(4).bound(scene.model, scene.guide, scene.obs)
    assert not value.requires_grad
    assert DReG(4).loss(scene.model, scene.guide, scene.obs) != 0


# ---------------------------------------------------------------- toy T, by hand


def by_hand(z, kind, beta=1.0, form="looser"):
    """Gradients of toy T for (mu_a, mu_b, log s_a, log s_b) of every row, at draws (K, 2, N)."""
    num_rows = z.shape[-1]
    loc = torch.tensor([EXPERTS[n][0] for n in "ab"])[:, None].repeat(1, num_rows)
    log_scale = torch.tensor([EXPERTS[n][1] for n in "ab"]).log()[:, None].repeat(1, num_rows)
    eps = (z - loc) / log_scale.exp()
    loc.requires_grad_()
    log_scale.requires_grad_()
    z = loc + log_scale.exp() * eps

    def each(z, fixed):  # log q_c(z), (K, S, C, N)
        at = (loc.detach(), log_scale.detach()) if fixed else (loc, log_scale)
        return Normal(at[0], at[1].exp()).log_prob(z.unsqueeze(-2))

    def mixture(log_q):
        return torch.logsumexp(log_q, -2) - math.log(2)

    joint = Normal(0.0, 1.0).log_prob(z) * beta
    for n in "ab":
        joint = joint + Normal(SLOPES[n] * z, NOISE[n]).log_prob(torch.tensor(VALUES[n]))
    fixed = each(z, fixed=True)
    ell = joint - beta * mixture(fixed)
    log_w = ell.detach()
    if form == "looser":
        p, share = log_w.softmax(0), 0.5
    else:
        p, share = log_w.flatten(0, 1).softmax(0).reshape(log_w.shape), 1.0
    rho = torch.stack([fixed.softmax(-2)[:, s, s] for s in (0, 1)], 1)  # of the own expert
    if kind == "iwae":
        surrogate = p * (joint - beta * mixture(each(z, fixed=False)))
    elif kind == "detached":  # every density held fixed, weights not squared
        surrogate = p * ell
    elif kind == "squared":
        surrogate = p**2 * ell
    elif kind == "naive":  # the formula of one component
        surrogate = ((1 - beta) * p + beta * p**2) * ell
    else:
        live = each(z.detach(), fixed=False)
        own = torch.eye(2, dtype=torch.bool)[None, :, :, None]
        others = mixture(torch.where(own, live.detach(), live))
        kept = p - beta * rho.detach() * p * (1 - p)
        surrogate = kept * ell - beta * p * rho - beta * p * others
    (share * surrogate).sum().backward()
    return torch.cat([loc.grad, log_scale.grad]).T


def draws_of(scene, number, seed=0):
    torch.manual_seed(seed)
    with particles(number):
        trace = guide_trace(scene.guide, scene.guide.strata(scene.obs))
    return trace.nodes["z"]["value"].detach().squeeze(-1)


def found(scene, objective):
    """As ``by_hand``, from an objective."""
    g = scene.row_gradients(objective)
    order = [f"guide.encoders.{n}.{part}" for part in ("loc", "log_scale") for n in "ab"]
    return torch.cat([g[name] for name in order], 1)


@pytest.mark.parametrize("form", ["looser", "tighter"])
@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 2.5])
@pytest.mark.parametrize("number", [1, 5])
def test_both_gradients_are_the_formulas_of_a_mixture_draw_by_draw(number, beta, form):
    scene = toy_t(50)
    z = draws_of(scene, number)
    for objective, kind in ((IWAE, "iwae"), (DReG, "unbiased")):
        gradient = found(scene, objective(number, beta=beta, form=form))
        torch.testing.assert_close(gradient, by_hand(z, kind, beta, form), **ROUNDING)


NUMBERS = {  # beta: IWAE and the unbiased one, which is wrong, and its gradient
    1.0: (
        [[-0.1355, 0.2500, -0.0248, -0.0274], [-0.1354, 0.2509, -0.0246, -0.0269]],
        {
            "naive": [-0.1867, 0.2061, -0.0150, -0.0364],
            "detached": [-0.835, 0.797, -0.122, -0.172],
        },
    ),
    2.5: (
        [[0.773, -0.627, 0.063, 0.222], [0.773, -0.625, 0.063, 0.222]],
        {"naive": [0.811, -0.600, 0.056, 0.223], "squared": [-0.232, 0.156, 0.011, -0.052]},
    ),
}
PRINTED = 0.002  # its numbers are Monte Carlo too: its two rows of one expectation differ by that


@pytest.mark.parametrize("beta", NUMBERS)
def test_numbers_of_the_digest_and_wrong_formulas_that_miss_them(beta):
    scene = toy_t(100_000)
    (iwae, unbiased), wrong = NUMBERS[beta]
    one, other = (found(scene, o(5, beta=beta)) for o in (IWAE, DReG))
    assert_mean(one, torch.tensor(iwae), slack=PRINTED)
    assert_mean(other, torch.tensor(unbiased), slack=PRINTED)
    assert_mean(one - other)
    z = draws_of(scene, 5)
    for kind, numbers in wrong.items():
        gradient = by_hand(z, kind, beta)
        assert_mean(gradient, torch.tensor(numbers), slack=PRINTED)
        assert standard_errors_off(gradient - other).max() > 8, kind


def test_with_one_particle_even_the_formula_of_one_component_is_unbiased():
    scene = toy_t(20_000)
    z = draws_of(scene, 1)
    iwae = by_hand(z, "iwae")
    assert_mean(by_hand(z, "naive") - iwae)
    assert_mean(found(scene, DReG(1)) - iwae)


def test_the_tighter_form_has_numbers_of_its_own():
    scene = toy_t(200_000)
    iwae = found(scene, IWAE(5, form="tighter"))
    assert_mean(iwae[:, :2], torch.tensor([-0.1037, 0.0613]), slack=PRINTED)
    naive = by_hand(draws_of(scene, 5), "naive", form="tighter")
    assert_mean(naive[:, :2], torch.tensor([-0.0980, 0.0672]), slack=PRINTED)
    unbiased = found(scene, DReG(5, form="tighter"))
    assert standard_errors_off(naive - unbiased).max() > 6
    assert_mean(unbiased - iwae)


# ---------------------------------------------------------------- one component


def one_component(num_rows, loc, scale):
    """a = 0.8 ~ Normal(z, 0.5) under q = Normal(loc, scale); the posterior is Normal(.64, .2)."""
    scene = simple(WIDE, num_rows, names="a")
    (expert,) = scene.experts().values()
    torch.nn.init.constant_(expert.loc, loc)
    torch.nn.init.constant_(expert.log_scale, math.log(scale))
    return scene


@pytest.mark.parametrize("beta", [1.0, 2.5])
def test_the_path_coefficient_of_one_component(beta):
    # (1 - beta) p + beta p^2, at the same draws; p^2 alone is right for beta = 1 only.
    scene, number = one_component(40_000, 0.3, 0.7), 5
    torch.manual_seed(0)
    with particles(number):
        draws = guide_trace(scene.guide, scene.obs).nodes["z"]["value"]
    eps = ((draws - 0.3) / 0.7).detach().reshape(number, -1)
    loc = torch.full((eps.shape[1],), 0.3, requires_grad=True)
    z = loc + 0.7 * eps
    prior, q = Normal(0.0, 1.0).log_prob(z), Normal(0.3, 0.7).log_prob(z)
    ell = Normal(z, 0.5).log_prob(torch.tensor(0.8)) + beta * (prior - q)
    p = ell.detach().softmax(0)
    (path,) = torch.autograd.grad(ell.sum(), z)
    dreg = scene.row_gradients(DReG(number, beta=beta))["encoders.a.loc"].squeeze(-1)
    iwae = scene.row_gradients(IWAE(number, beta=beta))["encoders.a.loc"].squeeze(-1)
    coefficient = (1 - beta) * p + beta * p**2
    torch.testing.assert_close(dreg, (coefficient * path).sum(0), **ROUNDING)
    assert_mean(dreg - iwae)
    squared = (p**2 * path).sum(0)
    if beta != 1.0:
        assert standard_errors_off(squared - iwae) > 50


@pytest.mark.parametrize("number", [1, 5])
def test_at_the_exact_posterior_the_gradient_is_zero_for_every_draw(number):
    scene = one_component(20, 0.64, math.sqrt(0.2))
    for gradient in scene.row_gradients(DReG(number)).values():
        assert gradient.abs().max() < 1e-12
    plain = scene.row_gradients(IWAE(number))
    assert all((gradient.abs() > 1e-6).all() for gradient in plain.values())


# ---------------------------------------------------------------- variance


@pytest.mark.parametrize("form", ["looser", "tighter"])
def test_the_variance_is_smaller_on_the_toy_for_every_parameter(form):
    # Ratios of variances of 20 000 draws: a relative error of about sqrt(2 / 20 000) = 0.01 and a
    # little more for the tails; the reference has standard deviations of about half.
    scene = toy_t(20_000)
    one, other = (found(scene, o(5, form=form)) for o in (DReG, IWAE))
    ratio = one.std(0) / other.std(0)
    assert (ratio < 0.8).all(), ratio


@every_case
def test_the_variance_is_smaller_for_every_guide(make, options):
    scene = make(4000)
    one, other = (scene.row_gradients(o(10, **options)) for o in (DReG, IWAE))
    total = [sum(g.var(0).sum() for g in each.values()) for each in (one, other)]
    assert total[0] < 0.9 * total[1]
