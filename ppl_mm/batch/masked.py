"""Rows with their masks, and the same rows with other masks or other values.

:class:`MaskedRows` is the base of a batch, which users meet as :class:`ppl_mm.Observations`.
"""

import functools
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Annotated, ClassVar, Self, overload

import torch
from jaxtyping import Shaped
from torch import Tensor, nn

from ppl_mm.arguments.kinds import DEVICE
from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.checks import check_replacement, check_target, in_dtype
from ppl_mm.batch.covariates import check_covariates
from ppl_mm.batch.encoding import Memo
from ppl_mm.batch.host_masks import HostTensor, on_host
from ppl_mm.batch.lazy import LazyValues, event_shapes, only
from ppl_mm.batch.positions import Index, positions
from ppl_mm.batch.rows import dtype_of
from ppl_mm.batch.terms import Masks

__all__ = ["MASKS", "MaskedRows"]

MASKS = ("present", "scored", "evidence", "source")
"""The four masks of every modality, see :mod:`ppl_mm.batch.observations`."""


class MaskedRows:
    """Values and masks of B rows.

    Attributes:
        values: Name -> values (B, *D_m), with zeros in missing rows.
        present: Name -> bool (B,), True where the data hold the modality.
        scored: Name -> bool (B,) or (S, B), True where the model scores it.
        evidence: Name -> bool (B,), True where the guide may look at it.
        source: Name -> bool (B,) or (S, B), True where the posterior conditions on it.
        elements: Name -> bool (B, *D_m), False for elements that are missing of rows that are
            present; no entry for a modality without any.
        covariates: Name -> (B,) or (B, C), what networks read and no model scores.
        memo: The outputs of networks for these rows; None for a user's own rows, which keep none.
        plate: The name of the plate at dim -2, "terms" or "strata"; None without one.
    """

    values: Mapping[str, Tensor]
    present: Masks
    scored: Masks
    evidence: Masks
    source: Masks
    elements: Mapping[str, Tensor]
    covariates: Mapping[str, Tensor]
    memo: Memo | None = None
    plate: ClassVar[str | None] = None
    _size: int

    def __len__(self) -> int:
        return self._size

    @property
    def plate_size(self) -> int | None:
        """S, the size of the plate at dim -2; None without one."""
        return None

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities that the data hold, in at least one row."""
        return tuple(self.values)

    @property
    def device(self) -> torch.device:
        """The device of the values and masks."""
        return next((mask.device for mask in self.present.values()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The widest dtype of the floating-point values; torch's default where there are none."""
        if isinstance(self.values, LazyValues):
            return self.values.dtype or torch.get_default_dtype()
        found = {x.dtype for x in self.values.values() if x.is_floating_point()}
        if not found:
            return torch.get_default_dtype()
        return functools.reduce(torch.promote_types, found, torch.float32)

    @property
    def shape(self) -> torch.Size:
        """(B,), or (S, B) under a plate of terms or strata."""
        lead = () if self.plate_size is None else (self.plate_size,)
        return torch.Size((*lead, self._size))

    @property
    def pattern(self) -> tuple[Hashable, ...] | None:
        """The masks of all rows, if they are the same in each; None if not, or if unread."""
        found: dict[int, bool] = {}
        hosted = False
        for kind in MASKS:
            for mask in getattr(self, kind).values():
                if id(mask) not in found:
                    if not on_host(mask):
                        return None
                    values = mask.as_subclass(Tensor).numpy()
                    found[id(mask)] = bool(values.flat[0])
                    if not (values.all() if found[id(mask)] else not values.any()):
                        return None
                    hosted = hosted or isinstance(mask, HostTensor)
        masks = (found[id(m)] for kind in MASKS for m in getattr(self, kind).values())
        return (hosted, *masks)

    # ---------------------------------------------------------------- rows and values

    @overload
    def __getitem__(self, index: str) -> Tensor: ...
    @overload
    def __getitem__(self, index: Index) -> Self: ...
    def __getitem__(self, index: str | Index) -> Tensor | Self:
        """``obs["image"]``, its values with zeros where missing; or ``obs[rows]``, those rows."""
        if isinstance(index, str):
            self._check_names([index])
            return self.values[index]
        self._require_no_plate("row indexing")
        if isinstance(index, HostTensor):  # stays one, so that the rows' masks do
            rows: Tensor = index
        else:
            rows = positions(index, self._size).to(self.device)
        if rows.numel() == 0:
            raise ValueError(f"expected at least one row of {self._size}, got none.")
        view = isinstance(index, slice) and (index.step is None or index.step > 0)
        take = index if view else rows
        out = self._map_tensors(lambda x: x[take])
        for kind in ("values", "elements"):
            held = getattr(self, kind)
            if isinstance(held, LazyValues):
                setattr(out, kind, held.take(rows))
        out._size = len(rows)
        return out

    # ---------------------------------------------------------------- other masks

    @typed
    def only(self, *names: str) -> Self:
        """The rows as if they held these modalities alone; with no names, they hold nothing."""
        return self._restrict(MASKS, names)

    @typed
    def without(self, *names: str) -> Self:
        """The rows as if they lacked these modalities."""
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

    # ---------------------------------------------------------------- other values

    @typed
    def drop(self, *names: str) -> Self:
        """The rows without these modalities' values: a model run on the result draws them."""
        self._check_names(names)
        kept = [n for n in self.names if n not in names]
        out = self._copy()
        out.values = only(self.values, kept)
        out.elements = only(self.elements, [n for n in kept if n in self.elements])
        for kind in MASKS:
            setattr(out, kind, {n: getattr(self, kind)[n] for n in kept})
        return out

    def replace(self, name: str, value: Shaped[Tensor, "B *D"]) -> Self:
        """The same rows and masks with other values (B, *D_m) of one modality.

        Raises:
            TypeError: For anything but a dense tensor of real numbers.
            ValueError: For another number of rows, another device, another shape where elements are
                missing, or NaN or infinity where it is observed (looked for on the CPU always,
                elsewhere with Pyro's validation on).

        Example:
            >>> from ppl_mm import Observations
            >>> obs = Observations.from_arrays({"label": [2.0, None]})  # floats for classes
            >>> obs.replace("label", obs["label"].long())["label"].tolist()
            [2, 0]
        """
        self._check_names([name])
        elements = self.elements.get(name)
        value = check_replacement(name, value, self.present[name], elements, self.device)
        out = self._copy()
        out.values = {**self.values, name: value}
        out.memo = None if self.memo is None else {}
        return out

    @typed
    def with_covariates(self, covariates: Mapping[str, Shaped[Tensor, "B ..."]]) -> Self:
        """The same rows with these covariates beside their others, or in place of them.

        Args:
            covariates: Name -> (B,) classes or (B, C) numbers, complete.

        Example:
            >>> import torch
            >>> from ppl_mm import Observations
            >>> obs = Observations.blank(2).with_covariates({"batch": torch.tensor([0, 1])})
            >>> obs[1:].covariates["batch"]
            tensor([1])
        """
        given = check_covariates(covariates, self._size, self.device, self.names)
        out = self._copy()
        out.covariates = {**self.covariates, **given}
        out.memo = None if self.memo is None else {}
        return out

    @typed
    def to(self, target: Annotated[torch.device | str, DEVICE] | torch.dtype | nn.Module) -> Self:
        """The rows on another device, or with floating-point values in another dtype.

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
        if not isinstance(target, torch.dtype):
            out = self._map_tensors(lambda x: x.to(target))
        else:
            out = self._copy()
            if not isinstance(self.values, LazyValues):
                out.values = {n: in_dtype(n, x, target) for n, x in self.values.items()}
            out = out._map_tensors(lambda x: x.to(target) if x.is_floating_point() else x)
        if isinstance(self.values, LazyValues):
            out.values = self.values.to(target)
        if isinstance(self.elements, LazyValues) and not isinstance(target, torch.dtype):
            out.elements = self.elements.to(target)
        return out

    # ---------------------------------------------------------------- inside

    def _check_names(self, names: Iterable[str]) -> None:
        if isinstance(names, str):
            raise TypeError(f"expected a sequence of names, got the string {names!r}.")
        for name in names:
            if name not in self.values:
                raise ValueError(unknown_name("modality", name, self.values))

    def _require_no_plate(self, what: str) -> None:
        if self.plate is not None:
            raise ValueError(f"{what} needs observations without a plate of {self.plate}.")

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

    def _copy(self) -> Self:
        out = type(self).__new__(type(self))
        out.__dict__.update(self.__dict__)
        return out

    def _map_tensors(self, change: Callable[[Tensor], Tensor]) -> Self:
        """Apply ``change`` to every tensor in memory, once to those that several masks share."""
        done: dict[int, Tensor] = {}

        def once(x: Tensor) -> Tensor:
            if id(x) not in done:
                done[id(x)] = change(x)
            return done[id(x)]

        out = self._copy()
        for key, value in self.__dict__.items():
            if isinstance(value, dict) and key != "memo":
                setattr(out, key, {n: once(x) for n, x in value.items()})
            elif isinstance(value, Tensor):
                setattr(out, key, once(value))
        if self.memo is not None:
            out.memo = {}
        return out

    def __getstate__(self) -> dict[str, object]:
        return {k: v for k, v in self.__dict__.items() if k != "memo"}

    def __repr__(self) -> str:
        shapes = event_shapes(self.values)
        parts = [f"{n}{d}: {int(self.present[n].sum())} present" for n, d in shapes.items()]
        if not isinstance(self.elements, LazyValues):
            missing = {n: (~x).flatten(1).any(1) for n, x in self.elements.items()}
            holes = {n: int((x & self.present[n]).sum()) for n, x in missing.items()}
            parts = [
                f"{part}, {holes[n]} in parts" if holes.get(n) else part
                for n, part in zip(shapes, parts, strict=True)
            ]
        plate = f", {self.plate_size} {self.plate}" if self.plate else ""
        kind = type(self).__name__
        held = ", ".join(parts) or "no modality"
        read = f"; reads {', '.join(self.covariates)}" if self.covariates else ""
        return f"{kind}({self._size} rows{plate}; {held}{read})"
