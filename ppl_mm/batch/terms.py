"""Terms and strata as boolean masks along a plate at dim -2.

A term (source, scored, reference, weight) of an objective is, for one row,

    weight * { E_{q(z | x_source)} [ sum over scored m of log p(x_m | z) ]
               - KL( q(z | x_source) || q(z | x_reference) ) }

with the model's own prior as the empty reference. A stratum is one component of a mixture
posterior. Both are rows of masks (T, B), so that encoders run once and everything is one call.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ppl_mm.arguments.shown import shown
from ppl_mm.batch.once import once
from ppl_mm.batch.rows import one_if_same
from ppl_mm.batch.unread import some, within

if TYPE_CHECKING:
    from ppl_mm.batch.batch import Batch

__all__ = ["Masks", "Term", "resolve_components", "resolve_strata", "resolve_terms", "via_masks"]

Masks = dict[str, Tensor]


@dataclass(frozen=True)
class Term:
    """One ELBO term, in nats.

    Args:
        source: The modalities that the posterior conditions on.
        scored: The modalities whose log-likelihood counts.
        reference: The modalities that the KL's second argument conditions on; empty is the
            model's own prior.
        weight: A factor of the whole term.
        via: Which member of the source or reference supplies the stand-ins for the missing
            experts (:class:`ppl_mm.guides.ReplacementExperts`), where several could.
        requires: Modalities that a row must hold besides, for the term to count.
        alone: Whether the term counts only in rows that hold nothing but what it names.
        lambdas: Modality -> lambda_m, the factor of its log-likelihood in this term, in place of
            the objective's.
        fixed_model: Whether the model is a constant in this term: its parameters get no gradient
            from it, and batch normalisation uses its running statistics and leaves them alone.

    Raises:
        TypeError: For modalities that are no tuple of names.
        ValueError: For weights that are not finite.

    Example:
        >>> term = Term(("image", "label"), ("image",), ("label",))
        >>> term.source, term.scored, term.reference, term.weight
        (('image', 'label'), ('image',), ('label',), 1.0)
    """

    source: tuple[str, ...]
    scored: tuple[str, ...]
    reference: tuple[str, ...] = ()
    weight: float = 1.0
    via: str | None = None
    requires: tuple[str, ...] = ()
    alone: bool = False
    lambdas: Mapping[str, float] = field(default_factory=dict, hash=False)
    fixed_model: bool = False

    def __post_init__(self) -> None:
        for kind in ("source", "scored", "reference", "requires"):
            names = getattr(self, kind)
            listed = isinstance(names, Iterable) and not isinstance(names, str | Tensor)
            if not listed or not all(isinstance(n, str) for n in names):
                raise TypeError(f"Term: {kind} must be a tuple of names, got {shown(names)}.")
            object.__setattr__(self, kind, tuple(names))
        if not isinstance(self.lambdas, Mapping):
            raise TypeError(f"Term: lambdas must be a dict of numbers, got {shown(self.lambdas)}.")
        for number in (self.weight, *self.lambdas.values()):
            if not isinstance(number, float | int) or not math.isfinite(number):
                raise ValueError(f"Term: expected finite weights and lambdas, got {shown(number)}.")

    def __str__(self) -> str:
        """Return what is scored, the source and the reference: "label from image against label"."""
        scored, source = (" ".join(group) or "nothing" for group in (self.scored, self.source))
        against = f" against {' '.join(self.reference)}" if self.reference else ""
        return f"{scored} from {source}{against}"

    @property
    def names(self) -> set[str]:
        """Every modality that the term mentions."""
        via = () if self.via is None else (self.via,)
        groups = (self.source, self.scored, self.reference, self.requires, self.lambdas, via)
        return {name for group in groups for name in group}


IncompleteRows = Literal["restrict", "require"]
"""Whether a row that lacks modalities of a term has the term of the others, or no term."""

_BITS = 62  # The bits of a whole number that are used.
_MODALITIES = ("source", "scored", "reference")
_BESIDES_MODALITIES = [f.name for f in fields(Term) if f.name not in _MODALITIES]


def resolve_terms(
    terms: Sequence[Term], obs: "Batch", *, rows: IncompleteRows, dedupe: bool
) -> tuple[Masks, Masks, Masks, Bool[Tensor, "T B"], Float[Tensor, "T 1"]]:
    """Masks of each term and row.

    Returns:
        source, scored, reference: name -> (T, B) bool; active: (T, B) bool, False where the row
        contributes nothing; weight: (T, 1).

    Raises:
        ValueError: If there are no terms.
    """
    if not terms:
        raise ValueError("expected at least one term, got none.")
    what = (tuple(terms), rows, dedupe)
    return once(obs, what, lambda: _resolved(terms, obs, rows=rows, dedupe=dedupe))


def _resolved(
    terms: Sequence[Term], obs: "Batch", *, rows: IncompleteRows, dedupe: bool
) -> tuple[Masks, Masks, Masks, Tensor, Tensor]:
    held, asked = _held(obs), _asked(terms, obs)
    masks = asked & held  # (3, M, T, B)
    if rows == "require":
        known = obs.as_tensor([t.names <= set(obs.names) for t in terms])
        active = (masks == asked).flatten(0, 1).all(0) & known[:, None]
    else:  # a term that has lost its whole source is no term of this row
        from_nothing = obs.as_tensor([not t.source for t in terms])
        active = masks[0].any(0) | from_nothing[:, None]
    evidence = dict(zip(obs.names, held[2], strict=True))  # (1, B) each
    for name in {name for term in terms for name in term.requires}:
        asks = obs.as_tensor([name in t.requires for t in terms])[:, None]
        active = active & (~asks | evidence[name] if name in evidence else ~asks)
    for name in obs.names if any(t.alone for t in terms) else ():
        shuns = obs.as_tensor([t.alone and name not in t.names for t in terms])[:, None]
        active = active & ~(shuns & evidence[name])
    if dedupe:
        seen = asked if rows == "require" else masks  # which are equal where a term is active
        places = obs.as_tensor([[[i]] for i in range(_BITS)])
        same = _same(_same_kind(terms, obs), seen.flatten(0, 1), places)
        if some(same):
            active = active & ~(same & active).any(1)
    masks = (masks & active).expand(-1, -1, -1, len(obs))
    source, scored, reference = (
        {n: within(m, a) for n, m, a in zip(obs.names, *pair, strict=True)}
        for pair in zip(masks, asked, strict=True)
    )
    active = active.expand(-1, len(obs))
    weight = obs.as_tensor([[float(t.weight)] for t in terms])
    return source, scored, reference, active, weight


def resolve_components(
    family: Sequence[Iterable[str]], obs: "Batch"
) -> tuple[list[Masks], Bool[Tensor, "C *S B"]]:
    """Source masks of each mixture component, and which components each row allows.

    A row allows a component if all of its modalities are within the row's source; one that
    allows none keeps component 0, drawn from nothing.

    Returns:
        For each of C components: name -> bool of the shape of ``obs``; and bool (C, *shape).

    Raises:
        TypeError: For a string in place of a tuple of names.
        ValueError: For an empty family.
    """
    for subset in family:
        if isinstance(subset, str):
            raise TypeError(f"strata: expected tuples of names, got the string {subset!r}.")
    subsets = [tuple(subset) for subset in family]
    if not subsets:
        raise ValueError("expected at least one mixture component, got an empty family.")
    never = obs.false_mask()
    held = {n: obs.source[n].expand(obs.shape) for n in obs.names}
    allowed = []
    for subset in subsets:
        each = [held.get(n, never) for n in subset]
        allowed.append(torch.stack([*each, ~never]).all(0))
    masks = [
        {n: allowed[c] if n in subset else never for n in obs.names}
        for c, subset in enumerate(subsets)
    ]
    allowed[0] = allowed[0] | ~torch.stack(allowed).any(0)
    return masks, torch.stack(allowed)


def resolve_strata(
    family: Sequence[Iterable[str]], obs: "Batch"
) -> tuple[Masks, Masks, Float[Tensor, "C B"]]:
    """The masks ``source`` and ``scored``, (C, B), of mixture components, with their log-weights.

    Raises: as :func:`resolve_components`.
    """

    def resolved() -> tuple[Masks, Masks, Tensor]:
        masks, allowed = resolve_components(family, obs)
        asked = {n: obs.as_tensor([[n in subset] for subset in family]) for n in obs.names}
        source = {n: within(torch.stack([m[n] for m in masks]), asked[n]) for n in obs.names}
        scored = {n: mask & allowed for n, mask in obs.scored.items()}
        return source, scored, obs.evenly(allowed)

    return once(obs, ("strata", tuple(family)), resolved)


def via_masks(terms: Sequence[Term], obs: "Batch") -> Masks:
    """Name -> (T, 1) bool, the terms whose stand-ins it supplies; empty where no term says it."""
    if all(t.via is None for t in terms):
        return {}
    return {n: obs.as_tensor([[t.via == n] for t in terms]) for n in obs.names}


def _held(obs: "Batch") -> Tensor:
    """Modalities that rows may draw from, score, refer to, (3, M, 1, B); B = 1 for equal rows."""
    masks = [kind[n] for kind in (obs.source, obs.scored, obs.evidence) for n in obs.names]
    held = one_if_same(torch.stack([obs.false_mask(), *masks])[1:])  # of no modality too
    return held.view(3, len(obs.names), 1, held.shape[1])


def _asked(terms: Sequence[Term], obs: "Batch") -> Tensor:
    """The modalities that terms draw from, score and refer to, (3, M, T, 1) bool."""
    asked = [n in getattr(t, kind) for kind in _MODALITIES for n in obs.names for t in terms]
    return obs.as_tensor(asked).view(3, len(obs.names), len(terms), 1).bool()


def _same_kind(terms: Sequence[Term], obs: "Batch") -> Tensor:
    """(T, T): which terms differ, if at all, in the modalities that they name."""
    plain = [[getattr(t, f) for f in _BESIDES_MODALITIES] for t in terms]
    kind = obs.as_tensor([plain.index(p) for p in plain])
    return kind[:, None] == kind


def _same(same_kind: Tensor, masks: Tensor, places: Tensor) -> Tensor:
    """(T, T, B): True where an earlier term of the same kind has the same masks (_, T, B)."""
    same = same_kind.tril(-1)[..., None]
    for part in masks.split(_BITS):  # as whole numbers, of which two are compared at once
        number = (part.long() << places[: len(part)]).sum(0)
        same = same & (number[:, None] == number)
    return same
