"""Values of rows that stay in files, or in arrays, until a program asks for them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped
from torch import Tensor

from ppl_mm.batch.arrays import as_tensor, native
from ppl_mm.batch.checks import common_length, in_dtype
from ppl_mm.batch.elements import Where
from ppl_mm.batch.holes import without_holes

__all__ = [
    "BYTES_AT_ONCE",
    "Column",
    "Convert",
    "ElementsColumn",
    "LazyValues",
    "Sliced",
    "event_shapes",
    "only",
]

BYTES_AT_ONCE = 2**25
"""The most bytes that one read of a file takes."""

Convert = Callable[[Tensor], Tensor]
"""A function from a few rows as they are stored to their values."""


class Sliced(Protocol):
    """An array (N, *D) of numbers that slices by an increasing array of indices."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, *D)."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the numbers."""
        ...

    def __len__(self) -> int: ...
    def __getitem__(self, rows: np.ndarray, /) -> object: ...


class Column:
    """One modality's array, which is read at the rows that hold the modality."""

    def __init__(
        self,
        name: str,
        array: Sliced,
        present: Bool[Tensor, " N"],
        convert: Convert | None,
        elements: "ElementsColumn | None" = None,
    ) -> None:
        self.name, self.array, self.present, self.convert = name, array, present, convert
        self.elements = elements

    @cached_property
    def event_shape(self) -> torch.Size:
        """The shape of one value."""
        value = self._values(np.zeros((1, *self.array.shape[1:]), self.array.dtype))
        if common_length({self.name: value}) != 1:
            raise ValueError(
                f"modality {self.name!r}: expected convert to return a row for each row that it is "
                f"given, got {len(value)} for 1."
            )
        return value.shape[1:]

    @cached_property
    def row_bytes(self) -> int:
        """The bytes that one row takes as it is stored or as a value, whichever is more."""
        stored = prod(self.array.shape[1:]) * self.array.dtype.itemsize
        return max(stored, 8 * prod(self.event_shape), 1)

    def read(self, rows: Int[Tensor, " B"] | None) -> Shaped[Tensor, "B ..."]:
        """The values of these rows, or of all, (B, *D_m), with zeros where they are missing."""
        rows = torch.arange(len(self.array)) if rows is None else rows
        held = self.present[rows].nonzero()[:, 0]
        stored, place = rows[held].unique(return_inverse=True)  # each once, in the file's order
        parts = stored.split(max(1, BYTES_AT_ONCE // self.row_bytes))
        values = torch.cat([self._values(self.array[part.numpy()]) for part in parts])
        if self.elements is not None:
            values = without_holes(values, self.elements.read(stored))
        if values.is_floating_point() and not bool(values.sum().isfinite()):
            self._check_finite(values, stored)
        if len(place) > len(stored) or bool((place[1:] < place[:-1]).any()):
            values = values[place]
        if len(held) == len(rows):
            return values
        return values.new_zeros(len(rows), *values.shape[1:]).index_copy_(0, held, values)

    def _values(self, rows: object) -> Tensor:
        stored = np.asarray(rows)
        if self.convert is not None:
            return self.convert(torch.from_numpy(native(stored)))
        return as_tensor(Where(f"modality {self.name!r}"), stored)

    def _check_finite(self, values: Tensor, stored: Tensor) -> None:
        finite = values.isfinite().reshape(len(values), -1).all(1)
        if not bool(finite.all()):
            row = int(stored[~finite][0])
            raise ValueError(
                f"modality {self.name!r}: row {row} of the array is observed but holds NaN or "
                "infinity. Mark the row as missing (present=...) or clean the value."
            )


class ElementsColumn(Column):
    """One modality's masks of elements, True where observed or where a row lacks the modality."""

    def __init__(self, name: str, array: Sliced, present: Bool[Tensor, " N"]) -> None:
        super().__init__(name, array, present, None)

    def read(self, rows: Int[Tensor, " B"] | None) -> Bool[Tensor, "B ..."]:
        """The masks of these rows, or of all, (B, *D_m)."""
        missing = ~(self.present if rows is None else self.present[rows])
        found = super().read(rows)
        return found | missing.reshape(-1, *[1] * (found.dim() - 1))

    def _values(self, rows: object) -> Tensor:
        return torch.from_numpy(np.array(rows))


class LazyValues(Mapping[str, Tensor]):
    """Name -> the values of some rows, which are read when they are first asked for."""

    def __init__(
        self,
        columns: Mapping[str, Column],
        rows: Int[Tensor, " B"] | None,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> None:
        self.columns, self.rows, self.device, self.dtype = dict(columns), rows, device, dtype
        self.read: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.read:
            values = self.columns[name].read(self.rows)
            if self.dtype is not None:
                values = in_dtype(name, values, self.dtype)
            self.read[name] = values.to(self.device)
        return self.read[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def take(self, rows: Int[Tensor, " n"]) -> "LazyValues":
        """The values of these rows; nothing is read now."""
        rows = rows.cpu() if self.rows is None else self.rows[rows.cpu()]
        return LazyValues(self.columns, rows, self.device, self.dtype)

    def only(self, names: Sequence[str]) -> "LazyValues":
        """The values of these modalities; nothing is read now."""
        columns = {n: self.columns[n] for n in names}
        return LazyValues(columns, self.rows, self.device, self.dtype)

    def to(self, target: torch.device | str | torch.dtype) -> "LazyValues":
        """The values as they will be read to another device, or in another dtype."""
        if isinstance(target, torch.dtype):
            return LazyValues(self.columns, self.rows, self.device, target)
        return LazyValues(self.columns, self.rows, torch.device(target), self.dtype)


def only(values: Mapping[str, Tensor], names: Sequence[str]) -> Mapping[str, Tensor]:
    """The values of these modalities; those that lie in files are not read."""
    return values.only(names) if isinstance(values, LazyValues) else {n: values[n] for n in names}


def event_shapes(values: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> the shape of one value; values that lie in files are not read."""
    if isinstance(values, LazyValues):
        return {n: tuple(column.event_shape) for n, column in values.columns.items()}
    return {n: tuple(x.shape[1:]) for n, x in values.items()}
