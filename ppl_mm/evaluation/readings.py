"""What classifiers see in generated images: a pass over the data that many measures share."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ppl_mm.data.dataset import Join
from ppl_mm.evaluation.generation import generate
from ppl_mm.modality import unknown_name
from ppl_mm.observations import Observations
from ppl_mm.rows import eval_mode
from ppl_mm.systems import System
from ppl_mm.tensors import Numbers
from ppl_mm.typed import typed

__all__ = [
    "Readings",
    "Subset",
    "as_subsets",
    "checked_labels",
    "classified",
    "classify",
    "features_of",
    "generations",
    "logits_of",
    "parts_of",
    "read_generations",
]

Subset = tuple[str, ...]
"""The modalities that a generation is given; empty for the prior."""


@dataclass(frozen=True)
class Readings:
    """Predictions and features of generated images, on the CPU.

    Attributes:
        subsets: What was given.
        targets: What was generated.
        predictions: (subset, target) -> the likeliest class of every row, (N,); empty where not
            asked for.
        features: (subset, target) -> features of every row, (N, D); empty where not asked for.
    """

    subsets: tuple[Subset, ...]
    targets: tuple[str, ...]
    predictions: dict[tuple[Subset, str], Tensor]
    features: dict[tuple[Subset, str], Tensor]


@typed
def read_generations(
    system: System,
    obs: Observations,
    classifiers: Mapping[str, nn.Module],
    subsets: Sequence[str | Sequence[str]] | None = None,
    *,
    join: Join | None = None,
    predictions: bool = True,
    features: bool = False,
    like: Observations | None = None,
    batch_size: int = 500,
    seed: int = 0,
    **options: Any,
) -> Readings:
    """Generate every modality that has a classifier from every subset, once a row, and read it.

    The latents are drawn, one draw for all targets of a row; the image is the likelihood's mean.

    Args:
        system: A model and a guide.
        obs: The rows, which hold all that is given; ``Observations.blank(n)`` for the prior.
        classifiers: Modality -> module from images (B, *event) to logits (B, C), and with a
            method ``features`` to (B, D) where those are asked for: of each what is read.
        subsets: What to give; None is each of these modalities alone.
        join: From the generated values of every modality of the system, one draw for all, to the
            image that every classifier reads; its names are then free. None where a classifier
            reads its modality.
        predictions: Whether to classify.
        features: Whether to read features.
        like: Cut a modality to its range here before features are read, as writing it to an
            8-bit file does; None for no cut.
        batch_size: Rows at a time.
        seed: Of the draws.
        **options: Of :func:`ppl_mm.generate`, such as ``private`` and ``alpha``.

    Raises:
        ValueError: If some row lacks what it should be given, or there is no classifier.
        TypeError: For classifiers that are not named.
    """
    system.check(obs)
    targets = classified(classifiers)
    names = targets if join is None else parts_of(system, obs)
    chosen = as_subsets(obs, names if subsets is None else subsets)
    limits = {} if like is None else {n: _range(like, n) for n in names}
    classes: dict[tuple[Subset, str], list[Tensor]] = {(s, t): [] for s in chosen for t in targets}
    read: dict[tuple[Subset, str], list[Tensor]] = {key: [] for key in classes}
    drawn = generations(system, obs, names, chosen, batch_size=batch_size, seed=seed, **options)
    for subset, values in drawn:
        if predictions:
            images = values if join is None else dict.fromkeys(targets, join(values))
            for target in targets:
                classes[subset, target].append(classify(classifiers[target], images[target]))
        if features:
            cut = {n: x.clamp(*limits[n]) if limits else x for n, x in values.items()}
            images = cut if join is None else dict.fromkeys(targets, join(cut))
            for target in targets:
                read[subset, target].append(features_of(classifiers[target], images[target]))
    return Readings(
        chosen,
        targets,
        {key: torch.cat(parts) for key, parts in classes.items() if parts},
        {key: torch.cat(parts) for key, parts in read.items() if parts},
    )


def generations(
    system: System,
    obs: Observations,
    names: Sequence[str],
    subsets: Sequence[Subset],
    *,
    batch_size: int,
    seed: int,
    **options: Any,
) -> Iterator[tuple[Subset, dict[str, Tensor]]]:
    """Batch by batch, from every subset: the likelihoods' means (B, *event) at one draw a row.

    The latents of a row are drawn once from each subset, for all the modalities of ``names``.
    """
    for i, rows in enumerate(torch.arange(len(obs)).split(batch_size)):
        batch, own = obs[rows], seed * 1_000_003 + i
        for subset in subsets:
            drawn = generate(system, batch, names, given=subset, mean=True, seed=own, **options)
            yield subset, {name: x[0] for name, x in drawn.items()}


def parts_of(system: System, obs: Observations) -> tuple[str, ...]:
    """The modalities that the system declares; those of ``obs`` where it declares none."""
    return tuple(m.name for m in system.modalities) or obs.names


def classified(classifiers: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """The names of what has a classifier.

    Raises:
        TypeError: For anything but a mapping.
        ValueError: If there is none.
    """
    if not isinstance(classifiers, Mapping):
        raise TypeError(
            "classifiers: expected modality -> classifier, as train_classifiers returns, got "
            f"{type(classifiers).__name__}."
        )
    if not classifiers:
        raise ValueError("classifiers: expected that of at least one modality, got none.")
    return tuple(classifiers)


def checked_labels(labels: Tensor, num_rows: int, what: str = "labels") -> Tensor:
    """Classes (N,) on the CPU; -1 where a row has none.

    Raises:
        TypeError: For anything but integers.
        ValueError: Unless there is one a row, and some row has a class.
    """
    if not isinstance(labels, Tensor) or labels.is_floating_point():
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"{what}: expected classes as a tensor of integers, got {kind}.")
    if labels.shape != (num_rows,):
        raise ValueError(
            f"{what}: expected one class a row, ({num_rows},), got {tuple(labels.shape)}."
        )
    if not bool((labels >= 0).any()):
        raise ValueError(f"{what}: no row has a class, all are -1.")
    return labels.cpu()


def as_subsets(obs: Observations, subsets: Any) -> tuple[Subset, ...]:
    """Subsets as tuples, checked: every row holds what it is to be given."""
    if isinstance(subsets, str) or not subsets:
        raise ValueError(
            f"subsets: expected a list of what to give, such as {[*obs.names[:1], ()]} with () for "
            f"nothing, got {subsets!r}."
        )
    chosen = tuple((s,) if isinstance(s, str) else tuple(s) for s in subsets)
    for name in {n for subset in chosen for n in subset}:
        if name not in obs.names:
            raise ValueError(unknown_name("modality to give", name, obs.names))
        if not bool(obs.present[name].all()):
            missing = int((~obs.present[name]).sum())
            raise ValueError(
                f"modality {name!r}: {missing} of {len(obs)} rows lack it and cannot be given it; "
                f"use the others, obs[obs.present[{name!r}]]."
            )
    return chosen


def classify(classifier: nn.Module, images: Tensor, *, batch_size: int = 1000) -> Tensor:
    """The likeliest class of every image, (N,) on the CPU."""
    return logits_of(classifier, images, batch_size=batch_size).argmax(-1)


def logits_of(classifier: nn.Module, images: Tensor, *, batch_size: int = 1000) -> Tensor:
    """The classifier's logits of every image, (N, C) on the CPU."""
    return torch.cat(list(_batches(classifier, "forward", images, batch_size)))


@typed
def features_of(classifier: nn.Module, images: Numbers, *, batch_size: int = 1000) -> Tensor:
    """The classifier's features of every image, (N, D) on the CPU.

    Raises:
        TypeError: For a classifier without a method ``features``.
        ValueError: For one whose features are not (N, D).
    """
    return torch.cat(list(_batches(classifier, "features", images, batch_size)))


def check_classifiers(
    classifiers: Mapping[str, nn.Module], obs: Observations, targets: Iterable[str] = ()
) -> None:
    """Raise unless every classifier has its modality among the rows', and every target one."""
    for name in classifiers:
        if name not in obs.names:
            raise ValueError(unknown_name("modality in classifiers", name, obs.names))
    for name in targets:
        if name not in classifiers:
            raise ValueError(f"classifiers: expected one of modality {name!r} too, got none.")


def _batches(module: nn.Module, method: str, images: Tensor, size: int) -> Iterator[Tensor]:
    """Outputs of a method, on the module's device and in its precision."""
    if not hasattr(module, method):
        raise TypeError(
            f"classifier: expected a module with a method {method!r} from (B, *event) to (B, D), "
            f"got a {type(module).__name__}."
        )
    example = next(module.parameters(), images)
    with torch.no_grad(), eval_mode(module):
        for batch in images.split(size):
            same = example if batch.is_floating_point() else example.device  # symbols stay integers
            try:
                found = getattr(module, method)(batch.to(same)).cpu()
            except Exception as error:
                error.add_note(
                    f"In {method} of the classifier, a {type(module).__name__}, given values of "
                    f"shape {tuple(batch.shape)}, {batch.dtype}."
                )
                raise
            if found.dim() != 2 or len(found) != len(batch):
                raise ValueError(
                    f"classifier: expected its {method} to give (B, D) for values (B, *event) = "
                    f"{tuple(batch.shape)}, got {tuple(found.shape)}."
                )
            yield found


def _range(obs: Observations, name: str) -> tuple[float, float]:
    values = obs[name][obs.present[name]]
    return values.min().item(), values.max().item()
