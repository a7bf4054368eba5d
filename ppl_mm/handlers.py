"""Effect handlers that objectives apply to models and guides."""

from collections.abc import Mapping
from typing import Any

import torch
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.poutine.messenger import Messenger
from torch import Tensor

from ppl_mm.distributions.reference import RowwiseReference

__all__ = ["Reference", "ScaleSites", "SkipAbsent"]


class ScaleSites(Messenger):
    """Multiply log-probabilities: lambda_m of the observed sites, beta of the latent ones.

    Apply it to the model *and* the guide: with ``Trace_ELBO`` a scale on the model's latent
    alone gives beta log p - log q, and ``TraceMeanField_ELBO`` reads the guide's scale for its
    analytic KL. ``poutine.scale`` refuses zero; here a zero weight is a mask.

    Args:
        weights: Observed site -> lambda; sites that are not named keep 1.
        beta: The factor of every latent site.

    Source: Wu & Goodman 2018, arXiv:1802.05335, eq. 2.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> from pyro import poutine
        >>> def model():
        ...     z = pyro.sample("z", dist.Normal(0.0, 1.0))
        ...     pyro.sample("x", dist.Normal(z, 1.0), obs=torch.tensor(0.0))
        >>> trace = poutine.trace(ScaleSites({"x": 0.0}, beta=0.5)(model)).get_trace()
        >>> trace.compute_log_prob()
        >>> trace.nodes["x"]["log_prob"].item(), trace.nodes["z"]["scale"]
        (0.0, 0.5)
    """

    def __init__(self, weights: Mapping[str, float] | None = None, beta: float = 1.0) -> None:
        super().__init__()
        self.weights, self.beta = dict(weights or {}), beta

    def _pyro_sample(self, msg: Any) -> None:
        if type(msg["fn"]).__name__ == "_Subsample":
            return
        weight = self.weights.get(msg["name"], 1.0) if msg["is_observed"] else self.beta
        if weight == 0:
            msg["mask"] = False
        elif weight != 1:
            msg["scale"] = msg["scale"] * weight


class Reference(Messenger):
    """Give the model's latent ``site`` another distribution in the rows that ask for it.

    Where ``rows`` is False the model keeps its own prior, whatever that is.
    """

    def __init__(self, site: str, distribution: TorchDistribution, rows: Tensor) -> None:
        super().__init__()
        self.site, self.distribution, self.rows = site, distribution, rows

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] == self.site and not msg["is_observed"]:
            msg["fn"] = RowwiseReference(self.rows, self.distribution, msg["fn"])


class SkipAbsent(Messenger):
    """Leave out the observed sites of modalities that the data do not hold at all.

    A model draws such a site, as any site without ``obs``; objectives and likelihoods have no
    use for the draw.
    """

    def __init__(self, absent: frozenset[str]) -> None:
        super().__init__()
        self.absent = absent

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] in self.absent:
            msg["value"], msg["done"], msg["stop"] = torch.zeros(()), True, True
