"""Convolutional encoders and decoders of images.

A layer is a tuple ``(channels out, kernel, stride, padding)``, square throughout, without bias.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from ppl_mm.networks.layers import as_rows, dense, location_scale

__all__ = ["ConvDecoder", "ConvEncoder"]


class ConvEncoder(nn.Module):
    """A Gaussian expert q(z | x) of an image: convolutions, then dense layers, all with Swish.

    Args:
        latent_dim: Size D of the latent.
        event_shape: Channels, height and width of the image.
        layers: The convolutions, ``(channels, kernel, stride, padding)`` each.
        hidden: Sizes of the dense layers between the convolutions and the head.
        batch_norm: Whether batch normalisation precedes the Swish of each convolution but the
            first.
        dropout: Probability of dropout after each dense layer.

    Shapes:
        images (..., *event_shape) to loc and scale, each (..., D).

    Raises:
        ValueError: If the image is too small for the layers.

    Source: Wu & Goodman 2018, arXiv:1802.05335, supplement and release: the image encoders of
    FashionMNIST, MultiMNIST, CelebA and the vision experiment, see :mod:`ppl_mm.networks.presets`.

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
        layers: Sequence[Sequence[int]],
        hidden: Sequence[int] = (512,),
        batch_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        channels, height, width = self.event_shape
        convolutions: list[nn.Module] = []
        for index, (channels_out, kernel, stride, padding) in enumerate(layers):
            height, width = ((n + 2 * padding - kernel) // stride + 1 for n in (height, width))
            if height < 1 or width < 1:
                raise ValueError(
                    f"ConvEncoder: an image of shape {self.event_shape} is too small for "
                    f"layer {index} of {len(layers)}, which leaves {height} x {width} pixels."
                )
            convolutions.append(
                nn.Conv2d(channels, channels_out, kernel, stride, padding, bias=False)
            )
            if batch_norm and index > 0:
                convolutions.append(nn.BatchNorm2d(channels_out))
            convolutions.append(nn.SiLU())
            channels = channels_out
        sizes = (channels * height * width, *hidden)
        self.convolutions = nn.Sequential(*convolutions)
        self.hidden = dense(sizes, dropout=dropout)
        self.head = nn.Linear(sizes[-1], 2 * latent_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The expert's (loc, scale)."""
        rows, leading = as_rows(images, self.event_shape, "ConvEncoder")
        raw = self.head(self.hidden(self.convolutions(rows).flatten(1)))
        return location_scale(raw.reshape(*leading, raw.shape[-1]))


class ConvDecoder(nn.Module):
    """Logits (or locations) of an image from z: dense layers, then transposed convolutions.

    Swish follows every layer but the last.

    Args:
        in_features: Size of the input, the latent.
        start: Channels, height and width of the first feature map; the last dense layer fills it.
        layers: The transposed convolutions, ``(channels, kernel, stride, padding)`` each, at
            least one; the last gives the image's channels.
        hidden: Sizes of the dense layers before that of ``start``.
        batch_norm: Whether batch normalisation precedes the Swish of each transposed convolution.

    Shapes:
        features (..., in_features) to images (..., C, H, W).

    Source: Wu & Goodman 2018, arXiv:1802.05335, supplement and release: the image decoders of
    FashionMNIST, MultiMNIST, CelebA and the vision experiment, see :mod:`ppl_mm.networks.presets`.

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
        start: Sequence[int],
        layers: Sequence[Sequence[int]],
        hidden: Sequence[int] = (),
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.start = tuple(start)
        self.hidden = dense((in_features, *hidden, math.prod(self.start)))
        convolutions: list[nn.Module] = []
        channels = self.start[0]
        for index, (channels_out, kernel, stride, padding) in enumerate(layers):
            convolutions.append(
                nn.ConvTranspose2d(channels, channels_out, kernel, stride, padding, bias=False)
            )
            if index < len(layers) - 1:
                if batch_norm:
                    convolutions.append(nn.BatchNorm2d(channels_out))
                convolutions.append(nn.SiLU())
            channels = channels_out
        self.convolutions = nn.Sequential(*convolutions)

    def forward(self, features: Tensor) -> Tensor:
        """The image's logits or locations."""
        rows, leading = as_rows(features, (self.in_features,), "ConvDecoder")
        images = self.convolutions(self.hidden(rows).unflatten(1, self.start))
        return images.reshape(*leading, *images.shape[1:])
