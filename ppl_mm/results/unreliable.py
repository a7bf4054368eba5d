"""Warnings that name the rows whose likelihoods or bounds cannot be trusted."""

import warnings

from jaxtyping import Bool
from torch import Tensor

__all__ = ["NOTHING", "UnreliableLikelihoodWarning", "at_least", "warn_of_rows"]

NOTHING = (
    "have the value -inf, of which nothing is known: no draw gives them any probability {}. They "
    "lie beyond what the decoders can give, or their log-density beyond the numbers of its type: "
    "look at their values, and rescale large ones."
)
"""The warning of rows whose estimate is -inf."""


class UnreliableLikelihoodWarning(UserWarning):
    """Some rows' importance weights have a tail too heavy for their mean to be trusted."""


def at_least(error: str, *unreliable: float | None) -> str:
    """A Monte Carlo error as it is shown: with a sign that it is larger where rows are unreliable.

    Args:
        error: The error in digits; "" for none.
        unreliable: Shares of rows with a Pareto k above 0.7; None where this is not known.

    Example:
        >>> at_least("0.02", 0.0), at_least("0.02", 0.0, 0.01), at_least("", None)
        ('0.02', '≥0.02', '')
    """
    return f"≥{error}" if error and any(share != 0.0 for share in unreliable) else error


def warn_of_rows(quantity: str, which: Bool[Tensor, " N"], what: str) -> None:
    """Warn of some rows, if there are any.

    Args:
        quantity: The quantity that was estimated.
        which: The rows, bool (N,).
        what: The finding about them, with {} for their indices.
    """
    rows = which.nonzero().squeeze(-1).tolist()
    if rows:
        shown = ", ".join(map(str, rows[:10])) + (", ..." if len(rows) > 10 else "")
        warnings.warn(
            f"{quantity}: {len(rows)} of {len(which)} rows {what.format(f'(rows {shown})')}",
            UnreliableLikelihoodWarning,
            stacklevel=4,
        )
