"""Log-likelihood estimates with what is known of their error."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["LogLikelihood", "UnreliableLikelihoodWarning", "summarise_weights"]

RELIABLE_K = (
    0.7  # Vehtari et al. 2024, arXiv:1507.02646: above it the estimate is not to be trusted
)
_CONSTANT = 1e-3  # nats: weights that differ by less carry rounding, not a tail


class UnreliableLikelihoodWarning(UserWarning):
    """Some rows' importance weights have a tail too heavy for their mean to be trusted."""


@dataclass(frozen=True)
class LogLikelihood:
    """Estimates of log p(x_target | x_given), one a row, in nats.

    Attributes:
        value: The estimate, (N,); 0 for a row that holds nothing of the target.
        standard_error: Of the estimate, from the spread of its own weights (delta method), (N,).
        ess: Effective sample size of the importance weights, (N,).
        pareto_k: Tail index of the weights, (N,): below 0.7 the standard error can be believed,
            above it the estimate is too low by an unknown amount. NaN for fewer than 25 draws.
        log_weight_variance: Variance over draws of log w, (N,); Tables 3 and 7 of the MVAE paper.
        num_samples: Draws per row.
        target: The modalities scored.
        given: The modalities conditioned on.
        proposal: Where the draws came from.
        normalised: False where a likelihood is a score and no density (SoftBernoulli): the
            values compare only with models scored the same way.
        shared_error: Part of the standard error that all rows have in common, (N,).
    """

    value: Tensor
    standard_error: Tensor
    ess: Tensor
    pareto_k: Tensor
    log_weight_variance: Tensor
    num_samples: int
    target: tuple[str, ...]
    given: tuple[str, ...]
    proposal: str
    normalised: bool
    shared_error: Tensor

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
        """The average over rows, nats."""
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

    def __str__(self) -> str:
        s = self.summary()
        lines = [
            f"{self.quantity} = {s['mean']:.3f} +- {s['standard_error']:.3f} nats a row "
            f"({len(self.value)} rows; Monte Carlo error {s['monte_carlo_error']:.3f})",
            f"  {self.num_samples} draws a row from the {self.proposal}; median effective sample "
            f"size {s['median_ess']:.0f}; variance of log weights {s['log_weight_variance']:.2f}",
            f"  Pareto k above {RELIABLE_K} in {int(s['unreliable_rows'])} rows "
            f"(largest {s['largest_pareto_k']:.2f}): those are too low by an unknown amount",
        ]
        if not self.normalised:
            lines.append(
                "  a score, not a density: SoftBernoulli is not normalised for grey values, so "
                "compare it only with models scored the same way"
            )
        return "\n".join(lines)

    def to_arviz(self) -> Any:
        """An arviz ``InferenceData`` with a group ``log_likelihood``, one entry a row."""
        import arviz
        import xarray

        fields = ("value", "standard_error", "ess", "pareto_k", "log_weight_variance")
        columns = {f: ("row", getattr(self, f).cpu().numpy()) for f in fields}
        attributes = {"quantity": self.quantity, "num_samples": self.num_samples}
        return arviz.InferenceData(log_likelihood=xarray.Dataset(columns, attrs=attributes))

    def minus(self, other: "LogLikelihood") -> "LogLikelihood":
        """log p(target | given) from log p(target, given) and log p(given), drawn independently."""
        return LogLikelihood(
            value=self.value - other.value,
            standard_error=(self.standard_error**2 + other.standard_error**2).sqrt(),
            ess=torch.minimum(self.ess, other.ess),
            pareto_k=torch.fmax(self.pareto_k, other.pareto_k),
            log_weight_variance=self.log_weight_variance,  # p(given) shifts log w by a constant
            num_samples=self.num_samples,
            target=tuple(n for n in self.target if n not in other.target),
            given=other.target,
            proposal=self.proposal,
            normalised=self.normalised,
            shared_error=(self.shared_error**2 + other.shared_error**2).sqrt(),
        )

    def warn_if_unreliable(self) -> None:
        """Warn of the rows whose estimate is not to be trusted, naming them."""
        rows = self.unreliable.tolist()
        if rows:
            shown = ", ".join(map(str, rows[:10])) + (", ..." if len(rows) > 10 else "")
            warnings.warn(
                f"{self.quantity}: {len(rows)} of {len(self.value)} rows have a Pareto k above "
                f"{RELIABLE_K}; their estimates are too low by an unknown amount (rows {shown}). "
                "Draw more samples, use proposal='defensive', or train the guide further.",
                UnreliableLikelihoodWarning,
                stacklevel=3,
            )


def summarise_weights(log_w: Tensor, log_pi: Tensor) -> dict[str, Tensor]:
    """Estimate, error and diagnostics from log importance weights.

    Args:
        log_w: log p(x, z) - log q(z), (S, K, N): S strata of K draws each, q the whole mixture.
        log_pi: Log-probabilities of the strata, (S, N); zeros for one stratum.

    The estimate is sum_s pi_s (1/K) sum_k w_sk; its variance sum_s pi_s^2 Var_k[w_sk] / K.
    """
    log_w = log_w.double()
    num_draws = log_w.shape[1]
    weighted = log_w + log_pi.double()[:, None]
    log_total = torch.logsumexp(weighted.flatten(0, 1), 0)
    share = torch.exp(weighted - log_total)  # sums to 1 over strata and draws
    ess = 1.0 / (share**2).sum((0, 1))
    if num_draws > 1:
        # Var of K * mean, in units of the total, is K * Var_k[share] in each stratum.
        error = (num_draws * share.var(1)).sum(0).sqrt()
        variance = _variance(log_w, log_pi.double())
    else:
        error = variance = torch.full_like(ess, math.nan)
    # The tail is that of w as a function of z. Times pi_s, stray draws of a likely stratum would
    # pass for a tail among those of an unlikely one, although w itself is bounded.
    tail = log_w.masked_fill(log_pi[:, None] == -torch.inf, -torch.inf)
    return {
        "value": log_total - math.log(num_draws),
        "standard_error": error,
        "ess": ess,
        "pareto_k": _pareto_k(tail.flatten(0, 1)),
        "log_weight_variance": variance,
    }


def _variance(log_w: Tensor, log_pi: Tensor) -> Tensor:
    """Variance of log w under the whole proposal, (N,): within the strata and between them."""
    share = log_pi.exp()
    center = log_w.mean(1)
    within = torch.where(share > 0, share * log_w.var(1), 0.0).sum(0)
    middle = torch.where(share > 0, share * center, 0.0).sum(0)
    return within + torch.where(share > 0, share * (center - middle) ** 2, 0.0).sum(0)


def _pareto_k(log_w: Tensor) -> Tensor:
    """Tail index of every column of (K, N), by arviz; 0 for constant weights, NaN for K < 25."""
    import arviz

    finite = log_w.masked_fill(log_w == -torch.inf, torch.nan)
    columns = finite.cpu().numpy()
    low, high = np.nanmin(columns, 0), np.nanmax(columns, 0)
    k = np.zeros(columns.shape[1])
    if len(columns) < 25:
        k[:] = np.nan
    else:
        varied = high - low > _CONSTANT
        if varied.any():
            weights = np.where(np.isnan(columns), low - 100.0, columns)[:, varied]
            with np.errstate(over="ignore"):  # a candidate of the fit with weight 1 / inf = 0
                k[varied] = np.atleast_1d(arviz.psislw(np.ascontiguousarray(weights.T))[1])
    return torch.from_numpy(k).to(log_w.device)
