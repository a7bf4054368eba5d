"""The MMD: closed forms, exact zeros, symmetries, and the bias of each estimator."""

import math

import pytest
import torch
from torch.distributions import Independent, Laplace, Normal

from ppl_mm.objectives import MMD, kernel_width, squared_mmd, squared_mmd_of_normals

EXACT = {"atol": 1e-12, "rtol": 0}


def close(found, expected, **options):
    torch.testing.assert_close(found, expected, **{**EXACT, **options})


def shifted(dim, length):
    """Normal(0, I) and Normal(delta, I) with |delta| = length, as mixtures of one component."""
    one = torch.ones(1, dim)
    return (0.0 * one, one), (one * length / math.sqrt(dim), one)


# ---------------------------------------------------------------- the kernel


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [("dim2", math.exp(-2 / 4)), ("dim", math.exp(-2 / 2)), (0.5, 0.0183156)],
)
def test_kernel_of_two_points(kernel, expected):
    a, b = torch.tensor([[0.3, 2.0]]), torch.tensor([[1.3, 3.0]])
    found = squared_mmd(a, b, kernel_width(kernel, a, b))
    close(found, torch.tensor(2.0 - 2.0 * expected), atol=1e-6)


def test_the_median_is_that_of_all_pairs_of_both_pools():
    x, y = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    width = kernel_width("median", x, y)
    pool = torch.cat([x, y], 1)
    for s in range(2):
        pairs = torch.nn.functional.pdist(pool[s]).square()
        close(width[s], pairs.median()[None, None])
    same = torch.ones(1, 4, 3)
    assert kernel_width("median", same, same).item() == 1.0


def test_the_median_is_a_constant_and_of_several_draws_its_mean():
    loc, scale = torch.randn(4, 2, requires_grad=True), torch.rand(4, 2) + 0.3
    q, p = Independent(Normal(loc, scale), 1), Independent(Normal(0.5 * loc, scale), 1)
    draws = q.rsample((3,)), p.rsample((3,))
    width = kernel_width("median", *draws)
    assert not width.requires_grad
    assert width.min() < width.max()
    close(
        MMD("median", "analytic")(q, p, draws, matched=False),
        squared_mmd_of_normals((loc, scale), (0.5 * loc, scale), width.mean()),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "dims"}, "'median' or a finite number above 0, got 'dims'. Did you mean 'dim'"),
        ({"kernel": 0.0}, "kernel: .*above 0, got 0.0"),
        ({"estimator": "unbiassed"}, "Did you mean 'unbiased'"),
    ],
)
def test_unknown_choices_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MMD(**options)


# ---------------------------------------------------------------- the V-statistic


def test_the_biased_estimator_is_a_squared_distance():
    x, y, width = torch.randn(30, 4), 2.0 * torch.randn(30, 4) + 1.0, 4.0
    found = squared_mmd(x, y, width)
    assert 0.0 < found < 2.0
    assert squared_mmd(x, x.clone(), width) == 0.0
    close(squared_mmd(y, x, width), found)
    close(squared_mmd(x[torch.randperm(30)], y, width), found)
    close(squared_mmd(x + 3.0, y + 3.0, width), found)
    close(squared_mmd(x + 1e6, y + 1e6, width), found, atol=1e-9)  # no digits are lost
    rotation = torch.linalg.qr(torch.randn(4, 4))[0]
    close(squared_mmd(x @ rotation, y @ rotation, width), found)
    far = squared_mmd(torch.zeros(3, 2), torch.full((3, 2), 1e6), width)
    close(far, torch.tensor(2.0))


@pytest.mark.parametrize("autocast", [False, True])
def test_single_precision_keeps_its_digits_where_the_kernel_is_wide(autocast):
    x, y = torch.randn(128, 64), 1.1 * torch.randn(128, 64)  # k > 0.9: 1 - k has few digits
    expected = squared_mmd(x, y, 64.0**2)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = squared_mmd(x.float(), y.float(), 64.0**2)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def test_the_gradient_is_zero_where_the_pools_are_the_same():
    x = torch.randn(20, 3, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    squared_mmd(x, y, 3.0).backward()
    for z in (x, y):
        close(z.grad, torch.zeros(20, 3), atol=1e-16)


def test_with_a_wide_kernel_it_matches_means():
    dim = 50
    x, y = torch.randn(400, dim), torch.randn(400, dim) + 0.3
    means = 2.0 * (x.mean(0) - y.mean(0)).square().sum() / dim**2
    assert squared_mmd(x, y, float(dim**2)) / means == pytest.approx(1.0, abs=0.1)


# ---------------------------------------------------------------- Normals


@pytest.mark.parametrize(("width", "expected"), [(20.0, 0.013182), (400.0, 0.0044761)])
def test_closed_form_of_two_normals(width, expected):
    found = squared_mmd_of_normals(*shifted(20, 1.0), width)
    exact = 2 * (1 + 4 / width) ** -10 * (1 - math.exp(-1 / (width + 4)))
    close(found, torch.tensor(exact))
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_closed_form_of_mixtures_is_the_integral():
    torch.manual_seed(1)
    (a, s), (b, r) = ((torch.randn(3, 1), torch.rand(3, 1) + 0.3) for _ in range(2))
    grid = torch.linspace(-12.0, 12.0, 2401)
    step = grid[1] - grid[0]
    densities = [Normal(loc, scale).log_prob(grid).exp().mean(0) for loc, scale in ((a, s), (b, r))]
    difference = (densities[0] - densities[1]) * step
    kernel = torch.exp(-(grid[:, None] - grid).square() / 1.7)
    found = squared_mmd_of_normals((a, s), (b, r), 1.7)
    close(found, difference @ kernel @ difference, atol=1e-9)


def test_pooled_ignores_the_pairing_and_is_at_most_the_conditional():
    loc, scale = torch.randn(6, 2), torch.rand(6, 2) + 0.2
    order = torch.tensor([3, 0, 1, 5, 2, 4])
    q, p = (loc[order], scale[order]), (loc, scale)

    def conditional(q, p):
        rows = range(len(q[0]))
        each = [squared_mmd_of_normals(*((x[i, None], s[i, None]) for x, s in (q, p)), 2.0)
                for i in rows]  # fmt: skip
        return torch.stack(each).mean()

    close(squared_mmd_of_normals(q, p, 2.0), torch.tensor(0.0))
    assert conditional(q, p) > 0.1
    for _ in range(20):
        q = (torch.randn(6, 2), torch.rand(6, 2) + 0.2)
        assert squared_mmd_of_normals(q, p, 2.0) <= conditional(q, p)


# ---------------------------------------------------------------- bias


def test_the_unbiased_estimator_has_the_closed_mean_and_the_biased_one_its_bias():
    dim, n, repeats, width = 5, 8, 2000, 5.0
    (a, s), (b, r) = shifted(dim, 1.0)
    x, y = torch.randn(repeats, n, dim), b + torch.randn(repeats, n, dim)
    exact = squared_mmd_of_normals((a, s), (b, r), width)
    own = (1 + 4 / width) ** (-dim / 2)  # E k of two draws of one pool
    for unbiased, bias in ((True, 0.0), (False, 2 * (1 - own) / n)):
        found = squared_mmd(x, y, width, unbiased=unbiased)
        error = found.std() / math.sqrt(repeats)
        assert abs(found.mean() - exact - bias) < 3 * error
        assert error < 0.1 * (2 * (1 - own) / n)  # the bias would be seen


def test_with_shared_noise_matched_pairs_are_left_out():
    """Pools of N rows with one noise: without them the mean is that of independent pools."""
    dim, n, repeats, width = 3, 6, 4000, 3.0
    (a, s), (b, r) = shifted(dim, 0.7)
    x = torch.randn(repeats, n, dim)
    found = squared_mmd(x, x + b, width, unbiased=True, matched=True)
    exact = squared_mmd_of_normals((a, s), (b, r), width)
    assert abs(found.mean() - exact) < 3 * found.std() / math.sqrt(repeats)
    careless = squared_mmd(x, x + b, width, unbiased=True)
    assert abs(careless.mean() - exact) > 10 * careless.std() / math.sqrt(repeats)


def test_the_numbers_of_the_bias_at_a_batch_of_100():
    """Independent pools of one Normal(0, I), N = 100 and D = 50: 0.0170 and 7.8e-4."""
    for width, expected in ((50.0, 0.0170), (2500.0, 7.8e-4)):
        bias = 2 * (1 - (1 + 4 / width) ** -25) / 100
        assert bias == pytest.approx(expected, rel=0.02)
        found = squared_mmd(torch.randn(40, 100, 50), torch.randn(40, 100, 50), width)
        assert abs(found.mean() - bias) < 4 * found.std() / math.sqrt(40)


def test_one_row_has_no_unbiased_estimate():
    x, y = torch.randn(2, 1, 3), torch.randn(2, 1, 3)
    for matched in (False, True):
        assert squared_mmd(x, y, 1.0, unbiased=True, matched=matched).tolist() == [0.0, 0.0]


# ---------------------------------------------------------------- all together


def test_the_estimators_agree_on_many_draws():
    torch.manual_seed(2)
    loc, scale = torch.randn(40, 2), torch.rand(40, 2) + 0.3
    q, p = Independent(Normal(loc, scale), 1), Independent(Normal(0.5 * loc, 0.8 * scale), 1)
    draws = q.sample((300,)), p.sample((300,))
    exact = MMD("dim", "analytic")(q, p, draws, matched=False)
    close(exact, squared_mmd_of_normals((loc, scale), (0.5 * loc, 0.8 * scale), 2.0))
    each = squared_mmd(*draws, 2.0)
    found = MMD("dim", "biased")(q, p, draws, matched=False)
    close(found, each.mean())
    own = 2.0 / 40  # the bias is at most this: pairs of a row with itself have k = 1
    assert 0.0 < found - exact < own


def test_the_closed_form_is_for_normals():
    q = Independent(Laplace(torch.zeros(3, 2), torch.ones(3, 2)), 1)
    draws = q.sample(), q.sample()
    with pytest.raises(ValueError, match="needs diagonal Normals, got Laplace"):
        MMD("dim", "analytic")(q, q, draws, matched=False)


# ---------------------------------------------------------------- rows that do not count


@pytest.mark.parametrize("count", [0, 1, 2, 5])
@pytest.mark.parametrize("kernel", ["dim", "dim2", "median", 0.7])
@pytest.mark.parametrize("estimator", ["biased", "unbiased", "analytic"])
def test_pools_of_some_rows_are_those_of_the_rows_alone(kernel, estimator, count):
    torch.manual_seed(3)
    rows = torch.arange(6) < count
    (a, s), (b, r) = ((torch.randn(6, 2), torch.rand(6, 2) + 0.3) for _ in range(2))
    x, y = a + s * torch.randn(4, 6, 2), b + r * torch.randn(4, 6, 2)
    mmd = MMD(kernel, estimator)

    def value(own, x, y, **given):
        q, p = (Independent(Normal(u[own], v[own]), 1) for u, v in ((a, s), (b, r)))
        return mmd(q, p, (x[:, own], y[:, own]), matched=True, **given)

    found = value(torch.ones(6, dtype=torch.bool), x, y, rows=rows)
    close(found, value(rows, x, y) if count else torch.tensor(0.0))


@pytest.mark.parametrize("estimator", ["biased", "unbiased", "analytic"])
def test_rows_that_do_not_count_get_and_give_no_gradient(estimator):
    loc, scale = torch.randn(4, 3).requires_grad_(), torch.ones(4, 3)
    rows = torch.tensor([True, False, True, False])
    own = torch.where(rows[:, None], loc, torch.nan)
    q = Independent(Normal(own, scale, validate_args=False), 1, validate_args=False)
    p = Independent(Normal(torch.zeros(4, 3), scale), 1)
    MMD("dim", estimator)(q, p, (own, torch.randn(4, 3)), matched=False, rows=rows).backward()
    assert loc.grad[rows].all()
    assert not loc.grad[~rows].any()
