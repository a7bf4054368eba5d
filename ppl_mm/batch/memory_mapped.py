"""Observations whose values stay in files, from which rows are read when they are needed."""

import os
from collections.abc import Iterator, Mapping
from typing import Self, cast

import numpy as np
import torch
from jaxtyping import Bool, Shaped
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
    """Rows of files, or of other arrays, that need not fit into memory.

    They have every method of :class:`ppl_mm.Observations`, and every function that takes
    observations takes them. ``fit`` reads one batch while it trains on the one before, and checks
    each row when it first reads it. Measures read the rows that they use. ``obs[rows]``, ``only``,
    ``drop``, ``to`` and similar methods read nothing. A modality's values are read when a program
    or ``obs["label"]`` uses them. Only the rows of this object are read, in the order of the file,
    and they stay in memory as long as the object. Missing rows are never read.

    The files must not change while they are in use. The masks are held in memory, one byte for each
    row and modality. Training also holds an order of the rows, 8 bytes for each row.

    Args:
        arrays: A dict from each modality's name to a ``.npy`` file, or to an array (N, *D_m) of
            numbers that an increasing array of indices can slice, such as a ``numpy.memmap``.
        present: A dict from names to booleans (N,), as arrays or tensors. A modality that is not
            named is complete. Rows of NaN are not searched for; ``present`` must mark them as
            missing.
        elements: A dict from names to booleans of the values' shape, (N, *D_m), as ``.npy`` files
            or arrays. False marks a missing element of a row that is present. The booleans are read
            once, to find rows without any element, and then stay in their file.
        convert: A dict from names to functions that turn a tensor of a few stored rows into their
            values, such as ``lambda x: x / 255`` for bytes. Without a function, floating-point and
            boolean values become torch's default dtype, and integers become int64.

    Raises:
        FileNotFoundError: If a file does not exist.
        TypeError: If an array does not hold numbers, or a mask is not boolean.
        ValueError: If a file is truncated or has another format, if lengths or shapes differ, or if
            a mask names an unknown modality; while reading, if an observed value is NaN or
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
        """Return these rows as plain observations, with all values in memory."""
        return Observations.collate([self])

    def masked(self, present: Mapping[str, Bool[Tensor, " B"]]) -> Self:
        """Return the same rows with further ones marked as missing, by masks (B,).

        Nothing is read now. Values that are masked here may be read later, with the rest of their
        row.
        """
        out = self._copy()
        out.present = {n: self.present[n] & present[n] for n in self.names}
        out.scored = out.evidence = out.source = out.present
        return out

    def replace(self, name: str, value: Shaped[Tensor, "B *D"]) -> Observations:  # type: ignore[override]
        """Return plain observations: the same rows with new values (B, *D_m) for one modality."""
        return self.in_memory().replace(name, value)


def blocks(obs: Observations) -> Iterator[Observations]:
    """Yield the observations themselves if they are in memory, otherwise parts that fit into it."""
    if not isinstance(obs, MemoryMapped):
        yield obs
        return
    size = sum(column.row_bytes for column in obs.values.columns.values())
    for rows in torch.arange(len(obs)).split(max(1, BYTES_AT_ONCE // size)):
        yield obs[rows]


def _opened_elements(
    name: str, array: object, present: Tensor
) -> tuple[Tensor, ElementsColumn | None]:
    """Return which rows hold any element, and the elements, or None if no element is missing."""
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
    """Return the array of a file, or the array itself; raise unless it holds numbers."""
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
    labelled = is_pandas(array, "DataFrame", "Series", "Index")  # these are not sliced by position
    lazy = hasattr(array, "shape") and hasattr(array, "dtype") and hasattr(array, "__getitem__")
    if not lazy or labelled or is_sparse(array) or isinstance(array, Tensor | np.ma.MaskedArray):
        raise TypeError(
            f"{where}: expected a .npy file's name or an array (N, *D), got "
            f"{type(array).__name__}; Observations.from_arrays reads it into memory. For a masked "
            f"array too large for that, give x.data, and present={{{name!r}: "
            "~np.ma.getmaskarray(x).reshape(len(x), -1).any(1)}."
        )
    found = cast(Sliced, array)
    check_dtype(where, np.dtype(found.dtype))
    if len(found.shape) == 0:
        raise ValueError(f"modality {name!r}: expected an array (N, *D), got a scalar.")
    return found
