"""Products and quotients of Normals against their textbook precision form."""

import itertools
import math

import pyro.distributions as dist
import pytest
import torch

from ppl_mm.distributions import (
    kl,
    normal_quotient,
    product_of_experts,
    quotient_of_experts,
)
from ppl_mm.networks.scales import location_scale

ROUNDING = {"atol": 1e-12, "rtol": 1e-12}
STANDARD = (torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
EXTREME_LOGS = [-200.0, -80.0, -1.0, 0.0, 1.0, 80.0, 200.0]


def standard(size, dtype=torch.float64):
    return torch.zeros(size, dtype=dtype), torch.ones(size, dtype=dtype)


def experts(num, rows=6, size=3, spread=1.0):
    loc = torch.randn(num, rows, size)
    return loc, (spread * torch.randn(num, rows, size)).exp()


def every_subset(num):
    """Source masks (M, S, 1) -> expand over rows: all 2^M subsets as strata."""
    return torch.cartesian_prod(*[torch.tensor([False, True])] * num).reshape(-1, num).T[..., None]


def naive_product(loc, scale, source, prior, prior_expert=True):
    """The precision form, by a loop over experts."""
    precision = prior[1] ** -2 * torch.ones_like(loc[0]) * float(prior_expert)
    shift = prior[0] * precision
    for m in range(len(loc)):
        on = source[m][..., None].to(loc.dtype)
        precision = precision + on * scale[m] ** -2
        shift = shift + on * loc[m] * scale[m] ** -2
    return shift / precision, precision**-0.5


def one(loc, variance, prior_expert=True, prior=STANDARD):
    """A product of scalar experts, its (mean, variance)."""
    loc, variance = (torch.tensor(v).reshape(-1, 1, 1) for v in (loc, variance))
    source = torch.ones(len(loc), 1, dtype=torch.bool)
    q = product_of_experts(loc, variance.sqrt(), source, prior, prior_expert)
    return q.mean.item(), q.variance.item()


# ---------------------------------------------------------------- products


@pytest.mark.parametrize(
    ("loc", "variance", "prior_expert", "expected"),
    [
        ([2.0], [1.0], True, (1.0, 0.5)),
        ([2.0], [1.0], False, (2.0, 1.0)),
        ([1.0, -1.0], [0.5, 0.25], False, (-1 / 3, 1 / 6)),
        ([1.0, -1.0], [0.5, 0.25], True, (-2 / 7, 1 / 7)),
        ([0.3] * 5, [2.0] * 5, False, (0.3, 0.4)),
        # The linear-Gaussian fixture of the MVAE reference: a ~ N(2 z, 1), b ~ N(z / 2, 2^2).
        ([0.5], [1 / 4], True, (0.4, 0.2)),
        ([-2.0], [16.0], True, (-2 / 17, 16 / 17)),
        ([0.5, -2.0], [1 / 4, 16.0], True, (10 / 27, 16 / 81)),
    ],
)
def test_closed_forms(loc, variance, prior_expert, expected):
    assert one(loc, variance, prior_expert) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("loc", "variance", "mean", "deviation"),
    [
        ([0.5], [1 / 4], 0.4, 0.447214),
        ([-2.0], [16.0], -0.117647, 0.970143),
        ([0.5, -2.0], [1 / 4, 16.0], 0.370370, 0.444444),
    ],
)
def test_numbers_of_the_mvae_digest(loc, variance, mean, deviation):
    found = one(loc, variance)
    assert (found[0], math.sqrt(found[1])) == pytest.approx((mean, deviation), abs=5e-7)


def test_the_normaliser_of_a_product_is_the_density_of_one_mean_about_the_other():
    # N(z; m1, v1) N(z; m2, v2) = Z N(z; product), for every z: log Z = log N(m1; m2, v1 + v2).
    means, variances = [0.3, -0.2], [0.5, 0.25]
    loc, variance = one(means, variances, False)
    for z in (-1.0, 0.1, 2.0):
        z = torch.tensor(z)
        each = sum(
            torch.distributions.Normal(m, v**0.5).log_prob(z)
            for m, v in zip(means, variances, strict=True)
        )
        whole = torch.distributions.Normal(loc, variance**0.5).log_prob(z)
        assert (each - whole).item() == pytest.approx(-0.9417642, abs=1e-7)


def test_vague_expert_leaves_the_prior_and_costs_nothing():
    loc, scale = torch.full((1, 1, 1), 3.0), torch.full((1, 1, 1), 1e12)
    q = product_of_experts(loc, scale, torch.ones(1, 1, dtype=torch.bool), STANDARD)
    # T = 1 + 1e-24
    assert (q.mean.item(), q.stddev.item()) == pytest.approx((0.0, 1.0), abs=1e-12)
    assert kl(q, dist.Normal(*STANDARD).to_event(1)).item() == pytest.approx(0.0, abs=1e-12)


def test_certain_expert_decides_alone():
    mean, variance = one([3.0, -1.0], [1e-20, 1.0])
    assert mean == pytest.approx(3.0, abs=1e-12)
    assert variance == pytest.approx(1e-20, rel=1e-12)


@pytest.mark.parametrize("prior_expert", [True, False])
@pytest.mark.parametrize("prior", [(0.0, 1.0), (-1.3, 0.4)])
def test_softmax_form_is_the_precision_form_for_every_subset(prior, prior_expert):
    loc, scale = experts(4)
    source = every_subset(4).expand(-1, -1, 6)
    prior = tuple(torch.full((3,), p) for p in prior)
    q = product_of_experts(loc, scale, source, prior, prior_expert)
    assert q.batch_shape == (16, 6)
    some = slice(0 if prior_expert else 1, None)  # no prior and nothing else: 0 / 0
    mean, deviation = naive_product(loc[:, None], scale[:, None], source, prior, prior_expert)
    torch.testing.assert_close(q.mean[some], mean[some], **ROUNDING)
    torch.testing.assert_close(q.stddev[some], deviation[some], **ROUNDING)
    assert torch.equal(q.mean[0], prior[0].expand(6, 3))  # the empty subset is the prior
    assert torch.equal(q.stddev[0], prior[1].expand(6, 3)) or prior[1][0] != 1
    torch.testing.assert_close(q.stddev[0], prior[1].expand(6, 3), **ROUNDING)


@pytest.mark.parametrize("strata", [(), (5,)])
def test_rows_that_differ_are_as_each_among_rows_alike(strata):
    loc, scale = experts(3)
    source = torch.rand(3, *strata, 6) < 0.6
    source[..., 0], source[..., 1] = True, False  # they do differ
    q = product_of_experts(loc, scale, source, standard(3))
    for row in range(6):
        alike = source[..., row, None].expand(source.shape)
        p = product_of_experts(loc, scale, alike, standard(3))
        torch.testing.assert_close(q.mean[..., row, :], p.mean[..., row, :], **ROUNDING)
        torch.testing.assert_close(q.stddev[..., row, :], p.stddev[..., row, :], **ROUNDING)


def test_a_subset_that_comes_again_is_the_same_in_value_and_gradient():
    loc, scale = (x.requires_grad_() for x in experts(3))
    subsets = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 0, 1], [0, 0, 0], [0, 1, 1]]) > 0
    source = subsets.T[..., None].expand(-1, -1, 6)
    q = product_of_experts(loc, scale, source, standard(3), False)
    each = [product_of_experts(loc, scale, m, standard(3), False) for m in source.unbind(1)]
    mean, stddev = torch.stack([p.mean for p in each]), torch.stack([p.stddev for p in each])
    assert torch.equal(q.mean, mean)
    assert torch.equal(q.stddev, stddev)
    weight = torch.randn_like(mean)
    found, expected = (
        torch.autograd.grad((weight * (a + b)).sum(), (loc, scale))
        for a, b in ((q.mean, q.stddev), (mean, stddev))
    )
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, **ROUNDING)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_order_of_experts_does_not_matter(order):
    loc, scale = experts(3)
    source = torch.rand(3, 6) < 0.6
    first = product_of_experts(loc, scale, source, standard(3))
    order = list(order)
    other = product_of_experts(loc[order], scale[order], source[order], standard(3))
    torch.testing.assert_close(first.mean, other.mean, **ROUNDING)
    torch.testing.assert_close(first.stddev, other.stddev, **ROUNDING)


def test_products_are_associative():
    loc, scale = experts(3)
    on = torch.ones(3, 6, dtype=torch.bool)
    pair = product_of_experts(loc[:2], scale[:2], on[:2], standard(3), prior_expert=False)
    nested = product_of_experts(
        torch.stack([pair.mean, loc[2]]), torch.stack([pair.stddev, scale[2]]), on[:2], standard(3)
    )
    whole = product_of_experts(loc, scale, on, standard(3))
    torch.testing.assert_close(nested.mean, whole.mean, **ROUNDING)
    torch.testing.assert_close(nested.stddev, whole.stddev, **ROUNDING)


def test_another_prior_is_the_standard_one_in_whitened_coordinates():
    loc, scale = experts(3)
    source = torch.rand(3, 6) < 0.6
    prior = torch.tensor([1.0, -2.0, 0.3]), torch.tensor([0.2, 1.0, 5.0])
    for combine in (product_of_experts, lambda *a: quotient_of_experts(*a, 3)):
        direct = combine(loc, scale, source, prior)
        white = combine((loc - prior[0]) / prior[1], scale / prior[1], source, standard(3))
        torch.testing.assert_close(direct.mean, prior[0] + prior[1] * white.mean, **ROUNDING)
        torch.testing.assert_close(direct.stddev, prior[1] * white.stddev, **ROUNDING)


def test_evidence_never_widens_and_the_posterior_is_narrower_than_the_prior():
    loc, scale = experts(4, spread=2.0)
    deviation = prior = torch.ones(6, 3)
    for num in range(1, 5):
        source = (torch.arange(4) < num)[:, None].expand(4, 6)
        narrower = product_of_experts(loc, scale, source, standard(3)).stddev
        assert (narrower < deviation).all()
        deviation = narrower
    assert (deviation < prior).all()


def test_experts_off_the_source_do_not_matter():
    loc, scale = experts(3)
    source = torch.tensor([[True], [False], [True]]).expand(3, 6)
    clean = product_of_experts(loc, scale, source, standard(3))
    loc[1], scale[1] = 1e30, 1e-30
    junk = product_of_experts(loc, scale, source, standard(3))
    absent = product_of_experts(loc[[0, 2]], scale[[0, 2]], source[[0, 2]], standard(3))
    for other in (junk, absent):
        assert torch.equal(clean.mean, other.mean)
        assert torch.equal(clean.stddev, other.stddev)


@pytest.mark.parametrize("prior_expert", [True, False])
@pytest.mark.parametrize("combine", ["product", "quotient"])
def test_finite_values_and_gradients_in_float32_at_extreme_log_variances(combine, prior_expert):
    logs = torch.tensor(list(itertools.product(EXTREME_LOGS, repeat=2)), dtype=torch.float32).T
    raw = torch.stack([torch.ones_like(logs), logs], -1).requires_grad_()  # (2, B, 2): loc, s
    loc, scale = location_scale(raw)
    source = every_subset(2).expand(-1, -1, logs.shape[1])
    prior = standard(1, torch.float32)
    q = (
        product_of_experts(loc, scale, source, prior, prior_expert)
        if combine == "product"
        else quotient_of_experts(loc, scale, source, prior, 2)
    )
    divergence = kl(q, dist.Normal(*prior).to_event(1))
    for value in (q.mean, q.stddev, divergence):
        assert value.isfinite().all()
    assert (q.stddev > 0).all()
    (divergence.clamp(max=1e30).sum() + q.rsample().sum()).backward()
    assert raw.grad.isfinite().all()


@pytest.mark.parametrize("log10", [-30, -15, 0, 15, 30])
def test_finite_values_and_gradients_in_float32_at_extreme_scales(log10):
    loc = torch.tensor([[[1.0]], [[-1.0]]], dtype=torch.float32, requires_grad=True)
    scale = torch.tensor([[[10.0**log10]], [[1.0]]], dtype=torch.float32, requires_grad=True)
    source = every_subset(2)
    for prior_expert in (True, False):
        prior = standard(1, torch.float32)
        q = product_of_experts(loc, scale, source, prior, prior_expert)
        assert q.mean.isfinite().all()
        scale_of_q = q.base_dist.scale  # q.stddev squares and takes the root: 1e-30 is lost
        assert (scale_of_q > 0).all()
        (q.mean.sum() + scale_of_q.log().sum()).backward()
        assert loc.grad.isfinite().all()
        assert scale.grad.isfinite().all()


# ---------------------------------------------------------------- quotients of two


def test_quotient_undoes_a_product():
    loc, scale = experts(2)
    on = torch.ones(2, 6, dtype=torch.bool)
    q = product_of_experts(loc, scale, on, standard(3), prior_expert=False)
    mean, deviation = normal_quotient(q.mean, q.stddev, loc[1], scale[1])
    # Subtraction loses what the product gained: relative precision T_A / (T_A + T_B).
    lost = ((scale[0] / scale[1]) ** 2 + 1).max().item()
    torch.testing.assert_close(mean, loc[0], atol=1e-14 * lost**2, rtol=1e-14 * lost**2)
    torch.testing.assert_close(deviation, scale[0], atol=0, rtol=1e-14 * lost**2)


@pytest.mark.parametrize("divisor", [1.0, 0.5])
def test_quotient_by_a_divisor_that_is_not_wider_is_an_error(divisor):
    one = torch.ones(())
    with pytest.raises(ValueError, match="needs a divisor that is wider"):
        normal_quotient(one, one, one, divisor * one)


# ---------------------------------------------------------------- quotient of experts, MVAE-Q


def unsqueeze_variance(variance, num):
    """The network's variance V that the squeeze N/(N-1) V / (1 + V) turns into ``variance``."""
    share = variance * (num - 1) / num
    return share / (1 - share)


@pytest.mark.parametrize("num", [2, 3, 4])
def test_quotient_of_regularised_experts_is_the_product_for_every_subset(num):
    loc, scale = experts(num)
    source = every_subset(num).expand(-1, -1, 6)
    product = product_of_experts(loc, scale, source, standard(3))
    variance = 1 / (1 + scale**-2)  # q_m = prior * expert
    network_scale = unsqueeze_variance(variance, num).sqrt()
    quotient = quotient_of_experts(
        variance * scale**-2 * loc, network_scale, source, standard(3), num
    )
    torch.testing.assert_close(quotient.mean, product.mean, atol=1e-11, rtol=1e-11)
    torch.testing.assert_close(quotient.stddev, product.stddev, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("num", [1, 2, 3, 5])
def test_one_expert_is_its_own_posterior_and_none_the_prior(num):
    loc, scale = experts(num)
    source = torch.zeros(num, 6, dtype=torch.bool)
    prior = torch.full((3,), 0.5), torch.full((3,), 1.5)
    nothing = quotient_of_experts(loc, scale, source, prior, num)
    torch.testing.assert_close(nothing.mean, prior[0].expand(6, 3), **ROUNDING)
    torch.testing.assert_close(nothing.stddev, prior[1].expand(6, 3), **ROUNDING)
    source[0] = True
    own = quotient_of_experts(loc, scale, source, prior, num)
    variance = (scale[0] / prior[1]) ** 2  # in units of the prior's
    if num > 1:
        variance = num / (num - 1) * variance / (1 + variance)
    torch.testing.assert_close(own.mean, loc[0], **ROUNDING)
    torch.testing.assert_close(own.stddev, prior[1] * variance.sqrt(), **ROUNDING)


@pytest.mark.parametrize("num", [2, 3, 19])
@pytest.mark.parametrize("extreme", [False, True])
def test_every_quotient_is_proper(num, extreme):
    logs = torch.tensor(EXTREME_LOGS)
    raw = torch.randn(num, 50, 2) * 3
    if extreme:
        raw[..., 1] = logs[torch.randint(len(logs), (num, 50))]
        raw[:, 0, 1] = 200.0
    loc, scale = location_scale(raw)
    for size in range(1, num + 1):
        source = (torch.arange(num) < size)[:, None].expand(num, 50)
        q = quotient_of_experts(loc, scale, source, standard(1), num)
        assert q.mean.isfinite().all()
        assert ((q.stddev > 0) & (q.stddev <= 1e3 * (1 + 1e-12))).all()  # T is kept at 1e-6


@pytest.mark.parametrize("num", [2, 3, 19])
def test_variances_above_the_limit_have_no_proper_quotient(num):
    # Why the networks' variances are squeezed, and that the limit is N / (N - 1).
    def precision(variance, size):
        return size / variance - (size - 1)

    limit = num / (num - 1)
    assert precision(1.001 * limit, num) < 0
    assert all(precision(0.999 * limit, size) > 0 for size in range(1, num + 1))


@pytest.mark.parametrize("num", [2, 3, 6])
def test_quotient_is_the_plain_formula_where_that_is_safe(num):
    loc, scale = experts(num)
    source = torch.rand(num, 6) < 0.7
    q = quotient_of_experts(loc, scale, source, standard(3), num)
    variance = num / (num - 1) * scale**2 / (1 + scale**2)
    on = source[..., None].to(loc.dtype)
    precision = (on / variance).sum(0) - (on.sum(0) - 1)
    mean = (on * loc / variance).sum(0) / precision
    safe = precision > 1e-3  # the plain formula subtracts numbers of size N
    torch.testing.assert_close(q.mean[safe], mean[safe], atol=1e-10, rtol=1e-10)
    torch.testing.assert_close(q.variance[safe], 1 / precision[safe], atol=1e-10, rtol=1e-10)


def test_quotient_gradients_are_those_of_the_plain_formula():
    num = 3
    loc, scale = (x.requires_grad_() for x in experts(num, rows=2, size=1, spread=0.3))
    source = torch.tensor([[True, True], [True, False], [False, True]])
    q = quotient_of_experts(loc, scale, source, standard(1), num)
    found = torch.autograd.grad(q.mean.sum() + q.stddev.log().sum(), [loc, scale])
    variance = num / (num - 1) * scale**2 / (1 + scale**2)
    on = source[..., None].to(loc.dtype)
    precision = (on / variance).sum(0) - (on.sum(0) - 1)
    mean = (on * loc / variance).sum(0) / precision
    plain = torch.autograd.grad(mean.sum() - 0.5 * precision.log().sum(), [loc, scale])
    for a, b in zip(found, plain, strict=True):
        torch.testing.assert_close(a, b, atol=1e-11, rtol=1e-11)
