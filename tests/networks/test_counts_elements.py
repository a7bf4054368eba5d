"""Networks of counts whose rows hold some elements, no counts, or a covariate."""

import math

import pytest
import torch

from ppl_mm import likelihoods
from ppl_mm.networks import CountsDecoder, CountsEncoder, CountsFeatures

G = 4
close = torch.testing.assert_close
PATTERNS = torch.tensor(
    [[True] * 4, [False, True, True, True], [False, False, True, False], [True, False, False, True]]
)


def decoder(**options):
    made = CountsDecoder(2, event_shape=(G,), hidden=(3,), **options)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    return made


def mean(output):
    """The mean of counts, whatever the likelihood."""
    return output.exp() if isinstance(output, torch.Tensor) else (output[0].log() + output[1]).exp()


@pytest.mark.parametrize("likelihood", ["poisson", "negative_binomial", "zero_inflated"])
def test_means_of_the_observed_elements_add_up_to_what_they_count(likelihood):
    network, z = decoder(likelihood=likelihood), torch.randn(4, 2)
    x = torch.poisson(torch.full((4, G), 6.0)) + 1.0
    x = torch.where(PATTERNS, x, 0.0)
    found = mean(network(z, x, PATTERNS))
    close(torch.where(PATTERNS, found, 0.0).sum(-1), x.sum(-1))
    whole = mean(network(z, x))  # the proportions are those of the whole row
    close(found / found.sum(-1, keepdim=True), whole / whole.sum(-1, keepdim=True))


def test_a_whole_row_is_the_same_with_its_mask_and_without():
    network, z = decoder(), torch.randn(3, 2)
    x = torch.poisson(torch.full((3, G), 6.0))
    for one, other in zip(network(z, x, torch.ones(3, G).bool()), network(z, x), strict=True):
        assert torch.equal(one, other)


def test_a_row_without_an_observed_count_has_a_total_of_one():
    network, z = decoder(likelihood="poisson"), torch.randn(2, 2)
    close(network(z, torch.zeros(2, G)).exp().sum(-1), torch.ones(2))
    nothing = network(z, torch.zeros(2, G), torch.tensor([[True] * 4, [True, False, True, True]]))
    assert nothing.isfinite().all()


def test_a_decoder_with_a_typical_total_reads_no_value():
    network, z = decoder(own_total=False, total=7.0, likelihood="poisson"), torch.randn(3, 2)
    assert (network.reads_value, network.reads_elements) == (False, False)
    assert torch.equal(network(z, torch.full((3, G), 99.0), PATTERNS[:3]), network(z))
    close(network(z).exp().sum(-1), torch.full((3,), 7.0))


def test_no_proportion_is_zero():
    network = CountsDecoder(2, event_shape=(G,), hidden=(), likelihood="poisson", total=1.0)
    torch.nn.init.zeros_(network.output.weight)
    network.output.bias.data = torch.tensor([0.0, -1e4, -1e4, -1e4])
    found = network(torch.zeros(1, 2)).exp()[0]
    close(found[1:], torch.full((3,), 1e-8 / G), rtol=1e-6, atol=0.0)
    close(found.sum(), torch.tensor(1.0), rtol=0.0, atol=1e-15)


@pytest.mark.parametrize(("raw", "expected"), [(-50.0, -20.0), (3.0, 3.0), (50.0, 20.0)])
def test_dispersions_stay_where_their_exponential_is_a_number(raw, expected):
    network = CountsDecoder(2, event_shape=(G,), hidden=())
    torch.nn.init.constant_(network.dispersion, raw)
    total, logits = network(torch.zeros(1, 2))
    close(total, torch.full((G,), math.exp(expected)))
    close(mean((total, logits)).sum(-1), torch.tensor([1e4]))


def test_a_dispersion_for_each_row_is_an_output_of_the_layers():
    network, z = decoder(dispersion="row", likelihood="zero_inflated"), torch.randn(5, 2)
    assert network.dispersion is None
    raw = network.output(network.hidden(z)).reshape(5, 3, G)
    total, logits, gate = network(z)
    close(total, raw[:, 1].exp())
    close(gate, raw[:, 2])
    expected = 1e4 * (raw[:, 0].softmax(-1) + 1e-8 / G) / (1 + 1e-8)
    close(mean((total, logits)), expected)


def test_a_poisson_has_no_dispersion():
    for dispersion in ("element", "row"):
        network = CountsDecoder(
            2, event_shape=(G,), likelihood="poisson", dispersion=dispersion, hidden=()
        )
        assert network.dispersion is None
        assert network.output.out_features == G


def test_counts_of_any_event_shape():
    network = CountsDecoder(2, event_shape=(2, 3), hidden=())
    x = torch.poisson(torch.full((5, 2, 3), 4.0)) + 1.0
    total, logits = network(torch.randn(5, 2), x)
    assert (total.shape, logits.shape) == ((2, 3), (5, 2, 3))
    close(mean((total, logits)).sum((1, 2)), x.sum((1, 2)))
    features = CountsFeatures(event_shape=(2, 3), hidden=())
    close(features(x), CountsFeatures(event_shape=(6,), hidden=())(x.flatten(1)))


def test_features_of_a_row_with_less_than_one_count_are_scaled_by_one():
    features = CountsFeatures(event_shape=(2,), hidden=())
    close(features(torch.tensor([[0.0, 0.0]])), torch.zeros(1, 3))
    x = torch.tensor([[0.25, 0.25]])
    expected = [math.log1p(2500.0), math.log1p(2500.0), math.log1p(0.5)]
    close(features(x), torch.tensor([expected]))


def test_covariates_follow_the_counts_and_move_the_proportions():
    covariates = {"batch": torch.tensor([0, 1, 1])}
    features = CountsFeatures(event_shape=(G,), hidden=(), covariates={"batch": 2})
    x = torch.poisson(torch.full((3, G), 4.0))
    assert features(x, covariates)[:, G + 1 :].tolist() == [[1, 0], [0, 1], [0, 1]]
    encoder = CountsEncoder(2, event_shape=(G,), hidden=(), covariates={"batch": 2})
    loc, _ = encoder(x, covariates=covariates)
    close(loc, encoder.head(features(x, covariates))[:, :2])
    network = CountsDecoder(
        2, event_shape=(G,), hidden=(), likelihood="poisson", covariates={"batch": 2}
    )
    z = torch.zeros(3, 2)
    logits = network.output.bias + network.output.weight[:, 2:].T[covariates["batch"]]
    close(network(z, covariates=covariates), logits.log_softmax(-1) + math.log(1e4), rtol=1e-6,
          atol=1e-6)  # fmt: skip
    assert network.sample(z, covariates).shape == (3, G)
    with pytest.raises(ValueError, match="covariate 'batch': the network reads it"):
        network.sample(z)


def test_draws_of_a_likelihood_have_its_variance():
    n = 20_000
    for likelihood, kind in (
        ("negative_binomial", likelihoods.NegativeBinomial()),
        ("zero_inflated", likelihoods.ZeroInflatedNegativeBinomial()),
    ):
        network = CountsDecoder(2, event_shape=(2,), hidden=(), likelihood=likelihood, total=9.0)
        torch.nn.init.constant_(network.dispersion, 1.0)
        p = kind(network(torch.zeros(1, 2)))
        draws = network.sample(torch.zeros(n, 2))
        away = (draws - p.mean).square()
        error = away.std(0) / n**0.5
        assert ((away.mean(0) - p.variance[0]).abs() < 5 * error).all()
