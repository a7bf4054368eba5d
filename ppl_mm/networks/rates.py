"""A decoder of counts of table columns, each at a rate of its own."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from ppl_mm.arguments.typed import typed
from ppl_mm.networks.covariates import beside, checked_sizes
from ppl_mm.networks.layers import Activation, as_rows, dense

__all__ = ["RatesDecoder"]


@typed
class RatesDecoder(nn.Module):
    """Parameters of counts of D columns, each at a rate of its own, by dense layers.

        log mean = log_mean + layers(z),    total_count = exp(r),    logits = log mean - r

    Each column has one r for all rows, which is learned. For columns that are parts of a total,
    such as the genes of a cell, see :class:`~ppl_mm.networks.CountsDecoder`.

    Args:
        in_features: The size of the input, the latent.
        log_mean: The logarithm of each column's mean, from which the layers depart.
        hidden: The sizes of the hidden layers.
        dispersion: Whether to return (total_count, logits) of a negative binomial; otherwise the
            log rates of a Poisson.
        dropout: The probability of dropout after each hidden layer.
        activation: ``"silu"`` (Swish), ``"relu"``, ``"elu"`` or ``"softplus"``.
        covariates: Name -> the number of classes, or of columns of numbers, of each covariate of
            the rows that the network reads besides, see :class:`ppl_mm.Observations`.

    Shapes:
        features (..., in_features) to total_count (D,) and logits (..., D).

    Raises:
        ValueError: For no columns.

    Example:
        >>> decoder = RatesDecoder(4, log_mean=(0.0, 2.0, -1.0))
        >>> total_count, logits = decoder(torch.zeros(5, 4))
        >>> total_count.shape, logits.shape
        (torch.Size([3]), torch.Size([5, 3]))
    """

    log_mean: Tensor

    def __init__(
        self,
        in_features: int,
        *,
        log_mean: Sequence[float],
        hidden: Sequence[int] = (128, 128),
        dispersion: bool = True,
        dropout: float = 0.0,
        activation: Activation = "silu",
        covariates: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        if not log_mean:
            raise ValueError("RatesDecoder: expected at least one column, got log_mean=().")
        self.in_features, self.dispersion = in_features, dispersion
        kept = torch.tensor(list(log_mean), dtype=torch.get_default_dtype())
        self.register_buffer("log_mean", kept, persistent=False)
        self.reads_covariates = checked_sizes("RatesDecoder", covariates)
        sizes = (in_features + sum(self.reads_covariates.values()), *hidden)
        self.hidden = dense(sizes, dropout=dropout, activation=activation)
        self.output = nn.Linear(sizes[-1], len(log_mean))
        if dispersion:
            self.log_total = nn.Parameter(torch.zeros(len(log_mean)))

    def forward(
        self,
        features: Float[Tensor, "*rows F"],
        covariates: Mapping[str, Shaped[Tensor, "..."]] | None = None,
    ) -> Float[Tensor, "*rows D"] | tuple[Float[Tensor, " D"], Float[Tensor, "*rows D"]]:
        """Return the likelihood's parameters."""
        rows, leading = as_rows(features, (self.in_features,), "RatesDecoder")
        rows = beside(rows, self.reads_covariates, covariates, leading)
        log_rates = (self.log_mean + self.output(self.hidden(rows))).reshape(*leading, -1)
        if not self.dispersion:
            return log_rates
        return self.log_total.exp(), log_rates - self.log_total
