"""The calibration of predicted probabilities, and their reliability diagram.

Source: Guo et al. 2017, arXiv:1706.04599, figure 1; Niculescu-Mizil & Caruana 2005.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.result import Number, Result, number
from ppl_mm.results.style import BLUE, ORANGE, PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Calibration", "Reliability", "reliability_diagram"]


@dataclass(frozen=True)
class Reliability:
    """The outcomes in each bin of predicted probabilities, NaN for an empty one.

    Attributes:
        count: The number of predictions, (bins,).
        predicted: Their mean probability, (bins,).
        happened: The share that came true, (bins,).
        standard_error: The standard error of this share, sqrt( h (1 - h) / count ), (bins,).
    """

    count: Tensor
    predicted: Tensor
    happened: Tensor
    standard_error: Tensor


@dataclass(frozen=True)
class Calibration(Result):
    """The calibration of predicted probabilities, see :mod:`ppl_mm.measures.calibration`.

    Standard errors are over rows, as for another test set and the same trained system.

    Attributes:
        predicted: The probabilities c, (N, L), of the likeliest class (L = 1), or of a yes for each
            of L labels.
        happened: Whether each came true, h, bool (N, L).
        brier_scores: The Brier score of every row, (N,).
        nats: - log p(y | x_S) of every row, (N,).
        num_bins: The number of bins, of equal width, from 0 to 1.
        label: The label that was predicted.
        given: The modalities that it was predicted from; None where they are not known.
    """

    predicted: Tensor
    happened: Tensor
    brier_scores: Tensor
    nats: Tensor
    num_bins: int
    label: str = "label"
    given: tuple[str, ...] | None = None

    def ece(self) -> Estimate:
        """The expected calibration error, in [0, 1].

        It is the mean over rows of sign_b (h - c), sign_b that of its bin; the standard error is
        that of this mean.
        """
        found = self.reliability()
        sign = (found.happened - found.predicted).sign()[self._bins()]
        return Estimate.of((sign * (self.happened.double() - self.predicted)).mean(1))

    def brier(self) -> Estimate:
        """The Brier score: from 0 to 2 of classes, to 1 of yes-or-no labels; chance is not 0."""
        return Estimate.of(self.brier_scores)

    def nll(self) -> Estimate:
        """- log p(y | x_S), nats a row."""
        return Estimate.of(self.nats)

    def reliability(self) -> Reliability:
        """The bins of the reliability diagram."""
        bins = self._bins().flatten()
        sums = [
            torch.zeros(self.num_bins, dtype=torch.float64).index_add_(0, bins, x.double())
            for x in (torch.ones(bins.shape), self.predicted.flatten(), self.happened.flatten())
        ]
        count, predicted, happened = sums[0], sums[1] / sums[0], sums[2] / sums[0]
        error = (happened * (1 - happened) / count).sqrt()
        return Reliability(count.long(), predicted, happened, error)

    def numbers(self) -> Iterator[Number]:
        """The three scores, then the share that came true in every bin that is not empty."""
        for measure, found in (("ECE", self.ece()), ("Brier", self.brier()), ("NLL", self.nll())):
            yield number(measure, found, self.given, self.label)
        bins = self.reliability()
        for b in bins.count.nonzero().squeeze(-1).tolist():
            share = Estimate(bins.happened[b].item(), bins.standard_error[b].item())
            where = {"predicted": bins.predicted[b].item(), "count": int(bins.count[b])}
            yield number("came true", share, self.given, self.label, **where)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers for JSON, an estimate as [value, standard error]."""
        bins, filled = self.reliability(), self.reliability().count > 0
        return {
            "given": None if self.given is None else list(self.given),
            "ece": self.ece().to_list(),
            "brier": self.brier().to_list(),
            "nll": self.nll().to_list(),
            "count": bins.count[filled].tolist(),
            "predicted": bins.predicted[filled].tolist(),
            "came true": bins.happened[filled].tolist(),
        }

    def figure(self) -> "Figure":
        """The reliability diagram, see :func:`ppl_mm.plotting.reliability_diagram`."""
        return reliability_diagram(self)

    def _bins(self) -> Tensor:
        """The bin of every prediction, (N, L); 1 is in the last one."""
        return (self.predicted * self.num_bins).long().clamp(max=self.num_bins - 1)


@typed
def reliability_diagram(found: Calibration) -> "Figure":
    """The observed against the predicted frequency of each bin, above the number of predictions.

    Points below the dashed line are overconfident. Bars are one standard error.

    Args:
        found: The result of :func:`ppl_mm.evaluation.calibration`.
    """
    from ppl_mm.results.picture import Picture

    bins = found.reliability()
    filled = bins.count > 0
    figure = Picture(figsize=(4.2, 4.8), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], linestyle="--", color="black", linewidth=0.8)
    above.errorbar(
        bins.predicted[filled].numpy(),
        bins.happened[filled].numpy(),
        yerr=bins.standard_error[filled].numpy(),
        fmt="o-",
        color=BLUE,
        markersize=4,
    )
    given = "" if found.given is None else f" given {' + '.join(found.given) or 'nothing'}"
    above.set(
        title=f"{found.label}{given}\nECE {found.ece()}",
        ylabel="share that came true",
        xlim=(0, 1),
        ylim=(-0.02, 1.02),
    )
    below.hist(found.predicted.flatten().numpy(), bins=found.num_bins, range=(0, 1), color=ORANGE)
    below.set(xlabel="predicted probability", ylabel="predictions")
    for axes in (above, below):
        axes.grid(color=PALE)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    return figure
