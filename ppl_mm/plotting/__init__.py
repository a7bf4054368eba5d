"""Pictures of data, training and what a trained system makes of them."""

from ppl_mm.plotting.calibration import reliability_diagram
from ppl_mm.plotting.collapse import collapse_curves
from ppl_mm.plotting.cross import cross_generation
from ppl_mm.plotting.curves import error_curves
from ppl_mm.plotting.estimates import estimates
from ppl_mm.plotting.likelihood import likelihood_intervals
from ppl_mm.plotting.pictures import (
    classes,
    losses,
    posterior_means,
    prior_samples,
    samples,
    save,
)
from ppl_mm.plotting.posterior_check import posterior_intervals
from ppl_mm.plotting.relatedness import class_dendrogram, class_distances, pair_distances
from ppl_mm.plotting.sandwich import sandwich_curves
from ppl_mm.plotting.shared_private import conditional_columns, shared_private_grid, traversal
from ppl_mm.plotting.values import Tiles

__all__ = [
    "Tiles",
    "class_dendrogram",
    "class_distances",
    "classes",
    "collapse_curves",
    "conditional_columns",
    "cross_generation",
    "error_curves",
    "estimates",
    "likelihood_intervals",
    "losses",
    "pair_distances",
    "posterior_intervals",
    "posterior_means",
    "prior_samples",
    "reliability_diagram",
    "samples",
    "sandwich_curves",
    "save",
    "shared_private_grid",
    "traversal",
]
