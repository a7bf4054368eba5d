from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ppl_mm import networks
from ppl_mm.networks.resnet import ResNet

RESNET_18 = {"widths": (64, 128, 256, 512), "blocks": 2, "stem": "7x7"}


@pytest.mark.parametrize(
    ("event_shape", "num_classes", "size"),
    [((1, 28, 28), 10, 11_175_370), ((3, 224, 224), 1000, 11_689_512)],
)
def test_resnet_18_has_its_published_number_of_parameters(event_shape, num_classes, size):
    with torch.device("meta"):
        network = ResNet(event_shape, num_classes, **RESNET_18)
    assert sum(p.numel() for p in network.parameters()) == size


@pytest.mark.parametrize(
    ("options", "sizes"), [({}, [14, 14, 7, 4]), (RESNET_18, [7, 7, 7, 4, 4, 2, 2, 1, 1])]
)
def test_sizes_of_maps(options, sizes):
    network = ResNet((1, 28, 28), **options).eval()
    maps = network.stem(torch.rand(2, 1, 28, 28))
    found = [maps.shape[-1]]
    for block in network.blocks:
        maps = block(maps)
        found.append(maps.shape[-1])
    assert found == sizes


def randomise(network):
    """Give batch normalisation statistics and weights of its own."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.bias):
                values.data.normal_()
            for values in (module.running_var, module.weight):
                values.data.uniform_(0.5, 2.0)


def normalised(x, convolution, norm, stride=1):
    """Convolution, then batch normalisation, in evaluation mode."""
    x = F.conv2d(x, convolution.weight, stride=stride, padding=convolution.weight.shape[-1] // 2)
    mean, var, weight, bias = (
        v.reshape(-1, 1, 1) for v in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


@pytest.mark.parametrize("stem", ["3x3", "7x7"])
def test_is_its_formula(stem):
    network = ResNet((2, 19, 22), 4, widths=(3, 5), blocks=1, stem=stem).eval()
    randomise(network)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    pairs = list(zip(layers[::2], layers[1::2], strict=True))
    assert len(pairs) == 1 + 2 + 3
    x = torch.rand(5, 2, 19, 22)
    h = F.relu(normalised(x, *pairs[0], stride=2))
    if stem == "7x7":
        h = F.max_pool2d(h, 3, 2, 1)
    h = F.relu(h + normalised(F.relu(normalised(h, *pairs[1])), *pairs[2]))
    branch = normalised(F.relu(normalised(h, *pairs[3], stride=2)), *pairs[4])
    h = F.relu(normalised(h, *pairs[5], stride=2) + branch)
    features = h.mean((2, 3))
    logits = F.linear(features, network.output.weight, network.output.bias)
    torch.testing.assert_close(network.features(x), features, atol=1e-12, rtol=0)
    torch.testing.assert_close(network(x), logits, atol=1e-12, rtol=0)


@pytest.mark.parametrize("leading", [(), (1,), (2, 3), (0,)])
def test_any_leading_dimensions(leading):
    network = ResNet((1, 28, 28), 7, widths=(4, 6)).eval()
    x = torch.rand(*leading, 1, 28, 28)
    assert network(x).shape == (*leading, 7)
    assert network.features(x).shape == (*leading, 6)


def test_statistics_of_the_batch_count_in_training_only():
    network = ResNet((1, 8, 8), 3, widths=(4,))
    x, other = torch.rand(4, 1, 8, 8), 5 * torch.rand(4, 1, 8, 8)
    both = torch.cat([x, other])
    assert not torch.allclose(network(x), network(both)[:4])
    network.eval()
    torch.testing.assert_close(network(x), network(both)[:4])


def test_learns_which_half_is_bright():
    network = ResNet((1, 16, 16), 2, widths=(4, 8))
    labels = torch.arange(32) % 2
    x = torch.rand(32, 1, 16, 16)
    x[labels == 1, :, :8] += 1.0
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        F.cross_entropy(network(x), labels).backward()
        optimizer.step()
    assert torch.equal(network.eval()(x).argmax(-1), labels)


def test_is_no_encoder_or_decoder():
    assert "ResNet" not in networks.__all__


def test_wrong_arguments_are_named():
    build = partial(ResNet, (1, 28, 28))
    with pytest.raises(ValueError, match="stem: expected '3x3' or '7x7', got '5x5'"):
        build(stem="5x5")
    for options in ({"widths": ()}, {"blocks": 0}):
        with pytest.raises(ValueError, match="at least one width and one block"):
            build(**options)
    with pytest.raises(ValueError, match=r"ResNet: expected shape \(..., 1, 28, 28\)"):
        build()(torch.zeros(28, 28))
