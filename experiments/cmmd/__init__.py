"""Mancisidor et al. 2023 (CMMD): one view, or some of three modalities, are missing in use.

The names here are those of the main experiment, which the command
``python -m ppl_mm.experiments.cmmd`` runs.
"""

from ppl_mm.experiments.cmmd.experiment import BASELINES, SMOKE, Config, build, main, train

__all__ = ["BASELINES", "SMOKE", "Config", "build", "main", "train"]
