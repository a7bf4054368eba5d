"""Warnings that name the rows whose likelihoods or bounds cannot be trusted."""

import warnings

from jaxtyping import Bool
from torch import Tensor

__all__ = ["NOTHING", "UnreliableLikelihoodWarning", "warn_of_rows"]

NOTHING = (
    "have the value -inf, of which nothing is known: no draw gives them any probability {}. They "
    "lie beyond what the decoders can give, or their log-density beyond the numbers of its type: "
    "look at their values, and rescale large ones."
)
"""The warning of rows whose estimate is -inf."""


class UnreliableLikelihoodWarning(UserWarning):
    """Some rows' importance weights have a tail too heavy for their mean to be trusted."""


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
