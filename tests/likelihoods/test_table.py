"""Every likelihood over its whole range, in every precision, against 100 digits."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from every_likelihood import TABLE, Line
from mpmath import mpf
from torch import Tensor

from ppl_mm import likelihoods

SINGLE, DOUBLE, HALF = torch.float32, torch.float64, torch.bfloat16
OF_LOG_PROB = {SINGLE: 1e-5, DOUBLE: 1e-8, HALF: 1e-5}  # of 1 nat or of the value
OF_GRADIENT = {SINGLE: 1e-5, DOUBLE: 1e-7, HALF: 2.0**-8}  # half precision takes its own gradient
COMPONENTS = 6  # of a gradient that are compared
lines = pytest.mark.parametrize("name", TABLE)
precisions = pytest.mark.parametrize("dtype", [SINGLE, DOUBLE, HALF], ids=str)


def test_every_likelihood_has_a_line() -> None:
    classes = {type(line.likelihood).__name__ for line in TABLE.values()}
    assert classes == set(likelihoods.__all__) - {"Likelihood"}


@cache
def exact(name: str, row: tuple[float, ...], x: Any) -> float:
    return float(TABLE[name].log_prob([mpf(c) for c in row], x))


@cache
def exact_slope(name: str, row: tuple[float, ...], x: Any, i: int) -> float:
    def along(c: Any) -> Any:
        return TABLE[name].log_prob([*map(mpf, row[:i]), c, *map(mpf, row[i + 1 :])], x)

    step = mpf(10) ** -20 * abs(mpf(row[i])) if row[i] else mpf(10) ** -60
    return float((along(row[i] + step) - along(row[i] - step)) / (2 * step))


def distribution(line: Line, components: Tensor, x: Any) -> tuple[Any, Tensor]:
    """p of one row a parameter, and its values; data are never in half precision."""
    value = torch.tensor(x)
    if value.is_floating_point():
        value = value.to(SINGLE if components.dtype == HALF else components.dtype)
    value = value[:, None] if value.dim() == 1 and value.is_floating_point() else value
    return line.likelihood(line.output(components), 1, value.shape[1:]), value


def by_size(line: Line, dtype: torch.dtype) -> list[tuple[Tensor, list[Any]]]:
    """Parameters (B, P) in that precision, and values, of the points with equally many."""
    found = []
    for size in {len(row) for row, _ in line.points}:
        points = [(row, x) for row, x in line.points if len(row) == size]
        found.append(
            (torch.tensor([row for row, _ in points], dtype=dtype), [x for _, x in points])
        )
    return found


@precisions
@lines
def test_log_prob_and_its_gradient(name: str, dtype: torch.dtype) -> None:
    line = TABLE[name]
    for components, x in by_size(line, dtype):
        components.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == HALF):
            p, value = distribution(line, components, x)
            log_prob = p.log_prob(value)
        assert log_prob.dtype == (SINGLE if dtype == HALF else dtype)
        log_prob.sum().backward()
        for row, got, slope, one in zip(
            components.tolist(), log_prob.tolist(), components.grad.tolist(), x, strict=True
        ):
            right = exact(name, tuple(row), one)
            assert abs(got - right) <= OF_LOG_PROB[dtype] * max(1.0, abs(right)), (row, one)
            for i in range(min(len(row), COMPONENTS)):
                unit = 1.0 / row[i] if i in line.positive else 1.0
                right = exact_slope(name, tuple(row), one, i)
                bound = OF_GRADIENT[dtype] * max(unit, abs(right))
                assert abs(slope[i] - right) <= bound, (row, one, i, slope[i], right)


def moments(line: Line, row: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    exact_row = [mpf(c) for c in row]
    both = (line.mean(exact_row), line.variance(exact_row))
    mean, variance = (np.array(m if isinstance(m, list) else [m], dtype=float) for m in both)
    return mean, variance


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE], ids=str)
@pytest.mark.parametrize("name", [n for n, line in TABLE.items() if line.mean])
def test_mean_and_variance(name: str, dtype: torch.dtype) -> None:
    line = TABLE[name]
    precision = {SINGLE: 1e-5, DOUBLE: 1e-9}[dtype]
    limits = torch.finfo(dtype)
    for row in line.rows:
        p, _ = distribution(line, torch.tensor([row], dtype=dtype), [sample_value(line)])
        for got, right in zip((p.mean, p.variance), moments(line, row), strict=True):
            assert got.dtype == dtype
            right = np.where(right > limits.max, np.inf, right)
            found = got[0].double().numpy()
            np.testing.assert_allclose(found, right, rtol=precision, atol=max(limits.tiny, 1e-17))


def sample_value(line: Line) -> Any:
    return line.points[0][1]


@pytest.mark.parametrize("name", [n for n, t in TABLE.items() if t.likelihood.normalised])
def test_masses_add_up_and_densities_integrate_to_one(name: str) -> None:
    line = TABLE[name]
    nodes, weights = np.polynomial.legendre.leggauss(40)
    for row in line.rows:
        support = list(line.support(row))
        if not support:
            continue
        if line.density:
            edges = np.array(support)
            width = np.diff(edges)[:, None]
            values = (edges[:-1, None] + width * (nodes + 1) / 2).ravel()
            measure = torch.tensor((width * weights / 2).ravel())
            support = values.tolist()
        else:
            measure = torch.ones(len(support), dtype=DOUBLE)
        components = torch.tensor([row], dtype=DOUBLE).expand(len(support), -1)
        p, value = distribution(line, components, support)
        total = (p.log_prob(value).exp() * measure).sum().item()
        assert total == pytest.approx(1.0, abs=1e-8), row


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE], ids=str)
@lines
def test_draws_have_the_moments_and_lie_in_the_support(name: str, dtype: torch.dtype) -> None:
    line, count = TABLE[name], 2000
    for row in line.draws or line.rows:
        p, value = distribution(line, torch.tensor([row], dtype=dtype), [sample_of(line, row)])
        draws = p.sample((count,))
        assert draws.shape[2:] == value.shape[1:]
        assert draws.dtype == value.dtype
        assert p.support.check(draws).all()
        if line.mean is None:
            continue
        mean, variance = moments(line, row)
        x = draws[:, 0].double().numpy()
        # Bernstein's bound, one in a million: a rare count is no Normal variable
        error = np.sqrt(2.0 * 14.0 * variance / count) + np.abs(mean) * torch.finfo(dtype).eps
        if not line.density:
            error += 14.0 / (3.0 * count) * np.maximum(1.0, variance / np.maximum(mean, 1e-300))
        assert (np.abs(x.mean(0) - mean) <= error).all(), row
        squares = np.square(x - mean)
        error = 5.0 * squares.std(0) / count**0.5
        common = line.density | (count * variance > 100.0)
        assert ((np.abs(squares.mean(0) - variance) <= error) | ~common).all(), row


def sample_of(line: Line, row: tuple[float, ...]) -> Any:
    return next((x for other, x in line.points if other == row), sample_value(line))


@lines
def test_a_draw_at_every_extreme_has_a_finite_log_prob(name: str) -> None:
    line = TABLE[name]
    for components, x in by_size(line, SINGLE):
        p, _ = distribution(line, components, x)
        assert torch.isfinite(p.log_prob(p.sample((20,)))).all()
