"""A likelihood that decodes only the rows whose log-probability counts."""

from collections.abc import Callable, Sequence
from functools import cache, partial
from types import new_class
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Shaped
from pyro.distributions import constraints
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.infer.util import is_validation_enabled
from pyro.ops.provenance import detach_provenance
from torch import Tensor, nn

from ppl_mm.batch.covariates import Covariates, covariates_for
from ppl_mm.batch.host_masks import unread
from ppl_mm.batch.network_contracts import DrawsValue, reads_value
from ppl_mm.batch.observed_elements import OfElements, elements_of, inside
from ppl_mm.batch.rows import indices, one_if_same, put_rows, run_network
from ppl_mm.batch.unread import among
from ppl_mm.likelihoods import Likelihood
from ppl_mm.likelihoods.decoder import check_factorises, of_decoder
from ppl_mm.likelihoods.likelihood import Parameters

__all__ = ["Decoded"]


class Decoded(TorchDistribution):
    """p(x_m | z) = likelihood(decoder(z)), evaluated lazily.

    ``log_prob`` decodes the rows where ``where`` is True and is exactly zero elsewhere, so a
    missing or unscored value costs nothing and touches no gradient and no batch statistics.
    The decoder sees one batch dimension, whatever plates there are. A decoder whose attribute
    ``reads_value`` is True (an autoregressive one) also gets the observed values of its rows, and
    draws values by itself: its method ``sample`` maps (N, in_features) to (N, *event_shape).
    Where elements of a row are missing, it scores those that are observed, see :meth:`of_elements`.

    Args:
        likelihood: The likelihood, which turns the decoder's output into a distribution.
        decoder: The network.
        z: The latents that the network decodes, (..., B, in_features).
        where: The rows that count, (B,) or (S, B); True for all.
        event_shape: The data's event shape. Without data it is None, and the decoder's counts.
        name: The modality, for messages.
        undrawable: Why rows cannot be drawn, as their z is NaN. A draw raises it, unless Pyro's
            validation is off and the likelihood can draw NaN.
        elements: The mask of observed elements, (B, *event_shape); None for all.
        covariates: What a decoder may read of every row, (B,) or (B, C); a decoder is given those
            that its attribute ``reads_covariates`` names, also where it draws values.

    The batch shape is z.shape[:-1]. Its class is named after the likelihood, so Pyro's pictures of
    a model (``pyro.render_model``) say Normal or Categorical. What the decoder may return is
    written at :class:`ppl_mm.likelihoods.Likelihood`.

    Raises:
        TypeError, ValueError: When it decodes, for what a decoder may not return.

    Example:
        >>> from ppl_mm import likelihoods
        >>> p = Decoded(likelihoods.Normal(), lambda z: (z, 1.0), torch.zeros(3, 2))
        >>> type(p).__name__, p.event_shape
        ('Normal', torch.Size([2]))
        >>> p.log_prob(torch.zeros(3, 2))
        tensor([-1.8379, -1.8379, -1.8379])
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}
    has_rsample = False

    def __init__(
        self,
        likelihood: Likelihood,
        decoder: nn.Module | Callable[..., Parameters],
        z: Float[Tensor, "*batch F"],
        where: Bool[Tensor, "*#S #B"] | bool = True,
        event_shape: torch.Size | None = None,
        *,
        name: str | None = None,
        undrawable: str | None = None,
        elements: Bool[Tensor, "B *D"] | None = None,
        covariates: Covariates | None = None,
    ) -> None:
        self.likelihood, self.decoder, self.z, self.where = likelihood, decoder, z, where
        self.name, self.undrawable, self.elements = name, undrawable, elements
        self.covariates = covariates_for(decoder, covariates or {})
        self._reads_value = reads_value(decoder)
        # Pyro's tensors that track dependencies have plain tuples for shapes.
        self._data_shape = None if event_shape is None else torch.Size(event_shape)
        self._whole: TorchDistribution | None = None
        batch = torch.Size(z.shape[:-1])
        super().__init__(batch, self._data_shape or torch.Size(), validate_args=False)
        kind: Any = type(self)
        self.__class__ = _called(kind, type(likelihood).__name__)

    def __reduce__(self) -> Any:
        names = ("name", "undrawable", "elements", "covariates")
        options = {n: getattr(self, n) for n in names}
        make = partial(Decoded, **options)
        return make, (self.likelihood, self.decoder, self.z, self.where, self._data_shape)

    @property
    def event_shape(self) -> torch.Size:
        """The data's event shape, or the decoder's."""
        return self.whole.event_shape if self._data_shape is None else self._data_shape

    @property
    def support(self) -> constraints.Constraint:
        """The support of the likelihood."""
        return self.whole.support

    @property
    def whole(self) -> TorchDistribution:
        """The distribution of every row, scored or not."""
        if self._whole is None:
            # Draws of Pyro's tensors that track dependencies fail in torch, and need no tracking.
            self._whole = self._decode(detach_provenance(self.z), self.covariates)
        return self._whole

    def of_elements(self, held: Bool[Tensor, "B *D"]) -> "Decoded":
        """The same, of which only the elements are observed where ``held`` is True.

        Args:
            held: (B, *event_shape).

        Raises:
            ValueError: For a likelihood whose elements are not independent given z, or a decoder
                that reads values and does not say that it reads which of them are missing.
        """
        check_factorises(self.name, self.likelihood, self.decoder)
        make, arguments = self.__reduce__()
        found: Decoded = make(*arguments, elements=held)
        return found

    @property
    def reads_value(self) -> bool:
        """Whether the decoder reads observed values."""
        return self._reads_value

    def having_read(self, value: Shaped[Tensor, "*#batch_D"]) -> TorchDistribution:
        """p(x_m | z) of all elements, where the decoder has read the observed ones."""
        return self._decode(self.z, self.covariates, value, self.elements)

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "Decoded":
        """The same under more batch dimensions."""
        z = self.z.expand(*batch_shape, -1)
        make, (likelihood, decoder, _, *rest) = self.__reduce__()
        expanded: Decoded = make(likelihood, decoder, z, *rest)
        return expanded

    def sample(
        self, sample_shape: Sequence[int] = torch.Size()
    ) -> Shaped[Tensor, "*sample_batch_D"]:
        """Draw every row, scored or not."""
        if self.undrawable is None:
            return self._sample(torch.Size(sample_shape))
        if is_validation_enabled():
            raise ValueError(self.undrawable)
        try:
            return self._sample(torch.Size(sample_shape))
        except (RuntimeError, ValueError) as error:
            raise ValueError(self.undrawable) from error

    def _sample(self, sample_shape: torch.Size) -> Tensor:
        if not self._reads_value:
            return self.whole.sample(sample_shape)
        if not isinstance(self.decoder, DrawsValue):
            raise TypeError(
                f"{type(self.decoder).__name__}: expected a method sample(z) that draws values, as "
                "its logits depend on the value (reads_value is True); give it one."
            )
        z = detach_provenance(self.z).expand(*sample_shape, *self.z.shape)
        read = _flat(self.covariates, z.shape[:-1])
        options = {"covariates": read} if read else {}
        value = self.decoder.sample(z.reshape(-1, z.shape[-1]), **options)
        return value.reshape(*z.shape[:-1], *value.shape[1:])

    def log_prob(self, value: Shaped[Tensor, "*#batch_D"]) -> Float[Tensor, "*batch"]:
        """Log-probability in nats, batch shape; zero in the rows that do not count."""
        held, read = self.elements, self.covariates
        if isinstance(self.where, bool):
            return self._score(self.z, read, value, held)
        tail = torch.Size(self.batch_shape[-self.where.dim() :])
        where = self.where.expand(tail)
        if unread(where):
            return self._masked(value, where, among(self.where))
        if len(tail) == 2 and value.dim() == len(self.event_shape) + 1:  # one value a row
            where = one_if_same(where)
        rows = indices(where)
        if rows is None:
            return self._score(self.z, read, value, held)
        if len(rows) == 0:
            return self.z.new_zeros(self.batch_shape)
        if where.shape != tail:  # whole strata count: no value is copied
            log_prob = self._score(self.z.index_select(-3, rows), read, value, held)
            return put_rows(rows, log_prob, tail[0], 0.0, dim=-2)
        lead = self.batch_shape[: -len(tail)]
        z = self.z.reshape(*lead, tail.numel(), -1).index_select(-2, rows)
        x = self._rows_of(value, rows, tail)
        held = None if held is None else self._rows_of(held, rows, tail)
        read = {n: c.index_select(0, rows % tail[-1]) for n, c in read.items()}
        log_prob = self._score(z, read, x, held)
        return put_rows(rows, log_prob, tail.numel(), 0.0, dim=-1).reshape(self.batch_shape)

    def _masked(self, value: Tensor, where: Tensor, terms: Tensor | None) -> Tensor:
        """Log-probability where a mask of unread values is True; every row is decoded.

        Args:
            value: The values.
            where: The mask, (B,) or (T, B).
            terms: The positions of the terms in which it may be True; None for all.
        """
        z, size = self.z, len(where)
        if terms is not None and value.dim() == len(self.event_shape) + 1:  # one value a row
            z, where = z.index_select(-3, terms), where.index_select(0, terms)
        else:
            terms = None
        if where.numel() == 0:
            return self.z.new_zeros(self.batch_shape)
        log_prob = self._score(z, self.covariates, value, self.elements, where)
        return put_rows(terms, torch.where(where, log_prob, 0.0), size, 0.0, dim=-2)

    def _rows_of(self, value: Tensor, rows: Tensor, tail: torch.Size) -> Tensor:
        """The values that belong to the flat positions ``rows`` of ``tail``."""
        dims = len(self.event_shape)
        batch = value.shape[: value.dim() - dims]
        if len(batch) == 1:  # one value a row of data, whatever the plates: the usual case
            return value.index_select(0, rows % tail[-1] if batch[0] > 1 else rows * 0)
        lead = batch[: -len(tail)]
        value = value.expand(*lead, *tail, *self.event_shape)
        return value.reshape(*lead, tail.numel(), *self.event_shape).index_select(len(lead), rows)

    def _score(
        self,
        z: Tensor,
        read: Covariates,
        value: Tensor,
        held: Tensor | None,
        where: Tensor | None = None,
    ) -> Tensor:
        """Log-probability of the values, or of their elements where ``held`` is True.

        It counts where ``where`` is True, whose values are unread.
        """
        p = self._decode(z, read, value, held, where)
        if where is not None:
            value = _legal(value, where, p)
        return (p if held is None else OfElements(p, held)).log_prob(value)

    def _decode(
        self,
        z: Tensor,
        read: Covariates,
        value: Tensor | None = None,
        held: Tensor | None = None,
        where: Tensor | None = None,
    ) -> TorchDistribution:
        batch = torch.Size(z.shape[:-1])
        more: tuple[Tensor, ...] = ()
        if value is not None and self._reads_value:
            event = self.event_shape
            seen = (value,) if held is None else (value, held)
            more = tuple(x.expand(*batch, *event).reshape(-1, *event) for x in seen)
        note = None if self.name is None else f"the decoder of modality {self.name!r}, given z"
        latents, read = z.reshape(-1, z.shape[-1]), _flat(read, batch)
        output = run_network(self.decoder, latents, *more, note=note, covariates=read, held=where)
        return of_decoder(self.likelihood, output, batch, self._data_shape, self.name)


def _legal(value: Tensor, where: Tensor, p: TorchDistribution) -> Tensor:
    """The values, with a number in the support in rows that do not count, which hold zeros."""
    each = elements_of(p)
    number = 0.0 if each is None else inside(each.support)
    if isinstance(number, float) and number == 0.0:
        return value
    counts = where if where.dim() == 1 else where.any(0)
    return torch.where(counts.reshape(-1, *[1] * (value.dim() - 1)), value, number)


def _flat(covariates: Covariates, batch: torch.Size) -> Covariates:
    """The covariates of rows, (B, ...), for the flattened latents of shape (*batch, F)."""
    return {
        n: x.expand(*batch, *x.shape[1:]).reshape(-1, *x.shape[1:]) for n, x in covariates.items()
    }


@cache
def _called(kind: type[Decoded], name: str) -> type[Decoded]:
    """The class under another name, as Pyro shows a distribution by the name of its class."""
    own = {"__module__": __name__, "__doc__": kind.__doc__}
    return new_class(name, (kind,), exec_body=lambda body: body.update(own))
