"""The readings of MVAE's label weight and terms, which its tables show side by side."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

__all__ = ["READINGS", "TERMS", "in_readings", "reading"]

Run = Any  # The options of the main experiment, or of weak supervision.

TERMS = ("own", "image_all")
"""The image-only term reconstructs only the image, as in the paper, or also the label."""
READINGS: dict[str, tuple[float, str]] = {
    "as stated": (50.0, "own"),
    "weight 1": (1.0, "own"),
    "image answers for both": (50.0, "image_all"),
}
"""Name -> label weight and terms. The first is the paper's text; the others reach its numbers."""


def in_readings(runs: Iterable[Run]) -> list[Run]:
    """Return the runs, those of MVAE once in each of ``READINGS``.

    Example:
        >>> from ppl_mm.experiments.mvae.experiment import Config
        >>> runs = in_readings([Config(system="jmvae"), Config(system="mvae")])
        >>> [(run.system, run.label_weight, run.terms) for run in runs]  # doctest: +ELLIPSIS
        [('jmvae', 50.0, 'own'), ('mvae', 50.0, 'own'), ('mvae', 1.0, 'own'), ('mvae', 50.0, ...)]
    """
    out = []
    for run in runs:
        own = "mvae" in (getattr(run, "system", ""), getattr(run, "method", ""))
        every = READINGS.values() if own else [(run.label_weight, run.terms)]
        out += [replace(run, label_weight=weight, terms=terms) for weight, terms in every]
    return out


def reading(config: Mapping[str, Any]) -> str:
    """Return how a run of MVAE reads the paper: a name of ``READINGS``, or its weight and terms.

    Example:
        >>> reading({"label_weight": 50.0, "terms": "own"})
        'as stated'
        >>> reading({"label_weight": 10.0, "terms": "image_all"})
        'weight 10, image answers for both'
    """
    asked = config["label_weight"], config.get("terms", "own")
    known = {setting: name for name, setting in READINGS.items()}
    more = ", image answers for both" if asked[1] == "image_all" else ""
    return known.get(asked, f"weight {asked[0]:g}{more}")
