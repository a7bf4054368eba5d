"""The options of the objectives as types, for the papers' systems, which hand them on.

Each type holds what a system does not set itself; the meanings are those of the objective's class.
"""

from collections.abc import Mapping
from typing import TypedDict

__all__ = [
    "ConditionalMMDOptions",
    "FixedTermOptions",
    "ImportanceOptions",
    "MixtureOptions",
    "MutualSupervisionOptions",
    "PairedTermOptions",
    "PrivateImportanceOptions",
    "RequiredTermOptions",
    "TermOptions",
    "UnscaledTermOptions",
]


class _Options(TypedDict, total=False):
    """Of every objective."""

    num_particles: int
    weights: Mapping[str, float] | None


class _ScaledOptions(_Options, total=False):
    """Of every objective whose factor of the latents is an option of the system too."""

    beta: float


class FixedTermOptions(_ScaledOptions, total=False):
    """The options of :class:`ppl_mm.objectives.ELBOTerms` without ``rows`` and ``mean``."""

    dedupe: bool
    shared_noise: bool


class RequiredTermOptions(FixedTermOptions, total=False):
    """The options of :class:`ppl_mm.objectives.ELBOTerms` without ``rows``."""

    mean: str


class TermOptions(RequiredTermOptions, total=False):
    """The options of :class:`ppl_mm.objectives.ELBOTerms`."""

    rows: str


class UnscaledTermOptions(_Options, total=False):
    """The options of :class:`ppl_mm.objectives.ELBOTerms` without ``beta``."""

    dedupe: bool
    mean: str
    rows: str
    shared_noise: bool


class PairedTermOptions(FixedTermOptions, total=False):
    """The options of :func:`ppl_mm.objectives.paired_terms` and of their objective."""

    unpaired: str


class PrivateImportanceOptions(TypedDict, total=False):
    """The options of :class:`ppl_mm.objectives.IWAE` without ``num_particles`` and ``private``."""

    beta: float
    form: str
    strata: int | None
    weights: Mapping[str, float] | None


class ImportanceOptions(PrivateImportanceOptions, total=False):
    """The options of :class:`ppl_mm.objectives.IWAE` without ``num_particles``."""

    private: str


class MixtureOptions(_ScaledOptions, total=False):
    """The options of :class:`ppl_mm.objectives.MixtureELBO` without ``divergence``."""

    strata: int | None


class MutualSupervisionOptions(_ScaledOptions, total=False):
    """The options of :class:`ppl_mm.objectives.MutualSupervisionELBO`."""

    alpha: float
    kl: str
    estimator: str
    stop_gradient: bool
    combine: str
    conditional_prior: str


class ConditionalMMDOptions(_ScaledOptions, total=False):
    """The options of :class:`ppl_mm.objectives.ConditionalMMD` without ``omega``."""

    alpha: float
    mmd_weight: float
    kernel: str | float
    estimator: str
    classify: str
    label_reduction: str
