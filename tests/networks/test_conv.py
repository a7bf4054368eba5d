import pytest
import torch
from torch.nn import functional as F

from ppl_mm.networks import ConvDecoder, ConvEncoder

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


def test_dropout_acts_in_training_only():
    encoder = ConvEncoder(2, event_shape=(1, 6, 6), layers=((3, 3, 1, 0),), dropout=0.5)
    x = torch.randn(4, 1, 6, 6)
    assert not torch.equal(encoder(x)[0], encoder(x)[0])
    encoder.eval()
    assert torch.equal(encoder(x)[0], encoder(x)[0])


def test_too_small_image_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 4, 9\) is too small for layer 1 of 2"):
        ConvEncoder(2, event_shape=(1, 4, 9), layers=((3, 3, 1, 0), (3, 3, 1, 0)))


def test_wrong_shapes_are_named():
    encoder = ConvEncoder(2, event_shape=(1, 6, 6), layers=((3, 3, 1, 0),))
    with pytest.raises(ValueError, match=r"ConvEncoder: expected shape \(..., 1, 6, 6\)"):
        encoder(torch.zeros(5, 6, 6))
    with pytest.raises(ValueError, match=r"ConvDecoder: expected shape \(..., 2\)"):
        ConvDecoder(2, start=(1, 2, 2), layers=((1, 2, 1, 0),))(torch.zeros(5, 3))
