"""Conversion of arrays, lists, data frames and files into tensors and masks."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.checks import check_mask
from ppl_mm.batch.elements import Where, elements
from ppl_mm.batch.libraries import is_pandas

__all__ = ["Readable", "as_tensor", "native", "read_arrays", "read_mask"]

Readable = object
"""An object of any library that holds rows of numbers; its kind is found when it is read."""


def read_arrays(
    arrays: Mapping[str, Readable], present: Mapping[str, Readable] | None
) -> tuple[
    dict[str, Shaped[Tensor, "B ..."]],
    dict[str, Bool[Tensor, " B"]],
    dict[str, Bool[Tensor, "B ..."]],
]:
    """Return values, masks and masks of elements.

    :meth:`ppl_mm.Observations.from_arrays` explains the arguments.
    """
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
    """Return an array's values (B, *D), mask (B,) and mask of elements, with zeros where missing.

    Args:
        name: The modality's name.
        array: The rows of numbers. A row is missing if all its elements are.
        present: Booleans (B,) that are False for further missing rows. None adds no missing rows.

    Returns:
        The three tensors. The mask of elements is None if no row is partly missing.
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
    if not held.all():  # the values of missing rows have no meaning
        data = data.copy()
        data[~held] = 0
    if missing is not None and missing[held].any():
        data = np.where(missing, 0, data)
        observed = torch.from_numpy(~missing)
    return as_tensor(where, data), torch.from_numpy(held), observed


def read_mask(name: str, present: Readable, size: int) -> Bool[Tensor, "{size}"]:
    """Return a modality's mask (B,) from booleans of any kind; None is True everywhere."""
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
    """Raise ValueError if pandas' labels show the rows of two modalities in different orders."""
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


def as_tensor(where: Where, data: np.ndarray) -> Shaped[Tensor, "..."]:
    """Return an array's numbers as a new tensor of int64, or of torch's default dtype."""
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
    """Return an array's numbers in a dtype that torch knows."""
    if data.dtype.kind == "f" and data.dtype.itemsize > 8:
        return data.astype(np.float64)
    return np.asarray(data, data.dtype.newbyteorder("="))
