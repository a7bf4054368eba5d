"""Mancisidor et al. 2023 (CMMD): views or modalities that are missing at test time.

The names here are those of the main experiment, which the command
``python -m ppl_mm.experiments.cmmd`` runs.
"""

from ppl_mm.experiments.cmmd.experiment import BASELINES, SMOKE, Config, build, main, train

__all__ = ["BASELINES", "SMOKE", "Config", "build", "main", "train"]
