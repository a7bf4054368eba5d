"""A list of ELBO terms: a dozen papers' losses.

Each term, see :class:`ppl_mm.terms.Term`, lies at an index of one plate at dim -2, so encoders run
once and decoders once, on the rows and terms that count.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ppl_mm.handlers import Reference
from ppl_mm.modality import unknown_name
from ppl_mm.objectives.objective import Objective
from ppl_mm.objectives.weights import row_elbo, trace_pair
from ppl_mm.observations import Observations
from ppl_mm.terms import Term

__all__ = ["ELBOTerms"]

TermList = Sequence[Term] | Callable[[Sequence[str]], Sequence[Term]]


class ELBOTerms(Objective):
    """The weighted sum of ELBO terms.

        sum_t weight_t { E_{q(z | x_source)} [ sum over scored m of lambda_m log p(x_m | z) ]
                         - beta KL( q(z | x_source) || q(z | x_reference) ) }

    with one reparameterised draw a row and term (K with ``num_particles=K``), and the KL in
    closed form where it is known. Terms with source = scored and the empty reference are ELBOs
    of log p(x_scored); with other references the sum need not be a bound.

    Args:
        terms: The terms, or a function from the modalities' names to them, called once a step
            (``subset_terms(k)`` draws k random subsets each time).
        rows: How a row that lacks what a term names takes part. ``"restrict"``: with what it
            has, duplicates dropped; ``"require"``: not at all, exactly zero.
        dedupe: With "restrict", count terms that a row's missing modalities make equal once.
        mean: ``"batch"``: every row weighs the same. ``"rows"``: each term is averaged over the
            rows that it is active for (the papers' separate streams): of B rows that hold
            anything its own weigh B / (active rows). Under data parallelism counts are global.
        num_particles: Draws per row and term.
        weights: lambda_m by name.
        beta: The factor of the KL.

    Source: Wu & Goodman 2018, arXiv:1802.05335, eq. 5, for ``subset_terms``.

    Example:
        >>> objective = ELBOTerms([Term(("a", "b"), ("a", "b")), Term(("a",), ("a",))])
        >>> objective.rows
        'restrict'
    """

    def __init__(
        self,
        terms: TermList,
        *,
        rows: str = "restrict",
        dedupe: bool = True,
        mean: str = "batch",
        num_particles: int = 1,
        weights: Mapping[str, float] | None = None,
        beta: float = 1.0,
    ) -> None:
        super().__init__(num_particles=num_particles, weights=weights, beta=beta)
        if rows not in ("restrict", "require"):
            raise ValueError(f"rows: expected 'restrict' or 'require', got {rows!r}.")
        if mean not in ("batch", "rows"):
            raise ValueError(f"mean: expected 'batch' or 'rows', got {mean!r}.")
        self.terms, self.rows, self.dedupe, self.mean = terms, rows, dedupe, mean

    @property
    def is_bound(self) -> bool:
        """A bound on the weighted sum of log p(x_scored), where no term has another reference."""
        terms = () if callable(self.terms) else self.terms
        return super().is_bound and not any(term.reference for term in terms)

    def bound(self, model: Any, guide: Any, obs: Observations) -> Tensor:
        """The sum over terms of every row, (B,)."""
        return self.term_bounds(model, guide, obs).sum(0)

    def term_bounds(self, model: Any, guide: Any, obs: Observations) -> Tensor:
        """Every term of every row with its weight, (T, B); zero where a term is not active."""
        scaling = self.scaling(model, obs)
        terms = self._list(getattr(model, "names", obs.names))
        obs = obs.terms(terms, rows=self.rows, dedupe=self.dedupe)
        assert obs.active is not None
        assert obs.weight is not None
        on_model = self._references(guide, obs) if any(t.reference for t in terms) else ()
        count = self.num_particles if self.num_particles > 1 else None
        with scaling:
            p, q = trace_pair(model, guide, obs, num_particles=count, on_model=on_model)
            value = row_elbo(p, q)
        if count is not None:
            value = value.mean(0)
        weight = obs.weight if self.mean == "batch" else obs.weight * _row_mean(obs)
        return torch.where(obs.active, weight * value, 0.0)

    def _list(self, names: Sequence[str]) -> Sequence[Term]:
        terms = self.terms(names) if callable(self.terms) else self.terms
        for term in terms:
            for name in term.names:
                if name not in names:
                    raise ValueError(unknown_name("modality in a term", name, names))
        return terms

    def _references(self, guide: Any, obs: Observations) -> tuple[Reference, ...]:
        if not obs.reference:  # a batch without any modality
            return ()
        rows = torch.stack(list(obs.reference.values())).any(0)
        return (Reference(getattr(guide, "site", "z"), guide.posterior(obs.at_reference()), rows),)


def _row_mean(obs: Observations) -> Tensor:
    """(T, 1): rows that hold anything over active rows of each term, both of all processes."""
    assert obs.active is not None
    counts = torch.cat([obs.active.sum(1), obs.any_data.sum()[None]])
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(counts)
    return (counts[-1] / counts[:-1].clamp(min=1))[:, None]
