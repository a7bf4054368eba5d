"""Calibration: of labels predicted with probability p, does a share p come true?

    p(y | x_S)  =  sum_k w_k p(y | z_k) / sum_k w_k,    w_k = p(x_S, z_k) / r(z_k)

The row is predicted from any subset S. The probability is the model's own, from the draws of
:func:`ppl_mm.log_likelihood`, so both functions agree. For classes, c is the probability of the
likeliest class, and it comes true (h = 1) if it is the row's class. For yes-or-no labels, c is the
probability of a yes, and each label of each row counts. With these pairs in bins B_b of c of equal
width,

    ECE    =  sum_b |B_b| / n  | mean_{B_b} h  -  mean_{B_b} c |
    Brier  =  sum over classes of (p_c - [y = c])^2;  of yes-or-no labels the mean of (p - y)^2
    NLL    =  - log p(y | x_S), of all labels of a row together

The ECE of a calibrated model is not 0 either, for a bin's share is noisy: up to about
0.4 sqrt(bins / pairs). Compare ECEs of equal numbers of rows and bins.

Source: Guo et al. 2017, arXiv:1706.04599 (ECE, reliability diagram, 15 bins); Brier 1950.
"""

from dataclasses import replace
from typing import Any

import torch
from torch.nn.functional import one_hot

from ppl_mm.arguments.tensors import Numbers
from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.accuracy import check_labels
from ppl_mm.measures.label_probabilities import Given, holding, label_probabilities
from ppl_mm.results.calibration import Calibration
from ppl_mm.systems import System

__all__ = ["calibration", "calibration_of"]


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
        system: The system, a model and a guide.
        obs: The rows, with the true labels; those without are left out. Each is predicted from
            what it has of ``given``.
        label: The label's name: a class, one yes-or-no label, or several.
        given: The modalities to predict from; None is all except the label, ``()`` nothing.
        num_samples: The number of draws of z a row over which to average probabilities; the NLL is
            too high by O(1 / num_samples). None is the mean of z alone, as in ``accuracy``.
        num_bins: The number of bins of the ECE and the diagram.
        batch_size: The number of rows at a time, for the mean of z.
        seed: The seed of the draws.

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
    obs = holding(system, obs, label)
    obs = obs[obs.held_whole(label)]
    check_labels(label, obs[label])
    options: dict[str, Any] = {"num_samples": num_samples, "batch_size": batch_size, "seed": seed}
    p, log_p, classes = label_probabilities(system, obs, label, given, score=True, **options)
    assert log_p is not None
    truth = obs[label]
    if classes and truth.is_floating_point():  # one-hot rows
        truth = truth.argmax(-1)
    found = calibration_of(p.double(), truth if classes else truth.to(p.dtype), num_bins=num_bins)
    names = [n for n in obs.names if n != label] if given is None else given
    asked = (names,) if isinstance(names, str) else tuple(names)
    return replace(found, nats=-log_p.cpu(), label=label, given=asked)


@typed
def calibration_of(probabilities: Numbers, truth: Numbers, *, num_bins: int = 15) -> Calibration:
    """Calibration of predicted probabilities.

    Args:
        probabilities: The probabilities of classes that exclude each other, (N, C); or of a yes,
            the shape of truth.
        truth: Classes as integers (N,); or yes-or-no labels as floats, (N, *event).
        num_bins: The number of bins for the ECE and the diagram.

    Raises:
        ValueError: If the shapes do not fit, or for probabilities outside [0, 1].

    Example:
        >>> p = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.6, 0.4]])
        >>> found = calibration_of(p, torch.tensor([0, 1, 1, 1]))
        >>> print(found.ece(), "|", found.brier())  # (0.1 + 0.2 + 0.7 + 0.6) / 4
        0.400 ± 0.147 | 0.450 ± 0.237
    """
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
