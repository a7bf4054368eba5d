"""Joint networks: each row by the network of its source, once, and the systems built on them."""

from dataclasses import replace
from functools import partial

import pyro.distributions as dist
import pytest
import torch
from every_system import SameNoise, build, complete, loss_and_gradients, mixed, modalities
from torch import nn
from torch.distributions import Independent
from torch.nn import functional as F

from ppl_mm import Modality, Observations, fit, guides, likelihoods, networks, systems
from ppl_mm.distributions import kl, product_of_experts
from ppl_mm.networks import presets
from ppl_mm.objectives import ELBOTerms, Term

NAMES = ("bernoulli", "categorical", "normal")
SUBSETS = [frozenset(s) for s in (NAMES, NAMES[:2], NAMES[1:], (NAMES[0], NAMES[2]))]


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def network_of(guide, subset):
    return guide.joint_networks["+".join(sorted(subset))]


def by_hand(guide, obs, row):
    """loc and scale of one row, from the very network or encoders of what it holds."""
    held = sorted(n for n in NAMES if bool(obs.source[n][row]))
    values = [obs[n][row : row + 1] for n in held]
    if not held:
        return torch.zeros(2), torch.ones(2)
    if len(held) == 1:
        loc, scale = guide.encoders[held[0]](*values)
    elif "+".join(held) in guide.joint_networks:
        loc, scale = network_of(guide, held)(*values)
    else:
        experts = [guide.encoders[n](x) for n, x in zip(held, values, strict=True)]
        loc, scale = (torch.stack(part) for part in zip(*experts, strict=True))
        prior = (torch.zeros(2), torch.ones(2))
        product = product_of_experts(loc, scale, torch.ones(len(held), 1) > 0, prior, False)
        loc, scale = product.mean, product.stddev
    return loc[0], scale[0]


@pytest.mark.parametrize("subsets", ["all", "full", [NAMES[:2]], []])
def test_every_row_has_the_posterior_of_what_it_holds(subsets):
    guide = guides.JointNetwork(modalities(), 2, subsets, hidden=8)
    obs = mixed(rows_per_pattern=2)
    q = guide.posterior(obs)
    for row in range(len(obs)):
        loc, scale = by_hand(guide, obs, row)
        close(q.mean[row], loc)
        close(q.stddev[row], scale)


def test_terms_and_references_have_the_network_of_their_source():
    guide, obs = guides.JointNetwork(modalities(), 2, "all", hidden=8), complete(3)
    terms = [Term(NAMES, NAMES, NAMES[:2]), Term(NAMES[1:], NAMES, NAMES[:1])]
    plated = obs.terms(terms)
    for view, kind in ((plated, "source"), (plated.at_reference(), "reference")):
        q = guide.posterior(view)
        assert q.batch_shape == (2, 3)
        for t, term in enumerate(terms):
            expected = guide.posterior(obs.given(*getattr(term, kind)))
            close(q.mean[t], expected.mean)
            close(q.stddev[t], expected.stddev)


def test_networks_run_once_a_step_and_only_where_they_are_asked_for():
    guide, obs = guides.JointNetwork(modalities(), 2, "all", hidden=8), mixed(rows_per_pattern=2)
    seen = {}
    for key, network in guide.joint_networks.items():
        network.register_forward_hook(
            lambda _, args, __, key=key: seen.setdefault(key, []).append(len(args[0]))
        )
    plated = obs.terms([Term(NAMES, NAMES, NAMES[:2]), Term(NAMES, (), NAMES[:2])], rows="require")
    for view in (plated, plated.at_reference(), plated):
        guide.posterior(view)
    assert seen == {"+".join(NAMES): [2], "bernoulli+categorical": [4]}


@pytest.mark.parametrize(
    ("n", "branches", "squares"), [(2, 4, 4), (3, 12, 9), (4, 32, 16), (5, 80, 25)]
)
def test_number_of_encoders(n, branches, squares):
    # VAEVAE: 2^n - 1 networks, singles included, with n 2^(n-1) trunks; SVAE: n^2 encoders.
    declared = [replace(modalities("normal")[0], name=f"m{i}") for i in range(n)]
    for system in (systems.vaevae, systems.vaevae_star):
        guide = system(declared, 2, hidden=4).guide
        trunks = sum(len(network.trunks) for network in guide.joint_networks.values())
        assert len(guide.joint_networks) + len(guide.encoders) == 2**n - 1
        assert trunks + len(guide.encoders) == branches == n * 2 ** (n - 1)
    for system in (systems.svae, systems.svae_star):
        guide = system(declared, 2).guide
        stand_ins = sum(len(others) for others in guide.stand_ins.values())
        assert len(guide.encoders) + stand_ins == squares == n**2


def test_a_modality_may_bring_its_own_trunk():
    class Flat(nn.Module):
        out_features = 3

        def forward(self, x):
            return x

    declared = modalities("normal", "categorical")
    with_trunk = [replace(declared[0], features=Flat), declared[1]]
    guide = guides.JointNetwork(with_trunk, 2, hidden=8)
    assert guide.joint_networks["categorical+normal"].joined[0].in_features == 3 + 8
    assert guide.posterior(complete(4, "normal", "categorical")).mean.shape == (4, 2)
    without = [replace(declared[0], features=lambda: nn.Linear(3, 4).double), declared[1]]
    with pytest.raises(TypeError, match=r"'normal': features.* out_features"):
        guides.JointNetwork(without, 2)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"subsets": "pairs"}, ValueError, "subsets: expected 'full', 'all' or a coll"),
        ({"subsets": [("normal", "norml")]}, ValueError, "Did you mean 'normal'"),
        ({"prior": "laplace"}, TypeError, "must be a fixed Normal"),
    ],
)
def test_wrong_options_are_errors(options, error, message):
    with pytest.raises(error, match=message):
        guides.JointNetwork(modalities(), 2, **options)


# ---------------------------------------------------------------- systems


def latent_and_log_likelihood(system, obs, q, rows, scored):
    """z under SameNoise, and sum of log p(x_m | z)."""
    noise = torch.randn(1, 1, 2, generator=torch.Generator().manual_seed(ord("z")))[0]
    z = q.mean + q.stddev * noise
    total = torch.zeros(len(obs))
    for name in scored:
        p = system.model.likelihoods[name](system.model.decoders[name](z), 1, obs[name].shape[1:])
        total = total + torch.where(rows, p.log_prob(obs[name]), 0.0)
    return total


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.1, 2.0), (0.0, 1.0)])
def test_jmvae_is_its_equation_on_complete_rows_and_zero_elsewhere(alpha, beta):
    system = systems.jmvae(modalities(), 2, alpha=alpha, beta=beta, hidden=8)
    obs = mixed(rows_per_pattern=2)
    rows = torch.stack(list(obs.present.values())).all(0)
    with SameNoise():
        found = system.objective.bound(system.model, system.guide, obs)
    q = system.posterior(obs)
    prior = dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1)
    divergence = kl(q, prior) + alpha * sum(kl(q, system.posterior(obs.given(n))) for n in NAMES)
    fit = latent_and_log_likelihood(system, obs, q, rows, NAMES)
    close(found, torch.where(rows, fit - beta * divergence, 0.0))
    assert not found[~rows].any()


def test_without_alpha_jmvaes_encoders_learn_nothing():
    for alpha, learns in ((0.0, False), (0.5, True)):
        system = systems.jmvae(modalities(), 2, alpha=alpha, hidden=8)
        _, gradients = loss_and_gradients(system, complete(4))
        own = [g.any() for n, g in gradients.items() if n.startswith("guide.encoders")]
        assert any(own) == learns


@pytest.mark.parametrize(
    ("image", "other", "latent_dim", "total"),
    [
        ("mnist_image", "label", 64, 2_061_184),
        ("fashion_image", "label", 64, 7_682_432),
        ("celeba_image", "celeba_attributes", 100, 9_052_504),
    ],
)
def test_jmvaes_parameters_are_table_1_of_wu_and_goodman(image, other, latent_dim, total):
    declared = [
        Modality(
            name,
            likelihoods.Bernoulli(),
            *(getattr(presets, f"{name}_{part}") for part in ("encoder", "decoder")),
            features=getattr(presets, f"{name}_features"),
        )
        for name in (image, other)
    ]
    guide = guides.JointNetwork(declared, latent_dim)
    assert sum(p.numel() for p in guide.parameters()) == total


SHARES = {"bernoulli": 0.2, "categorical": 0.3, "normal": 0.5}


@pytest.mark.parametrize("shares", [None, SHARES])
def test_bivcca_is_the_weighted_sum_of_its_encoders_bounds(shares):
    system = systems.bivcca(modalities(), 2, shares=shares)
    obs = complete(4)
    with SameNoise():
        found = system.objective.bound(system.model, system.guide, obs)
    prior = dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1)
    expected = torch.zeros(4)
    for name in NAMES:
        share = 1 / 3 if shares is None else shares[name]
        q = system.posterior(obs.given(name))
        fit = latent_and_log_likelihood(system, obs, q, torch.ones(4) > 0, NAMES)
        expected = expected + share * (fit - kl(q, prior))
    close(found, expected)


def test_bivccas_row_without_a_modality_leaves_out_its_term():
    system, obs = systems.bivcca(modalities(), 2), complete(3)
    held = Observations(obs.values, {"normal": torch.tensor([True, False, True])})
    with SameNoise():
        terms = system.objective.term_bounds(system.model, system.guide, held)
    assert terms[2, 1] == 0
    assert (terms[:2, 1] != 0).all()


def test_wrong_numbers_are_errors():
    with pytest.raises(ValueError, match=r"alpha: .*at least 0"):
        systems.jmvae(modalities(), 2, alpha=-1.0)
    for share in (-0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"shares\['normal'\]: .*at least 0"):
            systems.bivcca(modalities(), 2, shares={"normal": share})
    with pytest.raises(ValueError, match="one at least is above 0"):
        systems.bivcca(modalities(), 2, shares={"normal": 0.0})
    with pytest.raises(ValueError, match="unknown modality in weights 'image'"):
        systems.bivcca(modalities(), 2, shares={"image": 1.0})
    for hidden in (0, -1, 2.5, "x"):
        with pytest.raises(
            (ValueError, TypeError), match="hidden: expected an integer of at least 1"
        ):
            systems.jmvae(modalities(), 2, hidden=hidden)


def test_bivcca_of_several_modalities_is_a_product_without_the_prior():
    system, obs = systems.bivcca(modalities(), 2), complete(3)
    loc, scale = (
        torch.stack(part)
        for part in zip(*(system.guide.encoders[n](obs[n]) for n in NAMES), strict=True)
    )
    precision = (scale**-2).sum(0)
    close(system.posterior(obs).mean, (loc * scale**-2).sum(0) / precision)
    close(system.posterior(obs).stddev, precision**-0.5)


@pytest.mark.parametrize("hidden", [1, 3, 8])
def test_a_joint_network_sees_all_its_modalities_whatever_its_width(hidden):
    guide, obs = guides.JointNetwork(modalities(), 2, hidden=hidden), complete(2)
    before = guide.posterior(obs).mean
    for name, other in (("bernoulli", 1 - obs["bernoulli"]), ("normal", obs["normal"] + 3.0)):
        assert not torch.equal(guide.posterior(obs.replace(name, other)).mean, before)


def test_encoders_that_no_row_asks_for_do_not_run():
    guide, obs = guides.JointNetwork(modalities(), 2, hidden=8), complete(4)
    ran = []
    for name, encoder in guide.encoders.items():
        encoder.register_forward_hook(lambda *_, name=name: ran.append(name))
    guide.posterior(obs)
    assert ran == []
    guide.posterior(obs.only("normal"))
    assert ran == ["normal"]


def test_a_trunk_that_does_not_fit_the_values_is_named():
    declared = list(modalities())
    normal = next(i for i, m in enumerate(declared) if m.name == "normal")
    wrong = partial(networks.MLPFeatures, event_shape=(7,), hidden=(4,))
    declared[normal] = replace(declared[normal], features=lambda: wrong())
    guide = guides.JointNetwork(declared, 2, hidden=8)
    with pytest.raises((ValueError, RuntimeError)) as caught:
        guide.check(complete(3))
    told = [str(caught.value), *getattr(caught.value, "__notes__", [])]
    assert any("features of modality 'normal'" in line for line in told)


@pytest.mark.parametrize(
    ("subsets", "error", "message"),
    [
        (["bernoulli"], TypeError, r"subsets\[0\]: .*strings, got 'bernoulli'"),
        ([("bernoulli",)], ValueError, "two modalities or more in each, got .'bernoulli',."),
        ([("bernoulli", "x")], ValueError, "unknown modality in subsets 'x'"),
    ],
)
def test_wrong_subsets_are_errors(subsets, error, message):
    with pytest.raises(error, match=message):
        guides.JointNetwork(modalities(), 2, subsets)


def test_the_encoder_shapes_of_the_library_serve_as_trunks():
    image = replace(
        modalities("bernoulli")[0],
        encoder=lambda size: networks.ConvEncoder(
            size, event_shape=(1, 3, 3), layers=((4, 3, 1, 1),), hidden=(6,)
        ),
    )
    guide = guides.JointNetwork([image, *modalities("normal")], 2, hidden=8)
    one = complete(1, "bernoulli", "normal")
    assert guide.posterior(one).mean.shape == (1, 2)


# ---------------------------------------------------------------- options of the network


def test_what_joins_the_trunks_is_its_formula():
    pair, obs = modalities("normal", "categorical"), complete(3, "normal", "categorical")
    for hidden, activation, scale in ((8, "silu", "softplus"), (None, "relu", "exp")):
        options = {"hidden": hidden, "activation": activation, "scale": scale}
        guide = guides.JointNetwork(pair, 2, **options)
        network = guide.joint_networks["categorical+normal"]
        values = obs["categorical"], obs["normal"]
        trunks = [t(x) for t, x in zip(network.trunks.values(), values, strict=True)]
        h = torch.cat(trunks, -1)
        assert h.shape == (3, 2 * (hidden or 4))
        if hidden:
            h = F.silu(network.joined[0](h))
        raw = network.head(h)
        q = guide.posterior(obs)
        close(q.mean, raw[:, :2])
        close(q.stddev, F.softplus(raw[:, 2:]) + 1e-6 if hidden else (raw[:, 2:] / 2).exp())


@pytest.mark.parametrize("name", ["jmvae", "vaevae", "vaevae_star"])
def test_systems_pass_on_what_joins_the_trunks(name):
    options = {"hidden": 6, "activation": "elu", "scale": "softmax"}
    system = systems.build(name, modalities(), 2, **options)
    assert system.recipe["options"] == options
    for network in system.guide.joint_networks.values():
        assert [type(m) for m in network.joined] == [nn.Linear, nn.ELU]
        assert network.head.in_features == 6
        assert network.location_scale.scale == "softmax"
    system = systems.build(name, modalities(), 2, hidden=None)
    for network in system.guide.joint_networks.values():
        assert network.head.in_features == sum(t.out_features for t in network.trunks.values())
    with pytest.raises(ValueError, match=r"scale: .*got 'square'"):
        systems.build(name, modalities(), 2, scale="square")


@pytest.mark.parametrize("name", ["jmvae", "vaevae", "svae", "svae_star", "telbo"])
def test_terms_that_need_all_they_name_have_the_posteriors_of_the_rows_that_hold_it(name):
    system, obs = build(name), mixed(rows_per_pattern=2)
    terms = system.objective.terms
    under = obs.terms(terms, rows="require")
    for own in (under, under.at_reference()):
        q = system.guide.posterior(own)
        for t, active in enumerate(under.active):
            if bool(active.any()):
                alone = obs[active].terms([terms[t]], rows="require")
                alone = alone if own is under else alone.at_reference()
                expected = system.guide.posterior(alone)
                close(q.mean[t, active], expected.mean[0])
                close(q.stddev[t, active], expected.stddev[0])


def test_the_network_of_terms_without_rows_does_not_run():
    obs = mixed(rows_per_pattern=2)
    lacks = obs[~torch.stack(list(obs.present.values())).all(0)]
    jmvae, vaevae = build("jmvae"), build("vaevae")
    assert not jmvae.objective.bound(jmvae.model, jmvae.guide, lacks).requires_grad
    vaevae.objective.bound(vaevae.model, vaevae.guide, lacks).sum().backward()
    used = {k: p.grad is not None for k, p in vaevae.guide.named_parameters()}
    whole = {k for k in used if k.startswith(f"joint_networks.{'+'.join(NAMES)}.")}
    assert whole
    assert not any(used[k] for k in whole)
    assert all(used[k] for k in used if k.startswith("encoders."))


def test_a_term_without_rows_changes_no_posterior_of_the_others():
    guide = build("svae").guide
    rows = complete(4).only("normal")
    lonely = Term(("normal",), ("normal",))
    for others in ([], [Term(("normal", "bernoulli"), ("normal",))]):
        q = guide.posterior(rows.terms([lonely, *others], rows="require"))
        assert isinstance(q, Independent)
        close(q.mean[0], guide.posterior(rows).mean)


def test_a_reference_is_the_same_after_other_modalities_are_dropped():
    guide = build("jmvae").guide
    terms = [Term(("normal",), ("bernoulli",), ("categorical",))]
    under = complete(2).terms(terms, rows="require")
    found = guide.posterior(under.drop("bernoulli").at_reference())
    close(found.mean, guide.posterior(under.at_reference()).mean)


@pytest.mark.parametrize("subsets", ["full", "all"])
def test_steps_are_recorded_on_data_that_lack_a_modality(subsets):
    model = build("jmvae").model
    terms = [Term(("normal", "bernoulli"), ("normal",)), Term(("normal",), ("normal",))]
    system = systems.System(
        model,
        guides.JointNetwork(modalities(), 2, subsets, hidden=6),
        ELBOTerms(terms, rows="restrict"),
    )
    data = mixed("bernoulli", "normal", rows_per_pattern=8)
    options = {"epochs": 3, "batch_size": 8, "device": "cpu", "progress": False}
    with pytest.warns(UserWarning, match="no training row holds modality 'categorical'"):
        result = fit(system, data, step="recorded", **options)
    assert result.step.startswith("recorded")
