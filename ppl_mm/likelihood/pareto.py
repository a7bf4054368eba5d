"""The generalised Pareto distribution fitted to the largest importance weights.

    P(w > u + x)  =  (1 + k x / sigma)^{-1/k},      x > 0

Sources: Zhang & Stephens 2009, Technometrics 51 (the fit); Vehtari et al. 2024, arXiv:1507.02646
(the prior on k, and how many weights make the tail).
"""

import math

import numpy as np

__all__ = ["growth", "pareto_fit", "tail_size"]

_FEWEST = 5  # The fewest weights above u that a tail is fitted to.
_PRIOR = 10.0  # The prior that k is about 1/2 counts as much as 10 weights.
_CANDIDATES = 30  # of -k / sigma, and the square root of the number of weights more


def tail_size(number: int) -> int:
    """The number of draws in the tail of K: the smaller of K / 5 and 3 sqrt(K), rounded up."""
    return math.ceil(min(number / 5, 3 * math.sqrt(number)))


def pareto_fit(excess: np.ndarray) -> tuple[float, float]:
    """k and sigma of positive numbers w - u in ascending order; k infinite for fewer than five.

    The posterior mean of b = -k / sigma over a grid of candidates gives k(b) = mean log(1 - b x)
    and sigma = -k(b) / b; k is then drawn towards 1/2.

    Example:
        >>> import numpy as np
        >>> x = np.sort(np.random.default_rng(0).pareto(1 / 0.3, 2000))  # (1 + x)^{-1 / 0.3}
        >>> k, sigma = pareto_fit(x)
        >>> round(k, 1), round(sigma, 1)
        (0.3, 0.3)
    """
    n = len(excess)
    if n < _FEWEST:
        return math.inf, math.nan
    number = _CANDIDATES + int(math.sqrt(n))
    quarter = excess[int(n / 4 + 0.5) - 1]
    with np.errstate(all="ignore"):  # weights that differ by orders of magnitude
        b = 1.0 - np.sqrt(number / (np.arange(number) + 0.5))
        b = b / (3.0 * quarter) + 1.0 / excess[-1]
        k = np.log1p(-b[:, None] * excess).mean(1)
        profile = n * (np.log(-b / k) - k - 1.0)
        share = 1.0 / np.exp(profile - profile[:, None]).sum(1)
        share = np.where(share >= 10 * np.finfo(float).eps, share, 0.0)
        b = (b * share).sum() / share.sum()
        found = np.log1p(-b * excess).mean()
        sigma = -found / b
    return float((n * found + _PRIOR * 0.5) / (n + _PRIOR)), float(sigma)


def growth(k: np.ndarray, p: np.ndarray) -> np.ndarray:
    """The quantile p of x / sigma: ((1 - p)^{-k} - 1) / k, or -log(1 - p) for k = 0."""
    excess = -np.log1p(-p)
    return np.where(np.abs(k) < 1e-8, excess, np.expm1(k * excess) / np.where(k == 0, 1.0, k))
