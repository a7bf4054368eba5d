"""The quality of predictions: labels by their error, other values by RMSE.

Both look at p(x_target | z) with z the mean of q(z | x_given), labels also at its average over
draws of z.

Source: Mancisidor et al. 2023 (CMMD), doi:10.1016/j.neunet.2023.10.048, section 4 and release.
"""

import math

import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.accuracy import check_labels, predict
from ppl_mm.measures.label_probabilities import Given, LabelDraws, holding, label_probabilities
from ppl_mm.results.estimate import Estimate
from ppl_mm.systems import System

__all__ = ["classification_error", "rmse"]


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
    options: LabelDraws = {"num_samples": num_samples, "batch_size": batch_size, "seed": seed}
    found, _, exclusive = label_probabilities(system, obs, label, given, **options)
    truth = obs[label].to(found.device)
    if exclusive:
        classes = truth if truth.dim() == 1 else truth.argmax(-1)
        return Estimate.of(found.argmax(-1) != classes)
    wrong = (found > 0.5) != (truth > 0.5)
    return _mean_of_elements(wrong.double(), obs, label)


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
