"""Fréchet distances of generated and real images, in features of a classifier or of Inception."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import torch
from rich.table import Table
from torch import Tensor, nn

from ppl_mm.arguments.tensors import Matrix
from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.generation import GenerationOptions
from ppl_mm.measures.readings import Readings, read_generations
from ppl_mm.oracles.inception import Inception
from ppl_mm.oracles.outputs import check_classifiers, features_of
from ppl_mm.programs.answerable import check_held
from ppl_mm.results.by_subset import Subset
from ppl_mm.results.result import Number, Result, in_words, number
from ppl_mm.systems import System

__all__ = ["Frechet", "frechet", "frechet_distance", "frechet_of"]


@typed
def frechet_distance(features_a: Matrix, features_b: Matrix) -> float:
    """The squared Wasserstein-2 distance of the Gaussians with these sets' moments.

        |m_a - m_b|^2 + tr( S_a + S_b - 2 (S_a S_b)^(1/2) )

    m and S are mean and covariance (over n - 1). The last trace is the sum of the singular values
    of R_a R_b^T for any R_a^T R_a = S_a and R_b^T R_b = S_b, in float64: no root of a matrix that
    is not symmetric, and nothing to add to singular covariances. R is the symmetric root, or the
    centred features themselves where they are fewer than D.

    Args:
        features_a: (N_a, D), at least two rows.
        features_b: (N_b, D).

    Returns:
        In squared units of the features; 0 for equal moments. Few rows bias it upwards, so
        compare numbers of rows that are equal.

    Raises:
        ValueError: For features of other shapes, or fewer than two rows.

    Source: Heusel et al. 2017, arXiv:1706.08500; Dowson & Landau 1982.

    Example:
        >>> a = torch.tensor([[0.0], [2.0]])
        >>> round(frechet_distance(a, 3.0 * a), 6)  # (1 - 3)^2 + (sqrt 2 - 3 sqrt 2)^2
        12.0
    """
    for name, x in (("features_a", features_a), ("features_b", features_b)):
        if x.dim() != 2 or len(x) < 2 or x.shape[1] != features_a.shape[1]:
            raise ValueError(
                f"{name}: expected (N, D) with N > 1 and the same D as the other set, got "
                f"{tuple(x.shape)}."
            )
    mean_a, root_a, trace_a = _moments(features_a)
    mean_b, root_b, trace_b = _moments(features_b)
    cross = torch.linalg.svdvals(root_a @ root_b.T).sum()
    distance = (mean_a - mean_b).square().sum() + trace_a + trace_b - 2 * cross
    return max(distance.item(), 0.0)


def _moments(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean m, a root R of the covariance R^T R, (n or D, D), and the trace of the covariance."""
    x = features.double()
    mean, root = x.mean(0), (x - x.mean(0)) / math.sqrt(len(x) - 1)
    if not bool((root.T @ root).isfinite().all()):
        raise ValueError("frechet_distance: the features' covariance overflows; rescale them.")
    if len(x) > x.shape[1]:
        values, vectors = torch.linalg.eigh(root.T @ root)
        root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return mean, root, root.square().sum()


@dataclass(frozen=True)
class Frechet(Result):
    """The Fréchet distance of every target, generated from every subset.

    Attributes:
        subsets: The S subsets that were given; ``()`` is the prior.
        targets: The T modalities that were generated.
        cells: The distances, (S, T), squared units of the features.
        name: ``FID-clf`` in a classifier's features, ``FID`` in those of Inception.
    """

    subsets: tuple[Subset, ...]
    targets: tuple[str, ...]
    cells: Tensor
    name: str = "FID-clf"

    def mean(self) -> float:
        """Over all cells, reconstructions included, as the authors' code averages."""
        return self.cells.mean().item()

    def cross_mean(self) -> float:
        """Over the cells whose target was not given; NaN where there is none."""
        crossed = [[t not in s for t in self.targets] for s in self.subsets]
        return self.cells[torch.tensor(crossed)].mean().item()

    def numbers(self) -> Iterator[Number]:
        """The cells, which have no standard error."""
        for subset, row in zip(self.subsets, self.cells.tolist(), strict=True):
            for target, distance in zip(self.targets, row, strict=True):
                yield number(self.name, distance, subset, target)

    def table(self) -> Table:
        """The matrix, for ``rich.print``."""
        table = Table("given", *self.targets, title=self.name)
        for subset, cells in zip(self.subsets, self.cells.tolist(), strict=True):
            table.add_row(in_words(subset), *(f"{c:.2f}" for c in cells))
        table.caption = f"mean {self.mean():.2f}"
        if not math.isnan(self.cross_mean()):
            table.caption += f"; without what was given {self.cross_mean():.2f}"
        return table

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers for JSON."""
        return {
            "given": [list(s) for s in self.subsets],
            "targets": list(self.targets),
            "cells": self.cells.tolist(),
            "mean": self.mean(),
            "cross mean": self.cross_mean(),
        }


@typed
def frechet_of(
    readings: Readings, real: Observations, classifiers: Mapping[str, nn.Module]
) -> Frechet:
    """The distances of what :func:`read_generations` read with ``features=True``.

    Raises:
        ValueError: For classifiers of some targets and Inception for others, or of no target, or a
            target that no real row holds.
    """
    check_classifiers(classifiers, real, readings.targets)
    names = {
        "FID" if isinstance(classifiers[t], Inception) else "FID-clf" for t in readings.targets
    }
    if len(names) > 1:
        raise ValueError("expected classifiers of all targets, or Inception for all, got both.")
    check_held(real, readings.targets)
    truth = {t: features_of(classifiers[t], real[t][real.held_whole(t)]) for t in readings.targets}
    cells = [
        [frechet_distance(readings.features[s, t], truth[t]) for t in readings.targets]
        for s in readings.subsets
    ]
    distances = torch.tensor(cells, dtype=torch.float64)
    return Frechet(readings.subsets, readings.targets, distances, names.pop())


@typed
def frechet(
    system: System,
    obs: Observations,
    classifiers: Mapping[str, nn.Module],
    subsets: Sequence[str | Sequence[str]] | None = None,
    *,
    batch_size: int = 500,
    seed: int = 0,
    **options: Unpack[GenerationOptions],
) -> Frechet:
    """FID or FID-clf: :func:`frechet_distance` of generated and real images' features.

    With :class:`~ppl_mm.evaluation.Inception` as every classifier it is the Fréchet inception
    distance. With small classifiers of the very data in its place it ranks systems, and compares
    with no published FID.

    Args:
        system: The system, a model and a guide.
        obs: The rows, to condition on and to compare with.
        classifiers: Modality -> module with a method ``features`` from images (B, *event) to
            (B, D), as :func:`train_classifiers` returns, or :class:`~ppl_mm.evaluation.Inception`.
        subsets: The subsets to give; None is each of these modalities alone, ``[()]`` is the prior.
        batch_size: The number of rows at a time.
        seed: The seed of the draws.
        **options: The options of :func:`ppl_mm.generate`, such as ``private`` and ``alpha``.

    Returns:
        The distances, from as many generations as rows. Images are likelihood means, cut to the
        range of the real ones.

    Source: Palumbo, Daunhawer & Vogt 2023 (MMVAE+). Differs: the features, unless they are
    Inception's.
    """
    readings = read_generations(
        system,
        obs,
        classifiers,
        subsets,
        predictions=False,
        features=True,
        like=obs,
        batch_size=batch_size,
        seed=seed,
        **options,
    )
    return frechet_of(readings, obs, classifiers)
