"""Likelihoods against closed forms: densities, normalisation, shapes, gradients."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from every_system import KINDS
from torch import Tensor

from ppl_mm import likelihoods

close = torch.testing.assert_close


def parameters(kind: str, *batch: int, requires_grad: bool = False) -> Any:
    """Random decoder output of that kind with these batch dimensions."""

    def raw(*event: int) -> Tensor:
        return torch.randn(*batch, *event, requires_grad=requires_grad)

    def positive(*event: int) -> Tensor:
        x = torch.rand(*batch, *event) + 0.5
        return x.requires_grad_(requires_grad)

    return {
        "bernoulli": lambda: raw(1, 3, 3),
        "soft_bernoulli": lambda: raw(1, 2, 2),
        "continuous_bernoulli": lambda: raw(4),
        "categorical": lambda: raw(3),
        "one_hot": lambda: raw(3),
        "multi_label": lambda: raw(3),
        "normal": lambda: raw(3),
        "normal_learned": lambda: (raw(3), positive(3)),
        "laplace": lambda: raw(3),
        "laplace_learned": lambda: (raw(3), positive(3)),
        "poisson": lambda: raw(2),
        "negative_binomial": lambda: (positive(2), raw(2)),
        "zero_inflated": lambda: (positive(2), raw(2), raw(2)),
        "tokens": lambda: raw(4, 5),
    }[kind]()


def tensors(p: Any) -> list[Tensor]:
    return list(p) if isinstance(p, tuple) else [p]


def distribution(kind: str, p: Any, batch_dims: int = 1) -> Any:
    event_shape = KINDS[kind].draw(1).shape[1:]
    return KINDS[kind].likelihood(p, batch_dims, event_shape)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return scipy.special.expit(x)


def continuous_bernoulli(x: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """x l - log of the integral of exp(x l) over [0, 1], which is (e^l - 1) / l."""
    return x * logits - np.log(np.expm1(logits) / logits)


def tokens(x: np.ndarray, logits: np.ndarray) -> np.ndarray:
    log_p = scipy.special.log_softmax(logits, -1)
    each = np.take_along_axis(log_p, x[..., None], -1)[..., 0]
    return np.where(x == 4, 0.0, each)


def zero_inflated(x: np.ndarray, n: np.ndarray, a: np.ndarray, gate: np.ndarray) -> np.ndarray:
    counted = sigmoid(-gate) * scipy.stats.nbinom.pmf(x, n, sigmoid(-a))
    return np.log(np.where(x == 0, sigmoid(gate), 0.0) + counted)


ORACLES = {
    "bernoulli": lambda x, a: scipy.stats.bernoulli.logpmf(x, sigmoid(a)),
    "soft_bernoulli": lambda x, a: x * a - np.logaddexp(0.0, a),
    "continuous_bernoulli": continuous_bernoulli,
    "categorical": lambda x, a: scipy.special.log_softmax(a, -1)[np.arange(len(x)), x],
    "one_hot": lambda x, a: x * scipy.special.log_softmax(a, -1),
    "multi_label": lambda x, a: scipy.stats.bernoulli.logpmf(x, sigmoid(a)),
    "normal": lambda x, a: scipy.stats.norm.logpdf(x, a, 0.5),
    "normal_learned": scipy.stats.norm.logpdf,
    "laplace": lambda x, a: scipy.stats.laplace.logpdf(x, a, 0.75),
    "laplace_learned": scipy.stats.laplace.logpdf,
    "poisson": lambda x, a: scipy.stats.poisson.logpmf(x, np.exp(a)),
    "negative_binomial": lambda x, n, a: scipy.stats.nbinom.logpmf(x, n, sigmoid(-a)),
    "zero_inflated": zero_inflated,
    "tokens": tokens,
}


@pytest.mark.parametrize("kind", KINDS)
def test_log_prob_is_the_closed_form_summed_over_the_event(kind: str) -> None:
    p, x = parameters(kind, 6), KINDS[kind].draw(6)
    expected = ORACLES[kind](x.numpy(), *(t.numpy() for t in tensors(p)))
    expected = torch.as_tensor(expected).reshape(6, -1).sum(1)
    close(distribution(kind, p).log_prob(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("batch", [(5,), (3, 5), (2, 3, 5)])
@pytest.mark.parametrize("kind", KINDS)
def test_all_but_the_batch_dimensions_are_the_event(kind: str, batch: tuple[int, ...]) -> None:
    p, x = parameters(kind, *batch), KINDS[kind].draw(5)
    q = distribution(kind, p, len(batch))
    assert q.batch_shape == batch
    assert q.event_shape == x.shape[1:]
    assert q.log_prob(x).shape == batch
    for i in itertools.product(*map(range, batch)):
        row = tuple(t[i][None] for t in tensors(p))
        alone = distribution(kind, row if isinstance(p, tuple) else row[0])
        close(q.log_prob(x)[i], alone.log_prob(x[i[-1]][None])[0])


@pytest.mark.parametrize("kind", KINDS)
def test_samples_have_the_datas_form(kind: str) -> None:
    x = KINDS[kind].draw(5)
    q = distribution(kind, parameters(kind, 5))
    draws = q.sample((2,))
    assert draws.shape == (2, *x.shape)
    assert draws.is_floating_point() == x.is_floating_point()
    KINDS[kind].likelihood.check(kind, draws.flatten(0, 1))
    assert q.log_prob(draws).shape == (2, 5)
    assert torch.isfinite(q.log_prob(draws)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_expand_adds_batch_dimensions(kind: str) -> None:
    x, q = KINDS[kind].draw(5), distribution(kind, parameters(kind, 5))
    wide = q.expand((3, 5))
    assert (wide.batch_shape, wide.event_shape) == ((3, 5), q.event_shape)
    close(wide.log_prob(x), q.log_prob(x).expand(3, 5))
    assert wide.sample().shape == (3, *x.shape)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_finite(kind: str) -> None:
    p = parameters(kind, 6, requires_grad=True)
    distribution(kind, p).log_prob(KINDS[kind].draw(6)).sum().backward()
    for tensor in tensors(p):
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.any()


@pytest.mark.parametrize("kind", KINDS)
def test_only_soft_bernoulli_is_no_density(kind: str) -> None:
    assert KINDS[kind].likelihood.normalised == (kind != "soft_bernoulli")


# ------------------------------------------------------------------ normalisation


def binary(size: int) -> Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=size)))


@pytest.mark.parametrize(
    ("likelihood", "shape", "support"),
    [
        (likelihoods.Bernoulli(), (4,), binary(4)),
        (likelihoods.MultiLabel(), (4,), binary(4)),
        (likelihoods.Categorical(), (5,), torch.arange(5)),
        (likelihoods.Categorical(), (5,), torch.eye(5)),
        (
            likelihoods.Tokens(),
            (3, 4),
            torch.tensor(list(itertools.product(range(4), repeat=3))),
        ),
        (likelihoods.Poisson(), (), torch.arange(200.0)),
    ],
    ids=["Bernoulli", "MultiLabel", "classes", "one-hot", "Tokens", "Poisson"],
)
def test_probabilities_sum_to_one(likelihood: Any, shape: tuple[int, ...], support: Tensor) -> None:
    support = support.double() if support.is_floating_point() else support
    p = torch.randn(1, *shape).expand(len(support), *shape)
    q = likelihood(p, 1, support.shape[1:])
    close(q.log_prob(support).exp().sum(), torch.tensor(1.0))


def test_strings_of_each_length_sum_to_one_under_padding() -> None:
    """The density of a padded sequence is that of its symbols given its length."""
    q = likelihoods.Tokens(padding=3)(torch.randn(1, 3, 4))
    for length in range(4):
        strings = itertools.product(range(3), repeat=length)
        x = torch.tensor([[*s, *[3] * (3 - length)] for s in strings])
        total = q.expand((len(x),)).log_prob(x).exp().sum()
        kept = torch.softmax(q.base_dist.logits, -1)[0, :length, :3].sum(-1).prod()
        close(total, kept)


@pytest.mark.parametrize("logit", [-8.0, -1.0, -1e-4, 0.0, 1e-4, 1.0, 8.0])
def test_continuous_bernoulli_integrates_to_one(logit: float) -> None:
    x = torch.linspace(0.0, 1.0, 20001)
    q = likelihoods.ContinuousBernoulli()(torch.full((len(x), 1), logit))
    total = torch.trapezoid(q.log_prob(x[:, None]).exp(), x)
    close(total, torch.tensor(1.0), rtol=1e-5, atol=1e-5)


def test_soft_bernoulli_does_not_integrate_to_one() -> None:
    x = torch.linspace(0.0, 1.0, 2001)
    q = likelihoods.SoftBernoulli()(torch.full((len(x), 1), 1.0))
    assert torch.trapezoid(q.log_prob(x[:, None]).exp(), x) < 0.6


@pytest.mark.parametrize("count", [0.3, 5.0])
def test_negative_binomial_sums_to_one_with_its_mean(count: float) -> None:
    x = torch.arange(4000.0)
    p = torch.full((len(x),), count), torch.full((len(x),), 1.5)
    q = likelihoods.NegativeBinomial()(p)
    mass = q.log_prob(x).exp()
    close(mass.sum(), torch.tensor(1.0))
    close((mass * x).sum(), torch.tensor(count * math.exp(1.5)))


# ------------------------------------------------------------------ one by one


def test_soft_bernoulli_is_bernoulli_for_binary_values() -> None:
    logits, x = 5 * torch.randn(7, 4), (torch.rand(7, 4) < 0.5).double()
    soft, hard = likelihoods.SoftBernoulli()(logits), likelihoods.Bernoulli()(logits)
    assert torch.equal(soft.log_prob(x), hard.log_prob(x))


def test_soft_bernoulli_takes_grey_values_and_bernoulli_does_not() -> None:
    logits, x = 5 * torch.randn(7, 4), torch.rand(7, 4)
    expected = x * logits - torch.nn.functional.softplus(logits)
    close(likelihoods.SoftBernoulli()(logits).log_prob(x), expected.sum(-1))
    with pytest.raises(ValueError, match="support"):
        likelihoods.Bernoulli()(logits).log_prob(x)


def test_extreme_logits_are_finite() -> None:
    logits = torch.tensor([[1e4, -1e4, 800.0]], requires_grad=True)
    for likelihood in (likelihoods.Bernoulli(), likelihoods.SoftBernoulli()):
        log_prob = likelihood(logits).log_prob(torch.tensor([[0.0, 1.0, 1.0]]))
        close(log_prob, torch.tensor([-2e4]))
        (gradient,) = torch.autograd.grad(log_prob.sum(), logits)
        assert torch.isfinite(gradient).all()


def test_classes_and_one_hot_rows_agree() -> None:
    logits, x = torch.randn(6, 3), torch.randint(3, (6,))
    classes = likelihoods.Categorical()(logits, 1, ())
    one_hot = likelihoods.Categorical()(logits, 1, (3,))
    close(classes.log_prob(x), one_hot.log_prob(torch.eye(3)[x]))
    assert classes.sample().dtype == torch.int64
    assert one_hot.sample().sum(-1).eq(1).all()
    assert likelihoods.Categorical()(logits).event_shape == ()


def test_poisson_keeps_extreme_log_rates() -> None:
    """exp(-800) is zero: the log of a rate would be minus infinity and its gradient NaN."""
    log_rate = torch.tensor([[-800.0, -800.0, 20.0]], requires_grad=True)
    log_prob = likelihoods.Poisson()(log_rate).log_prob(torch.tensor([[0.0, 3.0, 5.0]]))
    expected = -3 * 800.0 - math.lgamma(4) + 5 * 20.0 - math.exp(20.0) - math.lgamma(6)
    close(log_prob, torch.tensor([expected]))
    (gradient,) = torch.autograd.grad(log_prob.sum(), log_rate)
    close(gradient, torch.tensor([[0.0, 3.0, 5.0 - math.exp(20.0)]]))


def test_padding_counts_for_nothing() -> None:
    logits = torch.randn(1, 4, 5, requires_grad=True)
    x = torch.tensor([[2, 0, 4, 4]])
    log_prob = likelihoods.Tokens(padding=4)(logits).log_prob(x)
    each = torch.log_softmax(logits, -1)
    close(log_prob, each[:, 0, 2] + each[:, 1, 0])
    (gradient,) = torch.autograd.grad(log_prob.sum(), logits)
    assert not gradient[:, 2:].any()
    assert gradient[:, :2].any(-1).all()
    whole = likelihoods.Tokens()(logits).log_prob(x)
    close(whole, log_prob + each[:, 2:, 4].sum(-1))
    assert likelihoods.Tokens(padding=4)(logits).log_prob(torch.full((1, 4), 4)).item() == 0.0


def test_counts_may_be_integers() -> None:
    x = torch.tensor([[0, 3]])
    for likelihood, p in (
        (likelihoods.Poisson(), torch.randn(1, 2)),
        (likelihoods.NegativeBinomial(), (torch.rand(1, 2) + 0.5, torch.randn(1, 2))),
    ):
        likelihood.check("counts", x)
        close(likelihood(p).log_prob(x), likelihood(p).log_prob(x.double()))


@pytest.mark.parametrize("kind", KINDS)
def test_check_accepts_what_fits_and_refuses_what_does_not(kind: str) -> None:
    likelihood, x = KINDS[kind].likelihood, KINDS[kind].draw(5)
    likelihood.check(kind, x)
    likelihood.check(kind, x[:0])
    if kind in ("bernoulli", "soft_bernoulli", "continuous_bernoulli", "one_hot", "poisson"):
        for wrong in (KINDS[kind].invalid, torch.nan):
            with pytest.raises(ValueError, match=f"modality '{kind}': expected"):
                likelihood.check(kind, x.masked_fill(x == x[0, 0], wrong))


def test_a_likelihood_of_ones_own_must_say_what_it_is() -> None:
    class Own(likelihoods.Likelihood):
        pass

    with pytest.raises(TypeError, match="Own must define __call__"):
        Own()(torch.zeros(1, 2))
    Own().check("x", torch.ones(2))  # no support to check unless it says so


@pytest.mark.parametrize("likelihood", [likelihoods.Normal, likelihoods.Laplace])
def test_a_fixed_scale_and_a_learned_one_agree(likelihood: Any) -> None:
    loc, x = torch.randn(5, 3), torch.randn(5, 3)
    fixed = likelihood(scale=0.3)(loc).log_prob(x)
    learned = likelihood(scale=None)((loc, torch.full_like(loc, 0.3))).log_prob(x)
    close(fixed, learned)
    with pytest.raises(ValueError, match="must return loc alone, got tuple"):
        likelihood(scale=0.3)((loc, loc))
    with pytest.raises(ValueError, match=r"must return a pair \(loc, scale\), got Tensor"):
        likelihood(scale=None)(loc)


def test_likelihoods_are_values() -> None:
    assert likelihoods.Normal(scale=0.5) == likelihoods.Normal(scale=0.5)
    assert likelihoods.Normal(scale=0.5) != likelihoods.Laplace(scale=0.5)
    assert len({likelihoods.Tokens(padding=1), likelihoods.Tokens(padding=1)}) == 1
