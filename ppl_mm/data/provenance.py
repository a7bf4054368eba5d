"""The origin of the user's own data, and the names of its rows and columns."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Shaped
from torch import Tensor

from ppl_mm.arguments.wording import unknown_name

__all__ = ["Columns", "Covariate", "Provenance"]


@dataclass(frozen=True)
class Columns:
    """The names of a modality's values.

    Attributes:
        kind: The kind of the modality, such as "real".
        names: The names of its columns; empty if its source has no names.
        levels: The classes of a category, or the labels of a label set, by their number.
        origin: The file that the modality is read from.
        guessed: Whether the library chose the kind.
    """

    kind: str
    names: tuple[str, ...]
    levels: tuple[str, ...]
    origin: str
    guessed: bool

    def read(self, value: Shaped[Tensor, "..."]) -> str:
        """Return the class of a category, or the labels of a label set, in words."""
        if value.dim() == 0:
            return self.levels[int(value)]
        held = (value.flatten() > 0.5).nonzero()[:, 0].tolist()
        return ", ".join(self.levels[i] for i in held) or "none"


@dataclass(frozen=True)
class Covariate:
    """A column that networks read and no model scores.

    Attributes:
        column: The column's name.
        levels: Its classes by their number; empty for numbers.
        centre, spread: The mean and the standard deviation of its numbers over the training rows,
            by which networks see them standardised.

    Example:
        >>> site, age = Covariate("site", ("a", "b")), Covariate("age", (), 50.0, 10.0)
        >>> site.value("b"), age.value("65")
        (tensor(1), tensor([1.5000]))
    """

    column: str
    levels: tuple[str, ...]
    centre: float = 0.0
    spread: float = 1.0

    def value(self, cell: str | None) -> Shaped[Tensor, "..."]:
        """Return a cell as networks read it: the number of its class, or (1,) standardised.

        Raises:
            ValueError: If the class is unknown, or the cell is no number.
        """
        if self.levels:
            if cell not in self.levels:
                raise ValueError(
                    unknown_name(f"class of covariate {self.column!r}", cell, self.levels)
                )
            return torch.tensor(self.levels.index(cell))
        try:
            number = float(cell or "")
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"covariate {self.column!r}: expected a number, got {cell!r}.")
        return torch.tensor([(number - self.centre) / self.spread])


@dataclass(frozen=True)
class Provenance:
    """The origin of the rows, and the names of rows and columns.

    Attributes:
        path: The declaration's file; None for a frame.
        fingerprint: A number in hexadecimal digits that changes with the declaration or its files.
        index: The name of the column that matches rows; None if rows have no labels.
        rows: The labels of the rows of each split; rows without labels have numbers.
        columns: The names of each modality's values.
        places: The positions of each split's rows among all rows, in the order of their first
            mention in the files.
        covariates: The columns that networks read beside the modalities, by name.
    """

    path: str | None
    fingerprint: str
    index: str | None
    rows: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, Columns] = field(default_factory=dict)
    places: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    covariates: Mapping[str, Covariate] = field(default_factory=dict)

    def guesses(self) -> list[str]:
        """Return a line for each modality whose kind the library chose."""
        return [
            f'{name}: kind = "{c.kind}" is guessed'
            + (f" ({len(c.levels):,} levels)" if c.levels else "")
            for name, c in self.columns.items()
            if c.guessed
        ]
