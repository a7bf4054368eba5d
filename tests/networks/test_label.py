import pytest
import torch
from torch.nn import functional as F

from ppl_mm.networks import BinaryEncoder, LabelEncoder, LabelFeatures


def test_encoder_is_its_formula():
    encoder = LabelEncoder(3, num_classes=4, hidden=(6, 5)).double()
    y = torch.tensor([2, 0, 3])
    table, w1, b1, w2, b2 = encoder.parameters()
    raw = F.linear(F.silu(F.linear(F.silu(table[y]), w1, b1)), w2, b2)
    loc, scale = encoder(y)
    torch.testing.assert_close(loc, raw[:, :3], atol=1e-14, rtol=0)
    torch.testing.assert_close(scale, (raw[:, 3:] / 2).exp(), atol=1e-14, rtol=0)


@pytest.mark.parametrize("shape", [(5,), (9,), (2, 6)])
def test_many_labels_run_each_class_once(shape):
    # Values and gradients are those of row by row, in the order of the labels.
    encoder = LabelEncoder(3, num_classes=4, hidden=(6, 5)).double()
    features = LabelFeatures(num_classes=4, hidden=(6, 5)).double()
    y = torch.randint(4, shape)
    for network in (encoder, features):
        rows = []
        hook = (network.features if network is encoder else network).hidden.register_forward_hook(
            lambda module, inputs, output, rows=rows: rows.append(len(output))
        )
        alone = [network(label) for label in y.flatten()]
        rows.clear()
        together = network(y)
        assert rows == [4]
        hook.remove()
        if network is features:
            alone, together = [(x,) for x in alone], (together,)
        alone = [torch.stack(each).view(*shape, -1) for each in zip(*alone, strict=True)]
        weight = [torch.randn_like(each) for each in alone]
        torch.testing.assert_close(list(together), alone, atol=1e-12, rtol=0)
        parameters = list(network.parameters())
        torch.testing.assert_close(
            torch.autograd.grad(list(together), parameters, weight),
            torch.autograd.grad(alone, parameters, weight),
            atol=1e-12,
            rtol=0,
        )


@pytest.mark.parametrize("label", [-1, 4])
@pytest.mark.parametrize("count", [1, 9])
def test_a_label_that_is_no_class_is_refused(label, count):
    y = torch.zeros(count, dtype=torch.long)
    y[-1] = label
    for network in (LabelEncoder(3, num_classes=4), LabelFeatures(num_classes=4)):
        with pytest.raises(IndexError):
            network(y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (2, 3)])
def test_one_hot_equals_integer_exactly(dtype, shape):
    encoder = LabelEncoder(64, num_classes=10).to(dtype)
    labels = torch.randint(10, shape)
    one_hot = F.one_hot(labels, 10).float()
    for integer, soft in zip(encoder(labels), encoder(one_hot), strict=True):
        assert integer.shape == (*shape, 64)
        assert torch.equal(integer, soft)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_any_integer_type(dtype):
    encoder = LabelEncoder(2, num_classes=5)
    labels = torch.tensor([0, 4, 2])
    assert torch.equal(encoder(labels.to(dtype))[0], encoder(labels)[0])


def test_floating_point_labels_without_classes_are_refused():
    with pytest.raises(ValueError, match=r"one-hot labels: expected shape \(..., 5\), got \(3,\)"):
        LabelEncoder(2, num_classes=5)(torch.zeros(3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bool, torch.int64])
@pytest.mark.parametrize("shape", [(), (2,), (3, 2)])
def test_binary_values_are_labels_of_two_classes(dtype, shape):
    # Shape (2,) is that of one one-hot row too: floating-point values must still count one by one.
    encoder = BinaryEncoder(3, hidden=(6, 5))
    values = torch.randint(2, shape)
    expected = LabelEncoder.forward(encoder, values)
    for found, wanted in zip(encoder(values.to(dtype)), expected, strict=True):
        assert found.shape == (*shape, 3)
        assert torch.equal(found, wanted)
