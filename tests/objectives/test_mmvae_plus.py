"""MMVAE+: private latents off the source, who gets which gradient, and what is a bound."""

import math

import pytest
import torch
from every_system import SameNoise
from torch import nn
from torch.distributions import Normal
from toy_mixture import (
    NOISE,
    PRIVATE,
    SLOPES,
    VALUES,
    Scene,
    assert_mean,
    declare,
    private_scene,
    recorded,
    rows,
)

from ppl_mm import Observations, guides, models
from ppl_mm.objectives import IWAE, DReG

EXACT = {"atol": 1e-10, "rtol": 1e-10}


def bound(objective, scene, seed=0):
    torch.manual_seed(seed)
    return objective.bound(scene.model, scene.guide, scene.obs)


def only_stratum(scene, name):
    """The same under a mixture of one component, the expert of ``name``."""
    scene.guide.shared = guides.Mixture(scene.guide.shared.guide, [(name,)])
    return scene


# ---------------------------------------------------------------- the objective by hand


def guide_density(draws):
    """The private draws of the sources, and log of the guide's density, (K, S, B) each."""
    experts = {"a": (0.6, 0.4), "b": (-0.3, 0.5)}
    private = {"a": (0.3, 0.6), "b": (0.45, 0.6)}
    own = torch.stack([draws["w_a"][:, 0], draws["w_b"][:, 1]], 1)
    each = torch.stack([Normal(*experts[n]).log_prob(draws["u"]) for n in "ab"])
    log_w = [Normal(*private[n]).log_prob(own[:, i]) for i, n in enumerate("ab")]
    return own, torch.logsumexp(each, 0) - math.log(2) + torch.stack(log_w, 1)


@pytest.mark.parametrize("objective", [IWAE, DReG])
@pytest.mark.parametrize("private", ["auxiliary", "prior"])
def test_the_objective_is_the_papers_equation(objective, private):
    scene, beta, weights = private_scene(5), 0.7, {"a": 3.0, "b": 0.5}
    b = scene.experts()["private_encoders.b"]
    nn.init.constant_(b.loc, 0.45)
    value, draws = recorded(objective(3, private=private, beta=beta, weights=weights), scene)
    own, log_q = guide_density(draws)
    prior = Normal(0.0, 1.0)
    ell = beta * (prior.log_prob(draws["u"]) + prior.log_prob(own) - log_q)
    for n in "ab":
        mean = SLOPES[n] * draws["u"] + PRIVATE * draws[f"w_{n}"]
        ell = ell + weights[n] * Normal(mean, NOISE[n]).log_prob(torch.tensor(VALUES[n]))
    expected = (ell.logsumexp(0) - math.log(3)).mean(0)
    torch.testing.assert_close(value, expected, **EXACT)


@pytest.mark.parametrize(
    ("private", "scales"), [("prior", (1.0, 1.0)), ("auxiliary", (math.exp(-0.4), math.exp(-0.6)))]
)
def test_private_latents_come_from_their_encoder_on_the_source_and_from_the_prior_off_it(
    private, scales
):
    _, draws = recorded(IWAE(1, private=private), private_scene(20_000))
    for i, n in enumerate("ab"):
        on, off = draws[f"w_{n}"][0, i], draws[f"w_{n}"][0, 1 - i]
        assert_mean(on, 0.3 * SLOPES[n])
        assert_mean((on - 0.3 * SLOPES[n]) ** 2, 0.36)
        assert_mean(off)
        assert_mean(off**2, scales[i] ** 2)


def test_fresh_private_latents_for_every_particle_and_stratum():
    _, draws = recorded(IWAE(2, private="auxiliary"), private_scene(3))
    for name in "ab":
        assert draws[f"w_{name}"].unique().numel() == 2 * 2 * 3  # particles, strata, rows


# ---------------------------------------------------------------- who gets which gradient


def gradients(scene, objective):
    scene.backward(objective, seed=0)
    both = [*scene.model.named_parameters(), *scene.guide.named_parameters()]
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in both}


def perturbed(name):
    scene = private_scene(6)
    with torch.no_grad():
        scene.model.decoders[name].weight.add_(0.37)
    return scene


def moved(number, name, objective=IWAE, **options):
    """Which of the guide's gradients change, for the same noise, with the decoder of ``name``."""
    objective = objective(number, private="auxiliary", **options)
    one, other = gradients(private_scene(6), objective), gradients(perturbed(name), objective)
    return {n for n in one if not n.startswith("decoders") and not torch.equal(one[n], other[n])}


def of(kind, name):
    return {f"{kind}.{name}.loc", f"{kind}.{name}.log_scale"}


@pytest.mark.parametrize("objective", [IWAE, DReG])
@pytest.mark.parametrize(("name", "other"), [("a", "b"), ("b", "a")])
def test_with_one_particle_a_private_encoder_learns_from_its_own_decoder_alone(
    objective, name, other
):
    found = moved(1, name, objective)
    assert of("private_encoders", name) <= found
    assert not of("private_encoders", other) & found  # to the last bit


@pytest.mark.parametrize("objective", [IWAE, DReG])
@pytest.mark.parametrize(("name", "other"), [("a", "b"), ("b", "a")])
def test_with_several_particles_the_normalised_weights_carry_other_decoders_over(
    objective, name, other
):
    assert of("private_encoders", other) <= moved(3, name, objective)
    assert of("private_encoders", other) <= moved(1, name, objective, form="tighter")


@pytest.mark.parametrize("name", ["a", "b"])
def test_every_shared_encoder_learns_from_every_decoder(name):
    found = moved(1, name)
    assert of("shared.guide.encoders", "a") <= found
    assert of("shared.guide.encoders", "b") <= found


def test_an_auxiliary_prior_learns_only_where_its_decoder_uses_the_private_latent():
    scene = private_scene(6)
    with torch.no_grad():
        scene.model.decoders["a"].weight[1] = 0.0
    found = gradients(scene, IWAE(1, private="auxiliary"))
    assert not found["auxiliary_priors.a.raw"].any()
    assert found["auxiliary_priors.b.raw"].any()


@pytest.mark.parametrize("objective", [IWAE, DReG])
@pytest.mark.parametrize(("name", "other"), [("a", "b"), ("b", "a")])
def test_an_auxiliary_prior_learns_nothing_from_its_own_stratum(objective, name, other):
    scene = only_stratum(private_scene(6), name)
    found = gradients(scene, objective(3, private="auxiliary"))
    assert not found[f"auxiliary_priors.{name}.raw"].any()
    assert found[f"auxiliary_priors.{other}.raw"].any()
    assert not found[f"private_encoders.{other}.loc"].any()


# ---------------------------------------------------------------- missing modalities

OPTIONS = {
    "auxiliary": {"private": "auxiliary"},
    "tighter": {"private": "prior", "form": "tighter", "beta": 2.0},
    "posterior": {"private": "posterior", "weights": {"a": 2.0}},
}
every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
every_objective = pytest.mark.parametrize("objective", [IWAE, DReG])


def result(scene, objective):
    with SameNoise():
        value = scene.backward(objective, seed=0)
    both = [*scene.model.named_parameters(), *scene.guide.named_parameters()]
    return value, {n: p.grad.clone() for n, p in both if p.grad is not None}


@every_option
@every_objective
def test_masked_everywhere_equals_a_system_without_the_modality(objective, options):
    scene = private_scene(4, names="abc")
    value, found = result(scene.seeing(scene.obs.without("c")), objective(3, **options))
    expected, others = result(private_scene(4, names="ab"), objective(3, **options))
    torch.testing.assert_close(value, expected, **EXACT)
    for name, gradient in others.items():
        torch.testing.assert_close(found[name], gradient, **EXACT)
    for name in found.keys() - others.keys():
        assert not found[name].any(), name


def mixed(value=float("nan")):
    patterns = torch.arange(8)
    present = {n: (patterns >> i) % 2 == 0 for i, n in enumerate("abc")}
    values = {n: torch.where(present[n][:, None], rows(8, "abc")[n], value) for n in "abc"}
    return Observations(values, present)


@every_option
@every_objective
def test_a_mixed_batch_is_the_sum_of_its_rows(objective, options):
    objective = objective(3, **options)
    value, found = result(private_scene(8, names="abc").seeing(mixed()), objective)
    total = {n: torch.zeros_like(g) for n, g in found.items()}
    for row in range(8):
        scene = private_scene(8, names="abc").seeing(mixed()[[row]])
        for expert in scene.experts().values():
            expert.rows = torch.tensor([row])[: len(expert.rows)]
        one, gradients = result(scene, objective)
        torch.testing.assert_close(one, value[[row]], **EXACT)
        for name, gradient in gradients.items():
            total[name] += gradient
    for name, gradient in found.items():
        torch.testing.assert_close(total[name], gradient, **EXACT)


@every_option
@every_objective
def test_missing_values_may_be_anything(objective, options):
    objective = objective(3, **options)
    results = [
        result(private_scene(8, names="abc").seeing(mixed(v)), objective)
        for v in (float("nan"), 1e30, 0.0)
    ]
    value, found = results[0]
    assert value.isfinite().all()
    for other, gradients in results[1:]:
        assert torch.equal(other, value)
        for name, gradient in gradients.items():
            assert gradient.isfinite().all()
            assert torch.equal(gradient, found[name])


@every_option
@every_objective
def test_rows_with_nothing_are_exactly_zero(objective, options):
    scene = private_scene(4)
    value, found = result(scene.seeing(scene.obs.without("a", "b")), objective(3, **options))
    assert (value == 0).all()
    assert not any(g.any() for g in found.values())


@every_option
def test_one_modality_is_a_plain_importance_weighted_bound(options):
    scene = private_scene(4)
    value, _ = result(scene.seeing(scene.obs.without("b")), IWAE(3, **options))
    declared = declare(4, "a")
    guide = guides.SharedPrivate(guides.ProductOfExperts(declared, 1, prior_expert=False), 1)
    alone = Scene(models.SharedPrivate(declared, 1, 1), guide, rows(4, "a"))
    plain = {k: v for k, v in options.items() if k in ("beta", "weights")}
    expected, _ = result(alone, IWAE(3, **plain))
    torch.testing.assert_close(value, expected, **EXACT)
