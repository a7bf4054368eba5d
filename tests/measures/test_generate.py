"""Samples of some modalities given others, against the exact conditional moments."""

import math

import pyro
import pytest
import torch
from linear_gaussian import NAMES, LinearGaussian
from torch import nn

from ppl_mm import (
    Modality,
    Observations,
    System,
    generate,
    guides,
    likelihoods,
    models,
    networks,
)
from ppl_mm.objectives import IWAE


def conditional_moments(toy, obs, target, given):
    """Mean and covariance of p(x_target | x_given) of every row, from p(z | x_given)."""
    q = toy.exact_guide().posterior(obs.given(*given))
    weight = toy.weight[target]
    mean = q.mean @ weight.T + toy.bias[target]
    noise = toy.noise[target] ** 2 * torch.eye(len(weight))
    return mean, weight @ q.covariance_matrix @ weight.T + noise


def assert_moments(samples, mean, covariance, sigmas=4):
    """Sample mean and variances of Normal draws within 4 of their standard errors."""
    num = len(samples)
    variance = covariance.diagonal(dim1=-2, dim2=-1)
    assert ((samples.mean(0) - mean).abs() < sigmas * (variance / num).sqrt()).all()
    ratio = samples.var(0) / variance
    assert ((ratio - 1).abs() < sigmas * math.sqrt(2 / (num - 1))).all()


@pytest.mark.parametrize("given", [(), ("a",), ("c",), ("a", "b"), NAMES])
def test_exact_posterior_gives_exact_conditional_samples(given):
    toy = LinearGaussian()
    obs = toy.mixed()
    draws = generate(toy.system(toy.exact_guide()), obs, NAMES, num_samples=3000, given=given)
    assert set(draws) == set(NAMES)
    for name, samples in draws.items():
        assert samples.shape == (3000, len(obs), toy.sizes[name])
        assert_moments(samples, *conditional_moments(toy, obs, name, given))


def test_targets_of_one_draw_share_their_latent():
    toy = LinearGaussian({"a": 1, "b": 1}, latent_dim=1)
    draws = generate(
        toy.system(toy.exact_guide()), toy.sample(1), ["a", "b"], num_samples=4000, given=()
    )
    a, b = draws["a"].flatten(), draws["b"].flatten()
    covariance = (toy.weight["a"] @ toy.weight["b"].T).item()
    products = (a - toy.bias["a"]) * (b - toy.bias["b"])
    assert abs(products.mean() - covariance) < 4 * products.std() / math.sqrt(4000)
    assert abs(covariance) > 0.1


def test_given_none_is_all_that_each_row_has():
    toy = LinearGaussian()
    obs = toy.mixed()
    system = toy.system(toy.exact_guide())
    everything = generate(system, obs, "a", num_samples=4)["a"]
    named = generate(system, obs, "a", num_samples=4, given=NAMES)["a"]
    assert torch.equal(everything, named)


def test_data_need_only_hold_what_is_given():
    toy = LinearGaussian()
    obs = toy.mixed()
    system = toy.system(guides.ProductOfExperts(toy.modalities, 2))
    with_target = generate(system, obs, ["a", "b"], num_samples=5, given="c")
    without = generate(system, obs.drop("a", "b"), ["a", "b"], num_samples=5, given="c")
    for name in ("a", "b"):
        assert torch.equal(with_target[name], without[name])


def test_nothing_given_is_the_prior():
    toy = LinearGaussian()
    system = toy.system(guides.ProductOfExperts(toy.modalities, 2))
    blank = generate(system, Observations.blank(3), "b", num_samples=2000)["b"]
    ignored = generate(system, toy.sample(3), "b", num_samples=2000, given=())["b"]
    for samples in (blank, ignored):
        moments = conditional_moments(toy, toy.sample(3), "b", ())
        assert_moments(samples, *moments)


def test_mean_decodes_each_latent_without_noise():
    toy = LinearGaussian()
    obs = toy.mixed()
    draws = generate(
        toy.system(toy.exact_guide()), obs, "a", num_samples=2000, given="b", mean=True
    )
    mean, covariance = conditional_moments(toy, obs, "a", ("b",))
    spread = covariance - toy.noise["a"] ** 2 * torch.eye(3)
    assert_moments(draws["a"], mean, spread)


def test_labels_come_as_indices_and_their_mean_is_the_mode():
    label = Modality(
        "label",
        likelihoods.Categorical(),
        lambda z: networks.LabelEncoder(z, num_classes=4, hidden=(5,)),
        lambda size: networks.MLPDecoder(size, event_shape=(4,), hidden=(5,)),
    )
    system = System(models.SharedLatent([label], 2), guides.ProductOfExperts([label], 2), IWAE())
    obs = Observations({"label": torch.tensor([0, 3])})
    for mean in (False, True):
        draws = generate(system, obs, "label", num_samples=7, mean=mean)["label"]
        assert draws.shape == (7, 2)
        assert not draws.is_floating_point()
        assert draws.min() >= 0
        assert draws.max() < 4
    with torch.no_grad():
        system.model.decoders["label"].output.weight.zero_()
        system.model.decoders["label"].output.bias.copy_(torch.tensor([0.0, 0.1, 3.0, 0.2]))
    assert (generate(system, obs, "label", num_samples=7, mean=True)["label"] == 2).all()


@pytest.mark.parametrize("num_samples", [1, 3])
@pytest.mark.parametrize("num_rows", [1, 2])
def test_shapes_of_few_samples_and_rows(num_samples, num_rows):
    toy = LinearGaussian({"a": 3, "b": 1}, latent_dim=1)
    system = toy.system(guides.ProductOfExperts(toy.modalities, 1))
    draws = generate(system, toy.sample(num_rows), ["b", "a"], num_samples, given="a")
    assert draws["a"].shape == (num_samples, num_rows, 3)
    assert draws["b"].shape == (num_samples, num_rows, 1)


def test_seed_decides_and_states_are_left_alone():
    toy = LinearGaussian()
    system = toy.system(guides.ProductOfExperts(toy.modalities, 2))
    system.train()
    obs, before = toy.mixed(), torch.get_rng_state()
    one, two, other = (generate(system, obs, "a", 2, seed=s)["a"] for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert all(m.training for m in system.modules())
    assert not one.requires_grad
    assert obs.names == NAMES


def test_model_of_ones_own_generates_by_its_site_names():
    toy = LinearGaussian()

    class Own(nn.Module):
        def forward(self, obs):
            with obs.plates():
                z = pyro.sample("z", pyro.distributions.Normal(torch.zeros(2), 1.0).to_event(1))
                x, scored = obs.filled("a")
                fn = pyro.distributions.Normal(z, 1.0).to_event(1)
                pyro.sample("a", fn.mask(scored), obs=x)

    system = System(Own(), toy.exact_guide(), IWAE())
    assert generate(system, toy.sample(3), "a", 4, given="b")["a"].shape == (4, 3, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": "d"}, "modality to generate 'd'"),
        ({"targets": "a", "given": "d"}, "unknown modality 'd'"),
        ({"targets": "a", "num_samples": 0}, "num_samples: expected an integer of at least 1"),
    ],
)
def test_wrong_options_are_errors(options, message):
    toy = LinearGaussian()
    with pytest.raises(ValueError, match=message):
        generate(toy.system(toy.exact_guide()), toy.sample(2), **options)
