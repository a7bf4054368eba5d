"""The schedule of beta, the factor of the KL."""

from typing import Annotated

from ppl_mm.arguments.kinds import Range
from ppl_mm.arguments.typed import typed

__all__ = ["linear_annealing"]


@typed
def linear_annealing(step: int, *, epochs: Annotated[int, Range(0)], steps_per_epoch: int) -> float:
    """The factor of beta at training step 0, 1, 2, ...

        (step + 1) / (E M)  in epochs 1 .. E - 1,  1 from epoch E on

    with E = ``epochs`` and M = ``steps_per_epoch``. With E of 0 or 1 there is no annealing.

    Source: Wu & Goodman 2018, arXiv:1802.05335, appendix A and its MNIST release.

    Example:
        >>> linear_annealing(0, epochs=200, steps_per_epoch=600)
        8.333333333333334e-06
        >>> linear_annealing(199 * 600, epochs=200, steps_per_epoch=600)
        1.0
    """
    if step >= (epochs - 1) * steps_per_epoch:
        return 1.0
    return (step + 1) / (epochs * steps_per_epoch)
