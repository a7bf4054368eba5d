"""Conversion of array-like objects into numbers and a mask of missing elements.

The numbers are those that ``np.asarray`` returns. An element is missing if its container marks it
so: None, ``pd.NA``, a NaN in a list, or an element that a NumPy mask or a masked tensor hides. An
error refuses every other object and names the line of code that converts it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import date
from decimal import Decimal
from fractions import Fraction
from numbers import Number
from os import PathLike
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

import numpy as np
import torch
from torch import Tensor
from torch.masked import MaskedTensor

from ppl_mm.batch.libraries import is_missing_value, is_pandas, is_sparse

if TYPE_CHECKING:
    from pandas import DataFrame, Series

__all__ = ["Elements", "Where", "check_dtype", "elements"]

T = TypeVar("T")

Elements = tuple[np.ndarray, np.ndarray | None]
"""Numbers, and a mask of the same shape that is True where they are missing, or None."""

_PLAIN = {bool, int, float, np.bool_} | {
    np.dtype(code).type for code in np.typecodes["AllInteger"] + np.typecodes["Float"]
}
_MISSING = "np.ma.masked_less({codes}, 0)"
_NAMES = _MISSING.format(codes="pd.factorize(pd.Series({x}), sort=True)[0]")
_TEXT = (
    f"encode text as symbol indices, such as {_NAMES} of class names; or, of numbers that are "
    "spelled, pd.to_numeric(pd.Series({x}))"
)
_TIME = (
    "count from some day: (pd.to_datetime(pd.Series({x}), utc=True) - "
    "pd.Timestamp('2000-01-01', tz='UTC')) / pd.Timedelta(days=1)"
)
_REMEDIES = {
    **dict.fromkeys("UST", _TEXT),
    "M": _TIME,
    "m": "count in some unit: pd.Series({x}) / pd.Timedelta(days=1)",
    "c": "stack real and imaginary parts: np.stack([np.real({x}), np.imag({x})], -1)",
    "V": "stack the fields: np.stack([{x}[field] for field in {x}.dtype.names], -1)",
    "O": "make numbers of the objects: np.asarray({x}, dtype=float)",
}


class Where(NamedTuple):
    """The subject of a message, in words and as the expression that a user would write."""

    text: str
    x: str = "x"

    def __str__(self) -> str:
        return self.text

    def line(self, remedy: str) -> str:
        """Return a remedy with the user's expression filled in."""
        return remedy.format(x=self.x)


def check_dtype(where: Where, dtype: np.dtype) -> None:
    """Raise TypeError unless an array of this dtype holds real numbers."""
    if dtype.kind not in "fiub":
        opaque = (
            dtype.kind == "V" and dtype.names is None
        )  # such as the bfloat16 of other libraries
        remedy = where.line(_REMEDIES["O" if opaque else dtype.kind])
        raise TypeError(f"{where}: expected numbers, got {dtype}; {remedy}.")


def elements(where: Where, array: object) -> Elements:
    """Return the numbers of an array-like object, and a mask of the missing ones.

    Raises:
        TypeError: For text, times, complex numbers, and objects that are neither arrays nor
            sequences.
        ValueError: If rows have different shapes, if every row is None, or if a data frame has no
            columns.
        MemoryError: If a sparse matrix is too large as a dense one.
    """
    if isinstance(array, Tensor):
        return _of_tensor(where, array)
    if isinstance(array, np.ma.MaskedArray):
        return _of_masked(where, array)
    if is_pandas(array, "DataFrame"):
        return _of_frame(where, array)
    if is_pandas(array, "Series", "Index", "api.extensions.ExtensionArray"):
        return _of_column(where, array)
    if is_sparse(array):
        return elements(where, _dense(where, array.shape, array.toarray))
    _check_kind(where, array)
    if _is_array(array):
        return _of_ndarray(where, np.asarray(array))
    return _of_rows(where, list(cast(Iterable[object], array)))


def _check_kind(where: Where, array: object) -> None:
    """Raise TypeError for an object without rows, or whose rows have no order."""
    kind = type(array).__name__
    if isinstance(array, str | bytes | bytearray | PathLike):
        file = isinstance(array, PathLike) or str(array).endswith((".npy", ".npz"))
        remedy = where.line("read the file: np.load({x})" if file else _TEXT)
        raise TypeError(f"{where}: expected numbers, got the {kind} {str(array)[:40]!r}; {remedy}.")
    if isinstance(array, date):
        raise TypeError(f"{where}: expected numbers, got the {kind} {array}; {where.line(_TIME)}.")
    expected = f"{where}: expected an array (B, *D) or a list of numbers, got {kind}"
    if isinstance(array, Mapping):
        raise TypeError(
            f"{expected}, whose keys are no rows; write list(x.values()) where every entry is a "
            "row, or pd.DataFrame(x) where every entry is a column."
        )
    if isinstance(array, Set):
        raise TypeError(f"{expected}, whose rows have no order; write sorted(x), or use a list.")
    if isinstance(array, Number | Decimal):
        raise TypeError(f"{expected}; write [x] for one row.")
    if isinstance(array, type) or not (isinstance(array, Iterable) or _is_array(array)):
        raise TypeError(f"{expected}; make an array of numbers of it first.")


def _is_array(array: object) -> bool:
    if isinstance(array, memoryview):
        return True
    return hasattr(array, "__array__") or hasattr(array, "__array_interface__")


def _of_ndarray(where: Where, array: np.ndarray) -> Elements:
    if array.dtype == object and array.ndim:
        return _of_rows(where, list(array))
    check_dtype(where, array.dtype)
    return array, None


def _of_masked(where: Where, array: np.ma.MaskedArray) -> Elements:
    mask = np.ma.getmaskarray(array)
    if array.dtype == object:
        objects = array.data.copy()
        objects[mask] = None  # hidden elements may hold anything
        return _of_ndarray(where, objects)
    return _of_ndarray(where, array.data)[0], mask


def _of_tensor(where: Where, x: Tensor) -> Elements:
    if isinstance(x, MaskedTensor):
        return _of_tensor(where, x.get_data())[0], ~_of_tensor(where, x.get_mask())[0]
    if x.is_nested:
        raise ValueError(
            f"{where}: rows of different shapes in a nested tensor; pad them to one shape: "
            "torch.nested.to_padded_tensor(x, 0.0)."
        )
    if x.is_meta:
        raise ValueError(f"{where}: a tensor on the device 'meta' holds no values.")
    if x.is_complex():
        check_dtype(where, np.dtype(complex))
    x = x.detach()
    if x.is_quantized:
        x = x.dequantize()
    if x.layout != torch.strided:
        x = _dense(where, x.shape, x.to_dense)
    if x.is_floating_point() and x.dtype not in (torch.float16, torch.float64):
        x = x.float()
    return x.cpu().resolve_neg().numpy(), None


def _dense(where: Where, shape: Sequence[int], densify: Callable[[], T]) -> T:
    try:
        return densify()
    except (MemoryError, RuntimeError, ValueError) as error:
        raise MemoryError(
            f"{where}: a sparse matrix of shape {tuple(shape)} becomes a dense one, which "
            "does not fit into memory; take fewer columns, or write its dense rows to a .npy file "
            "and read that by data.MemoryMapped."
        ) from error


def _of_frame(where: Where, frame: "DataFrame") -> Elements:
    """Read a data frame, each row of which is a row and each column an element."""
    if frame.shape[1] == 0:
        raise ValueError(f"{where}: expected a data frame of at least one column, got none.")
    columns = []
    for label, column in frame.items():
        data, missing = _of_column(
            Where(f"{where}: column {label!r}", f"{where.x}[{label!r}]"), column
        )
        if data.ndim > 1:
            raise ValueError(
                f"{where}: column {label!r} holds arrays of shape {data.shape[1:]} beside other "
                f"columns; make it a modality of its own: x[{label!r}]."
            )
        columns.append((data, missing))
    return _stacked(columns, axis=1)


def _of_column(where: Where, column: "Series") -> Elements:
    dtype = column.dtype
    if is_pandas(dtype, "CategoricalDtype"):
        codes = f"pd.Series({where.x}).cat.codes"
        raise TypeError(
            f"{where}: expected numbers, got a column of dtype category, whose codes depend on "
            f"the categories that this one has; write {_MISSING.format(codes=codes)} for the codes "
            f"into {list(dtype.categories)[:4]}..., or, of categories that are numbers, "
            f"pd.Series({where.x}).astype(object)."
        )
    plain = getattr(dtype, "numpy_dtype", None)  # nullable and Arrow columns have this attribute
    if plain is not None and dtype.kind in "fiub":
        return column.to_numpy(dtype=plain, na_value=0), np.asarray(column.isna())
    return _of_ndarray(where, np.asarray(column))


def _of_rows(where: Where, rows: list[object]) -> Elements:
    """Read a list of rows, of which any may be None, ``pd.NA``, NaN or ``np.ma.masked``."""
    held = np.array([not _stands_for_missing(row) for row in rows], dtype=bool)
    given = rows if held.all() else [row for row, here in zip(rows, held, strict=True) if here]
    if not given and rows:
        if not any(isinstance(row, float) for row in rows):
            raise ValueError(f"{where}: every row is None; leave the modality out instead.")
        return np.zeros(len(rows)), ~held
    data, missing = _of_given(where, given)
    if held.all():
        return data, missing
    shape = (len(rows), *data.shape[1:])
    values, absent = np.zeros(shape, data.dtype), np.ones(shape, dtype=bool)
    values[held], absent[held] = data, False if missing is None else missing
    return values, absent


def _of_given(where: Where, rows: list[object]) -> Elements:
    if _plain(rows):
        try:
            return _checked(where, np.asarray(rows)), None
        except ValueError:  # the rows differ in shape; the error below names the shapes
            pass
    parts = [_of_row(where, row) for row in rows]
    shapes = sorted({data.shape for data, _ in parts})
    if len(shapes) > 1:
        raise ValueError(f"{where}: rows of different shapes, {shapes[:4]}; pad them to one shape.")
    return _stacked(parts, axis=0)


def _of_row(where: Where, row: object) -> Elements:
    if isinstance(row, Number | Decimal):
        row = float(row) if isinstance(row, Decimal | Fraction) else row
        return _checked(where, np.asarray(row)), None
    if isinstance(row, Mapping):
        raise TypeError(f"{where}: expected rows of numbers, got {row}; write pd.DataFrame(x).")
    if isinstance(row, np.ndarray) and row.dtype == object:
        row = list(row)
    if isinstance(row, list | tuple) and row and all(map(_stands_for_missing, row)):
        return np.zeros(len(row), dtype=bool), np.ones(len(row), dtype=bool)
    return elements(where, row)


def _checked(where: Where, array: np.ndarray) -> np.ndarray:
    check_dtype(where, array.dtype)
    return array


def _stands_for_missing(row: object) -> bool:
    if row is None or row is np.ma.masked or is_missing_value(row):
        return True
    return isinstance(row, float | np.floating) and bool(row != row)


def _plain(rows: Iterable[object]) -> bool:
    """Return whether nested lists hold numbers alone, which NumPy reads in one call."""
    kinds = set(map(type, rows))
    return kinds <= _PLAIN or (
        kinds <= {list, tuple} and all(_plain(cast(Iterable[object], row)) for row in rows)
    )


def _stacked(parts: list[Elements], axis: int) -> Elements:
    data = np.stack([data for data, _ in parts], axis)
    if all(missing is None for _, missing in parts):
        return data, None
    masks = [np.zeros(x.shape, bool) if missing is None else missing for x, missing in parts]
    return data, np.stack(masks, axis)
