"""What the likelihoods' distributions owe to Pyro, and the corners of their ranges."""

import math
from typing import Any

import pyro
import pytest
import scipy.stats
import torch
from pyro.infer.util import is_validation_enabled
from torch.fx.experimental.proxy_tensor import make_fx

from ppl_mm import likelihoods
from ppl_mm.likelihoods import densities

close = torch.testing.assert_close

LOGITS = torch.tensor([[-3.0, 0.1], [2.0, 4.0]], dtype=torch.float64)
EACH: dict[str, tuple[Any, torch.Tensor]] = {
    "Bernoulli": (densities.Bernoulli(logits=LOGITS), torch.ones(2, 2)),
    "SoftBernoulli": (densities.SoftBernoulli(logits=LOGITS), torch.full((2, 2), 0.3)),
    "ContinuousBernoulli": (densities.ContinuousBernoulli(LOGITS), torch.full((2, 2), 0.3)),
    "Poisson": (densities.Poisson(LOGITS), torch.full((2, 2), 3.0)),
    "NegativeBinomial": (
        densities.NegativeBinomial(LOGITS.exp(), LOGITS),
        torch.full((2, 2), 3.0),
    ),
    "ZeroInflatedNegativeBinomial": (
        densities.ZeroInflatedNegativeBinomial(LOGITS.exp(), LOGITS, -LOGITS),
        torch.tensor([[0.0, 3.0], [3.0, 0.0]]),
    ),
    "LogNormal": (densities.LogNormal(LOGITS, LOGITS.exp()), torch.full((2, 2), 0.7)),
    "Normal": (densities.Normal(LOGITS, LOGITS.exp()), torch.ones(2, 2)),
    "Categorical": (densities.Categorical(LOGITS), torch.tensor([0, 1])),
    "OneHotCategorical": (densities.OneHotCategorical(LOGITS), torch.eye(2)),
    "Tokens": (densities.Tokens(LOGITS[:, None], 1, 1), torch.tensor([[0], [1]])),
}
each = pytest.mark.parametrize("name", EACH)


def test_every_density_is_here() -> None:
    assert set(EACH) == set(densities.__all__)


@each
def test_expand_mask_and_to_event_keep_the_class(name: str) -> None:
    p, x = EACH[name]
    wide = p.expand((3, *p.batch_shape))
    assert type(wide) is type(p)
    assert wide.batch_shape == (3, *p.batch_shape)
    assert (wide.has_rsample, wide.has_enumerate_support) == (
        p.has_rsample,
        p.has_enumerate_support,
    )
    close(wide.log_prob(x), p.log_prob(x).expand(3, *p.batch_shape))
    assert wide.sample((4,)).shape == (4, *wide.batch_shape, *p.event_shape)
    none = p.mask(torch.zeros(p.batch_shape, dtype=torch.bool))
    assert not none.log_prob(x).any()
    if not isinstance(p, densities.Tokens):
        event = p.to_event(1)
        close(event.log_prob(x), p.log_prob(x).sum(-1))
        assert type(event.expand((3, *event.batch_shape)).base_dist) is type(p)


@each
def test_wrong_values_and_nan_parameters_are_refused(name: str) -> None:
    p, x = EACH[name]
    assert is_validation_enabled()
    assert p.support.check(x).all()
    wide = p.expand((3, *p.batch_shape))
    wrong = torch.full_like(x, 7) if "Categ" in name or name == "Tokens" else x * torch.nan
    for q in (p, wide):
        with pytest.raises(ValueError, match="support"):
            q.log_prob(wrong)


@pytest.mark.parametrize(
    "likelihood",
    [likelihoods.Bernoulli(), likelihoods.ContinuousBernoulli(), likelihoods.Poisson()],
)
def test_nan_parameters_are_refused(likelihood: Any) -> None:
    with pytest.raises(ValueError, match="invalid values"):
        likelihood(torch.full((2, 3), torch.nan))


@each
def test_log_prob_can_be_recorded_and_mapped(name: str) -> None:
    """No value is read on the host, so that a step can become one graph."""
    p, x = EACH[name]

    def rebuilt(shift: torch.Tensor) -> torch.Tensor:
        logits = LOGITS * (1.0 + shift)
        if name in ("LogNormal", "NegativeBinomial", "Normal"):
            q: Any = type(p)(LOGITS.exp() + shift, LOGITS.exp())
        elif name == "ZeroInflatedNegativeBinomial":
            q = densities.ZeroInflatedNegativeBinomial(LOGITS.exp() + shift, LOGITS, logits)
        elif name == "Tokens":
            q = densities.Tokens(logits[:, None], 1, 1)
        else:
            q = type(p)(logits) if "ernoulli" not in name else type(p)(logits=logits)
        return q.log_prob(x).sum()

    zero = torch.tensor(0.0)
    with pyro.validation_enabled(False):
        right = torch.func.grad(rebuilt)(zero)
        shift = zero.clone().requires_grad_()
        (slope,) = torch.autograd.grad(rebuilt(shift), shift)
        graph = make_fx(torch.func.grad(rebuilt))(zero)
        mapped = torch.vmap(torch.func.grad(rebuilt))(torch.zeros(3))
    assert right.abs() > 1e-3
    for found in (slope, graph(zero), *mapped):
        close(found, right)


def test_bernoulli_moments_at_large_logits() -> None:
    p = densities.Bernoulli(logits=torch.tensor([-40.0, 40.0], dtype=torch.float32))
    tail = math.exp(-40.0)
    close(p.variance.double(), torch.full((2,), tail), rtol=1e-6, atol=0.0)
    close(p.entropy().double(), torch.full((2,), 41.0 * tail), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("logit", [-1e4, -50.0, -0.6, -0.4, 0.0, 1e-30, 0.4, 0.6, 8.0, 300.0])
def test_continuous_bernoulli_cdf_icdf_and_entropy(logit: float) -> None:
    p = densities.ContinuousBernoulli(torch.tensor(logit))
    u = torch.linspace(0.0, 1.0, 41)
    x = p.icdf(u)
    assert p.support.check(x).all()
    assert (x.diff() >= 0).all()
    close(p.cdf(x), u, rtol=1e-9, atol=1e-9 if abs(logit) < 1e3 else 1e-6)
    edges = torch.cat([torch.zeros(1), 2.0 ** torch.arange(-40.0, 0.0), torch.ones(1)])
    if logit > 0:
        edges = 1.0 - edges.flip(0)
    nodes = (edges[:-1, None] + edges.diff()[:, None] * torch.linspace(0.0, 1.0, 2001)).flatten(1)
    y = p.log_prob(nodes)
    close(p.entropy(), -torch.trapezoid(y.exp() * y, nodes).sum(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", [-1e4, -20.0, -0.51, -0.49, -1e-6, 0.0, 0.3, 5.0, 100.0])
def test_continuous_bernoulli_draws_move_with_the_logit(logit: float, dtype: torch.dtype) -> None:
    """The derivative of a quantile, against differences in float64."""
    logits = torch.full((9,), logit, dtype=dtype, requires_grad=True)
    p = densities.ContinuousBernoulli(logits)
    u = torch.linspace(0.05, 0.95, 9, dtype=dtype)
    (slope,) = torch.autograd.grad(p.icdf(u).sum(), logits)
    exact = logits.detach().double()
    h = 1e-4 * max(1.0, abs(logit))

    def quantile(shift: float) -> torch.Tensor:
        at = exact + shift
        safe = torch.where(at == 0.0, 1.0, at)
        size = safe.abs()
        v = torch.where(safe > 0, 1.0 - u.double(), u.double())
        distance = -torch.log1p(v * torch.expm1(-size)) / size
        x = torch.where(safe > 0, 1.0 - distance, distance)
        return torch.where(at == 0.0, u.double(), x)

    by_difference = (quantile(h) - quantile(-h)) / (2 * h)
    close(slope.double(), by_difference, rtol=2e-4, atol=1e-6)


def test_many_classes_are_accepted_and_wrong_rows_refused() -> None:
    logits = 3.0 * torch.randn(4, 100_000, dtype=torch.float32)
    p = likelihoods.Categorical()(logits, event_shape=(100_000,))
    x = p.sample()
    exact = torch.log_softmax(logits.double(), -1)
    close(p.log_prob(x).double(), (exact * x).sum(-1), rtol=1e-6, atol=1e-6)
    assert x.dtype == torch.float32
    for wrong in (x * 0.5, torch.zeros_like(x), x.roll(1, -1) + x):
        with pytest.raises(ValueError, match="support"):
            p.log_prob(wrong)


def test_classes_of_equal_probability_are_drawn_equally_often() -> None:
    """Draws reach the last of a million classes, and neither half comes more often."""
    p = densities.Categorical(torch.zeros(1_000_000, dtype=torch.float32))
    draws = p.sample((400_000,))
    upper = (draws >= 500_000).double()
    assert abs(upper.mean() - 0.5) < 5.0 * 0.5 / 400_000**0.5
    assert 999_000 <= draws.max() < 1_000_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("log_rate", [18.0, 19.0, 30.0, 45.0, 60.0, 88.0])
def test_huge_counts_are_drawn_around_their_rate(log_rate: float, dtype: torch.dtype) -> None:
    n = 4000
    x = densities.Poisson(torch.full((n,), log_rate, dtype=dtype)).sample()
    rate = math.exp(log_rate)
    error = 5.0 * (rate / n) ** 0.5 + rate * torch.finfo(dtype).eps
    assert abs((x.double() - rate).mean().item()) < error
    assert densities.Poisson.support.check(x).all()


def test_draws_stop_at_the_largest_number() -> None:
    largest = torch.finfo(torch.float32).max
    rates = torch.tensor([89.0, 200.0, 1e4], dtype=torch.float32)
    assert densities.Poisson(rates).sample().tolist() == [largest] * 3
    p = densities.NegativeBinomial(torch.full((3,), 1e6, dtype=torch.float32), rates)
    assert p.sample().tolist() == [largest] * 3


@pytest.mark.parametrize("logit", [0.0, 60.0, 100.0, 1000.0])
def test_counts_of_a_tiny_total_count_are_mostly_zero(logit: float) -> None:
    """p(0) = (1 + exp(l))^-r. Torch's Gamma draws of shape 0.001 stop at the least float."""
    n, r = 20_000, 1e-3
    p = densities.NegativeBinomial(torch.full((n,), r), torch.full((n,), logit))
    none = (p.sample() == 0).double().mean().item()
    right = math.exp(-r * (logit + math.log1p(math.exp(-logit))))
    assert abs(none - right) < 5.0 * (right * (1.0 - right) / n) ** 0.5


def test_negative_binomial_draws_are_those_of_scipy() -> None:
    n = 20_000
    p = densities.NegativeBinomial(torch.full((n,), 0.7), torch.full((n,), 1.1))
    x = p.sample().clamp(max=12).long()
    q = scipy.stats.nbinom(0.7, 1.0 / (1.0 + math.exp(1.1)))
    mass = [*q.pmf(range(12)), q.sf(11)]
    found = torch.bincount(x, minlength=13).numpy()
    assert scipy.stats.chisquare(found, n * torch.tensor(mass).numpy()).pvalue > 1e-4


def test_negative_binomial_becomes_poisson() -> None:
    """The difference of the log-masses is ((k - mean)^2 - k) / (2 r) to first order, at any r."""
    k, mean = torch.tensor([0.0, 1.0, 4.0, 30.0]), torch.tensor(3.0)
    poisson = densities.Poisson(mean.log()).log_prob(k)
    for r in (1e4, 1e6, 1e9, 1e15, 1e30):
        p = densities.NegativeBinomial(torch.tensor(r), torch.log(mean / r))
        first = ((k - mean).square() - k) / (2.0 * r)
        close(p.log_prob(k) - poisson, first, rtol=0.0, atol=2e-12 + 1e4 / r**2)


def test_no_total_count_means_no_counts() -> None:
    r = torch.zeros(2, requires_grad=True)
    logits = torch.ones(2, requires_grad=True)
    p = densities.NegativeBinomial(r, logits)
    log_prob = p.log_prob(torch.tensor([0.0, 2.0]))
    assert log_prob.tolist() == [0.0, -math.inf]
    gradients = torch.autograd.grad(log_prob[0], (r, logits))
    close(gradients[0], torch.tensor([-math.log1p(math.e), 0.0]))
    assert not gradients[1].any()
    assert not p.sample((100,)).any()


def test_moments_are_finite_where_they_can_be_represented() -> None:
    r, logits = torch.tensor([1e-10, 1e30]).float(), torch.tensor([100.0, -60.0]).float()
    p = densities.NegativeBinomial(r, logits)
    right = r.double() * logits.double().exp()
    close(p.mean.double(), right, rtol=1e-5, atol=0.0)
    assert p.variance.tolist()[0] == math.inf  # 7e76
    close(p.variance[1].double(), right[1], rtol=1e-5, atol=0.0)


def test_half_precision_output_is_made_single() -> None:
    """A fixed scale of 0.3, and counts above 256, are no bfloat16 numbers."""
    loc = torch.zeros(1, 2, dtype=torch.bfloat16)
    p = likelihoods.Normal(scale=0.3)(loc)
    close(p.stddev, torch.full((1, 2), 0.3, dtype=torch.float32))
    x = torch.tensor([[257.0, 12345.0]])
    counts = likelihoods.Poisson()(loc).log_prob(x.float())
    assert counts.dtype == torch.float32
    close(counts.double(), -2.0 - torch.lgamma(x + 1.0).sum(-1), rtol=1e-6, atol=0.0)
