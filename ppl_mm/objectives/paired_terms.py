"""The lists of terms of SVAE and VAEVAE: complete rows, pairs, and each modality's own stream."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from math import factorial

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.subsets import check_all_subsets
from ppl_mm.batch.terms import Term
from ppl_mm.objectives.options import UnpairedRows

__all__ = ["chain_terms", "paired_terms"]


@typed
def paired_terms(
    names: Sequence[str],
    *,
    unimodal_on_complete_rows: bool,
    unpaired: UnpairedRows = "all",
    suppliers: bool = False,
) -> list[Term]:
    """The terms of SVAE and VAEVAE, to use with ``rows="require", mean="rows"``.

    With q_S = q(z | x_S), to maximise, each line a mean over the rows that hold what it names:

        two modalities    E_{q_12} log p(x_1 | z) - KL(q_12 || q_2)  +  the same, 1 and 2 changed
        three             sum_c { E_{q_123} log p(x_c | z) - KL(q_123 || q_(all but c)) }
                          + for each pair: E_{q_ij} log p(x_i, x_j | z) - KL(q_ij || p)
                            - sum over m of KL(q_ij || q_m)
        more              the terms of :func:`chain_terms` from two modalities or more, over
                          (n - 1)!, each on the rows that hold its subset
        every modality    E_{q_i} log p(x_i | z) - KL(q_i || p), on its stream, ``unpaired``
        and once more     on complete rows, with ``unimodal_on_complete_rows`` (SVAE, VAEVAE*; Wu
                          and Goodman's VAEVAE and SVAE* have it not)

    The references stand for unknown conditional priors: the sum is no bound on log p(x).

    Args:
        names: The modalities, two or more.
        unimodal_on_complete_rows: Whether the terms of the last line are there.
        unpaired: The stream of a modality: ``"all"`` rows that hold it, complete ones too, as in
            the paper's release; or ``"disjoint"``, those that hold nothing else. Wu and Goodman's
            loss on complete rows alone, with "disjoint", has no prior: an affine change of the
            latent space does not change it. Rows that come as separate streams, see
            :func:`ppl_mm.data.streams`, need "disjoint": each then counts in its own stream.
        suppliers: Whether each pair has a posterior for each of its members that supplies the
            stand-ins of the third (SVAE); every term of a pair then comes once for each.

    Raises:
        ValueError: For fewer than two modalities, or more than eight, or an unknown ``unpaired``.

    Source: Kutuzova et al. 2021, eq. 7 to 10, D.28 to D.31; Wu & Goodman 2019, arXiv:1912.05075.
    Differs: D.29 as printed has KL(q_ij || q_m) for the third modality too, its release has not;
    more than three modalities, which the paper does not write out. With "disjoint", rows
    of some modalities, neither one nor all, have joint terms alone.

    Example:
        >>> terms = paired_terms(("a", "b"), unimodal_on_complete_rows=False)
        >>> [(t.source, t.scored, t.reference) for t in terms[:2]]
        [(('a', 'b'), ('a',), ('b',)), (('a', 'b'), ('b',), ('a',))]
    """
    names = tuple(names)
    if len(names) < 2:
        raise ValueError(f"paired_terms: expected two modalities or more, got {len(names)}.")
    if len(names) <= 3:
        joint = _joint_terms(names, suppliers)
    else:
        share = 1.0 / factorial(len(names) - 1)
        chain = [t for t in chain_terms(names, suppliers=suppliers) if len(t.source) > 1]
        joint = [replace(t, weight=share * t.weight, requires=()) for t in chain]
    single = [Term((name,), (name,), alone=unpaired == "disjoint") for name in names]
    if unimodal_on_complete_rows:
        single += [Term((name,), (name,), requires=names) for name in names]
    return joint + single


def _joint_terms(names: tuple[str, ...], suppliers: bool) -> list[Term]:
    """The terms of complete rows and, of three modalities, of pairs."""
    terms = []
    for name in names:
        rest = tuple(n for n in names if n != name)
        first, *others = rest if suppliers and len(rest) > 1 else (None,)
        terms.append(Term(names, (name,), rest, via=first))
        terms += [Term(names, (), rest, via=via) for via in others]
    if len(names) == 3:
        for pair in combinations(names, 2):
            for via in pair if suppliers else (None,):
                terms.append(Term(pair, pair, via=via))
                terms += [Term(pair, (), (m,), via=via) for m in pair]
    return terms


@typed
def chain_terms(names: Sequence[str], *, suppliers: bool = False) -> list[Term]:
    """The chain rule of log p(x), averaged over all orders of any number of modalities.

        n! log p(x) = sum over S and c in S of (|S| - 1)! (n - |S|)! log p(x_c | x_(S without c)),
        each at least  E_{q_S} log p(x_c | z) - KL(q_S || q_(S without c))  at exact references

    For two modalities these are SVAE's terms on complete rows.

    Args:
        names: The modalities.
        suppliers: Whether a subset that lacks modalities has a posterior for each of its members
            that could supply the stand-ins; a term then comes once for each, in equal shares.

    Raises:
        ValueError: For no modality, or more than eight.

    Example:
        >>> [(t.source, t.reference, t.weight) for t in chain_terms(("a", "b"))][:2]
        [(('a',), (), 1.0), (('b',), (), 1.0)]
    """
    names = tuple(names)
    if not names:
        raise ValueError("chain_terms: expected at least one modality, got none.")
    check_all_subsets(
        names, "chain_terms", "Name the terms yourself: ELBOTerms([Term(...), ...]); or take mvae."
    )
    terms = []
    for size in range(1, len(names) + 1):
        weight = float(factorial(size - 1) * factorial(len(names) - size))
        for subset in combinations(names, size):
            for name in subset:
                rest = tuple(n for n in subset if n != name)
                vias: tuple[str | None, ...] = (None,)
                if suppliers and len(rest) > 1:  # the reference, and with it the source
                    vias = rest
                elif suppliers and 1 < size < len(names):
                    vias = subset
                share = weight / len(vias)
                terms += [
                    Term(subset, (name,), rest, share, via=via, requires=names) for via in vias
                ]
    return terms
