import pytest
import torch
from torch import distributions as dist

from ppl_mm.networks.layers import as_rows, dense, location_scale


def test_location_and_scale_from_mean_and_log_variance():
    raw = torch.tensor([[1.0, -2.0, 0.0, 1.4]], dtype=torch.float64)
    loc, scale = location_scale(raw)
    assert torch.equal(loc, raw[:, :2])
    torch.testing.assert_close(scale.square().log(), raw[:, 2:], atol=1e-14, rtol=0)


@pytest.mark.parametrize("s", [-1e30, -200.0, -80.0, 80.0, 200.0, 1e30])
def test_float32_extremes_are_finite_with_their_gradients(s):
    raw = torch.tensor([0.3, s], dtype=torch.float32, requires_grad=True)
    loc, scale = location_scale(raw)
    expert = dist.Normal(loc, scale)
    prior = dist.Normal(torch.zeros_like(loc), torch.ones_like(scale))
    z = expert.rsample()
    for value in (scale, scale.log(), expert.log_prob(z), dist.kl_divergence(expert, prior)):
        (gradient,) = torch.autograd.grad(value.sum(), raw, retain_graph=True)
        assert value.isfinite().all()
        assert gradient.isfinite().all()
    assert (scale > 0).all()
    assert (1 / scale.square()).isfinite().all()


@pytest.mark.parametrize(("s", "expected"), [(60.0, 0.5), (-60.0, 0.5), (200.0, 0.0)])
def test_gradient_of_log_scale_is_half_inside_the_bounds_and_zero_outside(s, expected):
    raw = torch.tensor([0.0, s], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(location_scale(raw)[1].log().sum(), raw)
    torch.testing.assert_close(gradient, torch.tensor([0.0, expected], dtype=torch.float64))


def test_odd_output_is_refused():
    with pytest.raises(ValueError, match=r"even last dimension.*\(4, 3\)"):
        location_scale(torch.zeros(4, 3))


@pytest.mark.parametrize("leading", [(), (1,), (4,), (2, 3), (2, 3, 4), (0,), (2, 0)])
def test_rows_keep_their_order(leading):
    values = torch.randn(*leading, 2, 5)
    rows, found = as_rows(values, (2, 5), "net")
    assert found == leading
    assert torch.equal(rows.reshape(values.shape), values)
    assert rows.dim() == 3


def test_wrong_event_shape_is_named():
    with pytest.raises(ValueError, match=r"net: expected shape \(..., 2, 5\), got \(3, 5, 2\)"):
        as_rows(torch.zeros(3, 5, 2), (2, 5), "net")
    with pytest.raises(ValueError, match=r"got \(5,\)"):
        as_rows(torch.zeros(5), (2, 5), "net")


def test_dense_order_of_layers():
    names = [type(m).__name__ for m in dense((4, 3, 2), batch_norm=True, dropout=0.1)]
    assert names == ["Linear", "BatchNorm1d", "SiLU", "Dropout"] * 2
    assert len(dense((4,))) == 0
