"""The guide and the system of CVAE: its equation, its sizes, and the prior for partial rows."""

from dataclasses import replace
from functools import partial

import pyro.distributions as dist
import pytest
import torch
from every_system import SameNoise, complete, loss_and_gradients, mixed, modalities, modality

from ppl_mm import Modality, Observations, System, guides, likelihoods, networks, systems
from ppl_mm.distributions import kl
from ppl_mm.networks import presets
from ppl_mm.objectives import Term

NAMES = ("bernoulli", "categorical", "normal")


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def cvae(**options):
    return systems.cvae(modalities(), 2, **{"given": ("categorical",), "hidden": (8,), **options})


# ---------------------------------------------------------------- the guide


def test_complete_rows_have_the_network_and_all_others_the_prior():
    guide, obs = cvae().guide, mixed(rows_per_pattern=2)
    rows = torch.stack(list(obs.present.values())).all(0)
    whole = obs[rows]
    one_hot = torch.eye(3)[whole["categorical"]]
    features = torch.cat([whole["bernoulli"].flatten(1), one_hot, whole["normal"]], 1)
    loc, scale = guide.network.join(features)
    q = guide.posterior(obs)
    close(q.mean[rows], loc)
    close(q.stddev[rows], scale)
    assert not q.mean[~rows].any()
    assert (q.stddev[~rows] == 1).all()


def test_under_terms_the_source_decides_and_the_network_runs_once():
    guide, obs, calls = cvae().guide, complete(3), []
    guide.network.register_forward_hook(lambda *_: calls.append(1))
    plated = obs.terms([Term(NAMES, NAMES), Term(NAMES[:2], NAMES, NAMES)])
    for view, whole in ((plated, 0), (plated.at_reference(), 1)):
        q = guide.posterior(view)
        assert q.batch_shape == (2, 3)
        assert (q.stddev[1 - whole] == 1).all()
        assert not (q.stddev[whole] == 1).any()
    assert len(calls) == 1


FASHION = {"event_shape": (1, 28, 28), "layers": ((64, 4, 2, 1), (128, 4, 2, 1))}
CELEBA = presets.celeba_image_encoder.keywords


@pytest.mark.parametrize(
    ("image", "trunk", "hidden", "latent_dim", "expected"),
    [
        ("mnist_image", None, (512, 512), 64, 735_360),
        ("fashion_image", FASHION, (512,), 64, 3_414_656),
        ("celeba_image", {**CELEBA, "dropout": 0.0}, (512,), 100, 4_079_688),
    ],
)
def test_the_sizes_of_the_paper(image, trunk, hidden, latent_dim, expected):
    """Table 1 of Wu & Goodman 2018: the label joins the input of the first dense layer."""
    picture = Modality(
        "image",
        likelihoods.SoftBernoulli(),
        getattr(presets, f"{image}_encoder"),
        getattr(presets, f"{image}_decoder"),
    )
    if trunk is not None:
        convolutions = partial(networks.ConvFeatures, **{**trunk, "hidden": ()})
        picture = replace(picture, features=convolutions)
    label = Modality(
        "label", likelihoods.Categorical(), presets.label_encoder, presets.label_decoder
    )
    if image == "celeba_image":
        label = Modality(
            "label",
            likelihoods.MultiLabel(),
            presets.celeba_attributes_encoder,
            presets.celeba_attributes_decoder,
        )
    guide = guides.ConditionalNetwork([picture, label], latent_dim, ("label",), hidden)
    assert sum(p.numel() for p in guide.parameters()) == expected


def test_only_a_normal_prior_will_do():
    with pytest.raises(TypeError, match="ConditionalNetwork: the prior must be a fixed Normal"):
        guides.ConditionalNetwork(modalities(), 2, ("normal",), prior="laplace")


# ---------------------------------------------------------------- the system


@pytest.mark.parametrize("beta", [1.0, 0.25])
def test_cvae_is_its_equation_on_complete_rows_and_zero_elsewhere(beta):
    declared = [modality("bernoulli"), modality("categorical", weight=7.0), modality("normal")]
    declared[2] = replace(declared[2], weight=3.0)
    system = systems.cvae(declared, 2, given=("categorical",), hidden=(8,), beta=beta)
    obs = mixed(rows_per_pattern=2)
    rows = torch.stack(list(obs.present.values())).all(0)
    with SameNoise():
        found = system.objective.bound(system.model, system.guide, obs)
    q = system.posterior(obs)
    noise = torch.randn(1, 1, 2, generator=torch.Generator().manual_seed(ord("z")))[0]
    z = q.mean + q.stddev * noise
    seen = torch.cat([z, torch.eye(3)[obs["categorical"]]], 1)
    expected = -beta * kl(q, dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1))
    for name, weight in (("bernoulli", 1.0), ("normal", 3.0)):
        p = system.model.likelihoods[name](
            system.model.decoders[name](seen), 1, obs[name].shape[1:]
        )
        expected = expected + weight * p.log_prob(obs[name])
    close(found, torch.where(rows, expected, 0.0))


def test_a_cvae_that_ignores_what_is_given_is_a_vae():
    vae = systems.vae([modality("normal")], 2)
    cvae = systems.cvae(modalities("normal", "categorical"), 2, given=("categorical",), hidden=(6,))
    encoder, decoder = vae.guide.encoders["normal"], vae.model.decoders["normal"]
    with torch.no_grad():
        for first, columns in (
            (cvae.guide.network.joined[0], slice(0, 3)),  # the features of categorical come first
            (cvae.model.decoders["normal"].hidden[0], slice(2, 5)),
        ):
            first.weight[:, columns] = 0.0
        own = encoder.features.hidden[0]
        own.weight.copy_(cvae.guide.network.joined[0].weight[:, 3:])
        own.bias.copy_(cvae.guide.network.joined[0].bias)
        encoder.head.load_state_dict(cvae.guide.network.head.state_dict())
        state = cvae.model.decoders["normal"].state_dict()
        state["hidden.0.weight"] = state["hidden.0.weight"][:, :2]
        decoder.load_state_dict(state)
    obs = complete(5, "normal", "categorical")
    with SameNoise():
        close(cvae(obs), vae(Observations({"normal": obs["normal"]})))


def test_the_networks_of_what_is_given_are_not_built():
    system = cvae()
    assert list(system.model.decoders) == ["bernoulli", "normal"]
    shapes = {n: tuple(p.shape) for n, p in system.guide.named_parameters()}
    assert shapes["network.joined.0.weight"] == (8, 9 + 3 + 3)
    assert not list(system.model.context.parameters())
    _, gradients = loss_and_gradients(system, complete(4))
    assert all(g.any() for g in gradients.values())


def test_the_recipe_keeps_what_is_given(tmp_path):
    system = cvae(given=["normal", "categorical"])
    system.save(tmp_path / "system")
    again = System.load(tmp_path / "system")
    assert again.model.conditions_on == ("categorical", "normal")
    assert again.recipe == system.recipe
