"""A Laplace in Normal coordinates, and draws from noise that is chosen row by row."""

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import scipy.stats
import torch
from pyro.distributions.transforms import AffineTransform
from torch.distributions import Laplace, Normal

from ppl_mm.batch.plate import ROWS, Plate
from ppl_mm.distributions import RandomMixture, RowwiseReference, StratifiedMixture
from ppl_mm.distributions.flowed import Flowed
from ppl_mm.distributions.gaussianised import NormalToLaplace
from ppl_mm.distributions.kl import diagonal_normal
from ppl_mm.distributions.site_noise import SiteNoise
from ppl_mm.likelihoods import densities

EXACT = {"dtype": torch.float64}
LOC, SCALE = torch.tensor([[0.0, -2.0, 5.0], [1.0, 0.1, 3.0]], **EXACT)
U = torch.linspace(-6.0, 6.0, 25, **EXACT)


def change(loc=0.0, scale=1.0):
    return NormalToLaplace(torch.tensor(loc), torch.tensor(scale))


# ---------------------------------------------------------------- Normal coordinates


@pytest.mark.parametrize(("loc", "scale"), [(0.0, 1.0), (-2.0, 0.1), (5.0, 3.0)])
def test_quantiles_of_a_normal_become_those_of_a_laplace(loc, scale):
    found = change(loc, scale)(U)
    exact = scipy.stats.laplace.ppf(scipy.stats.norm.cdf(-U.abs().numpy()), 0.0, scale)
    exact = loc - np.sign(U.numpy()) * exact  # by symmetry, where 1 - cdf has no digits left
    torch.testing.assert_close(found, torch.from_numpy(exact), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("far", [0.0, 1e-8, 1e-3, 1.0, 8.0, 30.0, 100.0])
def test_the_inverse_undoes_the_change_near_the_kink_and_far_out(far):
    at = change(1.0, 2.0)
    for u in (torch.tensor(far), torch.tensor(-far)):
        z = at(u)
        torch.testing.assert_close(at._inverse(z), u, rtol=1e-9, atol=1e-7)


def test_the_density_of_the_change_is_the_laplaces():
    at = change(1.0, 2.0)
    z = at(U)
    log_prob = Normal(0.0, 1.0).log_prob(U) - at.log_abs_det_jacobian(U, z)
    torch.testing.assert_close(log_prob, Laplace(1.0, 2.0).log_prob(z), rtol=1e-10, atol=1e-10)


def test_the_jacobian_is_the_slope():
    u = torch.tensor([-3.0, -0.5, 0.5, 3.0], requires_grad=True)
    at = change(1.0, 2.0)
    z = at(u)
    (slope,) = torch.autograd.grad(z.sum(), u)
    torch.testing.assert_close(at.log_abs_det_jacobian(u, z), slope.log())


def test_the_change_keeps_order_and_the_dtype():
    z = change()(U.float())
    assert z.dtype == torch.float32
    assert bool((z.diff() > 0).all())
    assert change()._inverse(z).dtype == torch.float32


def test_equal_changes_are_those_of_equal_numbers():
    assert change() == change()
    assert change() != change(scale=2.0)
    assert change() != change(loc=1.0)
    assert change() != AffineTransform(0.0, 1.0)


# ---------------------------------------------------------------- diagonal Normals


@pytest.mark.parametrize("make", [dist.Normal, Normal, densities.Normal])
def test_which_distributions_are_diagonal_normals(make):
    q = dist.Independent(make(LOC, SCALE), 1)
    found = diagonal_normal(q)
    if make is densities.Normal:  # it has a log-density of its own
        assert found is None
    else:
        assert torch.equal(found.loc, LOC)
        assert torch.equal(found.scale, SCALE)


@pytest.mark.parametrize(
    "other",
    [
        dist.Normal(LOC, SCALE),
        dist.Normal(LOC[None], SCALE).to_event(2),
        dist.Laplace(LOC, SCALE).to_event(1),
        dist.LogNormal(LOC, SCALE).to_event(1),
        dist.MultivariateNormal(LOC, torch.eye(3)),
        None,
    ],
    ids=["scalars", "matrix", "laplace", "log-normal", "full", "none"],
)
def test_no_other_distribution_is_one(other):
    assert diagonal_normal(other) is None


# ---------------------------------------------------------------- noise of one's own


class TorchsNoise(SiteNoise):
    """The noise that torch itself draws, in its order."""

    def standard(self, family, shape, event, like):
        return family(torch.zeros(*shape, *event), 1.0).rsample()

    def uniform(self, shape, like):
        return torch.rand(shape)

    def component(self, log_weight):
        return dist.Categorical(logits=log_weight).sample()

    def other(self, fn):
        return fn.rsample() if fn.has_rsample else fn.sample()


ROWS_LOC = torch.randn(4, 2, **EXACT)
NORMALS = dist.Normal(ROWS_LOC, 0.5).to_event(1)
LAPLACES = dist.Laplace(ROWS_LOC, 0.5).to_event(1)
TRIL = torch.tensor([[2.0, 0.0], [0.5, 1.0]], **EXACT)
OF_EACH = dist.Normal(torch.randn(3, 4, 2, **EXACT), 0.5).to_event(1)
CASES = {
    "normal": NORMALS,
    "laplace": LAPLACES,
    "uniform": dist.Uniform(-torch.ones(4, **EXACT), 3.0),
    "full": dist.MultivariateNormal(ROWS_LOC, scale_tril=TRIL),
    "flow": Flowed(NORMALS, [AffineTransform(1.0, -2.0)]),
    "reference": RowwiseReference(torch.arange(4) % 2 == 0, NORMALS, LAPLACES),
    "strata": StratifiedMixture(OF_EACH, torch.full((3, 4), 1.0 / 3.0, **EXACT).log()),
    "gamma": dist.Gamma(torch.ones(4, 2, **EXACT), 1.0).to_event(1),
    "counts": dist.Poisson(torch.ones(4, 2, **EXACT)).to_event(1),
}


def draw(fn, noise):
    torch.manual_seed(1)
    with noise, Plate(ROWS, 4, dim=-1):
        return pyro.sample("z", fn)


class NoHandler:
    def __enter__(self):
        pass

    def __exit__(self, *error):
        pass


@pytest.mark.parametrize("name", CASES)
def test_draws_are_torchs_where_the_noise_is(name):
    fn = CASES[name]
    torch.testing.assert_close(draw(fn, TorchsNoise()), draw(fn, NoHandler()))


def test_a_random_mixture_takes_the_components_that_the_noise_says():
    class Second(TorchsNoise):
        def component(self, log_weight):
            assert log_weight.shape == (4, 2)
            return torch.tensor([0, 1, 1, 0])

    parts = [dist.Normal(ROWS_LOC + 100.0 * i, 0.5).to_event(1) for i in range(2)]
    found = draw(RandomMixture(parts, torch.full((2, 4), 0.5).log()), Second())
    assert (found.mean(-1) > 50.0).tolist() == [False, True, True, False]


class Zero(TorchsNoise):
    """No noise at all: draws are their locations."""

    def standard(self, family, shape, event, like):
        return torch.zeros(*shape, *event)


def test_without_noise_a_draw_is_the_location():
    assert torch.equal(draw(NORMALS, Zero()), ROWS_LOC)
    assert torch.equal(draw(LAPLACES, Zero()), ROWS_LOC)
    assert torch.equal(draw(CASES["full"], Zero()), ROWS_LOC)
    assert torch.equal(draw(CASES["flow"], Zero()), 1.0 - 2.0 * ROWS_LOC)


def test_sites_that_are_given_or_shared_by_all_rows_stay_as_they_are():
    with Zero():
        shared = pyro.sample("shared", dist.Normal(5.0, 1.0))
        with Plate(ROWS, 4, dim=-1):
            seen = pyro.sample("x", NORMALS, obs=torch.ones(4, 2, **EXACT))
            held = pyro.poutine.condition(lambda: pyro.sample("z", NORMALS), {"z": seen})()
    assert shared != 5.0
    assert bool((seen == 1.0).all())
    assert bool((held == 1.0).all())


def test_a_gradient_reaches_the_parameters_through_the_noise():
    loc = ROWS_LOC.clone().requires_grad_()
    draw(dist.Normal(loc, 0.5).to_event(1), TorchsNoise()).sum().backward()
    assert torch.equal(loc.grad, torch.ones(4, 2, **EXACT))
