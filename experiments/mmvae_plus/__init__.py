"""Palumbo, Daunhawer & Vogt 2023 (MMVAE+): five modalities of one digit, two, and birds.

The names here are those of the main experiment, which the command
``python -m ppl_mm.experiments.mmvae_plus`` runs.
"""

from ppl_mm.experiments.mmvae_plus.experiment import (
    PRIVATE,
    SMOKE,
    Config,
    build,
    load,
    main,
    train,
)

__all__ = ["PRIVATE", "SMOKE", "Config", "build", "load", "main", "train"]
