import pytest
import torch
from torch import distributions as dist

from ppl_mm.networks.scales import LocationScale, location_scale


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


def test_softmax_scales_sum_to_the_number_of_dimensions():
    raw = 5 * torch.randn(4, 2, 14)
    loc, scale = location_scale(raw, "softmax")
    assert torch.equal(loc, raw[..., :7])
    torch.testing.assert_close((scale - 1e-6).sum(-1), torch.full((4, 2), 7.0))
    ratios = (scale - 1e-6).log().diff(dim=-1)
    torch.testing.assert_close(ratios, raw[..., 7:].diff(dim=-1))
    assert (scale[0, 0] - 1).abs().max() > 0.5


def test_softplus_scale_is_its_formula():
    raw = torch.linspace(-30, 30, 14)
    loc, scale = location_scale(raw, "softplus")
    assert torch.equal(loc, raw[:7])
    torch.testing.assert_close(scale, raw[7:].exp().log1p() + 1e-6)


@pytest.mark.parametrize("min_scale", [None, 0.0, 0.25])
def test_softplus_is_the_variance(min_scale):
    raw = torch.linspace(-30, 30, 14)
    loc, scale = location_scale(raw, "softplus_variance", min_scale)
    floor = 1e-6 if min_scale is None else min_scale
    assert torch.equal(loc, raw[:7])
    torch.testing.assert_close(scale, (raw[7:].exp().log1p() + floor).sqrt())
    low = location_scale(torch.tensor([0.0, -200.0]), "softplus_variance", min_scale)[1]
    torch.testing.assert_close(low, torch.tensor([floor]).sqrt())


def test_gradients_of_a_variance_that_underflows_are_finite():
    raw = torch.tensor([0.0, 0.0, -200.0, 200.0], dtype=torch.float32, requires_grad=True)
    _, scale = location_scale(raw, "softplus_variance")
    assert scale[0] == torch.tensor(1e-6, dtype=torch.float32).sqrt()
    (gradient,) = torch.autograd.grad(scale.log().sum(), raw)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("scale", "at_zero"), [("exp", 1.0), ("softplus", 2.0), ("softmax", 1.0)])
@pytest.mark.parametrize("min_scale", [None, 0.0, 0.25])
def test_scales_at_zero_and_what_is_added(scale, at_zero, min_scale):
    at_zero = torch.tensor(2.0).log() if scale == "softplus" else torch.tensor(at_zero)
    added = min_scale if min_scale is not None else 0.0 if scale == "exp" else 1e-6
    found = location_scale(torch.zeros(3, 8), scale, min_scale)[1]
    torch.testing.assert_close(found, (at_zero + added).expand(3, 4), atol=1e-15, rtol=0)


@pytest.mark.parametrize("scale", ["softplus", "softmax"])
def test_float32_underflow_leaves_the_smallest_scale(scale):
    raw = torch.tensor([0.0, 0.0, -200.0, 200.0], dtype=torch.float32, requires_grad=True)
    _, found = location_scale(raw, scale)
    assert found[0] == torch.tensor(1e-6, dtype=torch.float32)
    (gradient,) = torch.autograd.grad(found.log().sum(), raw)
    assert gradient.isfinite().all()


def test_divergence_of_a_laplace_expert():
    # KL(Laplace(m, b) || Laplace(0, 1)) = |m| + b exp(-|m| / b) - 1 - log b, a dimension
    loc, scale = location_scale(torch.randn(5, 12), "softmax")
    kl = loc.abs() + scale * (-loc.abs() / scale).exp() - 1 - scale.log()
    prior = dist.Laplace(torch.zeros_like(loc), torch.ones_like(loc))
    torch.testing.assert_close(kl, dist.kl_divergence(dist.Laplace(loc, scale), prior))


@pytest.mark.parametrize("make", [LocationScale, lambda *a: location_scale(torch.zeros(2), *a)])
def test_wrong_options_of_the_scale_are_named(make):
    with pytest.raises(ValueError, match=r"one of 'exp', 'softplus', .*'softmax', got 'square'"):
        make("square")
    for wrong in (-1e-6, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"min_scale of an encoder: expected at least 0"):
            make("softmax", wrong)
