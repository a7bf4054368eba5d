"""VCCA and VCCA-private: exact answers of the linear-Gaussian models, and rows without the view."""

import itertools

import pytest
import torch
from every_system import complete, loss_and_gradients, mixed, modalities
from linear_gaussian import NAMES, LinearGaussian
from linear_gaussian_private import PrivateLinearGaussian
from pyro.poutine.messenger import Messenger
from torch.distributions import MultivariateNormal, Normal
from torch.distributions import kl_divergence as kl
from toy_mixture import assert_mean

from ppl_mm import System, fit, generate, guides, log_likelihood, models, systems
from ppl_mm.distributions import PseudoInputPrior
from ppl_mm.evaluation import draw_latents

NAMED = {"vcca": systems.vcca, "vcca_private": systems.vcca_private}
both = pytest.mark.parametrize("name", NAMED)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


class Noise(Messenger):
    """Draw location plus or minus one scale at every latent site."""

    def __init__(self, signs):
        super().__init__()
        self.signs = signs

    def _pyro_sample(self, msg):
        if msg["name"] in self.signs and msg["value"] is None:
            base = msg["fn"].base_dist
            msg["value"], msg["done"] = base.loc + self.signs[msg["name"]] * base.scale, True


def mean_bound(system, obs, sites):
    """The bound's expectation: of a quadratic, it is the mean over all signs of unit noise."""
    bounds = []
    for signs in itertools.product((-1.0, 1.0), repeat=len(sites)):
        with Noise(dict(zip(sites, signs, strict=True))):
            bounds.append(system.objective.bound(system.model, system.guide, obs))
    return torch.stack(bounds).mean(0)


def gap(q, weights, biases, noise, obs):
    """KL( q || p(latents | x) ) of every row, with x_m = W_m latents + b_m + s_m eps."""
    out = []
    for row in range(len(obs)):
        precision, shift = torch.eye(q.mean.shape[-1]), torch.zeros(q.mean.shape[-1])
        for n, w in weights.items():
            if obs.present[n][row]:
                precision = precision + w.T @ w / noise[n] ** 2
                shift = shift + (obs[n][row] - biases[n]) @ w / noise[n] ** 2
        exact = MultivariateNormal(torch.linalg.solve(precision, shift), precision_matrix=precision)
        out.append(kl(MultivariateNormal(q.mean[row], q.variance[row].diag()), exact))
    return torch.stack(out)


# ------------------------------------------------------------------ exact answers


@pytest.mark.parametrize("view", NAMES)
def test_vcca_is_log_p_less_the_divergence_from_the_exact_posterior(view):
    toy = LinearGaussian(latent_dim=1, spread=1.3)
    system, obs = systems.vcca(toy.modalities, 1, view=view), toy.mixed()
    expected = toy.log_p(obs, NAMES) - gap(
        system.posterior(obs), toy.weight, toy.bias, toy.noise, obs
    )
    seen = obs.present[view]
    close(mean_bound(system, obs, ["z"])[seen], expected[seen])


@pytest.mark.parametrize("view", NAMES)
def test_vcca_private_is_log_p_less_the_divergence_from_the_exact_posterior(view):
    toy = PrivateLinearGaussian(latent_dim=1, private_dim=1, spread=1.3)
    system = systems.vcca_private(toy.modalities, 1, private_dim=1, view=view)
    obs, private = toy.mixed(), [f"w_{n}" for n in NAMES]
    parts = [system.posterior(obs)]
    parts += [system.guide.private_posterior(n, obs).expand((len(obs),)) for n in NAMES]
    q = Normal(*(torch.cat([getattr(p, k) for p in parts], -1) for k in ("mean", "stddev")))
    columns = dict(zip(NAMES, torch.eye(3), strict=True))
    weights = {n: torch.cat([toy.shared[n], toy.private[n] * columns[n]], 1) for n in NAMES}
    expected = toy.log_p(obs, NAMES) - gap(q, weights, toy.bias, toy.noise, obs)
    seen = obs.present[view]
    close(mean_bound(system, obs, ["u", *private])[seen], expected[seen])


@pytest.mark.filterwarnings("ignore:fit. no training row holds")
@both
def test_a_row_without_the_view_trains_nothing_and_has_the_prior(name):
    system = NAMED[name](modalities(), 2, view="categorical")
    obs = mixed()
    unseen = obs[~obs.present["categorical"]]
    loss, gradients = loss_and_gradients(system, unseen)
    assert loss == 0
    assert not any(g.any() for g in gradients.values())
    assert not system.posterior(unseen).mean.any()
    assert (system.posterior(unseen).stddev == 1).all()
    assert fit(system, unseen, epochs=1, progress=False).history[0]["loss"] == 0


@both
@pytest.mark.parametrize("target", [("a",), ("b", "c"), NAMES])
def test_likelihoods_of_rows_with_and_without_the_view(name, target):
    options = {} if name == "vcca" else {"private_dim": 1}
    toy = (LinearGaussian if name == "vcca" else PrivateLinearGaussian)(latent_dim=1, **options)
    toy.noise = dict.fromkeys(NAMES, 2.0)  # vague views: the prior is a fair proposal
    toy.modalities = [toy._modality(n, 1.0) for n in NAMES]
    system, obs = NAMED[name](toy.modalities, 1, **options), toy.mixed()
    found = log_likelihood(system, obs, target, num_samples=4000)
    error = (found.value - toy.log_p(obs, target)).abs()
    assert (error <= 4 * found.standard_error + 1e-9).all()
    assert found.standard_error.max() < 0.1


def test_vcca_private_generates_with_the_private_prior():
    toy = PrivateLinearGaussian(latent_dim=1, private_dim=1)
    system = systems.vcca_private(toy.modalities, 1, private_dim=1)
    obs = toy.sample(2)
    draws = generate(system, obs, "b", 20_000, given="a")["b"]
    q = system.posterior(obs)
    mean = q.mean @ toy.shared["b"].T + toy.bias["b"]
    both = torch.cat([toy.shared["b"] * q.stddev[:1], toy.private["b"]], 1)
    variance = both.square().sum(1) + toy.noise["b"] ** 2
    assert_mean(draws, mean)
    assert_mean((draws - mean).square(), variance.expand(2, -1))


# ------------------------------------------------------------------ what is built


@both
def test_the_view_is_the_first_unless_named_and_alone_has_a_shared_encoder(name, tmp_path):
    assert list(NAMED[name](modalities(), 2).guide.encoders) == ["bernoulli"]
    system = NAMED[name](modalities(), 2, view="normal")
    assert list(system.guide.encoders) == ["normal"]
    system.save(tmp_path / "system")
    again = System.load(tmp_path / "system")
    assert list(again.guide.encoders) == ["normal"]
    obs = complete(3)
    close(again.posterior(obs).mean, system.posterior(obs).mean)


def test_private_latents_have_sizes_of_their_own():
    sizes = {"bernoulli": 1, "categorical": 4, "normal": 3}
    for given, expected in ((None, dict.fromkeys(sizes, 2)), (5, dict.fromkeys(sizes, 5)),
                            (sizes, sizes)):  # fmt: skip
        system = systems.vcca_private(modalities(), 2, private_dim=given)
        found = draw_latents(system, complete(3))
        assert {n: x.shape[1] for n, x in found.items() if n != "u"} == {
            f"w_{n}": size for n, size in expected.items()
        }
        assert found["u"].shape == (3, 2)
        assert torch.isfinite(system(complete(3)))


@both
def test_laplace_latents(name):
    system = NAMED[name](modalities(), 2, prior="laplace", num_particles=3)
    assert type(system.posterior(mixed()).base_dist).__name__ == "Laplace"
    _, gradients = loss_and_gradients(system, mixed())
    assert all(g.isfinite().all() and g.any() for g in gradients.values())


@both
def test_unknown_views_are_errors(name):
    with pytest.raises(ValueError, match=r"unknown view 'norml'.*Did you mean 'normal'"):
        NAMED[name](modalities(), 2, view="norml")
    with pytest.raises(ValueError, match="unknown view 'x'"):
        NAMED[name](modalities(), 2, view="x")


@pytest.mark.parametrize(
    ("of", "error", "message"),
    [
        (("x",), ValueError, "unknown modality in of 'x'"),
        ((), ValueError, "at least one modality with an expert"),
        ("normal", TypeError, "of: .*got 'normal'; put it in a list"),
    ],
)
def test_wrong_experts_are_errors(of, error, message):
    with pytest.raises(error, match=message):
        guides.SingleExpert(modalities(), 2, of=of)


def test_a_pseudo_input_prior_has_its_own_encoders():
    prior = PseudoInputPrior(modalities(), 2, complete(2), 2)
    assert guides.SingleExpert(modalities(), 2, prior).encoders is prior.encoders
    with pytest.raises(TypeError, match="leave out of="):
        guides.SingleExpert(modalities(), 2, prior, of=("normal",))
    assert models.SharedLatent(modalities(), 2, prior=prior).prior is prior
