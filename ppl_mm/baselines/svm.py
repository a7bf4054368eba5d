"""A linear classifier of features, whose penalty is chosen on tuning rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ppl_mm.arguments.tensors import Matrix, Vector
from ppl_mm.arguments.typed import typed

__all__ = ["LinearSVM", "linear_svm"]


@dataclass(frozen=True)
class LinearSVM:
    """Linear support vector machines, one for each class against the rest.

    Attributes:
        penalty: The chosen penalty C.
        tune_error: The share of tuning rows that it gets wrong.
        machine: scikit-learn's ``LinearSVC``.
    """

    penalty: float
    tune_error: float
    machine: Any

    def predict(self, features: Float[Tensor, "N k"]) -> Shaped[Tensor, " N"]:
        """The classes (N,) of features (N, k)."""
        return torch.from_numpy(self.machine.predict(features.detach().cpu().numpy()))


@typed
def linear_svm(
    features: Matrix,
    classes: Vector,
    tune_features: Matrix,
    tune_classes: Vector,
    penalties: Sequence[float] = (0.1, 1.0, 10.0),
    seed: int = 0,
) -> LinearSVM:
    """Fit machines with each penalty, and return those with the fewest errors on the tuning rows.

    Args:
        features: The features of the training rows, (N, k), such as a :class:`Projection` gives or
            ``system.posterior(obs.given(view)).mean``.
        classes: The classes of the training rows, (N,).
        tune_features: The features of the tuning rows, which are neither training nor test rows.
        tune_classes: The classes of the tuning rows.
        penalties: The values of C to try; the first wins among equally good ones.
        seed: The seed of the solver.

    Raises:
        ValueError: For other than one class a row, or no penalties.

    Source: Wang et al. 2016, arXiv:1610.03454, section 4; scikit-learn's ``LinearSVC``.

    Example:
        >>> x = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]])
        >>> svm = linear_svm(x, torch.tensor([0, 0, 1, 1]), x, torch.tensor([0, 0, 1, 1]))
        >>> svm.predict(torch.tensor([[-3.0], [3.0]])), svm.tune_error
        (tensor([0, 1]), 0.0)
    """
    from sklearn.svm import LinearSVC

    for what, x, y in (("", features, classes), ("tune_", tune_features, tune_classes)):
        if y.shape != (len(x),):
            raise ValueError(
                f"{what}classes: expected one class a row, ({len(x)},), got {tuple(y.shape)}."
            )
    if not penalties:
        raise ValueError("penalties: expected at least one value of C, got none.")
    rows = features.detach().cpu().numpy()
    found = []
    for penalty in penalties:
        machine = LinearSVC(C=penalty, max_iter=20_000, random_state=seed)
        machine.fit(rows, classes.cpu().numpy())
        wrong = machine.predict(tune_features.detach().cpu().numpy()) != tune_classes.cpu().numpy()
        found.append(LinearSVM(float(penalty), float(wrong.mean()), machine))
    return min(found, key=lambda svm: svm.tune_error)
