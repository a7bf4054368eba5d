"""Classifiers' readings of generated images, in one pass that many measures share."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.data.dataset import Join
from ppl_mm.measures.generation import GenerationOptions, generate_checked
from ppl_mm.oracles.outputs import classify, features_of
from ppl_mm.processes import gathered, own_share
from ppl_mm.programs.answerable import check_held
from ppl_mm.results.by_subset import Subset
from ppl_mm.systems import System

__all__ = [
    "Readings",
    "as_subsets",
    "batches",
    "classified",
    "generations",
    "parts_of",
    "read_generations",
]


@dataclass(frozen=True)
class Readings:
    """Predictions and features of generated images, on the CPU.

    Attributes:
        subsets: The subsets that were given.
        targets: The modalities that were generated.
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
    **options: Unpack[GenerationOptions],
) -> Readings:
    """Generate every modality that has a classifier from every subset, once a row, and read it.

    The latents are drawn, one draw for all targets of a row; the image is the likelihood's mean.

    Args:
        system: The system, a model and a guide.
        obs: The rows, which hold every modality that is given; ``Observations.blank(n)`` for the
            prior.
        classifiers: Modality -> module from images (B, *event) to logits (B, C), and with a
            method ``features`` to (B, D) where those are asked for: of each what is read.
        subsets: The subsets to give; None is each of these modalities alone.
        join: From the generated values of every modality of the system, one draw for all, to the
            image that every classifier reads; its names are then free. None where a classifier
            reads its modality.
        predictions: Whether to classify.
        features: Whether to read features.
        like: Cut a modality to its range here before features are read, as writing it to an
            8-bit file does; None for no cut.
        batch_size: The number of rows at a time.
        seed: The seed of the draws.
        **options: The options of :func:`ppl_mm.generate`, such as ``private`` and ``alpha``.

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
    number = -(-len(obs) // batch_size)
    own = own_share(number, f"readings of {len(obs)} rows, seed {seed}")
    drawn = generations(
        system, obs, names, chosen, batch_size=batch_size, seed=seed, own=own, **options
    )
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
    if own != slice(None):
        parts = gathered((classes, read))
        classes, read = (_in_order([part[i] for part in parts], number) for i in (0, 1))
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
    own: slice = slice(None),
    **options: Unpack[GenerationOptions],
) -> Iterator[tuple[Subset, dict[str, Shaped[Tensor, "B ..."]]]]:
    """Yield the likelihoods' means (B, *event) at one draw a row, by batch and subset.

    The latents of a row are drawn once from each subset, for all the modalities of ``names``. The
    rows have passed ``system.check``. ``own`` says which batches are drawn.
    """
    for batch, draw, asked in batches(obs, batch_size, seed, options, own):
        for subset in subsets:
            drawn = generate_checked(system, batch, names, 1, subset, mean=True, seed=draw, **asked)
            yield subset, {name: x[0] for name, x in drawn.items()}


def _in_order(
    parts: Sequence[dict[tuple[Subset, str], list[Tensor]]], number: int
) -> dict[tuple[Subset, str], list[Tensor]]:
    """The readings of all batches in order; of R processes, r has read batches r, r + R, ..."""
    each = len(parts)
    return {
        key: [parts[i % each][key][i // each] for i in range(number)] if own else []
        for key, own in parts[0].items()
    }


def batches(
    obs: Observations,
    batch_size: int,
    seed: int,
    options: GenerationOptions,
    own: slice = slice(None),
) -> Iterator[tuple[Observations, int, GenerationOptions]]:
    """Yield the rows of each batch, its seed, and the options with its rows of ``private``.

    ``own`` says which batches.

    Raises:
        ValueError: If ``private`` is observations of more or fewer rows.
    """
    private = options.get("private")
    if isinstance(private, Observations) and len(private) != len(obs):
        raise ValueError(f"private: expected {len(obs)} rows, as obs, got {len(private)}.")
    for i, rows in list(enumerate(torch.arange(len(obs)).split(batch_size)))[own]:
        asked = options.copy()
        if isinstance(private, Observations):
            asked["private"] = private[rows]
        yield obs[rows], seed * 1_000_003 + i, asked


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


def as_subsets(obs: Observations, subsets: Sequence[str | Sequence[str]]) -> tuple[Subset, ...]:
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


def _range(obs: Observations, name: str) -> tuple[float, float]:
    check_held(obs, [name])
    values = obs[name][obs.present[name]]
    return values.min().item(), values.max().item()
