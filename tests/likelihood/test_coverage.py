"""95 % intervals of log-likelihoods hold the truth 95 % of the time where Pareto k is below 0.7."""

import math

import numpy as np
import pytest
import torch
from linear_gaussian import LinearGaussian
from scipy.stats import binom

from ppl_mm import guides, log_likelihood
from ppl_mm.likelihood.pareto import pareto_fit
from ppl_mm.likelihood.tails import interval_of_log_mean, weight_moments

pytestmark = pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")

QUESTIONS = {
    "joint": (("a", "b", "c"), ()),
    "marginal": (("a",), ()),
    "conditional": (("a",), ("b", "c")),
}


def random_problem(seed):
    """Sizes and latent size from 1 to 4; encoders from too narrow to too wide, never exact."""
    g = torch.Generator().manual_seed(seed)
    *sizes, latent_dim = torch.randint(1, 5, (4,), generator=g).tolist()
    spread = 0.7 + 1.3 * torch.rand((), generator=g).item()
    toy = LinearGaussian(dict(zip("abc", sizes, strict=True)), latent_dim, spread=spread, seed=seed)
    return toy, toy.system(guides.ProductOfExperts(toy.modalities, latent_dim))


def asked(seed, target, given, num_rows, num_samples):
    """The estimates of one problem and the truth."""
    toy, system = random_problem(seed)
    obs = toy.sample(num_rows, seed=seed)
    options = {"num_samples": num_samples, "seed": seed, "refine": "none"}
    found = log_likelihood(system, obs, target, given, **options)
    truth = toy.log_p(obs, (*target, *given))
    return found, truth - toy.log_p(obs, given) if given else truth


def covered(found, truth):
    return (found.low <= truth) & (truth <= found.high)


@pytest.mark.slow  # six hundred estimates of five rows
@pytest.mark.parametrize("question", QUESTIONS)
def test_intervals_of_200_random_problems_cover_the_truth(question):
    hits, trusted, errors = [], [], []
    for seed in range(200):
        found, truth = asked(seed, *QUESTIONS[question], num_rows=5, num_samples=1000)
        varied = found.standard_error > 1e-9  # else the guide is exact, and there is no draw to err
        hits.append(covered(found, truth)[varied])
        trusted.append(found.pareto_k[varied] < 0.7)
        errors.append(((found.value - truth).abs() / (found.high - found.low))[varied])
    hit, trust, error = torch.cat(hits), torch.cat(trusted), torch.cat(errors)
    assert trust.sum() > 500  # a standard error of at most 1 % of the coverage
    assert 0.92 <= hit[trust].double().mean() <= 0.98
    assert error[trust].max() < 2  # what is far off has a k above 0.7
    assert (~trust).sum() > 50


@pytest.mark.slow  # two hundred estimates of seven or eight rows
@pytest.mark.parametrize("question", ["joint", "conditional"])
def test_refined_intervals_of_200_random_problems_cover_the_truth(question):
    """Of all rows, whatever their k, a row of every pattern of missingness in each problem.

    More than 700 rows: a binomial standard error of at most 0.8 % of the coverage.
    """
    target, given = QUESTIONS[question]
    hits, trusted = [], []
    for seed in range(200):
        toy, system = random_problem(seed)
        obs = toy.mixed()
        found = log_likelihood(system, obs, target, given, seed=seed)
        truth = toy.log_p(obs, (*target, *given))
        truth = truth - toy.log_p(obs, given) if given else truth
        held = torch.stack([obs.present[n] for n in target]).any(0)
        varied = held & (found.standard_error > 1e-9)
        hits.append(covered(found, truth)[varied])
        trusted.append(found.pareto_k[varied] < 0.7)
    hit, trust = torch.cat(hits), torch.cat(trusted)
    print(f"{question}: {hit.double().mean():.1%} of {len(hit)} rows")  # in docs/measures.md
    assert len(hit) > 700
    assert 0.93 <= hit.double().mean() <= 0.97
    assert trust.double().mean() > 0.97


@pytest.mark.parametrize("question", ["joint", "conditional"])
def test_intervals_of_one_problem_cover_the_truth_where_the_usual_ones_do_not(question):
    found, truth = asked(8, *QUESTIONS[question], num_rows=400, num_samples=200)
    trust = found.pareto_k < 0.7
    number = int(trust.sum())
    assert number > 100
    hits = int(covered(found, truth)[trust].sum())
    # Quantiles for independent rows that are each covered with probability 95 %.
    fewest, most = binom.ppf([1e-4, 1 - 1e-4], number, 0.95)
    assert fewest <= hits <= most
    if question == "joint":
        usual = (found.value - truth).abs() < 1.96 * found.standard_error
        assert usual[trust].sum() < fewest


def test_an_interval_without_skewness_is_the_usual_one():
    error = torch.tensor([0.01, 0.1, 0.25])
    low, high = interval_of_log_mean(error, torch.zeros(3))
    torch.testing.assert_close(low, (1 - 1.959964 * error).log())
    torch.testing.assert_close(high, (1 + 1.959964 * error).log())


def test_an_interval_of_skewed_weights_reaches_further_up():
    # Hall's transformation at s = 0.1, a = 0.3: g(z) = 10 ((1 + 0.3 (z - 0.05))^(1/3) - 1).
    low, high = interval_of_log_mean(torch.tensor([0.1]), torch.tensor([0.3]))
    for side, t in ((low, 1.959964), (high, -1.959964)):
        inner = 1 + 0.3 * (t - 0.05)
        bent = 10 * (math.copysign(abs(inner) ** (1 / 3), inner) - 1)
        assert side.item() == pytest.approx(math.log(1 - 0.1 * bent))
    assert high > -low


def test_an_interval_of_a_huge_error_is_finite():
    low, high = interval_of_log_mean(torch.tensor([0.3, 3.0]), torch.tensor([0.0, 0.0]))
    assert low.isfinite().all()
    assert low[1] < low[0] < 0 < high[0] < high[1]
    # Beyond s g = 1/2 it goes on as the tangent of log(1 - s g) there, whose slope is -2.
    torch.testing.assert_close(low[1].item(), math.log(0.5) - 2 * (3.0 * 1.959964 - 0.5))


@pytest.mark.parametrize("k", [0.1, 0.3])
def test_moments_of_pareto_weights_see_what_the_draws_miss(k):
    # w = U^-k: E[w] = 1 / (1 - k), E[w^2] = 1 / (1 - 2k); 2000 draws, 200 rows. The variance is
    # convex in the fitted k, so its mean is somewhat large.
    log_w = -k * torch.rand(2000, 200).log()
    found = weight_moments(log_w)
    true = (1 - k) ** 2 / (1 - 2 * k) - 1
    error = found.variance.std() / math.sqrt(200)
    assert true - 4 * error < found.variance.mean() < 1.2 * true + 4 * error
    sample = (log_w.exp() / log_w.exp().mean(0)).var(0)
    assert sample.median() < found.variance.median()


def test_moments_are_those_of_20_quantiles_of_the_fit_for_each_draw_of_the_tail():
    number, size = 400, 60  # 3 sqrt(400) largest
    log_w = -0.4 * torch.rand(number, 1).log()
    w = log_w.exp()[:, 0].sort().values
    body, edge = w[:-size], w[-size - 1]
    k, scale = pareto_fit((w[-size:] - edge).numpy())
    p = (torch.arange(20 * size) + 0.5) / (20 * size)
    tail = edge + scale * ((1 - p) ** -k - 1) / k
    mean = (body.sum() + size * tail.mean()) / number
    found = weight_moments(log_w)
    assert found.pareto_k.item() == pytest.approx(k)
    for field, n in ((found.variance, 2), (found.third, 3)):
        own = ((body - mean) ** n).sum() + size * ((tail - mean) ** n).mean()
        assert field.item() == pytest.approx((own / number / w.mean() ** n).item(), rel=1e-6)


# The k that arviz 0.23.4 gives: psislw of the logs of 1 + x.
@pytest.mark.parametrize(("k", "arviz_k"), [(0.2, 0.2367877), (0.7, 0.6706578), (1.5, 1.3650359)])
def test_the_fit_is_that_of_arviz(k, arviz_k):
    u = (np.arange(1000) + 0.5) / 1000
    w = (1 - u) ** -k
    size = 95  # 3 sqrt(1000), rounded up
    found, scale = pareto_fit(w[-size:] - w[-size - 1])
    assert found == pytest.approx(arviz_k, rel=1e-6)
    assert scale == pytest.approx(k * w[-size - 1], rel=0.1)  # a Pareto tail above u: sigma = k u


def test_moments_without_a_fit_are_those_of_the_draws():
    log_w = torch.randn(24, 3)
    w = log_w.exp() / log_w.exp().mean(0)
    few = weight_moments(log_w)
    assert few.pareto_k.isnan().all()
    torch.testing.assert_close(few.variance, w.var(0))
    torch.testing.assert_close(few.third, ((w - 1) ** 3).mean(0))
    ties = torch.tensor([0.0, 1.0]).repeat_interleave(50)[:, None]
    w = ties.exp() / ties.exp().mean(0)
    torch.testing.assert_close(weight_moments(ties).variance, w.var(0))
    constant = weight_moments(torch.full((100, 1), -3.0))
    assert (constant.pareto_k.item(), constant.variance.item(), constant.third.item()) == (0, 0, 0)
