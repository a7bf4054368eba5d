"""Multinomial logistic regression of classes on features."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ppl_mm.arguments.tensors import Matrix, Vector
from ppl_mm.arguments.typed import typed

__all__ = ["LogisticRegression", "logistic_regression"]


@dataclass(frozen=True)
class LogisticRegression:
    """p(y | features) proportional to exp( W features + b ).

    Attributes:
        machine: scikit-learn's ``LogisticRegression``.
    """

    machine: Any

    def predict(self, features: Float[Tensor, "N k"]) -> Shaped[Tensor, " N"]:
        """The most probable classes (N,) of features (N, k)."""
        return torch.from_numpy(self.machine.predict(features.detach().cpu().numpy()))


@typed
def logistic_regression(
    features: Matrix, classes: Vector, *, penalty: float = 1.0, max_iterations: int = 1000
) -> LogisticRegression:
    """Maximise penalty * sum over rows log p(y | features) - |W|^2 / 2.

    Args:
        features: The features of the training rows, (N, k), such as pixels, a :class:`Projection`
            or ``system.posterior(obs.given(view)).mean``.
        classes: The classes of the training rows, (N,); those that no row has are never predicted.
        penalty: scikit-learn's C: the smaller, the stronger the penalty of large weights.
        max_iterations: The most iterations of L-BFGS; scikit-learn warns where they do not suffice.

    Raises:
        ValueError: For other than one class a row, or rows of one class alone.

    Source: the baseline LOGREG of Wu & Goodman 2018, arXiv:1802.05335, tables 8 and 9.

    Example:
        >>> x = torch.tensor([[-1.0], [-2.0], [1.0], [2.0]])
        >>> found = logistic_regression(x, torch.tensor([0, 0, 3, 3]))
        >>> found.predict(torch.tensor([[-3.0], [3.0]]))
        tensor([0, 3])
    """
    from sklearn.linear_model import LogisticRegression as Machine

    if classes.shape != (len(features),):
        raise ValueError(
            f"classes: expected one class a row, ({len(features)},), got {tuple(classes.shape)}."
        )
    if len(classes.unique()) < 2:
        raise ValueError("classes: expected rows of two classes at least; give more rows.")
    machine = Machine(C=penalty, max_iter=max_iterations)
    machine.fit(features.detach().cpu().numpy(), classes.cpu().numpy())
    return LogisticRegression(machine)
