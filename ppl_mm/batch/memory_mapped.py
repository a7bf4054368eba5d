"""Observations whose values stay in files and are read row by row, when they are asked for."""

import os
from collections.abc import Iterator, Mapping
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.arrays import Readable, read_mask
from ppl_mm.batch.elements import Where, check_dtype
from ppl_mm.batch.holes import folded
from ppl_mm.batch.lazy import (
    BYTES_AT_ONCE,
    Column,
    Convert,
    ElementsColumn,
    LazyValues,
    Sliced,
)
from ppl_mm.batch.libraries import is_pandas, is_sparse
from ppl_mm.batch.observations import Observations

__all__ = ["MemoryMapped", "blocks"]


@typed
class MemoryMapped(Observations):
    """Rows of files, or of any arrays, that need not fit into memory.

    Everything of :class:`ppl_mm.Observations`, and whatever takes those: ``fit`` reads a batch
    while it trains on the one before, and checks rows as it first reads them; measures read the
    rows that they look at. ``obs[rows]``, ``only``, ``drop``, ``to`` and so on read nothing; a
    modality's values are read when a program asks for them, or by ``obs["label"]``, for these rows
    alone and in the order of the file, and then stay as long as the object. What is missing is
    never read.

    The files must not change meanwhile. In memory are the masks, a byte a row and modality, and
    while training an order of the rows, 8 bytes a row.

    Args:
        arrays: Name -> a ``.npy`` file, or an array (N, *D_m) of numbers that slices by an
            increasing array of indices, such as a ``numpy.memmap``.
        present: Name -> booleans (N,), as an array or a tensor; complete where not named. Rows of
            NaN are not searched for: they must be named as missing.
        elements: Name -> booleans of the shape of its values, (N, *D_m), as a ``.npy`` file or an
            array, False for an element that is missing of a row that is present. They are looked
            through once, for rows that hold no element, and then stay in their file.
        convert: Name -> a function of the tensor of a few rows as stored, to their values, such as
            ``lambda x: x / 255`` of bytes. Without one floating-point and boolean values become
            torch's default dtype, integers int64.

    Raises:
        FileNotFoundError: For a file that is not there.
        TypeError: For arrays of anything but numbers, or masks that are not boolean.
        ValueError: For a truncated file or one of another format, lengths or shapes that differ,
            masks of unknown modalities; while reading, for an observed value that is NaN or
            infinite.

    Example:
        >>> from ppl_mm.data import MemoryMapped
        >>> grey = np.array([[0, 255], [51, 0], [0, 0]], dtype=np.uint8)  # or a file's name
        >>> obs = MemoryMapped({"x": grey, "y": np.arange(3)}, convert={"x": lambda x: x / 255})
        >>> obs[1:]
        MemoryMapped(2 rows; x(2,): 2 present, y(): 2 present)
        >>> obs[1:]["x"]
        tensor([[0.2000, 0.0000],
                [0.0000, 0.0000]])
    """

    values: LazyValues

    def __init__(
        self,
        arrays: Mapping[str, Readable],
        present: Mapping[str, Readable] | None = None,
        convert: Mapping[str, Convert] | None = None,
        elements: Mapping[str, Readable] | None = None,
    ) -> None:
        present, convert, elements = dict(present or {}), dict(convert or {}), dict(elements or {})
        if not arrays:
            raise ValueError("expected at least one modality, got no arrays.")
        for name in (*present, *convert, *elements):
            if name not in arrays:
                raise ValueError(unknown_name("modality", name, arrays))
        opened = {name: _open(name, array) for name, array in arrays.items()}
        lengths = {name: len(array) for name, array in opened.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"modalities disagree on the number of rows: {lengths}.")
        self._size = next(iter(lengths.values()))
        if self._size == 0:
            raise ValueError("expected at least one row, got none.")
        self.present = {n: read_mask(n, present.get(n), self._size) for n in opened}
        holes = {}
        for name, mask in elements.items():
            self.present[name], found = _opened_elements(name, mask, self.present[name])
            if found is not None:
                holes[name] = found
        columns = {
            n: Column(n, array, self.present[n], convert.get(n), holes.get(n))
            for n, array in opened.items()
        }
        for name, mask in holes.items():
            if mask.event_shape != columns[name].event_shape:
                raise ValueError(
                    f"modality {name!r}: expected elements of the shape of its values, (N, *D_m) "
                    f"with D_m = {tuple(columns[name].event_shape)}, got {tuple(mask.event_shape)}."
                )
        self.values = LazyValues(columns, None, torch.device("cpu"), None)
        self.elements = LazyValues(holes, None, torch.device("cpu"), None) if holes else {}
        self.scored = self.evidence = self.source = self.present
        self.covariates = {}

    def in_memory(self) -> Observations:
        """These rows as plain observations."""
        return Observations.collate([self])

    def masked(self, present: Mapping[str, Tensor]) -> Self:
        """As if the data held these modalities in these rows alone, (B,) each.

        Nothing is read now; later, what is left out may be read with the rest of its row.
        """
        out = self._copy()
        out.present = {n: self.present[n] & present[n] for n in self.names}
        out.scored = out.evidence = out.source = out.present
        return out

    def replace(self, name: str, value: Tensor) -> Observations:  # type: ignore[override]
        """Plain observations: the same rows with other values (B, *D_m) of one modality."""
        return self.in_memory().replace(name, value)


def blocks(obs: Observations) -> Iterator[Observations]:
    """The rows as they are if they are in memory; otherwise a part that fits after another."""
    if not isinstance(obs, MemoryMapped):
        yield obs
        return
    size = sum(column.row_bytes for column in obs.values.columns.values())
    for rows in torch.arange(len(obs)).split(max(1, BYTES_AT_ONCE // size)):
        yield obs[rows]


def _opened_elements(
    name: str, array: object, present: Tensor
) -> tuple[Tensor, ElementsColumn | None]:
    """The rows that hold something, and their elements; None where no element is missing."""
    opened = _open(name, array)
    if opened.dtype != np.dtype(bool) or len(opened) != len(present):
        raise TypeError(
            f"modality {name!r}: expected elements as {len(present)} rows of booleans, got "
            f"{len(opened)} of {opened.dtype}."
        )
    column = ElementsColumn(name, opened, present)
    rows = torch.arange(len(present)).split(max(1, BYTES_AT_ONCE // column.row_bytes))
    looked = [folded(present[part], column.read(part)) for part in rows]
    column.present = torch.cat([held for held, _ in looked])
    whole = all(found is None for _, found in looked)
    return column.present, None if whole else column


def _open(name: str, array: object) -> Sliced:
    """The array of a file, or an array as it is, once it is one of numbers."""
    if isinstance(array, str | os.PathLike):
        if not os.path.isfile(array):
            raise FileNotFoundError(f"modality {name!r}: {array}: no such file.")
        try:
            array = np.load(array, mmap_mode="r")
        except (ValueError, OSError, EOFError) as error:
            raise ValueError(
                f"modality {name!r}: {array}: truncated, or no .npy file of numbers ({error})."
            ) from error
    where = Where(f"modality {name!r}")
    labelled = is_pandas(array, "DataFrame", "Series", "Index")  # sliced by other than place
    lazy = hasattr(array, "shape") and hasattr(array, "dtype") and hasattr(array, "__getitem__")
    if not lazy or labelled or is_sparse(array) or isinstance(array, Tensor | np.ma.MaskedArray):
        raise TypeError(
            f"{where}: expected a .npy file's name or an array (N, *D), got "
            f"{type(array).__name__}; Observations.from_arrays reads it into memory. Of a masked "
            f"array too large for that give x.data, and present={{{name!r}: "
            "~np.ma.getmaskarray(x).reshape(len(x), -1).any(1)}."
        )
    found = cast(Sliced, array)
    check_dtype(where, np.dtype(found.dtype))
    if len(found.shape) == 0:
        raise ValueError(f"modality {name!r}: expected an array (N, *D), got a scalar.")
    return found
