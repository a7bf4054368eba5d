"""Another mode of a row's posterior, looked for from draws that weigh more than they should.

Shapes: L draws of B rows in D coordinates.
"""

import math

from jaxtyping import Bool, Float, Int
from torch import Tensor

from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined.laplace import Start, approached, laplace
from ppl_mm.likelihood.refined.proposal import Proposal
from ppl_mm.likelihood.refined.student import Student

__all__ = ["another_mode", "heavy", "mass"]

_HEAVY = 3.0  # nats of a draw's weight above their mean at which another mode is looked for
_APART = 4.0  # squared distance of another mode, in deviations
_NEGLIGIBLE = 7.0  # nats below the first: a mode that counts for nothing


def heavy(excess: Float[Tensor, "L B"]) -> Bool[Tensor, " B"]:
    """The rows in which a log-weight, (L, B), is large."""
    mean = excess.logsumexp(0) - math.log(len(excess))
    return excess.amax(0) - mean > _HEAVY


def mass(path: Path, student: Student) -> Float[Tensor, " B"]:
    """The log of the integral of p(x, z) if it had q's shape around q's mode, (B,)."""
    loc = student.loc[None]
    return path.joint(loc)[0] - student.log_prob(loc)[0]


def another_mode(
    path: Path,
    began: Start,
    proposal: Proposal,
    position: Float[Tensor, "L B D"],
    excess: Float[Tensor, "L B"],
    rows: Int[Tensor, " _"],
) -> Int[Tensor, " _"]:
    """Look for another mode of some rows of B from the draw with the largest excess.

    A few cheap steps lead most draws back to the first mode; where they do not, the mode is found
    as the first was. A mode that counts becomes the second of the proposal, or the first if it has
    more mass.

    Args:
        path: The densities of B rows.
        began: Where the search for the first mode began.
        proposal: The proposals of B rows, which change.
        position: Draws, (L, B, D).
        excess: Their log-weights, (L, B).
        rows: The rows to look at.

    Returns:
        The rows in which there is one.
    """
    rows = rows[proposal.alone[rows]]
    if len(rows) == 0:
        return rows
    mine = proposal.first.rows(rows)
    start = approached(path.rows(rows), position[excess[:, rows].argmax(0), rows], mine)
    away = mine.squares(start[None])[0] > _APART
    rows, mine, start = rows[away], mine.rows(away), start[away]
    if len(rows) == 0:
        return rows
    here = path.rows(rows)
    other = laplace(here, Start(start, began.scale[rows], began.widest[rows]))
    more = mass(here, other) - mass(here, mine)
    apart = (mine.squares(other.loc[None])[0] > _APART) & (more > -_NEGLIGIBLE)
    rows, mine, other, before = rows[apart], mine.rows(apart), other.rows(apart), more[apart] > 0.0
    proposal.alone[rows] = False
    proposal.second.put(rows, other)
    proposal.first.put(rows[before], other.rows(before))
    proposal.second.put(rows[before], mine.rows(before))
    return rows
