"""Encoders and features of class labels and of single binary attributes."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from ppl_mm.arguments.typed import typed
from ppl_mm.networks.layers import Encoder, Features, as_rows, dense
from ppl_mm.networks.scales import LocScale, ScaleMap

__all__ = ["BinaryEncoder", "BinaryFeatures", "LabelEncoder", "LabelFeatures"]


@typed
class LabelFeatures(Features):
    """Features of a class y: embedding, Swish, then dense layers with Swish.

    Labels are integers, or floating-point weights of the classes. The embedding of weights is the
    weighted sum, which for a one-hot row is exactly that of its class. With more integer labels
    than classes, the layers run once for each class instead of once for each label.

    Args:
        num_classes: The number C of classes.
        hidden: The sizes of the hidden layers, at least one; the first is the embedding's.

    Shapes:
        integer labels (...), or floating-point (..., C), to (..., out_features).

    Example:
        >>> import torch
        >>> features = LabelFeatures(num_classes=10, hidden=(512,))
        >>> features.out_features, features(torch.tensor([3, 1, 4])).shape
        (512, torch.Size([3, 512]))
    """

    def __init__(self, *, num_classes: int, hidden: Sequence[int] = (512, 512)) -> None:
        super().__init__()
        if not hidden:
            raise ValueError(
                f"{type(self).__name__}: expected hidden sizes, one at least, got {hidden}."
            )
        self.embedding = nn.Embedding(num_classes, hidden[0])
        self.hidden = nn.Sequential(nn.SiLU(), dense(hidden))
        self.out_features = hidden[-1]

    def forward(self, labels: Shaped[Tensor, "..."]) -> Float[Tensor, "*rows F"]:
        """Return the features."""
        weight = self.embedding.weight
        if labels.is_floating_point():
            rows, leading = as_rows(labels, weight.shape[:1], "LabelFeatures, one-hot labels")
            embedded = rows.to(weight.dtype) @ weight
        else:
            rows, leading = as_rows(labels, (), "LabelFeatures")
            if len(rows) > len(weight):
                return F.embedding(labels.long(), self.hidden(weight))
            embedded = self.embedding(rows.long())
        return self.hidden(embedded).reshape(*leading, self.out_features)


@typed
class BinaryFeatures(LabelFeatures):
    """Features of one binary value, as a label of two classes.

    Args:
        hidden: The sizes of the hidden layers, at least one; the first is the embedding's.

    Shapes:
        values 0 or 1, of any type, (...), to (..., out_features).

    Example:
        >>> import torch
        >>> BinaryFeatures(hidden=(4,))(torch.tensor([0.0, 1.0])).shape
        torch.Size([2, 4])
    """

    def __init__(self, *, hidden: Sequence[int] = (512, 512)) -> None:
        super().__init__(num_classes=2, hidden=hidden)

    def forward(self, values: Shaped[Tensor, "*rows"]) -> Float[Tensor, "*rows F"]:
        """Return the features."""
        return super().forward(values.long())


@typed
class LabelEncoder(Encoder):
    """A Gaussian expert q(z | y) of a class y: embedding, Swish, then dense layers with Swish.

    There are only C experts. With more integer labels than classes, each class is encoded once.

    Args:
        latent_dim: The size D of the latent.
        num_classes, hidden: The options of :class:`LabelFeatures`.
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
        features = LabelFeatures(num_classes=num_classes, hidden=hidden)
        super().__init__(latent_dim, features, scale, min_scale)
        self.num_classes = num_classes

    def forward(
        self,
        labels: Shaped[Tensor, "..."],
        *_: Shaped[Tensor, "..."],
        covariates: Mapping[str, Shaped[Tensor, "..."]] | None = None,
    ) -> LocScale:
        """Return the expert's (loc, scale); labels read no covariates."""
        if labels.is_floating_point() or labels.numel() <= self.num_classes:
            return super().forward(labels)
        loc, scale = super().forward(torch.arange(self.num_classes, device=labels.device))
        labels = labels.long()
        return F.embedding(labels, loc), F.embedding(labels, scale)


@typed
class BinaryEncoder(LabelEncoder):
    """A Gaussian expert q(z | x) of one binary value x, as a label of two classes.

    Args:
        latent_dim: The size D of the latent.
        hidden: The sizes of the hidden layers, at least one; the first is the embedding's.
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

    def forward(
        self,
        values: Shaped[Tensor, "*rows"],
        *_: Shaped[Tensor, "..."],
        covariates: Mapping[str, Shaped[Tensor, "..."]] | None = None,
    ) -> LocScale:
        """Return the expert's (loc, scale); binary values read no covariates."""
        return super().forward(values.long())
