"""Average precision of predicted labels, with p(y | z) of :mod:`ppl_mm.measures.prediction`.

Source: Mancisidor et al. 2023 (CMMD), doi:10.1016/j.neunet.2023.10.048, section 4 and release.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ppl_mm.arguments.tensors import Matrix
from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.accuracy import check_labels
from ppl_mm.measures.label_probabilities import Given, LabelDraws, holding, probabilities
from ppl_mm.results.result import Number, Result, number
from ppl_mm.systems import System

__all__ = ["AveragePrecision", "average_precision", "average_precision_of"]


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
        num_samples: The number of draws, see :func:`classification_error`.
        batch_size: The number of rows at a time.
        seed: The seed of the draws.

    Raises:
        ValueError: If no row has a label, no label is true, or it is given.
        TypeError: For a label whose likelihood has no probabilities of classes.

    Source: as the module. The paper's text means the macro average; its release has the micro one.
    """
    obs = holding(system, obs, label)
    check_labels(label, obs[label])
    options: LabelDraws = {"num_samples": num_samples, "batch_size": batch_size, "seed": seed}
    obs = obs[obs.held_whole(label)]
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
