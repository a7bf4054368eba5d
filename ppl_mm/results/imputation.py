"""Filled-in values: draws, means and intervals of missing ones, beside the observed ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Shaped
from torch import Tensor

__all__ = ["Imputation", "frame_of"]

What = Literal["mean", "low", "high"]


@dataclass(frozen=True)
class Imputation:
    """Values of N rows in which nothing is missing, by modality; observed values are unchanged.

    Attributes:
        observed: Modality -> what the rows hold, bool (N, *D_m).
        mean: Modality -> (N, *D_m): where something is missing, the mean of p(x_missing | x_held);
            of classes and symbols, the most probable one.
        low: Modality -> (N, *D_m), the lower end of the central interval of p(x_missing | x_held)
            that holds the share ``level``. Classes and symbols have no interval and no entry.
        high: The upper end of the same interval.
        draws: Modality -> (K, N, *D_m), draws of p(x_missing | x_held), those of one index k
            together; empty where they are not kept.
        level: The share, such as 0.95.

    Example:
        >>> from ppl_mm import data, impute, systems
        >>> digits = data.digits()
        >>> system = systems.mvae(digits.modalities, 4)
        >>> rows = digits.test[:3].drop("label")
        >>> found = impute(system, rows, num_draws=20)
        >>> found.mean["label"].shape, found.draws["label"].shape
        (torch.Size([3]), torch.Size([20, 3]))
        >>> bool((found.mean["top"] == rows["top"]).all()), "label" in found.low
        (True, False)
    """

    observed: Mapping[str, Tensor]
    mean: Mapping[str, Tensor]
    low: Mapping[str, Tensor]
    high: Mapping[str, Tensor]
    draws: Mapping[str, Tensor]
    level: float

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities."""
        return tuple(self.mean)

    def to_frame(
        self,
        what: What = "mean",
        columns: Mapping[str, Sequence[str]] | None = None,
        index: Sequence[Any] | None = None,
    ) -> Any:
        """A ``pandas.DataFrame`` of N rows with a column an element.

        Args:
            what: ``"mean"``, or ``"low"`` or ``"high"``, in which observed values stand too.
            columns: Modality -> the names of its elements; by default ``x[0]``, ``x[1]``, ... of
                modality x, or ``x`` if it has one element.
            index: The rows' labels; by default 0, 1, ...
        """
        return frame_of(getattr(self, what), columns, index)


def frame_of(
    values: Mapping[str, Shaped[Tensor, "N ..."]],
    columns: Mapping[str, Sequence[str]] | None = None,
    index: Sequence[Any] | None = None,
) -> Any:
    """A ``pandas.DataFrame`` of values (N, *D) by name, with a column an element.

    Args:
        values: Name -> (N, *D).
        columns: Name -> the names of its elements; ``x[0]``, ``x[1]``, ... where none are given, or
            ``x`` for one.
        index: The rows' labels; None for 0, 1, ...

    Raises:
        ValueError: For other numbers of columns than elements.
    """
    import pandas

    found: dict[str, Any] = {}
    for name, x in values.items():
        flat = x.detach().cpu().reshape(len(x), -1)
        size = flat.shape[1]
        own = tuple((columns or {}).get(name, ()))
        if not own:
            own = (name,) if size == 1 else tuple(f"{name}[{i}]" for i in range(size))
        if len(own) != size:
            raise ValueError(
                f"modality {name!r}: expected {size} names of columns, one an element, got "
                f"{len(own)}."
            )
        found |= dict(
            zip(own, flat.to(torch.promote_types(flat.dtype, torch.uint8)).T.numpy(), strict=True)
        )
    return pandas.DataFrame(found, index=None if index is None else list(index))
