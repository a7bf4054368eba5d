"""Encoders of class labels and of single binary attributes."""

from collections.abc import Sequence

from torch import Tensor, nn

from ppl_mm.networks.layers import LocationScale, ScaleMap, as_rows, dense

__all__ = ["BinaryEncoder", "LabelEncoder"]


class LabelEncoder(nn.Module):
    """A Gaussian expert q(z | y) of a class y: embedding, Swish, then dense layers with Swish.

    Labels are integers, or floating-point weights of the classes: the embedding is then the
    weighted sum, which for a one-hot row is exactly that of its class.

    Args:
        latent_dim: Size D of the latent.
        num_classes: Number C of classes.
        hidden: Sizes of the hidden layers, at least one; the first is the embedding's.
        scale, min_scale: The map to a positive scale, see :func:`~ppl_mm.networks.location_scale`.

    Shapes:
        integer labels (...), or floating-point (..., C), to loc and scale, each (..., D).

    Source: Wu & Goodman 2018, arXiv:1802.05335, supplement and release: the MNIST label encoder.

    Example:
        >>> import torch
        >>> encoder = LabelEncoder(64, num_classes=10)
        >>> sum(p.numel() for p in encoder.parameters())
        333440
        >>> encoder(torch.tensor([3, 1, 4]))[0].shape
        torch.Size([3, 64])
        >>> encoder(torch.eye(10))[0].shape
        torch.Size([10, 64])
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        num_classes: int,
        hidden: Sequence[int] = (512, 512),
        scale: ScaleMap = "exp",
        min_scale: float | None = None,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, hidden[0])
        self.hidden = nn.Sequential(nn.SiLU(), dense(hidden))
        self.head = nn.Linear(hidden[-1], 2 * latent_dim)
        self.location_scale = LocationScale(scale, min_scale)

    def forward(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The expert's (loc, scale)."""
        weight = self.embedding.weight
        if labels.is_floating_point():
            rows, leading = as_rows(labels, weight.shape[:1], "LabelEncoder, one-hot labels")
            embedded = rows.to(weight.dtype) @ weight
        else:
            rows, leading = as_rows(labels, (), "LabelEncoder")
            embedded = self.embedding(rows.long())
        raw = self.head(self.hidden(embedded))
        return self.location_scale(raw, leading)


class BinaryEncoder(LabelEncoder):
    """A Gaussian expert q(z | x) of one binary value x, as a label of two classes.

    Args:
        latent_dim: Size D of the latent.
        hidden: Sizes of the hidden layers, at least one; the first is the embedding's.
        scale, min_scale: The map to a positive scale, see :func:`~ppl_mm.networks.location_scale`.

    Shapes:
        values 0 or 1, of any type, (...), to loc and scale, each (..., D).

    Source: Wu & Goodman 2018, arXiv:1802.05335, release: the encoder of one CelebA attribute in
    MVAE19. Differs: Table 1 of the paper counts a larger one, an attribute encoder of 18 inputs.

    Example:
        >>> import torch
        >>> encoder = BinaryEncoder(100)
        >>> sum(p.numel() for p in encoder.parameters())
        366280
        >>> encoder(torch.tensor([0.0, 1.0]))[0].shape
        torch.Size([2, 100])
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        hidden: Sequence[int] = (512, 512),
        scale: ScaleMap = "exp",
        min_scale: float | None = None,
    ) -> None:
        super().__init__(latent_dim, num_classes=2, hidden=hidden, scale=scale, min_scale=min_scale)

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """The expert's (loc, scale)."""
        return super().forward(values.long())
