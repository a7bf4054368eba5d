"""Log-likelihood estimates with what is known of their error."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from matplotlib.figure import Figure
from torch import Tensor

from ppl_mm.evaluation.estimate import Estimate
from ppl_mm.evaluation.tabular import Number, Result, number
from ppl_mm.evaluation.tails import Moments, interval_of_log_mean, weight_moments
from ppl_mm.modality import Modality

__all__ = ["COLUMNS", "LogLikelihood", "UnreliableLikelihoodWarning", "summarise_weights"]

RELIABLE_K = (
    0.7  # Vehtari et al. 2024, arXiv:1507.02646: above it the estimate is not to be trusted
)
COLUMNS = (
    "value",
    "standard_error",
    "low",
    "high",
    "ess",
    "pareto_k",
    "log_weight_variance",
    "draws",
)
"""The fields of a :class:`LogLikelihood` with one entry a row, but for ``shared_error``."""


_ADVICE = "Draw more samples, use proposal='defensive', or train the guide further."


class UnreliableLikelihoodWarning(UserWarning):
    """Some rows' importance weights have a tail too heavy for their mean to be trusted."""


@dataclass(frozen=True)
class LogLikelihood(Result):
    """Estimates of log p(x_target | x_given), one a row, in nats.

    Attributes:
        value: The estimate, (N,); 0 for a row that holds nothing of the target.
        standard_error: Of the estimate, from the spread of its own weights (delta method), (N,).
        low: Lower end of a 95 % interval, (N,), see :func:`ppl_mm.evaluation.tails.weight_moments`:
            unlike value +- 2 standard errors it counts what the weights' tail hides.
        high: Upper end, (N,).
        ess: Effective sample size of the importance weights, (N,).
        pareto_k: Tail index of the weights, (N,): below 0.7 the standard error can be believed,
            above it the estimate is too low by an unknown amount, or, being a difference of two
            such for a conditional, off by one. NaN for fewer than 25 draws.
        log_weight_variance: Variance over draws of log w, (N,); Tables 3 and 7 of the MVAE paper.
        draws: How many were made for each row, (N,); of a difference, the larger number.
        num_samples: Draws per row that were asked for, at least.
        target: The modalities scored.
        given: The modalities conditioned on.
        proposal: Where the draws came from.
        normalised: False where a likelihood is a score and no density (SoftBernoulli): the
            values compare only with models scored the same way.
        shared_error: Part of the standard error that all rows have in common, (N,).
    """

    value: Tensor
    standard_error: Tensor
    low: Tensor
    high: Tensor
    ess: Tensor
    pareto_k: Tensor
    log_weight_variance: Tensor
    draws: Tensor
    num_samples: int
    target: tuple[str, ...]
    given: tuple[str, ...]
    proposal: str
    normalised: bool
    shared_error: Tensor

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Tensor],
        num_samples: int,
        target: tuple[str, ...],
        given: tuple[str, ...],
        proposal: str,
        modalities: Sequence[Modality],
    ) -> Self:
        """A result whose rows have no error in common, from its ``COLUMNS``."""
        return cls(
            **columns,
            num_samples=num_samples,
            target=target,
            given=given,
            proposal=proposal,
            normalised=all(m.likelihood.normalised for m in modalities if m.name in target),
            shared_error=torch.zeros_like(columns["value"]),
        )

    @property
    def quantity(self) -> str:
        """What is estimated, such as ``log p(image | label)``."""
        given = f" | {', '.join(self.given)}" if self.given else ""
        return f"{'log p' if self.normalised else 'score'}({', '.join(self.target)}{given})"

    @property
    def unreliable(self) -> Tensor:
        """Indices of the rows with Pareto k above 0.7."""
        return (self.pareto_k > RELIABLE_K).nonzero().squeeze(-1)

    def mean(self) -> float:
        """The average over rows, nats; a row that holds nothing of the target counts as 0."""
        return self.value.mean().item()

    def summary(self) -> dict[str, float]:
        """Averages over rows, and how far to trust them.

        ``standard_error`` is over rows (another test set), ``monte_carlo_error`` over draws
        (another seed), both of the mean.
        """
        n = len(self.value)
        own = (self.standard_error**2 - self.shared_error**2).clamp(min=0).sum().sqrt() / n
        spread = self.value.std().item() / math.sqrt(n) if n > 1 else math.nan
        return {
            "mean": self.mean(),
            "standard_error": spread,
            "monte_carlo_error": (own + self.shared_error.mean()).item(),
            "log_weight_variance": self.log_weight_variance.mean().item(),
            "median_ess": self.ess.median().item(),
            "largest_pareto_k": self.pareto_k.max().item(),
            "unreliable_rows": float(len(self.unreliable)),
            "rows": float(n),
        }

    def numbers(self) -> Iterator[Number]:
        """The mean over rows, and the other numbers of :meth:`summary`."""
        target = ", ".join(self.target)
        yield number(self.quantity, Estimate.of(self.value), self.given, target)
        for key, value in self.summary().items():
            if key not in ("mean", "standard_error"):
                yield number(key.replace("_", " "), value, self.given, target)

    def figure(self) -> Figure:
        """The 95 % interval of every row, see ``plotting.likelihood_intervals``."""
        from ppl_mm import plotting

        return plotting.likelihood_intervals(self)

    def __str__(self) -> str:
        s = self.summary()
        lines = [
            f"{self.quantity} = {s['mean']:.3f} +- {s['standard_error']:.3f} nats a row "
            f"({len(self.value)} rows; Monte Carlo error {s['monte_carlo_error']:.3f})",
            f"  {self._number()} draws a row from the {self.proposal}; median effective sample "
            f"size {s['median_ess']:.0f}; variance of log weights {s['log_weight_variance']:.2f}",
            self._trust(),
        ]
        if not self.normalised:
            lines.append(
                "  a score, not a density: SoftBernoulli is not normalised for grey values, so "
                "compare it only with models scored the same way"
            )
        return "\n".join(lines)

    def _trust(self) -> str:
        k, rows = self.pareto_k, len(self.unreliable)
        if bool(k.isnan().any()):
            return (
                "  Pareto k needs 25 draws a row: how far the errors can be believed is not known"
            )
        text = f"  Pareto k above {RELIABLE_K} in {rows} rows (largest {k.max().item():.2f})"
        return f"{text}: those are {self._side} by an unknown amount" if rows else text

    @property
    def _side(self) -> str:
        """What a heavy tail does to the estimate; a conditional is a difference of two."""
        return "off" if self.given else "too low"

    def to_arviz(self) -> Any:
        """An arviz ``InferenceData`` with a group ``log_likelihood``, one entry a row."""
        import arviz
        import xarray

        columns = {f: ("row", getattr(self, f).cpu().numpy()) for f in COLUMNS}
        attributes = {"quantity": self.quantity, "num_samples": self.num_samples}
        return arviz.InferenceData(log_likelihood=xarray.Dataset(columns, attrs=attributes))

    def _number(self) -> str:
        most = int(self.draws.max())
        return f"{self.num_samples}" + (f" to {most}" if most >= 2 * self.num_samples else "")

    def minus(self, other: "LogLikelihood") -> "LogLikelihood":
        """log p(target | given) from log p(target, given) and log p(given), drawn independently.

        The distances from the value to the ends of the interval add up in squares, this one's
        lower with the other's upper (Zou & Donner 2008, Statistics in Medicine 27).
        """
        value = self.value - other.value
        below = torch.hypot(self.value - self.low, other.high - other.value)
        above = torch.hypot(self.high - self.value, other.value - other.low)
        return LogLikelihood(
            value=value,
            standard_error=(self.standard_error**2 + other.standard_error**2).sqrt(),
            low=value - below,
            high=value + above,
            ess=torch.minimum(self.ess, other.ess),
            pareto_k=torch.fmax(self.pareto_k, other.pareto_k),
            log_weight_variance=self.log_weight_variance,  # p(given) shifts log w by a constant
            draws=torch.maximum(self.draws, other.draws),
            num_samples=self.num_samples,
            target=tuple(n for n in self.target if n not in other.target),
            given=other.target,
            proposal=self.proposal,
            normalised=self.normalised,
            shared_error=(self.shared_error**2 + other.shared_error**2).sqrt(),
        )

    def warn_if_unreliable(self, advice: str = _ADVICE) -> None:
        """Warn of the rows whose estimate is not to be trusted, naming them, with some advice."""
        rows = self.unreliable.tolist()
        if rows:
            shown = ", ".join(map(str, rows[:10])) + (", ..." if len(rows) > 10 else "")
            warnings.warn(
                f"{self.quantity}: {len(rows)} of {len(self.value)} rows have a Pareto k above "
                f"{RELIABLE_K}; their estimates are {self._side} by an unknown amount "
                f"(rows {shown}). {advice}",
                UnreliableLikelihoodWarning,
                stacklevel=3,
            )


def summarise_weights(log_w: Tensor, log_pi: Tensor) -> dict[str, Tensor]:
    """Estimate, error and diagnostics from log importance weights, the ``COLUMNS``.

    Args:
        log_w: log p(x, z) - log q(z), (S, K, N): S strata of K draws each, q the whole mixture.
        log_pi: Log-probabilities of the strata, (S, N); zeros for one stratum.

    The estimate is sum_s pi_s (1/K) sum_k w_sk; its variance sum_s pi_s^2 Var_k[w_sk] / K. The
    interval's variance and skewness are these sums with the tails of the strata as fitted.
    """
    log_w, log_pi = log_w.double(), log_pi.double()
    num_strata, num_draws = log_w.shape[:2]
    weighted = log_w + log_pi[:, None]
    log_total = torch.logsumexp(weighted.flatten(0, 1), 0)
    share = torch.exp(weighted - log_total)  # sums to 1 over strata and draws
    ess = 1.0 / (share**2).sum((0, 1))
    value = log_total - math.log(num_draws)
    # The tail is that of w as a function of z. Times pi_s, stray draws of a likely stratum would
    # pass for a tail among those of an unlikely one, although w itself is bounded.
    pooled = log_w.masked_fill(log_pi[:, None] == -torch.inf, -torch.inf).flatten(0, 1)
    tail = weight_moments(pooled)
    if num_draws > 1:
        # Var of K * mean, in units of the total, is K * Var_k[share] in each stratum.
        error = (num_draws * share.var(1)).sum(0).sqrt()
        variance = _variance(log_w, log_pi)
        tails = [tail] if num_strata == 1 else [weight_moments(stratum) for stratum in log_w]
        low, high = interval_of_log_mean(*_cumulants(tails, share))
    else:
        error = variance = low = high = torch.full_like(ess, math.nan)
    return {
        "value": value,
        "standard_error": error,
        "low": value + low,
        "high": value + high,
        "ess": ess,
        "pareto_k": tail.pareto_k,
        "log_weight_variance": variance,
        "draws": torch.full_like(ess, num_strata * num_draws, dtype=torch.long),
    }


def _cumulants(tails: Sequence[Moments], share: Tensor) -> tuple[Tensor, Tensor]:
    """Standard error and skewness of the estimate over its value, the tails as fitted, (N,)."""
    num_draws = share.shape[1]
    part = share.sum(1)  # of each stratum in the total, (S, N)
    variance = (part**2 * torch.stack([t.variance for t in tails])).sum(0) / num_draws
    third = (part**3 * torch.stack([t.third for t in tails])).sum(0) / num_draws**2
    return variance.sqrt(), third / variance.clamp(min=1e-300) ** 1.5


def _variance(log_w: Tensor, log_pi: Tensor) -> Tensor:
    """Variance of log w under the whole proposal, (N,): within the strata and between them."""
    share = log_pi.exp()
    center = log_w.mean(1)
    within = torch.where(share > 0, share * log_w.var(1), 0.0).sum(0)
    middle = torch.where(share > 0, share * center, 0.0).sum(0)
    return within + torch.where(share > 0, share * (center - middle) ** 2, 0.0).sum(0)
