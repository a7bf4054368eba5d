"""The quantity to estimate: log p(x_A), or log p(y | x_B) of labels y by the weights of x_B."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.importance import LogWeights
from ppl_mm.likelihood.shares import summarise_shares
from ppl_mm.likelihood.summarise import equal_weights, summarise_weights
from ppl_mm.likelihoods import (
    Bernoulli,
    Categorical,
    NegativeBinomial,
    Poisson,
    Tokens,
    ZeroInflatedNegativeBinomial,
)
from ppl_mm.modality import Modality

__all__ = ["Estimand", "has_mass", "labels_alone"]

_MOST_LABELS = 32  # yes-or-no values of a label; more are an image, see Estimand
_DISCRETE = (
    Bernoulli,
    Categorical,
    NegativeBinomial,
    Poisson,
    Tokens,
    ZeroInflatedNegativeBinomial,
)


@dataclass(frozen=True)
class Estimand:
    """The quantity that the draws of a row estimate.

    Without ``given`` it is log p(x_names), the log of the mean weight. With ``given`` the names are
    labels, and the weights are those of x_given alone:

        p(y | x_B)  =  sum_k w_k p(y | z_k) / sum_k w_k,      w_k = p(x_B, z_k) / r(z_k)

    which needs draws near the posterior of x_B. The posterior of (y, x_B) is not far from it where
    y is a label, and far where y is an image; log p(y | x_B) is then a difference of two estimates.

    Attributes:
        names: The modalities that are scored.
        given: The modalities that weigh the draws; None where the names do.
    """

    names: tuple[str, ...]
    given: tuple[str, ...] | None = None

    @property
    def scored(self) -> tuple[str, ...]:
        """All modalities that are to be scored."""
        return (*self.names, *(self.given or ()))

    def terms(self, weights: LogWeights) -> tuple[Float[Tensor, "S K N"], ...]:
        """The log-weights, and log p(y | z) where there is a given, (S, K, N) each."""
        if self.given is None:
            return (weights.of(self.names),)
        log_w = weights.of(self.given)
        zero = torch.zeros_like(weights.latent)
        log_h = sum((weights.sites[n] for n in self.names if n in weights.sites), zero)
        return log_w, log_h.reshape(log_w.shape)

    def columns(
        self, terms: Sequence[Float[Tensor, "S K N"]], log_pi: Float[Tensor, "S N"]
    ) -> dict[str, Shaped[Tensor, " N"]]:
        """The columns of a result."""
        if self.given is None:
            return summarise_weights(terms[0], log_pi)
        return summarise_shares(terms[0], terms[1], log_pi)

    def log_weights(
        self, terms: Sequence[Float[Tensor, "S K N"]], log_pi: Float[Tensor, "S N"]
    ) -> Float[Tensor, "S*K N"]:
        """Logs of numbers whose mean is the estimate, (S K, N), single precision."""
        log_w = terms[0].double()
        if self.given is not None:
            flat = (log_w + log_pi[:, None]).flatten(0, 1)
            below = flat.logsumexp(0) - torch.tensor(float(log_w.shape[1])).log()
            log_w = log_w + terms[1] - below
        return equal_weights(log_w, log_pi)


def labels_alone(modalities: Sequence[Modality], obs: Observations, names: Sequence[str]) -> bool:
    """Whether all names are labels: classes, or at most 32 yes-or-no values."""
    kinds = {m.name: m.likelihood for m in modalities}
    return all(_is_label(kinds.get(n), obs.values[n]) for n in names)


def has_mass(modalities: Sequence[Modality], names: Sequence[str]) -> bool:
    """Whether all names are discrete, so that no log p of them is above 0."""
    kinds = {m.name: m.likelihood for m in modalities}
    return all(isinstance(kinds.get(n), _DISCRETE) for n in names)


def _is_label(likelihood: object, values: Tensor) -> bool:
    if isinstance(likelihood, Categorical):
        return True
    return isinstance(likelihood, Bernoulli) and values[:1].numel() <= _MOST_LABELS
