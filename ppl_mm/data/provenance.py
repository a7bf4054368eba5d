"""Where the rows of one's own data come from, and what their rows and columns are called."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

__all__ = ["Columns", "Provenance"]


@dataclass(frozen=True)
class Columns:
    """What the values of a modality are called.

    Attributes:
        kind: The kind of the modality, such as "real".
        names: The names of its columns; none where its source has no names.
        levels: The classes of a category, or the labels of a label set, by their number.
        origin: The file that it is read from.
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
    """Where the rows come from, and what rows and columns are called.

    Attributes:
        path: The declaration's file; None for a frame.
        fingerprint: A number in hexadecimal digits that changes with the declaration or its files.
        index: The name of the column that matches rows; None if rows have no labels.
        rows: The labels of the rows of each split, their numbers where they have no labels.
        columns: What each modality's values are called.
        places: The place of the rows of each split among all rows, as the files name them first.
    """

    path: str | None
    fingerprint: str
    index: str | None
    rows: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, Columns] = field(default_factory=dict)
    places: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def guesses(self) -> list[str]:
        """A line for each modality whose kind the library chose."""
        return [
            f'{name}: kind = "{c.kind}" is guessed'
            + (f" ({len(c.levels):,} levels)" if c.levels else "")
            for name, c in self.columns.items()
            if c.guessed
        ]
