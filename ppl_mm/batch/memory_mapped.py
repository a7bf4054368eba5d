"""Observations whose values stay in files and are read row by row, when they are asked for."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from math import prod
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.arrays import as_tensor, native, read_mask
from ppl_mm.batch.checks import common_length, in_dtype
from ppl_mm.batch.elements import Where, check_dtype
from ppl_mm.batch.libraries import is_pandas, is_sparse
from ppl_mm.batch.observations import Observations
from ppl_mm.batch.positions import positions

__all__ = ["MemoryMapped", "blocks"]

Convert = Callable[[Tensor], Tensor]

_BYTES_AT_ONCE = 2**25


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
        convert: Name -> a function of the tensor of a few rows as stored, to their values, such as
            ``lambda x: x / 255`` of bytes. Without one floating-point and boolean values become
            torch's default dtype, integers int64.

    Raises:
        FileNotFoundError: For a file that is not there.
        TypeError: For arrays of anything but numbers, or masks that are not boolean.
        ValueError: For a truncated file or one of another format, lengths that differ, masks of
            unknown modalities; while reading, for an observed value that is NaN or infinite.

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

    values: "_Rows"  # type: ignore[assignment]

    def __init__(
        self,
        arrays: Mapping[str, Any],
        present: Mapping[str, Any] | None = None,
        convert: Mapping[str, Convert] | None = None,
    ) -> None:
        present, convert = dict(present or {}), dict(convert or {})
        if not arrays:
            raise ValueError("expected at least one modality, got no arrays.")
        for name in (*present, *convert):
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
        columns = {
            n: _Column(n, array, self.present[n], convert.get(n)) for n, array in opened.items()
        }
        self.values = _Rows(columns, None, torch.device("cpu"), None)
        self.scored = self.evidence = self.source = self.present

    @property
    def device(self) -> torch.device:
        """Where values go when they are read."""
        return self.values.device

    @property
    def dtype(self) -> torch.dtype:
        """What floating-point values are read as, where :meth:`to` has said it."""
        return self.values.dtype or torch.get_default_dtype()

    def __getitem__(self, index: Any) -> Any:
        """``obs["image"]``, all values of these rows; or ``obs[rows]``, which reads nothing."""
        if isinstance(index, str):
            return super().__getitem__(index)
        self._require_no_plate("row indexing")
        rows = positions(index, self._size).cpu()
        if len(rows) == 0:
            raise ValueError(f"expected at least one row of {self._size}, got none.")
        own = rows.to(self.device)
        out = self._map_tensors(lambda mask: mask[own])
        out.values, out._size = self.values.take(rows), len(rows)
        return out

    def in_memory(self) -> Observations:
        """These rows as plain observations."""
        return Observations.collate([self])

    def drop(self, *names: str) -> Self:
        """Without these modalities' values: a model run on the result draws them."""
        self._check_names(names)
        kept = [n for n in self.names if n not in names]
        out = self._copy()
        out.values = self.values.only(kept)
        for kind in ("present", "scored", "evidence", "source"):
            setattr(out, kind, {n: getattr(self, kind)[n] for n in kept})
        return out

    def masked(self, present: Mapping[str, Tensor]) -> Self:
        """As if the data held these modalities in these rows alone, (B,) each.

        Nothing is read now; later, what is left out may be read with the rest of its row.
        """
        out = self._copy()
        out.present = {n: self.present[n] & present[n] for n in self.names}
        out.scored = out.evidence = out.source = out.present
        return out

    def replace(self, name: str, value: Tensor) -> Any:
        """Plain observations: the same rows with other values (B, *D_m) of one modality."""
        return self.in_memory().replace(name, value)

    def to(self, target: torch.device | str | torch.dtype | nn.Module) -> Self:
        """Values will be read to another device; or floating-point ones as another dtype."""
        if isinstance(target, nn.Module):
            return super().to(target)
        out = self._copy() if isinstance(target, torch.dtype) else super().to(target)
        out.values = self.values.to(target)
        return out

    def __repr__(self) -> str:
        parts = [
            f"{n}{tuple(self.values.columns[n].event_shape)}: {int(m.sum())} present"
            for n, m in self.present.items()
        ]
        return f"MemoryMapped({self._size} rows; {', '.join(parts) or 'no modality'})"


def blocks(obs: Observations) -> Iterator[Observations]:
    """The rows as they are if they are in memory; otherwise a part that fits after another."""
    if not isinstance(obs, MemoryMapped):
        yield obs
        return
    size = sum(column.row_bytes for column in obs.values.columns.values())
    for rows in torch.arange(len(obs)).split(max(1, _BYTES_AT_ONCE // size)):
        yield obs[rows]


class _Column:
    """One modality's array, read at rows that hold it."""

    def __init__(self, name: str, array: Any, present: Tensor, convert: Convert | None) -> None:
        self.name, self.array, self.present, self.convert = name, array, present, convert

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
        """What one row takes, as it is stored and as a value."""
        stored = prod(self.array.shape[1:]) * self.array.dtype.itemsize
        return max(stored, 8 * prod(self.event_shape), 1)

    def read(self, rows: Tensor | None) -> Tensor:
        """The values of these rows, or of all, (B, *D_m), with zeros where they are missing."""
        rows = torch.arange(len(self.array)) if rows is None else rows
        held = self.present[rows].nonzero()[:, 0]
        stored, place = rows[held].unique(return_inverse=True)  # each once, in the file's order
        parts = stored.split(max(1, _BYTES_AT_ONCE // self.row_bytes))
        values = torch.cat([self._values(self.array[part.numpy()]) for part in parts])
        if values.is_floating_point() and not bool(values.sum().isfinite()):
            self._check_finite(values, stored)
        if len(place) > len(stored) or bool((place[1:] < place[:-1]).any()):
            values = values[place]
        if len(held) == len(rows):
            return values
        return values.new_zeros(len(rows), *values.shape[1:]).index_copy_(0, held, values)

    def _values(self, stored: np.ndarray) -> Tensor:
        stored = np.asarray(stored)
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


class _Rows(Mapping[str, Tensor]):
    """Name -> values of some rows, read when they are first asked for."""

    def __init__(
        self,
        columns: Mapping[str, _Column],
        rows: Tensor | None,
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

    def take(self, rows: Tensor) -> "_Rows":
        rows = rows if self.rows is None else self.rows[rows]
        return _Rows(self.columns, rows, self.device, self.dtype)

    def only(self, names: Sequence[str]) -> "_Rows":
        columns = {n: self.columns[n] for n in names}
        return _Rows(columns, self.rows, self.device, self.dtype)

    def to(self, target: torch.device | str | torch.dtype) -> "_Rows":
        if isinstance(target, torch.dtype):
            return _Rows(self.columns, self.rows, self.device, target)
        return _Rows(self.columns, self.rows, torch.device(target), self.dtype)


def _open(name: str, array: Any) -> Any:
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
    check_dtype(where, np.dtype(array.dtype))
    if len(array.shape) == 0:
        raise ValueError(f"modality {name!r}: expected an array (N, *D), got a scalar.")
    return array
