"""The ELBO of a mixture: MoPoE's two forms and mmJSD's divergence, by hand and in numbers."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from toy_mixture import (
    LOG_P,
    PRIVATE,
    SLOPES,
    Scene,
    assert_mean,
    declare,
    log_p,
    private_scene,
    recorded,
    rows,
    set_experts,
    toy_t,
)

from ppl_mm import guides, models, systems
from ppl_mm.objectives import MixtureELBO
from ppl_mm.objectives.mixture_elbo import jensen_shannon

EXACT = {"atol": 1e-10, "rtol": 1e-10}
PRIOR = Normal(0.0, 1.0)


def products(num_rows, prior_expert=False, names="ab"):
    declared = declare(num_rows, names)
    guide = guides.MixtureOfProducts(declared, 1, prior_expert)
    return Scene(models.SharedLatent(declared, 1), guide, rows(num_rows, names))


# ---------------------------------------------------------------- MoPoE


def component_gap(scene):
    """mean_S KL(q_S || q) of one row, by quadrature."""
    mixture = scene.guide.posterior(scene.guide.strata(scene.obs))
    components = mixture.components.base_dist
    loc, scale = components.loc[:, 0, 0], components.scale[:, 0, 0]
    grid = torch.linspace(-12, 12, 48_001)
    each = Normal(loc, scale).log_prob(grid[:, None])
    q = torch.logsumexp(each, 1, keepdim=True) - math.log(len(loc))
    return torch.trapezoid((each.exp() * (each - q)).mean(1), grid).item()


@pytest.mark.parametrize(
    ("prior_expert", "average", "mixture", "gap"),
    [(False, -3.92404, -3.60543, 0.31862), ("full", -3.92345, -3.59484, 0.32861)],
)
def test_numbers_of_mopoe_on_the_toy(prior_expert, average, mixture, gap):
    scene = products(40_000, prior_expert)
    full = scene.guide.posterior(scene.guide.strata(scene.obs)).components.base_dist
    expected = (0.22667, 0.29814) if prior_expert else (0.24878, 0.31235)
    assert full.loc[2, 0].item() == pytest.approx(expected[0], abs=5e-6)
    assert full.scale[2, 0].item() == pytest.approx(expected[1], abs=5e-6)
    one, _ = recorded(MixtureELBO("components"), scene)
    other, _ = recorded(MixtureELBO("mixture"), scene)
    assert_mean(one, average, slack=5e-6)
    assert_mean(other, mixture, slack=5e-6)
    assert_mean(other - one, gap, slack=5e-6)
    assert component_gap(products(1, prior_expert)) == pytest.approx(gap, abs=1e-5)
    assert one.mean() < other.mean() < LOG_P


@pytest.mark.parametrize("names", ["ab", "abc"])
@pytest.mark.parametrize("seed", range(3))
def test_the_two_forms_differ_by_the_components_divergence_from_the_mixture(names, seed):
    torch.manual_seed(seed)
    locs, logs = torch.randn(3), torch.randn(3)
    parts = {n: (locs[i].item(), logs[i].exp().item()) for i, n in enumerate("abc")}
    gap = component_gap(set_experts(products(1, names=names), **parts))
    assert 0 <= gap <= math.log(2 ** len(names) - 1)
    scene = set_experts(products(20_000, names=names), **parts)
    one, other = (recorded(MixtureELBO(d), scene)[0] for d in ("components", "mixture"))
    assert_mean(other - one, gap, slack=1e-9)


def test_far_components_differ_by_the_log_of_their_number():
    scene = set_experts(toy_t(1), a=(-8.0, 0.1), b=(8.0, 0.1))
    assert component_gap(scene) == pytest.approx(math.log(2), abs=1e-9)


def test_the_product_of_equal_experts_is_narrower_by_their_number():
    scene = set_experts(products(1, names="abc"), **dict.fromkeys("abc", (0.4, 0.9)))
    q = scene.guide.posterior(scene.guide.strata(scene.obs)).components.base_dist
    sizes = torch.tensor([len(s) for s in scene.guide.family])
    torch.testing.assert_close(q.variance[:, 0, 0], 0.9 / sizes)
    torch.testing.assert_close(q.loc[:, 0, 0], torch.full((7,), 0.4))


@pytest.mark.parametrize("divergence", ["components", "mixture"])
def test_mopoe_by_hand(divergence):
    scene, weights, beta = products(5), {"a": 2.0}, 0.7
    value, draws = recorded(MixtureELBO(divergence, weights=weights, beta=beta), scene)
    z = draws["z"][0] if draws["z"].dim() == 3 else draws["z"]
    q = scene.guide.posterior(scene.guide.strata(scene.obs)).components.base_dist
    q = Normal(q.loc[..., 0].detach(), q.scale[..., 0].detach())
    recon = 2.0 * log_p("a", SLOPES["a"] * z) + log_p("b", SLOPES["b"] * z)
    if divergence == "components":
        d = kl_divergence(q, Normal(torch.zeros(3, 5), 1.0))
    else:
        each = Normal(q.loc[:, None], q.scale[:, None]).log_prob(z)
        d = each.logsumexp(0) - math.log(3) - PRIOR.log_prob(z)
    torch.testing.assert_close(value, (recon - beta * d).mean(0), **EXACT)


# ---------------------------------------------------------------- mmJSD


def divergence_of(scene):
    with torch.no_grad():
        return jensen_shannon(scene.guide, scene.guide.strata(scene.obs))


def by_definition(experts):
    """pi_0 KL(p || f) + sum pi KL(q_m || f), for (loc, variance) of the experts."""
    parts = [(0.0, 1.0), *experts]
    pi = 1 / len(parts)
    precision = sum(pi / v for _, v in parts)
    loc = sum(pi * m / v for m, v in parts) / precision
    f = Normal(torch.tensor(loc), torch.tensor(precision) ** -0.5)
    normals = [Normal(torch.tensor(m), torch.tensor(v).sqrt()) for m, v in parts]
    return f, sum(pi * kl_divergence(q, f) for q in normals).item()


def test_number_of_mmjsds_divergence():
    scene = set_experts(toy_t(3), a=(1.0, 0.5), b=(-1.0, 0.25))
    f, expected = by_definition([(1.0, 0.5), (-1.0, 0.25)])
    assert (f.loc.item(), f.variance.item()) == pytest.approx((-2 / 7, 3 / 7))
    assert expected == pytest.approx(0.9764961, abs=5e-8)
    assert divergence_of(scene).tolist() == pytest.approx([0.9764961] * 3, abs=5e-8)


def test_mmjsds_divergence_leaves_missing_modalities_out():
    scene = set_experts(toy_t(4), a=(1.0, 0.5), b=(-1.0, 0.25))
    present = {"a": torch.tensor([1, 1, 0, 0]).bool(), "b": torch.tensor([1, 0, 1, 0]).bool()}
    scene = scene.seeing(type(scene.obs)(scene.obs.values, present))
    rest = [by_definition([e])[1] for e in ((1.0, 0.5), (-1.0, 0.25))]
    expected = torch.tensor([0.9764961, *rest, 0.0])
    torch.testing.assert_close(divergence_of(scene), expected, atol=5e-8, rtol=0)


def test_mmjsds_divergence_vanishes_only_where_all_experts_are_the_prior():
    same = set_experts(toy_t(2), a=(0.0, 1.0), b=(0.0, 1.0))
    assert divergence_of(same).abs().max() < 1e-12
    other = set_experts(toy_t(2), a=(0.0, 1.0), b=(0.0, 1.1))
    assert divergence_of(other).min() > 1e-4


def test_gradients_flow_through_the_dynamic_prior():
    # d JS / d mu_a includes what f moves: by finite differences.
    def value(loc):
        return by_definition([(loc, 0.5), (-1.0, 0.25)])[1]

    scene = set_experts(toy_t(1), a=(1.0, 0.5), b=(-1.0, 0.25))
    jensen_shannon(scene.guide, scene.guide.strata(scene.obs)).sum().backward()
    found = scene.experts()["guide.encoders.a"].loc.grad.item()
    assert found == pytest.approx((value(1.0 + 1e-5) - value(1.0 - 1e-5)) / 2e-5, abs=1e-8)


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("private_beta", [0.0, 1.0, 3.0])
def test_mmjsds_loss_by_hand(beta, private_beta):
    declared = declare(5)
    weights = {f"w_{m.name}": private_beta for m in declared}
    system = systems.mmjsd(declared, 1, private_dim=1, beta=beta, weights=weights)
    scene = Scene(system.model, system.guide, rows(5))
    value, draws = recorded(system.objective, scene)
    recon = sum(log_p(n, SLOPES[n] * draws["u"] + PRIVATE * draws[f"w_{n}"]) for n in "ab").reshape(
        2, 5
    )
    _, js = by_definition([(0.6, 0.16), (-0.3, 0.25)])
    own = [Normal(torch.tensor(0.3 * SLOPES[n]), torch.tensor(0.6)) for n in "ab"]
    kl = sum(kl_divergence(q, PRIOR) for q in own)
    expected = recon.mean(0) - beta * (js + private_beta * kl)
    torch.testing.assert_close(value, expected, **EXACT)


# ---------------------------------------------------------------- options


def test_an_unknown_divergence_is_an_error():
    with pytest.raises(ValueError, match=r"got 'component'. Did you mean 'components'"):
        MixtureELBO("component")


def test_mmjsd_needs_a_mixture_of_normals():
    declared = declare(2)
    product = Scene(models.SharedLatent(declared, 1), guides.ProductOfExperts(declared, 1), rows(2))
    for scene in (product, toy_t(2, "laplace")):
        with pytest.raises(ValueError, match="needs a mixture of Normal experts"):
            recorded(MixtureELBO("jensen_shannon"), scene)


def test_laplace_components_have_their_own_closed_form():
    scene = toy_t(5, "laplace")
    value, draws = recorded(MixtureELBO("components"), scene)
    z = draws["z"].reshape(2, 5)
    recon = log_p("a", SLOPES["a"] * z) + log_p("b", SLOPES["b"] * z)
    loc, b = torch.tensor([0.6, -0.3]), torch.tensor([0.4, 0.5])
    kl = -b.log() + loc.abs() + b * (-loc.abs() / b).exp() - 1
    torch.testing.assert_close(value, (recon - kl[:, None]).mean(0), **EXACT)


def test_private_latents_divergence_is_added_once():
    scene = private_scene(5)
    value, draws = recorded(MixtureELBO("components", beta=0.5), scene)
    recon = sum(log_p(n, SLOPES[n] * draws["u"] + PRIVATE * draws[f"w_{n}"]) for n in "ab").reshape(
        2, 5
    )
    parts = [Normal(torch.tensor(0.6), 0.4), Normal(torch.tensor(-0.3), 0.5)]
    own = [Normal(torch.tensor(0.3 * SLOPES[n]), torch.tensor(0.6)) for n in "ab"]
    shared = sum(kl_divergence(q, PRIOR) for q in parts) / 2
    private = sum(kl_divergence(q, PRIOR) for q in own)
    expected = recon.mean(0) - 0.5 * (shared + private)
    torch.testing.assert_close(value, expected, **EXACT)
