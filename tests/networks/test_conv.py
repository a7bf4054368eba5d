import pytest
import torch
from torch.nn import functional as F

from ppl_mm.networks import ConvDecoder, ConvEncoder, ConvFeatures

LAYERS = ((3, 4, 2, 1), (4, 3, 1, 0), (5, 2, 1, 0))


def normalised(x, weight, bias):
    """Batch normalisation in evaluation, with the running statistics of a fresh layer."""
    shape = (1, -1, 1, 1)
    return x / (1 + 1e-5) ** 0.5 * weight.view(shape) + bias.view(shape)


def test_encoder_is_its_formula():
    shape = (2, 10, 12)
    encoder = ConvEncoder(
        3, event_shape=shape, layers=LAYERS, hidden=(6,), batch_norm=True, dropout=0.1
    )
    encoder.double().eval()
    x = torch.randn(7, *shape, dtype=torch.float64)
    k1, k2, g2, c2, k3, g3, c3, w1, b1, w2, b2 = encoder.parameters()
    h = F.silu(F.conv2d(x, k1, stride=2, padding=1))
    h = F.silu(normalised(F.conv2d(h, k2), g2, c2))
    h = F.silu(normalised(F.conv2d(h, k3), g3, c3))
    raw = F.linear(F.silu(F.linear(h.flatten(1), w1, b1)), w2, b2)
    loc, scale = encoder(x)
    torch.testing.assert_close(loc, raw[:, :3], atol=1e-13, rtol=0)
    torch.testing.assert_close(scale, (raw[:, 3:] / 2).exp(), atol=1e-13, rtol=0)


def test_decoder_is_its_formula():
    decoder = ConvDecoder(3, start=(2, 4, 5), layers=LAYERS, hidden=(6,), batch_norm=True)
    decoder.double().eval()
    z = torch.randn(7, 3, dtype=torch.float64)
    w1, b1, w2, b2, k1, g1, c1, k2, g2, c2, k3 = decoder.parameters()
    h = F.silu(F.linear(F.silu(F.linear(z, w1, b1)), w2, b2)).reshape(7, 2, 4, 5)
    h = F.silu(normalised(F.conv_transpose2d(h, k1, stride=2, padding=1), g1, c1))
    h = F.silu(normalised(F.conv_transpose2d(h, k2), g2, c2))
    expected = F.conv_transpose2d(h, k3)
    torch.testing.assert_close(decoder(z), expected, atol=1e-13, rtol=0)


def test_encoder_with_relu_and_biases_is_its_formula():
    options = {"layers": LAYERS[:2], "hidden": (), "activation": "relu", "bias": True}
    encoder = ConvEncoder(3, event_shape=(2, 10, 12), **options)
    x = torch.randn(7, 2, 10, 12)
    k1, b1, k2, b2, w, b = encoder.parameters()
    h = F.relu(F.conv2d(x, k1, b1, stride=2, padding=1))
    raw = F.linear(F.relu(F.conv2d(h, k2, b2)).flatten(1), w, b)
    torch.testing.assert_close(encoder(x)[0], raw[:, :3], atol=1e-13, rtol=0)


def test_features_may_end_in_a_linear_layer():
    options = {"layers": LAYERS[:2], "hidden": (5,), "activation": "relu"}
    features = ConvFeatures(event_shape=(2, 10, 12), **options, out_features=6)
    x = torch.randn(7, 2, 10, 12)
    k1, k2, w1, b1, w2, b2 = features.parameters()
    h = F.relu(F.conv2d(F.relu(F.conv2d(x, k1, stride=2, padding=1)), k2))
    expected = F.linear(F.relu(F.linear(h.flatten(1), w1, b1)), w2, b2)
    assert features.out_features == 6
    torch.testing.assert_close(features(x), expected, atol=1e-13, rtol=0)
    assert (features(x) < 0).any()


def test_decoder_from_one_pixel_is_its_formula():
    layers = ((4, 3, 1, 0), (2, 3, 2, 1, 1))
    options = {"activation": "relu", "bias": True, "sigmoid": True}
    decoder = ConvDecoder(3, start=None, layers=layers, **options)
    z = torch.randn(7, 3)
    k1, b1, k2, b2 = decoder.parameters()
    h = F.relu(F.conv_transpose2d(z[:, :, None, None], k1, b1))
    h = F.conv_transpose2d(h, k2, b2, stride=2, padding=1, output_padding=1)
    assert h.shape == (7, 2, 6, 6)
    torch.testing.assert_close(decoder(z), h.sigmoid(), atol=1e-13, rtol=0)


PAIRS = ((3, (4, 3), 2, (1, 0)), (4, 3, (1, 2), 0))


def test_encoder_with_pairs_of_height_and_width_is_its_formula():
    encoder = ConvEncoder(3, event_shape=(2, 10, 13), layers=PAIRS, hidden=())
    x = torch.randn(7, 2, 10, 13)
    k1, k2, w, b = encoder.parameters()
    assert k1.shape == (3, 2, 4, 3)
    h = F.silu(F.conv2d(x, k1, stride=2, padding=(1, 0)))
    assert h.shape == (7, 3, 5, 6)
    h = F.silu(F.conv2d(h, k2, stride=(1, 2)))
    assert h.shape == (7, 4, 3, 2)
    torch.testing.assert_close(encoder(x)[0], F.linear(h.flatten(1), w, b)[:, :3])


def test_decoder_with_pairs_of_height_and_width_is_its_formula():
    layers = (*PAIRS, (1, 2, (2, 3), 0, (1, 0)))
    decoder = ConvDecoder(3, start=(2, 2, 1), layers=layers, activation="elu")
    z = torch.randn(7, 3)
    w, b, k1, k2, k3 = decoder.parameters()
    h = F.elu(F.linear(z, w, b)).reshape(7, 2, 2, 1)
    h = F.elu(F.conv_transpose2d(h, k1, stride=2, padding=(1, 0)))
    h = F.elu(F.conv_transpose2d(h, k2, stride=(1, 2)))
    h = F.conv_transpose2d(h, k3, stride=(2, 3), output_padding=(1, 0))
    assert h.shape == (7, 1, 13, 20)
    torch.testing.assert_close(decoder(z), h, atol=1e-13, rtol=0)


def test_one_pixel_may_follow_hidden_layers():
    decoder = ConvDecoder(3, start=None, hidden=(5,), layers=((1, 4, 1, 0),))
    assert [p.shape for p in decoder.parameters()] == [(5, 3), (5,), (5, 1, 4, 4)]
    assert decoder(torch.zeros(2, 3)).shape == (2, 1, 4, 4)


def test_kaiming_sets_biases_to_zero():
    encoder = ConvEncoder(2, event_shape=(1, 6, 6), layers=((3, 3, 1, 0),), kaiming=True)
    decoder = ConvDecoder(2, start=(1, 2, 2), layers=((1, 2, 1, 0),), kaiming=True)
    for network in (encoder, decoder):
        biases = [p for name, p in network.named_parameters() if name.endswith("bias")]
        assert biases
        assert all((b == 0).all() for b in biases)


def test_dropout_acts_in_training_only():
    encoder = ConvEncoder(2, event_shape=(1, 6, 6), layers=((3, 3, 1, 0),), dropout=0.5)
    x = torch.randn(4, 1, 6, 6)
    assert not torch.equal(encoder(x)[0], encoder(x)[0])
    encoder.eval()
    assert torch.equal(encoder(x)[0], encoder(x)[0])


def test_too_small_image_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 4, 9\) is too small for layer 1 of 2"):
        ConvEncoder(2, event_shape=(1, 4, 9), layers=((3, 3, 1, 0), (3, 3, 1, 0)))
    with pytest.raises(ValueError, match=r"too small for layer 0 of 1, which leaves 0 x 9 pixels"):
        ConvEncoder(2, event_shape=(1, 4, 9), layers=((3, (5, 1), 1, 0),))


def test_wrong_shapes_are_named():
    encoder = ConvEncoder(2, event_shape=(1, 6, 6), layers=((3, 3, 1, 0),))
    with pytest.raises(ValueError, match=r"ConvFeatures: expected shape \(..., 1, 6, 6\)"):
        encoder(torch.zeros(5, 6, 6))
    with pytest.raises(ValueError, match=r"ConvDecoder: expected shape \(..., 2\)"):
        ConvDecoder(2, start=(1, 2, 2), layers=((1, 2, 1, 0),))(torch.zeros(5, 3))
