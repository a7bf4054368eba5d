import pytest
import torch
from torch.nn import functional as F

from ppl_mm.networks import ResidualDecoder, ResidualEncoder


def f(x):
    return F.leaky_relu(x, 0.2)


def block(weights, x, shortcut):
    """The block's formula; weights are taken from the front of the list."""
    k1, b1, k2, b2 = (weights.pop(0) for _ in range(4))
    kept = F.conv2d(x, weights.pop(0)) if shortcut else x
    return kept + 0.1 * F.conv2d(f(F.conv2d(f(x), k1, b1, padding=1)), k2, b2, padding=1)


def pooled(x):
    return F.avg_pool2d(x, 3, stride=2, padding=1)


def doubled(x):
    return x.repeat_interleave(2, -1).repeat_interleave(2, -2)


def test_encoder_is_its_formula():
    encoder = ResidualEncoder(3, event_shape=(2, 9, 6), channels=4, max_channels=8, num_pools=3)
    x = torch.randn(7, 2, 9, 6)
    weights = list(encoder.parameters())
    h = F.conv2d(x, weights.pop(0), weights.pop(0), padding=1)
    h = block(weights, h, shortcut=False)
    h = block(weights, pooled(h), shortcut=True)  # 4 to 8 channels
    h = block(weights, pooled(h), shortcut=False)
    h = block(weights, pooled(h), shortcut=False)
    assert h.shape == (7, 8, 2, 1)
    raw = F.linear(h.flatten(1), *weights)
    loc, scale = encoder(x)
    torch.testing.assert_close(loc, raw[:, :3], atol=1e-13, rtol=0)
    torch.testing.assert_close(scale, 3 * raw[:, 3:].softmax(-1) + 1e-6, atol=1e-13, rtol=0)


def test_decoder_is_its_formula():
    decoder = ResidualDecoder(3, event_shape=(2, 8, 16), channels=4, max_channels=8, num_pools=3)
    z = torch.randn(7, 3)
    weights = list(decoder.parameters())
    h = F.linear(z, weights.pop(0), weights.pop(0)).reshape(7, 8, 1, 2)
    h = doubled(block(weights, h, shortcut=False))
    h = doubled(block(weights, h, shortcut=False))
    h = doubled(block(weights, h, shortcut=True))  # 8 to 4 channels
    h = block(weights, h, shortcut=False)
    expected = F.conv2d(f(h), *weights, padding=1)
    torch.testing.assert_close(decoder(z), expected, atol=1e-13, rtol=0)


@pytest.mark.parametrize("leading", [(), (1,), (2, 3), (2, 1, 3), (0,)])
def test_any_leading_dimensions(leading):
    options = {"event_shape": (3, 4, 8), "channels": 2}
    encoder, decoder = ResidualEncoder(5, **options), ResidualDecoder(6, **options)
    x, z = torch.rand(*leading, 3, 4, 8), torch.randn(*leading, 6)
    loc, scale = encoder(x)
    images = decoder(z)
    assert loc.shape == scale.shape == (*leading, 5)
    assert images.shape == (*leading, 3, 4, 8)
    flat = decoder(z.reshape(-1, 6))
    torch.testing.assert_close(images.reshape(-1, 3, 4, 8), flat, atol=1e-14, rtol=0)


def test_gradients_of_inputs_and_weights_are_right():
    # the second activation overwrites its input
    options = {"event_shape": (1, 4, 4), "channels": 2, "max_channels": 3, "num_pools": 1}
    encoder, decoder = ResidualEncoder(2, **options), ResidualDecoder(2, **options)
    x = torch.rand(2, 1, 4, 4, requires_grad=True)
    z = torch.randn(2, 2, requires_grad=True)
    assert torch.autograd.gradcheck(encoder, x)
    assert torch.autograd.gradcheck(decoder, z)
    for network, value in ((encoder, x), (decoder, z)):
        names, weights = zip(*network.named_parameters(), strict=True)

        def called(*weights, network=network, names=names, value=value):
            state = dict(zip(names, weights, strict=True))
            return torch.func.functional_call(network, state, (value.detach(),))

        assert torch.autograd.gradcheck(called, weights)


def test_one_row_is_the_same_alone_and_in_training():
    encoder = ResidualEncoder(2, event_shape=(1, 4, 4), channels=2)
    x = torch.rand(5, 1, 4, 4)
    alone, together = encoder(x[2])[0], encoder.eval()(x)[0][2]
    torch.testing.assert_close(alone, together, atol=1e-14, rtol=0)


def test_image_that_cannot_be_doubled_to_is_refused():
    with pytest.raises(ValueError, match=r"multiples of 2\^num_pools = 4, got 28 x 30"):
        ResidualDecoder(2, event_shape=(3, 28, 30))


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"ResidualFeatures: expected shape \(..., 1, 4, 4\)"):
        ResidualEncoder(2, event_shape=(1, 4, 4), channels=2)(torch.zeros(5, 4, 4))
    with pytest.raises(ValueError, match=r"ResidualDecoder: expected shape \(..., 2\)"):
        ResidualDecoder(2, event_shape=(1, 4, 4), channels=2)(torch.zeros(5, 3))
