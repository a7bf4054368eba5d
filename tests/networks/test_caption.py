import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ppl_mm.likelihoods import Tokens
from ppl_mm.networks import CaptionDecoder, CaptionEncoder, CaptionFeatures

SMALL = {"length": 16, "vocab_size": 7, "embedding": 64, "channels": 2}
both_towers = pytest.mark.parametrize("tower", ["shared", "private"])


def randomised(network):
    """The network in evaluation, its batch normalisations far from the identity."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean):
                nn.init.normal_(tensor)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval().requires_grad_(False)


def normalised(layers, x, convolve, **geometry):
    """Convolution, batch normalisation, ReLU; the layers are taken from the front of the list."""
    convolution, norm, _ = (layers.pop(0) for _ in range(3))
    h = convolve(x, convolution.weight, **geometry)
    h = F.batch_norm(h, norm.running_mean, norm.running_var, norm.weight, norm.bias)
    return F.relu(h)


HALVED = {"stride": 2, "padding": 1}
WORDS = {"stride": (1, 2), "padding": (0, 1)}


@both_towers
def test_encoder_is_its_formula(tower):
    encoder = randomised(CaptionEncoder(3, tower=tower, scale="softplus", **SMALL))
    x = torch.randint(7, (5, 16))
    embedding = encoder.features.embedding
    h = F.linear(F.one_hot(x, 7).double(), embedding.weight, embedding.bias)
    h, layers = h.unsqueeze(1), list(encoder.features.convolutions)
    for _ in range(3):
        h = normalised(layers, h, F.conv2d, **HALVED)
    if tower == "shared":
        for _ in range(2):
            h = normalised(layers, h, F.conv2d, **WORDS)
    assert not layers
    assert h.shape == ((5, 32, 2, 2) if tower == "shared" else (5, 8, 2, 8))
    raw = F.linear(h.flatten(1), encoder.head.weight, encoder.head.bias)
    loc, scale = encoder(x)
    torch.testing.assert_close(loc, raw[:, :3], atol=1e-12, rtol=0)
    torch.testing.assert_close(scale, F.softplus(raw[:, 3:]) + 1e-6, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("max_channels", "last"), [(None, 32), (4, 4), (1, 1)])
def test_where_the_doubling_of_channels_ends(max_channels, last):
    features = CaptionFeatures(max_channels=max_channels, **SMALL)
    widths = [m.out_channels for m in features.convolutions if isinstance(m, nn.Conv2d)]
    assert widths == [2] + [min(2**i, last) for i in (2, 3, 4, 5)]
    assert features.out_features == last * 2 * 2


def test_decoder_is_its_formula():
    decoder = randomised(CaptionDecoder(5, private_features=2, **SMALL))
    u, w = torch.randn(4, 3), torch.randn(4, 2)
    stacks = []
    for features, stack, extra in ((u, decoder.shared, True), (w, decoder.private, False)):
        layers = list(stack)
        h = normalised(layers, features[:, :, None, None], F.conv_transpose2d)
        assert h.shape == (4, 32, 2, 2)
        h = normalised(layers, h, F.conv_transpose2d, **WORDS)
        if extra:
            h = normalised(layers, h, F.conv2d, padding=1)
        stacks.append(normalised(layers, h, F.conv_transpose2d, **WORDS))
        assert not layers
    layers = list(decoder.convolutions)
    h = normalised(layers, torch.cat(stacks, 1), F.conv2d, padding=1)
    h = normalised(layers, h, F.conv_transpose2d, **HALVED)
    h = normalised(layers, h, F.conv_transpose2d, **HALVED)
    h = F.relu(F.conv_transpose2d(h, layers[0].weight, layers[0].bias, **HALVED))
    assert h.shape == (4, 1, 16, 64)
    expected = F.linear(h.squeeze(1), decoder.output.weight, decoder.output.bias)
    found = decoder(torch.cat([u, w], -1))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("leading", [(), (1,), (2, 3)])
def test_one_hot_equals_integer(leading, dtype):
    encoder = randomised(CaptionEncoder(3, **SMALL)).to(dtype)
    captions = torch.randint(7, (*leading, 16))
    tolerance = 1e-4 if dtype == torch.float32 else 1e-12
    for one_hot in (F.one_hot(captions, 7).float(), F.one_hot(captions, 7).double()):
        for a, b in zip(encoder(captions), encoder(one_hot), strict=True):
            assert a.shape == (*leading, 3)
            torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


@both_towers
def test_gradients_of_integer_and_one_hot_captions_agree(tower):
    encoder = CaptionEncoder(3, tower=tower, **SMALL)
    captions = torch.randint(7, (5, 16))
    gradients = []
    for values in (captions, F.one_hot(captions, 7).double()):
        loc, scale = encoder(values)
        gradients.append(torch.autograd.grad((loc + scale).sum(), list(encoder.parameters())))
    for a, b in zip(*gradients, strict=True):
        assert a.isfinite().all()
        assert a.abs().sum() > 0
        torch.testing.assert_close(a, b, atol=1e-9, rtol=1e-9)


@both_towers
@pytest.mark.parametrize("leading", [(), (1,)])
def test_one_row_in_training(tower, leading):
    # batch normalisation averages over the pixels of a map as well
    loc, scale = CaptionEncoder(3, tower=tower, **SMALL)(torch.randint(7, (*leading, 16)))
    assert loc.shape == scale.shape == (*leading, 3)
    assert scale.isfinite().all()
    logits = CaptionDecoder(5, private_features=2, **SMALL)(torch.randn(*leading, 5))
    assert logits.shape == (*leading, 16, 7)
    assert logits.isfinite().all()


def test_shared_latent_comes_first():
    decoder = randomised(CaptionDecoder(5, private_features=2, **SMALL))
    features, seen = torch.randn(5), []
    for stack in (decoder.shared, decoder.private):
        stack.register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten()))
    decoder(features)
    assert torch.equal(seen[0], features[:3])
    assert torch.equal(seen[1], features[3:])


def test_logits_are_what_the_likelihood_takes():
    decoder = randomised(CaptionDecoder(5, private_features=2, **SMALL))
    logits, captions = decoder(torch.randn(3, 4, 5)), torch.randint(7, (4, 16))
    found = Tokens()(logits, batch_dims=2).log_prob(captions)
    expected = logits.log_softmax(-1).gather(-1, captions.expand(3, 4, 16)[..., None])
    torch.testing.assert_close(found, expected.sum((-1, -2)))


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"tower: expected 'shared' or 'private', got 'both'"):
        CaptionEncoder(2, tower="both")
    with pytest.raises(ValueError, match=r"below in_features = 5.*got 5"):
        CaptionDecoder(5, private_features=5)
    with pytest.raises(ValueError, match="private_features: expected an integer of at least 1"):
        CaptionDecoder(5, private_features=0)
    with pytest.raises(ValueError, match=r"CaptionFeatures: expected a length .* got 30 and 128"):
        CaptionEncoder(2, length=30)
    with pytest.raises(ValueError, match=r"CaptionDecoder: expected a length .* got 32 and 100"):
        CaptionDecoder(5, private_features=2, embedding=100)
    encoder = CaptionEncoder(2, **SMALL)
    with pytest.raises(ValueError, match=r"CaptionFeatures: expected shape \(..., 16\)"):
        encoder(torch.zeros(2, 15, dtype=torch.long))
    with pytest.raises(ValueError, match=r"one-hot captions: expected shape \(..., 16, 7\)"):
        encoder(torch.zeros(2, 16))
    with pytest.raises(ValueError, match=r"CaptionDecoder: expected shape \(..., 5\)"):
        CaptionDecoder(5, private_features=2, **SMALL)(torch.zeros(4))
