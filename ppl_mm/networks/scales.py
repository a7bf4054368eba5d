"""The location and the positive scale of an expert, from the output of an encoder."""

import math
from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["LocScale", "LocationScale", "ScaleMap", "location_scale"]

LocScale = tuple[Float[Tensor, "*rows Z"], Float[Tensor, "*rows Z"]]
"""loc and scale of an expert, of the same shape."""

ScaleMap = Literal["exp", "softplus", "softplus_variance", "softmax"]

_MAX_LOG_SCALE = 40.0
_MIN_SCALE = {"exp": 0.0, "softplus": 1e-6, "softplus_variance": 1e-6, "softmax": 1e-6}


def location_scale(
    raw: Float[Tensor, "*rows F"], scale: ScaleMap = "exp", min_scale: float | None = None
) -> LocScale:
    """Split an encoder's output into the location and scale of an expert.

        loc = raw[..., :D],    s = raw[..., D:]

    and the scale is one of

        "exp"                  exp(s / 2) + min_scale              s is the log-variance
        "softplus"             log(1 + exp(s)) + min_scale
        "softplus_variance"    sqrt(log(1 + exp(s)) + min_scale)   the root of a variance
        "softmax"              D softmax(s) + min_scale            over the last dimension

    The scales of ``"softmax"`` sum to D, a fixed budget: a dimension is sharp only where another
    is wide. For a latent of several parts, call the function on each part.

    In ``"exp"``, s / 2 is clamped to [-40, 40] before the exponential, since float32 ends at
    exp(88.7): beyond, exp is inf (or 0) and its gradient inf or NaN. The bound is 40 and not 80
    because densities and divergences square the scale: variance and precision lie in
    [2e-35, 6e34] and stay finite too. Outside the bounds the gradient of s is exactly 0.

    Args:
        raw: The output (..., 2 D) of a network.
        scale: The map of s.
        min_scale: The number that is added to the scale (to the variance in
            ``"softplus_variance"``), at least 0. None is 0 for ``"exp"`` and 1e-6 for the others,
            which underflow.

    Returns:
        loc and scale, each (..., D), scale > 0: the standard deviation of a Normal expert, the b
        of a Laplace expert.

    Raises:
        ValueError: If the last dimension of ``raw`` is odd, ``scale`` is unknown, or ``min_scale``
            is negative.

    Source: Wu & Goodman 2018, arXiv:1802.05335, release (``"exp"``); Palumbo, Daunhawer & Vogt,
    MMVAE+, release (``"softmax"`` for Laplace, ``"softplus"`` for Normal experts); Kutuzova et al.
    2020, release (``"softplus_variance"``). Differs: the scale is clamped. The first release adds
    1e-8 to the variance in the product instead, and the last adds nothing.

    Example:
        >>> location_scale(torch.tensor([0.5, 0.0]))
        (tensor([0.5000]), tensor([1.]))
        >>> loc, scale = location_scale(torch.tensor([0.0, 0.0, -200.0, 200.0]))
        >>> bool((scale > 0).all() and (1 / scale.square()).isfinite().all())
        True
        >>> location_scale(torch.tensor([0.0, 0.0, 0.0, 1.0]), scale="softmax")[1]
        tensor([0.5379, 1.4621])
    """
    if raw.shape[-1] % 2:
        raise ValueError(
            "location_scale: expected an even last dimension, (..., 2 D) for D locations and "
            f"D unconstrained scales, got {tuple(raw.shape)}."
        )
    min_scale = _checked_min_scale(scale, min_scale)
    loc, s = raw.chunk(2, dim=-1)
    if scale == "exp":
        positive = (s / 2).clamp(-_MAX_LOG_SCALE, _MAX_LOG_SCALE).exp()
    elif scale == "softplus":
        positive = F.softplus(s)
    elif scale == "softplus_variance":
        return loc, (F.softplus(s) + min_scale).sqrt()
    else:
        positive = s.softmax(dim=-1) * s.shape[-1]
    return loc, positive + min_scale if min_scale else positive


def _checked_min_scale(scale: ScaleMap, min_scale: float | None) -> float:
    if scale not in _MIN_SCALE:
        raise ValueError(
            f"scale of an encoder: expected one of {', '.join(map(repr, _MIN_SCALE))}, "
            f"got {scale!r}."
        )
    if min_scale is None:
        return _MIN_SCALE[scale]
    if not 0 <= min_scale < math.inf:
        raise ValueError(f"min_scale of an encoder: expected at least 0, got {min_scale}.")
    return min_scale


class LocationScale(nn.Module):
    """The end of every encoder: :func:`location_scale` with its options, which are checked here.

    Args:
        scale: The map to a positive scale, see :func:`location_scale`.
        min_scale: The number that is added to the scale.

    Shapes:
        raw (N, 2 D), or (*leading, 2 D) itself, and the leading dimensions of its rows, to loc and
        scale, each (*leading, D).

    Example:
        >>> end = LocationScale("softmax")
        >>> end
        LocationScale(scale='softmax', min_scale=1e-06)
        >>> end(torch.zeros(6, 4), (2, 3))[1].shape
        torch.Size([2, 3, 2])
    """

    def __init__(self, scale: ScaleMap = "exp", min_scale: float | None = None) -> None:
        super().__init__()
        self.scale: ScaleMap = scale
        self.min_scale = _checked_min_scale(scale, min_scale)

    def forward(self, raw: Float[Tensor, "*N F"], leading: Sequence[int]) -> LocScale:
        """Return the expert's (loc, scale)."""
        raw = raw.reshape(*leading, raw.shape[-1])
        return location_scale(raw, self.scale, self.min_scale)

    def extra_repr(self) -> str:
        """Return the options, which printing shows."""
        return f"scale={self.scale!r}, min_scale={self.min_scale}"
