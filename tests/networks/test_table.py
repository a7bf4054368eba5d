"""Networks of table columns and of their counts, layer by layer and in the columns' own units."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ppl_mm import likelihoods
from ppl_mm.networks import RatesDecoder, TableDecoder, TableEncoder, TableFeatures

CENTRE, SPREAD = (170.0, -3.0, 0.5), (10.0, 0.01, 2.0)
UNITS = {"centre": CENTRE, "spread": SPREAD}
close = torch.testing.assert_close


def standard(x):
    return (x - torch.tensor(CENTRE)) / torch.tensor(SPREAD)


# ------------------------------------------------------------------ what encoders see


@pytest.mark.parametrize(
    ("transform", "function"),
    [("none", lambda x: x), ("log", torch.log), ("log1p", torch.log1p)],
)
def test_without_layers_the_features_are_the_transformed_standardised_columns(transform, function):
    x = torch.rand(4, 3) * 9 + 0.5
    features = TableFeatures(**UNITS, transform=transform, hidden=())
    assert features.out_features == 3
    close(features(x), standard(function(x)))


def test_counts_may_be_integers_and_rows_may_have_any_shape():
    x = torch.arange(12).reshape(2, 2, 3)
    features = TableFeatures(**UNITS, transform="log1p", hidden=())
    close(features(x), standard(torch.log1p(x.double())))
    assert features(x[0, 0]).shape == (3,)
    with pytest.raises(ValueError, match=r"TableFeatures: expected shape \(..., 3\), got \(2, 2\)"):
        features(torch.zeros(2, 2))


PATTERNS = torch.tensor(
    [[True, True, True], [False, True, True], [True, False, False], [False, False, False]]
)


@pytest.mark.parametrize("transform", ["none", "log", "log1p"])
def test_a_missing_element_lies_at_its_columns_centre_whatever_is_stored(transform):
    x = torch.rand(4, 3) + 1.0
    features = TableFeatures(**UNITS, transform=transform, hidden=())
    whole, found = features(x), features(x, PATTERNS)
    assert torch.equal(found, torch.where(PATTERNS, whole, 0.0))
    assert torch.equal(features(x.masked_fill(~PATTERNS, 0.0), PATTERNS), found)


def test_indicators_of_observed_elements_follow_the_columns():
    x = torch.randn(4, 3)
    features = TableFeatures(**UNITS, hidden=(), elements=True)
    assert features.out_features == 6
    close(features(x), torch.cat([standard(x), torch.ones(4, 3)], -1))
    expected = torch.where(PATTERNS, standard(x), 0.0)
    close(features(x, PATTERNS), torch.cat([expected, PATTERNS.double()], -1))


def test_covariates_follow_the_columns_and_their_indicators():
    x, covariates = torch.randn(4, 3), {"site": torch.tensor([1, 0, 1, 1]), "age": torch.rand(4, 1)}
    features = TableFeatures(**UNITS, hidden=(), elements=True, covariates={"site": 2, "age": 1})
    assert features.out_features == 9
    found = features(x, PATTERNS, covariates)
    close(found[:, 6:8], torch.tensor([[0.0, 1], [1, 0], [0, 1], [0, 1]]))
    close(found[:, 8:], covariates["age"])
    with pytest.raises(ValueError, match="covariate 'site': the network reads it"):
        features(x)


def test_the_encoder_is_its_formula():
    encoder = TableEncoder(2, **UNITS, hidden=(4,), activation="tanh", min_scale=0.5)
    x = torch.randn(5, 3)
    w1, b1, w2, b2 = encoder.parameters()
    raw = F.linear(torch.tanh(F.linear(standard(x), w1, b1)), w2, b2)
    loc, scale = encoder(x)
    close(loc, raw[:, :2])
    close(scale, (raw[:, 2:] / 2).exp() + 0.5)


def test_units_are_options_and_no_part_of_a_networks_state():
    for network in (TableEncoder(2, **UNITS), TableDecoder(2, **UNITS)):
        assert not [name for name in network.state_dict() if "centre" in name or "spread" in name]
    half = TableEncoder(2, **UNITS, hidden=()).to(torch.float32)
    assert half(torch.randn(2, 3).float())[0].dtype == torch.float32


# ------------------------------------------------------------------ what decoders return


def test_the_decoder_is_its_formula_in_the_columns_units():
    decoder = TableDecoder(2, **UNITS, hidden=(4,), min_scale=0.25, activation="relu")
    nn.init.normal_(decoder.raw_scale)
    z = torch.randn(2, 5, 2)
    raw = decoder.output(F.relu(decoder.hidden[0](z)))
    loc, scale = decoder(z)
    close(loc, torch.tensor(CENTRE) + torch.tensor(SPREAD) * raw)
    close(scale, torch.tensor(SPREAD) * (torch.log1p(decoder.raw_scale.exp()) + 0.25))
    assert scale.shape == (3,)  # one of each column, shared by all rows


def test_scales_start_below_the_spread_and_have_a_floor():
    _, scale = TableDecoder(2, **UNITS)(torch.zeros(1, 2))
    close(scale, torch.tensor(SPREAD) * (math.log(2.0) + 0.01))


def test_without_a_learned_scale_the_location_alone_is_returned():
    decoder = TableDecoder(2, **UNITS, hidden=(), learned_scale=False)
    assert [name for name, _ in decoder.named_parameters()] == ["output.weight", "output.bias"]
    loc, z = decoder(torch.zeros(4, 2)), torch.randn(4, 2)
    close(loc, (torch.tensor(CENTRE) + torch.tensor(SPREAD) * decoder.output.bias).expand(4, 3))
    p = likelihoods.Normal(scale=2.0)(decoder(z))
    close(p.mean, decoder(z))


@pytest.mark.parametrize("network", [TableDecoder, RatesDecoder], ids=lambda n: n.__name__)
def test_a_class_moves_what_a_decoder_returns_by_its_own_weights(network):
    units = UNITS if network is TableDecoder else {"log_mean": CENTRE}
    decoder = network(2, **units, hidden=(), covariates={"site": 3})
    z, sites = torch.randn(3, 2), torch.arange(3)
    found, other = decoder(z, {"site": sites}), decoder(z, {"site": torch.zeros(3).long()})
    position = 0 if network is TableDecoder else 1
    weight = decoder.output.weight[:, 2:].T  # a row a class
    factor = torch.tensor(SPREAD) if network is TableDecoder else 1.0
    close(found[position] - other[position], factor * (weight - weight[0]))


# ------------------------------------------------------------------ counts

LOG_MEAN = (0.0, 2.0, -1.5)


def rates(**options):
    decoder = RatesDecoder(2, log_mean=LOG_MEAN, hidden=(4,), **options)
    nn.init.zeros_(decoder.output.weight)
    nn.init.zeros_(decoder.output.bias)
    return decoder


def test_counts_start_at_their_columns_means_whatever_the_dispersion():
    decoder = rates()
    nn.init.normal_(decoder.log_total)
    total, logits = decoder(torch.randn(5, 2))
    assert total.shape == (3,)
    p = likelihoods.NegativeBinomial()((total, logits))
    mean = torch.tensor(LOG_MEAN).exp().expand(5, 3)
    close(p.mean, mean)
    close(p.variance, mean + mean**2 / decoder.log_total.exp())


def test_a_total_count_starts_at_one():
    total, _ = rates()(torch.zeros(1, 2))
    assert total.tolist() == [1.0, 1.0, 1.0]


def test_log_rates_are_the_means_and_what_the_layers_add():
    decoder = RatesDecoder(2, log_mean=LOG_MEAN, hidden=(4,), dispersion=False, activation="elu")
    assert not hasattr(decoder, "log_total")
    z = torch.randn(2, 3, 2)
    expected = torch.tensor(LOG_MEAN) + decoder.output(F.elu(decoder.hidden[0](z)))
    close(decoder(z), expected)
    close(likelihoods.Poisson()(decoder(z), 2).mean, expected.exp())
    assert list(decoder.state_dict()) == [n for n, _ in decoder.named_parameters()]
