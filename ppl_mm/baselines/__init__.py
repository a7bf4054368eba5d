"""Methods to compare with: canonical correlations, a contrastive loss, classifiers.

They learn from rows that hold all they look at, and leave out the others. ``cca``, ``dcca`` and
``dccae`` are cca-zoo's and need the extra ``ppl-mm[baselines]``.
"""

from ppl_mm.baselines.classifier import LabelClassifier, label_classifier, matched_classifier
from ppl_mm.baselines.contrastive import contrastive_loss, mvcl
from ppl_mm.baselines.correlation import cca, dcca, dccae
from ppl_mm.baselines.svm import LinearSVM, linear_svm
from ppl_mm.baselines.views import Projection

__all__ = [
    "LabelClassifier",
    "LinearSVM",
    "Projection",
    "cca",
    "contrastive_loss",
    "dcca",
    "dccae",
    "label_classifier",
    "linear_svm",
    "matched_classifier",
    "mvcl",
]
