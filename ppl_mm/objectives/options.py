"""The options of the objectives as types, for the papers' systems, which hand them on.

Each type holds what a system does not set itself; the meanings are those of the objective's class.
"""

from collections.abc import Mapping
from typing import Literal, TypedDict

from ppl_mm.batch.terms import IncompleteRows

__all__ = [
    "Combine",
    "ConditionalMMDOptions",
    "DirectionEstimator",
    "DirectionKL",
    "DirectionPriorKind",
    "Divergence",
    "FixedTermOptions",
    "Form",
    "ImportanceOptions",
    "Kernel",
    "LabelDraw",
    "LabelReduction",
    "MMDEstimator",
    "MixtureOptions",
    "MutualSupervisionOptions",
    "PairedTermOptions",
    "Preset",
    "PrivateImportanceOptions",
    "PrivateSource",
    "RequiredTermOptions",
    "TermMean",
    "TermOptions",
    "UnpairedRows",
    "UnscaledTermOptions",
]

Combine = Literal["mean", "sum"]
DirectionEstimator = Literal["symmetric", "single"]
DirectionKL = Literal["sample", "analytic"]
DirectionPriorKind = Literal["mixture", "product"]
Divergence = Literal["mixture", "components", "jensen_shannon"]
Form = Literal["looser", "tighter"]
Kernel = Literal["dim2", "dim", "median"]
LabelDraw = Literal["mean", "draw", "posterior"]
LabelReduction = Literal["mean", "sum"]
MMDEstimator = Literal["biased", "unbiased", "analytic"]
Preset = Literal["bound", "paper", "code"]
PrivateSource = Literal["posterior", "auxiliary", "prior"]
TermMean = Literal["batch", "rows", "terms"]
UnpairedRows = Literal["all", "disjoint"]


class _Options(TypedDict, total=False):
    """The options of every objective."""

    num_particles: int
    weights: Mapping[str, float] | None


class _ScaledOptions(_Options, total=False):
    """The options of objectives whose factor of the latents is an option of the system too."""

    beta: float


class FixedTermOptions(_ScaledOptions, total=False):
    """The options of :class:`ppl_mm.objectives.ELBOTerms` without ``rows`` and ``mean``."""

    dedupe: bool
    shared_noise: bool


class RequiredTermOptions(FixedTermOptions, total=False):
    """The options of :class:`ppl_mm.objectives.ELBOTerms` without ``rows``."""

    mean: TermMean


class TermOptions(RequiredTermOptions, total=False):
    """The options of :class:`ppl_mm.objectives.ELBOTerms`."""

    rows: IncompleteRows


class UnscaledTermOptions(_Options, total=False):
    """The options of :class:`ppl_mm.objectives.ELBOTerms` without ``beta``."""

    dedupe: bool
    mean: TermMean
    rows: IncompleteRows
    shared_noise: bool


class PairedTermOptions(FixedTermOptions, total=False):
    """The options of :func:`ppl_mm.objectives.paired_terms` and of their objective."""

    unpaired: UnpairedRows


class PrivateImportanceOptions(TypedDict, total=False):
    """The options of :class:`ppl_mm.objectives.IWAE` without ``num_particles`` and ``private``."""

    beta: float
    form: Form
    strata: int | None
    weights: Mapping[str, float] | None


class ImportanceOptions(PrivateImportanceOptions, total=False):
    """The options of :class:`ppl_mm.objectives.IWAE` without ``num_particles``."""

    private: PrivateSource


class MixtureOptions(_ScaledOptions, total=False):
    """The options of :class:`ppl_mm.objectives.MixtureELBO` without ``divergence``."""

    strata: int | None


class MutualSupervisionOptions(_ScaledOptions, total=False):
    """The options of :class:`ppl_mm.objectives.MutualSupervisionELBO`."""

    alpha: float
    kl: DirectionKL
    estimator: DirectionEstimator
    stop_gradient: bool
    combine: Combine
    conditional_prior: DirectionPriorKind


class ConditionalMMDOptions(_ScaledOptions, total=False):
    """The options of :class:`ppl_mm.objectives.ConditionalMMD` without ``omega``."""

    alpha: float
    mmd_weight: float
    kernel: Kernel | float
    estimator: MMDEstimator
    classify: LabelDraw
    label_reduction: LabelReduction
