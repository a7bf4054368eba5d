"""Private latents from their priors, or from another input."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import TorchDistribution
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import Message

from ppl_mm.batch.observations import Observations
from ppl_mm.distributions.prior import diagonal
from ppl_mm.objectives.options import PrivateSource
from ppl_mm.programs.contracts import HasPrivate
from ppl_mm.systems import System

__all__ = ["private_draws"]


def private_draws(
    system: System, obs: Observations, private: PrivateSource | Observations, alpha: float
) -> AbstractContextManager[Any]:
    """A handler for the guide that gives its sites ``w_<modality>`` other distributions.

    Args: see :func:`ppl_mm.generate`.
    """
    guide = system.guide
    if isinstance(private, str) and private == "posterior" and alpha == 1.0:
        return nullcontext()
    if not isinstance(guide, HasPrivate):
        raise ValueError(
            f"private and alpha need a system with private latents, such as mmvae_plus; "
            f"{type(guide).__name__} has none."
        )
    other = obs
    if isinstance(private, Observations):
        system.check(private)
        if len(private) != len(obs):
            raise ValueError(f"private: expected {len(obs)} rows, as obs, got {len(private)}.")
        other, private = private.to(system), "posterior"
    if private == "posterior":
        return _Replaced({n: _posterior(guide, n, other, alpha) for n in guide.private_dim})
    priors = guide.priors_of_private(auxiliary=private == "auxiliary")
    if not priors:
        raise ValueError("private='auxiliary' needs a guide with auxiliary priors; this has none.")
    return _Replaced({n: _narrowed(prior(), alpha) for n, prior in priors.items()})


def _posterior(guide: HasPrivate, name: str, obs: Observations, alpha: float) -> dist.Independent:
    """q(w_m | x_m) where there is one, the prior with alpha times its scale elsewhere."""
    q = guide.private_posterior(name, obs)
    if name not in obs.names:
        return _narrowed(q, alpha)
    rows = (obs.evidence[name] & obs.scored[name])[..., None]
    base = q.base_dist
    return diagonal(
        guide.priors_of_private()[name].family,
        base.loc,
        torch.where(rows, base.scale, alpha * base.scale),
    )


def _narrowed(prior: TorchDistribution, alpha: float) -> dist.Independent:
    base = prior.base_dist
    return type(base)(base.loc, alpha * base.scale).to_event(1)


class _Replaced(Messenger):
    """Give the guide's private sites these distributions, by modality."""

    def __init__(self, distributions: Mapping[str, TorchDistribution]) -> None:
        super().__init__()
        self.distributions = distributions

    def _pyro_sample(self, msg: Message) -> None:
        fn = self.distributions.get(msg["name"].removeprefix("w_"))
        if fn is not None and msg["name"].startswith("w_") and not msg["is_observed"]:
            msg["fn"] = fn.expand(msg["fn"].batch_shape)
