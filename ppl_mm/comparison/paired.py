"""Log-likelihoods of systems on the same test rows, in pairs."""

from collections.abc import Sequence

from ppl_mm.comparison.summary import Block
from ppl_mm.comparison.trials import Outcome
from ppl_mm.likelihood.compare import compare
from ppl_mm.results.comparison import Comparison
from ppl_mm.results.log_likelihood import LogLikelihood

__all__ = ["first_finished", "paired"]


def first_finished(block: Block, outcomes: Sequence[Outcome]) -> dict[str, Outcome]:
    """Return system -> the outcome of its first finished seed, at the block's share."""
    shown: dict[str, Outcome] = {}
    for outcome in outcomes:
        if outcome.trial.config.missing == block.missing and outcome.measures is not None:
            shown.setdefault(outcome.trial.config.system, outcome)
    return shown


def paired(block: Block, outcomes: Sequence[Outcome]) -> list[Comparison]:
    """Compare the systems row by row, once for each log-likelihood that several of them have."""
    groups: dict[str, dict[str, LogLikelihood]] = {}
    for system, outcome in first_finished(block, outcomes).items():
        assert outcome.measures is not None
        for result in outcome.measures.results:
            groups.setdefault(result.quantity, {})[system] = result
    return [compare(results) for results in groups.values() if len(results) > 1]
