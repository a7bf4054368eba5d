"""A batch of multimodal data, any of it missing, with the masks that programs read.

Four boolean masks per modality, each within the one before it where the table says so:

    present   the data hold it                       set by the user, ``only``, ``without``
    scored    the model scores it, within present    terms, ``scoring``
    evidence  the guide may look at it, within present    ``given``
    source    this term or mixture component draws from it, within evidence    terms, strata

Shapes: values (B, *D_m); masks (B,), or (S, B) under a plate of terms or strata at dim -2.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self, overload

import pyro
import torch
from torch import Tensor, nn

from ppl_mm.checks import (
    check_encoded,
    check_mask,
    check_values,
    common_length,
    read_array,
    zeroed,
)
from ppl_mm.modality import unknown_name
from ppl_mm.rows import indices, put_rows, run_network
from ppl_mm.terms import Term, resolve_components, resolve_terms

__all__ = ["Observations"]

Masks = dict[str, Tensor]


class Observations:
    """Values and masks of B rows.

    Args:
        values: Name -> tensor (B, *D_m). Rows that are missing may hold anything, NaN too: the
            constructor replaces them by zeros in a copy.
        present: Name -> bool tensor (B,), True where the row holds the modality. A modality
            that is not named here is complete.

    Raises:
        TypeError: For values or masks that are no tensors, or masks that are not boolean.
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

    values: dict[str, Tensor]
    present: Masks
    scored: Masks
    evidence: Masks
    source: Masks
    reference: Masks | None = None  # of terms: what each term's reference conditions on
    active: Tensor | None = None  # of terms, (T, B): False where a row contributes nothing
    weight: Tensor | None = None  # of terms, (T, 1)
    log_weight: Tensor | None = None  # of strata, (S, B): log-probabilities
    drawn: Tensor | None = None  # of some strata, (S, B): which of all components each one is
    whole: Self | None = None  # of some strata: the rows under all of them
    plate: str | None = None  # "terms" or "strata", the plate at dim -2
    _size: int
    _memo: dict[tuple[str, int], tuple[Tensor, Tensor]] | None = None

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
    def blank(cls, num_rows: int) -> Self:
        """Rows that hold no modality at all: a model run on them draws every one."""
        if num_rows < 1:
            raise ValueError(f"expected at least one row, got {num_rows}.")
        obs = cls.__new__(cls)
        obs._size, obs.values = num_rows, {}
        obs.present = obs.scored = obs.evidence = obs.source = {}
        return obs

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Self:
        """Read arrays or lists; None and rows of NaN are missing.

        Args:
            arrays: Name -> array-like (B, *D_m), or a list with None in place of missing rows;
                a modality that is None altogether is left out. Floating-point and boolean
                values become torch's default dtype, integers int64.

        Raises:
            ValueError: Besides the constructor's reasons, for a row that is NaN in parts.

        Example:
            >>> obs = Observations.from_arrays({"x": [[1.0, 2.0], None], "y": [3, 4]})
            >>> obs.present["x"].tolist(), obs["y"].dtype
            ([True, False], torch.int64)
        """
        values, present = {}, {}
        for name, array in arrays.items():
            if array is not None:
                values[name], present[name] = read_array(name, array)
        return cls(values, present)

    @classmethod
    def collate(cls, batches: Sequence["Observations"]) -> Self:
        """Join batches into one; use it as ``collate_fn`` of a torch DataLoader.

        A modality that some batches do not have is missing in their rows.

        Example:
            >>> a, b = Observations({"x": torch.ones(1, 2)}), Observations({"y": torch.ones(1, 3)})
            >>> Observations.collate([a, b]).present["x"].tolist()
            [True, False]
        """
        if not batches:
            raise ValueError("expected at least one batch to join, got none.")
        example = {n: x for b in reversed(batches) for n, x in b.values.items()}
        obs = cls.blank(sum(len(b) for b in batches))
        for batch in batches:
            batch._require_no_plate("collate")
        for kind in ("present", "scored", "evidence", "source"):
            masks = {
                n: torch.cat([b._row_mask(kind, n, x.device) for b in batches])
                for n, x in example.items()
            }
            setattr(obs, kind, masks)
        for name, x in example.items():
            shapes = {tuple(b.values[name].shape[1:]) for b in batches if name in b.values}
            if len(shapes) > 1:
                raise ValueError(f"modality {name!r}: batches disagree on its shape: {shapes}.")
            zeros = [x.new_zeros(len(b), *x.shape[1:]) for b in batches]
            obs.values[name] = torch.cat(
                [b.values.get(name, zero) for b, zero in zip(batches, zeros, strict=True)]
            )
        return obs

    # ---------------------------------------------------------------- what it holds

    def __len__(self) -> int:
        return self._size

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities that the data hold, for some row at least."""
        return tuple(self.values)

    @property
    def device(self) -> torch.device:
        """Where the values are."""
        return next((x.device for x in self.values.values()), torch.device("cpu"))

    @property
    def shape(self) -> torch.Size:
        """(B,), or (S, B) under a plate of terms or strata."""
        lead = () if self._plate_size is None else (self._plate_size,)
        return torch.Size((*lead, self._size))

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
        if isinstance(index, int):
            index = [index]
        if not isinstance(index, slice):
            index = torch.as_tensor(index, device=self.device)
            index = index.reshape(-1) if index.dim() == 0 else index
        rows = torch.arange(self._size, device=self.device)[index]
        if rows.numel() == 0:
            raise ValueError(f"expected at least one row of {self._size}, got none.")
        take = index if isinstance(index, slice) else rows
        out = self._map_tensors(lambda x: x[take])
        out._size = len(rows)
        return out

    @property
    def any_data(self) -> Tensor:
        """(B,): whether a row has anything to look at or to score."""
        some = torch.zeros(self._size, dtype=torch.bool, device=self.device)
        for kind in (self.evidence, self.scored):
            for mask in kind.values():
                some = some | mask.reshape(-1, self._size).any(0)
        return some

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

        The encoder sees the evidence rows alone; the others get loc 0 and scale 1. Under terms
        and strata it runs once, whoever asks. Shapes (B, Z), (B, Z), and (B,) or (S, B).
        """
        if name not in self.values:
            return None
        key = (name, id(encoder))
        if self._memo is not None and key in self._memo:
            return (*self._memo[key], self.source[name])
        x, rows = self.values[name], indices(self.evidence[name])
        if rows is not None and len(rows) == 0:
            dtype = next((p.dtype for p in encoder.parameters()), torch.get_default_dtype())
            loc = torch.zeros(self._size, latent_dim, dtype=dtype, device=x.device)
            scale = torch.ones_like(loc)
        else:
            output = run_network(encoder, x if rows is None else x.index_select(0, rows))
            loc, scale = check_encoded(
                name, output, latent_dim, self._size if rows is None else len(rows)
            )
            loc = put_rows(rows, loc, self._size, 0.0, dim=0)
            scale = put_rows(rows, scale, self._size, 1.0, dim=0)
        if self._memo is not None:
            self._memo[key] = (loc, scale)
        return loc, scale, self.source[name]

    # ---------------------------------------------------------------- other masks

    def only(self, *names: str) -> Self:
        """As if the data held only these modalities; none of them is none at all."""
        return self._restrict(("present", "scored", "evidence", "source"), names)

    def without(self, *names: str) -> Self:
        """As if the data lacked these modalities."""
        self._check_names(names)
        return self.only(*(n for n in self.names if n not in names))

    def given(self, *names: str) -> Self:
        """The guide may look at these modalities alone; the model still scores the others."""
        return self._restrict(("evidence", "source"), names)

    def scoring(self, *names: str) -> Self:
        """The model scores these modalities alone; the guide may still look at the others."""
        return self._restrict(("scored",), names)

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
        """The same rows and masks with other values (B, *D_m) of one modality."""
        self._check_names([name])
        if common_length({name: value}) != self._size:
            raise ValueError(f"modality {name!r}: expected {self._size} rows, got {len(value)}.")
        out = self._copy()
        missing = ~self.present[name]
        out.values = {**self.values, name: zeroed(value, missing)}
        return out

    def to(self, target: torch.device | str | torch.dtype) -> Self:
        """On another device; or with floating-point values in another dtype."""
        if isinstance(target, torch.dtype):
            return self._map_tensors(lambda x: x.to(target) if x.is_floating_point() else x)
        return self._map_tensors(lambda x: x.to(target))

    # ---------------------------------------------------------------- the plate at dim -2

    def terms(self, terms: Sequence[Term], *, rows: str = "restrict", dedupe: bool = True) -> Self:
        """Add a plate of ELBO terms at dim -2, see :class:`ppl_mm.objectives.Term`.

        A modality that the data lack altogether counts as missing in every row.

        Args:
            terms: What each term draws from, scores and refers to.
            rows: ``"restrict"``: a row that lacks what a term names uses what it has;
                ``"require"``: such a row contributes exactly zero to that term.
            dedupe: Count terms that a row's missing modalities make equal only once.
        """
        self._require_no_plate("terms")
        out = self._copy()
        out.plate, out._memo = "terms", {}
        resolved = resolve_terms(terms, self, rows=rows, dedupe=dedupe)
        out.source, out.scored, out.reference, out.active, out.weight = resolved
        return out

    def strata(self, family: Sequence[Iterable[str]], number: int | None = None) -> Self:
        """Add a plate of mixture components at dim -2: component c draws from ``family[c]``.

        A row allows the components all of whose modalities are evidence, with equal
        probabilities; one that allows none keeps component 0, drawn from nothing, the prior.
        Components that a row does not allow are not scored in it.

        Args:
            family: The subsets of modalities.
            number: Take so many components of each row at random, without replacement, in place
                of all: averages over them are unbiased. None, or as many as there are, for all.
        """
        self._require_no_plate("strata")
        masks, allowed = resolve_components(family, self)
        out = self._copy()
        out.plate, out._memo = "strata", {}
        out.source = {n: torch.stack([mask[n] for mask in masks]) for n in self.names}
        out.scored = {n: mask & allowed for n, mask in self.scored.items()}
        weight = torch.where(allowed, 0.0, -torch.inf).to(torch.get_default_dtype())
        out.log_weight = weight.log_softmax(0)
        return out if number is None or number >= len(masks) else out._some(number, allowed)

    def _some(self, number: int, allowed: Tensor) -> Self:
        """Under all strata: a random choice of those that each row allows."""
        order = torch.where(allowed, torch.rand(allowed.shape, device=allowed.device), 2.0)
        drawn = order.argsort(0)[:number]  # those not allowed come last
        held = allowed.gather(0, drawn)
        out = self._copy()
        out.whole, out.drawn = self, drawn
        out.source = {n: mask.gather(0, drawn) for n, mask in self.source.items()}
        out.scored = {n: mask.gather(0, drawn) for n, mask in self.scored.items()}
        weight = torch.where(held, 0.0, -torch.inf).to(torch.get_default_dtype())
        out.log_weight = weight.log_softmax(0)
        return out

    def components(self, family: Sequence[Iterable[str]]) -> tuple[list[Self], Tensor]:
        """What :meth:`strata` puts along a plate, as one batch a component, under any plate.

        Returns:
            The batches, each with its component's source; and which rows allow it, (C, *shape).
            Encoders run once for all of them.
        """
        masks, allowed = resolve_components(family, self)
        memo: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
        views = []
        for mask in masks:
            view = self._copy()
            view.source = mask
            view._memo = memo if self._memo is None else self._memo
            views.append(view)
        return views, allowed

    def at_reference(self) -> Self:
        """Under terms: the source is what each term's reference conditions on."""
        if self.reference is None:
            raise ValueError("at_reference needs terms; call obs.terms([...]) first.")
        out = self._copy()
        out.source = self.reference
        return out

    @contextmanager
    def plates(self) -> Iterator[None]:
        """Open the plate ``data`` at dim -1 and, where there is one, that at dim -2."""
        with ExitStack() as stack:
            if self.plate is not None:
                stack.enter_context(pyro.plate(self.plate, self._plate_size, dim=-2))
            stack.enter_context(pyro.plate("data", self._size, dim=-1))
            yield

    # ---------------------------------------------------------------- inside

    @property
    def _plate_size(self) -> int | None:
        if self.plate is None:
            return None
        along = self.active if self.plate == "terms" else self.log_weight
        assert along is not None
        return len(along)

    def _require_no_plate(self, what: str) -> None:
        if self.plate is not None:
            raise ValueError(f"{what} needs observations without a plate of {self.plate}.")

    def _check_names(self, names: Iterable[str]) -> None:
        if isinstance(names, str):
            raise TypeError(f"expected a sequence of names, got the string {names!r}.")
        for name in names:
            if name not in self.values:
                raise ValueError(unknown_name("modality", name, self.values))

    def _row_mask(self, kind: str, name: str, device: torch.device) -> Tensor:
        mask: Tensor | None = getattr(self, kind).get(name)
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

    def _copy(self) -> Self:
        out = type(self).__new__(type(self))
        out.__dict__.update(self.__dict__)
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
