"""What a batch is checked for at the public edge, once, and how arrays become tensors."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from pyro.infer.util import is_validation_enabled
from torch import Tensor

__all__ = [
    "check_at_least_one",
    "check_encoded",
    "check_features",
    "check_mask",
    "check_values",
    "common_length",
    "in_dtype",
    "read_array",
    "torch_dtype",
    "zeroed",
]


def common_length(values: Mapping[str, Tensor]) -> int:
    """The number of rows that all modalities share."""
    lengths, devices = {}, {}
    for name, x in values.items():
        if not isinstance(name, str):
            raise TypeError(f"expected modality names to be strings, got {name!r}.")
        if not isinstance(x, Tensor):
            raise TypeError(
                f"modality {name!r}: expected a tensor (B, *D), got {type(x).__name__}; use "
                "Observations.from_arrays for arrays and lists."
            )
        if x.dim() == 0:
            raise ValueError(f"modality {name!r}: expected shape (B, *D), got a scalar.")
        lengths[name], devices[name] = len(x), str(x.device)
    if len(set(devices.values())) > 1:
        raise ValueError(f"modalities lie on different devices: {devices}; move them to one.")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"modalities disagree on the number of rows: {lengths}.")
    size = next(iter(lengths.values()))
    if size == 0:
        raise ValueError("expected at least one row, got none.")
    return size


def check_at_least_one(what: str, number: Any) -> None:
    """Raise unless ``number`` is an integer of at least 1."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"{what}: expected an integer of at least 1, got {number!r}.")


def check_mask(name: str, mask: Any, values: Tensor) -> Tensor:
    """The mask (B,) of a modality; all True for None."""
    if mask is None:
        return torch.ones(len(values), dtype=torch.bool, device=values.device)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"modality {name!r}: expected a boolean mask tensor, got {kind}.")
    if mask.shape != (len(values),):
        raise ValueError(
            f"modality {name!r}: expected mask of shape (B,) = ({len(values)},), got "
            f"{tuple(mask.shape)}. One entry a row: reduce element-wise masks with "
            ".flatten(1).all(1)."
        )
    if mask.device != values.device:
        raise ValueError(
            f"modality {name!r}: values are on {values.device}, the mask on {mask.device}."
        )
    return mask


def check_values(name: str, values: Tensor, present: Tensor) -> Tensor:
    """Values with zeros in missing rows; observed ones must be finite."""
    if values.is_complex():
        raise TypeError(f"modality {name!r}: expected real values, got {values.dtype}.")
    values = values.detach()
    missing = ~present
    if bool(missing.any()):
        values = zeroed(values, missing)
    # A sum is finite only if every value is; the search for the row comes where it is not.
    if values.is_floating_point() and not bool(values.sum().isfinite()):
        finite = torch.isfinite(values.reshape(len(values), values[0].numel())).all(1)
        if not bool(finite.all()):
            row = int((~finite).nonzero()[0])
            raise ValueError(
                f"modality {name!r}: row {row} is observed but holds NaN or infinity. Mark the "
                "row as missing (present=..., or NaN rows in from_arrays) or clean the value."
            )
    return values


def zeroed(values: Tensor, missing: Tensor) -> Tensor:
    """A copy with zeros in the missing rows."""
    mask = missing.reshape(-1, *[1] * (values.dim() - 1))
    return values.masked_fill(mask, 0)


def in_dtype(name: str, values: Tensor, dtype: torch.dtype) -> Tensor:
    """Floating-point values in another dtype; integers as they are.

    Raises:
        ValueError: For values beyond the range of a narrower dtype.
    """
    if not values.is_floating_point() or values.dtype == dtype:
        return values
    found = values.to(dtype)
    if torch.finfo(dtype).max < torch.finfo(values.dtype).max and bool(found.isinf().any()):
        raise ValueError(
            f"modality {name!r}: values of up to {values.abs().max().item():.3g} are beyond the "
            f"range of {dtype}. Rescale them, or convert the system instead: system.double()."
        )
    return found


def read_array(name: str, array: Any) -> tuple[Tensor, Tensor]:
    """Values (B, *D) and mask (B,) of an array or a list; None and rows of NaN are missing."""
    if isinstance(array, Tensor):
        array = array.detach().cpu().numpy()
    if isinstance(array, np.ndarray) and array.dtype != object:
        data, present = array, np.ones(array.shape[:1], dtype=bool)
    elif not isinstance(array, Iterable):
        raise TypeError(
            f"modality {name!r}: expected an array (B, *D) or a list, got {type(array).__name__}."
        )
    else:
        data, present = _fill_none(name, list(array))
    if data.ndim == 0:
        raise ValueError(f"modality {name!r}: expected an array (B, *D), got a scalar.")
    if data.dtype.kind not in "fiub":
        raise TypeError(
            f"modality {name!r}: expected numbers, got {data.dtype}; encode text as symbol indices."
        )
    if data.dtype.kind == "f" and len(data):
        nan = np.isnan(data).reshape(len(data), -1)
        partly = nan.any(1) & ~nan.all(1)
        if partly.any():
            raise ValueError(
                f"modality {name!r}: row {int(partly.argmax())} is NaN in parts. A row is missing "
                "as a whole: fill the gaps, or make each part a modality of its own."
            )
        present &= ~nan.all(1) if nan.shape[1] else True
    return torch.from_numpy(data.copy()).to(torch_dtype(data)), torch.from_numpy(present)


def _fill_none(name: str, rows: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    if not rows:
        raise ValueError(f"modality {name!r}: expected at least one row, got an empty list.")
    present = np.array([row is not None for row in rows], dtype=bool)
    example = next((np.asarray(row) for row in rows if row is not None), None)
    if example is None:
        raise ValueError(f"modality {name!r}: every row is None; leave the modality out instead.")
    blank = np.zeros_like(example)
    try:
        data = np.stack([blank if row is None else np.asarray(row) for row in rows])
    except ValueError as error:
        shapes = sorted({np.shape(row) for row in rows if row is not None})
        raise ValueError(
            f"modality {name!r}: rows of different shapes, {shapes[:4]}; pad them to one shape."
        ) from error
    return data, present


def torch_dtype(data: np.ndarray) -> torch.dtype:
    """What an array's values become: int64, or torch's default dtype."""
    return torch.int64 if data.dtype.kind in "iu" else torch.get_default_dtype()


def check_encoded(name: str, output: Any, latent_dim: int, rows: int) -> tuple[Tensor, Tensor]:
    """The pair (loc, scale) that an encoder must return, each (rows, latent_dim)."""
    if not (isinstance(output, tuple | list) and len(output) == 2):
        raise TypeError(
            f"modality {name!r}: expected the encoder to return a pair (loc, scale), got "
            f"{type(output).__name__}."
        )
    for part, tensor in zip(("loc", "scale"), output, strict=True):
        if tensor.shape != (rows, latent_dim):
            raise ValueError(
                f"modality {name!r}: expected the encoder's {part} of shape (B, latent_dim) = "
                f"({rows}, {latent_dim}), got {tuple(tensor.shape)}. Build the encoder with the "
                "latent size that it is called with."
            )
    if is_validation_enabled() and not bool((output[1] > 0).all()):
        raise ValueError(
            f"modality {name!r}: expected the encoder's scale, a standard deviation, above 0, got "
            f"values from {output[1].min().item()}. Pass it through exp or softplus."
        )
    return output[0], output[1]


def check_features(name: str, output: Any, size: int, rows: int) -> Tensor:
    """The tensor (rows, size) that a modality's trunk must return."""
    if not isinstance(output, Tensor) or output.shape != (rows, size):
        found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"modality {name!r}: expected features of shape (B, out_features) = ({rows}, {size}), "
            f"got {found}."
        )
    return output
