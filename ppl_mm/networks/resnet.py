"""Residual classifier of images with batch normalisation: ResNet-18 and smaller ones.

The block from a to b channels, with n batch normalisation and f = max(0, .),

    block(x) = f(shortcut(x) + n(conv_{b -> b}(f(n(conv_{a -> b}(x))))))

has 3 x 3 convolutions without bias, and the first has the block's stride. The shortcut is x itself,
or n of a 1 x 1 convolution with that stride if the shape changes.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ppl_mm.arguments.typed import typed
from ppl_mm.networks.layers import as_rows

__all__ = ["ResNet"]


@typed
class ResNet(nn.Module):
    """Logits of an image's class: a first convolution, residual blocks, their mean over pixels.

    Args:
        event_shape: The channels, height and width of the image.
        num_classes: The number C of classes.
        widths: The channels of the stages. Every stage except the first halves height and width.
        blocks: The number of residual blocks of a stage.
        stem: The first convolution, of stride 2: ``"3x3"``, or ``"7x7"`` with a 3 x 3 max-pooling
            of stride 2 after it.

    Shapes:
        images (..., *event_shape) to logits (..., C).

    Raises:
        ValueError: If ``stem`` is unknown, or there is no stage or no block.

    Source: He, Zhang, Ren & Sun 2015, arXiv:1512.03385, table 1: ResNet-18 has ``widths=(64, 128,
    256, 512), blocks=2, stem="7x7"``. Kutuzova et al. 2020 (SVAE), release: the oracle of
    MNIST-Split, with one input channel.

    Example:
        >>> import torch
        >>> oracle = ResNet((1, 28, 28)).eval()
        >>> images = torch.zeros(5, 1, 28, 28)
        >>> oracle(images).shape, oracle.features(images).shape
        (torch.Size([5, 10]), torch.Size([5, 128]))
        >>> oracle = ResNet((1, 28, 28), 10, widths=(64, 128, 256, 512), blocks=2, stem="7x7")
        >>> sum(p.numel() for p in oracle.parameters())
        11175370
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        num_classes: int = 10,
        *,
        widths: Sequence[int] = (32, 64, 128),
        blocks: int = 1,
        stem: Literal["3x3", "7x7"] = "3x3",
    ) -> None:
        super().__init__()
        if not widths or blocks < 1:
            raise ValueError(
                f"ResNet: expected at least one width and one block, got widths {tuple(widths)} "
                f"and {blocks} blocks."
            )
        self.event_shape = tuple(event_shape)
        kernel = 3 if stem == "3x3" else 7
        channels = widths[0]
        self.stem = nn.Sequential(*_normalised(self.event_shape[0], channels, kernel, 2), nn.ReLU())
        if stem == "7x7":
            self.stem.append(nn.MaxPool2d(3, stride=2, padding=1))
        self.blocks = nn.Sequential()
        for stage, width in enumerate(widths):
            for block in range(blocks):
                self.blocks.append(_Block(channels, width, 2 if stage > 0 and block == 0 else 1))
                channels = width
        self.output = nn.Linear(channels, num_classes)

    def forward(self, images: Float[Tensor, "*rows C H W"]) -> Float[Tensor, "*rows classes"]:
        """Return the logits."""
        return self.output(self.features(images))

    def features(self, images: Float[Tensor, "*rows C H W"]) -> Float[Tensor, "*rows F"]:
        """Return the last hidden layer, (..., widths[-1]), from 0 upwards."""
        rows, leading = as_rows(images, self.event_shape, "ResNet")
        maps = self.stem(rows).contiguous(memory_format=torch.channels_last)  # faster convolutions
        features = self.blocks(maps).mean((2, 3))
        return features.reshape(*leading, features.shape[-1])


class _Block(nn.Module):
    """The residual block of the module's formula."""

    def __init__(self, size_in: int, size_out: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *_normalised(size_in, size_out, 3, stride), nn.ReLU(), *_normalised(size_out, size_out)
        )
        self.shortcut: nn.Module = nn.Identity()
        if size_in != size_out or stride > 1:
            self.shortcut = nn.Sequential(*_normalised(size_in, size_out, 1, stride))

    def forward(self, maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C_out H_out W_out"]:
        """Map (N, size_in, height, width) to (N, size_out, height / stride, width / stride)."""
        return F.relu(self.shortcut(maps) + self.branch(maps))


def _normalised(size_in: int, size_out: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Return a convolution with padding for its kernel, and batch normalisation."""
    convolution = nn.Conv2d(size_in, size_out, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(size_out)]
