"""Likelihoods p(x_m | z): a decoder's output becomes a Pyro distribution.

A likelihood is called as ``likelihood(parameters, batch_dims=1, event_shape=None)``: all but the
first ``batch_dims`` dimensions of the parameters belong to the event. Log-probabilities are in
nats, summed over the event (pixels, classes, positions), one a row. ``check`` refuses data
outside the support, once, before training.

Source of the choices: Wu & Goodman 2018, arXiv:1802.05335, appendix A and its release.
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
