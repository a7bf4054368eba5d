"""The system cmmd: its two stages, its networks, and what it learns about a label and the rest."""

import itertools
from dataclasses import replace
from functools import partial

import pytest
import torch
from every_system import KINDS, build, complete, loss_and_gradients, mixed, modalities, modality
from torch import nn

from ppl_mm import (
    Modality,
    Observations,
    System,
    fit,
    generate,
    likelihoods,
    log_likelihood,
    networks,
    systems,
)
from ppl_mm.evaluation import accuracy, elbo, predict
from ppl_mm.networks import presets

QUIET = {"progress": False, "device": "cpu", "precision": "64-true"}
FAST = partial(torch.optim.Adam, lr=0.01)


def cmmd(declared=None, **options):
    options = {"observed": ("normal",), "label": "categorical", "hidden": (16,), **options}
    return systems.cmmd(declared or modalities(), 2, **{"prior_hidden": (16,), **options})


def classes(num_rows, seed=0):
    """Three classes: numbers near a corner each, and a picture of a row each; both noisy."""
    g = torch.Generator().manual_seed(seed)
    label = torch.randint(3, (num_rows,), generator=g)
    numbers = 2.0 * torch.eye(3)[label] + 0.4 * torch.randn(num_rows, 3, generator=g)
    sure = torch.where(torch.eye(3)[label][:, None, :, None] > 0, 0.95, 0.05)
    picture = (torch.rand(num_rows, 1, 3, 3, generator=g) < sure) * 1.0
    return Observations({"bernoulli": picture, "categorical": label, "normal": numbers})


# ---------------------------------------------------------------- what it learns


@pytest.mark.parametrize(
    "options",
    [
        {"omega": 0.5},
        pytest.param({"omega": 0.0, "classify": "draw"}, marks=pytest.mark.slow),
        pytest.param(
            {"omega": 1.0, "label_reduction": "sum", "condition_decoder_on_observed": False},
            marks=pytest.mark.slow,
        ),
        {"omega": 0.3, "kernel": "median", "estimator": "unbiased", "dropout": 0.2},
    ],
)
def test_what_is_observed_tells_the_label_and_the_picture(options):
    torch.manual_seed(0)
    system, test = cmmd(**options), classes(300, seed=1)
    question = {"target": "categorical", "given": "normal", "proposal": "prior"}
    before = log_likelihood(system, test, num_samples=1000, **question).mean()
    fit(system, classes(600), epochs=20, batch_size=50, optimizer=FAST, **QUIET)
    assert accuracy(system, test, "categorical", ("normal",)) > 0.95
    after = log_likelihood(system, test, num_samples=1000, **question).mean()
    assert after > before + 0.5
    expected = torch.where(torch.eye(3)[test["categorical"]][:, None, :, None] > 0, 0.95, 0.05)
    found = predict(system, test, "bernoulli", ("normal",))
    assert (found - expected).square().mean().sqrt() < 0.2
    drawn = generate(system, test.only("normal"), "bernoulli", 20)["bernoulli"]
    assert (drawn.mean((0, 2, 4)).argmax(-1) == test["categorical"]).double().mean() > 0.9


def test_the_label_in_use_is_a_function_of_what_is_observed():
    system, obs, other = build("cmmd"), complete(4), complete(4)
    other = Observations({**other.values, "normal": obs["normal"]})
    found = [predict(system, o, "categorical", ("normal",)) for o in (obs, other)]
    assert torch.equal(*found)
    logits = system.model.decoders["categorical"](system.model.prior(obs).mean)
    assert torch.equal(found[0], logits.argmax(-1))


@pytest.mark.parametrize("target", ["categorical", "bernoulli"])
def test_rows_that_differ_in_what_is_observed_have_draws_of_their_own(target):
    """With proposal="prior" the guide looks at nothing, and the prior at what is observed."""
    system, obs = build("cmmd"), complete(4)
    same = Observations({**obs.values, target: obs[target][:1].expand_as(obs[target])})
    options = {"num_samples": 200, "proposal": "prior"}
    found = log_likelihood(system, same, target, "normal", **options)
    assert len(set(found.value.tolist())) == 4
    for i in range(4):
        alone = log_likelihood(system, same[i : i + 1], target, "normal", **options)
        torch.testing.assert_close(found.value[i], alone.value[0], atol=1e-9, rtol=0)


# ---------------------------------------------------------------- two stages


def test_the_second_stage_starts_from_the_first_bit_for_bit():
    first = cmmd(modalities("bernoulli", "normal"), label=None)
    fit(first, classes(60).drop("categorical"), epochs=2, optimizer=FAST, **QUIET)
    second = cmmd()
    fresh = second.start_from(first)
    own = set(second.state_dict()) - set(first.state_dict())
    assert set(fresh) == own
    assert {n.split(".")[0:3:2][-1] for n in own} == {"late", "categorical"}
    obs = classes(9, seed=2)
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value)
    rest = obs.without("categorical")
    for one, other in (
        (second.posterior(rest), first.posterior(obs.drop("categorical"))),
        (second.model.prior(obs), first.model.prior(obs.drop("categorical"))),
    ):
        assert torch.equal(one.mean, other.mean)
        assert torch.equal(one.stddev, other.stddev)
    assert (second.posterior(obs).mean != second.posterior(rest).mean).all()
    assert torch.equal(elbo(second, rest), elbo(first, obs.drop("categorical")))


@pytest.mark.slow  # trains
def test_a_label_of_few_rows_is_learned_after_a_first_stage():
    torch.manual_seed(1)
    rows, test = classes(600), classes(300, seed=1)
    first = cmmd(modalities("bernoulli", "normal"), label=None)
    fit(first, rows.drop("categorical"), epochs=5, batch_size=50, optimizer=FAST, **QUIET)
    second = cmmd()
    second.start_from(first)
    fit(second, rows[:30], epochs=150, batch_size=30, optimizer=FAST, **QUIET)
    assert accuracy(second, test, "categorical", ("normal",)) > 0.9
    # Or in one stage, most of the rows without their label:
    some = Observations(rows.values, {"categorical": torch.arange(600) < 30})
    whole = cmmd()
    fit(whole, some, epochs=40, batch_size=50, optimizer=FAST, **QUIET)
    assert accuracy(whole, test, "categorical", ("normal",)) > 0.9


def test_a_stage_of_other_sizes_is_refused():
    wide = cmmd(modalities("bernoulli", "normal"), label=None, hidden=(17,))
    with pytest.raises(ValueError, match=r"'guide.network.joined.0.weight' of shape \(17, 12\)"):
        cmmd().start_from(wide)
    with pytest.raises(ValueError, match=r"this system no such parameter; build both"):
        cmmd(modalities("bernoulli", "normal"), label=None).start_from(cmmd())


@pytest.mark.parametrize("name", ["cmmd", "cvae"])
def test_rows_without_what_it_conditions_on_teach_nothing_and_alone_are_an_error(name):
    system, obs = build(name), complete(4)
    (seen,) = system.model.conditions_on
    for lacking in (obs.drop(seen), obs.without(seen)):
        with pytest.raises(ValueError, match=f"no row of the data holds {seen}, which the model"):
            fit(system, lacking, epochs=1, **QUIET)
    some = Observations(obs.values, {seen: torch.arange(4) == 3})
    for rows in (some, [obs.drop(seen), some]):
        assert fit(system, rows, epochs=1, **QUIET).history[0]["loss"] != 0


# ---------------------------------------------------------------- parts and files


def test_the_prior_is_one_for_model_and_guide_also_when_loaded(tmp_path):
    system, obs = cmmd(omega=0.2, kernel=3.0), mixed()
    assert system.guide.prior is system.model.prior
    system.save(tmp_path / "system")
    again = System.load(tmp_path / "system")
    assert again.guide.prior is again.model.prior
    assert again.recipe == system.recipe
    assert (again.objective.omega, again.objective.mmd) == (0.2, system.objective.mmd)
    assert torch.equal(elbo(again, obs), elbo(system, obs))
    second = cmmd(label=None, declared=modalities("bernoulli", "normal"))
    second.save(tmp_path / "second")
    assert System.load(tmp_path / "second").model.label is None


def test_omega_is_checked_where_the_system_is_built():
    with pytest.raises(ValueError, match=r"omega: .*from 0 to 1, got 1.5"):
        cmmd(omega=1.5)
    with pytest.raises(TypeError, match="observed"):
        systems.cmmd(modalities(), 2)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_trains_in_every_place(kind):
    """As what is observed, as what is missing in use, and as the label, with any of it missing."""
    own = modality(kind, name="own")
    obs = mixed("bernoulli", "normal", "categorical", rows_per_pattern=2)
    present = {**obs.present, "own": obs.present["categorical"]}
    del present["categorical"]
    values = {**obs.drop("categorical").values, "own": KINDS[kind].draw(len(obs))}
    obs = Observations(values, present)
    for observed, label in ((("own",), "normal"), (("normal",), "own"), (("normal",), None)):
        declared = [own, *modalities("bernoulli", "normal")]
        system = cmmd(declared, observed=observed, label=label, omega=0.5)
        _, gradients = loss_and_gradients(system, obs)
        for name, gradient in gradients.items():
            assert torch.isfinite(gradient).all(), name
            assert gradient.any(), name
        fit(system, obs, epochs=1, batch_size=5, **QUIET)


# ---------------------------------------------------------------- the paper's networks


def weights(*sizes):
    """Parameters of dense layers of these sizes."""
    return sum(a * b + b for a, b in itertools.pairwise(sizes))


def test_the_networks_of_two_views_of_mnist():
    torch.set_default_dtype(torch.float32)
    view = {"encoder": presets.cmmd_view_encoder, "decoder": presets.cmmd_view_decoder}
    declared = [
        *(Modality(n, likelihoods.Normal(), **view) for n in ("rotated", "noisy")),
        Modality(
            "label",
            likelihoods.Categorical(),
            encoder=presets.cmmd_digit_encoder,
            decoder=presets.cmmd_digit_decoder,
        ),
    ]
    system = build_paper(declared)
    pixels = 784
    parts = {
        "encoder": (system.guide.network, weights(2 * pixels + 10, 2500, 2500, 2500, 100)),
        "prior": (system.model.prior, weights(pixels, 1024, 1024, 1024, 100)),
        "decoder": (
            system.model.decoders["noisy"],
            weights(50 + pixels, 1024, 1024, 1024, 2 * pixels),
        ),
        "classifier": (system.model.decoders["label"], weights(50, 50, 50, 10)),
    }
    for name, (part, expected) in parts.items():
        assert sum(p.numel() for p in part.parameters()) == expected, name
        assert sum(isinstance(m, nn.Dropout) and m.p == 0.2 for m in part.modules()) in (2, 3)
        assert any(isinstance(m, nn.Softplus) for m in part.modules())


def build_paper(declared, **options):
    return systems.cmmd(
        declared,
        50,
        **{
            "observed": ("rotated",),
            "label": "label",
            "hidden": (2500,) * 3,
            "prior_hidden": (1024,) * 3,
            "activation": "softplus",
            "dropout": 0.2,
            **options,
        },
    )


def test_small_weights_start_every_law_near_the_standard_one():
    torch.manual_seed(0)
    system, obs = cmmd(init_scale=1e-3, activation="softplus"), complete(8)
    for q in (system.posterior(obs), system.model.prior(obs)):
        assert q.mean.abs().max() < 0.05
        assert (q.stddev - 1.0).abs().max() < 0.05
    logits = system.model.decoders["categorical"](torch.randn(8, 2))
    assert logits.abs().max() < 0.05
    biases = [p for n, p in system.named_parameters() if n.endswith("bias")]
    assert not any(b.any() for b in biases)
    first = torch.cat([p.flatten() for n, p in system.named_parameters() if n.endswith("weight")])
    assert first.std().item() == pytest.approx(1e-3, rel=0.15)
    with pytest.raises(ValueError, match=r"init_scale: .*above 0.* got 0\.0"):
        cmmd(init_scale=0.0)


def test_trunks_serve_prior_decoder_and_guide_or_the_guide_sees_values():
    """Table H: a prior of convolutions, decoders of z, an encoder of everything vectorised."""
    image = partial(networks.ConvFeatures, event_shape=(1, 4, 4), layers=((3, 4, 2, 1),), hidden=())
    seen = Modality(
        "seen",
        likelihoods.SoftBernoulli(),
        partial(networks.MLPEncoder, event_shape=(1, 4, 4), hidden=(4,)),
        partial(networks.MLPDecoder, event_shape=(1, 4, 4), hidden=(4,)),
        features=image,
    )
    declared = [seen, replace(modality("normal"), name="numbers"), modality("categorical")]
    system = cmmd(
        declared,
        observed=("seen",),
        prior_hidden=(),
        vectorised=True,
        condition_decoder_on_observed=False,
    )
    prior = system.model.prior.network
    assert not len(prior.joined)
    assert prior.head.in_features == 3 * 2 * 2
    assert system.guide.network.joined[0].in_features == 16 + 3
    assert system.model.context is None
    trunks = cmmd(declared, observed=("seen",))
    assert trunks.model.in_features == {"numbers": 2 + 12, "categorical": 2}
    assert trunks.guide.network.joined[0].in_features == 12 + 3
    obs = Observations(
        {
            "seen": torch.rand(5, 1, 4, 4),
            "numbers": torch.randn(5, 3),
            "categorical": torch.arange(5) % 3,
        }
    )
    for each in (system, trunks):
        _, gradients = loss_and_gradients(each, obs)
        assert all(g.any() for g in gradients.values())
