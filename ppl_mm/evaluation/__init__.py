"""Measures of trained systems, each for any system and any observed subset."""

from ppl_mm.likelihood.annealed import annealed_log_likelihood
from ppl_mm.likelihood.certify import certify
from ppl_mm.likelihood.compare import compare
from ppl_mm.likelihood.elbo import elbo
from ppl_mm.likelihood.log_likelihood import log_likelihood, log_likelihoods
from ppl_mm.likelihood.posterior_check import posterior_check
from ppl_mm.likelihood.posterior_ranks import posterior_ranks
from ppl_mm.likelihood.sandwich import sandwich
from ppl_mm.likelihood.upper_bounds import upper_bounds
from ppl_mm.measures.accuracy import accuracy, predict
from ppl_mm.measures.average_precision import (
    AveragePrecision,
    average_precision,
    average_precision_of,
)
from ppl_mm.measures.calibration import calibration, calibration_of
from ppl_mm.measures.coherence import (
    Coherence,
    coherence_of,
    cross_coherence,
    joint_coherence,
    joint_coherence_of,
)
from ppl_mm.measures.collapse import (
    collapse_of,
    posterior_collapse,
    variance_collapse,
)
from ppl_mm.measures.correlation import CanonicalCorrelation, Correlation, correlation
from ppl_mm.measures.diversity import Diversity, diversity, real_diversity, spread
from ppl_mm.measures.embedding import embed
from ppl_mm.measures.frechet import Frechet, frechet, frechet_distance, frechet_of
from ppl_mm.measures.generation import generate
from ppl_mm.measures.imputation import impute
from ppl_mm.measures.label_probabilities import probabilities
from ppl_mm.measures.latent_sampler import LatentSampler, fit_latent_sampler
from ppl_mm.measures.latents import LatentAccuracy, draw_latents, latent_accuracy
from ppl_mm.measures.mutual_information import (
    MutualInformation,
    mutual_information,
    mutual_information_of,
    real_mutual_information,
)
from ppl_mm.measures.prediction import classification_error, rmse
from ppl_mm.measures.readings import Readings, read_generations
from ppl_mm.measures.relatedness import relatedness, wasserstein_distances
from ppl_mm.measures.whole import confidence, joint_confidence, whole_coherence
from ppl_mm.oracles.classifier import (
    classifier_accuracy,
    train_classifier,
    train_classifiers,
    train_oracle,
)
from ppl_mm.oracles.gaussian_process import (
    GaussianProcessClassifier,
    train_gaussian_process,
    train_gaussian_processes,
)
from ppl_mm.oracles.inception import Inception
from ppl_mm.oracles.outputs import features_of
from ppl_mm.oracles.sentences import SentenceEmbedding
from ppl_mm.results.calibration import Calibration, Reliability
from ppl_mm.results.certificate import Certificate
from ppl_mm.results.collapse import Collapse
from ppl_mm.results.comparison import Comparison, Difference
from ppl_mm.results.embedding import Embedding
from ppl_mm.results.estimate import Estimate
from ppl_mm.results.imputation import Imputation
from ppl_mm.results.log_likelihood import LogLikelihood
from ppl_mm.results.posterior_check import PosteriorCheck
from ppl_mm.results.posterior_ranks import PosteriorRanks
from ppl_mm.results.relatedness import Relatedness
from ppl_mm.results.result import Result
from ppl_mm.results.sandwich import Sandwich
from ppl_mm.results.unreliable import UnreliableLikelihoodWarning
from ppl_mm.results.upper_bounds import UpperBounds

__all__ = [
    "AveragePrecision",
    "Calibration",
    "CanonicalCorrelation",
    "Certificate",
    "Coherence",
    "Collapse",
    "Comparison",
    "Correlation",
    "Difference",
    "Diversity",
    "Embedding",
    "Estimate",
    "Frechet",
    "GaussianProcessClassifier",
    "Imputation",
    "Inception",
    "LatentAccuracy",
    "LatentSampler",
    "LogLikelihood",
    "MutualInformation",
    "PosteriorCheck",
    "PosteriorRanks",
    "Readings",
    "Relatedness",
    "Reliability",
    "Result",
    "Sandwich",
    "SentenceEmbedding",
    "UnreliableLikelihoodWarning",
    "UpperBounds",
    "accuracy",
    "annealed_log_likelihood",
    "average_precision",
    "average_precision_of",
    "calibration",
    "calibration_of",
    "certify",
    "classification_error",
    "classifier_accuracy",
    "coherence_of",
    "collapse_of",
    "compare",
    "confidence",
    "correlation",
    "cross_coherence",
    "diversity",
    "draw_latents",
    "elbo",
    "embed",
    "features_of",
    "fit_latent_sampler",
    "frechet",
    "frechet_distance",
    "frechet_of",
    "generate",
    "impute",
    "joint_coherence",
    "joint_coherence_of",
    "joint_confidence",
    "latent_accuracy",
    "log_likelihood",
    "log_likelihoods",
    "mutual_information",
    "mutual_information_of",
    "posterior_check",
    "posterior_collapse",
    "posterior_ranks",
    "predict",
    "probabilities",
    "read_generations",
    "real_diversity",
    "real_mutual_information",
    "relatedness",
    "rmse",
    "sandwich",
    "spread",
    "train_classifier",
    "train_classifiers",
    "train_gaussian_process",
    "train_gaussian_processes",
    "train_oracle",
    "upper_bounds",
    "variance_collapse",
    "wasserstein_distances",
    "whole_coherence",
]
