"""Distributions for likelihoods that are exact over the whole range of their parameters.

Each class replaces one of :mod:`torch.distributions` that loses digits, refuses valid parameters
because of rounding, or draws values outside the support.
"""

from ppl_mm.likelihoods.densities.binary import Bernoulli, SoftBernoulli
from ppl_mm.likelihoods.densities.categorical import Categorical, OneHotCategorical, Tokens
from ppl_mm.likelihoods.densities.continuous_bernoulli import ContinuousBernoulli
from ppl_mm.likelihoods.densities.counts import NegativeBinomial, Poisson
from ppl_mm.likelihoods.densities.log_normal import LogNormal
from ppl_mm.likelihoods.densities.normal import Normal
from ppl_mm.likelihoods.densities.zero_inflated import ZeroInflatedNegativeBinomial

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "LogNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "Poisson",
    "SoftBernoulli",
    "Tokens",
    "ZeroInflatedNegativeBinomial",
]
