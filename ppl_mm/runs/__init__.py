"""Run folders: train a system by name, load it again, and measure it."""

from ppl_mm.files import owned
from ppl_mm.runs.ask import generate, likelihood
from ppl_mm.runs.building import untrained
from ppl_mm.runs.config import Config, configure
from ppl_mm.runs.folder import FILES, Run
from ppl_mm.runs.measures import Measures, measure
from ppl_mm.runs.run import evaluate, load, train
from ppl_mm.runs.tables import embed, impute

__all__ = [
    "FILES",
    "Config",
    "Measures",
    "Run",
    "configure",
    "embed",
    "evaluate",
    "generate",
    "impute",
    "likelihood",
    "load",
    "measure",
    "owned",
    "train",
    "untrained",
]
