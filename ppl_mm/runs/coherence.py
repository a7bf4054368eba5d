"""Coherence in a table of measures: the class of what is generated, as classifiers read it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor, nn

from ppl_mm.batch.observations import Observations
from ppl_mm.data import DataSet
from ppl_mm.measures.coherence import cross_coherence, joint_coherence
from ppl_mm.programs.answerable import conditioned_on
from ppl_mm.programs.conditioning import holds
from ppl_mm.results.estimate import Estimate
from ppl_mm.systems import System

__all__ = ["Accuracy", "classifiable", "coherences", "sources"]


@dataclass(frozen=True)
class Accuracy:
    """The share of rows whose class is read right.

    Attributes:
        label: The predicted label or generated modality whose class is read. It is empty if
            everything is drawn together from the prior.
        given: The modalities that are given; empty for the prior.
        value: The share, in [0, 1].
        standard_error: The standard error over rows; None for one row.
    """

    label: str
    given: tuple[str, ...]
    value: float
    standard_error: float | None


def classifiable(dataset: DataSet) -> tuple[str, ...]:
    """Return the modalities that a classifier can learn from: numbers, in rows with classes."""
    if dataset.num_classes is None:
        return ()
    rows = dataset.train
    return tuple(n for n in rows.names if n != dataset.label and rows[n].is_floating_point())


def sources(others: Sequence[str], fixed: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the sets of modalities to condition on: all others, and each of them alone.

    Each set also has ``fixed``, which the model conditions on; these alone are a set too.
    """
    free = [n for n in others if n not in fixed]
    alone = [(n, *fixed) for n in free] if len(free) > 1 else []
    least = [tuple(fixed)] if fixed and len(fixed) < len(others) else []
    return [tuple(others), *alone, *least]


def coherences(
    system: System,
    test: Observations,
    labels: Int[Tensor, " N"],
    classifiers: Mapping[str, nn.Module],
) -> Iterator[Accuracy]:
    """Measure coherence of each modality that has a classifier, given others and from the prior.

    Rows that lack something are left out. Joint coherence is the share of draws from the prior in
    which all classifiers agree, with as many draws as rows; a model that conditions on something
    has none.
    """
    rows, fixed = holds(test, test.names), conditioned_on(system.model)
    if not bool(rows.any()):
        return
    labels, test = labels.cpu()[rows.cpu()], test[rows]
    targets = {n: c for n, c in classifiers.items() if n not in fixed}
    for target, classifier in targets.items():
        others = tuple(n for n in test.names if n != target)
        if others:
            subsets = sources(others, fixed)
            found = cross_coherence(system, test, labels, {target: classifier}, subsets)
            for given in subsets:
                yield _accuracy(target, given, found.cell(given, target))
    if len(targets) > 1 and not fixed:
        yield _accuracy("", (), joint_coherence(system, targets, len(test), like=test))


def _accuracy(label: str, given: tuple[str, ...], found: Estimate) -> Accuracy:
    error = found.standard_error
    return Accuracy(label, given, found.value, error if math.isfinite(error) else None)
