"""The parts of all networks: leading dimensions, dense layers, and the encoders' output."""

import itertools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "Activation",
    "Encoder",
    "Features",
    "LocScale",
    "LocationScale",
    "ScaleMap",
    "activated",
    "as_rows",
    "dense",
    "draw_kaiming",
    "draw_normal",
    "location_scale",
]

LocScale = tuple[Float[Tensor, "*rows Z"], Float[Tensor, "*rows Z"]]
"""loc and scale of an expert, of the same shape."""

Activation = Literal["silu", "relu", "elu", "softplus", "tanh"]
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


class Features(nn.Module):
    """Features of a modality's values: the trunk of an encoder, or of a joint network.

    A module from values (..., *event_shape) to (..., out_features).

    Attributes:
        out_features: The number of features.
        reads_elements: Whether it takes a second argument, which elements are observed: booleans of
            the shape of the values, whose missing elements are zeros.
        reads_covariates: Name -> the number of classes or columns of the covariates that it takes
            as a further argument, ``covariates={name: tensor}``.
    """

    out_features: int
    reads_elements: bool = False
    reads_covariates: Mapping[str, int] = MappingProxyType({})


class Encoder(nn.Module):
    """An expert q(z | x): features of x, then one linear layer.

        loc, scale = location_scale(W features(x) + b)

    Args:
        latent_dim: The size D of the latent.
        features: The trunk of the encoder.
        scale, min_scale: The map to a positive scale, see :func:`location_scale`.
        kaiming: Whether the linear layer starts at :func:`draw_kaiming`.

    Shapes:
        values (..., *event_shape) to loc and scale, each (..., D).
    """

    def __init__(
        self,
        latent_dim: int,
        features: Features,
        scale: ScaleMap = "exp",
        min_scale: float | None = None,
        *,
        kaiming: bool = False,
    ) -> None:
        super().__init__()
        self.features = features
        self.head = nn.Linear(features.out_features, 2 * latent_dim)
        self.location_scale = LocationScale(scale, min_scale)
        if kaiming:
            draw_kaiming(self.head)

    @property
    def reads_elements(self) -> bool:
        """Whether the features ask which elements are observed."""
        return self.features.reads_elements

    @property
    def reads_covariates(self) -> Mapping[str, int]:
        """The covariates that the features read."""
        return self.features.reads_covariates

    def forward(
        self,
        values: Shaped[Tensor, "*rows_D"],
        *elements: Bool[Tensor, "*rows_D"],
        covariates: Mapping[str, Shaped[Tensor, "..."]] | None = None,
    ) -> LocScale:
        """Return the expert's (loc, scale); ``elements`` says which are observed, if not all."""
        options = {} if covariates is None else {"covariates": covariates}
        features = self.features(values, *elements, **options).to(self.head.weight.dtype)
        rows, leading = as_rows(features, (self.features.out_features,), "Encoder")
        return self.location_scale(self.head(rows), leading)


def as_rows(
    values: Shaped[Tensor, "..."], event_shape: Sequence[int], owner: str
) -> tuple[Shaped[Tensor, "N ..."], torch.Size]:
    """Flatten the leading dimensions of ``values`` into one.

    Args:
        values: The values (..., *event_shape), with any number of leading dimensions.
        event_shape: The shape that one row must have.
        owner: The name of the network, for the message.

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


def dense(
    sizes: Sequence[int],
    *,
    batch_norm: bool = False,
    dropout: float = 0.0,
    activation: Activation = "silu",
) -> nn.Sequential:
    """Build linear layers from ``sizes[0]`` to ``sizes[-1]`` features, with activations.

    An activation follows each layer.

    Args:
        sizes: The numbers of features, one more than there are layers.
        batch_norm: Whether batch normalisation precedes each activation.
        dropout: The probability of dropout after each activation.
        activation: ``"silu"`` (Swish), ``"relu"``, ``"elu"``, ``"softplus"`` or ``"tanh"``.
    """
    layers: list[nn.Module] = []
    for size_in, size_out in itertools.pairwise(sizes):
        layers.append(nn.Linear(size_in, size_out))
        if batch_norm:
            layers.append(nn.BatchNorm1d(size_out))
        layers.append(activated(activation))
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


def activated(activation: Activation) -> nn.Module:
    """Return the module of an activation's name; raise ValueError for an unknown one."""
    match activation:
        case "silu":
            return nn.SiLU()
        case "relu":
            return nn.ReLU()
        case "elu":
            return nn.ELU()
        case "softplus":
            return nn.Softplus()
        case "tanh":
            return nn.Tanh()
    raise ValueError(
        f"activation: expected 'silu', 'relu', 'elu', 'softplus' or 'tanh', got {activation!r}."
    )


@torch.no_grad()
def draw_kaiming(network: nn.Module) -> None:
    """Draw the weights of linear layers and convolutions from Normal(0, 2 / fan-in); biases are 0.

    The fan-in is that of :func:`torch.nn.init.kaiming_normal_`.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@torch.no_grad()
def draw_normal(network: nn.Module, scale: float) -> None:
    """Draw the weights of linear layers and convolutions from Normal(0, scale^2); biases are 0.

    Raises:
        ValueError: For a scale that is not above 0.
    """
    if not 0 < scale < math.inf:
        raise ValueError(f"scale of the weights: expected a number above 0, got {scale!r}.")
    for module in network.modules():
        if isinstance(
            module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d | nn.ConvTranspose2d
        ):
            nn.init.normal_(module.weight, std=scale)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
