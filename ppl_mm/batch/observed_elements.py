"""The log-probability of the elements that are observed, where others of the row are missing.

Of independent elements given z the marginal of those that are observed is the product of theirs:

    log p(x_observed | z)  =  sum over observed elements e of log p(x_e | z)
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Shaped
from pyro.distributions import MaskedDistribution, constraints
from pyro.distributions.torch import Independent
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message
from torch import Tensor
from torch.distributions import transform_to

from ppl_mm.batch.host_masks import aside

__all__ = [
    "SCORES_ELEMENTS",
    "ObservedElements",
    "OfElements",
    "elements_of",
    "inside",
    "refuse_holes",
]

SCORES_ELEMENTS = "scores_elements"
"""The key of ``infer`` at a site that scores only the elements that are observed."""


class OfElements(TorchDistribution):
    """Independent elements of which some are observed; draws are of all of them.

    Args:
        whole: The distribution, ``Independent`` over one with an element a batch entry.
        held: The mask of observed elements, (B, *D).

    Example:
        >>> import pyro.distributions as dist
        >>> whole = dist.Normal(torch.zeros(1, 2), 1.0).to_event(1)
        >>> p = OfElements(whole, torch.tensor([[True, False]]))
        >>> x = torch.ones(1, 2)
        >>> torch.equal(p.log_prob(x), whole.base_dist.log_prob(x)[:, 0])
        True
    """

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def __init__(self, whole: TorchDistribution, held: Bool[Tensor, "B ..."]) -> None:
        self.whole, self.held = whole, held
        super().__init__(whole.batch_shape, whole.event_shape, validate_args=False)

    @property
    def has_rsample(self) -> bool:
        """Whether draws have a gradient."""
        return bool(self.whole.has_rsample)

    @property
    def support(self) -> constraints.Constraint:
        """The support of the whole distribution."""
        return self.whole.support

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "OfElements":
        """The same under more batch dimensions."""
        return OfElements(self.whole.expand(torch.Size(batch_shape)), self.held)

    def sample(
        self, sample_shape: Sequence[int] = torch.Size()
    ) -> Shaped[Tensor, "*sample_batch_D"]:
        """Draws of all elements."""
        return self.whole.sample(sample_shape)

    def rsample(
        self, sample_shape: Sequence[int] = torch.Size()
    ) -> Float[Tensor, "*sample_batch_D"]:
        """Draws of all elements, with a gradient."""
        return self.whole.rsample(sample_shape)

    def log_prob(self, value: Shaped[Tensor, "*#batch_D"]) -> Float[Tensor, "*batch"]:
        """Log-probability of the observed elements in nats; the others reach no gradient."""
        each = elements_of(self.whole)
        assert each is not None
        value = torch.where(self.held, value, inside(each.support))
        found = torch.where(self.held, each.log_prob(value), 0.0)
        return found.flatten(-len(self.event_shape)).sum(-1)


def elements_of(p: TorchDistribution) -> TorchDistribution | None:
    """The distribution of each element, batch shape (..., *D); None where they are dependent."""
    dims = len(p.event_shape)
    while isinstance(p, Independent):
        p = p.base_dist
    return p if dims and not p.event_shape else None


def refuse_holes(name: str | None, kind: str) -> ValueError:
    """The error for elements that are missing under a likelihood that has no marginal of others."""
    return ValueError(
        f"modality {name!r}: elements are missing of rows that are present, and {kind} does not "
        "factorise over elements. Mark such rows as missing, "
        f"Observations(values, present={{{name!r}: elements.flatten(1).all(1)}}), or make each "
        "part a modality of its own."
    )


class ObservedElements(Messenger):
    """Observed sites inside score only the elements that are observed.

    Args:
        elements: Name of the site -> which elements are observed, (B, *D).

    Raises:
        ValueError: For a site whose distribution does not factorise over elements.
    """

    def __init__(self, elements: Mapping[str, Bool[Tensor, "B ..."]]) -> None:
        super().__init__()
        self.elements = elements

    def _pyro_sample(self, msg: Message) -> None:
        name = msg["name"]
        if msg["is_observed"] and name in self.elements:
            msg["fn"] = _scoring(name, msg["fn"], self.elements[name])
            msg["infer"] = {**msg["infer"], SCORES_ELEMENTS: True}


def _scoring(name: str, fn: TorchDistribution, held: Tensor) -> TorchDistribution:
    if isinstance(fn, MaskedDistribution):
        return _scoring(name, fn.base_dist, held).mask(fn._mask)
    if hasattr(fn, "of_elements"):
        found: TorchDistribution = fn.of_elements(held)
        return found
    if elements_of(fn) is None:
        raise refuse_holes(name, f"the model's {type(fn).__name__}")
    return OfElements(fn, held)


def inside(support: constraints.Constraint) -> Float[Tensor, "..."] | float:
    """A number in the support: 0 where it is one, as of all counts and binary values."""
    with aside():
        try:
            found: Tensor = transform_to(support)(torch.zeros(()))
        except NotImplementedError:
            return 0.0
        return found if found.dim() or found.is_cuda else found.item()
