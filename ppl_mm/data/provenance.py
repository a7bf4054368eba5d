"""The origin of the user's own data, and the names of its rows and columns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

__all__ = ["Columns", "Provenance"]


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

    def read(self, value: Tensor) -> str:
        """Return the class of a category, or the labels of a label set, in words."""
        if value.dim() == 0:
            return self.levels[int(value)]
        held = (value.flatten() > 0.5).nonzero()[:, 0].tolist()
        return ", ".join(self.levels[i] for i in held) or "none"


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
    """

    path: str | None
    fingerprint: str
    index: str | None
    rows: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, Columns] = field(default_factory=dict)
    places: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def guesses(self) -> list[str]:
        """Return a line for each modality whose kind the library chose."""
        return [
            f'{name}: kind = "{c.kind}" is guessed'
            + (f" ({len(c.levels):,} levels)" if c.levels else "")
            for name, c in self.columns.items()
            if c.guessed
        ]
