"""ppl_mm: multimodal variational autoencoders as Pyro probabilistic programs."""

from ppl_mm import checkout  # noqa: F401 - first, for it says where the others are

# isort: split
from ppl_mm import data, evaluation, guides, likelihoods, models, networks, objectives, systems
from ppl_mm.batch.observations import Observations
from ppl_mm.evaluation import generate, log_likelihood
from ppl_mm.modality import Modality
from ppl_mm.systems import System
from ppl_mm.training import fit

__all__ = [
    "Modality",
    "Observations",
    "System",
    "data",
    "evaluation",
    "fit",
    "generate",
    "guides",
    "likelihoods",
    "log_likelihood",
    "models",
    "networks",
    "objectives",
    "systems",
]

__version__ = "0.1.0"
