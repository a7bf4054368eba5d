"""The losses of MVTCAE and DMVAE by hand, at the draws that they come from."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from toy_mixture import (
    PRIVATE,
    SLOPES,
    Scene,
    declare,
    log_p,
    recorded,
    rows,
    set_experts,
)

from ppl_mm import systems

EXACT = {"atol": 1e-10, "rtol": 1e-10}
PRIOR = Normal(0.0, 1.0)


def mvtcae(num_rows, names="ab", **options):
    system = systems.mvtcae(declare(num_rows, names), 1, **options)
    return Scene(system.model, system.guide, rows(num_rows, names)), system.objective


KLS = {"a": 1.9937506, "b": 0.9249548, "prior": 0.5347686}


@pytest.mark.parametrize("alpha", [0.0, 0.3, 5 / 6, 1.0])
@pytest.mark.parametrize("beta", [1.0, 2.5])
def test_mvtcaes_loss_by_hand(alpha, beta):
    scene, objective = mvtcae(5, alpha=alpha, beta=beta)
    set_experts(scene, a=(1.0, 0.5), b=(-1.0, 0.25))
    q = Normal(torch.tensor(-1 / 3), torch.tensor(1 / 6).sqrt())
    for name, p in (("a", Normal(1.0, 0.5**0.5)), ("b", Normal(-1.0, 0.5)), ("prior", PRIOR)):
        assert kl_divergence(q, p).item() == pytest.approx(KLS[name], abs=5e-8)
    value, draws = recorded(objective, scene)
    z = draws["z"][0]
    recon = log_p("a", SLOPES["a"] * z) + log_p("b", SLOPES["b"] * z)
    loss = (2 - alpha) / 2 * -recon
    loss = loss + beta * ((1 - alpha) * KLS["prior"] + alpha / 2 * (KLS["a"] + KLS["b"]))
    torch.testing.assert_close(-value, loss, atol=1e-6, rtol=0)  # seven digits of the numbers


def test_mvtcae_of_one_modality_is_a_scaled_vae():
    scene, objective = mvtcae(5, "a", alpha=0.4, beta=2.5)
    set_experts(scene, a=(1.0, 0.5))
    value, draws = recorded(objective, scene)
    kl = kl_divergence(Normal(torch.tensor(1.0), torch.tensor(0.5).sqrt()), PRIOR)
    expected = 0.6 * (log_p("a", SLOPES["a"] * draws["z"][0]) - 2.5 * kl)
    torch.testing.assert_close(value, expected, **EXACT)


def test_mvtcae_keeps_m_where_a_modality_is_missing():
    scene, objective = mvtcae(5, alpha=0.4, beta=2.5)
    set_experts(scene, a=(1.0, 0.5), b=(-1.0, 0.25))
    scene = scene.seeing(scene.obs.without("b"))
    value, draws = recorded(objective, scene)
    kl = kl_divergence(Normal(torch.tensor(1.0), torch.tensor(0.5).sqrt()), PRIOR)
    expected = 0.8 * log_p("a", SLOPES["a"] * draws["z"][0]) - 2.5 * 0.6 * kl
    torch.testing.assert_close(value, expected, **EXACT)


@pytest.mark.parametrize("shared_kl", ["once", "per_target"])
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_dmvaes_loss_by_hand(shared_kl, beta):
    declared = declare(5)
    system = systems.dmvae(declared, 1, private_dim=1, shared_kl=shared_kl, beta=beta)
    scene = Scene(system.model, system.guide, rows(5))
    value, draws = recorded(system.objective, scene)
    own = {n: Normal(torch.tensor(0.3 * SLOPES[n]), torch.tensor(0.6)) for n in "ab"}
    precision = 1 + 1 / 0.16 + 1 / 0.25
    joint = Normal(
        torch.tensor((0.6 / 0.16 - 0.3 / 0.25) / precision), torch.tensor(precision) ** -0.5
    )
    sources = [joint, Normal(torch.tensor(0.6), 0.4), Normal(torch.tensor(-0.3), 0.5)]
    targets = ["ab"] if shared_kl == "once" else ["a", "b"]
    expected = torch.zeros(5)
    for i, (r, target) in enumerate((r, t) for r in sources for t in targets):
        expected = expected - beta * kl_divergence(r, PRIOR)
        for n in target:
            mean = SLOPES[n] * draws["u"][i] + PRIVATE * draws[f"w_{n}"][i]
            expected = expected + log_p(n, mean) - beta * kl_divergence(own[n], PRIOR)
    torch.testing.assert_close(value, expected, **EXACT)


def test_dmvae_per_target_charges_nothing_for_a_target_that_a_row_lacks():
    # With b missing (a, b) -> (b) and (a) -> (b) are 0; (a, b) is (a), with the same target twice,
    # once.
    system = systems.dmvae(declare(5), 1, private_dim=1, shared_kl="per_target")
    scene = Scene(system.model, system.guide, rows(5))
    value, draws = recorded(system.objective, scene.seeing(scene.obs.without("b")))
    terms = system.objective.term_bounds(system.model, system.guide, scene.obs.without("b"))
    assert [bool(t.any()) for t in terms] == [True, False, False, False, False, False]
    mean = SLOPES["a"] * draws["u"][0] + PRIVATE * draws["w_a"][0]
    q = [Normal(torch.tensor(0.6), 0.4), Normal(torch.tensor(0.3), 0.6)]
    expected = log_p("a", mean) - sum(kl_divergence(r, PRIOR) for r in q)
    torch.testing.assert_close(value, expected.expand(5), **EXACT)


def test_dmvae_leaves_out_a_missing_modality():
    # Its expert, its source and its target; the product of one expert is that expert, which is a
    # source already.
    system = systems.dmvae(declare(5), 1, private_dim=1)
    scene = Scene(system.model, system.guide, rows(5))
    value, draws = recorded(system.objective, scene.seeing(scene.obs.without("b")))
    mean = SLOPES["a"] * draws["u"][0] + PRIVATE * draws["w_a"][0]
    q = [Normal(torch.tensor(0.6), 0.4), Normal(torch.tensor(0.3), 0.6)]
    expected = log_p("a", mean) - sum(kl_divergence(each, PRIOR) for each in q)
    torch.testing.assert_close(value, expected, **EXACT)
