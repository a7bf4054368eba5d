"""Pictures of data, training and what a trained system makes of them."""

from ppl_mm.plotting.pictures import (
    Tiles,
    classes,
    cross_generation,
    losses,
    posterior_means,
    prior_samples,
    samples,
    save,
)

__all__ = [
    "Tiles",
    "classes",
    "cross_generation",
    "losses",
    "posterior_means",
    "prior_samples",
    "samples",
    "save",
]
