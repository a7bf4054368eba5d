"""Impartial optimisation: what comes back at the latent, and what does not change."""

import sys

import pyro
import pyro.distributions as dist
import pytest
import torch
from every_system import (
    SYSTEMS,
    SameNoise,
    build,
    complete,
    kinds_of,
    loss_and_gradients,
    mixed,
    modalities,
)
from linear_gaussian import NAMES, LinearGaussian

from ppl_mm import System, fit, guides, objectives
from ppl_mm.programs.program import Program
from ppl_mm.training.impartial import impartially

NAMED = ("pcgrad", "imtl_g", "mgda")
every_system = pytest.mark.parametrize("name", SYSTEMS)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)


def alike(products):
    return torch.ones(len(products))


def unlike(products):
    return torch.arange(1.0, len(products) + 1)


def under(rule, system, obs):
    with impartially(system, rule), SameNoise():
        return loss_and_gradients(system, obs)


# ------------------------------------------------------------------ the same weight for all


@every_system
def test_equal_weights_give_the_ordinary_gradient(name):
    system, obs = build(name), mixed(*kinds_of(name))
    loss, gradients = under(None, system, obs)
    same, others = under(alike, system, obs)
    assert torch.equal(loss, same)
    for parameter, gradient in gradients.items():
        close(gradient, others[parameter])


@every_system
def test_one_modality_gives_the_ordinary_gradient_whatever_the_rule(name):
    system = build(name)
    obs = mixed(*kinds_of(name)).only("normal" if name not in ("vae", "cvae") else "bernoulli")
    if name == "cvae":
        obs = complete(4)
        system.objective.weights = {"normal": 0.0}
    _, gradients = under(None, system, obs)
    _, others = under(unlike, system, obs)
    for parameter, gradient in gradients.items():
        assert torch.equal(gradient, others[parameter]), parameter


def test_fit_with_equal_weights_and_with_draws_is_fit_without():
    def draws(products):
        return torch.ones(len(products)) + 0 * torch.rand(())

    states = []
    for rule in (None, alike, draws):
        torch.manual_seed(0)
        system = build("mopoe")
        fit(system, complete(6), epochs=3, batch_size=2, impartial=rule, progress=False)
        assert not system.model._forward_hooks
        assert not system.model._forward_pre_hooks
        states.append(system.state_dict())
    for parameter, value in states[0].items():
        close(states[1][parameter], value)
        close(states[2][parameter], value)


# ------------------------------------------------------------------ other weights, by hand


def gradients_at_the_latent(system, obs):
    """g_m of each modality's loss at z, (M, B, Z), with z as SameNoise draws it."""
    with SameNoise(), torch.no_grad():
        trace = pyro.poutine.trace(system.guide).get_trace(obs)
    z = trace.nodes["z"]["value"].requires_grad_()
    out = []
    for name, decoder in system.model.decoders.items():
        p = system.model.likelihoods[name](decoder(z), 1, obs[name].shape[1:])
        out.append(torch.autograd.grad(-p.log_prob(obs[name]).sum(), z)[0])
    return torch.stack(out)


def combined(system, obs, rule):
    """What the rule sends back from z: the weighted sum, of the norm of the plain one."""
    toy = torch.nn.Parameter(torch.zeros(len(obs), system.model.latent_dim))

    class Shifted(Program):
        def forward(self, obs):
            with SameNoise():
                q = system.guide.posterior(obs).base_dist
            with obs.plates():
                loc, scale = q.loc.detach() + toy, q.scale.detach()
                pyro.sample("z", dist.Normal(loc, scale).to_event(1))

    guide = Shifted(system.modalities, system.model.latent_dim)
    reconstruction = objectives.ELBOTerms([objectives.Term(NAMES, NAMES)], beta=0.0)
    with impartially(System(system.model, guide, reconstruction), rule), SameNoise():
        reconstruction.differentiable_loss(system.model, guide, obs).backward()
    return toy.grad


@pytest.fixture
def scene():
    toy = LinearGaussian(spread=1.2)
    guide = guides.ProductOfExperts(toy.modalities, toy.latent_dim)
    term = objectives.Term(NAMES, NAMES)
    return toy.system(guide, objectives.ELBOTerms([term])), toy.sample(4)


def expected_direction(g, rule):
    flat = g.flatten(1)
    weights = rule(flat @ flat.T)
    found = (weights[:, None] * flat).sum(0)
    return (found * flat.sum(0).norm() / found.norm()).reshape(g.shape[1:])


@pytest.mark.parametrize("rule", [unlike, lambda products: 1.0 / products.diagonal().sqrt()])
def test_the_latent_gets_the_weighted_sum_of_the_plain_sums_norm(scene, rule):
    g = gradients_at_the_latent(*scene)
    close(combined(*scene, rule), expected_direction(g, rule))
    close(combined(*scene, alike), g.sum(0))


def test_a_rule_sees_products_of_unit_mean_of_the_modalities_that_have_a_gradient(scene):
    system, obs = scene
    seen = []

    def rule(products):
        seen.append(products)
        return torch.ones(len(products))

    for rows, number in ((obs, 3), (obs.without("c"), 2)):
        combined(system, rows, rule)
        flat = gradients_at_the_latent(system, rows)[:number].flatten(1)
        products = flat @ flat.T
        close(seen.pop(), products / products.diagonal().mean())
    with torch.no_grad():
        for parameter in system.model.decoders["c"].parameters():
            parameter.zero_()  # c is there, and tells the latent nothing
    combined(system, obs, rule)
    assert seen.pop().shape == (2, 2)
    assert not seen


def test_encoders_get_what_the_latent_got_and_decoders_their_own(scene):
    system, obs = scene
    _, ordinary = under(None, system, obs)
    _, found = under(unlike, system, obs)
    for parameter, gradient in ordinary.items():
        if parameter.startswith("model."):
            assert torch.equal(found[parameter], gradient), parameter
    change = combined(system, obs, unlike) - combined(system, obs, alike)
    with SameNoise():
        z = pyro.poutine.trace(system.guide).get_trace(obs).nodes["z"]["value"]
    encoders = dict(system.guide.named_parameters())
    for parameter, more in zip(
        encoders, torch.autograd.grad(z, list(encoders.values()), change), strict=True
    ):
        close(found[f"guide.{parameter}"], ordinary[f"guide.{parameter}"] + more)


def test_private_latents_keep_their_own_gradient():
    system, obs = build("dmvae"), complete(5)
    _, ordinary = under(None, system, obs)
    _, found = under(unlike, system, obs)
    for parameter, gradient in ordinary.items():
        kept = not parameter.startswith("guide.shared.encoders")
        assert torch.equal(found[parameter], gradient) == kept, parameter


# ------------------------------------------------------------------ named rules


def test_mgda_is_the_shortest_of_the_mixtures(scene):
    pytest.importorskip("torchjd")
    flat = gradients_at_the_latent(*scene).flatten(1)
    found = combined(*scene, "mgda").flatten()
    grid = torch.cartesian_prod(*[torch.linspace(0, 1, 201)] * 2)
    grid = grid[grid.sum(1) <= 1]
    grid = torch.cat([grid, 1 - grid.sum(1, keepdim=True)], 1)
    shortest = (grid @ flat).norm(dim=1).argmin()
    mixture = grid[shortest] @ flat
    cosine = torch.nn.functional.cosine_similarity(found, mixture, dim=0)
    assert cosine > 0.999
    close(found.norm(), flat.sum(0).norm())


def test_imtl_g_has_the_same_projection_on_every_modality(scene):
    pytest.importorskip("torchjd")
    flat = gradients_at_the_latent(*scene).flatten(1)
    projections = (flat / flat.norm(dim=1, keepdim=True)) @ combined(*scene, "imtl_g").flatten()
    close(projections, projections[:1].expand(3))


def test_pcgrad_of_two_is_its_equation(scene):
    pytest.importorskip("torchjd")
    system, _ = scene
    obs = LinearGaussian().sample(60).without("c")
    a, b, _ = gradients_at_the_latent(system, obs)
    obs = obs[(a * b).sum(-1) < 0]  # rows in which there is something to project
    a, b = gradients_at_the_latent(system, obs)[:2].flatten(1)
    projected = (a - (a @ b) / (b @ b) * b) + (b - (a @ b) / (a @ a) * a)
    expected = projected * (a + b).norm() / projected.norm()
    close(combined(system, obs, "pcgrad").flatten(), expected)
    assert (expected - a - b).norm() > 0.1 * expected.norm()


@every_system
def test_named_rules_train_every_system(name):
    pytest.importorskip("torchjd")
    obs = mixed(*kinds_of(name), rows_per_pattern=2)
    for rule in NAMED:
        system = build(name)
        result = fit(system, obs, epochs=1, batch_size=6, impartial=rule, progress=False)
        assert all(torch.isfinite(p).all() for p in system.parameters())
        assert len(result.history) == 1


def test_mixed_precision():
    pytest.importorskip("torchjd")
    torch.set_default_dtype(torch.float32)
    system = build("mvae")
    fit(
        system, complete(8), epochs=2, impartial="pcgrad", precision="bf16-mixed", device="cpu",
        progress=False,
    )  # fmt: skip
    assert all(torch.isfinite(p).all() for p in system.parameters())


# ------------------------------------------------------------------ errors


def test_gradients_that_cancel_stay_cancelled(scene):
    found = combined(*scene, lambda products: torch.zeros(len(products)))
    assert not found.any()


def test_unknown_rules_are_errors():
    with pytest.raises(ValueError, match=r"unknown rule of impartial 'pcgrd'.*'pcgrad'"):
        fit(build("mvae"), complete(2), epochs=1, impartial="pcgrd", progress=False)


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (5, TypeError, r"impartial: expected a string, a function or None, got 5"),
        (
            lambda products: torch.ones(7),
            ValueError,
            r"weight a modality, \(M,\) = \(3,\), got \(7,\)",
        ),
        (lambda products: [1.0] * 3, ValueError, r"\(M,\) = \(3,\), got list"),
    ],
)
def test_what_is_no_rule_is_an_error(rule, error, message):
    with pytest.raises(error, match=message):
        fit(build("mvae"), complete(2), epochs=1, impartial=rule, progress=False)


def test_the_error_without_torchjd_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchjd", None)
    with pytest.raises(ImportError, match=r"pip install 'ppl-mm\[impartial\]'"):
        fit(build("mvae"), complete(2), epochs=1, impartial="mgda", progress=False)


class Plain(Program):
    """A user's model that scores a modality by a distribution of its own."""

    def __init__(self):
        super().__init__(modalities("normal"), 2)
        self.decoder = torch.nn.Linear(2, 3)

    def forward(self, obs):
        with obs.plates():
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            x, scored = obs.filled("normal")
            pyro.sample("normal", dist.Normal(self.decoder(z), 1.0).to_event(1).mask(scored), obs=x)


def test_a_model_whose_decoders_cannot_be_told_apart_is_an_error():
    guide = guides.ProductOfExperts(modalities("normal"), 2)
    system = System(Plain(), guide, objectives.IWAE())
    with pytest.raises(TypeError, match="modality 'normal' is scored by a MaskedDistribution"):
        fit(system, complete(2, "normal"), epochs=1, impartial=alike, progress=False)
    assert not pyro.poutine.runtime._PYRO_STACK
    fit(system, complete(2, "normal"), epochs=1, progress=False)
