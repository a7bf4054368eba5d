"""Wu & Goodman 2018 (MVAE, arXiv:1802.05335): images with labels, faces, views and sentences.

The names here are those of the main experiment, which the command
``python -m ppl_mm.experiments.mvae`` runs.
"""

from ppl_mm.experiments.mvae.experiment import (
    SMOKE,
    SYSTEMS,
    Config,
    accuracy,
    build,
    main,
    measure,
    train,
)

__all__ = ["SMOKE", "SYSTEMS", "Config", "accuracy", "build", "main", "measure", "train"]
