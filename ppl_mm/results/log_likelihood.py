"""Log-likelihood estimates with their errors and diagnostics."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self, TypedDict, cast

import torch
from jaxtyping import Int, Integer, Shaped
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.modality import Modality
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.likelihood_arviz import likelihood_data
from ppl_mm.results.likelihood_errors import NORMAL, ErrorPart, mean_interval
from ppl_mm.results.likelihood_words import RELIABLE_K, STAGES, advice, described
from ppl_mm.results.result import Number, Result, number
from ppl_mm.results.style import BLUE, ORANGE, PALE
from ppl_mm.results.unreliable import NOTHING, warn_of_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COLUMNS", "RELIABLE_K", "STAGES", "LogLikelihood", "likelihood_intervals"]


class _Columns(TypedDict):
    value: Tensor
    standard_error: Tensor
    low: Tensor
    high: Tensor
    ess: Tensor
    pareto_k: Tensor
    log_weight_variance: Tensor
    draws: Tensor
    refinement: Tensor


COLUMNS = tuple(_Columns.__annotations__)
"""The fields of a :class:`LogLikelihood` with one entry for each row, except ``shared_error``."""


@dataclass(frozen=True)
class LogLikelihood(Result):
    """Estimates of log p(x_target | x_given), one a row, in nats.

    Attributes:
        value: The estimate, (N,); 0 for a row that holds nothing of the target, -inf where no
            draw gives the row any probability: it lies beyond what the decoders can give, or its
            log-density beyond what its floating-point numbers can hold. It is never above 0 for a
            discrete target.
        standard_error: The standard error of the estimate, from the spread of its own weights
            (delta method), (N,).
        low: The lower end of a 95 % interval, (N,), see
            :func:`ppl_mm.likelihood.summarise.summarise_weights`: unlike value +- 2 standard errors
            it counts what the weights' tail hides.
        high: The upper end of that interval, (N,).
        ess: The effective sample size of the importance weights, (N,).
        pareto_k: The tail index of the weights, (N,): below 0.7 the interval can be believed, as
            far as the draws go: k cannot see a mode of the posterior that no draw reached. Above
            0.7 the estimate is mostly too low by an unknown amount; a conditional, as a difference
            of two such, is off to either side. Infinite where fewer than ten draws have any
            weight. NaN for fewer than 25 draws.
        log_weight_variance: The variance over draws of log w, (N,); Tables 3 and 7 of the MVAE
            paper. Of a refined proposal it is mostly that of its few draws of the prior, far from
            the posterior, and says nothing of the estimate.
        draws: The number of draws of each row, (N,); of a difference, the larger number.
        refinement: How far each row's proposal was refined, indices in ``STAGES``, (N,).
        num_samples: The number of draws per row that was asked for.
        target: The modalities that are scored.
        given: The modalities conditioned on.
        proposal: The name of the proposal.
        normalised: False where a likelihood is a score and no density (SoftBernoulli): the
            values compare only with models scored the same way.
        shared_error: The part of the standard error that all rows have in common, (N,).
        row_ids: A fingerprint of what each row holds of target and given, by which
            :func:`ppl_mm.evaluation.compare` knows rows of other data.
        parts: The independent parts of the Monte Carlo error, for the error of a mean.
        reason: Why rows that were to be refined keep the guide's draws as they are; "" if none.
        log_weights: The logs of the weights whose mean is exp(value), (draws, N), single
            precision; NaN where a row has fewer draws. None where they are too many to keep, or
            the value is put together from several estimates. For a conditional they are the
            weights of target and given together, divided by the estimate of p(given).
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
    parts: tuple[ErrorPart, ...] = ()
    reason: str = ""
    log_weights: Tensor | None = None

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Shaped[Tensor, " N"]],
        num_samples: int,
        target: tuple[str, ...],
        given: tuple[str, ...],
        proposal: str,
        modalities: Sequence[Modality],
    ) -> Self:
        """A result whose rows have no error in common, from its ``COLUMNS``."""
        settled = _settled(columns)
        below, above = _sides(settled["value"], settled["low"], settled["high"])
        rows = torch.arange(len(below), device=below.device)
        return cls(
            **settled,
            num_samples=num_samples,
            target=target,
            given=given,
            proposal=proposal,
            normalised=all(m.likelihood.normalised for m in modalities if m.name in target),
            shared_error=torch.zeros_like(columns["value"]),
            parts=(ErrorPart(below, above, rows),),
        )

    def sharing(self, draws: Integer[Tensor, " N"]) -> Self:
        """The same, with errors in common where ``draws``, (N,), has equal numbers."""
        parts = tuple(ErrorPart(part.below, part.above, draws) for part in self.parts)
        return replace(self, parts=parts)

    def at(self, rows: Int[Tensor, " n"]) -> Self:
        """The result of some rows, which may be named more than once; without their ids."""
        columns: dict[str, Any] = {f: getattr(self, f)[rows] for f in (*COLUMNS, "shared_error")}
        parts = tuple(ErrorPart(p.below[rows], p.above[rows], p.draws[rows]) for p in self.parts)
        weights = None if self.log_weights is None else self.log_weights[:, rows]
        return replace(self, parts=parts, row_ids=(), log_weights=weights, **columns)

    @property
    def stage(self) -> tuple[str, ...]:
        """The source of each row's number, one of ``STAGES``."""
        return tuple(STAGES[i] for i in self.refinement.long().tolist())

    @property
    def quantity(self) -> str:
        """The name of the estimated quantity, such as ``log p(image | label)``."""
        given = f" | {', '.join(self.given)}" if self.given else ""
        return f"{'log p' if self.normalised else 'score'}({', '.join(self.target)}{given})"

    @property
    def unreliable(self) -> Int[Tensor, " n"]:
        """Indices of the rows with Pareto k above 0.7."""
        return (self.pareto_k > RELIABLE_K).nonzero().squeeze(-1)

    def mean(self) -> float:
        """The average over rows, nats; a row that holds nothing of the target counts as 0."""
        return self.value.mean().item()

    def summary(self) -> dict[str, float]:
        """Averages over rows, and how far to trust them.

        ``standard_error`` is that of the mean over rows (another test set).
        ``monte_carlo_low`` and ``monte_carlo_high`` are a 95 % interval of the mean of these very
        rows (other draws), from the rows' own intervals, so that it counts what heavy tails hide;
        ``monte_carlo_error`` is its half width over 1.96. ``low`` and ``high`` count both sources.
        """
        n, mean = len(self.value), self.mean()
        spread = self.value.std().nan_to_num(math.inf).item() / math.sqrt(n) if n > 1 else math.nan
        below, above = mean_interval(self.parts)
        return {
            "mean": mean,
            "standard_error": spread,
            "low": mean - math.hypot(NORMAL * spread, below),
            "high": above if math.isinf(above) else mean + math.hypot(NORMAL * spread, above),
            "monte_carlo_error": (below + above) / (2 * NORMAL),
            "monte_carlo_low": mean - below,
            "monte_carlo_high": above if math.isinf(above) else mean + above,
            "log_weight_variance": self.log_weight_variance.mean().item(),
            "median_ess": self.ess.median().item(),
            "largest_pareto_k": self.pareto_k.max().item(),
            "unreliable_rows": float(len(self.unreliable)),
            "refined_rows": float((self.refinement > 0).sum()),
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
        return described(self)

    @property
    def side(self) -> str:
        """The direction of a heavy tail's error; a conditional is a difference of two estimates."""
        return "off to either side" if self.given else "mostly too low"

    def to_arviz(self) -> Any:
        """The estimates for arviz and, where they were kept, the weights.

        An ``arviz.InferenceData``, or from arviz 1 on an ``xarray.DataTree``, with the groups

        - ``estimates``: every column, one entry a row;
        - ``posterior``: ``log_weight``, the log weights of the draws, with dimensions (chain, draw,
          row), one chain, for ``arviz.psislw``; NaN where a row has fewer draws than another;
        - ``log_likelihood``: ``log_p``, likewise, for ``arviz.loo``.

        ``arviz.loo`` weighs draws by exp(-l), l their log-likelihoods, and gives

            elpd_i  =  - log (1/K) sum_k exp(-l_ik)

        with the weights' tail smoothed. It expects draws of the posterior of a row's latents, from
        which leaving the row out leads to the prior: l_ik = log p(x_i | z_k), which is log p(x_i)
        less the log ratio of the prior to the posterior, and elpd_i is log p(x_i) in the limit. The
        draws here come from a proposal q and are weighed to the posterior, so ``log_p`` is log p
        less the log of that ratio,

            l_ik  =  log p_i  -  log r_ik,      r_ik = w_ik / ((1/K) sum_k w_ik)

        and elpd_i is the estimate ``value`` again, up to the smoothing; arviz's Pareto k is that
        of the weights. ``elpd_loo`` is the sum of log p over rows with the parameters as they are:
        nothing is fitted anew without a row, and of rows that the system was trained on it is no
        leave-one-out. Its ``p_loo`` tells how uneven the weights are and counts no parameters.
        A row with fewer draws has them again in turn; one with the value -inf makes the sum NaN.

        Example:
            >>> import arviz
            >>> from ppl_mm import data, log_likelihood, systems
            >>> digits = data.load("digits")
            >>> system = systems.mvae(digits.modalities, latent_dim=2)
            >>> found = log_likelihood(system, digits.test[:5])
            >>> loo = arviz.loo(found.to_arviz())
            >>> bool(abs(loo.elpd_loo - found.value.sum()) < 0.1)
            True
        """
        return likelihood_data(self, COLUMNS)

    def minus(self, other: "LogLikelihood") -> "LogLikelihood":
        """log p(target | given) from log p(target, given) and log p(given), drawn independently.

        The distances from the value to the ends of the interval add up in squares, this one's
        lower with the other's upper (Zou & Donner 2008, Statistics in Medicine 27).
        """
        value = self.value - other.value
        own = _sides(self.value, self.low, self.high)
        others = _sides(other.value, other.low, other.high)
        below, above = torch.hypot(own[0], others[1]), torch.hypot(own[1], others[0])
        weights = None if self.log_weights is None else self.log_weights - other.value.float()
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
            parts=(*self.parts, *(part.turned() for part in other.parts)),
            reason=self.reason or other.reason,
            log_weights=weights,
        )

    def warn_if_unreliable(self, what_helps: str | None = None) -> None:
        """Warn of the rows whose estimates cannot be trusted, by name and with advice.

        Args:
            what_helps: The advice; None for that of the stages that the rows' numbers come from.
        """
        nothing = self.value == -math.inf
        doubtful = (self.pareto_k > RELIABLE_K) & ~nothing
        warn_of_rows(self.quantity, nothing, NOTHING)
        warn_of_rows(
            self.quantity,
            doubtful,
            f"have a Pareto k above {RELIABLE_K}; their estimates are {self.side} by an unknown "
            f"amount {{}}. {advice(self, doubtful) if what_helps is None else what_helps}",
        )


@typed
def likelihood_intervals(result: LogLikelihood) -> "Figure":
    """The estimate and 95 % interval of every row, in order; unreliable rows stand out.

    Args:
        result: See :func:`ppl_mm.log_likelihood`.
    """
    from ppl_mm.results.picture import Picture

    figure = Picture(figsize=(5.4, 3.0), layout="constrained")
    axes = figure.subplots()
    order = result.value.argsort()
    flagged = result.pareto_k[order] > RELIABLE_K
    kinds = (
        (~flagged, BLUE, f"Pareto k up to {RELIABLE_K}"),
        (flagged, ORANGE, f"Pareto k above {RELIABLE_K}: not to be trusted"),
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
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return figure


def _sides(value: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The distances from the value to the ends of its interval; infinite where it is -inf."""
    unknown = ~value.isfinite()
    return (value - low).masked_fill(unknown, math.inf), (high - value).masked_fill(
        unknown, math.inf
    )


def _settled(columns: Mapping[str, Tensor]) -> _Columns:
    """The columns with -inf +- inf, and no NaN, in rows of which nothing is known."""
    nothing = {"value": -math.inf, "standard_error": math.inf, "low": -math.inf}
    nothing |= {"high": math.inf, "ess": 0.0, "pareto_k": math.inf, "log_weight_variance": math.inf}
    unknown = ~columns["value"].isfinite()
    settled = {
        n: x.masked_fill(unknown, nothing[n]) if n in nothing else x for n, x in columns.items()
    }
    return cast(_Columns, settled)
