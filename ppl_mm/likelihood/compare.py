"""Comparison of systems by the log-likelihoods of the same rows, with its errors."""

from collections.abc import Mapping

from ppl_mm.arguments.typed import typed
from ppl_mm.results.comparison import Comparison
from ppl_mm.results.log_likelihood import LogLikelihood

__all__ = ["compare"]


@typed
def compare(results: Mapping[str, LogLikelihood]) -> Comparison:
    """Compare log-likelihoods of the same rows under several systems, row by row.

        elpd_diff  =  sum_n d_n,      d_n = log p_best(x_n) - log p(x_n)
        dse        =  sqrt( N Var_n[d_n] )

    The same rows are easy or hard for every system, so the differences vary far less than the
    log-likelihoods. The Monte Carlo error, and the share of rows whose difference has an interval
    that holds 0, say how much of the difference the draws leave open.

    Args:
        results: Name -> what :func:`ppl_mm.log_likelihood` or
            :func:`ppl_mm.evaluation.annealed_log_likelihood` returned, for the same rows and the
            same question.

    Returns:
        A comparison, which prints as a table, see :class:`ppl_mm.evaluation.Comparison`.

    Raises:
        ValueError: For fewer than two results; or for results of other rows, of another question,
            or of a score beside a density, named.

    Source: Vehtari, Gelman & Gabry 2017, arXiv:1507.04544, equation 24; the words are arviz's.

    Example:
        >>> from ppl_mm import data, log_likelihood, systems
        >>> digits = data.load("digits")
        >>> results = {}
        >>> for name in ("mvae", "jmvae"):
        ...     system = systems.build(name, digits.modalities, 2)
        ...     results[name] = log_likelihood(
        ...         system, digits.test[:3], "label", num_samples=50, refine="laplace"
        ...     )
        >>> compare(results).to_frame()["rank"].tolist()
        [0, 1]
    """
    if len(results) < 2:
        raise ValueError(f"compare: expected at least two results, got {len(results)}.")
    first, *others = results
    for name in others:
        _check_comparable(first, results[first], name, results[name])
    order = sorted(results, key=lambda name: results[name].mean(), reverse=True)
    return Comparison({name: results[name] for name in order})


def _check_comparable(first: str, a: LogLikelihood, second: str, b: LogLikelihood) -> None:
    """Raise where two results are not of the same rows and question."""

    def refuse(what: str, remedy: str) -> None:
        raise ValueError(f"compare: {first!r} and {second!r} {what}. {remedy}")

    if {*a.target} != {*b.target} or {*a.given} != {*b.given}:
        remedy = "Ask both for the same target and given."
        refuse(f"answer other questions: {a.quantity} and {b.quantity}", remedy)
    if a.normalised != b.normalised:
        score, density = (second, first) if a.normalised else (first, second)
        remedy = "Declare the modality with the same likelihood in both."
        refuse(f"differ in kind: {score!r} has a score, {density!r} a density", remedy)
    remedy = "Give both the same rows, in the same order."
    if len(a.value) != len(b.value):
        refuse(f"have other rows: {len(a.value)} and {len(b.value)}", remedy)
    pairs = enumerate(zip(a.row_ids, b.row_ids, strict=False))
    other = [i for i, (x, y) in pairs if x != y]
    if other:
        refuse(f"have other rows: {len(other)} of {len(a.value)} differ, the first is row "
               f"{other[0]}", remedy)  # fmt: skip
