"""Elements that are missing of rows that are present: masks (B, *D_m), True where observed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor

from ppl_mm.arguments.wording import unknown_name

if TYPE_CHECKING:
    from ppl_mm.batch.batch import Batch

__all__ = ["check_elements", "folded", "observed_values", "without_holes"]


def check_elements(
    elements: Mapping[str, Bool[Tensor, "B ..."]] | None,
    values: Mapping[str, Shaped[Tensor, "B ..."]],
) -> dict[str, Bool[Tensor, "B ..."]]:
    """The masks of elements, once each fits the values of its modality.

    Raises:
        TypeError: For anything but a dict of boolean tensors.
        ValueError: For an unknown modality, another shape than the values', or another device.
    """
    if not isinstance(elements, Mapping | None):
        raise TypeError(
            "Observations: expected elements as a dict from modalities' names to boolean tensors, "
            f"got {type(elements).__name__}."
        )
    for name, mask in (elements or {}).items():
        if name not in values:
            raise ValueError(unknown_name("modality in elements", name, values))
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.layout != torch.strided:
            kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise TypeError(
                f"modality {name!r}: expected elements as a dense boolean tensor of the shape of "
                f"its values, got {kind}; write ~x.isnan(), or use from_arrays, which reads NaN."
            )
        if mask.shape != values[name].shape:
            raise ValueError(
                f"modality {name!r}: expected elements of the shape of its values, "
                f"{tuple(values[name].shape)}, got {tuple(mask.shape)}. A mask of rows, (B,), goes "
                "to present."
            )
        if mask.device != values[name].device:
            raise ValueError(
                f"modality {name!r}: values are on {values[name].device}, elements on "
                f"{mask.device}."
            )
    return dict(elements or {})


def folded(
    present: Bool[Tensor, " B"], elements: Bool[Tensor, "B *D"]
) -> tuple[Bool[Tensor, " B"], Bool[Tensor, "B *D"] | None]:
    """The rows that hold something, (B,), and their elements; None where no element is missing.

    A row all of whose elements are missing is a row that misses the modality. Rows that are missing
    have no hole: their elements are True.
    """
    if elements[0].numel() == 0:
        return present, None
    present = present & elements.reshape(len(elements), -1).any(1)
    elements = elements | ~present.reshape(-1, *[1] * (elements.dim() - 1))
    return present, None if bool(elements.all()) else elements


def without_holes(
    values: Shaped[Tensor, "B *D"], elements: Bool[Tensor, "B *D"] | None
) -> Shaped[Tensor, "B *D"]:
    """A copy of the values with zeros where elements are missing; themselves for None."""
    return values if elements is None else values.masked_fill(~elements, 0)


def observed_values(batch: "Batch", name: str) -> Shaped[Tensor, "n *D"]:
    """The observed values of one modality, (n, *D), for checks of their support.

    Zeros may lie outside of it: an element that is missing holds its value in another row, or, if
    no row holds it, the value of another element.
    """
    held = batch.present[name]
    values = batch.values[name][held]
    if name not in batch.elements or len(values) == 0:
        return values
    elements = batch.elements[name][held]
    first = elements.byte().argmax(0, keepdim=True)  # the row in which each element is observed
    column = values.gather(0, first)
    column = torch.where(elements.any(0, keepdim=True), column, values[elements][0])
    return torch.where(elements, values, column)
