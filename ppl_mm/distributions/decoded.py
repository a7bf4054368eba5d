"""A likelihood that decodes only the rows whose log-probability counts."""

from typing import Any, ClassVar

import torch
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn

from ppl_mm.likelihoods import Likelihood
from ppl_mm.rows import alike, indices, put_rows, run_network

__all__ = ["Decoded"]


class Decoded(TorchDistribution):
    """p(x_m | z) = likelihood(decoder(z)), evaluated lazily.

    ``log_prob`` decodes the rows where ``where`` is True and is exactly zero elsewhere, so a
    missing or unscored value costs nothing and touches no gradient and no batch statistics.
    The decoder sees one batch dimension, whatever plates there are. One whose attribute
    ``reads_value`` is True (an autoregressive one) also gets the observed values of its rows, and
    draws values by itself: its method ``sample`` maps (N, in_features) to (N, *event_shape).

    Args:
        likelihood: Turns the decoder's output into a distribution.
        decoder: The network.
        z: What it decodes, (..., B, in_features).
        where: The rows that count, (B,) or (S, B); True for all.
        event_shape: The data's event shape; None where there are no data, then the decoder's.

    Batch shape z.shape[:-1]. Source: none; the masks are those of ``Observations``.
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    has_rsample = False

    def __init__(
        self,
        likelihood: Likelihood,
        decoder: nn.Module,
        z: Tensor,
        where: Tensor | bool = True,
        event_shape: torch.Size | None = None,
    ) -> None:
        self.likelihood, self.decoder, self.z, self.where = likelihood, decoder, z, where
        self._data_shape = event_shape
        self._whole: TorchDistribution | None = None
        super().__init__(z.shape[:-1], event_shape or torch.Size(), validate_args=False)

    @property
    def event_shape(self) -> torch.Size:
        """The data's event shape, or the decoder's."""
        return self.whole.event_shape if self._data_shape is None else self._data_shape

    @property
    def support(self) -> constraints.Constraint:
        """That of the likelihood."""
        return self.whole.support

    @property
    def whole(self) -> TorchDistribution:
        """The distribution of every row, scored or not."""
        if self._whole is None:
            self._whole = self._decode(self.z)
        return self._whole

    def expand(self, batch_shape: Any, _instance: Any = None) -> "Decoded":
        """The same under more batch dimensions."""
        z = self.z.expand(torch.Size(batch_shape) + self.z.shape[-1:])
        return Decoded(self.likelihood, self.decoder, z, self.where, self._data_shape)

    def sample(self, sample_shape: Any = torch.Size()) -> Tensor:  # noqa: B008
        """Draw every row, scored or not."""
        sample_shape = torch.Size(sample_shape)
        if not getattr(self.decoder, "reads_value", False):
            return self.whole.sample(sample_shape)
        draw: Any = getattr(self.decoder, "sample", None)
        if draw is None:
            raise TypeError(
                f"{type(self.decoder).__name__}: expected a method sample(z) that draws values, as "
                "its logits depend on the value (reads_value is True); give it one."
            )
        z = self.z.expand(*sample_shape, *self.z.shape)
        value: Tensor = draw(z.reshape(-1, z.shape[-1]))
        return value.reshape(*z.shape[:-1], *value.shape[1:])

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats, batch shape; zero in the rows that do not count."""
        if isinstance(self.where, bool):
            return self._decode(self.z, value).log_prob(value)
        tail = torch.Size(self.batch_shape[-self.where.dim() :])
        where = self.where.expand(tail)
        if len(tail) == 2 and value.dim() == len(self.event_shape) + 1:  # one value a row
            where = alike(where)
        rows = indices(where)
        if rows is None:
            return self._decode(self.z, value).log_prob(value)
        if len(rows) == 0:
            return self.z.new_zeros(self.batch_shape)
        if where.shape != tail:  # whole strata count: no value is copied
            log_prob = self._decode(self.z.index_select(-3, rows), value).log_prob(value)
            return put_rows(rows, log_prob, tail[0], 0.0, dim=-2)
        lead = self.batch_shape[: -len(tail)]
        z = self.z.reshape(*lead, tail.numel(), -1).index_select(-2, rows)
        x = self._rows_of(value, rows, tail)
        log_prob = self._decode(z, x).log_prob(x)
        return put_rows(rows, log_prob, tail.numel(), 0.0, dim=-1).reshape(self.batch_shape)

    def _rows_of(self, value: Tensor, rows: Tensor, tail: torch.Size) -> Tensor:
        """The values that belong to the flat positions ``rows`` of ``tail``."""
        dims = len(self.event_shape)
        batch = value.shape[: value.dim() - dims]
        if len(batch) == 1:  # one value a row of data, whatever the plates: the usual case
            return value.index_select(0, rows % tail[-1] if batch[0] > 1 else rows * 0)
        lead = batch[: -len(tail)]
        value = value.expand(*lead, *tail, *self.event_shape)
        return value.reshape(*lead, tail.numel(), *self.event_shape).index_select(len(lead), rows)

    def _decode(self, z: Tensor, value: Tensor | None = None) -> TorchDistribution:
        batch = z.shape[:-1]
        more: tuple[Tensor, ...] = ()
        if value is not None and getattr(self.decoder, "reads_value", False):
            event = self.event_shape
            more = (value.expand(*batch, *event).reshape(-1, *event),)
        output = run_network(self.decoder, z.reshape(-1, z.shape[-1]), *more)
        return self.likelihood(_unflatten(output, batch), len(batch), self._data_shape)


def _unflatten(output: Any, batch: torch.Size) -> Any:
    """The same parameters, a tensor or several, with the batch dimensions restored."""
    if isinstance(output, Tensor):
        return output.reshape(*batch, *output.shape[1:])
    if isinstance(output, dict):
        return {k: _unflatten(v, batch) for k, v in output.items()}
    return tuple(_unflatten(v, batch) for v in output)
