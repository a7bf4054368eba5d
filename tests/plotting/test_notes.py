"""Pictures of shared and private latents: headings, notes, places, and what is asked for."""

import math

import pytest
import torch

from ppl_mm import Observations, data, plotting, systems
from ppl_mm.plotting import shared_private


@pytest.fixture(scope="module")
def digits():
    return data.digits()


@pytest.fixture
def system(digits):
    torch.manual_seed(0)
    return systems.mmvae_plus(digits.modalities, 6, private_dim=2)


@pytest.fixture
def rows(digits):
    return digits.test[:2].to(torch.float64)


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def corners(figure):
    return [(round(i.get_extent()[0], 2), round(i.get_extent()[3], 2))
            for i in figure.axes[0].images]  # fmt: skip


def test_columns_stand_below_the_example_of_their_source(system, rows):
    figure = plotting.conditional_columns(
        system, rows, num_samples=2, sources=["top", "bottom", "top"], targets=["bottom", "top"]
    )
    found = texts(figure)
    assert found == [
        *("top", "bottom", "top"),
        "blue frame: given      below: draws of every modality, one a row",
    ]
    width = 2.14  # of an image of 4 by 8 pixels and a gap
    block = 2 * width + 0.4
    expected = []
    for i in range(3):
        left = i * block
        expected.append((left, 0.0))
        expected += [(left + t * width, 1.14 * (k + 1)) for t in range(2) for k in range(2)]
    assert corners(figure) == [pytest.approx(c, abs=0.011) for c in expected]
    images = [image.get_array() for image in figure.axes[0].images]
    assert (images[0] == images[10]).all()  # the third source shows row 0 again
    first_row = rows["top"][0].numpy()
    assert (images[0] == first_row).all()
    assert (images[5] == rows["bottom"][1].numpy()).all()
    with pytest.raises(ValueError, match=r"^conditional_columns: expected one target at least"):
        plotting.conditional_columns(system, rows, targets=[])


def test_a_grid_names_what_its_rows_and_columns_share(system, rows):
    figure = plotting.shared_private_grid(system, rows, rows[:1], source="top", target="bottom")
    assert texts(figure) == ["bottom with u of the left top and w of the bottom above"]
    assert corners(figure) == [
        pytest.approx(c, abs=0.011)
        for c in [(2.34, 0.0), (2.34, 1.14), (2.34, 2.28), (0.0, 1.14), (0.0, 2.28)]
    ]
    given = plotting.shared_private_grid(
        system, rows, rows[:1], source="top", target="bottom", mean=True, seed=3
    )
    other = plotting.shared_private_grid(
        system, rows, rows[:1], source="top", target="bottom", mean=True, seed=4
    )
    drawn = [f.axes[0].images[1].get_array() for f in (given, other, figure)]
    assert (drawn[0] == drawn[1]).all()  # means draw nothing
    assert (drawn[0] != drawn[2]).any()


@pytest.fixture
def decoded(monkeypatch):
    """The latents that a traversal decodes."""
    seen = {}
    decode = shared_private._decode
    monkeypatch.setattr(
        shared_private, "_decode", lambda s, z, t: seen.update(z) or decode(s, z, t)
    )
    return seen


def test_a_traversal_moves_the_first_five_coordinates_of_the_rows_own_latents(
    system, rows, decoded
):
    figure = plotting.traversal(system, rows[:1], "u", steps=3, span=2.0, targets=["top"])
    assert texts(figure) == ["top", "u[0, 1, 2, 3, 4] from -2 to 2 prior standard deviations"]
    mean = system.posterior(rows[:1]).mean.detach()[0]
    u = decoded["u"].unflatten(0, (5, 3))
    far = 2.0 * math.sqrt(2.0)  # the standard deviation of Laplace(0, 1) is sqrt(2)
    for i in range(5):
        assert u[i, :, i].tolist() == pytest.approx([-far, 0.0, far])
        kept = [j for j in range(6) if j != i]
        assert torch.allclose(u[i][:, kept], mean[kept].expand(3, -1))
    assert len(figure.axes[0].images) == 15


def test_a_traversal_may_look_at_some_modalities_alone(system, rows, decoded):
    options = {"steps": 2, "dims": [0], "targets": ["top", "bottom"]}
    plotting.traversal(system, rows[:1], "u", given=["top"], **options)
    given_top = decoded["u"].clone()
    plotting.traversal(system, rows[:1].drop("bottom", "label"), "u", **options)
    assert torch.equal(decoded["u"], given_top)
    plotting.traversal(system, rows[:1], "u", **options)
    assert not torch.equal(decoded["u"], given_top)


def test_a_traversal_without_coordinates_is_told(system, rows):
    for dims in ([], [-1], [0, 6]):
        message = r"^dims: expected coordinates of 'u' from 0 to 5, got \("
        with pytest.raises(ValueError, match=message):
            plotting.traversal(system, rows[:1], "u", dims)
    blank = Observations.blank(1)
    assert len(plotting.traversal(system, blank, "w_top", steps=4).axes[0].images) == 8
