import pytest
import torch
from torch.nn import functional as F

from ppl_mm import networks
from ppl_mm.networks import presets
from ppl_mm.networks.classifier import ImageClassifier, TrunkClassifier


@pytest.mark.parametrize(
    ("event_shape", "arch", "size"),
    [
        ((3, 28, 28), "strided", 130_568),
        ((1, 28, 28), "pooled", 260 + 5_020 + 320 * 50 + 50 + 510),
        ((3, 32, 32), "pooled", 760 + 5_020 + 500 * 50 + 50 + 510),
    ],
)
def test_number_of_parameters(event_shape, arch, size):
    classifier = ImageClassifier(event_shape, 10, arch=arch)
    assert sum(p.numel() for p in classifier.parameters()) == size


def test_strided_is_its_formula():
    classifier = ImageClassifier((2, 9, 14), 4, arch="strided").eval()
    x = torch.rand(5, 2, 9, 14)
    k1, b1, k2, b2, w1, c1, w2, c2 = classifier.parameters()
    h = F.relu(F.conv2d(x, k1, b1, stride=2, padding=1))
    h = F.relu(F.conv2d(h, k2, b2, stride=2, padding=1))
    features = F.relu(F.linear(h.flatten(1), w1, c1))
    torch.testing.assert_close(classifier.features(x), features, atol=1e-13, rtol=0)
    torch.testing.assert_close(classifier(x), F.linear(features, w2, c2), atol=1e-13, rtol=0)


def test_pooled_is_its_formula():
    classifier = ImageClassifier((2, 17, 21), 4, arch="pooled").eval()
    x = torch.rand(5, 2, 17, 21)
    k1, b1, k2, b2, w1, c1, w2, c2 = classifier.parameters()
    h = F.relu(F.max_pool2d(F.conv2d(x, k1, b1), 2))
    h = F.relu(F.max_pool2d(F.conv2d(h, k2, b2), 2))
    features = F.relu(F.linear(h.flatten(1), w1, c1))
    torch.testing.assert_close(classifier.features(x), features, atol=1e-13, rtol=0)
    torch.testing.assert_close(classifier(x), F.linear(features, w2, c2), atol=1e-13, rtol=0)


@pytest.mark.parametrize(("arch", "width"), [("strided", 128), ("pooled", 50)])
@pytest.mark.parametrize("leading", [(), (1,), (2, 3), (0,)])
def test_any_leading_dimensions(arch, width, leading):
    classifier = ImageClassifier((1, 28, 28), 7, arch=arch)
    x = torch.rand(*leading, 1, 28, 28)
    assert classifier(x).shape == (*leading, 7)
    assert classifier.features(x).shape == (*leading, width)


@pytest.mark.parametrize(("arch", "rates"), [("strided", [0.3] * 3), ("pooled", [0.3] * 2)])
def test_dropout_acts_in_training_only(arch, rates):
    classifier = ImageClassifier((1, 28, 28), arch=arch, dropout=0.3)
    dropouts = (torch.nn.Dropout, torch.nn.Dropout2d)
    assert [m.p for m in classifier.modules() if isinstance(m, dropouts)] == rates
    x = torch.rand(4, 1, 28, 28)
    assert not torch.equal(classifier(x), classifier(x))
    classifier.eval()
    assert torch.equal(classifier(x), classifier(x))


def test_learns_which_half_is_bright():
    classifier = ImageClassifier((1, 16, 16), 2, dropout=0.0)
    labels = torch.arange(32) % 2
    x = torch.rand(32, 1, 16, 16)
    x[labels == 1, :, :8] += 1.0
    optimizer = torch.optim.Adam(classifier.parameters(), lr=1e-3)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(classifier(x), labels).backward()
        optimizer.step()
    assert torch.equal(classifier(x).argmax(-1), labels)


def test_is_no_encoder_or_decoder():
    assert "ImageClassifier" not in networks.__all__


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match=r"expected 'strided' or 'pooled', got 'deep'"):
        ImageClassifier((1, 28, 28), arch="deep")
    with pytest.raises(ValueError, match=r"\(1, 15, 28\) is too small for 'pooled'"):
        ImageClassifier((1, 15, 28), arch="pooled")
    with pytest.raises(ValueError, match=r"ImageClassifier: expected shape \(..., 1, 28, 28\)"):
        ImageClassifier((1, 28, 28))(torch.zeros(28, 28))


def test_classifier_of_a_trunk():
    trunk = presets.cmmd_text_features(vocab_size=5)
    classifier = TrunkClassifier(trunk, 4)
    strings = torch.randint(5, (3, 8))
    expected = trunk(strings) @ classifier.output.weight.T + classifier.output.bias
    torch.testing.assert_close(classifier(strings), expected)
    assert torch.equal(classifier.features(strings), trunk(strings))
