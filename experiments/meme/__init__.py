"""Joy et al. 2022 (MEME, arXiv:2106.12570): pairs of pictures, and birds, few of them paired.

The names here are those of the main experiment, which the command
``python -m ppl_mm.experiments.meme`` runs.
"""

from ppl_mm.experiments.meme.experiment import SMOKE, Config, build, main, train, training_rows

__all__ = ["SMOKE", "Config", "build", "main", "train", "training_rows"]
