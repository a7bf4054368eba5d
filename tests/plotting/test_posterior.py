"""The picture of one row's posterior."""

import math

import numpy as np
import pytest
import torch
from every_system import build, complete, kinds_of
from linear_gaussian import LinearGaussian

from ppl_mm import guides, plotting
from ppl_mm.plotting.posterior import _levels


def toy_system(latent_dim=2):
    toy = LinearGaussian({"a": 1, "b": 2}, latent_dim=latent_dim, spread=1.5)
    return toy, toy.system(guides.ProductOfExperts(toy.modalities, latent_dim))


def area(points):
    x, y = points.T
    return 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))


def test_contours_and_ellipses_are_those_of_the_exact_posterior():
    toy, system = toy_system()
    obs = toy.sample(3)
    exact = toy.exact_guide().posterior(obs)
    axes = plotting.posterior(system, obs, 1).axes[0]
    covariance, mean = exact.covariance_matrix[1], exact.mean[1]
    outer, inner, mode, draws = (line.get_xydata() for line in axes.get_lines())
    for curve, mass in ((outer, 0.9), (inner, 0.5)):
        expected = -2 * math.log1p(-mass) * math.pi * covariance.det().sqrt().item()
        assert area(curve) == pytest.approx(expected, rel=1e-2)
    np.testing.assert_allclose(mode[0], mean.numpy(), atol=0.05)
    centre = draws.mean(0)
    error = exact.stddev[1].numpy() / len(draws) ** 0.5
    assert (abs(centre - mean.numpy()) < 5 * error).all()
    filled = max(
        (path for paths in axes.collections[:1] for path in paths.get_paths()),
        key=lambda path: len(path.vertices),
    )
    vertices = filled.vertices[:-1]
    squares = torch.from_numpy(vertices) - mean
    radius = (squares @ covariance.inverse() * squares).sum(1)
    assert radius.max().item() == pytest.approx(-2 * math.log1p(-0.9), rel=0.1)


def test_levels_hold_their_masses():
    x = np.linspace(-6, 6, 400)
    density = np.exp(-0.5 * (x[:, None] ** 2 + x**2))
    low, high = _levels(density)
    assert low == pytest.approx(0.1, rel=0.02)  # the density at the 90 % contour over its peak
    assert high == pytest.approx(0.5, rel=0.02)


def test_it_shows_the_coordinates_that_the_row_says_most_of():
    toy = LinearGaussian({"a": 2, "b": 1}, latent_dim=4)
    for weight in toy.weight.values():
        weight[:, [0, 2]] *= 1e-3
    system = toy.system(guides.ProductOfExperts(toy.modalities, 4))
    axes = plotting.posterior(system, toy.sample(2), given="a").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z[1]", "z[3]")
    assert "row 0, p(z | a)" in axes.get_title()
    axes = plotting.posterior(system, toy.sample(2), given="a", coordinates=(2, 0)).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z[2]", "z[0]")


@pytest.mark.parametrize("name", ["mmvae", "mmvae_plus", "cmmd", "meme"])
def test_mixtures_private_latents_and_bounded_coordinates(name, tmp_path):
    torch.manual_seed(0)
    figure = plotting.posterior(build(name), complete(2, *kinds_of(name)), 1)
    plotting.save(figure, tmp_path / "posterior.png")
    assert len(figure.legends) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"row": 3}, "row: expected one from 0 to 2, got 3"),
        ({"coordinates": (0, 0)}, "coordinates: expected two from 0 to 1"),
        ({"coordinates": (0, 2)}, "coordinates: expected two from 0 to 1"),
        ({"given": "d"}, "modality 'd'"),
    ],
)
def test_wrong_options_are_errors(options, message):
    toy, system = toy_system()
    with pytest.raises(ValueError, match=message):
        plotting.posterior(system, toy.sample(3), **options)


def test_one_coordinate_is_an_error():
    toy, system = toy_system(latent_dim=1)
    with pytest.raises(ValueError, match="expected two latent coordinates"):
        plotting.posterior(system, toy.sample(2))
