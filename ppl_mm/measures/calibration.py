"""Calibration: of labels predicted with probability p, does a share p come true?

    p(y | x_S)  =  E_{q(z | x_S)} [ p(y | z) ],    the mean over draws of z

of every row, whatever subset S it is predicted from. Classes are judged by the likeliest of them:
p is its probability c, and it comes true (h = 1) where it is the row's class. Yes-or-no labels are
judged by the probability of a yes, label by label, all of them together. With the (row, label)
pairs in bins B_b of equal width by c,

    ECE    =  sum_b |B_b| / n  | mean_{B_b} h  -  mean_{B_b} c |
    Brier  =  sum over classes of (p_c - [y = c])^2;  of yes-or-no labels the mean of (p - y)^2
    NLL    =  - log p(y | x_S), of all labels of a row together

The ECE of a calibrated model is not 0 either, for a bin's share is noisy: up to about
0.4 sqrt(bins / pairs). Compare ECEs of equal numbers of rows and bins.

Source: Guo et al. 2017, arXiv:1706.04599 (ECE, reliability diagram, 15 bins); Brier 1950.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.distributions import Bernoulli
from torch.nn.functional import one_hot

from ppl_mm.arguments.tensors import Numbers
from ppl_mm.arguments.typed import typed
from ppl_mm.batch.checks import check_at_least_one
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.accuracy import check_labels
from ppl_mm.measures.prediction import Given, holding, label_distributions
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.result import Number, Result, number
from ppl_mm.systems import System

__all__ = ["Calibration", "Reliability", "calibration", "calibration_of"]


@dataclass(frozen=True)
class Reliability:
    """What happened in each bin of predicted probabilities, NaN for an empty one.

    Attributes:
        count: Predictions, (bins,).
        predicted: Their mean probability, (bins,).
        happened: The share that came true, (bins,).
        standard_error: Of this share, sqrt( h (1 - h) / count ), (bins,).
    """

    count: Tensor
    predicted: Tensor
    happened: Tensor
    standard_error: Tensor


@dataclass(frozen=True)
class Calibration(Result):
    """How far predicted probabilities can be believed, see the module.

    Standard errors are over rows: another test set, the same trained system.

    Attributes:
        predicted: c, (N, L): of the likeliest class (L = 1), or of a yes for each of L labels.
        happened: h, bool (N, L).
        brier_scores: Of every row, (N,).
        nats: - log p(y | x_S) of every row, (N,).
        num_bins: Of equal width, from 0 to 1.
        label: What was predicted.
        given: What from; None where that is not known.
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

    def figure(self) -> Figure:
        """The reliability diagram, see :func:`ppl_mm.plotting.reliability_diagram`."""
        from ppl_mm import plotting

        return plotting.reliability_diagram(self)

    def _bins(self) -> Tensor:
        """The bin of every prediction, (N, L); 1 is in the last one."""
        return (self.predicted * self.num_bins).long().clamp(max=self.num_bins - 1)


@typed
def calibration(
    system: System,
    obs: Observations,
    label: str,
    given: Given = None,
    *,
    num_samples: int | None = 100,
    num_bins: int = 15,
    batch_size: int = 1000,
    seed: int = 0,
) -> Calibration:
    """Calibration of p(y | x_given), see the module.

    Args:
        system: A model and a guide.
        obs: The rows, with the true labels; those without are left out. Each is predicted from
            what it has of ``given``.
        label: The label's name: a class, one yes-or-no label, or several.
        given: What to predict from; None is all but the label, ``()`` nothing.
        num_samples: Draws of z a row over which to average probabilities; the NLL is too high by
            O(1 / num_samples). None is the mean of z alone, as in ``accuracy``.
        num_bins: For the ECE and the diagram.
        batch_size: Rows at a time.
        seed: Of the draws.

    Raises:
        ValueError: If no row has a label, it is given, or a conditional model conditions on more.
        TypeError: For a label whose likelihood has no probabilities of classes.

    Source: as the module. The marginal over z is ours, as is the label's of many.

    Example:
        >>> from ppl_mm import data, systems
        >>> digits = data.load("digits")
        >>> system = systems.mvae(digits.modalities, 4)
        >>> found = calibration(system, digits.test[:100], "label", ["top"], num_samples=10)
        >>> list(found.to_pandas()["measure"][:3])
        ['ECE', 'Brier', 'NLL']
    """
    check_at_least_one("batch_size", batch_size)
    obs = holding(system, obs, label)
    check_labels(label, obs[label])
    options: dict[str, Any] = {"num_samples": num_samples, "batch_size": batch_size, "seed": seed}
    probabilities, truth, nats = [], [], []
    batches = label_distributions(system, obs, label, given, **options)
    for base, y in zip(batches, obs[label].split(batch_size), strict=True):
        if isinstance(base, Bernoulli):
            y = y.to(base.logits)
        else:  # classes as indices, one-hot rows too
            y = (y.argmax(-1) if y.is_floating_point() else y).to(base.logits.device)
        log_p = _log_p(base, y).double()
        probabilities.append(base.probs.double().mean(0)[0])
        truth.append(y)
        nats.append(math.log(len(log_p)) - log_p.logsumexp(0))
    found = calibration_of(torch.cat(probabilities), torch.cat(truth), num_bins=num_bins)
    names = [n for n in obs.names if n != label] if given is None else given
    asked = (names,) if isinstance(names, str) else tuple(names)
    return replace(found, nats=torch.cat(nats).cpu(), label=label, given=asked)


def _log_p(base: Any, truth: Tensor) -> Tensor:
    """log p(y | z) of a row's labels at every draw of z, (K, B)."""
    if not isinstance(base, Bernoulli):  # logits are log-probabilities there
        logits = base.logits[:, 0]
        return logits.gather(-1, truth.expand(len(logits), -1)[..., None])[..., 0]
    log_p = base.log_prob(truth)[:, 0]  # (K, B, *event)
    return log_p.reshape(*log_p.shape[:2], -1).sum(-1)


@typed
def calibration_of(probabilities: Numbers, truth: Numbers, *, num_bins: int = 15) -> Calibration:
    """Calibration of predicted probabilities.

    Args:
        probabilities: Of classes that exclude each other, (N, C); or of a yes, the shape of truth.
        truth: Classes as integers (N,); or yes-or-no labels as floats, (N, *event).
        num_bins: For the ECE and the diagram.

    Raises:
        ValueError: If the shapes do not fit, or for probabilities outside [0, 1].

    Example:
        >>> p = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
        >>> found = calibration_of(p, torch.tensor([0, 1, 1, 1]))
        >>> print(found.ece(), "|", found.brier())  # (0.1 + 0.2 + 0.7 + 0.6) / 4
        0.400 ± 0.147 | 0.450 ± 0.237
    """
    check_at_least_one("num_bins", num_bins)
    p, truth = probabilities.detach().cpu().double(), truth.cpu()
    classes = not truth.is_floating_point()
    if not len(p) or (p.shape[:-1] if classes else p.shape) != truth.shape:
        raise ValueError(
            "calibration: expected probabilities (N, C) of classes (N,) as integers, or those of a "
            f"yes in the shape of labels 0.0 or 1.0, got {tuple(p.shape)} and {truth.dtype} of "
            f"shape {tuple(truth.shape)}."
        )
    if classes and not 0 <= int(truth.min()) <= int(truth.max()) < p.shape[-1]:
        raise ValueError(
            f"calibration: expected truth as classes from 0 to {p.shape[-1] - 1}, got "
            f"{int(truth.min())} to {int(truth.max())}."
        )
    if not bool(((p >= 0) & (p <= 1 + 1e-6)).all()):
        raise ValueError("calibration: expected probabilities between 0 and 1.")
    if classes:
        predicted, likeliest = p.max(-1, keepdim=True)
        happened = likeliest == truth[:, None]
        brier = (p - one_hot(truth, p.shape[-1])).square().sum(-1)
        nats = -p.gather(-1, truth[:, None]).log()[:, 0]
    else:
        predicted, happened = p.reshape(len(p), -1), truth.reshape(len(p), -1) > 0.5
        brier = (predicted - happened.double()).square().mean(1)
        nats = -torch.where(happened, predicted, 1 - predicted).log().sum(1)
    return Calibration(predicted, happened, brier, nats, num_bins)
