"""Probabilities of labels: p(y | z) at the mean of q(z | x_given), or averaged over draws of z."""

from collections.abc import Sequence
from typing import Any, TypedDict

import torch
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Bernoulli, Categorical

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.accuracy import as_label, check_not_given, target_distributions
from ppl_mm.measures.averaged import averaged, own_values
from ppl_mm.processes import in_order, own_share
from ppl_mm.systems import System

__all__ = ["Given", "LabelDraws", "holding", "label_probabilities", "probabilities"]

Given = str | Sequence[str] | None


class LabelDraws(TypedDict):
    """The options of the draws behind probabilities of a label, see :func:`probabilities`."""

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
) -> Float[Tensor, "N *C"]:
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
    options: LabelDraws = {"num_samples": num_samples, "batch_size": batch_size, "seed": seed}
    return label_probabilities(system, obs, label, given, **options)[0]


def holding(system: System, obs: Observations, name: str) -> Observations:
    """The rows that hold a modality, once it is known that the system can take them."""
    system.check(obs)
    if name not in obs.names:
        raise ValueError(unknown_name("modality to compare with", name, obs.names))
    known = obs.present[name]
    if not bool(known.any()):
        raise ValueError(f"modality {name!r}: no row has it to compare with.")
    return obs[known]


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
) -> tuple[Float[Tensor, "N *C"], Float[Tensor, " N"] | None, bool]:
    """Probabilities of a label, log p of the rows' own, and whether classes exclude each other.

    Probabilities of classes are (N, C), of yes-or-no labels (N, *event); log p is (N,), or None
    without ``score``.
    """
    check_not_given(label, given)
    kind = _checked(label, next(target_distributions(system, obs[:1], label, given)))
    if num_samples is not None:
        options: dict[str, Any] = {"seed": seed, "score": score}
        average = averaged(system, obs, label, given, num_samples, **options)
        return average.mean, average.log_p, average.exclusive
    batches = torch.arange(len(obs), device=obs.device).split(batch_size)
    share = own_share(len(batches), f"probabilities of {label} of {len(obs)} rows")
    found = target_distributions(system, obs, label, given, batch_size=batch_size, own=share)
    own = []
    for fn, rows in zip(found, batches[share], strict=True):
        probs = _checked(label, fn).probs[0, 0]
        log_p = probs.new_zeros(len(probs))
        if score:
            values = own_values(kind, obs[label])[rows]
            log_p = fn.log_prob(values.to(probs.device))[0, 0].double()
        own.append((probs.cpu(), log_p.cpu()))
    parts = in_order(own, len(batches), share)
    probs, log_p = (torch.cat(x).to(system.device) for x in zip(*parts, strict=True))
    return probs, log_p if score else None, not isinstance(kind, Bernoulli)


def _checked(label: str, fn: TorchDistribution) -> Any:
    """The Categorical, one-hot or Bernoulli distribution of a label's elements."""
    base = as_label(label, fn)
    if isinstance(base, Categorical) and len(base.batch_shape) > 3:
        raise TypeError(
            f"modality {label!r}: expected a label, Categorical, Bernoulli or MultiLabel, got "
            "a sequence of symbols; use accuracy."
        )
    return base
