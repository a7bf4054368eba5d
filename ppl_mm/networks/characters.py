"""Convolutional encoder and decoder of a string of 8 characters out of V.

The string is read as a sequence of 8 positions with V channels, one-hot.
"""

from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.networks.layers import Encoder, Features, as_rows
from ppl_mm.networks.scales import ScaleMap
from ppl_mm.programs.features import one_hot

__all__ = ["LENGTH", "CharacterDecoder", "CharacterEncoder", "CharacterFeatures"]

LENGTH = 8
"""The number T of characters."""


@typed
class CharacterFeatures(Features):
    """Features of a string: three convolutions along it, 8 -> 8 -> 4 -> 1 positions, with ReLU.

    Strings are integer symbols, or floating-point weights of the symbols, such as one-hot rows.

    Args:
        vocab_size: The number V of symbols.
        channels: The number of channels of each convolution, and of features.

    Shapes:
        integer strings (..., 8), or floating-point (..., 8, V), to (..., channels).

    Example:
        >>> import torch
        >>> features = CharacterFeatures(vocab_size=71)
        >>> features.out_features, features(torch.zeros(5, 8, dtype=torch.long)).shape
        (128, torch.Size([5, 128]))
    """

    def __init__(self, *, vocab_size: int = 71, channels: int = 128) -> None:
        super().__init__()
        self.vocab_size = vocab_size
        self.out_features = channels
        self.convolutions = nn.Sequential(
            nn.Conv1d(vocab_size, channels, 1),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 4, 2, 1),
            nn.ReLU(),
            nn.Conv1d(channels, channels, 4, 2, 0),
            nn.ReLU(),
        )

    def forward(self, strings: Shaped[Tensor, "..."]) -> Float[Tensor, "*rows F"]:
        """Return the features."""
        if not strings.is_floating_point():
            strings = one_hot(strings, self.vocab_size)
        dtype = next(self.parameters()).dtype
        rows, leading = as_rows(strings.to(dtype), (LENGTH, self.vocab_size), "CharacterFeatures")
        features = self.convolutions(rows.transpose(1, 2))
        return features.reshape(*leading, self.out_features)


@typed
class CharacterEncoder(Encoder):
    """A Gaussian expert q(z | x) of a string: convolutions, then one linear head.

    Args:
        latent_dim: The size D of the latent.
        vocab_size, channels: The options of :class:`CharacterFeatures`.
        scale, min_scale: The map to a positive scale, see :func:`~ppl_mm.networks.location_scale`.

    Shapes:
        integer strings (..., 8), or floating-point (..., 8, V), to loc and scale, each (..., D).

    Source: Sutter et al. 2020 (mmJSD), arXiv:2006.08242, the text of MNIST-SVHN-Text; Mancisidor
    et al. 2023 (CMMD), table H.5.

    Example:
        >>> import torch
        >>> encoder = CharacterEncoder(20, vocab_size=71)
        >>> encoder(torch.zeros(5, 8, dtype=torch.long))[0].shape
        torch.Size([5, 20])
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        vocab_size: int = 71,
        channels: int = 128,
        scale: ScaleMap = "exp",
        min_scale: float | None = None,
    ) -> None:
        features = CharacterFeatures(vocab_size=vocab_size, channels=channels)
        super().__init__(latent_dim, features, scale, min_scale)


@typed
class CharacterDecoder(nn.Module):
    """Logits of a string's 8 characters from z, by transposed convolutions: 1 -> 4 -> 8 positions.

    Args:
        in_features: The size of the input, the latent.
        vocab_size: The number V of symbols.
        channels: The number of channels of the feature maps.

    Shapes:
        features (..., in_features) to logits (..., 8, V).

    Source: see :class:`CharacterEncoder`. Differs: the likelihood normalises the logits; in the
    paper the last layer does.

    Example:
        >>> import torch
        >>> decoder = CharacterDecoder(20, vocab_size=71)
        >>> decoder(torch.zeros(3, 5, 20)).shape
        torch.Size([3, 5, 8, 71])
    """

    def __init__(self, in_features: int, *, vocab_size: int = 71, channels: int = 128) -> None:
        super().__init__()
        self.in_features = in_features
        self.input = nn.Linear(in_features, channels)
        self.convolutions = nn.Sequential(
            nn.ConvTranspose1d(channels, channels, 4, 1, 0),
            nn.ReLU(),
            nn.ConvTranspose1d(channels, channels, 4, 2, 1),
            nn.ReLU(),
            nn.Conv1d(channels, vocab_size, 1),
        )

    def forward(self, features: Float[Tensor, "*rows F"]) -> Float[Tensor, "*rows T V"]:
        """Return the logits of every position."""
        rows, leading = as_rows(features, (self.in_features,), "CharacterDecoder")
        logits = self.convolutions(self.input(rows).unsqueeze(-1)).transpose(1, 2)
        return logits.reshape(*leading, *logits.shape[1:])
