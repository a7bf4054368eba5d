"""A list of ELBO terms: a dozen papers' losses.

Each term (:class:`ppl_mm.batch.terms.Term`) is an index of one plate at dim -2. Encoders and
decoders therefore run once, on the rows and terms that count.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations, UnderTerms
from ppl_mm.batch.rows import eval_mode
from ppl_mm.batch.terms import IncompleteRows, Term
from ppl_mm.objectives.automatic import set_up
from ppl_mm.objectives.handlers import Reference, SharedNoise
from ppl_mm.objectives.objective import Objective, check_weights
from ppl_mm.objectives.options import TermMean
from ppl_mm.objectives.sites import check_sites, rows_in_one_site
from ppl_mm.objectives.weights import (
    Parts,
    absent_names,
    elbo_parts,
    guide_trace,
    model_trace,
    particles,
    replayed,
)
from ppl_mm.processes import total
from ppl_mm.programs.asked import names_of, posterior_of, site_of
from ppl_mm.programs.contracts import Guide, Model

__all__ = ["ELBOTerms", "TermList"]

TermList = Sequence[Term] | Callable[[Sequence[str]], Sequence[Term]]


@typed
class ELBOTerms(Objective):
    """The weighted sum of ELBO terms.

        sum_t weight_t { E_{q(z | x_source)} [ sum over scored m of lambda_m log p(x_m | z) ]
                         - beta KL( q(z | x_source) || q(z | x_reference) ) }

    with one reparameterised draw per row and term (K with ``num_particles=K``), and the KL in
    closed form if it is known. A term whose source is what it scores, with the empty reference, is
    an ELBO of log p(x_scored). With other references the sum need not be a bound.

    Args:
        terms: The terms, or a function from the modalities' names to them, called once a step
            (``subset_terms(k)`` draws k random subsets each time).
        rows: The part of a row that lacks a modality which the term names. ``"restrict"``: the
            term of the modalities that it has; ``"require"``: exactly zero.
        dedupe: Count equal terms once in a row, such as those that its missing modalities make
            equal. Terms that differ in anything else, such as ``weight`` or ``via``, all count.
        mean: ``"batch"``: every row has the same weight. ``"rows"``: each term is averaged over the
            rows that it is active for (the papers' separate streams); if B rows hold anything,
            its rows have the weight B / (active rows). Counts are those of all processes.
            ``"terms"``: each row averages the terms that it is active for.
        num_particles: The number of draws per row and term.
        shared_noise: Whether all terms of a row share the noise of their draws; for guides of
            diagonal Normals.
        weights: Modality -> lambda_m.
        beta: The factor of the KL.

    Sources: Wu & Goodman 2018, arXiv:1802.05335, eq. 5, for ``subset_terms``, appendix I for
    ``shared_noise``; Vedantam et al. 2018, arXiv:1705.10762, release, for ``mean="terms"``.

    Example:
        >>> objective = ELBOTerms([Term(("a", "b"), ("a", "b")), Term(("a",), ("a",))])
        >>> objective.rows
        'restrict'
    """

    def __init__(
        self,
        terms: TermList,
        *,
        rows: IncompleteRows = "restrict",
        dedupe: bool = True,
        mean: TermMean = "batch",
        num_particles: int = 1,
        shared_noise: bool = False,
        weights: Mapping[str, float] | None = None,
        beta: float = 1.0,
    ) -> None:
        super().__init__(num_particles=num_particles, weights=weights, beta=beta)
        self.terms, self.rows, self.dedupe, self.mean = terms, rows, dedupe, mean
        self.shared_noise = shared_noise

    @property
    def is_bound(self) -> bool:
        """Whether no term has a reference, so that this bounds a weighted log p(x_scored)."""
        terms = () if callable(self.terms) else self.terms
        own = {value for term in terms for value in term.lambdas.values()}
        return super().is_bound and own <= {1.0} and not any(term.reference for term in terms)

    def bound(self, model: Model, guide: Guide, obs: Observations) -> Float[Tensor, " B"]:
        """The sum over terms of every row, (B,)."""
        return self.term_bounds(model, guide, obs).sum(0)

    def by_term(
        self, model: Model, guide: Guide, obs: Observations
    ) -> dict[str, Float[Tensor, " B"]]:
        """The sum of the terms of each name, such as "image from image label"."""
        terms = self._list(names_of(model, obs))
        found: dict[str, Tensor] = {}
        for term, value in zip(terms, self._bounds(model, guide, obs, terms), strict=True):
            found[str(term)] = found[str(term)] + value if str(term) in found else value
        return found

    def term_bounds(self, model: Model, guide: Guide, obs: Observations) -> Float[Tensor, "T B"]:
        """Every term of every row with its weight, (T, B); zero where a term is not active.

        A latent outside ``obs.plates()``, which all rows share, counts once in every term that
        scores something, with the term's weight; every row has an equal part of it.
        """
        return self._bounds(model, guide, obs, self._list(names_of(model, obs)))

    def _bounds(
        self, model: Model, guide: Guide, obs: Observations, terms: Sequence[Term]
    ) -> Tensor:
        scaling = self.scaling(model, obs)
        scaling.weights.update(self._own_lambdas(terms, obs))
        set_up(guide, obs)
        under = obs.terms(terms, rows=self.rows, dedupe=self.dedupe)
        with scaling:
            rows, whole = self._values(model, guide, under, terms)
        weight = self._row_weights(under)
        value = torch.where(under.active, weight * rows, 0.0)
        if whole is not None:
            value = value + self._whole_weights(under, terms) * whole / len(obs)
        return value

    def _values(self, model: Model, guide: Guide, obs: UnderTerms, terms: Sequence[Term]) -> Parts:
        """Every term without its weight: of every row, (T, B), and of all together, (1 or T, 1).

        One draw serves all terms; the model runs on it again for the terms that hold it fixed.
        """
        count = self.num_particles if self.num_particles > 1 else None
        on_model = self._references(guide, obs) if any(t.reference for t in terms) else ()
        with SharedNoise() if self.shared_noise else nullcontext(), particles(count):
            q = guide_trace(guide, obs)
        if rows_in_one_site(q):
            _check_all_take_part(guide, obs, terms)
        value = Parts(torch.zeros((), device=obs.device), None)
        kinds = sorted({t.fixed_model for t in terms})
        for fixed in kinds:
            which = obs.as_tensor([[t.fixed_model == fixed] for t in terms])
            scored = obs.scoring_terms(which) if len(kinds) > 1 else obs
            with _constant(model) if fixed else nullcontext():
                with particles(count):
                    p = model_trace(replayed(model, q), scored, absent_names(model, obs), on_model)
                check_sites(p, q, scored)
                own = elbo_parts(p, q)
                value = own if len(kinds) == 1 else own.where(which, value)
        return value if count is None else value.mean()

    def _row_weights(self, obs: UnderTerms) -> Tensor:
        """The factor of each term of each row, (T, 1) or (T, B)."""
        if self.mean == "rows":
            return obs.weight * _row_mean(obs)
        return obs.weight / obs.active.sum(0).clamp(min=1) if self.mean == "terms" else obs.weight

    def _whole_weights(self, obs: UnderTerms, terms: Sequence[Term]) -> Tensor:
        """The factor of what all rows share in each term, (T, 1): the term's weight, once.

        It is 0 for a term without rows while others have some, and for a term that scores nothing
        and so bounds no log p(x).
        """
        active = obs.active
        shares = active / active.sum(0).clamp(min=1)  # the part of a row's average
        counts = total(torch.cat([shares.sum(1), active.any(0).sum()[None]]))
        often, rows = counts[:-1], counts[-1]
        if self.mean == "terms":
            often = torch.where(rows > 0, often / rows.clamp(min=1), 1.0 / len(terms))
        else:
            often = (often > 0) | (rows == 0)
        return obs.weight * obs.as_tensor([[float(bool(t.scored))] for t in terms]) * often[:, None]

    def _own_lambdas(self, terms: Sequence[Term], obs: Observations) -> dict[str, Tensor]:
        """Modality -> lambda_m by term, (T, 1), where a term has its own."""
        return {
            name: obs.as_tensor([[t.lambdas.get(name, self.lambdas.get(name, 1.0))] for t in terms])
            for name in {name for t in terms for name in t.lambdas}
        }

    def _list(self, names: Sequence[str]) -> Sequence[Term]:
        terms = self.terms(names) if callable(self.terms) else self.terms
        for term in terms:
            for name in term.names:
                if name not in names:
                    raise ValueError(unknown_name("modality in a term", name, names))
            check_weights(term.lambdas, self.beta, tuple(names))
        return terms

    def _references(self, guide: Guide, obs: UnderTerms) -> tuple[Reference, ...]:
        if not obs.reference:  # a batch without any modality
            return ()
        rows = torch.stack(list(obs.reference.values())).any(0)
        q = posterior_of(guide, obs.at_reference(), "a term with a reference")
        return (Reference(site_of(guide), q, rows),)


def _check_all_take_part(guide: Guide, obs: UnderTerms, terms: Sequence[Term]) -> None:
    """Raise if a guide has one density for all rows and some term leaves rows out."""
    if not bool(obs.active.all()) or not all(t.scored for t in terms):
        raise ValueError(
            f"{type(guide).__name__} has one density for the latents of all rows, and not every "
            "row takes part in every term. Use a guide with a density a row, such as AutoNormal."
        )


@contextmanager
def _constant(model: Model) -> Iterator[None]:
    """Hold a model's parameters constant inside, and put it into evaluation mode."""
    if not isinstance(model, nn.Module):
        raise TypeError(
            "a term with fixed_model=True needs a model whose parameters it can see, a module; "
            f"got {type(model).__name__}."
        )
    learned = [p for p in model.parameters() if p.requires_grad]
    try:
        for parameter in learned:
            parameter.requires_grad_(False)
        with eval_mode(model):
            yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)


def _row_mean(obs: UnderTerms) -> Tensor:
    """(T, 1): rows that hold anything over active rows of each term, both of all processes."""
    counts = total(torch.cat([obs.active.sum(1), obs.any_data.sum()[None]]))
    return (counts[-1] / counts[:-1].clamp(min=1))[:, None]
