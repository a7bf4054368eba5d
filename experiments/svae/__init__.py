"""Kutuzova et al. 2021 (SVAE, arXiv:2101.07240): parts of digits, pairs of pictures, birds.

The names here are those of the main experiment, which the command
``python -m ppl_mm.experiments.svae`` runs.
"""

from ppl_mm.experiments.svae.experiment import (
    PAIRS,
    SMOKE,
    Config,
    build,
    classifiers,
    main,
    reconstructions,
    train,
)

__all__ = [
    "PAIRS",
    "SMOKE",
    "Config",
    "build",
    "classifiers",
    "main",
    "reconstructions",
    "train",
]
