"""One network for every subset: zeros for what is missing, junk nowhere, the prior for nothing."""

from dataclasses import replace
from functools import partial

import pyro.distributions as dist
import pytest
import torch
from every_system import KINDS, SameNoise, complete, loss_and_gradients, mixed, modalities, modality
from torch import nn

from ppl_mm import Modality, Observations, fit, guides, likelihoods, networks, systems
from ppl_mm.distributions import kl
from ppl_mm.objectives import ELBOTerms, Term, subset_terms

NAMES = ("bernoulli", "categorical", "normal")
ZEROS = {"bernoulli": torch.zeros(1, 1, 3, 3), "normal": torch.zeros(1, 3)}


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def by_hand(guide, obs, row):
    """loc and scale of one row: values of zeros, of the label features of zeros."""
    features = []
    for name in sorted(NAMES):
        trunk = guide.network.trunks[name]
        if bool(obs.source[name][row]):
            features.append(trunk(obs[name][row : row + 1]))
        elif name in ZEROS:
            features.append(trunk(ZEROS[name]))
        else:
            features.append(torch.zeros(1, trunk.out_features))
    return guide.network.join(torch.cat(features, -1))


def test_every_row_sees_zeros_for_what_it_lacks():
    guide, obs = guides.ZeroFilledNetwork(modalities(), 2, hidden=8), mixed(rows_per_pattern=2)
    q = guide.posterior(obs)
    for row in range(len(obs)):
        loc, scale = by_hand(guide, obs, row)
        if not any(bool(obs.source[n][row]) for n in NAMES):
            loc, scale = torch.zeros(1, 2), torch.ones(1, 2)
        close(q.mean[row], loc[0])
        close(q.stddev[row], scale[0])


def test_zeros_teach_the_trunk_that_sees_them():
    guide, obs = guides.ZeroFilledNetwork(modalities(), 2, hidden=8), complete(3)
    guide.posterior(obs.only("bernoulli")).mean.sum().backward()
    biases = {
        n: p.grad for n, p in guide.network.trunks["normal"].named_parameters() if "bias" in n
    }
    assert biases
    assert all(g is not None and g.any() for g in biases.values())


def test_a_missing_image_is_a_black_one_and_a_missing_label_no_class():
    guide = guides.ZeroFilledNetwork(modalities(), 2, hidden=8)
    obs = complete(3)
    black = obs.replace("bernoulli", torch.zeros_like(obs["bernoulli"]))
    close(guide.posterior(obs.without("bernoulli")).mean, guide.posterior(black).mean)
    missing = guide.posterior(obs.without("categorical")).mean
    for label in range(3):
        named = obs.replace("categorical", torch.full((3,), label))
        assert not torch.isclose(guide.posterior(named).mean, missing).any()


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_have_the_shape_of_the_data_whatever_they_are(kind):
    guide = guides.ZeroFilledNetwork([modality(kind), modality("normal", name="x")], 2, hidden=8)
    zero = getattr(guide, f"zero_{kind}")
    symbols = kind in ("categorical", "one_hot", "tokens")
    assert (zero is None) == symbols
    if not symbols:
        assert zero.shape[1:] == KINDS[kind].draw(2).shape[1:]
        assert not zero.any()
    x = Observations({"x": torch.randn(4, 3)})
    assert torch.isfinite(guide.posterior(x).mean).all()


def test_terms_references_and_strata_each_have_their_own_zeros():
    guide, obs = guides.ZeroFilledNetwork(modalities(), 2, hidden=8), mixed()
    terms = [Term(NAMES, NAMES, NAMES[:2]), Term(NAMES[1:], NAMES, NAMES[:1]), Term((), NAMES)]
    plated = obs.terms(terms, dedupe=False)
    for view, kind in ((plated, "source"), (plated.at_reference(), "reference")):
        q = guide.posterior(view)
        for t, term in enumerate(terms):
            expected = guide.posterior(obs.given(*getattr(term, kind)))
            active = plated.active[t]
            close(q.mean[t][active], expected.mean[active])
            close(q.stddev[t][active], expected.stddev[active])
    mixture = guides.Mixture(guide, [NAMES[:1], NAMES[1:]])
    components = mixture.posterior(mixture.strata(complete(3)))
    assert components.batch_shape == (2, 3)


def test_trunks_run_once_a_step_on_the_rows_that_hold_the_modality():
    guide, obs = guides.ZeroFilledNetwork(modalities(), 2, hidden=8), mixed(rows_per_pattern=2)
    seen = []
    guide.network.trunks["normal"].register_forward_hook(
        lambda _, args, __: seen.append(len(args[0]))
    )
    plated = obs.terms([Term(NAMES, NAMES, NAMES[:2]), Term(NAMES, NAMES)], rows="require")
    for view in (plated, plated, plated.at_reference()):
        guide.posterior(view)
    assert seen == [8, 1]  # the reference looks at no numbers: one row of zeros


def test_zeros_do_not_enter_batch_statistics():
    shape = {"event_shape": (3,), "hidden": (6,), "batch_norm": True}
    x = Modality(
        "x",
        likelihoods.Normal(scale=0.5),
        partial(networks.MLPEncoder, **shape),
        partial(networks.MLPDecoder, **shape),
    )
    declared = [x, modality("normal")]
    guides_ = [guides.ZeroFilledNetwork(declared, 2, hidden=8).train() for _ in range(2)]
    guides_[1].load_state_dict(guides_[0].state_dict())
    values = {"x": torch.randn(4, 3), "normal": torch.randn(4, 3)}
    present = torch.tensor([True, True, False, True])
    obs = Observations(values, {"x": present})
    guides_[0].posterior(obs)
    guides_[1].posterior(obs[present])
    for name, buffer in guides_[0].named_buffers():
        close(buffer.double(), dict(guides_[1].named_buffers())[name].double())


def test_a_modality_may_bring_its_own_trunk_and_a_wrong_one_is_named():
    trunk = partial(networks.MLPFeatures, event_shape=(3,), hidden=(5,))
    numbers = modality("normal", features=trunk)
    guide = guides.ZeroFilledNetwork([modality("categorical"), numbers], 2, hidden=8)
    assert guide.network.joined[0].in_features == 8 + 5
    wrong = replace(numbers, features=partial(networks.MLPFeatures, event_shape=(4,)))
    system = systems.jmvae_zero([modality("categorical"), wrong], 2, hidden=8)
    with pytest.raises(ValueError, match=r"expected shape") as caught:
        system.check(complete(3, "categorical", "normal"))
    assert caught.value.__notes__ == [
        "In the features of modality 'normal', given values of shape (3, 3), torch.float64."
    ]


class Narrow(nn.Module):
    out_features = 4

    def forward(self, x):
        return x


def test_features_of_another_number_are_named():
    numbers = modality("normal", features=Narrow)
    system = systems.jmvae_zero([modality("categorical"), numbers], 2, hidden=8)
    obs = complete(5, "categorical", "normal")
    for use in (system.check, system):
        with pytest.raises(ValueError, match=r"'normal': expected features .* \(5, 4\), got"):
            use(obs)


def test_only_a_normal_prior_will_do():
    with pytest.raises(TypeError, match="ZeroFilledNetwork: the prior must be a fixed Normal"):
        guides.ZeroFilledNetwork(modalities(), 2, prior="laplace")


# ---------------------------------------------------------------- the system


@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_jmvae_zero_is_the_joint_elbo_on_complete_rows_and_zero_elsewhere(beta):
    declared = [modality("bernoulli"), modality("categorical", weight=5.0), modality("normal")]
    system = systems.jmvae_zero(declared, 2, beta=beta, hidden=8)
    obs = mixed(rows_per_pattern=2)
    complete_rows = torch.stack(list(obs.present.values())).all(0)
    with SameNoise():
        found = system.objective.bound(system.model, system.guide, obs)
    q = system.posterior(obs)
    noise = torch.randn(1, 1, 2, generator=torch.Generator().manual_seed(ord("z")))[0]
    z = q.mean + q.stddev * noise
    expected = -beta * kl(q, dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1))
    for name in NAMES:
        p = system.model.likelihoods[name](system.model.decoders[name](z), 1, obs[name].shape[1:])
        expected = expected + (5.0 if name == "categorical" else 1.0) * p.log_prob(obs[name])
    close(found, torch.where(complete_rows, expected, 0.0))


def test_it_is_jmvae_without_its_encoders():
    zero = systems.jmvae_zero(modalities(), 2, hidden=8)
    kl_ = systems.jmvae(modalities(), 2, alpha=0.0, hidden=8)
    kl_.model.load_state_dict(zero.model.state_dict())
    kl_.guide.joint_networks["+".join(NAMES)].load_state_dict(zero.guide.network.state_dict())
    obs = mixed(rows_per_pattern=2)
    with SameNoise():
        close(zero(obs), kl_(obs))


def test_the_guide_goes_with_other_objectives():
    # Trained on subsets as well, the zeros come to mean something.
    system = systems.jmvae_zero(modalities(), 2, hidden=8)
    system.objective = ELBOTerms(subset_terms(None))
    _, gradients = loss_and_gradients(system, mixed())
    assert all(torch.isfinite(g).all() and g.any() for g in gradients.values())
    result = fit(system, mixed(rows_per_pattern=2), epochs=2, batch_size=5, progress=False)
    assert len(result.history) == 2
