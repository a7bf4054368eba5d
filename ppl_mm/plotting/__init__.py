"""Pictures of data, of training, and of a trained system's generations."""

from ppl_mm.plotting.cross import cross_generation
from ppl_mm.plotting.diagram import graph, save_graph
from ppl_mm.plotting.pictures import (
    classes,
    losses,
    posterior_means,
    prior_samples,
    samples,
)
from ppl_mm.plotting.posterior import posterior
from ppl_mm.plotting.presence import presence
from ppl_mm.plotting.shared_private import conditional_columns, shared_private_grid, traversal
from ppl_mm.plotting.values import Tiles, Words
from ppl_mm.results.calibration import reliability_diagram
from ppl_mm.results.certificate import certified_intervals
from ppl_mm.results.collapse import collapse_curves
from ppl_mm.results.comparison import paired_differences
from ppl_mm.results.curves import error_curves
from ppl_mm.results.log_likelihood import likelihood_intervals
from ppl_mm.results.posterior_check import posterior_intervals
from ppl_mm.results.posterior_ranks import rank_curves
from ppl_mm.results.relatedness import class_dendrogram, class_distances, pair_distances
from ppl_mm.results.result import estimates
from ppl_mm.results.sandwich import sandwich_curves
from ppl_mm.results.style import save
from ppl_mm.results.upper_bounds import upper_bound_curves

__all__ = [
    "Tiles",
    "Words",
    "certified_intervals",
    "class_dendrogram",
    "class_distances",
    "classes",
    "collapse_curves",
    "conditional_columns",
    "cross_generation",
    "error_curves",
    "estimates",
    "graph",
    "likelihood_intervals",
    "losses",
    "pair_distances",
    "paired_differences",
    "posterior",
    "posterior_intervals",
    "posterior_means",
    "presence",
    "prior_samples",
    "rank_curves",
    "reliability_diagram",
    "samples",
    "sandwich_curves",
    "save",
    "save_graph",
    "shared_private_grid",
    "traversal",
    "upper_bound_curves",
]
