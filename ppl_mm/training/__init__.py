"""Training: :func:`fit`, what it returns, and what it raises when training diverges."""

from ppl_mm.training.fit import fit
from ppl_mm.training.history import DivergedError, FitResult

__all__ = ["DivergedError", "FitResult", "fit"]
