"""The model of shared and private latents: its joint density, its draws, its masks."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from linear_gaussian_private import PrivateLinearGaussian
from pyro import poutine
from pyro.infer import Predictive
from torch.distributions import Normal

from ppl_mm import Observations, models


def build(**options):
    toy = PrivateLinearGaussian()
    return toy, models.SharedPrivate(toy.modalities, 2, toy.private_dim, **options)


def run(model, obs, latents):
    return poutine.trace(poutine.condition(model, data=latents)).get_trace(obs)


def latents_of(toy, *batch):
    out = {f"w_{n}": torch.randn(*batch, d) for n, d in toy.private_dim.items()}
    return out | {"u": torch.randn(*batch, 2)}


def test_the_joint_density_is_that_of_the_story():
    toy, model = build()
    obs, z = toy.mixed(), latents_of(toy, 8)
    trace = run(model, obs, z)
    trace.compute_log_prob()
    for name in toy.sizes:
        mean = z["u"] @ toy.shared[name].T + z[f"w_{name}"] @ toy.private[name].T + toy.bias[name]
        expected = Normal(mean, toy.noise[name]).log_prob(obs[name]).sum(-1)
        expected = torch.where(obs.present[name], expected, 0.0)
        found = trace.nodes[name]["log_prob"]
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)
        assert (found[~obs.present[name]] == 0).all()
    for name, value in z.items():
        expected = Normal(0.0, 1.0).log_prob(value).sum(-1)
        torch.testing.assert_close(trace.nodes[name]["log_prob"], expected)


def test_a_private_latent_reaches_its_own_modality_alone():
    toy, model = build()
    obs, z = toy.sample(4), latents_of(toy, 4)
    moved = z | {"w_b": z["w_b"] + 1.0}
    one, other = (run(model, obs, latents) for latents in (z, moved))
    for trace in (one, other):
        trace.compute_log_prob()
    for name in "ac":
        assert torch.equal(one.nodes[name]["log_prob"], other.nodes[name]["log_prob"])
    assert (one.nodes["b"]["log_prob"] != other.nodes["b"]["log_prob"]).all()


def test_draws_have_the_models_covariance():
    toy, model = build()
    n = 20_000
    draws = Predictive(model, num_samples=1)(Observations.blank(n))
    x = {k: draws[k][0] - toy.bias[k] for k in toy.sizes}
    for one in toy.sizes:
        for other in toy.sizes:
            expected = toy.shared[one] @ toy.shared[other].T
            if one == other:
                own = toy.private[one] @ toy.private[one].T
                expected = expected + own + toy.noise[one] ** 2 * torch.eye(toy.sizes[one])
            products = x[one][:, :, None] * x[other][:, None]
            error = products.std(0) / math.sqrt(n)
            assert ((products.mean(0) - expected).abs() < 4.5 * error).all()  # 36 numbers


def test_latents_of_different_plates_are_joined():
    # u under strata and particles, w as the guide drew it
    toy, model = build()
    obs = toy.sample(4).strata([("a",), ("b",)])
    z = latents_of(toy, 5, 2, 4) | {"w_b": torch.randn(5, 1, 4, 2)}
    with pyro.plate("particles", 5, dim=-3):
        trace = run(model, obs, z)
    trace.compute_log_prob()
    assert trace.nodes["b"]["log_prob"].shape == (5, 2, 4)


def test_rows_that_hold_nothing_add_nothing():
    toy, model = build()
    trace = run(model, toy.sample(3).only(), latents_of(toy, 3))
    trace.compute_log_prob()
    assert all((trace.nodes[n]["log_prob"] == 0).all() for n in toy.sizes)


@pytest.mark.parametrize(
    ("prior", "private_prior", "families"),
    [
        (None, None, ("normal", "normal")),
        ("laplace", None, ("laplace", "laplace")),
        ("laplace", "normal", ("laplace", "normal")),
        (dist.Laplace(torch.zeros(2), 0.5), None, ("laplace", "laplace")),
    ],
)
def test_families_of_the_priors(prior, private_prior, families):
    _, model = build(prior=prior, private_prior=private_prior)
    assert model.prior.family == families[0]
    assert {p.family for p in model.private_priors.values()} == {families[1]}
    assert all((p.scale == 1).all() for p in model.private_priors.values())


def test_decoders_get_u_and_their_own_w():
    seen = {}
    toy = PrivateLinearGaussian()
    for modality in toy.modalities:
        make = modality.decoder

        def decoder(size, make=make, name=modality.name):
            seen[name] = size
            return make(size)

        object.__setattr__(modality, "decoder", decoder)
    models.SharedPrivate(toy.modalities, 2, toy.private_dim)
    assert seen == {"a": 3, "b": 4, "c": 3}


def test_values_that_do_not_fit_are_errors():
    _, model = build()
    with pytest.raises(ValueError, match="unknown modality in the batch 'd'"):
        model(Observations({"d": torch.zeros(2, 3)}))
    with pytest.raises(ValueError, match="modality 'a': the decoder's event shape is"):
        model.check(Observations({"a": torch.zeros(2, 7)}))
