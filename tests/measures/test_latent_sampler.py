"""Densities fitted to posterior means: what they are, and that generation draws from them."""

import numpy as np
import pytest
import torch
from every_system import SYSTEMS, build, complete, conditioned_on, kinds_of, mixed, targets
from sklearn.mixture import GaussianMixture

from ppl_mm import Observations, data, evaluation, fit, generate, plotting, systems
from ppl_mm.evaluation import fit_latent_sampler
from ppl_mm.measures import latent_sampler
from ppl_mm.measures.latent_sampler import LatentSampler

close = torch.testing.assert_close
FREE = [n for n in SYSTEMS if not conditioned_on(build(n).model)]


def rows(name, number=40):
    obs = complete(number)
    return obs.drop(*(n for n in obs.names if n not in kinds_of(name)))


@pytest.mark.parametrize("kind", ["gaussian_mixture", "flow"])
@pytest.mark.parametrize("name", FREE)
def test_every_system_draws_from_one(name, kind, monkeypatch):
    monkeypatch.setattr("ppl_mm.measures.latent_sampler._STEPS", 3)
    system, obs = build(name), rows(name)
    sampler = fit_latent_sampler(system, obs, kind, num_components=2)
    blank = Observations.blank(6)
    drawn = generate(system, blank, targets(system), 3, prior=sampler, seed=1)
    assert all(x.shape[:2] == (3, 6) for x in drawn.values())
    again = generate(system, blank, targets(system), 3, prior=sampler, seed=1)
    assert all(torch.equal(x, again[n]) for n, x in drawn.items())


def test_the_mixture_is_scikit_learns_of_the_standardised_means():
    system, obs = build("mvae"), rows("mvae", 60)
    sampler = fit_latent_sampler(system, obs, num_components=3, seed=5)
    means = system.posterior(obs).mean.detach()
    standard = ((means - means.mean(0)) / means.std(0)).numpy()
    exact = GaussianMixture(3, reg_covar=1e-5, random_state=5).fit(standard)
    expected = exact.score_samples(standard) - np.log(means.std(0).numpy()).sum()
    close(sampler.log_prob({"z": means}), torch.as_tensor(expected), rtol=1e-6, atol=1e-6)
    draws = sampler.sample(20_000)["z"]
    assert ((draws.mean(0) - means.mean(0)).abs() < 5 * means.std(0) / 20_000**0.5).all()


def test_a_flow_fits_a_bent_density_that_one_normal_does_not(monkeypatch):
    monkeypatch.setattr("ppl_mm.measures.latent_sampler._STEPS", 120)
    torch.manual_seed(1)
    a = torch.randn(1500)
    z = torch.stack([a, a**2 + 0.1 * torch.randn(1500)], -1)
    flow = latent_sampler._flow((z - z.mean(0)) / z.std(0))
    fresh = torch.randn(1500)
    other = torch.stack([fresh, fresh**2 + 0.1 * torch.randn(1500)], -1)
    other = (other - z.mean(0)) / z.std(0)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(other).sum(-1)
    assert (flow.log_prob(other) - normal).mean() > 0.8  # exact: 1.4 nats


@pytest.mark.parametrize("name", ["mopoe", "mmvae_plus"])
def test_of_a_mixture_the_means_are_the_components(name):
    system, obs = build(name), rows(name, 30)
    sampler = fit_latent_sampler(system, obs, num_components=1)
    site = "u" if name == "mmvae_plus" else "z"
    subsets = system.guide.family
    means = [system.posterior(obs.given(*subset)).mean for subset in subsets]
    low, high = torch.stack(means).amin((0, 1)), torch.stack(means).amax((0, 1))
    loc = sampler.loc[: len(low)]
    assert sampler.sizes[site] == len(low)
    assert ((low <= loc) & (loc <= high)).all()


def test_rows_that_hold_nothing_are_left_out():
    system, obs = build("mvae"), mixed(rows_per_pattern=5)
    held = obs[obs.any_data.nonzero().squeeze(-1)]
    a, b = (fit_latent_sampler(system, rows, num_components=1) for rows in (obs, held))
    assert torch.equal(a.loc, b.loc)


def test_what_is_refused():
    system, obs = build("mvae"), rows("mvae")
    sampler = fit_latent_sampler(system, obs, num_components=2)
    with pytest.raises(ValueError, match=r"only where nothing is given; pass given=\(\)"):
        generate(system, obs, ["normal"], prior=sampler)
    generate(system, obs, ["normal"], given=(), prior=sampler)
    with pytest.raises(ValueError, match="fit it to this system"):
        generate(build("mmvae_plus"), Observations.blank(2), ["normal"], prior=sampler)
    with pytest.raises(ValueError, match="conditions on normal"):
        fit_latent_sampler(build("cmmd"), complete(30))
    with pytest.raises(ValueError, match="two rows for each of 10 components at least, got 7"):
        fit_latent_sampler(system, obs[:7])
    with pytest.raises(TypeError, match="prior"):
        generate(system, Observations.blank(2), ["normal"], prior="gaussian_mixture")
    assert isinstance(sampler, LatentSampler)


def test_measures_and_pictures_take_it():
    digits = data.digits()
    system = systems.mvae(digits.modalities, latent_dim=4)
    fit(system, digits.train[:200], epochs=1, progress=False)
    sampler = fit_latent_sampler(system, digits.train[:200], num_components=4)
    figure = plotting.prior_samples(system, num_samples=4, prior=sampler)
    assert "gaussian mixture of posterior means" in str(
        [t.get_text() for t in figure.findobj(match=lambda a: hasattr(a, "get_text"))]
    )
    oracles = evaluation.train_classifiers(digits, ["top", "bottom"], epochs=1, progress=False)
    found = evaluation.joint_coherence(system, oracles, 20, prior=sampler)
    assert 0 <= found.value <= 1
