"""A batch as programs read it: masks, encoders that run once, and the plate at dim -2.

What :class:`ppl_mm.batch.observations.Observations` is built on; users meet it there.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.checks import check_encoded, check_features
from ppl_mm.batch.host_masks import HostTensor
from ppl_mm.batch.plate import ROWS, Plate
from ppl_mm.batch.rows import dtype_of, indices, put_rows, run_network
from ppl_mm.batch.terms import Masks, Term, resolve_components, resolve_terms, via_masks

__all__ = ["Plated"]

_Memo = dict[tuple[str, nn.Module], list[tuple[Tensor, tuple[Tensor, ...]]]]
"""What a network of some modalities gave, for each mask of the rows that it saw."""


class Plated:
    """Values and masks of B rows, under a plate of T terms or S strata or none."""

    values: dict[str, Tensor]
    present: Masks
    scored: Masks
    evidence: Masks
    source: Masks
    reference: Masks | None = None  # of terms: what each term's reference conditions on
    via: Masks | None = None  # of terms, (T, 1): who supplies the stand-ins of missing experts
    active: Tensor | None = None  # of terms, (T, B): False where a row contributes nothing
    weight: Tensor | None = None  # of terms, (T, 1)
    log_weight: Tensor | None = None  # of strata, (S, B): log-probabilities
    drawn: Tensor | None = None  # of some strata, (S, B): which of all components each one is
    whole: Self | None = None  # of some strata: the rows under all of them
    plate: str | None = None  # "terms" or "strata", the plate at dim -2
    _size: int
    _memo: _Memo | None = None

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
    def dtype(self) -> torch.dtype:
        """That of the floating-point values, the widest; torch's default where there are none."""
        found = {x.dtype for x in self.values.values() if x.is_floating_point()}
        if not found:
            return torch.get_default_dtype()
        return functools.reduce(torch.promote_types, found, torch.float32)

    @property
    def shape(self) -> torch.Size:
        """(B,), or (S, B) under a plate of terms or strata."""
        lead = () if self._plate_size is None else (self._plate_size,)
        return torch.Size((*lead, self._size))

    def false_mask(self, shape: torch.Size | None = None) -> Tensor:
        """A mask that is False everywhere, of the shape of these rows or of another."""
        shape = self.shape if shape is None else shape
        target = self._host_target()
        device = self.device if target is None else None
        mask = torch.zeros(shape, dtype=torch.bool, device=device)
        return mask if target is None else HostTensor.of(mask, target)

    def as_tensor(self, values: Sequence[Any]) -> Tensor:
        """Python's numbers, or lists of them, as a tensor that goes with the masks and values."""
        target = self._host_target()
        listed = torch.tensor(values, device=self.device if target is None else None)
        if listed.is_floating_point() and listed.dtype != self.dtype:
            listed = torch.tensor(values, dtype=self.dtype, device=listed.device)
        return listed if target is None else HostTensor.of(listed, target)

    def _host_target(self) -> torch.device | None:
        """The device of masks whose values the host knows; None for ordinary masks."""
        mask = next(iter(self.present.values()), None)
        return mask.target if isinstance(mask, HostTensor) else None

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
        x = self.values[name]
        return *self._encode(name, self.evidence[name], (x,), encoder, latent_dim), self.source[
            name
        ]

    def encoded_together(
        self,
        names: Sequence[str],
        network: nn.Module,
        latent_dim: int,
        rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """``(loc, scale)`` of a network of several modalities, (B, Z) each.

        The network sees, as so many arguments, the rows that have all of these modalities as
        evidence, or where ``rows``, (B,), is True; the others get loc 0 and scale 1. It runs once,
        as in :meth:`encoded`.
        """
        held = torch.stack([self.evidence[n] for n in names]).all(0) if rows is None else rows
        values = tuple(self.values[n] for n in names)
        return self._encode(" and ".join(names), held, values, network, latent_dim)

    def features(self, name: str, trunk: nn.Module, rows: Tensor) -> Tensor:
        """The features (B, F) of a modality's trunk, zeros where ``rows``, (B,), is False.

        The trunk, whose ``out_features`` is F, sees those rows alone. It runs once, as in
        :meth:`encoded`.
        """
        size: Any = trunk.out_features

        def check(output: Any, count: int) -> tuple[Tensor]:
            return (check_features(name, output, size, count),)

        return self._once(name, rows, (self.values[name],), trunk, size, (0.0,), check)[0]

    def _encode(
        self,
        what: str,
        held: Tensor,
        values: tuple[Tensor, ...],
        network: nn.Module,
        latent_dim: int,
    ) -> tuple[Tensor, Tensor]:
        def check(output: Any, count: int) -> tuple[Tensor, Tensor]:
            return check_encoded(what, output, latent_dim, count)

        loc, scale = self._once(what, held, values, network, latent_dim, (0.0, 1.0), check)
        return loc, scale

    def _once(
        self,
        what: str,
        held: Tensor,
        values: tuple[Tensor, ...],
        network: nn.Module,
        size: int,
        fills: tuple[float, ...],
        check: Callable[[Any, int], tuple[Tensor, ...]],
    ) -> tuple[Tensor, ...]:
        """A network's outputs, (B, size) each, with ``fills`` where ``held`` is False."""
        seen_before = [] if self._memo is None else self._memo.setdefault((what, network), [])
        for before, outputs in seen_before:
            if before is held or torch.equal(before, held):
                return outputs
        rows = indices(held)
        if rows is not None and len(rows) == 0:
            dtype = torch.promote_types(dtype_of(network) or self.dtype, torch.float32)
            options: Any = {"dtype": dtype, "device": self.device}
            outputs = tuple(torch.full((self._size, size), fill, **options) for fill in fills)
        else:
            seen = values if rows is None else tuple(x.index_select(0, rows) for x in values)
            note = f"the network of modality {what!r}, given values"
            output = run_network(network, *seen, note=note)
            parts = check(output, self._size if rows is None else len(rows))
            outputs = tuple(
                put_rows(rows, part, self._size, fill, dim=0)
                for part, fill in zip(parts, fills, strict=True)
            )
        seen_before.append((held, outputs))
        return outputs

    @property
    def any_data(self) -> Tensor:
        """(B,): whether a row has anything to look at or to score."""
        some = self.false_mask(torch.Size([self._size]))
        for kind in (self.evidence, self.scored):
            for mask in kind.values():
                some = some | mask.reshape(-1, self._size).any(0)
        return some

    @typed
    def terms(self, terms: Sequence[Term], *, rows: str = "restrict", dedupe: bool = True) -> Self:
        """Add a plate of ELBO terms at dim -2, see :class:`ppl_mm.objectives.Term`.

        A modality that the data lack altogether counts as missing in every row.

        Args:
            terms: What each term draws from, scores and refers to.
            rows: ``"restrict"``: a row that lacks what a term names uses what it has;
                ``"require"``: such a row contributes exactly zero to that term.
            dedupe: Count terms that a row's missing modalities make equal once; those that differ
                in anything but modalities all count.
        """
        self._require_no_plate("terms")
        out = self._copy()
        out.plate, out._memo = "terms", {}
        out.via = via_masks(terms, self)
        resolved = resolve_terms(terms, self, rows=rows, dedupe=dedupe)
        out.source, out.scored, out.reference, out.active, out.weight = resolved
        return out

    @typed
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
        out.log_weight = self.evenly(allowed)
        return out if number is None or number >= len(masks) else out._some(number, allowed)

    def _some(self, number: int, allowed: Tensor) -> Self:
        """Under all strata: a random choice of those that each row allows."""
        zero = torch.zeros(allowed.shape, device=allowed.device)
        site = dist.Uniform(zero, torch.ones_like(zero))
        with self.plates():  # a site, so that handlers of noise apply
            place = pyro.sample("place", site, infer={"is_auxiliary": True})
        order = torch.where(allowed, place, 2.0)
        drawn = order.argsort(0)[:number]  # those not allowed come last
        held = _taken(allowed, drawn)
        out = self._copy()
        out.whole, out.drawn = self, drawn
        out.source = {n: _taken(mask, drawn) for n, mask in self.source.items()}
        out.scored = {n: _taken(mask, drawn) for n, mask in self.scored.items()}
        out.log_weight = self.evenly(held)
        return out

    def evenly(self, allowed: Tensor) -> Tensor:
        """Log-probabilities, equal over the components (C, ...) that are allowed, else -inf."""
        return torch.where(allowed, 0.0, -torch.inf).to(self.dtype).log_softmax(0)

    def components(self, family: Sequence[Iterable[str]]) -> tuple[list[Self], Tensor]:
        """What :meth:`strata` puts along a plate, as one batch a component, under any plate.

        Returns:
            The batches, each with its component's source; and which rows allow it, (C, *shape).
            Encoders run once for all of them.
        """
        masks, allowed = resolve_components(family, self)
        memo: _Memo = {}
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

    def scoring_terms(self, which: Tensor) -> Self:
        """Under terms: the model scores those terms alone where ``which``, (T, 1), is True."""
        out = self._copy()
        out.scored = {n: mask & which for n, mask in self.scored.items()}
        return out

    @contextmanager
    def plates(self) -> Iterator[None]:
        """Open the plate ``data`` at dim -1 and, where there is one, that at dim -2."""
        with ExitStack() as stack:
            if self.plate is not None:
                stack.enter_context(Plate(self.plate, self.shape[0], dim=-2))
            stack.enter_context(Plate(ROWS, self._size, dim=-1))
            yield

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

    def _copy(self) -> Self:
        out = type(self).__new__(type(self))
        out.__dict__.update(self.__dict__)
        return out


def _taken(mask: Tensor, drawn: Tensor) -> Tensor:
    """A mask at the strata drawn; where it is True throughout, without asking which they are."""
    return mask[: len(drawn)] if bool(mask.all()) else mask.gather(0, drawn)
