"""The class of data sets: splits of rows, and declarations of their modalities."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, Self, get_args

import torch
from jaxtyping import Float, Int, Integer, Shaped
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data.description import Description, describe
from ppl_mm.data.provenance import Provenance
from ppl_mm.data.vocabulary import Vocabulary
from ppl_mm.modality import Modality

__all__ = ["DataSet", "Join", "Split", "as_floats", "split_labels", "split_last"]

Split = Literal["train", "validation", "test"]
Join = Callable[[Mapping[str, Tensor]], Tensor]
"""A function of modality -> values (..., *event_shape) that returns a picture (..., C, H, W)."""


@typed
@dataclass(frozen=True)
class DataSet:
    """The splits of one data set, with its paper's likelihoods, networks and latent size.

    Attributes:
        name: The name of the data set for :func:`ppl_mm.data.load`.
        train: The training rows.
        validation: The rows for choosing a model; None if there are none.
        test: The test rows.
        modalities: The declaration of each modality, ready for :mod:`ppl_mm.systems`.
        latent_dim: The size D of the shared latent in the paper.
        label: The modality that holds the class; None if no modality does.
        num_classes: The number of classes; None if the rows have no class.
        transform: The function that training applies to each batch, on the batch's device and with
            torch's global random numbers; None if there is none.
        labels: The classes that evaluation reads and training never sees, if the class is no
            modality: the split's name -> the class (N,) int64 of its rows. None otherwise.
        origin: The origin of the rows, if the data set has several forms; None otherwise.
        vocabulary: The words of the symbols, if a modality is text; None otherwise.
        vocabularies: The words of each language, if modalities are text in several languages; None
            otherwise.
        join: The function that puts the modalities together, if they are parts of one picture:
            modality -> values (..., *event_shape) to the picture (..., C, H, W). None otherwise.
        provenance: The origin of the rows, and the names of rows and columns, if the data are the
            user's own; None otherwise.

    Raises:
        ValueError: If ``labels`` names a split that the data set lacks, has another number of
            rows than the split, or holds floating-point numbers.

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
    provenance: Provenance | None = None

    def __post_init__(self) -> None:
        for split, labels in (self.labels or {}).items():
            obs = self._rows().get(split)
            if obs is None or labels.shape != (len(obs),):
                expected = "no labels" if obs is None else f"labels ({len(obs)},), one a row"
                raise ValueError(
                    f"{self.name}: expected {expected} of {split}, got {tuple(labels.shape)}; take "
                    "the same rows of labels as of the data."
                )
            if labels.is_floating_point():
                raise ValueError(
                    f"{self.name}: expected labels of {split} as integers, -1 where a row has "
                    f"none, got {labels.dtype}; write x.nan_to_num(-1).long()."
                )

    @property
    def reference(self) -> str:
        """The name that runs record: the data set's name, or the path of the user's declaration."""
        declared = None if self.provenance is None else self.provenance.path
        return self.name if declared is None else declared

    def describe(self) -> Description:
        """Describe rows, modalities, missing values, suspicious values and the networks.

        Example:
            >>> from ppl_mm import data
            >>> print(str(data.load("digits").describe()).splitlines()[0])
            digits: 1,797 rows (1,200 train, 200 validation, 397 test); label 'label' of 10
        """
        return describe(self)

    def words(self) -> dict[str, Callable[[Shaped[Tensor, "..."]], str]]:
        """Return functions that put values in words: names of classes and labels, words of texts.

        Returns:
            Modality -> a function of one value. Modalities of numbers, or without such names, have
            none.
        """
        found: dict[str, Callable[[Tensor], str]] = {}
        for name, columns in ({} if self.provenance is None else self.provenance.columns).items():
            if columns.levels:
                found[name] = columns.read
        for name, vocabulary in (self.vocabularies or {}).items():
            found[name] = partial(_spelled, vocabulary)
        return found

    def classes(self, split: Split) -> Int[Tensor, " N"]:
        """Return the class (N,) int64 of each row of a split; -1 for a row that lacks it.

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
        values = obs[self.label]
        found = values.argmax(-1) if values.dim() == 2 else values.long()  # one-hot or an index
        return found.masked_fill(~obs.present[self.label], -1)

    def without_label(self) -> Self:
        """Move the class from the modalities to ``labels``, so that no training sees it.

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


def _spelled(vocabulary: Vocabulary, value: Tensor) -> str:
    return vocabulary.decode(value[None].cpu())[0]


def split_last(
    name: str, obs: Observations, validation: int
) -> tuple[Observations, Observations | None]:
    """Split off the last rows for validation; return None for no rows. Both parts are views.

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


def split_labels(
    train: Int[Tensor, " N"], test: Int[Tensor, " N_test"], num_train: int
) -> dict[str, Int[Tensor, " _"]]:
    """Return ``DataSet.labels`` if the training rows from ``num_train`` on are for validation."""
    labels = {"train": train[:num_train], "test": test}
    return labels if num_train == len(train) else {**labels, "validation": train[num_train:]}


def as_floats(images: Integer[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Turn bytes 0..255 into floats in [0, 1], of torch's default dtype."""
    return images.to(torch.get_default_dtype()).div_(255)
