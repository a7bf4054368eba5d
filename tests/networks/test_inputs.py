"""Inputs that networks read besides values, scalars, padding alone, draws of strings, recipes."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ppl_mm import likelihoods, networks
from ppl_mm.data.vocabulary import EOS, PAD
from ppl_mm.networks.recipe import build, describe

close = torch.testing.assert_close

# ------------------------------------------------------------------ what dense layers read


def test_indicators_and_covariates_follow_the_values():
    features = networks.MLPFeatures(
        event_shape=(2, 2), hidden=(), elements=True, covariates={"site": 3, "age": 1}
    )
    assert features.out_features == 4 + 4 + 3 + 1
    x, held = torch.randn(3, 2, 2), torch.rand(3, 2, 2) < 0.5
    covariates = {"site": torch.tensor([2, 0, 1]), "age": torch.rand(3, 1)}
    found = features(x, held, covariates)
    close(found[:, :4], x.flatten(1))
    close(found[:, 4:8], held.flatten(1).double())
    close(found[:, 8:11], torch.eye(3)[covariates["site"]])
    close(found[:, 11:], covariates["age"])
    close(features(x, covariates=covariates)[:, 4:8], torch.ones(3, 4))
    with pytest.raises(ValueError, match="covariate 'site': the network reads it, and it is not"):
        features(x, held)


def test_an_encoder_hands_on_what_its_features_read():
    encoder = networks.MLPEncoder(
        2, event_shape=(2,), hidden=(3,), elements=True, covariates={"site": 2}
    )
    assert (encoder.reads_elements, dict(encoder.reads_covariates)) == (True, {"site": 2})
    x, held, site = torch.randn(4, 2), torch.rand(4, 2) < 0.5, {"site": torch.tensor([0, 1, 1, 0])}
    raw = encoder.head(encoder.features(x, held, site))
    loc, scale = encoder(x, held, covariates=site)
    close(loc, raw[:, :2])
    close(scale, (raw[:, 2:] / 2).exp())
    plain = networks.MLPEncoder(2, event_shape=(2,))
    assert (plain.reads_elements, dict(plain.reads_covariates)) == (False, {})


def test_a_decoder_reads_covariates_after_its_latent():
    decoder = networks.MLPDecoder(
        2, event_shape=(3,), hidden=(4,), learned_scale=True, covariates={"site": 2}
    )
    z, site = torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 1])
    raw = decoder.output(decoder.hidden(torch.cat([z, torch.eye(2)[site]], -1)))
    loc, scale = decoder(z, {"site": site})
    close(loc, raw[:, :3])
    close(scale, F.softplus(raw[:, 3:]) + 1e-6)
    several = decoder(z.expand(3, 5, 2), {"site": site.expand(3, 5)})
    close(several[0][1], loc)


@pytest.mark.parametrize("make", [networks.MLPFeatures, partial(networks.MLPDecoder, 4)])
def test_batch_norm_and_dropout_stand_where_dense_layers_have_them(make):
    network = make(event_shape=(4,), hidden=(3, 2), batch_norm=True, dropout=0.25)
    kinds = [nn.Linear, nn.BatchNorm1d, nn.SiLU, nn.Dropout] * 2
    assert [type(m) for m in network.hidden] == kinds
    assert network.hidden[3].p == 0.25


def test_values_of_any_dtype_become_that_of_the_parameters():
    features = networks.MLPFeatures(event_shape=(2,), hidden=()).float()
    assert features(torch.tensor([[1, 2]])).dtype == torch.get_default_dtype()  # no parameter
    layers = networks.MLPFeatures(event_shape=(2,), hidden=(3,)).float()
    for values in (torch.tensor([[1, 0]]), torch.tensor([[True, False]]), torch.rand(1, 2)):
        assert layers(values).dtype == torch.float32
    assert torch.equal(layers(torch.tensor([[1, 0]])), layers(torch.tensor([[True, False]])))


# ------------------------------------------------------------------ scalars


@pytest.mark.parametrize("leading", [(), (5,), (2, 3)])
def test_a_value_may_be_one_number(leading):
    encoder = networks.MLPEncoder(2, event_shape=(), hidden=(3,))
    decoder = networks.MLPDecoder(2, event_shape=(), hidden=(3,), learned_scale=True)
    loc, scale = encoder(torch.randn(leading))
    assert loc.shape == scale.shape == (*leading, 2)
    mean, deviation = decoder(loc)
    assert mean.shape == deviation.shape == leading
    if len(leading) == 1:
        p = likelihoods.Normal()((mean, deviation))
        assert (p.batch_shape, p.event_shape) == (leading, ())


@pytest.mark.parametrize(("margin", "low"), [(0.0, 0.0), (0.1, 0.1)])
def test_a_location_stays_away_from_0_and_1_by_its_margin(margin, low):
    decoder = networks.MLPDecoder(1, event_shape=(1,), hidden=(), sigmoid=True, margin=margin)
    nn.init.ones_(decoder.output.weight)
    nn.init.zeros_(decoder.output.bias)
    found = decoder(torch.tensor([[-1e3], [0.0], [1e3]]))[:, 0]
    assert found.tolist() == [low, 0.5, 1 - low]


# ------------------------------------------------------------------ sentences and strings


def test_a_sentence_of_padding_alone_is_read_at_its_first_place():
    torch.manual_seed(0)
    features = networks.SentenceFeatures(length=3, vocab_size=5, embedding=2, hidden=4)
    found = features(torch.tensor([[PAD, PAD, PAD], [EOS, PAD, PAD]]))
    one = networks.SentenceFeatures(length=1, vocab_size=5, embedding=2, hidden=4)
    one.load_state_dict(features.state_dict())
    close(found, one(torch.tensor([[PAD], [EOS]])))


@pytest.mark.parametrize("feedback", ["argmax", "teacher"])
def test_strings_are_drawn_with_their_probabilities(feedback):
    torch.manual_seed(3)
    decoder = networks.StringDecoder(
        2, length=2, vocab_size=3, start=0, hidden=4, dropout=0.0, feedback=feedback
    ).eval()
    nn.init.normal_(decoder.output.weight, std=1.0)
    n, z = 8000, torch.randn(2)
    every = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    p = likelihoods.Tokens()(decoder(z.expand(9, 2), every)).log_prob(every).exp()
    draws = decoder.sample(z.expand(n, 2))
    assert draws.shape == (n, 2)
    found = torch.bincount(3 * draws[:, 0] + draws[:, 1], minlength=9) / n
    assert ((found - p).abs() <= 5 * (p * (1 - p) / n).sqrt()).all()
    close(p.sum(), torch.tensor(1.0))


# ------------------------------------------------------------------ recipes


def test_options_may_be_numpys_numbers_and_nested_tuples():
    factory = partial(
        networks.ConvEncoder,
        event_shape=(np.int64(1), 8, 8),
        layers=((np.int32(4), 4, 2, 1),),
        dropout=np.float64(0.25),
        bias=np.bool_(True),
    )
    recipe = describe(factory)
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["options"]["dropout"] == 0.25
    made = build(recipe)
    assert made.keywords["layers"] == ((4, 4, 2, 1),)
    torch.manual_seed(0)
    one = factory(2)
    torch.manual_seed(0)
    other = made(2)
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(one.eval()(x)[0], other.eval()(x)[0])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.tensor(1.0), object()])
def test_options_that_json_cannot_hold_make_no_recipe(value):
    assert describe(partial(networks.MLPEncoder, event_shape=(2,), dropout=value)) is None


def test_an_inner_option_is_replaced_by_an_outer_one():
    inner = partial(networks.MLPEncoder, event_shape=(2,), hidden=(3,))
    assert describe(partial(inner, hidden=(5,)))["options"]["hidden"] == [5]
    assert describe(partial(networks.MLPEncoder, 2, event_shape=(2,))) is None


# ------------------------------------------------------------------ options


def test_an_encoder_of_characters_has_as_many_channels_as_asked():
    encoder = networks.CharacterEncoder(3, vocab_size=5, channels=6)
    assert encoder.head.weight.shape == (6, 6)
    assert encoder.features.convolutions[0].weight.shape == (6, 5, 1)
    decoder = networks.CharacterDecoder(3, vocab_size=5, channels=6)
    assert decoder(torch.zeros(2, 3)).shape == (2, 8, 5)
    assert decoder.input.weight.shape == (6, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: networks.ConvFeatures(event_shape=(8, 8), layers=((4, 4, 2, 1),)),
            r"ConvFeatures: expected event_shape \(channels, height, width\), got \(8, 8\)",
        ),
        (
            lambda: networks.ResidualDecoder(2, event_shape=(1, 2, 8, 8)),
            r"ResidualDecoder: expected event_shape \(channels, height, width\), got \(1, 2,",
        ),
        (
            lambda: networks.LabelFeatures(num_classes=3, hidden=()),
            r"LabelFeatures: expected hidden sizes, one at least, got \(\)",
        ),
        (
            lambda: networks.BinaryEncoder(2, hidden=()),
            r"LabelFeatures: expected hidden sizes, one at least, got \(\)",
        ),
        (
            lambda: networks.MLPFeatures(event_shape=(2,), covariates={"a": 0}),
            "covariate",
        ),
    ],
)
def test_options_that_make_no_network_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
