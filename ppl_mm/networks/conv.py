"""Convolutional encoders and decoders of images.

A layer is a tuple ``(channels out, kernel, stride, padding)``; a layer of a decoder may have the
output padding as a fifth entry. A kernel, stride or padding is one number for both axes or a pair
``(height, width)``.
"""

import math
from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.networks.layers import (
    Activation,
    Encoder,
    Features,
    activated,
    as_rows,
    dense,
    draw_kaiming,
)
from ppl_mm.networks.scales import ScaleMap

__all__ = ["ConvDecoder", "ConvEncoder", "ConvFeatures"]


def image_shape(network: str, event_shape: Sequence[int]) -> tuple[int, int, int]:
    """Channels, height and width, once there are three numbers."""
    if len(event_shape) != 3:
        raise ValueError(
            f"{network}: expected event_shape (channels, height, width), got {tuple(event_shape)}."
        )
    channels, height, width = event_shape
    return channels, height, width


@typed
class ConvFeatures(Features):
    """Features of an image: convolutions, flattened, then dense layers.

    Args:
        event_shape: The channels, height and width of the image.
        layers: The convolutions, ``(channels, kernel, stride, padding)`` each.
        hidden: The sizes of the dense layers after the convolutions.
        batch_norm: Whether batch normalisation precedes the activation of each convolution
            except the first.
        dropout: The probability of dropout after each dense layer.
        activation: ``"silu"`` (Swish), ``"relu"`` or ``"elu"``, after every layer.
        bias: Whether the convolutions have a bias.
        kaiming: Whether the weights start at :func:`~ppl_mm.networks.layers.draw_kaiming`.
        out_features: The size of one more dense layer, which no activation follows; None for no
            such layer.

    Shapes:
        images (..., *event_shape) to (..., out_features).

    Raises:
        ValueError: If the image is too small for the layers.

    Example:
        >>> import torch
        >>> layers = ((64, 4, 2, 1), (128, 4, 2, 1), (256, 4, 2, 1))
        >>> features = ConvFeatures(event_shape=(1, 14, 28), layers=layers, hidden=())
        >>> features.out_features, features(torch.zeros(5, 1, 14, 28)).shape
        (768, torch.Size([5, 768]))
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        layers: Sequence[Sequence[Any]],
        hidden: Sequence[int] = (512,),
        batch_norm: bool = False,
        dropout: float = 0.0,
        activation: Activation = "silu",
        bias: bool = False,
        kaiming: bool = False,
        out_features: int | None = None,
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        channels, height, width = image_shape("ConvFeatures", event_shape)
        convolutions: list[nn.Module] = []
        for index, (channels_out, *geometry) in enumerate(layers):
            kernel, stride, padding = map(_pair, geometry)
            height, width = (
                (n + 2 * p - k) // s + 1
                for n, k, s, p in zip((height, width), kernel, stride, padding, strict=True)
            )
            if height < 1 or width < 1:
                raise ValueError(
                    f"ConvFeatures: an image of shape {self.event_shape} is too small for "
                    f"layer {index} of {len(layers)}, which leaves {height} x {width} pixels."
                )
            convolutions.append(
                nn.Conv2d(channels, channels_out, kernel, stride, padding, bias=bias)
            )
            if batch_norm and index > 0:
                convolutions.append(nn.BatchNorm2d(channels_out))
            convolutions.append(activated(activation))
            channels = channels_out
        sizes = (channels * height * width, *hidden)
        self.convolutions = nn.Sequential(*convolutions)
        self.hidden = dense(sizes, dropout=dropout, activation=activation)
        self.out_features = sizes[-1] if out_features is None else out_features
        if out_features is not None:
            self.hidden.append(nn.Linear(sizes[-1], out_features))
        if kaiming:
            draw_kaiming(self)

    def forward(self, images: Float[Tensor, "*rows C H W"]) -> Float[Tensor, "*rows F"]:
        """Return the features."""
        rows, leading = as_rows(images, self.event_shape, "ConvFeatures")
        features = self.hidden(self.convolutions(rows).flatten(1))
        return features.reshape(*leading, self.out_features)


@typed
class ConvEncoder(Encoder):
    """An expert q(z | x) of an image: convolutions, then dense layers.

    Args:
        latent_dim: The size D of the latent.
        event_shape, layers, hidden, batch_norm, dropout, activation, bias, kaiming: The options of
            :class:`ConvFeatures`.
        scale, min_scale: The map to a positive scale, see :func:`~ppl_mm.networks.location_scale`.

    Shapes:
        images (..., *event_shape) to loc and scale, each (..., D).

    Source: Wu & Goodman 2018, arXiv:1802.05335, supplement and release: the image encoders of
    FashionMNIST, MultiMNIST, CelebA and the vision experiment. See
    :mod:`ppl_mm.networks.presets` for others.

    Example:
        >>> import torch
        >>> layers = ((64, 4, 2, 1), (128, 4, 2, 1))
        >>> encoder = ConvEncoder(64, event_shape=(1, 28, 28), layers=layers)
        >>> sum(p.numel() for p in encoder.parameters())
        3409536
        >>> encoder(torch.zeros(5, 1, 28, 28))[0].shape
        torch.Size([5, 64])
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        event_shape: Sequence[int],
        layers: Sequence[Sequence[Any]],
        hidden: Sequence[int] = (512,),
        batch_norm: bool = False,
        dropout: float = 0.0,
        activation: Activation = "silu",
        bias: bool = False,
        kaiming: bool = False,
        scale: ScaleMap = "exp",
        min_scale: float | None = None,
    ) -> None:
        features = ConvFeatures(
            event_shape=event_shape,
            layers=layers,
            hidden=hidden,
            batch_norm=batch_norm,
            dropout=dropout,
            activation=activation,
            bias=bias,
            kaiming=kaiming,
        )
        super().__init__(latent_dim, features, scale, min_scale, kaiming=kaiming)


@typed
class ConvDecoder(nn.Module):
    """Logits (or locations) of an image from z: dense layers, then transposed convolutions.

    An activation follows every layer except the last.

    Args:
        in_features: The size of the input, the latent.
        start: The channels, height and width of the first feature map, which the last dense layer
            fills. With None there is no such layer, and the input (or the last of ``hidden``) is a
            map of one pixel.
        layers: The transposed convolutions, ``(channels, kernel, stride, padding)`` each, or with
            the output padding as a fifth number, at least one; the last gives the image's
            channels.
        hidden: The sizes of the dense layers before that of ``start``.
        batch_norm: Whether batch normalisation precedes the activation of each transposed
            convolution.
        activation: ``"silu"`` (Swish), ``"relu"`` or ``"elu"``.
        bias: Whether the transposed convolutions have a bias.
        sigmoid: Whether the image is the sigmoid of the last layer, which is the location of values
            in [0, 1], and not logits.
        kaiming: Whether the weights start at :func:`~ppl_mm.networks.layers.draw_kaiming`.

    Shapes:
        features (..., in_features) to images (..., C, H, W).

    Source: Wu & Goodman 2018, arXiv:1802.05335, supplement and release: the image decoders of
    FashionMNIST, MultiMNIST, CelebA and the vision experiment. See
    :mod:`ppl_mm.networks.presets` for others.

    Example:
        >>> import torch
        >>> layers = ((64, 4, 2, 1), (1, 4, 2, 1))
        >>> decoder = ConvDecoder(64, start=(128, 7, 7), layers=layers, hidden=(512,))
        >>> sum(p.numel() for p in decoder.parameters())
        3382912
        >>> decoder(torch.zeros(3, 5, 64)).shape
        torch.Size([3, 5, 1, 28, 28])
    """

    def __init__(
        self,
        in_features: int,
        *,
        start: Sequence[int] | None,
        layers: Sequence[Sequence[Any]],
        hidden: Sequence[int] = (),
        batch_norm: bool = False,
        activation: Activation = "silu",
        bias: bool = False,
        sigmoid: bool = False,
        kaiming: bool = False,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.sigmoid = sigmoid
        sizes = (in_features, *hidden) + (() if start is None else (math.prod(start),))
        self.start = (sizes[-1], 1, 1) if start is None else tuple(start)
        self.hidden = dense(sizes, activation=activation)
        convolutions: list[nn.Module] = []
        channels = self.start[0]
        for index, layer in enumerate(layers):
            channels_out, *geometry = layer if len(layer) == 5 else (*layer, 0)
            kernel, stride, padding, more = map(_pair, geometry)
            convolutions.append(
                nn.ConvTranspose2d(channels, channels_out, kernel, stride, padding, more, bias=bias)
            )
            if index < len(layers) - 1:
                if batch_norm:
                    convolutions.append(nn.BatchNorm2d(channels_out))
                convolutions.append(activated(activation))
            channels = channels_out
        self.convolutions = nn.Sequential(*convolutions)
        if kaiming:
            draw_kaiming(self)

    def forward(self, features: Float[Tensor, "*rows F"]) -> Float[Tensor, "*rows C H W"]:
        """Return the image's logits or locations."""
        rows, leading = as_rows(features, (self.in_features,), "ConvDecoder")
        images = self.convolutions(self.hidden(rows).unflatten(1, self.start))
        if self.sigmoid:
            images = images.sigmoid()
        return images.reshape(*leading, *images.shape[1:])


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    """Return (height, width) of a pair, or of one number for both."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width
