"""Likelihoods p(x_m | z), which turn a decoder's output into a Pyro distribution.

A likelihood is called as ``likelihood(parameters, batch_dims=1, event_shape=None)``. The first
``batch_dims`` dimensions of the parameters are batch dimensions; all others belong to the event.
Log-probabilities are in nats and summed over the event (pixels, classes, positions), so each row
has one. ``check`` is called once, before training, and raises for data outside the support.

Source of the selection: Wu & Goodman 2018, arXiv:1802.05335, appendix A and its release.
"""

from ppl_mm.likelihoods.binary import Bernoulli, ContinuousBernoulli, MultiLabel, SoftBernoulli
from ppl_mm.likelihoods.categorical import Categorical, Tokens
from ppl_mm.likelihoods.counts import NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from ppl_mm.likelihoods.likelihood import Likelihood
from ppl_mm.likelihoods.real import Laplace, LogNormal, Normal

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "Laplace",
    "Likelihood",
    "LogNormal",
    "MultiLabel",
    "NegativeBinomial",
    "Normal",
    "Poisson",
    "SoftBernoulli",
    "Tokens",
    "ZeroInflatedNegativeBinomial",
]
