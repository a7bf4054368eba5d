"""Canonical correlation: do two feature vectors belong together, as training pairs do?"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ppl_mm.checks import check_at_least_one
from ppl_mm.evaluation.estimate import Estimate

__all__ = ["CanonicalCorrelation"]


@dataclass(frozen=True)
class CanonicalCorrelation:
    r"""Linear maps W_1, W_2 in whose coordinates the pairs of a training set correlate most.

        W_v  =  S_vv^{-1/2} U_v[:, :k],     U_1 diag(rho) U_2^T  the SVD of
                                            S_11^{-1/2} S_12 S_22^{-1/2}

    with the covariances S of centred training features, so each coordinate has variance 1 and
    correlates with its partner alone, by rho. The score of a pair is the cosine of
    W_1^T (x_1 - mu_1) and W_2^T (x_2 - mu_2): near 1 for pairs like those of training, near 0 on
    average for unrelated ones. A generated feature or caption is scored with the real partner it
    was generated from; what real pairs score is the reference.

    Attributes:
        means: mu_1 and mu_2, (D_1,) and (D_2,).
        maps: W_1 and W_2, (D_1, k) and (D_2, k).
        correlations: rho, (k,), largest first, on the training pairs.

    Source: Massiceti et al. 2018, arXiv:1812.00235, as in Shi et al. 2019, arXiv:1911.03393
    (k = 40, ResNet features against averaged word vectors). Differs: directions without variance
    are left out, where the source adds 1e-12 to all variances; coordinates have variance 1.

    Example:
        >>> x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
        >>> found = CanonicalCorrelation.fit(x, x @ torch.randn(3, 5), 3)
        >>> [round(r, 3) for r in found.correlations.tolist()]
        [1.0, 1.0, 1.0]
    """

    means: tuple[Tensor, Tensor]
    maps: tuple[Tensor, Tensor]
    correlations: Tensor

    @classmethod
    def fit(cls, first: Tensor, second: Tensor, num_components: int) -> Self:
        """The maps of training pairs.

        Args:
            first: x_1, (N, D_1).
            second: x_2, (N, D_2), row by row.
            num_components: k, at most the smaller rank of the two.

        Raises:
            ValueError: For features that are no pairs of finite vectors, or if a view has fewer
                than k independent features.
        """
        _check_pairs(first, second)
        check_at_least_one("num_components", num_components)
        views = [x.detach().cpu().double() for x in (first, second)]
        means = [x.mean(0) for x in views]
        centred = [x - m for x, m in zip(views, means, strict=True)]
        roots = [_inverse_root(x) for x in centred]
        rank = min(root.shape[1] for root in roots)
        if rank < num_components:
            raise ValueError(
                f"num_components: {num_components} asked for, but the smaller view has only "
                f"{rank} independent features in {len(first)} rows."
            )
        whitened = [x @ root for x, root in zip(centred, roots, strict=True)]
        left, rho, right = torch.linalg.svd(whitened[0].T @ whitened[1] / (len(first) - 1))
        turns = (left[:, :num_components], right.T[:, :num_components])
        first_map, second_map = (root @ turn for root, turn in zip(roots, turns, strict=True))
        return cls((means[0], means[1]), (first_map, second_map), rho[:num_components])

    def score(self, first: Tensor, second: Tensor) -> Tensor:
        """The cosine of each pair's coordinates, (N,), between -1 and 1.

        Raises:
            ValueError: For features that are no pairs of finite vectors of the training's sizes.
        """
        _check_pairs(first, second)
        for x, mean in zip((first, second), self.means, strict=True):
            if x.shape[1:] != mean.shape:
                raise ValueError(
                    f"expected features of size {len(mean)}, got {tuple(x.shape[1:])}."
                )
        a, b = (
            (x.detach().cpu().double() - mean) @ turn
            for x, mean, turn in zip((first, second), self.means, self.maps, strict=True)
        )
        return cosine_similarity(a, b)

    def mean_score(self, first: Tensor, second: Tensor) -> Estimate:
        """The mean score of pairs, with the standard error over them."""
        return Estimate.of(self.score(first, second))


def _inverse_root(centred: Tensor) -> Tensor:
    """S^{-1/2} of the covariance, (D, rank), as principal axes over their deviations."""
    values, axes = torch.linalg.eigh(centred.T @ centred / (len(centred) - 1))
    kept = values > 1e-10 * values.amax()
    return axes[:, kept] / values[kept].sqrt()


def _check_pairs(first: Tensor, second: Tensor) -> None:
    if first.dim() != 2 or second.dim() != 2 or len(first) != len(second) or len(first) < 2:
        raise ValueError(
            "expected two matrices of features with a row for each of at least two pairs, got "
            f"{tuple(first.shape)} and {tuple(second.shape)}."
        )
    for which, x in (("first", first), ("second", second)):
        if not bool(x.isfinite().all()):
            raise ValueError(f"the {which} features hold values that are not finite.")
