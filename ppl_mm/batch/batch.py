"""A batch as programs read it: values, masks, encoders that run once, and plates.

:class:`Batch` is the base of the types in :mod:`ppl_mm.batch.observations`, where users meet them.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Annotated, ClassVar, Self

import torch
from torch import Tensor, nn

from ppl_mm.arguments.kinds import DEVICE
from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.checks import check_replacement, check_target, in_dtype
from ppl_mm.batch.encoding import Memo, encode, featurise
from ppl_mm.batch.host_masks import HostTensor
from ppl_mm.batch.lazy import LazyValues, event_shapes, only
from ppl_mm.batch.observed_elements import ObservedElements
from ppl_mm.batch.plate import ROWS, Plate
from ppl_mm.batch.rows import dtype_of
from ppl_mm.batch.terms import Masks, resolve_components

__all__ = ["MASKS", "Batch"]

MASKS = ("present", "scored", "evidence", "source")
"""The four masks of every modality, see :mod:`ppl_mm.batch.observations`."""


class Batch:
    """Values and masks of B rows.

    Attributes:
        values: Name -> values (B, *D_m), with zeros in missing rows.
        present: Name -> bool (B,), True where the data hold the modality.
        scored: Name -> bool (B,) or (S, B), True where the model scores it.
        evidence: Name -> bool (B,), True where the guide may look at it.
        source: Name -> bool (B,) or (S, B), True where the posterior conditions on it.
        elements: Name -> bool (B, *D_m), False for elements that are missing of rows that are
            present; no entry for a modality without any.
        memo: What networks gave for these rows; None for a user's own rows, which keep nothing.
        plate: The name of the plate at dim -2, "terms" or "strata"; None without one.
    """

    values: Mapping[str, Tensor]
    present: Masks
    scored: Masks
    evidence: Masks
    source: Masks
    elements: Mapping[str, Tensor]
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
    def any_data(self) -> Tensor:
        """(B,): whether a row has anything to look at or to score."""
        some = self.false_mask(torch.Size([self._size]))
        for kind in (self.evidence, self.scored):
            for mask in kind.values():
                some = some | mask.reshape(-1, self._size).any(0)
        return some

    # ---------------------------------------------------------------- what programs read

    @contextmanager
    def plates(self) -> Iterator[None]:
        """Open the plate ``data`` at dim -1 and, where there is one, that at dim -2.

        Inside, observed sites score only the elements that are observed.
        """
        with ExitStack() as stack:
            if self.plate is not None:
                stack.enter_context(Plate(self.plate, self.shape[0], dim=-2))
            stack.enter_context(Plate(ROWS, self._size, dim=-1))
            if self.elements:
                stack.enter_context(ObservedElements(self.elements))
            yield

    def filled(self, name: str) -> tuple[Tensor | None, Tensor | bool]:
        """``(x, scored)`` for an observed site; (None, True) where the data lack the modality.

        x is (B, *D_m) with zeros in missing rows; ``scored`` (B,) or (S, B). Use it as
        ``pyro.sample(name, fn.mask(scored), obs=x)``: the site is drawn where there are no data.
        """
        if name not in self.values:
            return None, True
        return self.values[name], self.scored[name]

    def encoded(
        self, name: str, encoder: nn.Module, latent_dim: int
    ) -> tuple[Tensor, Tensor, Tensor] | None:
        """``(loc, scale, source)`` of a modality's expert; None where the data lack it.

        The encoder sees the evidence rows and no others, which get loc 0 and scale 1. Under terms
        and strata it runs once, whoever asks. Shapes (B, Z), (B, Z), and (B,) or (S, B).
        """
        if name not in self.values:
            return None
        loc, scale = encode(self, [name], self.evidence[name], encoder, latent_dim)
        return loc, scale, self.source[name]

    def encoded_together(
        self,
        names: Sequence[str],
        network: nn.Module,
        latent_dim: int,
        rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """``(loc, scale)`` of a network of several modalities, (B, Z) each.

        The network takes their values as its arguments. It sees the rows that have all of these
        modalities as evidence, or where ``rows``, (B,), is True; the others get loc 0 and scale 1.
        It runs once, as in :meth:`encoded`.
        """
        held = torch.stack([self.evidence[n] for n in names]).all(0) if rows is None else rows
        return encode(self, names, held, network, latent_dim)

    def features(self, name: str, trunk: nn.Module, rows: Tensor) -> Tensor:
        """The features (B, F) of a modality's trunk, zeros where ``rows``, (B,), is False.

        The trunk sees no other rows; F is its ``out_features``. It runs once, as in
        :meth:`encoded`.
        """
        return featurise(self, name, rows, trunk)

    def components(self, family: Sequence[Iterable[str]]) -> tuple[list[Self], Tensor]:
        """One batch for each component of a mixture, under any plate.

        Returns:
            The batches, each with its component's source; and which rows allow it, (C, *shape).
            Encoders run once for all of them.
        """
        masks, allowed = resolve_components(family, self)
        memo: Memo = {} if self.memo is None else self.memo
        views = []
        for mask in masks:
            view = self._copy()
            view.source, view.memo = mask, memo
            views.append(view)
        return views, allowed

    # ---------------------------------------------------------------- tensors beside these

    def false_mask(self, shape: torch.Size | None = None) -> Tensor:
        """A mask that is False everywhere, of the shape of these rows or of another."""
        shape = self.shape if shape is None else shape
        target = self._host_target()
        device = self.device if target is None else None
        mask = torch.zeros(shape, dtype=torch.bool, device=device)
        return mask if target is None else HostTensor.of(mask, target)

    def as_tensor(self, values: Sequence[object]) -> Tensor:
        """Python's numbers, or lists of them, as a tensor that goes with the masks and values."""
        target = self._host_target()
        numbers = torch.tensor(values, device=self.device if target is None else None)
        if numbers.is_floating_point() and numbers.dtype != self.dtype:
            numbers = torch.tensor(values, dtype=self.dtype, device=numbers.device)
        return numbers if target is None else HostTensor.of(numbers, target)

    def evenly(self, allowed: Tensor) -> Tensor:
        """Log-probabilities, equal over the components (C, ...) that are allowed, else -inf."""
        return torch.where(allowed, 0.0, -torch.inf).to(self.dtype).log_softmax(0)

    # ---------------------------------------------------------------- other values

    @typed
    def drop(self, *names: str) -> Self:
        """Without these modalities' values: a model run on the result draws them."""
        self._check_names(names)
        kept = [n for n in self.names if n not in names]
        out = self._copy()
        out.values = only(self.values, kept)
        out.elements = only(self.elements, [n for n in kept if n in self.elements])
        for kind in MASKS:
            setattr(out, kind, {n: getattr(self, kind)[n] for n in kept})
        return out

    def replace(self, name: str, value: Tensor) -> Self:
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

    def _host_target(self) -> torch.device | None:
        """The device of masks whose values the host knows; None for ordinary masks."""
        mask = next(iter(self.present.values()), None)
        return mask.target if isinstance(mask, HostTensor) else None

    def _check_names(self, names: Iterable[str]) -> None:
        if isinstance(names, str):
            raise TypeError(f"expected a sequence of names, got the string {names!r}.")
        for name in names:
            if name not in self.values:
                raise ValueError(unknown_name("modality", name, self.values))

    def _require_no_plate(self, what: str) -> None:
        if self.plate is not None:
            raise ValueError(f"{what} needs observations without a plate of {self.plate}.")

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
        return f"{kind}({self._size} rows{plate}; {', '.join(parts) or 'no modality'})"
