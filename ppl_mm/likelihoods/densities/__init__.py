"""The distributions that likelihoods are made of, exact over the whole range of their parameters.

They replace those of :mod:`torch.distributions` where those lose their digits, refuse what is valid
by rounding, or draw what is not in the support.
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
