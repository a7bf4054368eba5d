"""A batch as programs read it: plates, sites, encoders that run once.

:class:`Batch` is the base of the types in :mod:`ppl_mm.batch.observations`, where users meet them.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Self

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from ppl_mm.batch.encoding import Memo, encode, featurise
from ppl_mm.batch.host_masks import HostTensor, unread
from ppl_mm.batch.masked import MaskedRows
from ppl_mm.batch.observed_elements import ObservedElements
from ppl_mm.batch.plate import ROWS, Plate
from ppl_mm.batch.rows import one_if_same
from ppl_mm.batch.terms import resolve_components

__all__ = ["Batch"]


class Batch(MaskedRows):
    """Rows as models and guides read them."""

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

    def filled(
        self, name: str
    ) -> tuple[Shaped[Tensor, "B *D"] | None, Bool[Tensor, "*S B"] | bool]:
        """``(x, scored)`` for an observed site; (None, True) where the data lack the modality.

        x is (B, *D_m) with zeros in missing rows; ``scored`` (B,) or (S, B). Use it as
        ``pyro.sample(name, fn.mask(scored), obs=x)``: the site is drawn where there are no data.
        """
        if name not in self.values:
            return None, True
        return self.values[name], self.scored[name]

    def sources(self, names: Sequence[str]) -> Bool[Tensor, "M *shape"]:
        """The masks ``source`` of these modalities, stacked; the last dim is 1 for equal rows."""
        none = self.false_mask()
        held = [self.source[n].expand(self.shape) if n in self.names else none for n in names]
        return one_if_same(torch.stack(held))

    def asked(self, names: Sequence[str]) -> Bool[Tensor, "M *shape"]:
        """What a posterior conditions on in the rows that count for it, as :meth:`sources`.

        Under terms that need all that they name, it is the same for all rows, whatever these hold.
        """
        return self.sources(names)

    def encoded(
        self, name: str, encoder: nn.Module, latent_dim: int
    ) -> tuple[Float[Tensor, "B Z"], Float[Tensor, "B Z"], Bool[Tensor, "*S B"]] | None:
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
        rows: Bool[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "B Z"], Float[Tensor, "B Z"]]:
        """``(loc, scale)`` of a network of several modalities, (B, Z) each.

        The network takes their values as its arguments. It sees the rows that have all of these
        modalities as evidence, or where ``rows``, (B,), is True; the others get loc 0 and scale 1.
        It runs once, as in :meth:`encoded`.
        """
        held = torch.stack([self.evidence[n] for n in names]).all(0) if rows is None else rows
        return encode(self, names, held, network, latent_dim)

    def features(
        self, name: str, trunk: nn.Module, rows: Bool[Tensor, " B"]
    ) -> Float[Tensor, "B F"]:
        """The features (B, F) of a modality's trunk, zeros where ``rows``, (B,), is False.

        The trunk sees no other rows; F is its ``out_features``. It runs once, as in
        :meth:`encoded`.
        """
        return featurise(self, name, rows, trunk)

    def components(
        self, family: Sequence[Iterable[str]]
    ) -> tuple[list[Self], Bool[Tensor, "C *S B"]]:
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

    def held_whole(self, name: str) -> Bool[Tensor, " B"]:
        """(B,): which rows hold a modality with all of its elements.

        For what has no say about missing elements, such as classifiers of generated values.
        """
        held = self.present[name]
        return held & self.elements[name].flatten(1).all(1) if name in self.elements else held

    def observed(self, name: str) -> Bool[Tensor, "B *D"]:
        """(B, *D_m): which elements the rows hold."""
        x, held = self.values[name], self.present[name]
        held = held.reshape(-1, *[1] * (x.dim() - 1)).expand(x.shape)
        return held & self.elements[name] if name in self.elements else held

    @property
    def any_data(self) -> Bool[Tensor, " B"]:
        """(B,): whether a row has anything to look at or to score."""
        some = self.false_mask(torch.Size([self._size]))
        for kind in (self.evidence, self.scored):
            for mask in kind.values():
                some = some | mask.reshape(-1, self._size).any(0)
        return some

    def false_mask(self, shape: torch.Size | None = None) -> Bool[Tensor, "..."]:
        """A mask that is False everywhere, of the shape of these rows or of another."""
        shape = self.shape if shape is None else shape
        target = self._host_target()
        device = self.device if target is None else None
        mask = torch.zeros(shape, dtype=torch.bool, device=device)
        return mask if target is None else HostTensor.of(mask, target)

    def as_tensor(self, values: Sequence[object]) -> Shaped[Tensor, "..."]:
        """Python's numbers, or lists of them, as a tensor that goes with the masks and values."""
        target = self._host_target()
        numbers = torch.tensor(values, device=self.device if target is None else None)
        if numbers.is_floating_point() and numbers.dtype != self.dtype:
            numbers = torch.tensor(values, dtype=self.dtype, device=numbers.device)
        return numbers if target is None else HostTensor.of(numbers, target)

    def evenly(self, allowed: Bool[Tensor, "C *B"]) -> Float[Tensor, "C *B"]:
        """Log-probabilities, equal over the components (C, ...) that are allowed, else -inf."""
        return torch.where(allowed, 0.0, -torch.inf).to(self.dtype).log_softmax(0)

    def _host_target(self) -> torch.device | None:
        """The device of masks whose values the host knows; None for ordinary masks."""
        masks = list(self.present.values())
        hosted = next((m for m in masks if isinstance(m, HostTensor)), None)
        if hosted is None and masks and unread(masks[0]):
            return self.device
        return None if hosted is None else hosted.target
