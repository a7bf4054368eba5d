"""Multi-layer perceptrons, for any modality whose event is a tensor of fixed shape."""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from ppl_mm.arguments.typed import typed
from ppl_mm.networks.covariates import beside, checked_sizes
from ppl_mm.networks.layers import Activation, Encoder, Features, as_rows, dense, draw_kaiming
from ppl_mm.networks.scales import ScaleMap

__all__ = ["MLPDecoder", "MLPEncoder", "MLPFeatures"]

_MIN_SCALE = 1e-6


@typed
class MLPFeatures(Features):
    """Features of the flattened values, by dense layers.

    Args:
        event_shape: The shape of one value.
        hidden: The sizes of the layers; with none, the features are the flattened values.
        batch_norm: Whether batch normalisation precedes each activation.
        dropout: The probability of dropout after each hidden layer.
        activation: ``"silu"`` (Swish), ``"relu"``, ``"elu"`` or ``"softplus"``.
        kaiming: Whether the weights start at :func:`~ppl_mm.networks.layers.draw_kaiming`.
        elements: Whether which elements are observed is a further input, an indicator each (1
            observed, 0 missing), so that a missing element is told from a zero.
        covariates: Name -> the number of classes, or of columns of numbers, of each covariate of
            the rows that the network reads besides, see :class:`ppl_mm.Observations`.

    Shapes:
        values (..., *event_shape) to (..., out_features); with ``elements``, booleans
        (..., *event_shape) may follow the values, and all are observed where none do.

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
        elements: bool = False,
        covariates: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.reads_elements = elements
        self.reads_covariates = checked_sizes("MLPFeatures", covariates)
        size = (1 + elements) * math.prod(self.event_shape)
        sizes = (size + sum(self.reads_covariates.values()), *hidden)
        self.hidden = dense(sizes, batch_norm=batch_norm, dropout=dropout, activation=activation)
        self.out_features = sizes[-1]
        if kaiming:
            draw_kaiming(self)

    def forward(
        self,
        values: Shaped[Tensor, "*rows_D"],
        elements: Bool[Tensor, "*rows_D"] | None = None,
        covariates: Mapping[str, Shaped[Tensor, "..."]] | None = None,
    ) -> Float[Tensor, "*rows F"]:
        """Return the features."""
        own = values.dtype if values.is_floating_point() else torch.get_default_dtype()
        values = values.to(next((p.dtype for p in self.parameters()), own))  # counts as integers
        rows, leading = as_rows(values, self.event_shape, "MLPFeatures")
        rows = rows.reshape(len(rows), math.prod(self.event_shape))
        if self.reads_elements:
            held = torch.ones_like(rows) if elements is None else elements.to(rows.dtype)
            rows = torch.cat([rows, held.reshape(rows.shape)], -1)
        rows = beside(rows, self.reads_covariates, covariates, leading)
        features = self.hidden(rows)
        return features.reshape(*leading, self.out_features)


@typed
class MLPEncoder(Encoder):
    """An expert q(z | x) from the flattened values, by dense layers.

    Args:
        latent_dim: The size D of the latent.
        event_shape, hidden, batch_norm, dropout, activation, kaiming, elements, covariates: The
            options of :class:`MLPFeatures`.
        scale, min_scale: The map to a positive scale, see :func:`~ppl_mm.networks.location_scale`.

    Shapes:
        values (..., *event_shape), and with ``elements`` booleans of that shape, to loc and scale,
        each (..., D).

    Source: Wu & Goodman 2018, arXiv:1802.05335, supplement and release: the MNIST image encoder;
    with ``batch_norm`` the CelebA attribute encoder. See :mod:`ppl_mm.networks.presets` for others.
    Differs: one head of 2 D features in place of two heads of D, with as many parameters.

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
        elements: bool = False,
        covariates: Mapping[str, int] | None = None,
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
            elements=elements,
            covariates=covariates,
        )
        super().__init__(latent_dim, features, scale, min_scale, kaiming=kaiming)


@typed
class MLPDecoder(nn.Module):
    """The parameters of p(x | z), one (or two) for each element of x, by dense layers.

    Logits of binary values, logits of C classes (``event_shape=(C,)``) and the location of a Normal
    with a fixed scale need one parameter for each element.

    Args:
        in_features: The size of the input, the latent.
        event_shape: The shape of the parameters, () for one number.
        hidden: The sizes of the hidden layers.
        batch_norm: Whether batch normalisation precedes each activation.
        dropout: The probability of dropout after each hidden layer.
        learned_scale: Whether to return (loc, scale) with scale = softplus(.) + 1e-6, for a
            likelihood whose scale depends on z; the last term keeps it above 0 in float32.
        activation: ``"silu"`` (Swish), ``"relu"``, ``"elu"`` or ``"softplus"``.
        sigmoid: Whether the parameters (loc, of a pair) are sigmoids, which are the location of
            values in [0, 1], and not logits.
        margin: The margin of these sigmoids, which are clamped to [margin, 1 - margin].
        kaiming: Whether the weights start at :func:`~ppl_mm.networks.layers.draw_kaiming`.
        covariates: Name -> the number of classes, or of columns of numbers, of each covariate of
            the rows that the network reads besides, see :class:`ppl_mm.Observations`.

    Shapes:
        features (..., in_features) to (..., *event_shape), or to two of these.

    Source: Wu & Goodman 2018, arXiv:1802.05335, release: the MNIST decoders, with three hidden
    layers, while the paper says two; with ``batch_norm`` the CelebA attribute decoder.
    See :mod:`ppl_mm.networks.presets` for others.

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
        covariates: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.learned_scale = learned_scale
        self.sigmoid = sigmoid
        self.margin = margin
        self.in_features = in_features
        self.reads_covariates = checked_sizes("MLPDecoder", covariates)
        sizes = (in_features + sum(self.reads_covariates.values()), *hidden)
        self.hidden = dense(sizes, batch_norm=batch_norm, dropout=dropout, activation=activation)
        self.output = nn.Linear(sizes[-1], (1 + learned_scale) * math.prod(self.event_shape))
        if kaiming:
            draw_kaiming(self)

    def forward(
        self,
        features: Float[Tensor, "*rows F"],
        covariates: Mapping[str, Shaped[Tensor, "..."]] | None = None,
    ) -> Float[Tensor, "*rows_D"] | tuple[Float[Tensor, "*rows_D"], Float[Tensor, "*rows_D"]]:
        """Return the likelihood's parameters."""
        rows, leading = as_rows(features, (self.in_features,), "MLPDecoder")
        rows = beside(rows, self.reads_covariates, covariates, leading)
        output = self.output(self.hidden(rows))
        if not self.learned_scale:
            return self._location(output.reshape((*leading, *self.event_shape)))
        loc, raw = (half.reshape((*leading, *self.event_shape)) for half in output.chunk(2, dim=-1))
        return self._location(loc), F.softplus(raw) + _MIN_SCALE

    def _location(self, raw: Tensor) -> Tensor:
        return raw.sigmoid().clamp(self.margin, 1 - self.margin) if self.sigmoid else raw
