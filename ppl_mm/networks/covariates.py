"""Covariates beside the input of dense layers: classes as indicators, numbers as they are."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Shaped
from pyro.infer.util import is_validation_enabled
from torch import Tensor
from torch.nn import functional as F

from ppl_mm.batch.covariates import check_size
from ppl_mm.batch.host_masks import on_host

__all__ = ["beside", "checked_sizes"]


def checked_sizes(owner: str, covariates: Mapping[str, int] | None) -> dict[str, int]:
    """Name -> the number of classes or columns of each covariate that a network reads.

    Raises:
        ValueError: For a number below 1.
    """
    sizes = dict(covariates or {})
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(
                f"{owner}: covariate {name!r}: expected at least 1 class or column, got {size}."
            )
    return sizes


def beside(
    rows: Float[Tensor, "N F"],
    sizes: Mapping[str, int],
    covariates: Mapping[str, Shaped[Tensor, "..."]] | None,
    leading: Sequence[int],
) -> Float[Tensor, "N _"]:
    """Rows (N, F) with the columns of covariates after theirs, (N, F + sum of the sizes).

    Args:
        rows: The rows, N = prod(leading).
        sizes: Name -> the number of classes or columns.
        covariates: Name -> integers (*leading), which become indicators, or numbers (*leading, C),
            which stay what they are.
        leading: The rows' shape.

    Raises:
        ValueError: For a covariate that is not given, or does not fit its size.

    Example:
        >>> beside(torch.zeros(2, 1), {"batch": 3}, {"batch": torch.tensor([0, 2])}, (2,))
        tensor([[0., 1., 0., 0.],
                [0., 0., 0., 1.]])
    """
    parts = [rows]
    for name, size in sizes.items():
        if covariates is None or name not in covariates:
            raise ValueError(f"covariate {name!r}: the network reads it, and it is not given.")
        x = covariates[name]
        x = x.reshape(len(rows), *x.shape[len(leading) :])
        if x.dim() == 2 or on_host(x) or is_validation_enabled():
            check_size(name, x, size)
        if x.dim() == 1:
            x = x[:, None] if x.is_floating_point() else F.one_hot(x.long(), size)
        parts.append(x.to(rows))
    return torch.cat(parts, -1) if sizes else rows
