"""Methods to compare with: correlations, a contrastive loss, classifiers, learned features.

They learn from the rows that hold all modalities they look at, and leave out the others. ``cca``,
``dcca`` and ``dccae`` are cca-zoo's and need the extra ``ppl-mm[baselines]``.
"""

from ppl_mm.baselines.autoencoding import autoencoder
from ppl_mm.baselines.boltzmann import rbm
from ppl_mm.baselines.classifier import LabelClassifier, label_classifier, matched_classifier
from ppl_mm.baselines.contrastive import contrastive_loss, mvcl
from ppl_mm.baselines.correlation import cca, dcca, dccae
from ppl_mm.baselines.logistic import LogisticRegression, logistic_regression
from ppl_mm.baselines.svm import LinearSVM, linear_svm
from ppl_mm.baselines.views import Projection

__all__ = [
    "LabelClassifier",
    "LinearSVM",
    "LogisticRegression",
    "Projection",
    "autoencoder",
    "cca",
    "contrastive_loss",
    "dcca",
    "dccae",
    "label_classifier",
    "linear_svm",
    "logistic_regression",
    "matched_classifier",
    "mvcl",
    "rbm",
]
