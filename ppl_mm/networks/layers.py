"""What the networks share: leading dimensions, dense layers, and the encoders' output."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["as_rows", "dense", "location_scale"]

_MAX_LOG_SCALE = 40.0


def location_scale(raw: Tensor) -> tuple[Tensor, Tensor]:
    """Split an encoder's output into the location and scale of a Gaussian expert.

        loc = raw[..., :D],    s = raw[..., D:],    scale = exp(s / 2)

    s is the log-variance. s / 2 is clamped to [-40, 40] before the exponential, since float32
    ends at exp(88.7): beyond, exp is inf (or 0) and its gradient inf or NaN. The bound is 40 and
    not 80 because densities and divergences square the scale: variance and precision lie in
    [2e-35, 6e34] and stay finite too. Outside the bounds the gradient of s is exactly 0.

    Args:
        raw: A network's output, (..., 2 D).

    Returns:
        loc and scale, each (..., D), scale > 0 a standard deviation.

    Raises:
        ValueError: If the last dimension of ``raw`` is odd.

    Source: Wu & Goodman 2018, arXiv:1802.05335, release. Differs: the clamp; the release adds
    1e-8 to the variance in the product instead.

    Example:
        >>> location_scale(torch.tensor([0.5, 0.0]))
        (tensor([0.5000]), tensor([1.]))
        >>> loc, scale = location_scale(torch.tensor([0.0, 0.0, -200.0, 200.0]))
        >>> bool((scale > 0).all() and (1 / scale.square()).isfinite().all())
        True
    """
    if raw.shape[-1] % 2:
        raise ValueError(
            "location_scale: expected an even last dimension, (..., 2 D) for D locations and "
            f"D log-variances, got {tuple(raw.shape)}."
        )
    loc, log_variance = raw.chunk(2, dim=-1)
    return loc, (log_variance / 2).clamp(-_MAX_LOG_SCALE, _MAX_LOG_SCALE).exp()


def as_rows(values: Tensor, event_shape: Sequence[int], owner: str) -> tuple[Tensor, torch.Size]:
    """Flatten the leading dimensions of ``values`` into one.

    Args:
        values: Any number of leading dimensions, then the event's, (..., *event_shape).
        event_shape: The shape that one row must have.
        owner: Who asks, for the message.

    Returns:
        The rows, (N, *event_shape), and the leading dimensions, whose product is N.

    Raises:
        ValueError: If ``values`` does not end in ``event_shape``.

    Example:
        >>> rows, leading = as_rows(torch.zeros(2, 3, 5), (5,), "MLPEncoder")
        >>> rows.shape, leading
        (torch.Size([6, 5]), torch.Size([2, 3]))
    """
    event_shape = tuple(event_shape)
    split = values.dim() - len(event_shape)
    if split < 0 or tuple(values.shape[split:]) != event_shape:
        expected = ", ".join(["...", *map(str, event_shape)])
        raise ValueError(f"{owner}: expected shape ({expected}), got {tuple(values.shape)}.")
    leading = values.shape[:split]
    return values.reshape(math.prod(leading), *event_shape), leading


def dense(sizes: Sequence[int], *, batch_norm: bool = False, dropout: float = 0.0) -> nn.Sequential:
    """Linear layers from ``sizes[0]`` to ``sizes[-1]`` features, each followed by Swish (SiLU).

    Args:
        sizes: Numbers of features, one more than there are layers.
        batch_norm: Whether batch normalisation precedes each Swish.
        dropout: Probability of dropout after each Swish.
    """
    layers: list[nn.Module] = []
    for size_in, size_out in itertools.pairwise(sizes):
        layers.append(nn.Linear(size_in, size_out))
        if batch_norm:
            layers.append(nn.BatchNorm1d(size_out))
        layers.append(nn.SiLU())
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)
