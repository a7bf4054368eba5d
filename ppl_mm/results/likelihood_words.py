"""The description of a log-likelihood result in words."""

import math
from collections import Counter
from typing import TYPE_CHECKING

from jaxtyping import Bool
from torch import Tensor

from ppl_mm.arguments.wording import counted

if TYPE_CHECKING:
    from ppl_mm.results.log_likelihood import LogLikelihood

__all__ = ["RELIABLE_K", "STAGES", "advice", "described"]

RELIABLE_K = 0.7
"""Vehtari et al. 2024, arXiv:1507.02646: above it an estimate is not to be trusted."""

STAGES = ("guide", "laplace", "variational", "adaptive", "annealed")
"""The stages of a row's proposal; ``guide`` is the proposal that was asked for, alone."""

_FITTED = {"laplace", "variational", "adaptive"}
_UNREFINED = (
    "More draws alone rarely help: refine the proposals (refine='auto', the default), or ask for "
    "evaluation.annealed_log_likelihood with more temperatures, or use proposal='defensive'."
)
_ANNEAL = (
    "Refined rows: take chains from their proposals (refine='annealed'), or ten times the draws."
)
_LONGER = (
    "Annealed rows: take more temperatures and chains, by "
    "evaluation.annealed_log_likelihood(..., start='refined')."
)


def described(result: "LogLikelihood") -> str:
    """The lines that a :class:`ppl_mm.evaluation.LogLikelihood` prints."""
    s, rows = result.summary(), len(result.value)
    interval = f"95 % {s['low']:.3f} to {s['high']:.3f} over rows and draws" if rows > 1 else ""
    drawn = f"{s['monte_carlo_low']:.3f} to {s['monte_carlo_high']:.3f} over draws alone"
    doubt = len(result.unreliable)
    if doubt:
        drawn += f", too narrow: {counted(doubt, 'row')} cannot be trusted"
    drawing = (
        f"  {_number(result)} draws a row from the {result.proposal}; median effective sample "
        f"size {s['median_ess']:.0f}"
    )
    if not s["refined_rows"]:  # a refined proposal's is mostly that of its few draws of the prior
        drawing += f"; variance of log weights {s['log_weight_variance']:.2f}"
    lines = [
        f"{result.quantity} = {s['mean']:.3f} nats a row ({rows} rows)",
        "  " + "; ".join(part for part in (interval, drawn) if part),
        drawing,
        _refined(result),
        _trust(result),
    ]
    if not result.normalised:
        lines.append(
            "  a score, not a density: SoftBernoulli is not normalised for grey values, so "
            "compare it only with models scored the same way"
        )
    return "\n".join(line for line in lines if line)


def advice(result: "LogLikelihood", doubtful: Bool[Tensor, " N"]) -> str:
    """What helps the doubtful rows of a result next, by the stages that their numbers come from."""
    stages = {result.stage[i] for i in doubtful.nonzero().squeeze(-1).tolist()}
    parts = []
    if "guide" in stages:
        parts.append(f"They are not refined: {result.reason}." if result.reason else _UNREFINED)
    if stages & _FITTED:
        parts.append(_ANNEAL)
    if "annealed" in stages:
        parts.append(_LONGER)
    return " ".join(parts)


def _number(result: "LogLikelihood") -> str:
    most = int(result.draws.max())
    return f"{result.num_samples}" + (f" to {most}" if most >= 2 * result.num_samples else "")


def _refined(result: "LogLikelihood") -> str:
    """The number of rows that each stage refined."""
    count = Counter(result.stage)
    guide = count.pop("guide", 0)
    found = ", ".join(f"{count[stage]} by {stage}" for stage in STAGES if stage in count)
    parts = [f"refined: {found}"] if found else []
    if guide and (found or result.reason):
        parts.append(f"{guide} by the draws of the guide alone")
    text = "; ".join(parts)
    if result.reason:
        text += f" ({result.reason})"
    return f"  {text}" if text else ""


def _trust(result: "LogLikelihood") -> str:
    """The line about Pareto k."""
    k, rows = result.pareto_k, len(result.unreliable)
    if bool(k.isnan().any()):
        return "  Pareto k needs 25 draws a row: how far the errors can be believed is not known"
    text = f"  Pareto k above {RELIABLE_K} in {rows} rows (largest {k.max().item():.2f})"
    text += f": those are {result.side} by an unknown amount" if rows else ""
    nothing = int((result.value == -math.inf).sum())
    return text + (f"\n  -inf in {nothing} rows, of which nothing is known" if nothing else "")
