"""Multi-layer perceptrons, for any modality whose event is a tensor of fixed shape."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ppl_mm.networks.layers import (
    Activation,
    Encoder,
    Features,
    ScaleMap,
    as_rows,
    dense,
    draw_kaiming,
)
from ppl_mm.typed import typed

__all__ = ["MLPDecoder", "MLPEncoder", "MLPFeatures"]

_MIN_SCALE = 1e-6


@typed
class MLPFeatures(Features):
    """Features of the flattened values, by dense layers.

    Args:
        event_shape: Shape of one value.
        hidden: Sizes of the layers; with none, the features are the flattened values.
        batch_norm: Whether batch normalisation precedes each activation.
        dropout: Probability of dropout after each hidden layer.
        activation: ``"silu"`` (Swish), ``"relu"``, ``"elu"`` or ``"softplus"``.
        kaiming: Whether the weights start at :func:`~ppl_mm.networks.layers.draw_kaiming`.

    Shapes:
        values (..., *event_shape) to (..., out_features).

    Example:
        >>> import torch
        >>> features = MLPFeatures(event_shape=(1, 28, 28), hidden=(512,))
        >>> features.out_features, features(torch.zeros(5, 1, 28, 28)).shape
        (512, torch.Size([5, 512]))
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        hidden: Sequence[int] = (512, 512),
        batch_norm: bool = False,
        dropout: float = 0.0,
        activation: Activation = "silu",
        kaiming: bool = False,
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        sizes = (math.prod(self.event_shape), *hidden)
        self.hidden = dense(sizes, batch_norm=batch_norm, dropout=dropout, activation=activation)
        self.out_features = sizes[-1]
        if kaiming:
            draw_kaiming(self)

    def forward(self, values: Tensor) -> Tensor:
        """The features."""
        if not values.is_floating_point():
            values = values.to(torch.get_default_dtype())  # counts come as integers
        values = values.to(next((p.dtype for p in self.parameters()), values.dtype))
        rows, leading = as_rows(values, self.event_shape, "MLPFeatures")
        features = self.hidden(rows.flatten(1) if self.event_shape else rows.unsqueeze(1))
        return features.reshape(*leading, self.out_features)


@typed
class MLPEncoder(Encoder):
    """An expert q(z | x) from the flattened values, by dense layers.

    Args:
        latent_dim: Size D of the latent.
        event_shape, hidden, batch_norm, dropout, activation, kaiming: As of
            :class:`MLPFeatures`.
        scale, min_scale: The map to a positive scale, see :func:`~ppl_mm.networks.location_scale`.

    Shapes:
        values (..., *event_shape) to loc and scale, each (..., D).

    Source: Wu & Goodman 2018, arXiv:1802.05335, supplement and release: the MNIST image encoder;
    with ``batch_norm`` the CelebA attribute encoder. Others: :mod:`ppl_mm.networks.presets`.
    Differs: one head of 2 D features for two of D, with the same number of parameters.

    Example:
        >>> encoder = MLPEncoder(64, event_shape=(1, 28, 28))
        >>> sum(p.numel() for p in encoder.parameters())
        730240
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        event_shape: Sequence[int],
        hidden: Sequence[int] = (512, 512),
        batch_norm: bool = False,
        dropout: float = 0.0,
        activation: Activation = "silu",
        kaiming: bool = False,
        scale: ScaleMap = "exp",
        min_scale: float | None = None,
    ) -> None:
        features = MLPFeatures(
            event_shape=event_shape,
            hidden=hidden,
            batch_norm=batch_norm,
            dropout=dropout,
            activation=activation,
            kaiming=kaiming,
        )
        super().__init__(latent_dim, features, scale, min_scale, kaiming=kaiming)


@typed
class MLPDecoder(nn.Module):
    """The parameters of p(x | z), one (or two) for each element of x, by dense layers.

    One parameter an element is what logits of binary values, logits of C classes
    (``event_shape=(C,)``) or the location of a Normal of fixed scale need.

    Args:
        in_features: Size of the input, the latent.
        event_shape: Shape of the parameters, () for one number.
        hidden: Sizes of the hidden layers.
        batch_norm: Whether batch normalisation precedes each activation.
        dropout: Probability of dropout after each hidden layer.
        learned_scale: Whether to return (loc, scale) with scale = softplus(.) + 1e-6, for a
            likelihood whose scale depends on z; the last term keeps it above 0 in float32.
        activation: ``"silu"`` (Swish), ``"relu"``, ``"elu"`` or ``"softplus"``.
        sigmoid: Whether the parameters (of a pair, loc) are sigmoids: the location of values in
            [0, 1], not logits.
        margin: Clamps these sigmoids to [margin, 1 - margin].
        kaiming: Whether the weights start at :func:`~ppl_mm.networks.layers.draw_kaiming`.

    Shapes:
        features (..., in_features) to (..., *event_shape), or to two of these.

    Source: Wu & Goodman 2018, arXiv:1802.05335, release: the MNIST decoders, with three hidden
    layers where the paper says two; with ``batch_norm`` the CelebA attribute decoder.
    Others: :mod:`ppl_mm.networks.presets`.

    Example:
        >>> import torch
        >>> decoder = MLPDecoder(64, event_shape=(1, 28, 28))
        >>> decoder(torch.zeros(3, 5, 64)).shape
        torch.Size([3, 5, 1, 28, 28])
        >>> loc, scale = MLPDecoder(2, event_shape=(4,), learned_scale=True)(torch.zeros(2))
        >>> loc.shape, scale.shape
        (torch.Size([4]), torch.Size([4]))
    """

    def __init__(
        self,
        in_features: int,
        *,
        event_shape: Sequence[int],
        hidden: Sequence[int] = (512, 512, 512),
        batch_norm: bool = False,
        dropout: float = 0.0,
        learned_scale: bool = False,
        activation: Activation = "silu",
        sigmoid: bool = False,
        margin: float = 0.0,
        kaiming: bool = False,
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.learned_scale = learned_scale
        self.sigmoid = sigmoid
        self.margin = margin
        self.in_features = in_features
        sizes = (in_features, *hidden)
        self.hidden = dense(sizes, batch_norm=batch_norm, dropout=dropout, activation=activation)
        self.output = nn.Linear(sizes[-1], (1 + learned_scale) * math.prod(self.event_shape))
        if kaiming:
            draw_kaiming(self)

    def forward(self, features: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """The likelihood's parameters."""
        rows, leading = as_rows(features, (self.in_features,), "MLPDecoder")
        output = self.output(self.hidden(rows))
        if not self.learned_scale:
            return self._location(output.reshape((*leading, *self.event_shape)))
        loc, raw = (half.reshape((*leading, *self.event_shape)) for half in output.chunk(2, dim=-1))
        return self._location(loc), F.softplus(raw) + _MIN_SCALE

    def _location(self, raw: Tensor) -> Tensor:
        return raw.sigmoid().clamp(self.margin, 1 - self.margin) if self.sigmoid else raw
