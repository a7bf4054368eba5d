"""Convolutional encoder and decoder of captions, whose T embedded words are an image 1 x T x E.

A sequence is halved three times with its embedding (4 x 4 convolutions, stride 2), then the
embedding alone twice more (1 x 4, stride 1 x 2): 32 words of embedding 128 become maps of 4 x 4.
"""

from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from ppl_mm.arguments.typed import typed
from ppl_mm.networks.layers import Encoder, Features, as_rows
from ppl_mm.networks.scales import ScaleMap

__all__ = ["CaptionDecoder", "CaptionEncoder", "CaptionFeatures"]

_Size = int | tuple[int, int]
_BOTH: tuple[_Size, _Size, _Size] = (4, 2, 1)  # kernel, stride, padding: both sizes change
_WORDS: tuple[_Size, _Size, _Size] = ((1, 4), (1, 2), (0, 1))  # the embedding's size only


@typed
class CaptionFeatures(Features):
    """Features of a caption: embedding and convolutions, flattened.

    Batch normalisation and ReLU follow every convolution. Captions are integer symbols, or
    floating-point weights of the symbols, such as one-hot rows, since the embedding is linear.

    Args:
        length: The number T of words, a multiple of 8.
        vocab_size: The number V of symbols.
        embedding: The size E of a word's embedding, a multiple of 32.
        channels: The number of channels of the first convolution; each of the next doubles it.
        max_channels: The number at which the doubling ends; None if it does not end.
        tower: ``"private"`` for the three convolutions that halve both sizes; ``"shared"`` for the
            two that halve the embedding's size as well. A modality with both latents has one
            network of each kind.

    Shapes:
        integer captions (..., T), or floating-point (..., T, V), to (..., out_features).

    Raises:
        ValueError: If ``tower`` is unknown, or a size cannot be halved as often.

    Example:
        >>> import torch
        >>> features = CaptionFeatures(length=32, vocab_size=1590, max_channels=128)
        >>> features.out_features, features(torch.zeros(5, 32, dtype=torch.long)).shape
        (2048, torch.Size([5, 2048]))
    """

    def __init__(
        self,
        *,
        length: int = 32,
        vocab_size: int = 1590,
        embedding: int = 128,
        channels: int = 32,
        max_channels: int | None = None,
        tower: Literal["shared", "private"] = "shared",
    ) -> None:
        super().__init__()
        height, width = _smallest("CaptionFeatures", length, embedding)
        self.length = length
        self.embedding = nn.Linear(vocab_size, embedding)
        geometries = [_BOTH] * 3 + ([_WORDS] * 2 if tower == "shared" else [])
        width = width if tower == "shared" else 4 * width
        self.convolutions = nn.Sequential()
        size_in, size_out = 1, channels
        for kernel, stride, padding in geometries:
            convolution = nn.Conv2d(size_in, size_out, kernel, stride, padding, bias=False)
            self.convolutions.extend(_normalised(convolution, size_out))
            size_in, size_out = size_out, min(2 * size_out, max_channels or 2 * size_out)
        self.out_features = size_in * height * width

    def forward(self, captions: Shaped[Tensor, "..."]) -> Float[Tensor, "*rows F"]:
        """Return the features."""
        weight, bias = self.embedding.weight, self.embedding.bias
        if captions.is_floating_point():
            event_shape = (self.length, weight.shape[1])
            rows, leading = as_rows(captions, event_shape, "CaptionFeatures, one-hot captions")
            embedded = self.embedding(rows.to(weight.dtype))
        else:
            rows, leading = as_rows(captions, (self.length,), "CaptionFeatures")
            embedded = F.embedding(rows.long(), weight.t()) + bias
        features = self.convolutions(embedded.unsqueeze(1))
        return features.reshape(*leading, self.out_features)


@typed
class CaptionEncoder(Encoder):
    """An expert q(z | x) of a caption: embedding, convolutions, one linear head.

    Args:
        latent_dim: The size D of the latent.
        length, vocab_size, embedding, channels, max_channels, tower: The options of
            :class:`CaptionFeatures`.
        scale, min_scale: The map to a positive scale, see :func:`~ppl_mm.networks.location_scale`.

    Shapes:
        integer captions (..., T), or floating-point (..., T, V), to loc and scale, each (..., D).

    Raises:
        ValueError: If ``tower`` is unknown, or a size cannot be halved as often.

    Source: Palumbo, Daunhawer & Vogt 2023, MMVAE+, release: the CUB captions. Differs: each tower
    has its own embedding, while the release shares it. A convolution before batch normalisation has
    no bias, which would have no effect.

    Example:
        >>> import torch
        >>> encoder = CaptionEncoder(48, length=32, vocab_size=1590, scale="softplus")
        >>> encoder(torch.zeros(5, 32, dtype=torch.long))[0].shape
        torch.Size([5, 48])
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        length: int = 32,
        vocab_size: int = 1590,
        embedding: int = 128,
        channels: int = 32,
        max_channels: int | None = None,
        tower: Literal["shared", "private"] = "shared",
        scale: ScaleMap = "exp",
        min_scale: float | None = None,
    ) -> None:
        features = CaptionFeatures(
            length=length,
            vocab_size=vocab_size,
            embedding=embedding,
            channels=channels,
            max_channels=max_channels,
            tower=tower,
        )
        super().__init__(latent_dim, features, scale, min_scale)


@typed
class CaptionDecoder(nn.Module):
    """Logits of a caption's words from (u, w), the shared latent first and the private one last.

    Each of the two starts as a map of one pixel and grows in its own stack of transposed
    convolutions, the embedding's size first; the stack of u has one more layer. Their channels are
    joined and grow to 1 x T x E, and a linear layer gives every word's logits. Batch normalisation
    and ReLU follow every convolution except the last, which only ReLU follows.

    Args:
        in_features: The size of u and w together.
        private_features: The size of w, the last of the input.
        length: The number T of words, a multiple of 8.
        vocab_size: The number V of symbols.
        embedding: The size E of a word's embedding, a multiple of 32.
        channels: The number of channels before the last convolution; the stacks begin with 16 times
            as many.

    Shapes:
        features (..., in_features) to logits (..., T, V).

    Raises:
        ValueError: If u or w has no features, or a size cannot be doubled as often.

    Source: Palumbo, Daunhawer & Vogt 2023, MMVAE+, release: the CUB captions. Differs: the
    decoder gives logits, and the likelihood takes the softmax. A convolution before batch
    normalisation has no bias, which would have no effect.

    Example:
        >>> import torch
        >>> decoder = CaptionDecoder(64, private_features=16, length=32, vocab_size=1590)
        >>> decoder(torch.zeros(3, 5, 64)).shape
        torch.Size([3, 5, 32, 1590])
    """

    def __init__(
        self,
        in_features: int,
        *,
        private_features: int = 16,
        length: int = 32,
        vocab_size: int = 1590,
        embedding: int = 128,
        channels: int = 32,
    ) -> None:
        super().__init__()
        if not 0 < private_features < in_features:
            raise ValueError(
                "CaptionDecoder: expected private_features above 0 and below in_features = "
                f"{in_features}, the size of u and w together, got {private_features}."
            )
        start = _smallest("CaptionDecoder", length, embedding)
        self.in_features = in_features
        self.sizes = (in_features - private_features, private_features)
        self.shared = _stack(self.sizes[0], start, channels, extra=True)
        self.private = _stack(self.sizes[1], start, channels, extra=False)
        self.convolutions = nn.Sequential(
            *_normalised(nn.Conv2d(8 * channels, 4 * channels, 3, 1, 1, bias=False), 4 * channels),
            *_grown(4 * channels, 2 * channels, _BOTH),
            *_grown(2 * channels, channels, _BOTH),
            nn.ConvTranspose2d(channels, 1, *_BOTH),
            nn.ReLU(),
        )
        self.output = nn.Linear(embedding, vocab_size)

    def forward(self, features: Float[Tensor, "*rows F"]) -> Float[Tensor, "*rows T V"]:
        """Return the logits of every position."""
        rows, leading = as_rows(features, (self.in_features,), "CaptionDecoder")
        u, w = rows[:, :, None, None].split(self.sizes, dim=1)
        maps = torch.cat([self.shared(u), self.private(w)], dim=1)
        logits = self.output(self.convolutions(maps).squeeze(1))
        return logits.reshape(*leading, *logits.shape[1:])


def _stack(size_in: int, start: tuple[int, int], channels: int, *, extra: bool) -> nn.Sequential:
    """Map (N, size_in, 1, 1) to (N, 4 channels, height, 4 width); (height, width) is start."""
    stack = nn.Sequential(
        *_grown(size_in, 16 * channels, (start, 1, 0)),
        *_grown(16 * channels, 8 * channels, _WORDS),
    )
    if extra:
        same = nn.Conv2d(8 * channels, 8 * channels, 3, 1, 1, bias=False)
        stack.extend(_normalised(same, 8 * channels))
    return stack.extend(_grown(8 * channels, 4 * channels, _WORDS))


def _grown(size_in: int, size_out: int, geometry: tuple[_Size, _Size, _Size]) -> nn.Sequential:
    kernel, stride, padding = geometry
    convolution = nn.ConvTranspose2d(size_in, size_out, kernel, stride, padding, bias=False)
    return _normalised(convolution, size_out)


def _normalised(convolution: nn.Module, channels: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())


def _smallest(owner: str, length: int, embedding: int) -> tuple[int, int]:
    """Return the height and width of the smallest map."""
    if length % 8 or embedding % 32:
        raise ValueError(
            f"{owner}: expected a length that is a multiple of 8 and an embedding of 32, "
            f"got {length} and {embedding}."
        )
    return length // 8, embedding // 32
