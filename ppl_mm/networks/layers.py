"""The parts of all networks: leading dimensions, dense layers, trunks and encoders."""

import itertools
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Bool, Shaped
from torch import Tensor, nn

from ppl_mm.networks.scales import LocationScale, LocScale, ScaleMap

__all__ = [
    "Activation",
    "Encoder",
    "Features",
    "activated",
    "as_rows",
    "dense",
    "draw_kaiming",
    "draw_normal",
]

Activation = Literal["silu", "relu", "elu", "softplus", "tanh"]


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
