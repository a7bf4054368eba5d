"""Pictures of private latents show what they say."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ppl_mm import Modality, Observations, evaluation, generate, likelihoods, networks, systems
from ppl_mm.data import Vocabulary
from ppl_mm.experiments.captions import words
from ppl_mm.experiments.mmvae_plus.pictures import (
    ALPHAS,
    alphas,
    grid,
    resampled,
    traversal,
)
from ppl_mm.systems import System

SHAPE = (1, 2, 3)
NAMES = ("a", "b", "c")


class Linear(nn.Module):
    """Images near 1/2, linear in (u, w), with four times the weight on w."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.004 * torch.randn(size, 6))
        self.weight.data[2:] *= 4

    def forward(self, z: Tensor) -> Tensor:
        return 0.5 + (z @ self.weight).unflatten(-1, SHAPE)


@pytest.fixture
def system() -> System:
    encoder = partial(networks.MLPEncoder, event_shape=SHAPE, hidden=(4,))
    modalities = [Modality(n, likelihoods.Normal(0.1), encoder, Linear) for n in NAMES]
    return systems.mmvae_plus(modalities, 2, private_dim=1, family="normal")


@pytest.fixture
def obs() -> Observations:
    return Observations({n: torch.rand(3, *SHAPE) for n in NAMES})


def images_of(figure) -> Tensor:
    """(rows, columns, 2, 3) of a picture of grey images."""
    canvas = torch.as_tensor(figure.axes[0].images[0].get_array())[..., 0]
    return canvas.unfold(0, 3, 3).unfold(1, 4, 4)[..., :2, :3]


def test_cells_are_where_they_belong():
    one, other = torch.full(SHAPE, 0.25), torch.full(SHAPE, 2.0)
    figure = grid([[one, None], [None, other]], columns=["x", "y"], title="words")
    found = images_of(figure)
    assert (found[0, 0] == 0.25).all()
    assert (found[1, 1] == 1).all()  # cut
    assert (found[0, 1] == 1).all()  # white
    assert figure.axes[0].get_title(loc="left") == "words"


def test_alpha_alone_changes_along_a_row(system, obs):
    figure = alphas(system, obs[:1], "b", num_samples=2, seed=3)
    found = images_of(figure).double()
    assert found.shape[:2] == (1 + 2 * 2, len(ALPHAS))
    torch.testing.assert_close(found[0, 0], obs["b"][0, 0].double(), atol=1e-6, rtol=0)
    moved = found[1:] - found[1:, :1]  # linear in alpha, as the draws are the same
    slope = moved[:, -1] / (ALPHAS[-1] - ALPHAS[0])
    steps = torch.tensor([a - ALPHAS[0] for a in ALPHAS]).double()
    assert slope.abs().amax((1, 2)).min() > 1e-3
    expected = steps[:, None, None] * slope[:, None]
    torch.testing.assert_close(moved, expected, atol=1e-6, rtol=0)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()][::10] == ["0.1", "1.1", "2.1"]


def test_resampled_is_from_auxiliary_priors(system, obs):
    with torch.no_grad():
        for prior in system.guide.auxiliary_priors.values():
            prior.raw.fill_(-20.0)  # so sharp that w hardly differs
    figure = resampled(system, obs, num_samples=2, seed=5)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["a", "", "", "", "b", "", "", "", "c", "", ""]
    found = images_of(figure)
    assert found.shape[:2] == (1 + 2 * 2, 3 * 3 + 2)
    blocks = {n: found[:, 4 * i : 4 * i + 3] for i, n in enumerate(NAMES)}
    for source, block in blocks.items():
        others = [n for n in NAMES if n != source]
        torch.testing.assert_close(block[0].double(), obs[source][:, 0].double())
        for private, same in (("auxiliary", True), ("prior", False)):
            drawn = generate(
                system, obs, others, 2, given=source, mean=True, private=private, seed=5
            )
            expected = torch.cat([drawn[n][:, :, 0] for n in others])
            assert torch.allclose(block[1:].double(), expected.double(), atol=1e-6) == same


@pytest.mark.parametrize("latent", ["u", "w"])
def test_traversals_move_one_coordinate_from_where_it_is(system, obs, latent):
    figure = traversal(system, obs[:1], "a", ["b", "c"], latent, steps=5, title="bird", seed=7)
    assert figure.axes[0].get_title(loc="left") == "bird"
    found = images_of(figure).double()
    torch.testing.assert_close(found[0, 0], obs["a"][0, 0].double(), atol=1e-6, rtol=0)
    assert (found[6] == 1).all()  # the gap between targets
    mean = evaluation.draw_latents(system, obs[:1], ("a",), mean=True)["u"]
    drawn = evaluation.draw_latents(system, obs[:1], ("a",), seed=7)
    along = torch.tensor([-5.0, -2.5, 0.0, 2.5, 5.0])[:, None, None, None]
    for target, images in (("b", found[1:6]), ("c", found[7:])):
        decoder = system.model.decoders[target]
        weight = decoder.weight.detach()
        weight = (weight[:2] if latent == "u" else weight[2:]).unflatten(1, SHAPE[1:])
        base = decoder(torch.cat([mean, drawn[f"w_{target}"]], 1)).detach()[0]
        torch.testing.assert_close(images, base + along * weight, atol=1e-6, rtol=0)


def test_captions_end_at_their_end_or_at_padding():
    vocabulary = Vocabulary.of(4 * ["a blue bird"])
    tokens = vocabulary.encode(["a blue bird", "blue"], length=6)
    tokens[1, 1] = tokens[1, 2]  # padding in place of the end
    nothing = tokens[1:, [1, 2, 2, 2, 2, 2]]
    assert words(vocabulary, torch.cat([tokens, nothing])) == ["a blue bird", "blue", "-"]
