"""A batch of multimodal data, any of it missing, with the masks that programs read.

Four boolean masks per modality, each within the one before it where the table says so:

    present   the data hold it                       set by the user, ``only``, ``without``
    scored    the model scores it, within present    terms, ``scoring``
    evidence  the guide may look at it, within present    ``given``
    source    this term or mixture component draws from it, within evidence    terms, strata

Shapes: values (B, *D_m); masks (B,), or (S, B) under a plate of terms or strata at dim -2.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Self, overload

import torch
from torch import Tensor, nn

from ppl_mm.arguments.kinds import DEVICE
from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.arrays import read_arrays
from ppl_mm.batch.checks import (
    check_joinable,
    check_mask,
    check_replacement,
    check_target,
    check_values,
    common_length,
    in_dtype,
)
from ppl_mm.batch.host_masks import HostTensor
from ppl_mm.batch.plated import Plated
from ppl_mm.batch.positions import positions
from ppl_mm.batch.rows import dtype_of
from ppl_mm.batch.terms import Masks

__all__ = ["Observations"]


class Observations(Plated):
    """Values and masks of B rows.

    Args:
        values: Name -> tensor (B, *D_m). Rows that are missing may hold anything, NaN too: the
            constructor replaces them by zeros in a copy.
        present: Name -> bool tensor (B,), True where the row holds the modality. A modality
            that is not named here is complete.

    Raises:
        TypeError: For values that are no dense tensors of real numbers (sparse, nested, quantised,
            complex), or masks that are no boolean tensors.
        ValueError: For no rows, lengths that differ, masks of unknown modalities, or an
            *observed* value that is NaN or infinite.

    Example:
        >>> x = torch.tensor([[0.5], [float("nan")]])
        >>> obs = Observations(
        ...     {"x": x, "y": torch.tensor([1, 2])}, {"x": torch.tensor([True, False])}
        ... )
        >>> len(obs), obs["x"].tolist()
        (2, [[0.5], [0.0]])
        >>> obs.without("y").present["y"].tolist()
        [False, False]
    """

    def __init__(
        self, values: Mapping[str, Tensor], present: Mapping[str, Tensor] | None = None
    ) -> None:
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
        self._size = common_length(values)
        self.present = {n: check_mask(n, present.get(n), x) for n, x in values.items()}
        self.values = {n: check_values(n, x, self.present[n]) for n, x in values.items()}
        self.scored = self.evidence = self.source = self.present

    @classmethod
    @typed
    def blank(cls, num_rows: int) -> Self:
        """Rows that hold no modality at all: a model run on them draws every one."""
        if num_rows < 1:
            raise ValueError(f"expected at least one row, got {num_rows}.")
        obs = cls.__new__(cls)
        obs._size, obs.values = num_rows, {}
        obs.present = obs.scored = obs.evidence = obs.source = {}
        return obs

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, Any], present: Mapping[str, Any] | None = None
    ) -> Self:
        """Read whatever holds rows of numbers; None, NaN and masked rows are missing.

        Args:
            arrays: Name -> what holds rows (B, *D_m), read as ``np.asarray`` reads it: lists, where
                None or NaN stands for a missing row; NumPy's arrays and what becomes one; tensors
                of any device; SciPy's sparse matrices, as dense ones; pandas' frames (B, columns)
                and columns. The masks of masked arrays and of nullable columns count. A modality
                that is None is left out. Floats and booleans become torch's default dtype,
                integers int64.
            present: Name -> booleans (B,) of any kind, False for further rows that are missing.

        Raises:
            TypeError: For text, categories, times, complex numbers, dicts, sets: the message has
                the line that makes numbers of it. For masks that are not boolean.
            ValueError: Besides the constructor's reasons, for a row that is missing in parts, rows
                of different shapes, numbers beyond int64 or the default dtype, or pandas' frames
                with the same labels in different orders.
            MemoryError: For a sparse matrix that does not fit into memory as a dense one.

        Example:
            >>> obs = Observations.from_arrays({"x": [[1.0, 2.0], None], "y": [3, 4]})
            >>> obs.present["x"].tolist(), obs["y"].dtype
            ([True, False], torch.int64)
            >>> import pandas as pd
            >>> frame = pd.DataFrame({"a": [0.5, 1.5], "b": [1, 2], "label": [7, None]})
            >>> label = frame["label"].astype("Int64")  # not floats, as pandas makes of integers
            >>> obs = Observations.from_arrays({"x": frame[["a", "b"]], "label": label})
            >>> obs["x"].tolist(), obs["label"].tolist(), obs.present["label"].tolist()
            ([[0.5, 1.0], [1.5, 2.0]], [7, 0], [True, False])
        """
        return cls(*read_arrays(arrays, present))

    @classmethod
    @typed
    def collate(cls, batches: Sequence["Observations"]) -> Self:
        """Join batches into one; use it as ``collate_fn`` of a torch DataLoader.

        A modality that some batches do not have is missing in their rows.

        Example:
            >>> a, b = Observations({"x": torch.ones(1, 2)}), Observations({"y": torch.ones(1, 3)})
            >>> Observations.collate([a, b]).present["x"].tolist()
            [True, False]
        """
        batches = list(batches)
        if not batches:
            raise ValueError("expected at least one batch to join, got none.")
        for batch in batches:
            if not isinstance(batch, Observations):
                raise TypeError(f"collate: expected Observations, got {type(batch).__name__}.")
            batch._require_no_plate("collate")
        example: dict[str, Tensor] = {}
        for batch in batches:
            for name, x in batch.values.items():
                example.setdefault(name, x)
        for name in example:
            check_joinable(name, [b.values[name] for b in batches if name in b.values])
        obs = cls.blank(sum(len(b) for b in batches))
        for kind in ("present", "scored", "evidence", "source"):
            masks = {
                n: torch.cat([b._row_mask(kind, n, x.device) for b in batches])
                for n, x in example.items()
            }
            setattr(obs, kind, masks)
        for name, x in example.items():
            zeros = [x.new_zeros(len(b), *x.shape[1:]) for b in batches]
            obs.values[name] = torch.cat(
                [b.values.get(name, zero) for b, zero in zip(batches, zeros, strict=True)]
            )
        return obs

    # ---------------------------------------------------------------- what it holds

    @overload
    def __getitem__(self, index: str) -> Tensor: ...
    @overload
    def __getitem__(self, index: int | slice | Tensor | Sequence[int]) -> Self: ...
    def __getitem__(self, index: Any) -> Any:
        """``obs["image"]``, its values with zeros where missing; or ``obs[rows]``, those rows."""
        if isinstance(index, str):
            self._check_names([index])
            return self.values[index]
        self._require_no_plate("row indexing")
        if isinstance(index, HostTensor):
            rows: Tensor = index
        else:
            rows = positions(index, self._size).to(self.device)
        if rows.numel() == 0:
            raise ValueError(f"expected at least one row of {self._size}, got none.")
        view = isinstance(index, slice) and (index.step is None or index.step > 0)
        take = index if view else rows
        out = self._map_tensors(lambda x: x[take])
        out._size = len(rows)
        return out

    # ---------------------------------------------------------------- other masks

    @typed
    def only(self, *names: str) -> Self:
        """As if the data held only these modalities; none of them is none at all."""
        return self._restrict(("present", "scored", "evidence", "source"), names)

    @typed
    def without(self, *names: str) -> Self:
        """As if the data lacked these modalities."""
        self._check_names(names)
        return self.only(*(n for n in self.names if n not in names))

    @typed
    def given(self, *names: str) -> Self:
        """The guide may look at these modalities alone; the model still scores the others."""
        return self._restrict(("evidence", "source"), names)

    @typed
    def scoring(self, *names: str) -> Self:
        """The model scores these modalities alone; the guide may still look at the others."""
        return self._restrict(("scored",), names)

    @typed
    def drop(self, *names: str) -> Self:
        """Without these modalities' values: a model run on the result draws them."""
        self._check_names(names)
        kept = [n for n in self.names if n not in names]
        out = self._copy()
        out.values = {n: self.values[n] for n in kept}
        for kind in ("present", "scored", "evidence", "source"):
            setattr(out, kind, {n: getattr(self, kind)[n] for n in kept})
        return out

    def replace(self, name: str, value: Tensor) -> Self:
        """The same rows and masks with other values (B, *D_m) of one modality.

        Raises:
            TypeError: For anything but a dense tensor of real numbers.
            ValueError: For another number of rows, another device, or NaN or infinity in a row that
                is present (looked for on the CPU always, elsewhere with Pyro's validation on).

        Example:
            >>> obs = Observations.from_arrays({"label": [2.0, None]})  # floats for classes
            >>> obs.replace("label", obs["label"].long())["label"].tolist()
            [2, 0]
        """
        self._check_names([name])
        value = check_replacement(name, value, self.present[name], self.device)
        out = self._copy()
        out.values = {**self.values, name: value}
        if self.whole is not None:
            out.whole = self.whole.replace(name, value)
        out._memo = None if self._memo is None else {}
        return out

    @typed
    def to(self, target: Annotated[torch.device | str, DEVICE] | torch.dtype | nn.Module) -> Self:
        """On another device; or with floating-point values in another dtype.

        Args:
            target: A device; a dtype; or a module, such as a system: its parameters' device, and
                their dtype, in float32 where that has 16 bits. What is there is not copied.

        Raises:
            TypeError: For a dtype that is not a floating-point one.
            ValueError: For no name of a device, or values beyond the range of a narrower dtype.
        """
        if isinstance(target, nn.Module):
            device = next((p.device for p in target.parameters()), self.device)
            moved = self if device == self.device else self.to(device)
            dtype = dtype_of(target)
            return moved if dtype is None else moved.to(torch.promote_types(dtype, torch.float32))
        check_target(target)
        if isinstance(target, torch.dtype):
            out = self._copy()
            out.values = {n: in_dtype(n, x, target) for n, x in self.values.items()}
            return out._map_tensors(lambda x: x.to(target) if x.is_floating_point() else x)
        return self._map_tensors(lambda x: x.to(target))

    # ---------------------------------------------------------------- inside

    def _check_names(self, names: Iterable[str]) -> None:
        if isinstance(names, str):
            raise TypeError(f"expected a sequence of names, got the string {names!r}.")
        for name in names:
            if name not in self.values:
                raise ValueError(unknown_name("modality", name, self.values))

    def _row_mask(self, kind: str, name: str, device: torch.device) -> Tensor:
        mask: Tensor | None = getattr(self, kind).get(name)
        if mask is None and self.names:
            return self.false_mask()
        return torch.zeros(self._size, dtype=torch.bool, device=device) if mask is None else mask

    def _restrict(self, kinds: Sequence[str], names: Sequence[str]) -> Self:
        self._check_names(names)
        self._require_no_plate("a change of masks")
        out = self._copy()
        for kind in kinds:
            masks: Masks = getattr(self, kind)
            setattr(
                out, kind, {n: m if n in names else torch.zeros_like(m) for n, m in masks.items()}
            )
        return out

    def _map_tensors(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Apply ``change`` to every tensor, once to those that several masks share."""
        done: dict[int, Tensor] = {}

        def once(x: Tensor) -> Tensor:
            if id(x) not in done:
                done[id(x)] = change(x)
            return done[id(x)]

        out = self._copy()
        for key, value in self.__dict__.items():
            if isinstance(value, dict) and key != "_memo":
                setattr(out, key, {n: once(x) for n, x in value.items()})
            elif isinstance(value, Tensor):
                setattr(out, key, once(value))
            elif isinstance(value, Observations):  # the whole of some strata
                setattr(out, key, value._map_tensors(change))
        if self._memo is not None:
            out._memo = {}
        return out

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "_memo"}

    def __repr__(self) -> str:
        parts = [
            f"{n}{tuple(x.shape[1:])}: {int(self.present[n].sum())} present"
            for n, x in self.values.items()
        ]
        plate = f", {self._plate_size} {self.plate}" if self.plate else ""
        return f"Observations({self._size} rows{plate}; {', '.join(parts) or 'no modality'})"
