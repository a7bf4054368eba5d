"""Log-likelihood estimates with what is known of their error."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.modality import Modality
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.result import Number, Result, number
from ppl_mm.results.style import BLUE, ORANGE, PALE
from ppl_mm.results.unreliable import NOTHING, warn_of_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLUMNS", "RELIABLE_K", "STAGES", "LogLikelihood", "likelihood_intervals"]

RELIABLE_K = 0.7
"""Vehtari et al. 2024, arXiv:1507.02646: above it an estimate is not to be trusted."""

COLUMNS = (
    "value",
    "standard_error",
    "low",
    "high",
    "ess",
    "pareto_k",
    "log_weight_variance",
    "draws",
    "refinement",
)
"""The fields of a :class:`LogLikelihood` with one entry a row, but for ``shared_error``."""


STAGES = ("guide", "laplace", "variational", "adaptive", "annealed")
"""How far a row's proposal is refined; ``guide`` is the one that was asked for, alone."""

_ADVICE = (
    "Refine the proposals: refine='auto'; or use proposal='defensive', or train the guide further."
)


@dataclass(frozen=True)
class LogLikelihood(Result):
    """Estimates of log p(x_target | x_given), one a row, in nats.

    Attributes:
        value: The estimate, (N,); 0 for a row that holds nothing of the target, -inf where no
            draw gives the row any probability: it lies beyond what the decoders can give, or its
            log-density beyond what its floating-point numbers can hold.
        standard_error: Of the estimate, from the spread of its own weights (delta method), (N,).
        low: Lower end of a 95 % interval, (N,), see :func:`ppl_mm.likelihood.tails.weight_moments`:
            unlike value +- 2 standard errors it counts what the weights' tail hides.
        high: Upper end, (N,).
        ess: Effective sample size of the importance weights, (N,).
        pareto_k: Tail index of the weights, (N,): below 0.7 the standard error can be believed,
            above it the estimate is too low by an unknown amount, or, being a difference of two
            such for a conditional, off by one. Infinite where fewer than ten draws have any
            weight. NaN for fewer than 25 draws.
        log_weight_variance: Variance over draws of log w, (N,); Tables 3 and 7 of the MVAE paper.
        draws: How many were made for each row, (N,); of a difference, the larger number.
        refinement: How far each row's proposal was refined, indices in ``STAGES``, (N,).
        num_samples: Draws per row that were asked for, at least.
        target: The modalities scored.
        given: The modalities conditioned on.
        proposal: Where the draws came from.
        normalised: False where a likelihood is a score and no density (SoftBernoulli): the
            values compare only with models scored the same way.
        shared_error: Part of the standard error that all rows have in common, (N,).
        row_ids: A fingerprint of what each row holds of target and given, by which
            :func:`ppl_mm.evaluation.compare` knows rows of other data.
    """

    value: Tensor
    standard_error: Tensor
    low: Tensor
    high: Tensor
    ess: Tensor
    pareto_k: Tensor
    log_weight_variance: Tensor
    draws: Tensor
    refinement: Tensor
    num_samples: int
    target: tuple[str, ...]
    given: tuple[str, ...]
    proposal: str
    normalised: bool
    shared_error: Tensor
    row_ids: tuple[str, ...] = ()

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
            **_settled(columns),
            num_samples=num_samples,
            target=target,
            given=given,
            proposal=proposal,
            normalised=all(m.likelihood.normalised for m in modalities if m.name in target),
            shared_error=torch.zeros_like(columns["value"]),
        )

    @property
    def stage(self) -> tuple[str, ...]:
        """Where each row's number comes from, one of ``STAGES``."""
        return tuple(STAGES[i] for i in self.refinement.long().tolist())

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
        spread = self.value.std().nan_to_num(math.inf).item() / math.sqrt(n) if n > 1 else math.nan
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

    def figure(self) -> "Figure":
        """The 95 % interval of every row, see :func:`ppl_mm.plotting.likelihood_intervals`."""
        return likelihood_intervals(self)

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
        text += f": those are {self._side} by an unknown amount" if rows else ""
        nothing = int((self.value == -math.inf).sum())
        return text + (f"\n  -inf in {nothing} rows, of which nothing is known" if nothing else "")

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
        columns = {
            "value": value,
            "standard_error": (self.standard_error**2 + other.standard_error**2).sqrt(),
            "low": value - below,
            "high": value + above,
            "ess": torch.minimum(self.ess, other.ess),
            "pareto_k": torch.fmax(self.pareto_k, other.pareto_k),
            "log_weight_variance": self.log_weight_variance,  # p(given) shifts it by a constant
            "draws": torch.maximum(self.draws, other.draws),
            "refinement": torch.maximum(self.refinement, other.refinement),
        }
        return LogLikelihood(
            **_settled(columns),
            num_samples=self.num_samples,
            target=tuple(n for n in self.target if n not in other.target),
            given=other.target,
            proposal=self.proposal,
            normalised=self.normalised,
            shared_error=(self.shared_error**2 + other.shared_error**2).sqrt(),
        )

    def warn_if_unreliable(self, advice: str = _ADVICE) -> None:
        """Warn of the rows whose estimate is not to be trusted, naming them, with some advice."""
        nothing = self.value == -math.inf
        warn_of_rows(self.quantity, nothing, NOTHING)
        warn_of_rows(
            self.quantity,
            (self.pareto_k > RELIABLE_K) & ~nothing,
            f"have a Pareto k above {RELIABLE_K}; their estimates are {self._side} by an unknown "
            f"amount {{}}. {advice}",
        )


@typed
def likelihood_intervals(result: LogLikelihood) -> "Figure":
    """The estimate and 95 % interval of every row, in order; unreliable rows stand out.

    Args:
        result: See :func:`ppl_mm.log_likelihood`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.4, 3.0), layout="constrained")
    axes = figure.subplots()
    order = result.value.argsort()
    flagged = result.pareto_k[order] > RELIABLE_K
    kinds = (
        (~flagged, BLUE, f"Pareto k up to {RELIABLE_K}"),
        (flagged, ORANGE, f"Pareto k above {RELIABLE_K}: off by an unknown amount"),
    )
    for chosen, colour, label in kinds:
        at = chosen.nonzero().squeeze(-1)
        if len(at):
            rows = order[at]
            value = result.value[rows]
            sides = [value - result.low[rows], result.high[rows] - value]
            axes.errorbar(
                at.cpu(),
                value.cpu(),
                [side.cpu() for side in sides],
                color=colour,
                fmt=".",
                markersize=3,
                linewidth=0.8,
                label=label,
            )
    axes.set(xlabel="rows, in order", ylabel=f"{result.quantity}, nats")
    axes.grid(color=PALE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small")
    return figure


def _settled(columns: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The columns with -inf +- inf, and no NaN, in rows of which nothing is known."""
    nothing = {"value": -math.inf, "standard_error": math.inf, "low": -math.inf}
    nothing |= {"high": math.inf, "ess": 0.0, "pareto_k": math.inf, "log_weight_variance": math.inf}
    unknown = ~columns["value"].isfinite()
    return {
        n: x.masked_fill(unknown, nothing[n]) if n in nothing else x for n, x in columns.items()
    }
