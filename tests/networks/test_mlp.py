import pytest
import torch
from torch.nn import functional as F

from ppl_mm.networks import MLPDecoder, MLPEncoder


def test_encoder_is_its_formula():
    encoder = MLPEncoder(3, event_shape=(2, 4), hidden=(6, 5)).double()
    x = torch.randn(7, 2, 4, dtype=torch.float64)
    w1, b1, w2, b2, w3, b3 = encoder.parameters()
    h = F.silu(F.linear(F.silu(F.linear(x.flatten(1), w1, b1)), w2, b2))
    raw = F.linear(h, w3, b3)
    loc, scale = encoder(x)
    torch.testing.assert_close(loc, raw[:, :3], atol=1e-14, rtol=0)
    torch.testing.assert_close(scale, (raw[:, 3:] / 2).exp(), atol=1e-14, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_hidden_layers_the_features_are_the_values(dtype):
    encoder = MLPEncoder(3, event_shape=(2, 2), hidden=()).to(dtype)
    for x in (torch.randint(9, (5, 2, 2)), torch.rand(5, 2, 2).to(dtype)):
        assert torch.equal(encoder.features(x), x.flatten(1).to(encoder.features(x).dtype))
        assert encoder(x)[0].dtype == dtype
        expected = F.linear(x.flatten(1).to(dtype), encoder.head.weight, encoder.head.bias)
        torch.testing.assert_close(encoder(x)[0], expected[:, :3])


def test_decoder_is_its_formula():
    decoder = MLPDecoder(3, event_shape=(2, 4), hidden=(6, 5), learned_scale=True).double()
    z = torch.randn(7, 3, dtype=torch.float64)
    w1, b1, w2, b2, w3, b3 = decoder.parameters()
    h = F.silu(F.linear(F.silu(F.linear(z, w1, b1)), w2, b2))
    raw = F.linear(h, w3, b3)
    loc, scale = decoder(z)
    torch.testing.assert_close(loc, raw[:, :8].reshape(7, 2, 4), atol=1e-14, rtol=0)
    expected = F.softplus(raw[:, 8:]).reshape(7, 2, 4) + 1e-6
    torch.testing.assert_close(scale, expected, atol=1e-14, rtol=0)


def test_relu_and_sigmoid():
    encoder = MLPEncoder(3, event_shape=(4,), hidden=(6,), activation="relu", kaiming=True)
    x = torch.randn(7, 4)
    w1, b1, w2, b2 = encoder.parameters()
    assert (b1 == 0).all()
    raw = F.linear(F.relu(F.linear(x, w1, b1)), w2, b2)
    torch.testing.assert_close(encoder(x)[0], raw[:, :3], atol=1e-14, rtol=0)
    decoder = MLPDecoder(
        3, event_shape=(4,), hidden=(6,), activation="relu", sigmoid=True, margin=0.4, kaiming=True
    )
    z = torch.randn(7, 3)
    w1, b1, w2, b2 = decoder.parameters()
    assert (b2 == 0).all()
    location = F.linear(F.relu(F.linear(z, w1, b1)), w2, b2).sigmoid().clamp(0.4, 0.6)
    torch.testing.assert_close(decoder(z), location, atol=1e-14, rtol=0)
    assert 0.4 < location.median() < 0.6


def test_exponential_linear_units():
    encoder = MLPEncoder(3, event_shape=(4,), hidden=(6,), activation="elu")
    x = torch.randn(7, 4)
    w1, b1, w2, b2 = encoder.parameters()
    h = F.linear(x, w1, b1)
    raw = F.linear(torch.where(h > 0, h, h.exp() - 1), w2, b2)
    torch.testing.assert_close(encoder(x)[0], raw[:, :3], atol=1e-14, rtol=0)


def test_sigmoid_is_that_of_the_location_alone():
    decoder, plain = (
        MLPDecoder(2, event_shape=(4,), learned_scale=True, sigmoid=s) for s in (True, False)
    )
    plain.load_state_dict(decoder.state_dict())
    z = torch.randn(3, 2)
    torch.testing.assert_close(decoder(z)[0], plain(z)[0].sigmoid())
    assert torch.equal(decoder(z)[1], plain(z)[1])


def test_learned_scale_is_positive_where_softplus_underflows():
    decoder = MLPDecoder(2, event_shape=(4,), hidden=(), learned_scale=True).float()
    torch.nn.init.constant_(decoder.output.weight, -1e4)
    _, scale = decoder(torch.ones(2, dtype=torch.float32))
    assert torch.equal(scale, torch.full((4,), 1e-6, dtype=torch.float32))


def test_batch_norm_uses_the_batch_in_training_only():
    encoder = MLPEncoder(2, event_shape=(18,), hidden=(5,), batch_norm=True)
    x = torch.randn(8, 18)
    in_batch, alone = encoder(x)[0][:2], encoder(x[:2])[0]
    assert not torch.allclose(in_batch, alone)
    encoder.eval()
    torch.testing.assert_close(encoder(x)[0][:2], encoder(x[:2])[0])


@pytest.mark.parametrize("leading", [(), (1,), (3,), (2, 3)])
def test_scalar_events(leading):
    z = torch.randn(*leading, 2)
    assert MLPDecoder(2, event_shape=())(z).shape == leading
    assert MLPEncoder(2, event_shape=())(torch.randn(leading))[0].shape == (*leading, 2)


def test_learned_scale_doubles_the_output():
    plain, pair = (MLPDecoder(2, event_shape=(4,), learned_scale=s) for s in (False, True))
    assert isinstance(plain(torch.zeros(2)), torch.Tensor)
    assert [p.shape for p in pair(torch.zeros(3, 2))] == [(3, 4), (3, 4)]
    assert pair.output.out_features == 2 * plain.output.out_features


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"MLPFeatures: expected shape \(..., 4\), got \(3, 5\)"):
        MLPEncoder(2, event_shape=(4,))(torch.zeros(3, 5))
    with pytest.raises(ValueError, match=r"MLPDecoder: expected shape \(..., 2\), got \(3, 5\)"):
        MLPDecoder(2, event_shape=(4,))(torch.zeros(3, 5))


def test_integer_counts_are_encoded_as_numbers():
    encoder = MLPEncoder(2, event_shape=(3,), hidden=(4,))
    counts = torch.tensor([[0, 1, 5], [2, 0, 0]])
    for found, expected in zip(
        encoder(counts), encoder(counts.to(torch.get_default_dtype())), strict=True
    ):
        assert torch.equal(found, expected)


def test_softplus_units_and_dropout_of_hidden_layers_alone():
    options = {"event_shape": (4,), "hidden": (6,), "activation": "softplus", "dropout": 0.5}
    for network in (MLPEncoder(3, **options), MLPDecoder(4, **options)):
        x = torch.rand(200, 4)
        w1, b1, w2, b2 = network.parameters()
        hidden = F.linear(x, w1, b1).exp().log1p()
        expected = F.linear(hidden, w2, b2)
        found = network.eval()(x)
        found = found[0] if isinstance(found, tuple) else found
        torch.testing.assert_close(found, expected[:, : found.shape[-1]], atol=1e-12, rtol=0)
        dropped = (network.features if isinstance(network, MLPEncoder) else network).hidden
        kept = dropped.train()(x)
        share = (kept == 0).double().mean()
        assert abs(share - 0.5) < 4 * 0.5 / kept.numel() ** 0.5
        torch.testing.assert_close(kept[kept != 0], (2 * hidden)[kept != 0])
