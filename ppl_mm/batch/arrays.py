"""Rows of numbers as tensors and masks: what comes in from arrays, lists, frames and files."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.checks import check_mask
from ppl_mm.batch.elements import Where, elements
from ppl_mm.batch.libraries import is_pandas

__all__ = ["Readable", "as_tensor", "native", "read_arrays", "read_mask"]

Readable = object
"""Whatever holds rows of numbers, of any library; what it is, is found out as it is read."""


def read_arrays(
    arrays: Mapping[str, Readable], present: Mapping[str, Readable] | None
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Values, masks and masks of elements, see :meth:`ppl_mm.Observations.from_arrays`."""
    if not isinstance(arrays, Mapping):
        raise TypeError(
            "from_arrays: expected arrays as a dict from modalities' names to arrays, got "
            f"{type(arrays).__name__}; write {{'x': x}} for one modality, or dict(x) for one "
            "modality a column of a data frame."
        )
    if not isinstance(present, Mapping | None):
        raise TypeError(
            "from_arrays: expected present as a dict from modalities' names to booleans, got "
            f"{type(present).__name__}; write {{'x': present}}."
        )
    given = {name: array for name, array in arrays.items() if array is not None}
    present = dict(present or {})
    for name in present:
        if name not in given:
            raise ValueError(unknown_name("modality in the mask", name, given))
    _check_order(given)
    read = {name: _read_array(name, x, present.get(name)) for name, x in given.items()}
    values = {n: x for n, (x, _, _) in read.items()}
    masks = {n: mask for n, (_, mask, _) in read.items()}
    return values, masks, {n: held for n, (_, _, held) in read.items() if held is not None}


def _read_array(
    name: str, array: Readable, present: Readable = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """What holds numbers as values (B, *D), mask (B,) and mask of elements; zeros where missing.

    Args:
        name: The modality.
        array: What holds the numbers; a row all of whose elements are missing is missing.
        present: Booleans (B,), False for other rows that are missing; None for no such rows.

    Returns:
        The mask of elements is None where no row is missing in parts.
    """
    where = Where(f"modality {name!r}")
    data, missing = elements(where, array)
    if data.ndim == 0:
        raise ValueError(f"{where}: expected an array (B, *D), got a scalar.")
    if len(data) == 0:
        raise ValueError(f"{where}: expected at least one row, got none.")
    if data.dtype.kind == "f":
        nan = np.isnan(data)
        missing = nan if missing is None else missing | nan
    held = read_mask(name, present, len(data)).numpy().copy()
    if missing is not None and data.size:
        held &= ~missing.reshape(len(data), -1).all(1)
    observed = None
    if not held.all():  # what missing rows hold does not matter
        data = data.copy()
        data[~held] = 0
    if missing is not None and missing[held].any():
        data = np.where(missing, 0, data)
        observed = torch.from_numpy(~missing)
    return as_tensor(where, data), torch.from_numpy(held), observed


def read_mask(name: str, present: Readable, size: int) -> Tensor:
    """The mask (B,) of a modality from booleans of any kind; all True for None."""
    if present is not None and not isinstance(present, Tensor):
        where = Where(f"the mask of modality {name!r}")
        data, missing = elements(where, present)
        if data.dtype != bool or (missing is not None and missing.any()):
            kind = data.dtype if data.dtype != bool else "booleans of which some are missing"
            raise TypeError(
                f"{where}: expected booleans, got {kind}; write [bool(held) for held in x] where "
                "each entry says whether its row is present."
            )
        present = torch.from_numpy(np.array(data))
    return check_mask(name, present, torch.empty(size, 0))


def _check_order(arrays: Mapping[str, Readable]) -> None:
    """Raise where pandas' labels say that the rows of two modalities are in different orders."""
    labels = [(n, x.index) for n, x in arrays.items() if is_pandas(x, "DataFrame", "Series")]
    for name, index in labels[1:]:
        first, expected = labels[0]
        if len(index) != len(expected) or not index.is_unique or index.equals(expected):
            continue
        if set(index) == set(expected):
            raise ValueError(
                f"modalities {first!r} and {name!r}: their rows have the same labels in different "
                f"orders, and row is put to row. Where labels name rows, give {name!r} as "
                "x.loc[other.index]; where the order is right already, as x.set_axis(other.index)."
            )


def as_tensor(where: Where, data: np.ndarray) -> Tensor:
    """The numbers of an array in a tensor of its own: int64, or torch's default dtype."""
    target = torch.int64 if data.dtype.kind in "iu" else torch.get_default_dtype()
    wide = {torch.int64: np.int64, torch.float64: np.float64}.get(target, np.float32)
    with np.errstate(over="ignore"):
        values = torch.from_numpy(np.array(data, dtype=wide, order="C")).to(target)
    if data.dtype.kind == "u" and data.dtype.itemsize == 8:
        lost = values < 0
    elif data.dtype.kind == "f" and not bool(values.sum().isfinite()):
        lost = ~values.isfinite() & torch.from_numpy(np.array(np.isfinite(data)))
    else:
        return values
    if bool(lost.any()):
        remedy = {
            torch.int64: "np.asarray(x, dtype=float)",
            torch.float64: "np.log(x), or another scale",
        }.get(target, "torch.set_default_dtype(torch.float64) first, or x in another unit")
        found = data[lost.numpy()][0]
        if data.dtype.kind == "f":
            found = np.format_float_scientific(found, precision=4, trim="-")
        raise ValueError(f"{where}: {found} is beyond what {target} holds; write {remedy}.")
    return values


def native(data: np.ndarray) -> np.ndarray:
    """The numbers of an array in a dtype that torch knows."""
    if data.dtype.kind == "f" and data.dtype.itemsize > 8:
        return data.astype(np.float64)
    return np.asarray(data, data.dtype.newbyteorder("="))
