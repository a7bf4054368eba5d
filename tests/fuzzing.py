"""Wrong calls of public names: one argument of a call that is right, replaced by a wrong value.

Public names join by being in a module's ``__all__``; arguments are made by name or annotation.
"""

from pathlib import Path

MODULES = (
    *("", ".likelihoods", ".models", ".guides", ".objectives", ".evaluation", ".systems", ".data"),
    *(".networks", ".baselines", ".plotting"),
)
METHODS = {
    "Observations": ("blank", "collate", "only", "without", "given", "scoring", "drop", "to"),
    "System": ("save", "load", "start_from"),
}
KINDS = ("normal", "categorical")
ROWS = 6
SECONDS = 10.0  # of processor time for a call; then it hangs
ROOT = Path(__file__).resolve().parents[1]
OURS = tuple(str(ROOT / folder) for folder in ("ppl_mm", "models", "guides"))


class OutOfTimeError(BaseException):
    """A call takes too long."""
