"""Encoders and decoders of table columns in the user's own units, which are standardised inside."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Real, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from ppl_mm.arguments.typed import typed
from ppl_mm.networks.covariates import beside, checked_sizes
from ppl_mm.networks.layers import Activation, Encoder, Features, as_rows, dense
from ppl_mm.networks.scales import ScaleMap

__all__ = ["TableDecoder", "TableEncoder", "TableFeatures", "Transform"]

Transform = Literal["none", "log", "log1p"]

_START = 0.0  # Scales start at its softplus, 0.69, in units of the spread.


@typed
class TableFeatures(Features):
    """Features of columns x of a table, by dense layers on their standardised values.

        features = layers((t(x) - centre) / spread)

    Args:
        centre: The number that is subtracted from each of the D columns.
        spread: The number above 0 that each column is divided by then.
        transform: What precedes them, t: ``"none"``, the logarithm of positive values (``"log"``),
            or log(1 + x) of counts (``"log1p"``).
        hidden: The sizes of the layers.
        dropout: The probability of dropout after each layer.
        activation: ``"silu"`` (Swish), ``"relu"``, ``"elu"`` or ``"softplus"``.
        elements: Whether which columns are observed is a further input, an indicator each. With or
            without, a missing element is 0 once standardised: at its column's centre.
        covariates: Name -> the number of classes, or of columns of numbers, of each covariate of
            the rows that the network reads besides, see :class:`ppl_mm.Observations`.

    Shapes:
        values (..., D) to (..., out_features); booleans (..., D) may follow the values, True where
        observed, and all are observed where none do.

    Raises:
        ValueError: For numbers of centres and spreads that differ, or a spread that is not above 0.

    Example:
        >>> features = TableFeatures(centre=(170.0, 70.0), spread=(10.0, 15.0), hidden=(8,))
        >>> features(torch.tensor([[182.0, 80.5]])).shape
        torch.Size([1, 8])
    """

    centre: Tensor
    spread: Tensor
    reads_elements = True

    def __init__(
        self,
        *,
        centre: Sequence[float],
        spread: Sequence[float],
        transform: Transform = "none",
        hidden: Sequence[int] = (128, 128),
        dropout: float = 0.0,
        activation: Activation = "silu",
        elements: bool = False,
        covariates: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.transform, self.elements = transform, elements
        self.reads_covariates = checked_sizes("TableFeatures", covariates)
        _keep_units(self, centre, spread)
        size = (1 + elements) * len(centre) + sum(self.reads_covariates.values())
        sizes = (size, *hidden)
        self.hidden = dense(sizes, dropout=dropout, activation=activation)
        self.out_features = sizes[-1]

    def forward(
        self,
        values: Real[Tensor, "*rows D"],
        elements: Bool[Tensor, "*rows D"] | None = None,
        covariates: Mapping[str, Shaped[Tensor, "..."]] | None = None,
    ) -> Float[Tensor, "*rows F"]:
        """Return the features."""
        rows, leading = as_rows(values.to(self.centre.dtype), self.centre.shape, "TableFeatures")
        if self.transform == "log":
            rows = rows.clamp(min=torch.finfo(rows.dtype).tiny).log()  # missing ones are 0
        elif self.transform == "log1p":
            rows = rows.log1p()
        standard = (rows - self.centre) / self.spread
        if elements is not None:
            standard = torch.where(elements.reshape(rows.shape), standard, 0.0)
        if self.elements:
            held = torch.ones_like(rows) if elements is None else elements.to(rows).reshape_as(rows)
            standard = torch.cat([standard, held], -1)
        features: Tensor = self.hidden(beside(standard, self.reads_covariates, covariates, leading))
        return features.reshape(*leading, self.out_features)


@typed
class TableEncoder(Encoder):
    """An expert q(z | x) from columns of a table, by dense layers on their standardised values.

    Args:
        latent_dim: The size of the latent.
        centre, spread, transform, hidden, dropout, activation, elements, covariates: The options
            of :class:`TableFeatures`.
        scale, min_scale: The map to a positive scale, see :func:`~ppl_mm.networks.location_scale`.

    Shapes:
        values (..., D), and booleans of that shape where elements are missing, to loc and scale,
        each (..., latent_dim).

    Raises:
        ValueError: As :class:`TableFeatures` raises.

    Example:
        >>> encoder = TableEncoder(4, centre=(170.0, 70.0), spread=(10.0, 15.0))
        >>> encoder(torch.tensor([[182.0, 80.5]]))[0].shape
        torch.Size([1, 4])
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        centre: Sequence[float],
        spread: Sequence[float],
        transform: Transform = "none",
        hidden: Sequence[int] = (128, 128),
        dropout: float = 0.0,
        activation: Activation = "silu",
        elements: bool = False,
        covariates: Mapping[str, int] | None = None,
        scale: ScaleMap = "exp",
        min_scale: float | None = None,
    ) -> None:
        features = TableFeatures(
            centre=centre,
            spread=spread,
            transform=transform,
            hidden=hidden,
            dropout=dropout,
            activation=activation,
            elements=elements,
            covariates=covariates,
        )
        super().__init__(latent_dim, features, scale, min_scale)


@typed
class TableDecoder(nn.Module):
    """Location and scale of columns of a table in their own units, by dense layers.

        loc = centre + spread * layers(z),    scale = spread * (softplus(r) + min_scale)

    Each column has one scale r for all rows, which is learned. A Normal or Laplace likelihood of
    these parameters is that of the standardised values with the Jacobian: log p(x | z) is
    log p((x - centre) / spread | z) minus the sum of log spread over the columns. For positive
    values and :class:`~ppl_mm.likelihoods.LogNormal`, centre and spread are those of log x.

    Args:
        in_features: The size of the input, the latent.
        centre: The centre of each of the D columns.
        spread: The spread of each column, above 0.
        hidden: The sizes of the hidden layers.
        learned_scale: Whether to return (loc, scale); loc alone is for a likelihood with a fixed
            scale, which is in the columns' own units.
        min_scale: The least scale in units of the spread, without which the density of a column
            that the others determine grows without bound.
        dropout: The probability of dropout after each hidden layer.
        activation: ``"silu"`` (Swish), ``"relu"``, ``"elu"`` or ``"softplus"``.
        covariates: Name -> the number of classes, or of columns of numbers, of each covariate of
            the rows that the network reads besides, see :class:`ppl_mm.Observations`.

    Shapes:
        features (..., in_features) to loc (..., D) and scale (D,), which all rows share.

    Raises:
        ValueError: As :class:`TableFeatures` raises.

    Example:
        >>> decoder = TableDecoder(4, centre=(170.0, 70.0), spread=(10.0, 15.0))
        >>> loc, scale = decoder(torch.zeros(3, 4))
        >>> loc.shape, scale.shape, bool((loc[0] - decoder.centre).abs().max() < 30)
        (torch.Size([3, 2]), torch.Size([2]), True)
    """

    centre: Tensor
    spread: Tensor

    def __init__(
        self,
        in_features: int,
        *,
        centre: Sequence[float],
        spread: Sequence[float],
        hidden: Sequence[int] = (128, 128),
        learned_scale: bool = True,
        min_scale: float = 0.01,
        dropout: float = 0.0,
        activation: Activation = "silu",
        covariates: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.learned_scale, self.min_scale = in_features, learned_scale, min_scale
        _keep_units(self, centre, spread)
        self.reads_covariates = checked_sizes("TableDecoder", covariates)
        sizes = (in_features + sum(self.reads_covariates.values()), *hidden)
        self.hidden = dense(sizes, dropout=dropout, activation=activation)
        self.output = nn.Linear(sizes[-1], len(centre))
        if learned_scale:
            self.raw_scale = nn.Parameter(torch.full((len(centre),), _START))

    def forward(
        self,
        features: Float[Tensor, "*rows F"],
        covariates: Mapping[str, Shaped[Tensor, "..."]] | None = None,
    ) -> Float[Tensor, "*rows D"] | tuple[Float[Tensor, "*rows D"], Float[Tensor, " D"]]:
        """Return the likelihood's parameters."""
        rows, leading = as_rows(features, (self.in_features,), "TableDecoder")
        rows = beside(rows, self.reads_covariates, covariates, leading)
        loc = self.centre + self.spread * self.output(self.hidden(rows))
        loc = loc.reshape(*leading, -1)
        if not self.learned_scale:
            return loc
        return loc, self.spread * (F.softplus(self.raw_scale) + self.min_scale)


def _keep_units(network: nn.Module, centre: Sequence[float], spread: Sequence[float]) -> None:
    """Register centre and spread as buffers; the network's options hold them, not its state."""
    if len(centre) != len(spread) or not centre or min(spread) <= 0:
        raise ValueError(
            f"{type(network).__name__}: expected a centre and a spread above 0 for each column, "
            f"got {len(centre)} centres and {len(spread)} spreads from {min(spread, default=0)} on."
        )
    for name, numbers in (("centre", centre), ("spread", spread)):
        kept = torch.tensor(list(numbers), dtype=torch.get_default_dtype())
        network.register_buffer(name, kept, persistent=False)
