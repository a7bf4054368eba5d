"""Residual convolutional encoder and decoder of images, without batch normalisation.

The block from a to b channels, with h = min(a, b) and the leaky ReLU f of slope 0.2,

    block(x) = shortcut(x) + 0.1 conv_{h -> b}(f(conv_{a -> h}(f(x))))

has 3 x 3 convolutions; the shortcut is x itself, or a 1 x 1 convolution without bias if a != b.
"""

import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ppl_mm.arguments.typed import typed
from ppl_mm.networks.conv import image_shape
from ppl_mm.networks.layers import Encoder, Features, as_rows
from ppl_mm.networks.scales import ScaleMap

__all__ = ["ResidualDecoder", "ResidualEncoder", "ResidualFeatures"]

_SLOPE = 0.2
_BRANCH_WEIGHT = 0.1


@typed
class ResidualFeatures(Features):
    """Features of an image: residual blocks between average poolings, flattened.

    A 3 x 3 convolution to ``channels`` and a block come first. Then an average pooling (3 x 3,
    stride 2, padding 1, which rounds half the size up) and a block to twice the channels, at most
    ``max_channels``, follow ``num_pools`` times.

    Args:
        event_shape: The channels, height and width of the image.
        channels: The number of channels at full size.
        max_channels: The number at which the doubling ends.
        num_pools: The number of poolings.

    Shapes:
        images (..., *event_shape) to (..., out_features).

    Example:
        >>> import torch
        >>> features = ResidualFeatures(event_shape=(3, 28, 28))
        >>> features.out_features, features(torch.zeros(5, 3, 28, 28)).shape
        (12544, torch.Size([5, 12544]))
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        channels: int = 64,
        max_channels: int = 256,
        num_pools: int = 2,
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        channels_in, height, width = image_shape("ResidualFeatures", event_shape)
        widths = _widths(channels, max_channels, num_pools)
        self.first = nn.Conv2d(channels_in, channels, 3, padding=1)
        self.blocks = nn.Sequential(_Block(channels, channels))
        for size_in, size_out in itertools.pairwise(widths):
            self.blocks.extend([nn.AvgPool2d(3, stride=2, padding=1), _Block(size_in, size_out)])
            height, width = (height + 1) // 2, (width + 1) // 2
        self.out_features = widths[-1] * height * width

    def forward(self, images: Float[Tensor, "*rows C H W"]) -> Float[Tensor, "*rows F"]:
        """Return the features."""
        rows, leading = as_rows(images, self.event_shape, "ResidualFeatures")
        features = self.blocks(self.first(_channels_last(rows)))
        return features.reshape(*leading, self.out_features)


@typed
class ResidualEncoder(Encoder):
    """An expert q(z | x) of an image: residual blocks between average poolings, one linear head.

    A modality with a shared and a private latent has one such network for each.

    Args:
        latent_dim: The size D of the latent.
        event_shape, channels, max_channels, num_pools: The options of :class:`ResidualFeatures`.
        scale, min_scale: The map to a positive scale, see :func:`~ppl_mm.networks.location_scale`.

    Shapes:
        images (..., *event_shape) to loc and scale, each (..., D).

    Source: Palumbo, Daunhawer & Vogt 2023, MMVAE+, release: PolyMNIST, and the CUB image with
    ``num_pools=5``.

    Example:
        >>> import torch
        >>> encoder = ResidualEncoder(32, event_shape=(3, 28, 28))
        >>> sum(p.numel() for p in encoder.parameters())
        1473024
        >>> encoder(torch.zeros(5, 3, 28, 28))[0].shape
        torch.Size([5, 32])
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        event_shape: Sequence[int],
        channels: int = 64,
        max_channels: int = 256,
        num_pools: int = 2,
        scale: ScaleMap = "softmax",
        min_scale: float | None = None,
    ) -> None:
        features = ResidualFeatures(
            event_shape=event_shape,
            channels=channels,
            max_channels=max_channels,
            num_pools=num_pools,
        )
        super().__init__(latent_dim, features, scale, min_scale)


@typed
class ResidualDecoder(nn.Module):
    """Locations of an image from z: a linear layer, then residual blocks between upsamplings.

    The decoder mirrors the encoder. The linear layer fills ``max_channels`` (or fewer) channels of
    the smallest size. Then a block to the next smaller number of channels and an upsampling to
    twice the size (nearest neighbour) follow ``num_pools`` times. A block, leaky ReLU and a 3 x 3
    convolution give the image, which no activation follows.

    Args:
        in_features: The size of the input, the latents together.
        event_shape: The channels, height and width of the image; 2^num_pools divides both sizes.
        channels: The number of channels at full size.
        max_channels: The number at which their doubling towards the smaller sizes ends.
        num_pools: The number of upsamplings.

    Shapes:
        features (..., in_features) to images (..., *event_shape).

    Raises:
        ValueError: If 2^num_pools does not divide the image's height and width.

    Source: Palumbo, Daunhawer & Vogt 2023, MMVAE+, release: PolyMNIST, and the CUB image with
    ``num_pools=5``.

    Example:
        >>> import torch
        >>> decoder = ResidualDecoder(64, event_shape=(3, 28, 28))
        >>> sum(p.numel() for p in decoder.parameters())
        1485251
        >>> decoder(torch.zeros(3, 5, 64)).shape
        torch.Size([3, 5, 3, 28, 28])
    """

    def __init__(
        self,
        in_features: int,
        *,
        event_shape: Sequence[int],
        channels: int = 64,
        max_channels: int = 256,
        num_pools: int = 2,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        channels_out, height, width = image_shape("ResidualDecoder", event_shape)
        factor = 2**num_pools
        if height % factor or width % factor:
            raise ValueError(
                f"ResidualDecoder: expected an image whose height and width are multiples of "
                f"2^num_pools = {factor}, got {height} x {width}."
            )
        widths = _widths(channels, max_channels, num_pools)[::-1]
        self.start = (widths[0], height // factor, width // factor)
        self.first = nn.Linear(in_features, widths[0] * self.start[1] * self.start[2])
        self.blocks = nn.Sequential()
        for size_in, size_out in itertools.pairwise(widths):
            self.blocks.extend([_Block(size_in, size_out), nn.Upsample(scale_factor=2)])
        self.blocks.append(_Block(channels, channels))
        self.last = nn.Conv2d(channels, channels_out, 3, padding=1)

    def forward(self, features: Float[Tensor, "*rows F"]) -> Float[Tensor, "*rows C H W"]:
        """Return the image's locations."""
        rows, leading = as_rows(features, (self.in_features,), "ResidualDecoder")
        maps = self.blocks(_channels_last(self.first(rows).unflatten(1, self.start)))
        images = self.last(F.leaky_relu(maps, _SLOPE))
        return images.reshape(*leading, *images.shape[1:])


class _Block(nn.Module):
    """The residual block of the module's formula."""

    def __init__(self, size_in: int, size_out: int) -> None:
        super().__init__()
        size = min(size_in, size_out)
        self.first = nn.Conv2d(size_in, size, 3, padding=1)
        self.second = nn.Conv2d(size, size_out, 3, padding=1)
        self.shortcut: nn.Module = nn.Identity()
        if size_in != size_out:
            self.shortcut = nn.Conv2d(size_in, size_out, 1, bias=False)

    def forward(self, maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C_out H W"]:
        """Map (N, size_in, height, width) to (N, size_out, height, width)."""
        hidden = self.first(F.leaky_relu(maps, _SLOPE))
        branch = self.second(F.leaky_relu(hidden, _SLOPE, inplace=True))
        return torch.add(self.shortcut(maps), branch, alpha=_BRANCH_WEIGHT)


def _widths(channels: int, max_channels: int, num_pools: int) -> list[int]:
    """Return the channels at each size, from the full size down; the first is never capped."""
    return [channels] + [min(channels * 2**i, max_channels) for i in range(1, num_pools + 1)]


def _channels_last(maps: Tensor) -> Tensor:
    """Lay out the channels of a pixel side by side in memory, where convolutions are fastest."""
    return maps.contiguous(memory_format=torch.channels_last)
