"""Divergences, row-wise references and stratified mixtures against torch and hand-written sums."""

import math

import pyro.distributions as dist
import pytest
import torch
from torch.distributions import kl_divergence

from ppl_mm.distributions import (
    EncodedMixture,
    RandomMixture,
    RowwiseReference,
    StratifiedMixture,
    kl,
)

ROUNDING = {"atol": 1e-12, "rtol": 1e-12}


def normal(*shape, dtype=torch.float64):
    loc, scale = torch.randn(*shape, dtype=dtype), torch.randn(*shape, dtype=dtype).exp()
    return dist.Normal(loc, scale).to_event(1)


def scalar(loc, variance):
    return dist.Normal(torch.tensor([loc]), torch.tensor([variance]).sqrt()).to_event(1)


# ---------------------------------------------------------------- kl


@pytest.mark.parametrize("lead", [(), (4,), (2, 4)])
def test_kl_is_torchs(lead):
    q, p = normal(*lead, 3), normal(3)
    torch.testing.assert_close(kl(q, p), kl_divergence(q, p.expand(lead)), **ROUNDING)
    assert kl(q, p).shape == lead


@pytest.mark.parametrize(
    ("q", "p", "value"),
    [
        # N(x1 / 2, 1 / 2) and N((x1 + x2) / 3, 1 / 3) at (1, 1) and (1, -1 / 2), SVAE reference.
        ((2 / 3, 1 / 3), (0.5, 0.5), 0.0638437),
        ((1 / 6, 1 / 3), (0.5, 0.5), 0.1471770),
        ((0.5, 0.5), (0.0, 1.0), 0.2215736),
        ((1.0, math.exp(-2)), (0.0, 1.0), 1.067668),
    ],
)
def test_kl_numbers_of_the_digests(q, p, value):
    assert kl(scalar(*q), scalar(*p)).item() == pytest.approx(value, abs=5e-7)


def test_kl_to_a_prior_that_is_one_for_all_rows():
    q = dist.Normal(torch.randn(2, 4, 3), torch.rand(2, 4, 3) + 0.1).to_event(1)
    one = dist.Normal(torch.randn(3), torch.rand(3) + 0.1).to_event(1)
    expected = torch.stack(
        [
            torch.stack(
                [kl(dist.Normal(q.mean[i, j], q.stddev[i, j]).to_event(1), one) for j in range(4)]
            )
            for i in range(2)
        ]
    )
    torch.testing.assert_close(kl(q, one.expand((2, 4))), expected, atol=1e-12, rtol=1e-12)
    row = dist.Normal(q.mean[0, 0], q.stddev[0, 0]).to_event(1)
    torch.testing.assert_close(
        kl(row, one.expand((2, 4))), expected[0, 0].expand(2, 4), atol=1e-12, rtol=1e-12
    )


def test_kl_is_zero_for_equal_and_positive_and_asymmetric_for_others():
    q, p = normal(50, 3), normal(50, 3)
    assert (kl(q, q) == 0).all()
    assert (kl(q, p) > 0).all()
    assert not torch.allclose(kl(q, p), kl(p, q))


@pytest.mark.parametrize("log10", [-30, -19, 19])
def test_kl_and_its_gradient_are_finite_in_float32_where_squares_are_not(log10):
    scale = torch.full((1,), 10.0**log10, dtype=torch.float32, requires_grad=True)
    q = dist.Normal(torch.zeros(1, dtype=torch.float32), scale).to_event(1)
    p = dist.Normal(torch.zeros(1, dtype=torch.float32), torch.ones(1)).to_event(1)
    value = kl(q, p)
    value.backward()
    expected = -log10 * math.log(10) + 0.5 * (10.0 ** (2 * log10) - 1)
    assert value.item() == pytest.approx(expected, rel=1e-5)  # float32
    assert scale.grad.isfinite().all()


def test_kl_of_other_families_is_the_registered_one():
    q, p = dist.Laplace(0.0, 1.0).to_event(0), dist.Laplace(1.0, 2.0)
    assert kl(q, p) == kl_divergence(q, p)
    full = torch.distributions.MultivariateNormal
    q, p = full(torch.zeros(2), torch.eye(2)), full(torch.ones(2), 2 * torch.eye(2))
    assert kl(q, p) == kl_divergence(q, p)


def test_unknown_divergence_is_an_error():
    with pytest.raises(NotImplementedError):
        kl(dist.StudentT(3.0, torch.zeros(3)).to_event(1), normal(3))


# ---------------------------------------------------------------- RowwiseReference

ROWS = torch.tensor([[True, False, True, False], [False, False, True, True]])


def test_reference_is_the_first_where_asked_and_the_second_elsewhere():
    first, second, q = normal(2, 4, 3), normal(3), normal(2, 4, 3)
    reference = RowwiseReference(ROWS, first, second)
    assert (reference.batch_shape, reference.event_shape) == ((2, 4), (3,))
    value = torch.randn(2, 4, 3)
    for s in range(2):
        for b in range(4):
            part = dist.Normal(*(getattr(first.base_dist, k)[s, b] for k in ("loc", "scale")))
            part = part.to_event(1) if ROWS[s, b] else second
            own = dist.Normal(q.base_dist.loc[s, b], q.base_dist.scale[s, b]).to_event(1)
            log_prob = reference.log_prob(value)[s, b]
            torch.testing.assert_close(log_prob, part.log_prob(value[s, b]), **ROUNDING)
            torch.testing.assert_close(kl(q, reference)[s, b], kl(own, part), **ROUNDING)


def test_divergence_from_a_reference_under_particles():
    first, second, q = normal(2, 4, 3), normal(3), normal(5, 2, 4, 3)
    found = kl(q, RowwiseReference(ROWS, first, second))
    expected = torch.where(ROWS, kl(q, first), kl(q, second))
    assert torch.equal(found, expected)


def test_expanded_reference_is_the_same():
    reference = RowwiseReference(ROWS, normal(2, 4, 3), normal(3))
    value = torch.randn(2, 4, 3)
    wide = reference.expand((6, 2, 4))
    assert wide.batch_shape == (6, 2, 4)
    assert torch.equal(wide.log_prob(value)[3], reference.log_prob(value))


def test_draws_of_a_reference_come_from_its_parts():
    sharp = dist.Normal(torch.full((2, 4, 3), 5.0), 1e-6).to_event(1)
    other = dist.Normal(torch.full((3,), -5.0), 1e-6).to_event(1)
    draws = RowwiseReference(ROWS, sharp, other).rsample((7,))
    assert draws.shape == (7, 2, 4, 3)
    assert torch.equal(draws[..., 0] > 0, ROWS.expand(7, 2, 4))


def test_gradients_stay_finite_in_rows_of_the_other_part():
    loc = torch.zeros(2, 4, 3, requires_grad=True)
    scale = torch.full((2, 4, 3), 1e-3, requires_grad=True)
    reference = RowwiseReference(ROWS, dist.Normal(loc, scale).to_event(1), normal(3))
    kl(normal(2, 4, 3), reference).sum().backward()
    for gradient in (loc.grad, scale.grad):
        assert gradient.isfinite().all()
        assert (gradient[~ROWS] == 0).all()
        assert (gradient[ROWS] != 0).all()


# ---------------------------------------------------------------- StratifiedMixture


def by_hand(components, log_weight, value):
    """log sum_c pi_c q_c(z) for values (..., S, B, Z), by a loop."""
    out = torch.zeros(value.shape[:-1])
    loc, scale = components.base_dist.loc, components.base_dist.scale
    for s in range(value.shape[-3]):
        for b in range(value.shape[-2]):
            each = [
                log_weight[c, b]
                + torch.distributions.Normal(loc[c, b], scale[c, b])
                .log_prob(value[..., s, b, :])
                .sum(-1)
                for c in range(len(log_weight))
            ]
            out[..., s, b] = torch.logsumexp(torch.stack(each), 0)
    return out


@pytest.mark.parametrize("lead", [(), (5,)])
def test_density_is_that_of_the_whole_mixture(lead):
    components = normal(3, 4, 2)
    log_weight = torch.randn(3, 4).log_softmax(0)
    mixture = StratifiedMixture(components, log_weight)
    value = torch.randn(*lead, 3, 4, 2)
    found = mixture.expand((*lead, 3, 4)).log_prob(value)
    torch.testing.assert_close(found, by_hand(components, log_weight, value), **ROUNDING)


def test_each_stratum_draws_from_its_own_component():
    loc = 10.0 * torch.arange(3.0).to(torch.float64)[:, None, None].expand(3, 4, 2)
    mixture = StratifiedMixture(dist.Normal(loc, 0.1).to_event(1), torch.full((3, 4), -math.log(3)))
    draws = mixture.expand((1000, 3, 4)).rsample()
    assert draws.shape == (1000, 3, 4, 2)
    error = 0.1 / math.sqrt(1000)
    # 24 means, each within 5 standard errors.
    assert ((draws.mean(0) - loc).abs() < 5 * error).all()


def test_component_without_probability_has_no_part_in_the_density():
    components = normal(2, 4, 3)
    log_weight = torch.tensor([[0.0], [-torch.inf]]).expand(2, 4)
    value = torch.randn(2, 4, 3)
    found = StratifiedMixture(components, log_weight).log_prob(value)
    first = dist.Normal(components.base_dist.loc[0], components.base_dist.scale[0]).to_event(1)
    torch.testing.assert_close(found, first.log_prob(value), **ROUNDING)


def test_mixture_of_equal_components_is_that_component():
    one = normal(4, 3)
    mixture = StratifiedMixture(one.expand((3, 4)), torch.randn(3, 4).log_softmax(0))
    value = torch.randn(3, 4, 3)
    torch.testing.assert_close(mixture.log_prob(value), one.log_prob(value), **ROUNDING)


def test_draws_are_reparameterised():
    loc = torch.zeros(2, 4, 3, requires_grad=True)
    mixture = StratifiedMixture(dist.Normal(loc, 1.0).to_event(1), torch.zeros(2, 4))
    mixture.rsample().sum().backward()
    assert torch.equal(loc.grad, torch.ones(2, 4, 3))


def test_mixture_has_no_analytic_divergence():
    # One component's must not silently stand for the mixture's.
    mixture = StratifiedMixture(normal(2, 4, 3), torch.zeros(2, 4))
    with pytest.raises(NotImplementedError):
        kl(mixture, normal(3))


def test_a_mixture_that_rows_share_has_its_density_in_the_rows_that_need_it():
    """Whatever lies around the rows: particles, strata, and values that all components score."""
    parts = [EncodedMixture(lambda: (torch.randn(4, 2), torch.ones(4, 2)), 2) for _ in range(2)]
    rows = torch.tensor([[True, False, True], [False, False, True]])
    first = dist.Normal(torch.randn(2, 3, 2), 1.0).to_event(1)
    for second in (parts[0], RandomMixture(parts, torch.zeros(2).log_softmax(0))):
        p = RowwiseReference(rows, first, second)
        for shape in ((2, 3), (5, 2, 3), (5, 4, 1, 3)):
            value = torch.randn(*shape, 2)
            expected = torch.where(rows, first.log_prob(value), second.log_prob(value))
            torch.testing.assert_close(p.log_prob(value), expected)
