"""What a data set hands to a model: its splits, and how its paper declares the modalities."""

from collections.abc import Callable
from dataclasses import dataclass

from ppl_mm.modality import Modality
from ppl_mm.observations import Observations

__all__ = ["DataSet", "split_last"]


@dataclass(frozen=True)
class DataSet:
    """The splits of one data set, with its paper's likelihoods, networks and latent size.

    Attributes:
        name: The name that :func:`ppl_mm.data.load` knows it by.
        train: The training rows.
        validation: The rows for choosing a model, None where there are none.
        test: The test rows.
        modalities: One declaration a modality, ready for :mod:`ppl_mm.systems`.
        latent_dim: The size D of the shared latent in the paper.
        label: The modality that holds the class, None where there is none.
        num_classes: The number of classes, None where there is no label.
        transform: What to do to each training batch, on its device and with torch's global
            random numbers; None for nothing.

    Example:
        >>> from ppl_mm import data
        >>> digits = data.load("digits")
        >>> len(digits.train), len(digits.validation), len(digits.test)
        (1200, 200, 397)
        >>> [m.name for m in digits.modalities], digits.label
        (['top', 'bottom', 'label'], 'label')
    """

    name: str
    train: Observations
    validation: Observations | None
    test: Observations
    modalities: tuple[Modality, ...]
    latent_dim: int
    label: str | None
    num_classes: int | None
    transform: Callable[[Observations], Observations] | None = None


def split_last(
    name: str, obs: Observations, validation: int
) -> tuple[Observations, Observations | None]:
    """Split off the last rows for validation; None for no rows. Both parts are views.

    Raises:
        ValueError: Unless 0 <= validation < len(obs).
    """
    if not 0 <= validation < len(obs):
        raise ValueError(
            f"{name}: expected validation to be from 0 to {len(obs) - 1} of the {len(obs)} "
            f"training rows, got {validation}."
        )
    if validation == 0:
        return obs, None
    return obs[: len(obs) - validation], obs[len(obs) - validation :]
