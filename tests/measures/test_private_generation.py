"""Generation with private latents: from posteriors, priors, other inputs, narrowed by alpha."""

import math

import every_system
import pytest
import torch
from linear_gaussian import LinearGaussian
from linear_gaussian_private import PrivateLinearGaussian
from torch import nn

from ppl_mm import System, generate, guides
from ppl_mm.objectives import IWAE


def build(auxiliary=None, exact=False):
    """``exact``: encoders without noise, so that u and w are what they say."""
    toy = PrivateLinearGaussian()
    system = toy.system(guides.MixtureOfExperts)
    if auxiliary is not None:
        shared = guides.MixtureOfExperts(toy.modalities, 2)
        guide = guides.SharedPrivate(shared, toy.private_dim, auxiliary=auxiliary)
        system = System(system.model, guide, IWAE())
    if exact:
        for name, parameter in system.guide.named_parameters():
            if name.endswith("log_scale"):
                nn.init.constant_(parameter, -40.0)
    return toy, system


def shared_mean(toy, system, obs, given, target):
    """What x_target is without its private latent, where u is the expert's mean."""
    u, _ = system.guide.shared.guide.encoders[given](obs[given])
    return (u @ toy.shared[target].T + toy.bias[target]).detach()


def private_mean(toy, system, obs, target):
    w, _ = system.guide.private_encoders[target](obs[target])
    return (w @ toy.private[target].T).detach()


def draw(system, obs, target="b", **options):
    return generate(system, obs, target, mean=True, **options)[target]


# ---------------------------------------------------------------- u and w


def test_without_alpha_draws_are_decided_by_u():
    toy, system = build(exact=True)
    obs = toy.sample(5)
    found = draw(system, obs, num_samples=7, given="a", alpha=0.0)
    expected = shared_mean(toy, system, obs, "a", "b")
    torch.testing.assert_close(found, expected.expand(7, 5, 2), atol=1e-9, rtol=0)


@pytest.mark.parametrize("private", ["posterior", "prior", "auxiliary"])
def test_draws_for_one_u_differ_by_their_private_latent_alone(private):
    # One seed is one u and one noise of w: the differences are the decoder's, times alpha.
    toy, system = build(auxiliary="exp")
    obs = toy.sample(5)
    at = {
        alpha: draw(system, obs, num_samples=9, given="a", private=private, alpha=alpha)
        for alpha in (0.0, 0.5, 1.0, 3.0)
    }
    by_w = at[1.0] - at[0.0]
    assert by_w.abs().min() > 0
    torch.testing.assert_close(at[0.5] - at[0.0], 0.5 * by_w, atol=1e-9, rtol=0)
    torch.testing.assert_close(at[3.0] - at[0.0], 3.0 * by_w, atol=1e-9, rtol=0)
    w = torch.linalg.lstsq(toy.private["b"], by_w.reshape(-1, 2).T).solution
    torch.testing.assert_close((toy.private["b"] @ w).T.reshape(by_w.shape), by_w)


def test_u_is_drawn_and_is_no_mean():
    toy, system = build()
    found = draw(system, toy.sample(1), num_samples=4, given="a", alpha=0.0)
    assert (found.std(0) > 0.01).all()


def covariance(x):
    x = x - x.mean(0)
    return (x[:, :, None] * x[:, None]).mean(0)


@pytest.mark.parametrize(
    ("options", "scale"),
    [
        ({"given": "a"}, 1.0),
        ({"given": "a", "alpha": 0.3}, 0.3),
        ({"private": "prior"}, 1.0),
        ({"private": "prior", "alpha": 2.0}, 2.0),
        ({"private": "auxiliary"}, 0.25),
        ({"private": "auxiliary", "alpha": 0.5, "given": "a"}, 0.125),
    ],
)
def test_the_spread_of_private_latents_is_that_of_their_prior(options, scale):
    toy, system = build(auxiliary="exp", exact=True)
    for prior in system.guide.auxiliary_priors.values():
        nn.init.constant_(prior.raw, math.log(0.25))
    obs = toy.sample(1).only("a", "b")
    if options.get("given") != "a":
        system.guide.shared.family = (("a",),)  # one u, so that all that varies is w
    n = 20_000
    x = draw(system, obs, num_samples=n, **options).squeeze(1)
    expected = scale**2 * toy.private["b"] @ toy.private["b"].T
    y = x - shared_mean(toy, system, obs, "a", "b")
    products = y[:, :, None] * y[:, None]
    error = products.std(0) / math.sqrt(n)
    assert ((products.mean(0) - expected).abs() < 4 * error).all()


def test_a_reconstruction_takes_both_from_the_posteriors():
    toy, system = build(exact=True)
    obs = toy.sample(5)
    found = draw(system, obs, num_samples=3, given="b")
    expected = shared_mean(toy, system, obs, "b", "b") + private_mean(toy, system, obs, "b")
    torch.testing.assert_close(found, expected.expand(3, 5, 2), atol=1e-9, rtol=0)
    narrowed = draw(system, obs, num_samples=3, given="b", alpha=0.1)
    torch.testing.assert_close(found, narrowed)  # alpha is of the priors


def test_u_of_one_input_and_w_of_another():
    toy, system = build(exact=True)
    obs, other = toy.sample(5), toy.sample(5, seed=7)
    for given in ("a", "b"):
        found = draw(system, obs, num_samples=3, given=given, private=other)
        u = shared_mean(toy, system, obs, given, "b")
        expected = u + private_mean(toy, system, other, "b")
        torch.testing.assert_close(found, expected.expand(3, 5, 2), atol=1e-9, rtol=0)


def test_what_the_other_input_lacks_comes_from_the_prior():
    toy, system = build(exact=True)
    obs, other = toy.sample(4), toy.sample(4, seed=7)
    present = {"b": torch.tensor([True, False, True, False])}
    other = type(other)(other.values, present)
    one = draw(system, obs, num_samples=50, given="a", private=other)
    assert (one[:, present["b"]].std(0) < 1e-9).all()
    assert (one[:, ~present["b"]].std(0) > 0.1).all()
    still = draw(system, obs, num_samples=50, given="a", private=other, alpha=0.0)
    assert (still.std(0) < 1e-9).all()
    gone = draw(system, obs, num_samples=50, given="a", private=other.drop("b"), alpha=0.0)
    expected = shared_mean(toy, system, obs, "a", "b").expand_as(gone)
    torch.testing.assert_close(gone, expected, atol=1e-9, rtol=0)


def test_each_row_takes_its_expert_at_random():
    # Given two modalities u comes from either expert, row by row and draw by draw.
    toy, system = build(exact=True)
    obs = toy.sample(200)
    found = draw(system, obs, "c", num_samples=2, given=("a", "b"), alpha=0.0)
    ways = [shared_mean(toy, system, obs, n, "c") for n in ("a", "b")]
    first = (found - ways[0]).abs().squeeze(-1) < 1e-6
    second = (found - ways[1]).abs().squeeze(-1) < 1e-6
    assert (first | second).all()
    for share in first.double().mean(1):
        assert abs(share - 0.5) < 4 * math.sqrt(0.25 / 200)
    assert (first[0] != first[1]).any()


def test_unconditional_draws_have_the_models_covariance():
    toy, system = build()
    n = 20_000
    drawn = generate(system, toy.sample(1), ("a", "c"), n, given=())
    a, c = (drawn[k].squeeze(1) - toy.bias[k] for k in ("a", "c"))
    products = a[:, :, None] * c[:, None]
    error = products.std(0) / math.sqrt(n)
    assert ((products.mean(0) - toy.shared["a"] @ toy.shared["c"].T).abs() < 4 * error).all()


# ---------------------------------------------------------------- without gradients, and errors


def test_no_gradient_flows_and_generators_stay_as_they_were():
    toy, system = build(auxiliary="exp")
    obs = toy.sample(3)
    before = torch.get_rng_state()
    for private in ("posterior", "prior", "auxiliary", toy.sample(3, seed=2)):
        found = generate(system, obs, "b", 2, given="a", private=private, alpha=0.5)["b"]
        assert not found.requires_grad
        assert found.shape == (2, 3, 2)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -0.1}, "alpha: expected a finite number of at least 0, got -0.1"),
        ({"alpha": math.inf}, "alpha: expected a finite number of at least 0, got inf"),
        ({"alpha": math.nan}, "alpha: expected a finite number of at least 0, got nan"),
        (
            {"private": "auxilliary"},
            "got 'auxilliary'. Did you mean 'auxiliary'",
        ),
        ({"private": "auxiliary"}, "needs a guide with auxiliary priors; this has none"),
        ({"private": PrivateLinearGaussian}, "private: expected 3 rows, as obs, got 4"),
    ],
)
def test_wrong_options_are_errors(options, message):
    toy, system = build()
    if not isinstance(options.get("private", ""), str):
        options = {"private": toy.sample(4)}
    with pytest.raises(ValueError, match=message):
        generate(system, toy.sample(3), "b", given="a", **options)


@pytest.mark.parametrize("options", [{"alpha": 0.5}, {"private": "prior"}])
def test_systems_without_private_latents_have_no_such_options(options):
    toy = LinearGaussian()
    system = toy.system(guides.MixtureOfExperts(toy.modalities, 2))
    with pytest.raises(ValueError, match="need a system with private latents"):
        generate(system, toy.sample(2), "b", given="a", **options)
    assert generate(system, toy.sample(2), "b", given="a")["b"].shape == (1, 2, 4)


def test_alpha_leaves_posteriors_as_wide_as_they_are():
    system, obs = every_system.build("mmvae_plus"), every_system.complete(5)
    whole, narrowed = (
        generate(system, obs, "normal", 3, mean=True, alpha=alpha)["normal"] for alpha in (1.0, 0.0)
    )
    assert torch.equal(whole, narrowed)
    assert (whole.std(0) > 0).all()
    prior, centre = (
        generate(system, obs, "normal", 3, (), mean=True, alpha=alpha)["normal"]
        for alpha in (1.0, 0.0)
    )
    assert not torch.equal(prior, centre)
