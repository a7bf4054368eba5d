"""CMMD's guide: the shared prior, zeros for what is missing, and the label's own columns."""

from functools import partial

import pyro
import pytest
import torch
from every_system import complete, mixed, modalities, modality
from torch import nn

from ppl_mm import Modality, Observations, guides, likelihoods, models, networks
from ppl_mm.distributions import ObservedPrior
from ppl_mm.objectives import Term

LABEL = "categorical"


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def make(label=LABEL, declared=None, **options):
    declared = declared or modalities()
    model = models.ConditionalPrior(declared, 2, ("normal",), label)
    options = {"hidden": (8, 5), "in_features": model.in_features, **options}
    return model, guides.ConditionalPosterior(declared, 2, model.prior, label, **options)


def written_out(guide, image, numbers, label):
    """The network as one of all the features side by side."""
    first, *rest = [*guide.network.joined, guide.network.head]
    weight = torch.cat([first.weight, guide.network.late.weight], 1)
    seen = torch.cat([image.flatten(1), numbers, label], 1)
    hidden = nn.functional.linear(seen, weight, first.bias)
    for layer in rest:
        hidden = layer(hidden)
    loc, s = hidden.chunk(2, -1)
    return loc, (s / 2).exp()


def test_each_row_is_encoded_by_what_it_holds():
    model, guide = make()
    obs = mixed(rows_per_pattern=2)
    image, numbers, one_hot = obs["bernoulli"], obs["normal"], torch.eye(3)[obs[LABEL]]
    image = image * obs.present["bernoulli"][:, None, None, None]
    one_hot = one_hot * obs.present[LABEL][:, None]
    loc, scale = written_out(guide, image, numbers, one_hot)
    q, prior = guide.posterior(obs), model.prior(obs)
    knows = obs.present["normal"]
    more = knows & (obs.present["bernoulli"] | obs.present[LABEL])
    close(q.mean[more], loc[more])
    close(q.stddev[more], scale[more])
    alone = knows & ~more
    assert torch.equal(q.mean[alone], prior.mean[alone])
    assert torch.equal(q.stddev[alone], prior.stddev[alone])
    assert not q.mean[~knows].any()
    assert (q.stddev[~knows] == 1).all()
    assert {int(x.sum()) for x in (more, alone, ~knows)} == {6, 2, 8}


def test_the_prior_is_the_models_own():
    model, guide = make()
    assert guide.prior is model.prior
    prior = ObservedPrior(modalities(), 2, ("normal",))
    own = {id(p) for p in prior.parameters()}
    other = guides.ConditionalPosterior(modalities(), 2, prior)
    assert own < {id(p) for p in other.parameters()}


def test_under_terms_the_source_decides_and_networks_run_once():
    model, guide = make()
    obs, calls = complete(3), []
    for name, network in (("prior", model.prior.network), ("image", guide.network.trunks)):
        module = network if name == "prior" else network["bernoulli"]
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
    everything = ("bernoulli", LABEL, "normal")
    terms = [Term(everything, ()), Term(("normal",), ()), Term(("normal", LABEL), ())]
    plated = obs.terms(terms)
    q = guide.posterior(plated)
    with plated.plates(), pyro.poutine.block():
        prior = model.prior(plated)
    assert q.batch_shape == (3, 3)
    assert sorted(calls) == ["image", "prior"]
    assert torch.equal(q.mean[1], prior.mean)
    for row, names in ((0, everything), (2, ("normal", LABEL))):
        close(q.mean[row], guide.posterior(obs.only(*names)).mean)
        close(q.stddev[row], guide.posterior(obs.only(*names)).stddev)


def test_without_a_label_the_network_is_that_of_the_first_stage_bit_for_bit():
    _, first = make(label=None, declared=modalities("bernoulli", "normal"))
    model, second = make()
    missing = second.load_state_dict(first.state_dict(), strict=False)
    assert missing.missing_keys == ["network.late.weight"]
    assert not missing.unexpected_keys
    obs = complete(7)
    expected = first.posterior(obs.drop(LABEL))
    assert (second.network.late.weight != 0).all()
    for view in (obs.without(LABEL), obs.drop(LABEL), obs.given("bernoulli", "normal")):
        assert torch.equal(second.posterior(view).mean, expected.mean)
        assert torch.equal(second.posterior(view).stddev, expected.stddev)
    some = Observations(obs.values, {LABEL: torch.arange(7) % 2 == 0})
    q = second.posterior(some)
    assert torch.equal(q.mean[1::2], expected.mean[1::2])
    assert (q.mean[::2] != expected.mean[::2]).all()
    assert torch.equal(model.prior(obs).mean, second.posterior(obs.only("normal")).mean)


def test_vectorised_it_sees_values_in_place_of_features():
    trunk = partial(networks.MLPFeatures, event_shape=(1, 3, 3), hidden=(4,))
    declared = [modality("bernoulli", features=trunk), *modalities(LABEL, "normal")]
    _, guide = make(declared=declared)
    assert guide.network.joined[0].in_features == 4 + 3
    assert guide.network.late.in_features == 3
    _, guide = make(declared=declared, vectorised=True)
    assert guide.network.joined[0].in_features == 9 + 3


def test_without_hidden_layers_the_label_enters_the_head():
    _, guide = make(hidden=())
    obs = complete(4)
    close(
        guide.posterior(obs).mean,
        written_out(guide, obs["bernoulli"], obs["normal"], torch.eye(3)[obs[LABEL]])[0],
    )


def test_the_labels_columns_start_as_those_of_one_layer():
    torch.manual_seed(0)
    _, guide = make(hidden=(4000,))
    bound = (9 + 3 + 3) ** -0.5
    weight = guide.network.late.weight
    assert weight.abs().max() < bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_dropout_is_in_guide_and_prior_and_off_in_evaluation():
    obs = complete(5)
    prior = ObservedPrior(modalities(), 2, ("normal",), (50,), activation="softplus", dropout=0.2)
    guide = guides.ConditionalPosterior(
        modalities(), 2, prior, LABEL, (50,), activation="softplus", dropout=0.2
    )
    for view in (obs, obs.only("normal")):
        draws = [guide.train().posterior(view).mean for _ in range(2)]
        assert not torch.equal(*draws)
        draws = [guide.eval().posterior(view).mean for _ in range(2)]
        assert torch.equal(*draws)
    kinds = [type(m).__name__ for m in guide.network.joined]
    assert kinds == ["Linear", "Softplus", "Dropout"]
    plated = obs.only("normal").terms([Term(("normal",), ())])
    guide.train()
    assert torch.equal(guide.posterior(plated).mean[0], prior(plated).mean)  # one pass, one mask


def test_gradients_ignore_what_is_missing():
    _, guide = make()
    obs = complete(4)
    obs = Observations(obs.values, {LABEL: torch.zeros(4, dtype=torch.bool)})
    guide.posterior(obs).mean.sum().backward()
    late = guide.network.late.weight.grad
    assert late is None or not late.any()
    assert guide.network.joined[0].weight.grad.any()


def test_values_that_do_not_fit_are_refused_by_name():
    _, guide = make()
    guide.check(mixed())
    with pytest.raises(ValueError, match="'normal'"):
        guide.check(Observations({"normal": torch.zeros(3, 5)}))
    with pytest.raises(ValueError, match="Did you mean 'normal'"):
        guide.check(Observations({"norml": torch.zeros(2, 3)}))


def test_labels_of_several_kinds():
    """Binary as one number, several yes-or-no values, strings of characters."""
    obs = complete(4, "normal")
    for kind, values, size in (
        ("bernoulli", torch.tensor([0.0, 1.0, 1.0, 0.0]), 1),
        ("multi_label", (torch.rand(4, 3) < 0.5) * 1.0, 3),
        ("tokens", torch.randint(4, (4, 4)), 20),
    ):
        label = modality(kind, name="label")
        if kind == "bernoulli":
            encoder = partial(networks.MLPEncoder, event_shape=())
            decoder = partial(networks.MLPDecoder, event_shape=())
            label = Modality("label", likelihoods.Bernoulli(), encoder, decoder)
        _, guide = make(label="label", declared=[modality("normal"), label])
        assert guide.network.late.in_features == size
        both = Observations({**obs.values, "label": values})
        guide.check(both)
        assert guide.posterior(both).mean.shape == (4, 2)
