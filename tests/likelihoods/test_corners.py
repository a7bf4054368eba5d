"""Corners of the likelihoods: Stirling's remainder, the placeholder 0, wrong kinds of values."""

import math

import pytest
import torch
from mpmath import digamma, log, loggamma, mp, mpf, pi

from ppl_mm import likelihoods as kinds
from ppl_mm.likelihoods import densities
from ppl_mm.likelihoods.decoder import of_decoder
from ppl_mm.likelihoods.densities.stirling import stirling_remainder

close = torch.testing.assert_close
X = [1.0, 1.0 + 2**-20, 1.3, 2.0, 3.7, 8.0, 25.0, 1e3, 1e6, 1e12]


def remainder(x):
    """J(x) by its definition."""
    with mp.workdps(60):
        return float(loggamma(x) - (x - mpf(1) / 2) * log(x) + x - log(2 * pi) / 2)


def slope(x):
    with mp.workdps(60):
        return float(digamma(x) - log(x) + 1 / (2 * x))


@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 7e-12), (torch.float32, 1.2e-6)])
def test_stirlings_remainder_has_the_error_that_it_says(dtype, error):
    x = torch.tensor(X, dtype=dtype, requires_grad=True)
    found = stirling_remainder(x)
    exact = torch.tensor([remainder(mpf(c)) for c in x.tolist()], dtype=torch.float64)
    assert ((found.detach().double() - exact).abs() <= error).all()
    (gradient,) = torch.autograd.grad(found.sum(), x)
    exact = torch.tensor([slope(mpf(c)) for c in x.tolist()], dtype=torch.float64)
    assert ((gradient.double() - exact).abs() <= 10 * error).all()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_the_derivative_of_stirlings_remainder_goes_forward_too():
    x = torch.tensor([1.5, 40.0])
    found, tangent = torch.func.jvp(stirling_remainder, (x,), (torch.tensor([2.0, -3.0]),))
    close(found, stirling_remainder(x))
    expected = torch.tensor([2.0 * slope(mpf(1.5)), -3.0 * slope(mpf(40))])
    close(tangent, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_placeholder_of_a_missing_positive_value_has_a_finite_gradient(dtype):
    loc = torch.zeros(1, 2, dtype=dtype, requires_grad=True)
    x = torch.tensor([[0.0, 2.0]], dtype=dtype)
    p = densities.LogNormal(loc, torch.ones(1, 2, dtype=dtype))
    log_prob = p.log_prob(x)
    least = torch.tensor([[torch.finfo(dtype).tiny, 2.0]], dtype=dtype)
    assert torch.equal(log_prob, p.log_prob(least))
    (gradient,) = torch.autograd.grad(log_prob.sum(), loc)
    assert torch.equal(gradient, least.log())


# ------------------------------------------------------------------ wrong kinds


@pytest.mark.parametrize("likelihood", [kinds.SoftBernoulli(), kinds.ContinuousBernoulli()])
def test_grey_values_are_floating_point_numbers(likelihood):
    for values in (torch.tensor([[0, 1]]), torch.tensor([[False, True]])):
        with pytest.raises(ValueError, match=r"'m': expected floating-point values, got .* Write"):
            likelihood.check("m", values)


def test_positive_values_are_floating_point_numbers():
    with pytest.raises(ValueError, match=r"'m': expected floating-point values, got torch\.int64"):
        kinds.LogNormal().check("m", torch.tensor([[1, 2]]))


@pytest.mark.parametrize("rows", [2, 3])
def test_rows_of_one_tensor_are_no_parameters(rows):
    """A tensor of as many rows as there are parameters is still one parameter."""
    output = torch.ones(rows, 4)
    likelihood = kinds.ZeroInflatedNegativeBinomial() if rows == 3 else kinds.NegativeBinomial()
    with pytest.raises(ValueError, match="got Tensor"):
        likelihood(output)


def test_a_list_of_three_parameters_and_shared_numbers():
    logits, x = torch.randn(4, 3), torch.tensor([[0.0, 2.0, 5.0]] * 4)
    gate = torch.randn(4, 1)
    found = kinds.ZeroInflatedNegativeBinomial()([2.0, logits, gate]).log_prob(x)
    whole = (torch.full((4, 3), 2.0), logits, gate.expand(4, 3))
    close(found, kinds.ZeroInflatedNegativeBinomial()(whole).log_prob(x))
    assert found.shape == (4,)


def test_a_scale_for_each_row_keeps_its_row_among_particles():
    loc, scale, x = torch.randn(6, 4), torch.rand(6, 1) + 0.5, torch.randn(2, 3, 4)
    p = of_decoder(kinds.Normal(), (loc, scale), torch.Size([2, 3]), [4])
    each = torch.distributions.Normal(loc, scale).log_prob(x.reshape(6, 4)).sum(-1)
    close(p.log_prob(x), each.reshape(2, 3))


UNCHECKED = {
    "ContinuousBernoulli": (torch.zeros(2), torch.full((2,), 7.0)),
    "Poisson": (torch.zeros(2), torch.full((2,), 0.5)),
    "Categorical": (torch.zeros(2, 3), torch.tensor([0.0, 1.0])),
    "OneHotCategorical": (torch.zeros(2, 3), torch.full((2, 3), 0.5)),
}


@pytest.mark.parametrize("name", UNCHECKED)
def test_a_distribution_that_shall_check_nothing_checks_nothing_once_expanded(name):
    logits, x = UNCHECKED[name]
    p = getattr(densities, name)(logits, validate_args=False)
    wide = p.expand((4, 2))
    if name == "Categorical":
        x = x.long()
    assert p.log_prob(x).shape == (2,)
    assert wide.log_prob(x).shape == (4, 2)
    checked = getattr(densities, name)(logits, validate_args=True)
    wrong = torch.full_like(x, -1)
    for q in (checked, checked.expand((4, 2))):
        with pytest.raises(ValueError, match="support"):
            q.log_prob(wrong)


def test_a_total_count_in_single_precision_keeps_the_digits_of_its_log_mass():
    total, logits = torch.tensor([3e-5]), torch.tensor([1.5])
    k = torch.tensor([4.0])
    exact = densities.NegativeBinomial(total.float().double(), logits.double()).log_prob(k)
    found = densities.NegativeBinomial(total.float(), logits.float()).log_prob(k.float())
    assert found.dtype == torch.float32
    close(found.double(), exact, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("logit", [30.0, 39.0, 41.0, 60.0])
def test_moments_of_counts_where_softplus_turns_linear(logit):
    p = densities.NegativeBinomial(torch.tensor(2.0), torch.tensor(logit))
    close(p.mean, torch.tensor(2.0 * math.exp(logit)), rtol=1e-12, atol=0.0)
    expected = 2.0 * math.exp(logit) * (1.0 + math.exp(logit))
    close(p.variance, torch.tensor(expected), rtol=1e-12, atol=0.0)
