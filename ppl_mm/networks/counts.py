"""Networks of counts whose total differs from row to row, such as those of single cells."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.likelihoods import densities
from ppl_mm.networks.covariates import beside, checked_sizes
from ppl_mm.networks.layers import Activation, Encoder, Features, as_rows, dense
from ppl_mm.networks.scales import ScaleMap

__all__ = ["CountsDecoder", "CountsEncoder", "CountsFeatures"]

CountsLikelihood = Literal["poisson", "negative_binomial", "zero_inflated"]
Dispersion = Literal["element", "row"]

_PER = 1e4  # a row's counts are scaled to this total
_SMALLEST = 1e-8  # The smallest proportion, so that no mean is 0.


@typed
class CountsFeatures(Features):
    """Features of counts, which tell apart what is counted from how much is counted.

        x -> ( log(1 + 10^4 x / l), log(1 + l) ),    l = sum of x

    and then dense layers. A row without any count, l = 0, is a row of zeros.

    Args:
        event_shape: The shape (G,) of one row's counts.
        hidden: The sizes of the layers.
        batch_norm: Whether batch normalisation precedes each activation.
        dropout: The probability of dropout after each hidden layer.
        activation: ``"silu"`` (Swish), ``"relu"``, ``"elu"`` or ``"softplus"``.
        covariates: Name -> the number of classes, or of columns of numbers, of each covariate of
            the rows that the network reads besides, see :class:`ppl_mm.Observations`.

    Shapes:
        values (..., G) to (..., out_features).

    Example:
        >>> features = CountsFeatures(event_shape=(2000,), hidden=(128,))
        >>> features(torch.zeros(5, 2000)).shape
        torch.Size([5, 128])
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        hidden: Sequence[int] = (128, 128),
        batch_norm: bool = False,
        dropout: float = 0.0,
        activation: Activation = "relu",
        covariates: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.reads_covariates = checked_sizes("CountsFeatures", covariates)
        size = math.prod(self.event_shape) + 1 + sum(self.reads_covariates.values())
        sizes = (size, *hidden)
        self.hidden = dense(sizes, batch_norm=batch_norm, dropout=dropout, activation=activation)
        self.out_features = sizes[-1]

    def forward(
        self,
        values: Shaped[Tensor, "*rows_D"],
        covariates: Mapping[str, Shaped[Tensor, "..."]] | None = None,
    ) -> Float[Tensor, "*rows F"]:
        """Return the features."""
        own = values.dtype if values.is_floating_point() else torch.get_default_dtype()
        values = values.to(next((p.dtype for p in self.parameters()), own))
        rows, leading = as_rows(values, self.event_shape, "CountsFeatures")
        counts = rows.flatten(1)
        total = counts.sum(-1, keepdim=True)
        scaled = torch.log1p(_PER * counts / total.clamp(min=1.0))
        seen = torch.cat([scaled, torch.log1p(total)], -1)
        features: Tensor = self.hidden(beside(seen, self.reads_covariates, covariates, leading))
        return features.reshape(*leading, self.out_features)


@typed
class CountsEncoder(Encoder):
    """An expert q(z | x) of counts.

    Args:
        latent_dim: The size D of the latent.
        event_shape, hidden, batch_norm, dropout, activation, covariates: The options of
            :class:`CountsFeatures`.
        scale, min_scale: The map to a positive scale, see :func:`~ppl_mm.networks.location_scale`.

    Shapes:
        values (..., G) to loc and scale, each (..., D).

    Example:
        >>> encoder = CountsEncoder(10, event_shape=(2000,))
        >>> loc, scale = encoder(torch.poisson(torch.ones(5, 2000)))
        >>> loc.shape, scale.shape
        (torch.Size([5, 10]), torch.Size([5, 10]))
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        event_shape: Sequence[int],
        hidden: Sequence[int] = (128, 128),
        batch_norm: bool = False,
        dropout: float = 0.0,
        activation: Activation = "relu",
        covariates: Mapping[str, int] | None = None,
        scale: ScaleMap = "exp",
        min_scale: float | None = None,
    ) -> None:
        features = CountsFeatures(
            event_shape=event_shape,
            hidden=hidden,
            batch_norm=batch_norm,
            dropout=dropout,
            activation=activation,
            covariates=covariates,
        )
        super().__init__(latent_dim, features, scale, min_scale)


@typed
class CountsDecoder(nn.Module):
    """The parameters of p(x | z, l): proportions of z times the total l of the row.

        mean = l softmax(f(z)),    l = sum of x, or ``total``

    By default l is the row's own observed total, the size of the library in sequencing: the network
    asks for the observed values (``reads_value``), and log p(x | z) is that of the counts given how
    many there are. Draws, which have no observed total, take ``total``. Where elements of a row are
    missing, l is the total of those that are observed, and so is the softmax.

    With ``likelihood="negative_binomial"`` the output is (total_count, logits) for
    :class:`ppl_mm.likelihoods.NegativeBinomial`, with total_count = exp(dispersion) and
    logits = log mean - dispersion, so that the variance is mean + mean^2 / total_count; with
    ``"zero_inflated"`` it has gate_logits besides, for
    :class:`~ppl_mm.likelihoods.ZeroInflatedNegativeBinomial`; with ``"poisson"`` it is log mean.

    Args:
        in_features: The size of the input, the latent.
        event_shape: The shape (G,) of one row's counts.
        hidden: The sizes of the hidden layers.
        likelihood: ``"poisson"``, ``"negative_binomial"`` or ``"zero_inflated"``.
        dispersion: ``"element"`` for a dispersion of each element (gene) that all rows share,
            ``"row"`` for one of each element in each row, which the network predicts.
        total: The total of a draw, such as the median total of the training rows.
        own_total: Whether a row that is scored has its own total; if not, it has ``total``.
        batch_norm: Whether batch normalisation precedes each activation.
        dropout: The probability of dropout after each hidden layer.
        activation: ``"silu"`` (Swish), ``"relu"``, ``"elu"`` or ``"softplus"``.
        covariates: Name -> the number of classes, or of columns of numbers, of each covariate of
            the rows that the network reads besides, see :class:`ppl_mm.Observations`.

    Shapes:
        features (..., in_features) to tensors (..., G), or (G,) for a shared dispersion.

    Raises:
        ValueError: For a total that is not above 0.

    Source: Lopez et al. 2018, Nature Methods 15 (scVI), with the observed total as in its release.

    Example:
        >>> decoder = CountsDecoder(10, event_shape=(2000,), total=5e3)
        >>> total_count, logits = decoder(torch.zeros(3, 10))
        >>> (total_count * logits.exp()).sum(-1).round().tolist()  # means add up to the total
        [5000.0, 5000.0, 5000.0]
    """

    def __init__(
        self,
        in_features: int,
        *,
        event_shape: Sequence[int],
        hidden: Sequence[int] = (128, 128),
        likelihood: CountsLikelihood = "negative_binomial",
        dispersion: Dispersion = "element",
        total: float = 1e4,
        own_total: bool = True,
        batch_norm: bool = False,
        dropout: float = 0.0,
        activation: Activation = "relu",
        covariates: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        if not 0 < total < math.inf:
            raise ValueError(f"CountsDecoder: expected a total above 0, got {total}.")
        self.in_features, self.event_shape = in_features, tuple(event_shape)
        self.likelihood, self.total, self.reads_value = likelihood, total, own_total
        self.reads_elements = own_total
        self.reads_covariates = checked_sizes("CountsDecoder", covariates)
        sizes = (in_features + sum(self.reads_covariates.values()), *hidden)
        self.hidden = dense(sizes, batch_norm=batch_norm, dropout=dropout, activation=activation)
        size = math.prod(self.event_shape)
        by_row = likelihood != "poisson" and dispersion == "row"
        self.outputs = 1 + by_row + (likelihood == "zero_inflated")
        self.output = nn.Linear(sizes[-1], self.outputs * size)
        shared = likelihood != "poisson" and not by_row
        self.dispersion = nn.Parameter(torch.zeros(self.event_shape)) if shared else None

    def forward(
        self,
        features: Float[Tensor, "*rows F"],
        values: Shaped[Tensor, "*values_D"] | None = None,
        elements: Bool[Tensor, "*values_D"] | None = None,
        covariates: Mapping[str, Shaped[Tensor, "..."]] | None = None,
    ) -> Float[Tensor, "*rows_D"] | tuple[Float[Tensor, "..."], ...]:
        """Return the likelihood's parameters; with observed values (..., G), for their totals.

        ``elements``, (..., G), says which of the values are observed; None for all.
        """
        rows, leading = as_rows(features, (self.in_features,), "CountsDecoder")
        rows = beside(rows, self.reads_covariates, covariates, leading)
        raw = self.output(self.hidden(rows)).reshape(*leading, self.outputs, *self.event_shape)
        each = list(raw.unbind(len(leading)))
        log_p = self._log_proportions(each.pop(0))
        log_mean = log_p - self._log_share(log_p, elements) + self._log_total(features, values)
        if self.likelihood == "poisson":
            return log_mean
        log_count = each.pop(0) if self.dispersion is None else self.dispersion
        log_count = log_count.clamp(-20.0, 20.0)
        return log_count.exp(), log_mean - log_count, *each

    def sample(
        self,
        features: Float[Tensor, "*rows F"],
        covariates: Mapping[str, Shaped[Tensor, "..."]] | None = None,
    ) -> Float[Tensor, "*rows_D"]:
        """Draw counts (..., G) with mean total ``total``; no value is read."""
        parameters = self(features, covariates=covariates)
        if self.likelihood == "poisson":
            return densities.Poisson(parameters).sample()
        if self.likelihood == "negative_binomial":
            return densities.NegativeBinomial(*parameters).sample()
        return densities.ZeroInflatedNegativeBinomial(*parameters).sample()

    def _log_proportions(self, raw: Tensor) -> Tensor:
        dims = tuple(range(-len(self.event_shape), 0))
        floor = math.log(_SMALLEST / math.prod(self.event_shape))
        log_p = raw - raw.logsumexp(dims, keepdim=True)
        return torch.logaddexp(log_p, log_p.new_full((), floor)) - math.log1p(_SMALLEST)

    def _log_share(self, log_p: Tensor, elements: Tensor | None) -> Tensor | float:
        """The log of what the observed elements have of the whole; exactly 0 where all are."""
        if elements is None or not self.reads_value:
            return 0.0
        dims = tuple(range(-len(self.event_shape), 0))
        share = torch.where(elements, log_p, -torch.inf).logsumexp(dims, keepdim=True)
        return torch.where((~elements).sum(dims, keepdim=True) == 0, 0.0, share)

    def _log_total(self, features: Tensor, values: Tensor | None) -> Tensor | float:
        if values is None or not self.reads_value:
            return math.log(self.total)
        dims = tuple(range(-len(self.event_shape), 0))
        return values.to(features.dtype).sum(dims, keepdim=True).clamp(min=1.0).log()
