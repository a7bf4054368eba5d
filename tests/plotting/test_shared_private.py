"""Pictures of shared and private latents; what they show is read off the axes."""

from functools import partial

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.image import imread
from torch import nn

from ppl_mm import (
    Modality,
    Observations,
    System,
    guides,
    likelihoods,
    models,
    objectives,
    plotting,
    systems,
)
from ppl_mm.plotting import shared_private
from ppl_mm.results.style import BLUE


class Pixels(nn.Module):
    """An image (1, 2, 2) to its four pixels, exactly."""

    def __init__(self, latent_dim):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(latent_dim))

    def forward(self, x):
        return x.flatten(-3), torch.full_like(x.flatten(-3), 1e-6)


class Sum(nn.Module):
    """u and w to an image: u in its upper row, w in its lower."""

    def __init__(self, in_features):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(in_features))

    def forward(self, latents):
        u, w = latents.chunk(2, -1)
        return torch.cat([u[..., :2], w[..., 2:]], -1).unflatten(-1, (1, 2, 2))


@pytest.fixture
def system():
    images = [Modality(n, likelihoods.Normal(0.1), encoder=Pixels, decoder=Sum) for n in ("a", "b")]
    model = models.SharedPrivate(images, 4, private_dim=4, prior="laplace")
    shared = guides.MixtureOfExperts(images, 4, "laplace")
    return System(model, guides.SharedPrivate(shared, 4), objectives.IWAE())


@pytest.fixture
def obs():
    return Observations({n: rows(3) for n in ("a", "b")})


def rows(num):
    """Images whose shades are their values, as the first row spans 0 to 1."""
    images = torch.rand(num, 1, 2, 2)
    images[0] = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    return images


def shown(figure):
    """The images on a figure by the corner where they stand, (x, y) -> array."""
    (axes,) = figure.axes
    return {
        (round(i.get_extent()[0], 3), round(i.get_extent()[3], 3)): np.asarray(i.get_array())
        for i in axes.images
    }


def framed(figure):
    return sum(to_hex(p.get_edgecolor()).lower() == BLUE.lower() for p in figure.axes[0].patches)


def test_conditional_columns(system, obs, tmp_path):
    figure = plotting.conditional_columns(system, obs, num_samples=3)
    images = shown(figure)
    assert len(images) == 2 * (1 + 3 * 2)
    assert framed(figure) == 2
    first_column = [images[x, y] for x, y in sorted(images) if x == 0.0]
    example, *draws = first_column
    for draw in draws:  # a given: its own u and w
        np.testing.assert_allclose(draw, example, atol=1e-4)
    plotting.save(figure, tmp_path / "columns.png")
    assert imread(tmp_path / "columns.png").ndim == 3


def test_conditional_columns_of_chosen_modalities(system, obs):
    assert len(shown(plotting.conditional_columns(system, obs, sources=["a"], targets=["b"]))) == 7


def test_grid_rows_share_u_and_columns_w(system, obs):
    columns = Observations({"b": rows(2)})
    figure = plotting.shared_private_grid(system, obs, columns, source="a", target="b")
    images = shown(figure)
    assert len(images) == 3 + 2 + 3 * 2
    assert framed(figure) == 5
    xs, ys = (sorted({corner[i] for corner in images}) for i in (0, 1))
    assert (len(xs), len(ys)) == (1 + 2, 1 + 3)
    for y in ys[1:]:
        for x in xs[1:]:
            np.testing.assert_allclose(images[x, y][0], images[xs[0], y][0], atol=1e-4)
            np.testing.assert_allclose(images[x, y][1], images[x, ys[0]][1], atol=1e-4)


def test_traversal_values(system, monkeypatch):
    seen = {}
    decode = shared_private._decode
    monkeypatch.setattr(
        shared_private, "_decode", lambda s, z, t: seen.update(z) or decode(s, z, t)
    )
    blank = Observations.blank(1)
    plotting.traversal(system, blank, "w_a", [1, 3], steps=5, span=5.0)
    expected = torch.zeros(10, 4)
    expected[:5, 1] = expected[5:, 3] = torch.linspace(-5, 5, 5) * 2**0.5  # Laplace(0, 1)
    torch.testing.assert_close(seen["w_a"], expected)
    assert bool((seen["u"] == 0).all() & (seen["w_b"] == 0).all())


def test_private_traversal_shows_its_own_modality(system, obs):
    draw = partial(plotting.traversal, system, obs[0], steps=2, dims=[0])
    assert len(shown(draw("w_a"))) == 2
    assert len(shown(draw("u"))) == 4


def test_what_does_not_fit_is_refused(system, obs):
    with pytest.raises(ValueError, match="one row to start from, got 3"):
        plotting.traversal(system, obs, "u")
    with pytest.raises(ValueError, match="latent site 'z'"):
        plotting.traversal(system, obs[0], "z")
    with pytest.raises(ValueError, match="coordinates of 'u' from 0 to 3"):
        plotting.traversal(system, obs[0], "u", [4])
    shared_alone = systems.mvae(system.modalities, 4)
    with pytest.raises(ValueError, match="latent site 'u'"):
        plotting.shared_private_grid(shared_alone, obs, obs, source="a", target="b")
    lacking = Observations(obs.values, {"a": torch.tensor([False, True, True])})
    with pytest.raises(ValueError, match="modality 'a': row 0 lacks it"):
        plotting.conditional_columns(system, lacking)
