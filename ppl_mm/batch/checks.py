"""Checks of a batch, which run once, when it enters through the public functions."""

from collections.abc import Mapping, Sequence, Set
from typing import cast

import torch
from jaxtyping import Bool, Shaped
from pyro.infer.util import is_validation_enabled
from torch import Tensor
from torch.masked import MaskedTensor

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.holes import check_elements, folded, without_holes
from ppl_mm.batch.host_masks import on_host
from ppl_mm.batch.shapes import loc_scale, shape_of

__all__ = [
    "check_at_least_one",
    "check_encoded",
    "check_features",
    "check_joinable",
    "check_mask",
    "check_replacement",
    "check_rows",
    "check_target",
    "check_values",
    "common_length",
    "in_dtype",
    "zeroed",
]

_DTYPES = {
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.bfloat16, torch.float16, torch.float32, torch.float64),
}


def check_rows(
    values: Mapping[str, Shaped[Tensor, "B ..."]],
    present: Mapping[str, Bool[Tensor, " B"]] | None,
    elements: Mapping[str, Bool[Tensor, "B ..."]] | None,
) -> tuple[
    dict[str, Shaped[Tensor, "B ..."]],
    dict[str, Bool[Tensor, " B"]],
    dict[str, Bool[Tensor, "B ..."]],
]:
    """Check a batch and return its values, masks and masks of elements.

    :class:`ppl_mm.Observations` explains the three arguments.
    """
    for what, given in (("values", values), ("present", present)):
        if not isinstance(given, Mapping | None):
            raise TypeError(
                f"Observations: expected {what} as a dict from modalities' names to tensors, "
                f"got {type(given).__name__}."
            )
    present = dict(present or {})
    if not values:
        raise ValueError(
            "expected at least one modality, got no values; for rows without any data use "
            "Observations.blank(num_rows)."
        )
    for name in present:
        if name not in values:
            raise ValueError(unknown_name("modality in the mask", name, values))
    common_length(values)
    masks = {n: check_mask(n, present.get(n), x) for n, x in values.items()}
    holes = {}
    for name, mask in check_elements(elements, values).items():
        masks[name], found = folded(masks[name], mask)
        if found is not None:
            holes[name] = found
    filled = {n: without_holes(x, holes.get(n)) for n, x in values.items()}
    return {n: check_values(n, x, masks[n]) for n, x in filled.items()}, masks, holes


def common_length(values: Mapping[str, Shaped[Tensor, "B ..."]]) -> int:
    """Return the number of rows, which must be the same for all modalities."""
    lengths, devices = {}, {}
    for name, x in values.items():
        if not isinstance(name, str):
            raise TypeError(f"expected modality names to be strings, got {name!r}.")
        if not isinstance(x, Tensor):
            raise TypeError(
                f"modality {name!r}: expected a tensor (B, *D), got {type(x).__name__}; use "
                "Observations.from_arrays for arrays and lists."
            )
        _check_numbers(name, x)
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


def _check_numbers(name: str, x: Tensor) -> None:
    """Raise TypeError unless a tensor stores one real number for every element."""
    if isinstance(x, MaskedTensor):
        kind, remedy = "a masked tensor", "from_arrays, which reads its mask"
    elif x.is_nested:
        kind, remedy = "a nested tensor", "torch.nested.to_padded_tensor(x, 0.0)"
    elif x.is_quantized:
        kind, remedy = "a quantised tensor", "x.dequantize()"
    elif x.layout != torch.strided:
        kind, remedy = f"the layout {x.layout}", "x.to_dense()"
    elif x.is_complex():
        kind, remedy = f"{x.dtype}", "torch.view_as_real(x)"
    elif x.dtype not in _DTYPES:
        kind = f"{x.dtype}"
        remedy = "x.float()" if x.is_floating_point() else "x.to(torch.int64)"
    else:
        return
    raise TypeError(
        f"modality {name!r}: expected a dense tensor of real numbers, got {kind}; use {remedy}."
    )


def check_at_least_one(what: str, number: object) -> None:
    """Raise ValueError unless ``number`` is an integer of at least 1."""
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise ValueError(f"{what}: expected an integer of at least 1, got {number!r}.")


def check_mask(name: str, mask: object, values: Shaped[Tensor, "B *D"]) -> Bool[Tensor, " B"]:
    """Check the mask (B,) of a modality and return it; None means True everywhere."""
    if mask is None:
        return torch.ones(len(values), dtype=torch.bool, device=values.device)
    if not isinstance(mask, Tensor):
        raise TypeError(
            f"modality {name!r}: expected a boolean mask tensor, got {type(mask).__name__}; write "
            "torch.as_tensor(x, dtype=torch.bool), or use from_arrays(values, present)."
        )
    if mask.dtype != torch.bool or mask.is_nested or mask.layout != torch.strided:
        remedy = "x.to_dense()" if mask.layout != torch.strided else "x.bool()"
        raise TypeError(
            f"modality {name!r}: expected a boolean mask tensor, got {mask.dtype} of the layout "
            f"{mask.layout}; write {remedy}."
        )
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


def check_values(
    name: str, values: Shaped[Tensor, "B *D"], present: Bool[Tensor, " B"]
) -> Shaped[Tensor, "B *D"]:
    """Return the values with zeros in missing rows; raise unless observed ones are finite."""
    if values.is_meta:
        raise ValueError(f"modality {name!r}: a tensor on the device 'meta' holds no values.")
    values = values.detach()
    missing = ~present
    if bool(missing.any()):
        values = zeroed(values, missing)
    _check_finite(name, values)
    return values


def _check_finite(name: str, values: Tensor) -> None:
    """Raise ValueError unless all values are finite; missing rows hold zeros."""
    # A sum is finite only if every value is. Otherwise the row is searched for.
    if values.is_floating_point() and not bool(values.sum().isfinite()):
        finite = torch.isfinite(values.reshape(len(values), values[0].numel())).all(1)
        if not bool(finite.all()):
            row = int((~finite).nonzero()[0])
            raise ValueError(
                f"modality {name!r}: row {row} is observed but holds NaN or infinity, as "
                f"{values.dtype}. Mark the row as missing (present=...), or its elements "
                "(elements=..., or NaN in from_arrays), or clean the value."
            )


def check_replacement(
    name: str,
    values: Shaped[Tensor, "B *D"],
    present: Bool[Tensor, " B"],
    elements: Bool[Tensor, "B *D"] | None,
    device: torch.device,
) -> Shaped[Tensor, "B *D"]:
    """Return new values for a modality, with zeros in missing rows and missing elements."""
    if common_length({name: values}) != len(present):
        raise ValueError(f"modality {name!r}: expected {len(present)} rows, got {len(values)}.")
    if values.device != device:
        raise ValueError(
            f"modality {name!r}: the rows are on {device}, the new values on {values.device}; "
            "write x.to(obs.device)."
        )
    if elements is not None:
        check_elements({name: elements}, {name: values})
    values = zeroed(without_holes(values, elements), ~present)
    # A training step runs without validation and must not wait for its device's values.
    if not values.is_meta and (on_host(values) or is_validation_enabled()):
        _check_finite(name, values)
    return values


def check_joinable(name: str, parts: Sequence[Shaped[Tensor, "_ *D"]]) -> None:
    """Raise ValueError unless tensors (B_i, *D) can be joined along their rows."""

    def refuse(what: str, found: Set[object], remedy: str) -> None:
        if len(found) > 1:
            raise ValueError(
                f"modality {name!r}: batches disagree on its {what}: {found}; {remedy}."
            )

    refuse("shape", {tuple(x.shape[1:]) for x in parts}, "reshape or pad the values of some")
    refuse("device", {str(x.device) for x in parts}, "write batch.to(device)")
    kinds = {"floats" if x.is_floating_point() else "integers or booleans" for x in parts}
    refuse("numbers", kinds, f"write batch.replace({name!r}, batch[{name!r}].long()) or .float()")


def check_target(target: object) -> None:
    """Raise unless ``target`` is a device or a floating-point dtype."""
    if isinstance(target, torch.dtype):
        if not target.is_floating_point:
            raise TypeError(
                f"to: expected a floating-point dtype, got {target}; for one modality write "
                f"obs.replace('x', obs['x'].to({target}))."
            )
        return
    try:
        torch.device(cast(str, target))
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            "to: expected a device such as 'cpu' or 'cuda', or a floating-point dtype such as "
            f"torch.float32, got {target!r}."
        ) from error


def zeroed(values: Shaped[Tensor, "B *D"], missing: Bool[Tensor, " B"]) -> Shaped[Tensor, "B *D"]:
    """Return a copy of the values with zeros in the missing rows."""
    mask = missing.reshape(-1, *[1] * (values.dim() - 1))
    return values.masked_fill(mask, 0)


def in_dtype(name: str, values: Shaped[Tensor, "*D"], dtype: torch.dtype) -> Shaped[Tensor, "*D"]:
    """Return floating-point values in another dtype, and integers unchanged.

    Raises:
        ValueError: If a value exceeds the range of a narrower dtype.
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


def check_encoded(
    name: str, output: object, latent_dim: int, rows: int
) -> tuple[Shaped[Tensor, "{rows} {latent_dim}"], Shaped[Tensor, "{rows} {latent_dim}"]]:
    """Check an encoder's output and return (loc, scale) as views (rows, latent_dim)."""
    loc, scale = loc_scale(name, output, latent_dim, rows)
    if is_validation_enabled() and not bool((scale > 0).all()):
        raise ValueError(
            f"modality {name!r}: expected the encoder's scale, a standard deviation, above 0, got "
            f"values from {scale.min().item()}. Pass it through exp or softplus."
        )
    return loc, scale


def check_features(
    name: str, output: object, size: int, rows: int
) -> Shaped[Tensor, "{rows} {size}"]:
    """Check the output of a modality's trunk and return it, a tensor (rows, size)."""
    if not isinstance(output, Tensor) or output.shape != (rows, size):
        raise ValueError(
            f"modality {name!r}: expected features of shape (B, out_features) = ({rows}, {size}), "
            f"got {shape_of(output)}."
        )
    return output
