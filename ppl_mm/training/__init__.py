"""Training: :func:`fit`, its results and errors, and the callbacks around a run."""

from ppl_mm.files import FolderInUseError
from ppl_mm.training.callbacks import Callback
from ppl_mm.training.fingerprint import MAY_DIFFER
from ppl_mm.training.fit import fit
from ppl_mm.training.history import DivergedError, FitResult
from ppl_mm.training.logs import Log
from ppl_mm.training.parts import LossParts, elbo_by_site, loss_parts
from ppl_mm.training.signals import StoppedError
from ppl_mm.training.state import Training

__all__ = [
    "MAY_DIFFER",
    "Callback",
    "DivergedError",
    "FitResult",
    "FolderInUseError",
    "Log",
    "LossParts",
    "StoppedError",
    "Training",
    "elbo_by_site",
    "fit",
    "loss_parts",
]
