"""Pictures of what trained systems generate, drawn from the files that runs leave."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from matplotlib.figure import Figure
from torch import Tensor

from ppl_mm import generate, plotting
from ppl_mm.batch.observations import Observations
from ppl_mm.plotting.values import Words
from ppl_mm.systems import System

__all__ = ["evenly", "from_some", "one_of_each"]


def one_of_each(labels: Int[Tensor, " N"]) -> Int[Tensor, " C"]:
    """The first row of every class, in the order of the classes.

    Example:
        >>> one_of_each(torch.tensor([2, 0, 2, 1]))
        tensor([1, 3, 0])
    """
    return torch.stack([(labels == c).nonzero()[0, 0] for c in labels.unique()])


def evenly(total: int, number: int) -> Int[Tensor, " _"]:
    """Return ``number`` of the indices 0 to total - 1, evenly spread, or all if there are fewer.

    Example:
        >>> evenly(7, 3), evenly(2, 3)
        (tensor([0, 2, 4]), tensor([0, 1]))
    """
    number = min(number, total)
    return torch.arange(number) * total // number


def from_some(
    system: System,
    rows: Observations,
    given: Sequence[str],
    targets: Sequence[str],
    *,
    num_samples: int = 5,
    words: Words | None = None,
    seed: int = 0,
) -> Figure:
    """Show each row beside draws of the targets given some of the row's modalities.

    A draw is shown by the mean of its likelihood.
    """
    drawn = generate(system, rows, targets, num_samples, given=given, mean=True, seed=seed)
    return plotting.samples(system, rows, drawn, given, words=words)
