"""Measures of trained systems, each for any system and any observed subset."""

from ppl_mm.evaluation.accuracy import accuracy, predict
from ppl_mm.evaluation.bound import elbo
from ppl_mm.evaluation.generation import generate
from ppl_mm.evaluation.likelihood import log_likelihood, log_likelihoods
from ppl_mm.evaluation.result import LogLikelihood, UnreliableLikelihoodWarning

__all__ = [
    "LogLikelihood",
    "UnreliableLikelihoodWarning",
    "accuracy",
    "elbo",
    "generate",
    "log_likelihood",
    "log_likelihoods",
    "predict",
]
