"""Diversity: how unlike each other are draws of one modality given the same input?"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Unpack

import torch
from jaxtyping import Float, Integer
from rich.table import Table
from torch import Tensor, nn

from ppl_mm.arguments.tensors import Numbers
from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.measures.generation import GenerationOptions, generate_checked
from ppl_mm.measures.readings import as_subsets, batches, classified
from ppl_mm.oracles.outputs import checked_labels, features_of
from ppl_mm.processes import divided
from ppl_mm.programs.answerable import check_held
from ppl_mm.results.by_subset import Subset
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.result import Number, Result, in_words, number
from ppl_mm.systems import System

__all__ = ["Diversity", "diversity", "real_diversity", "spread"]


@typed
def spread(
    samples: Numbers, classifier: nn.Module
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """The distance between K draws of each row.

    Args:
        samples: (K, N, *event), K > 1.
        classifier: A module with a method ``features`` from (B, *event) to (B, D).

    Returns:
        The mean Euclidean distance of two draws' features, (N,), in units of the features; and
        the mean over values (pixels and colours) of their standard deviation over draws, (N,), in
        units of the data. Both are 0 for equal draws; classes and symbols have no standard
        deviation, NaN.

    Raises:
        ValueError: For fewer than two draws, or numbers that are not finite.
        TypeError: For a classifier without ``features``.
    """
    num = len(samples)
    if samples.dim() < 2:
        raise ValueError(f"samples: expected (K, N, *event), got {tuple(samples.shape)}.")
    rows = samples.shape[1]
    if num < 2:
        raise ValueError(f"samples: expected at least two draws a row to compare, got {num}.")
    features = features_of(classifier, samples.flatten(0, 1)).unflatten(0, (num, rows))
    across = features.transpose(0, 1)
    distances = torch.cdist(across, across, compute_mode="donot_use_mm_for_euclid_dist")
    far = distances.sum((1, 2)) / (num * (num - 1))
    if not samples.is_floating_point():
        return far, torch.full_like(far, torch.nan)
    return far, samples.reshape(num, rows, -1).std(0).mean(-1).cpu()


@dataclass(frozen=True)
class Diversity(Result):
    """:func:`spread` of conditional generations, row by row.

    Attributes:
        subsets: The S subsets that were given.
        targets: The T modalities that were generated.
        distances: In the classifiers' feature space, (S, T, N).
        deviations: The standard deviations of values, (S, T, N).
    """

    subsets: tuple[Subset, ...]
    targets: tuple[str, ...]
    distances: Tensor
    deviations: Tensor

    def distance(self) -> Estimate:
        """Mean feature distance over the cells whose target was not given; NaN without any."""
        return self._cross_mean(self.distances)

    def deviation(self) -> Estimate:
        """Mean standard deviation of values over the cells whose target was not given.

        Without classes and symbols, which have none.
        """
        return self._cross_mean(self.deviations)

    def numbers(self) -> Iterator[Number]:
        """The means over rows of every cell: feature distances, then deviations of values."""
        measures = {"feature distance": self.distances, "pixel deviation": self.deviations}
        for measure, cells in measures.items():
            for s, subset in enumerate(self.subsets):
                for t, target in enumerate(self.targets):
                    yield number(measure, Estimate.of(cells[s, t]), subset, target)

    def table(self) -> Table:
        """The matrix, for ``rich.print``: feature distance / standard deviation of values."""
        table = Table("given", *self.targets, title="diversity: feature distance / pixel deviation")
        both = torch.stack([self.distances.mean(-1), self.deviations.mean(-1)], -1).tolist()
        for subset, row in zip(self.subsets, both, strict=True):
            table.add_row(
                in_words(subset), *(f"{far:.2f} / {deviation:.3f}" for far, deviation in row)
            )
        if not math.isnan(self.distance().value):
            table.caption = f"mean without what was given {self.distance()} / {self.deviation()}"
        return table

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers for JSON, an estimate as [value, standard error]."""
        return {
            "given": [list(s) for s in self.subsets],
            "targets": list(self.targets),
            "feature distances": self.distances.mean(-1).tolist(),
            "pixel deviations": self.deviations.mean(-1).tolist(),
            "feature distance": self.distance().to_list(),
            "pixel deviation": self.deviation().to_list(),
        }

    def _cross_mean(self, cells: Tensor) -> Estimate:
        crossed = torch.tensor([[t not in s for t in self.targets] for s in self.subsets])
        return Estimate.of(cells[crossed].nanmean(0))


@typed
def diversity(
    system: System,
    obs: Observations,
    classifiers: Mapping[str, nn.Module],
    subsets: Sequence[str | Sequence[str]] | None = None,
    *,
    num_samples: int = 10,
    batch_size: int = 50,
    seed: int = 0,
    **options: Unpack[GenerationOptions],
) -> Diversity:
    """The diversity of the generations of one target from one input.

    For every row, source and target: ``num_samples`` draws of all latents, the likelihood's mean
    at each, and their :func:`spread`. A system that turns an input into one average-looking image
    scores near 0 however good that image is.

    Args:
        system: The system, a model and a guide.
        obs: The rows, which hold every modality that is given.
        classifiers: Modality -> module with a method ``features``, as
            :func:`train_classifiers` returns, for every modality to generate.
        subsets: The subsets to give; None is each of these modalities alone.
        num_samples: The number K of draws.
        batch_size: The number of rows at a time.
        seed: The seed of the draws.
        **options: The options of :func:`ppl_mm.generate`, such as ``private`` and ``alpha``.

    Source: the claim is that of Palumbo, Daunhawer & Vogt 2023 (MMVAE+), who judge it by eye
    (figure 1) and by the FID; this number is ours.
    """
    system.check(obs)
    targets = classified(classifiers)
    chosen = as_subsets(obs, targets if subsets is None else subsets)

    def of_batch(i: int) -> Tensor:
        ((batch, own, asked),) = batches(obs, batch_size, seed, options, slice(i, i + 1))
        cells = []
        for subset in chosen:
            drawn = generate_checked(
                system, batch, targets, num_samples, subset, mean=True, seed=own, **asked
            )
            spreads = [torch.stack(spread(drawn[t], classifiers[t])) for t in targets]
            cells.append(torch.stack(spreads, 1))  # (2, T, B)
        return torch.stack(cells, 1).cpu()

    number = -(-len(obs) // batch_size)
    parts = divided(number, f"the diversity of {len(obs)} rows, seed {seed}", of_batch)
    distances, deviations = torch.cat(parts, -1)
    return Diversity(chosen, targets, distances, deviations)


@typed
def real_diversity(
    obs: Observations,
    labels: Integer[Tensor, " N"],
    classifiers: Mapping[str, nn.Module],
    *,
    num_samples: int = 10,
    num_rows: int = 500,
    seed: int = 0,
) -> dict[str, tuple[Estimate, Estimate]]:
    """:func:`spread` of real images of one class: what a perfect generator would score.

    Args:
        obs: Real rows; those that lack a modality that has a classifier are left out.
        labels: Their classes, (N,); rows of class -1, which have none, are left out.
        classifiers: Modality -> module with a method ``features``.
        num_samples: K different images of the class of each of the first ``num_rows`` rows.
        num_rows: The number of rows.
        seed: The seed of the choice.

    Returns:
        Modality -> mean feature distance, and mean standard deviation of values.

    Raises:
        ValueError: If a class has fewer than ``num_samples`` images, or no row has images of all.
    """
    generator = torch.Generator().manual_seed(seed)
    check_held(obs, classified(classifiers))
    held = [obs.held_whole(name).cpu() for name in classifiers]
    labels = checked_labels(labels, len(obs))
    known = torch.stack([*held, labels >= 0]).all(0)
    if not bool(known.any()):
        raise ValueError(f"no row with a class holds all of {', '.join(classifiers)}.")
    obs, labels = obs[known], labels[known]
    same = {int(c): (labels == c).nonzero().squeeze(-1) for c in labels.unique()}
    for c, found in same.items():
        if len(found) < num_samples:
            raise ValueError(
                f"num_samples: expected at most {len(found)}, the number of images of class {c}, "
                f"got {num_samples}."
            )
    chosen = [same[int(c)] for c in labels[:num_rows]]
    picks = [x[torch.randperm(len(x), generator=generator)[:num_samples]] for x in chosen]
    rows = torch.stack(picks, 1)  # (K, N)
    out = {}
    for name, classifier in classifiers.items():
        images = obs[name].cpu()
        distance, deviation = spread(images[rows], classifier)
        out[name] = Estimate.of(distance), Estimate.of(deviation)
    return out
