"""Results of log-likelihoods whose every number is put in by hand."""

from collections.abc import Sequence

import torch

from ppl_mm.modality import Modality
from ppl_mm.results.log_likelihood import LogLikelihood

__all__ = ["result"]


def result(
    value: Sequence[float],
    below: float | Sequence[float] = 0.0,
    above: float | Sequence[float] | None = None,
    *,
    k: float | Sequence[float] = 0.1,
    target: Sequence[str] = ("x", "y"),
    given: Sequence[str] = (),
    modalities: Sequence[Modality] = (),
    **columns: float | Sequence[float],
) -> LogLikelihood:
    """A result whose intervals reach ``below`` and ``above`` from the values; as far, for None."""
    at = torch.tensor(value, dtype=torch.float64)

    def rows(number: float | Sequence[float]) -> torch.Tensor:
        return torch.as_tensor(number, dtype=torch.float64).expand(len(at)).clone()

    found = {
        "value": at,
        "standard_error": rows(0.2),
        "low": at - rows(below),
        "high": at + rows(below if above is None else above),
        "ess": rows(100.0),
        "pareto_k": rows(k),
        "log_weight_variance": rows(1.0),
        "draws": rows(1000.0),
        "refinement": rows(0.0),
    }
    found |= {name: rows(number) for name, number in columns.items()}
    return LogLikelihood.of(found, 1000, tuple(target), tuple(given), "guide", modalities)
