"""Coherence: do generated modalities show the class of what they were generated from?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Unpack

import torch
from jaxtyping import Float, Integer
from rich.table import Table
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.generation import GenerationOptions
from ppl_mm.measures.readings import Readings, read_generations
from ppl_mm.oracles.outputs import checked_labels
from ppl_mm.results.by_subset import BySubset, Subset
from ppl_mm.results.estimate import Estimate
from ppl_mm.systems import System

__all__ = ["Coherence", "coherence_of", "cross_coherence", "joint_coherence", "joint_coherence_of"]


@dataclass(frozen=True)
class Coherence(BySubset):
    """Accuracy of generated modalities, as a classifier reads them, in [0, 1].

    Averages leave out targets that were given, see :class:`ppl_mm.results.by_subset.BySubset`.

    Attributes:
        subsets: The S subsets that were given.
        targets: The T modalities that were generated.
        hits: Whether the class was right, bool (S, T, N).
    """

    measure: ClassVar[str] = "coherence"
    title: ClassVar[str] = "conditional coherence"
    subsets: tuple[Subset, ...]
    targets: tuple[str, ...]
    hits: Tensor

    @property
    def of_rows(self) -> Float[Tensor, "S T N"]:
        """1 for a hit, else 0, (S, T, N)."""
        return self.hits.double()

    def mean(self) -> Estimate:
        """Mean over targets of their means over the subsets without them."""
        return self._mean(range(len(self.subsets)))

    def by_size(self) -> dict[int, Estimate]:
        """Number of modalities given -> mean over targets and subsets of that size."""
        sizes = sorted({len(s) for s in self.subsets})
        of_size = {k: [i for i, s in enumerate(self.subsets) if len(s) == k] for k in sizes}
        return {
            k: self._mean(rows)
            for k, rows in of_size.items()
            if any(len(self._without(t, rows)) for t in self.targets)
        }

    def table(self) -> Table:
        """The matrix, for ``rich.print``; brackets mark targets that were given."""
        table = super().table()
        if self.per_target():
            note = "" if table.caption is None else f"; {table.caption}"
            table.caption = f"mean {self.mean()}{note}"
        return table

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers for JSON, an estimate as [value, standard error].

        The mean is None where every target was given.
        """
        return {
            **super().to_dict(),
            "by size": {str(k): e.to_list() for k, e in self.by_size().items()},
            "mean": self.mean().to_list() if self.per_target() else None,
        }

    def _mean(self, subsets: Sequence[int]) -> Estimate:
        kept = [self._without(t, subsets) for t in self.targets]
        means = [hits.mean(0) for hits in kept if len(hits)]
        if not means:
            raise ValueError("every target was given; give subsets that leave some out.")
        return Estimate.of(torch.stack(means).mean(0))


@typed
def coherence_of(readings: Readings, labels: Integer[Tensor, " N"]) -> Coherence:
    """The coherence of the readings of :func:`read_generations`, see :func:`cross_coherence`."""
    labels = checked_labels(labels, len(next(iter(readings.predictions.values()))))
    hits = [
        torch.stack([readings.predictions[s, t] == labels for t in readings.targets])
        for s in readings.subsets
    ]
    return Coherence(readings.subsets, readings.targets, torch.stack(hits)[..., labels >= 0])


@typed
def cross_coherence(
    system: System,
    obs: Observations,
    labels: Integer[Tensor, " N"],
    classifiers: Mapping[str, nn.Module],
    subsets: Sequence[str | Sequence[str]] | None = None,
    *,
    batch_size: int = 500,
    seed: int = 0,
    **options: Unpack[GenerationOptions],
) -> Coherence:
    """Conditional coherence: P( classifier_n(x_n) = label ),  x_n generated from x_S.

    The shared latent is drawn from q(u | x_S), once for each row. A private latent w_n of a target
    that is not given comes from p(w_n) (see ``private`` of :func:`ppl_mm.generate`), and the
    classifier sees the likelihood's mean.

    Args:
        system: The system, a model and a guide.
        obs: The rows, which hold every modality that is given.
        labels: The classes of the rows, (N,); rows of class -1 have none and do not count.
        classifiers: Modality -> module from images (B, *event) to logits (B, C), for every
            modality to generate, as :func:`train_classifiers` returns.
        subsets: The subsets to give; None is each of these modalities alone, for the paper's
            matrix, source by target.
        batch_size: The number of rows at a time.
        seed: The seed of the draws.
        **options: The options of :func:`ppl_mm.generate`, such as ``private`` and ``alpha``.

    Raises:
        ValueError: If some row lacks what it should be given, or the labels do not fit.

    Source: Palumbo, Daunhawer & Vogt 2023 (MMVAE+); from several inputs Sutter, Daunhawer & Vogt
    2021 (MoPoE), arXiv:2105.02470.

    Example:
        ``print(cross_coherence(system, test, labels, classifiers))``
    """
    readings = read_generations(
        system, obs, classifiers, subsets, batch_size=batch_size, seed=seed, **options
    )
    return coherence_of(readings, labels)


@typed
def joint_coherence_of(readings: Readings) -> Estimate:
    """The share of rows, drawn from the prior, in which all classifiers agree."""
    classes = torch.stack([readings.predictions[(), t] for t in readings.targets])
    return Estimate.of((classes == classes[0]).all(0))


@typed
def joint_coherence(
    system: System,
    classifiers: Mapping[str, nn.Module],
    num_samples: int = 10_000,
    *,
    like: Observations | None = None,
    batch_size: int = 500,
    seed: int = 0,
    **options: Unpack[GenerationOptions],
) -> Estimate:
    """Unconditional coherence: the share of prior draws in which all classifiers agree.

    Chance is sum_c prod_m P(class of m is c): C^(1 - M) for M modalities and C equally frequent
    classes, 1e-4 for five modalities of ten.

    Args:
        system: The system, a model and a guide.
        classifiers: Modality -> module from images (B, *event) to logits (B, C).
        num_samples: The number of joint draws; the paper's number is that of its test rows.
        like: Rows whose covariates the draws have, from the first on, where networks read any.
        batch_size: The number of draws at a time.
        seed: The seed of the draws.
        **options: The options of :func:`ppl_mm.generate`.

    Source: Palumbo, Daunhawer & Vogt 2023 (MMVAE+).
    """
    blank = Observations.blank(num_samples, like)
    readings = read_generations(
        system, blank, classifiers, [()], batch_size=batch_size, seed=seed, **options
    )
    return joint_coherence_of(readings)
