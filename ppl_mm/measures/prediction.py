"""The quality of predictions: labels by error and average precision, other values by RMSE.

All look at p(x_target | z) with z the mean of q(z | x_given), or at its average over draws of z.

Source: Mancisidor et al. 2023 (CMMD), doi:10.1016/j.neunet.2023.10.048, section 4 and release.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical

from ppl_mm.arguments.tensors import Matrix
from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.accuracy import (
    as_label,
    check_labels,
    check_not_given,
    predict,
    target_distributions,
)
from ppl_mm.measures.averaged import averaged, own_values
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.result import Number, Result, number
from ppl_mm.systems import System

__all__ = [
    "AveragePrecision",
    "average_precision",
    "average_precision_of",
    "classification_error",
    "holding",
    "label_probabilities",
    "probabilities",
    "rmse",
]

Given = str | Sequence[str] | None


class _Draws(TypedDict):
    num_samples: int | None
    batch_size: int
    seed: int


@typed
def probabilities(
    system: System,
    obs: Observations,
    label: str,
    given: Given = None,
    *,
    num_samples: int | None = None,
    batch_size: int = 1000,
    seed: int = 0,
) -> Tensor:
    """p(y | z) of every class at z = the mean of q(z | x_given), or p(y | x_given) by draws of z.

    Args:
        system: The system, a model and a guide.
        obs: The rows.
        label: The label's name: a class, one yes-or-no label, or several.
        given: The modalities to predict from; None is all except the label.
        num_samples: The number of weighted draws of the model's posterior to average over, see
            :mod:`ppl_mm.measures.averaged`; None is the mean of z alone.
        batch_size: The number of rows at a time, for the mean of z.
        seed: The seed of the draws.

    Returns:
        (N, C) for classes, and (N, *event_shape) for yes-or-no labels.

    Raises:
        ValueError: If the label is given.
        TypeError: If the label's likelihood is none of these.
    """
    options: _Draws = {"num_samples": num_samples, "batch_size": batch_size, "seed": seed}
    return _read(system, obs, label, given, **options)[0]


@typed
def classification_error(
    system: System,
    obs: Observations,
    label: str,
    given: Given = None,
    *,
    num_samples: int | None = None,
    batch_size: int = 1000,
    seed: int = 0,
) -> Estimate:
    """The share of rows with a label whose likeliest class is another, in [0, 1].

    For yes-or-no labels it is the share of wrong ones; a probability above 1/2 is a yes.

    Args:
        system: The system, a model and a guide.
        obs: The rows, with the true labels.
        label: The label's name.
        given: The modalities to predict from; None is all except the label.
        num_samples: The number of draws of z per row over which to average probabilities; None is
            the mean of z alone, as in the release.
        batch_size: The number of rows at a time.
        seed: The seed of the draws.

    Returns:
        The share, with the standard error over rows.

    Raises:
        ValueError: If no row has a label, or it is given.
        TypeError: For a label whose likelihood has no probabilities of classes.

    Example:
        >>> from ppl_mm import data, systems
        >>> digits = data.load("digits")
        >>> system = systems.mvae(digits.modalities, 4)
        >>> error = classification_error(system, digits.test, "label", given=["top"])
        >>> 0.5 < error.value <= 1.0  # untrained
        True
    """
    obs = holding(system, obs, label)
    check_labels(label, obs[label])
    options: _Draws = {"num_samples": num_samples, "batch_size": batch_size, "seed": seed}
    found, exclusive = _read(system, obs, label, given, **options)
    truth = obs[label].to(found.device)
    if exclusive:
        classes = truth if truth.dim() == 1 else truth.argmax(-1)
        return Estimate.of(found.argmax(-1) != classes)
    wrong = (found > 0.5) != (truth > 0.5)
    return _mean_of_elements(wrong.double(), obs, label)


@dataclass(frozen=True)
class AveragePrecision(Result):
    """Average precision of predicted labels, in [0, 1].

    Attributes:
        per_class: The average precision of every class, (C,); NaN for a class that no row has.
        macro: Mean over the classes that some row has: mAP.
        micro: The average precision of all pairs of a row and a class as one ranking.
    """

    per_class: Tensor
    macro: float
    micro: float

    def numbers(self) -> Iterator[Number]:
        """Both averages, and every class."""
        yield number("mean average precision", self.macro, target="macro")
        yield number("mean average precision", self.micro, target="micro")
        for i, value in enumerate(self.per_class.tolist()):
            yield number("average precision", value, target=f"class {i}")

    def __str__(self) -> str:
        return f"mAP {self.macro:.3f} (macro), {self.micro:.3f} (micro)"

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers for JSON."""
        return {"macro": self.macro, "micro": self.micro, "per_class": self.per_class.tolist()}


@typed
def average_precision(
    system: System,
    obs: Observations,
    label: str,
    given: Given = None,
    *,
    num_samples: int | None = None,
    batch_size: int = 1000,
    seed: int = 0,
) -> AveragePrecision:
    """Average precision of the probabilities of a label's classes, by scikit-learn.

    Args:
        system: The system, a model and a guide.
        obs: The rows, with the true labels.
        label: The label's name.
        given: The modalities to predict from; None is all except the label.
        num_samples: As of :func:`classification_error`.
        batch_size: The number of rows at a time.
        seed: The seed of the draws.

    Raises:
        ValueError: If no row has a label, no label is true, or it is given.
        TypeError: For a label whose likelihood has no probabilities of classes.

    Source: as the module. The paper's text means the macro average; its release has the micro one.
    """
    obs = holding(system, obs, label)
    check_labels(label, obs[label])
    options: _Draws = {"num_samples": num_samples, "batch_size": batch_size, "seed": seed}
    obs = obs[obs.whole(label)]
    scores = probabilities(system, obs, label, given, **options).cpu()
    truth = obs[label].cpu()
    if not truth.is_floating_point():
        truth = torch.nn.functional.one_hot(truth, scores.shape[-1])
    return average_precision_of(scores.reshape(len(obs), -1), truth.reshape(len(obs), -1))


@typed
def average_precision_of(scores: Matrix, truth: Matrix) -> AveragePrecision:
    """Average precision of scores (N, C) of labels (N, C), which are 0 or 1.

    Raises:
        ValueError: If the shapes differ, or no label is true.

    Example:
        >>> scores = torch.tensor([[0.9, 0.1], [0.8, 0.7], [0.2, 0.6]])
        >>> print(average_precision_of(scores, torch.tensor([[1, 0], [0, 1], [1, 0]])))
        mAP 0.917 (macro), 0.756 (micro)
    """
    from sklearn.metrics import average_precision_score

    if scores.shape != truth.shape or scores.dim() != 2:
        raise ValueError(
            f"average_precision: expected scores and labels (N, C), got {tuple(scores.shape)} and "
            f"{tuple(truth.shape)}."
        )
    yes, ranked = truth.numpy() > 0.5, scores.numpy()
    if not yes.any():
        raise ValueError("average_precision: expected some true label, got none.")
    per_class = torch.tensor(
        [
            average_precision_score(yes[:, c], ranked[:, c]) if yes[:, c].any() else float("nan")
            for c in range(yes.shape[1])
        ],
        dtype=torch.float64,
    )
    micro = float(average_precision_score(yes, ranked, average="micro"))
    return AveragePrecision(per_class, per_class.nanmean().item(), micro)


@typed
def rmse(
    system: System,
    obs: Observations,
    target: str,
    given: Given = None,
    *,
    batch_size: int = 1000,
) -> Estimate:
    """Root mean square error of a generated modality.

        sqrt( mean over rows n and elements j of (x_nj - xhat_nj)^2 )

    xhat is the mean of p(x_target | z) at z = the mean of q(z | x_given).

    Args:
        system: The system, a model and a guide.
        obs: The rows; those that hold the target are compared.
        target: The modality to generate: numbers, not classes or symbols.
        given: The modalities to predict from; None is all except the target.
        batch_size: The number of rows at a time.

    Returns:
        The error in the unit of the data, with its standard error over rows (delta method).

    Raises:
        ValueError: If no row holds the target.
        TypeError: For classes or symbols.
    """
    obs = holding(system, obs, target)
    truth = obs[target]
    if not truth.is_floating_point():
        raise TypeError(
            f"modality {target!r}: expected numbers, got classes or symbols, of which "
            "classification_error or accuracy tells more."
        )
    found = predict(system, obs, target, given, batch_size=batch_size)
    if found.shape != truth.shape:
        raise TypeError(
            f"modality {target!r}: expected numbers, got one-hot rows; use classification_error."
        )
    mean = _mean_of_elements((found - truth.to(found)).square().double(), obs, target)
    if not math.isfinite(mean.value):
        raise ValueError(f"modality {target!r}: the squared error overflows; rescale its values.")
    root = mean.value**0.5
    return Estimate(root, mean.standard_error / (2 * root) if root else 0.0)


def _mean_of_elements(errors: Tensor, obs: Observations, name: str) -> Estimate:
    """The mean of errors (N, *D) over the elements that rows hold, by the delta method."""
    held = obs.observed(name).to(errors.device).reshape(len(obs), -1)
    errors = torch.where(held, errors.reshape(len(obs), -1), 0.0)
    if bool(held.all()):
        return Estimate.of(errors.mean(1))
    number = held.double().sum(1)
    mean = errors.sum() / number.sum()
    return Estimate.of(mean + (errors.sum(1) - mean * number) / number.mean())


def holding(system: System, obs: Observations, name: str) -> Observations:
    """The rows that hold a modality, once it is known that the system can take them."""
    system.check(obs)
    if name not in obs.names:
        raise ValueError(unknown_name("modality to compare with", name, obs.names))
    known = obs.present[name]
    if not bool(known.any()):
        raise ValueError(f"modality {name!r}: no row has it to compare with.")
    return obs[known]


def _read(
    system: System, obs: Observations, label: str, given: Given, **options: Unpack[_Draws]
) -> tuple[Tensor, bool]:
    """Probabilities, and whether they are of classes that exclude each other."""
    found, _, exclusive = label_probabilities(system, obs, label, given, **options)
    return found, exclusive


def label_probabilities(
    system: System,
    obs: Observations,
    label: str,
    given: Given,
    *,
    num_samples: int | None,
    batch_size: int,
    seed: int,
    score: bool = False,
) -> tuple[Tensor, Tensor | None, bool]:
    """Probabilities of a label, log p of the rows' own, and whether classes exclude each other.

    Of classes (N, C), of yes-or-no labels (N, *event). log p is (N,), or None unless ``score``.
    """
    check_not_given(label, given)
    _checked(label, next(target_distributions(system, obs[:1], label, given)))
    if num_samples is not None:
        options: dict[str, Any] = {"seed": seed, "score": score}
        average = averaged(system, obs, label, given, num_samples, **options)
        return average.mean, average.log_p, average.exclusive
    means, scores, start = [], [], 0
    for fn in target_distributions(system, obs, label, given, batch_size=batch_size):
        base = _checked(label, fn)
        means.append(base.probs[0, 0])
        if score:
            own = own_values(base, obs[label])[start : start + len(means[-1])]
            scores.append(fn.log_prob(own.to(base.probs.device))[0, 0])
        start += len(means[-1])
    log_p = torch.cat(scores).double() if score else None
    return torch.cat(means), log_p, not isinstance(base, Bernoulli)


def _checked(label: str, fn: Any) -> Any:
    """The Categorical, one-hot or Bernoulli distribution of a label's elements."""
    base = as_label(label, fn)
    if isinstance(base, Categorical) and len(base.batch_shape) > 3:
        raise TypeError(
            f"modality {label!r}: expected a label, Categorical, Bernoulli or MultiLabel, got "
            "a sequence of symbols; use accuracy."
        )
    return base
