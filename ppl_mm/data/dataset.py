"""What a data set hands to a model: its splits, and how its paper declares the modalities."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self, get_args

import torch
from torch import Tensor

from ppl_mm.data.vocabulary import Vocabulary
from ppl_mm.modality import Modality
from ppl_mm.observations import Observations
from ppl_mm.typed import typed

__all__ = ["DataSet", "Join", "Split", "as_floats", "split_labels", "split_last"]

Split = Literal["train", "validation", "test"]
Join = Callable[[Mapping[str, Tensor]], Tensor]
"""From modality -> values (..., *event_shape) to the whole picture (..., C, H, W)."""


@typed
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
        labels: Where the class is no modality, and so never seen in training: the split's name
            -> the class (N,) int64 of its rows, for evaluation. None where there is none.
        origin: Where the rows come from, where there is more than one possibility.
        vocabulary: The words of the symbols, where modalities are text; None where none is.
        vocabularies: Where modalities are text in several languages, the words of each; None
            elsewhere.
        join: Where the modalities are parts of one picture, the function that puts them together:
            modality -> values (..., *event_shape) to the picture (..., C, H, W). None elsewhere.

    Raises:
        ValueError: For labels of a split that there is not, or of another number of rows.

    Example:
        >>> from ppl_mm import data
        >>> digits = data.load("digits")
        >>> len(digits.train), len(digits.validation), len(digits.test)
        (1200, 200, 397)
        >>> [m.name for m in digits.modalities], digits.label
        (['top', 'bottom', 'label'], 'label')
        >>> digits.classes("test").shape
        torch.Size([397])
        >>> digits.join(digits.test.values).shape
        torch.Size([397, 1, 8, 8])
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
    labels: Mapping[str, Tensor] | None = None
    origin: str | None = None
    vocabulary: Vocabulary | None = None
    vocabularies: Mapping[str, Vocabulary] | None = None
    join: Join | None = None

    def __post_init__(self) -> None:
        for split, labels in (self.labels or {}).items():
            obs = self._rows().get(split)
            if obs is None or labels.shape != (len(obs),):
                expected = "no labels" if obs is None else f"labels ({len(obs)},), one a row"
                raise ValueError(
                    f"{self.name}: expected {expected} of {split}, got {tuple(labels.shape)}; take "
                    "the same rows of labels as of the data."
                )

    def classes(self, split: Split) -> Tensor:
        """The class (N,) int64 of each row, be it a modality or not; -1 where a row lacks it.

        Raises:
            ValueError: If the data set has no classes, or no such split.
        """
        obs = self._rows().get(split)
        if obs is None:
            raise ValueError(f"{self.name}: has no {split} rows.")
        if self.labels is not None and split in self.labels:
            return self.labels[split]
        if self.label is None or self.label not in obs.names:
            raise ValueError(f"{self.name}: the {split} rows have no class.")
        return obs[self.label].masked_fill(~obs.present[self.label], -1)

    def without_label(self) -> Self:
        """The same rows with the class as no modality, so that no training sees it; in ``labels``.

        Example:
            >>> from ppl_mm import data
            >>> images = data.load("digits").without_label()
            >>> images.train.names, images.classes("train").shape
            (('top', 'bottom'), torch.Size([1200]))
        """
        label = self.label
        if label is None:
            return self
        held_out, splits = self.validation, get_args(Split)
        return replace(
            self,
            train=self.train.drop(label),
            validation=None if held_out is None else held_out.drop(label),
            test=self.test.drop(label),
            modalities=tuple(m for m in self.modalities if m.name != label),
            label=None,
            labels={s: self.classes(s) for s in splits if self._rows()[s] is not None},
        )

    def _rows(self) -> dict[str, Observations | None]:
        return {"train": self.train, "validation": self.validation, "test": self.test}


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
            f"rows, got {validation}."
        )
    if validation == 0:
        return obs, None
    return obs[: len(obs) - validation], obs[len(obs) - validation :]


def split_labels(train: Tensor, test: Tensor, num_train: int) -> dict[str, Tensor]:
    """``DataSet.labels`` where all but the first ``num_train`` training rows are validation."""
    labels = {"train": train[:num_train], "test": test}
    return labels if num_train == len(train) else {**labels, "validation": train[num_train:]}


def as_floats(images: Tensor) -> Tensor:
    """Bytes 0..255 as floats in [0, 1], of torch's default dtype."""
    return images.to(torch.get_default_dtype()).div_(255)
