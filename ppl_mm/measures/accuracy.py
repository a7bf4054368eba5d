"""Predicted labels and their accuracy, from any given modalities."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Shaped
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, OneHotCategorical

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.averaged import averaged
from ppl_mm.measures.generation import central_value, elementwise, target_sites
from ppl_mm.objectives.weights import guide_trace
from ppl_mm.processes import in_order, own_share
from ppl_mm.programs.answerable import check_answerable
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = [
    "accuracy",
    "as_label",
    "check_labels",
    "check_not_given",
    "predict",
    "target_distributions",
]


@typed
def predict(
    system: System,
    obs: Observations,
    target: str,
    given: str | Sequence[str] | None = None,
    *,
    num_samples: int | None = None,
    batch_size: int = 1000,
    seed: int = 0,
) -> Shaped[Tensor, "N *D"]:
    """The likelihood's mean or mode of ``target`` at z = the mean of q(z | x_given).

    With ``num_samples`` it is the mean or mode of p(x_target | x_given), the average over that many
    weighted draws of the model's own posterior, see :mod:`ppl_mm.measures.averaged`: the likeliest
    class is then the one whose :func:`ppl_mm.log_likelihood` is the largest.

    Args:
        system: The system, a model and a guide.
        obs: The rows.
        target: The modality to predict; classes and symbols come as indices.
        given: The modalities to look at; None is all except the target, which is rebuilt
            where it is given.
        num_samples: The number of draws of z a row; None is the mean of z alone, the paper's way.
        batch_size: The number of rows at a time, for the mean of z.
        seed: The seed of the draws.

    Returns:
        (N, *event_shape).

    Source: Wu & Goodman 2018, arXiv:1802.05335, section 5.1.
    """
    if num_samples is not None:
        system.check(obs)
        average = averaged(system, obs, target, given, num_samples, seed=seed)
        return average.mean.argmax(-1) if average.exclusive else average.mean
    number = -(-len(obs) // batch_size)
    share = own_share(number, f"predictions of {target} of {len(obs)} rows")
    found = target_distributions(system, obs, target, given, batch_size=batch_size, own=share)
    own = [central_value(fn)[0, 0].cpu() for fn in found]
    return torch.cat(in_order(own, number, share)).to(system.device)


def target_distributions(
    system: System,
    obs: Observations,
    target: str,
    given: str | Sequence[str] | None = None,
    *,
    batch_size: int = 1000,
    own: slice = slice(None),
) -> Iterator[Any]:
    """Yield p(x_target | z) of each batch, at the mean of q(z | x_given).

    ``own`` says of which batches.

    Yields:
        Distributions of batch shape (1, 1, B).
    """
    system.check(obs)
    if isinstance(given, str):
        given = (given,)
    given = tuple(n for n in obs.names if n != target) if given is None else tuple(given)
    check_answerable(system.model, obs, [target], given)
    with evaluating(system, 0):
        for rows in torch.arange(len(obs)).split(batch_size)[own]:
            batch = obs[rows].to(system)
            q = guide_trace(system.guide, batch.given(*given))
            # A particle dim of 1 for means, as target_sites expects it.
            latents = {n: q.nodes[n]["fn"].mean[None, None] for n in q.stochastic_nodes}
            found = target_sites(system.model, batch, [target], latents, 1)
            yield found[target]["fn"]


def check_not_given(label: str, given: str | Sequence[str] | None) -> None:
    """Raise ValueError for a label that is to be predicted from itself."""
    if label in ((given,) if isinstance(given, str) else given or ()):
        raise ValueError(f"given: {label!r} is what is predicted; leave it out.")


def check_labels(label: str, values: Shaped[Tensor, "N *D"]) -> None:
    """Raise TypeError for numbers that are neither classes nor 0 and 1."""
    if values.is_floating_point() and not bool(((values == 0) | (values == 1)).all()):
        raise TypeError(
            f"modality {label!r}: expected a label, classes or values that are 0 or 1, got numbers "
            f"from {values.min().item():.3g} to {values.max().item():.3g}; how far off predicted "
            "numbers are, evaluation.rmse tells."
        )


def as_label(label: str, fn: TorchDistribution) -> TorchDistribution:
    """The Categorical, one-hot or Bernoulli distribution of a label's elements, or TypeError."""
    base = elementwise(fn)
    if not isinstance(base, Categorical | OneHotCategorical | Bernoulli):
        raise TypeError(
            f"modality {label!r}: expected a label, Categorical, Bernoulli, MultiLabel or Tokens, "
            f"got {type(base).__name__}; how far off predicted numbers are, evaluation.rmse tells."
        )
    return base


@typed
def accuracy(
    system: System,
    obs: Observations,
    label: str,
    given: str | Sequence[str] | None = None,
    *,
    num_samples: int | None = None,
    batch_size: int = 1000,
    seed: int = 0,
) -> float:
    """The share of rows with a label whose prediction is right, in [0, 1].

    Args:
        system: The system, a model and a guide.
        obs: The rows, with the true labels (class indices, one-hot rows, or symbols and
            yes-or-no values: then the share of right positions).
        label: The label's name.
        given: The modalities to predict from; None is all except the label.
        num_samples: The number of draws of z a row, see :func:`predict`; None is the mean of z.
        batch_size: The number of rows at a time, for the mean of z.
        seed: The seed of the draws.

    Raises:
        ValueError: If no row has a label, or the label is given; :func:`predict` rebuilds a label
            from itself.
        TypeError: For a modality of numbers, whose errors :func:`ppl_mm.evaluation.rmse` measures.
    """
    system.check(obs)
    check_not_given(label, given)
    if label not in obs.names:
        raise ValueError(unknown_name("label", label, obs.names))
    known = obs.present[label]
    if not bool(known.any()):
        raise ValueError(f"modality {label!r}: no row has a label to compare with.")
    obs = obs[known]
    truth = obs[label]
    fn = next(target_distributions(system, obs[:1], label, given))
    as_label(label, fn)
    found = predict(
        system, obs, label, given, num_samples=num_samples, batch_size=batch_size, seed=seed
    )
    check_labels(label, truth)
    truth = truth.to(found.device)
    if truth.dim() == found.dim() + 1:  # one-hot rows; classes are predicted as indices
        truth = truth.argmax(-1)
    elif truth.is_floating_point():  # yes-or-no labels, predicted by their probabilities
        found = (found > 0.5).to(truth.dtype)
    right = found == truth
    if right.shape == obs[label].shape:  # Several labels or symbols: those that are observed.
        right = right[obs.observed(label).to(right.device)]
    return right.double().mean().item()
