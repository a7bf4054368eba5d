"""Tails of weights and intervals of means, against SciPy, brute force and their own symmetries."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from ppl_mm.likelihood.pareto import growth, pareto_fit, tail_size
from ppl_mm.likelihood.shares import summarise_shares
from ppl_mm.likelihood.summarise import MARKOV, equal_weights, summarise_weights
from ppl_mm.likelihood.tails import (
    interval_of_log_mean,
    interval_of_log_share,
    unskewed,
    weight_moments,
)

close = torch.testing.assert_close
Z = 1.959964


# ------------------------------------------------------------------ the Pareto fit


@pytest.mark.parametrize(
    ("draws", "size"), [(1, 1), (25, 5), (26, 6), (225, 45), (226, 46), (400, 60), (1000, 95)]
)
def test_the_tail_is_a_fifth_or_three_roots(draws, size):
    assert tail_size(draws) == size


def brute_force(x):
    """Zhang & Stephens 2009, candidate by candidate, and the weak prior of k = 1/2."""
    n, m = len(x), 30 + int(math.sqrt(len(x)))
    quarter = x[int(n / 4 + 0.5) - 1]
    thetas, profiles = [], []
    for j in range(1, m + 1):
        theta = 1 / x[-1] + (1 - math.sqrt(m / (j - 0.5))) / (3 * quarter)
        k = sum(math.log1p(-theta * y) for y in x) / n
        thetas.append(theta)
        profiles.append(n * (math.log(-theta / k) - k - 1))
    largest = max(profiles)
    weights = [math.exp(p - largest) for p in profiles]
    theta = sum(w * t for w, t in zip(weights, thetas, strict=True)) / sum(weights)
    k = sum(math.log1p(-theta * y) for y in x) / n
    return (n * k + 5.0) / (n + 10.0), -k / theta


@pytest.mark.parametrize("k", [-0.4, 0.0, 0.3, 0.9, 2.0])
@pytest.mark.parametrize("number", [5, 6, 37, 100])
def test_the_fit_is_that_of_its_paper(k, number):
    rng = np.random.default_rng(number)
    x = np.sort(scipy.stats.genpareto(k, scale=3.0).rvs(number, random_state=rng))
    assert pareto_fit(x) == pytest.approx(brute_force(x), rel=1e-9)
    found, scale = pareto_fit(7.0 * x)  # k has no unit
    assert (found, scale / 7.0) == pytest.approx(pareto_fit(x), rel=1e-9)


def test_four_weights_make_no_tail():
    k, scale = pareto_fit(np.array([0.1, 0.2, 0.3, 0.4]))
    assert k == math.inf
    assert math.isnan(scale)


@pytest.mark.parametrize("k", [-0.5, -1e-7, 0.0, 1e-12, 1e-7, 0.3, 1.5])
def test_quantiles_of_the_tail_are_scipys(k):
    p = np.array([0.0, 1e-9, 0.2, 0.5, 0.999, 1 - 1e-9])
    expected = scipy.stats.genpareto(k).ppf(p)
    np.testing.assert_allclose(growth(np.array(k), p), expected, rtol=1e-6, atol=1e-15)


# ------------------------------------------------------------------ moments of weights


def test_moments_do_not_change_with_the_scale_of_weights_and_keep_rows_apart():
    log_w = 0.7 * torch.randn(100, 3)
    found, shifted = weight_moments(log_w), weight_moments(log_w + torch.tensor([0.0, 800, -800]))
    for one, other in zip(found, shifted, strict=True):
        close(one, other, rtol=1e-9, atol=1e-12)
    for i in range(3):
        alone = weight_moments(log_w[:, i : i + 1])
        for one, every in zip(alone, found, strict=True):
            close(one[0], every[i], rtol=1e-12, atol=0.0)


def fitted_and_sample(w):
    """The variance over the squared mean with the tail as SciPy's quantiles, and of the draws."""
    w = np.sort(w)
    number, size = len(w), tail_size(len(w))
    edge = w[number - size - 1]
    k, scale = pareto_fit(w[w > edge] - edge)
    p = (np.arange(20 * size) + 0.5) / (20 * size)
    tail = edge + scipy.stats.genpareto(k, scale=scale).ppf(p)
    body = w[: number - size]
    mean = (body.sum() + size * tail.mean()) / number
    squares = ((body - mean) ** 2).sum() + size * ((tail - mean) ** 2).mean()
    return squares / number / w.mean() ** 2, w.var(ddof=1) / w.mean() ** 2


def test_the_variance_is_the_larger_of_the_fitted_tails_and_the_draws():
    """Draws of a heavy tail lack its largest weights; one outlier is more than the fit takes in."""
    body = np.linspace(0.5, 1.0, 80)
    heavy = 1.0 + scipy.stats.genpareto(0.6).ppf((np.arange(20) + 0.5) / 20)
    outlier = np.append(np.linspace(1.1, 2.0, 19), 30.0)
    rows = [np.append(body, tail) for tail in (heavy, outlier)]
    (fitted, less), (few, sample) = map(fitted_and_sample, rows)
    assert fitted > 2 * less
    assert sample > 4 * few
    found = weight_moments(torch.from_numpy(np.log(np.stack(rows, 1))))
    close(found.variance, torch.tensor([fitted, sample]), rtol=1e-9, atol=0)
    assert found.third[1].item() == pytest.approx(((rows[1] / rows[1].mean() - 1) ** 3).mean())


def test_a_row_without_any_weight_leaves_the_others_as_they_are():
    log_w = torch.randn(60, 2)
    log_w[:, 1] = -torch.inf
    found, alone = weight_moments(log_w), weight_moments(log_w[:, :1])
    assert found.pareto_k.tolist() == [alone.pareto_k.item(), math.inf]
    assert found.variance[0] == alone.variance[0]
    assert found.variance[1] == 0.0


# ------------------------------------------------------------------ intervals


@pytest.mark.parametrize("t", [-Z, -0.5, 0.3, Z])
def test_the_bent_quantile_undoes_the_skewness(t):
    """g solves t = g + a/3 g^2 + a^2/27 g^3 + a/6: Hall's cubic, which is monotone."""
    a = torch.tensor([-0.8, -0.1, 1e-4, 0.3, 1.0])
    g = unskewed(t, a)
    close(g + a / 3 * g**2 + a**2 / 27 * g**3 + a / 6, torch.full((5,), t))
    assert unskewed(t, torch.zeros(1)).item() == t
    close(unskewed(t, torch.tensor([9e-7])), unskewed(t, torch.tensor([1.1e-6])), rtol=0, atol=1e-5)
    close(unskewed(-t, -a), -g)


P, S, A = torch.tensor(
    [[0.5, 0.2, 0.9, 0.03], [0.1, 0.2, 0.02, 0.1], [0.0, 0.3, -0.2, 0.0]], dtype=torch.float64
)


def share(p, error, skewness):
    return (x.exp() for x in interval_of_log_share(p.log(), (1 - p).log(), error, skewness))


def test_ends_of_a_share_are_those_of_its_mean_where_it_is_far_from_0_and_1():
    low, high = share(P, S, A)
    close(low, P * (1 - S * unskewed(Z, A)))
    close(high, P * (1 - S * unskewed(-Z, A)))


@pytest.mark.parametrize("factor", [1.0, 4.0, 50.0])
def test_a_share_and_its_rest_have_one_interval(factor):
    error = factor * S
    low, high = share(P, error, A)
    rest_low, rest_high = share(1 - P, error * P / (1 - P), -A)
    close(low + rest_high, torch.ones(4))
    close(high + rest_low, torch.ones(4))
    assert ((low > 0) & (low < P) & (high > P) & (high <= 1)).all()


def test_a_larger_error_makes_a_wider_interval():
    errors = torch.tensor([0.0, 0.01, 0.1, 0.25, 0.3, 1.0, 10.0])
    p = torch.full((7,), 0.4)
    low, high = share(p, errors, torch.zeros(7))
    assert (low.diff() < 0).all()
    assert (high.diff() > 0).all()
    close(low[0], p[0])
    below, above = interval_of_log_mean(errors, torch.zeros(7))
    assert (below.diff() < 0).all()
    assert (above.diff() > 0).all()


# ------------------------------------------------------------------ shares of weights


def outcomes(strata=2, draws=40, rows=3):
    log_w = torch.randn(strata, draws, rows)
    h = torch.rand(strata, draws, rows) * 0.8 + 0.1
    pi = torch.rand(strata, rows).softmax(0)
    return log_w, h, pi.log()


def test_a_probability_is_the_weighted_mean_with_the_error_of_a_ratio():
    log_w, h, log_pi = outcomes()
    found = summarise_shares(log_w, h.log(), log_pi)
    w = log_pi.exp()[:, None] * log_w.exp()
    p = (w * h).sum((0, 1)) / w.sum((0, 1))
    close(found["value"], p.log())
    pull = w * (h - p) / w.sum((0, 1))  # of each draw on p
    variance = (40 * pull.var(1)).sum(0)  # strata are drawn apart
    close(found["standard_error"], variance.sqrt() / p)
    close(summarise_shares(log_w + 300.0, h.log(), log_pi)["value"], found["value"])


def test_outcomes_that_exclude_each_other_share_their_error():
    log_w, h, log_pi = outcomes()
    yes, no = (summarise_shares(log_w, x.log(), log_pi) for x in (h, 1 - h))
    p, q = yes["value"].exp(), no["value"].exp()
    close(p + q, torch.ones(3))
    close(yes["standard_error"] * p, no["standard_error"] * q)
    base = summarise_weights(log_w, log_pi)["ess"]
    assert (yes["ess"] <= base).all()


def test_one_draw_tells_no_error_and_no_weight_tells_nothing():
    found = summarise_shares(torch.zeros(1, 1, 2), torch.tensor([[[-1.0, 0.0]]]), torch.zeros(1, 2))
    assert found["value"].tolist() == [-1.0, 0.0]
    assert found["standard_error"].isnan().all()
    none = torch.full((1, 30, 1), -torch.inf)
    found = summarise_shares(none, torch.full((1, 30, 1), -1.0), torch.zeros(1, 1))
    assert found["value"].item() == -math.inf
    assert found["ess"].item() == 0.0


def test_a_log_probability_above_0_is_cut():
    h = torch.tensor([1e-9, 1e-3, 0.0, -1.0]).repeat(10)[None, :, None]
    found = summarise_shares(torch.zeros_like(h), h, torch.zeros(1, 1))
    expected = math.log((3 + math.exp(-1)) / 4)
    assert found["value"].item() == pytest.approx(expected)
    assert found["high"].item() < 0


def test_an_interval_ends_where_markovs_inequality_does():
    """An estimate is above 40 times its mean in at most one of 40 cases."""
    log_w = torch.full((1, 100, 1), -50.0)
    log_w[0, 0] = 0.0
    found = summarise_weights(log_w, torch.zeros(1, 1))
    assert found["low"].item() >= found["value"].item() - MARKOV
    assert pytest.approx(math.log(40.0)) == MARKOV


def test_weights_of_strata_keep_the_mean():
    log_w, _, log_pi = outcomes()
    flat = equal_weights(log_w, log_pi)
    assert flat.shape == (80, 3)
    assert flat.dtype == torch.float32
    mean = flat.double().exp().mean(0).log()
    close(mean, summarise_weights(log_w, log_pi)["value"], rtol=1e-5, atol=1e-5)
