"""Networks of strings of characters are their formulas."""

import pytest
import torch
from torch.nn import functional as F

from ppl_mm.likelihoods import Tokens
from ppl_mm.networks import CharacterDecoder, CharacterEncoder, CharacterFeatures


def test_features_are_their_formula():
    features = CharacterFeatures(vocab_size=5, channels=6)
    strings = torch.randint(5, (7, 8))
    w1, b1, w2, b2, w3, b3 = features.parameters()
    x = torch.eye(5)[strings].transpose(1, 2)
    h = F.relu(F.conv1d(x, w1, b1))
    assert h.shape == (7, 6, 8)
    h = F.relu(F.conv1d(h, w2, b2, stride=2, padding=1))
    assert h.shape == (7, 6, 4)
    expected = F.relu(F.conv1d(h, w3, b3, stride=2))
    torch.testing.assert_close(features(strings), expected.squeeze(-1), atol=1e-14, rtol=0)


def test_one_hot_strings_are_integer_strings():
    encoder = CharacterEncoder(3, vocab_size=5, channels=6)
    strings = torch.randint(5, (2, 7, 8))
    for a, b in zip(encoder(strings), encoder(torch.eye(5)[strings]), strict=True):
        torch.testing.assert_close(a, b, atol=1e-14, rtol=0)


def test_decoder_is_its_formula():
    decoder = CharacterDecoder(3, vocab_size=5, channels=6)
    z = torch.randn(7, 3)
    w1, b1, w2, b2, w3, b3, w4, b4 = decoder.parameters()
    h = F.linear(z, w1, b1).unsqueeze(-1)  # no activation
    h = F.relu(F.conv_transpose1d(h, w2, b2))
    assert h.shape == (7, 6, 4)
    h = F.relu(F.conv_transpose1d(h, w3, b3, stride=2, padding=1))
    expected = F.conv1d(h, w4, b4).transpose(1, 2)
    torch.testing.assert_close(decoder(z), expected, atol=1e-14, rtol=0)
    rows = Tokens()(decoder(z)).base_dist.probs.sum(-1)
    torch.testing.assert_close(rows, torch.ones(7, 8), atol=1e-12, rtol=0)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"CharacterFeatures: .*\(..., 8, 5\), got \(3, 7, 5\)"):
        CharacterFeatures(vocab_size=5)(torch.zeros(3, 7, dtype=torch.long))
    with pytest.raises(ValueError, match=r"CharacterDecoder: .*\(..., 3\), got \(3, 4\)"):
        CharacterDecoder(3)(torch.zeros(3, 4))
