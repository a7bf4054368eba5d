"""Classifiers of modalities, which measures of coherence use."""

import math
from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from ppl_mm.arguments.typed import typed
from ppl_mm.networks.layers import Features, as_rows

__all__ = ["ImageClassifier", "TrunkClassifier"]


@typed
class ImageClassifier(nn.Module):
    """Logits of an image's class: two convolutions (10 and 20 channels) and two linear layers.

    Args:
        event_shape: The channels, height and width of the image.
        num_classes: The number C of classes.
        arch: ``"strided"`` for 4 x 4 convolutions of stride 2 and 128 hidden features (PolyMNIST);
            ``"pooled"`` for 5 x 5 convolutions, each before a 2 x 2 max-pooling, and 50 hidden
            features (MNIST, SVHN).
        dropout: The probability of dropout in training, of whole channels after the convolutions
            (in ``"pooled"`` after the second only) and of hidden features.

    Shapes:
        images (..., *event_shape) to logits (..., C).

    Raises:
        ValueError: If ``arch`` is unknown, or the image is too small for the layers.

    Source: Palumbo, Daunhawer & Vogt 2023, MMVAE+, release: the digit classifiers of PolyMNIST
    and MNIST-SVHN.

    Example:
        >>> import torch
        >>> classifier = ImageClassifier((3, 28, 28), 10).eval()
        >>> sum(p.numel() for p in classifier.parameters())
        130568
        >>> images = torch.zeros(5, 3, 28, 28)
        >>> classifier(images).shape, classifier.features(images).shape
        (torch.Size([5, 10]), torch.Size([5, 128]))
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        num_classes: int = 10,
        *,
        arch: Literal["strided", "pooled"] = "strided",
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        channels, *sizes = self.event_shape
        if arch == "strided":
            sizes = [n // 2 // 2 for n in sizes]
            layers = [nn.Conv2d(channels, 10, 4, 2, 1), nn.Dropout2d(dropout), nn.ReLU()]
            layers += [nn.Conv2d(10, 20, 4, 2, 1), nn.Dropout2d(dropout), nn.ReLU()]
        else:
            sizes = [((n - 4) // 2 - 4) // 2 for n in sizes]
            layers = [nn.Conv2d(channels, 10, 5), nn.MaxPool2d(2), nn.ReLU()]
            layers += [nn.Conv2d(10, 20, 5), nn.Dropout2d(dropout), nn.MaxPool2d(2), nn.ReLU()]
        if min(sizes) < 1:
            raise ValueError(f"ImageClassifier: {self.event_shape} is too small for {arch!r}.")
        num_features = 128 if arch == "strided" else 50
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Linear(20 * math.prod(sizes), num_features)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(num_features, num_classes)

    def forward(self, images: Float[Tensor, "*rows C H W"]) -> Float[Tensor, "*rows classes"]:
        """Return the logits."""
        return self.output(self.dropout(self.features(images)))

    def features(self, images: Float[Tensor, "*rows C H W"]) -> Float[Tensor, "*rows F"]:
        """Return the last hidden layer, (..., 128) or (..., 50), from 0 upwards."""
        rows, leading = as_rows(images, self.event_shape, "ImageClassifier")
        features = F.relu(self.hidden(self.convolutions(rows).flatten(1)))
        return features.reshape(*leading, features.shape[-1])


class TrunkClassifier(nn.Module):
    """Logits of the class of any modality's value: a trunk, then one linear layer.

    Args:
        trunk: The features of the values.
        num_classes: The number C of classes.

    Shapes:
        values (..., *event_shape) to logits (..., C).

    Source: Mancisidor et al. 2023 (CMMD), section 4.3.2: the classifiers of MNIST-SVHN-Text, with
    the trunks of tables H.3 to H.5.

    Example:
        >>> import torch
        >>> from ppl_mm.networks import presets
        >>> classifier = TrunkClassifier(presets.cmmd_text_features(), 10)
        >>> strings = torch.zeros(5, 8, dtype=torch.long)
        >>> classifier(strings).shape, classifier.features(strings).shape
        (torch.Size([5, 10]), torch.Size([5, 128]))
    """

    def __init__(self, trunk: Features, num_classes: int = 10) -> None:
        super().__init__()
        self.trunk = trunk
        self.output = nn.Linear(trunk.out_features, num_classes)

    def forward(self, values: Shaped[Tensor, "*rows_D"]) -> Float[Tensor, "*rows classes"]:
        """Return the logits."""
        return self.output(self.features(values))

    def features(self, values: Shaped[Tensor, "*rows_D"]) -> Float[Tensor, "*rows F"]:
        """Return the trunk's features."""
        features: Tensor = self.trunk(values)
        return features
