"""Predictions averaged over draws of the posterior of what is given.

    p(x_m | x_S)  =  sum_k w_k p(x_m | z_k) / sum_k w_k

with the draws and weights of :func:`ppl_mm.log_likelihood`, so that both say the same of a label.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Shaped
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, OneHotCategorical

from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.weighted import Weighted, weighted_draws
from ppl_mm.measures.generation import elementwise, target_sites
from ppl_mm.processes import gathered, in_turn, own_share
from ppl_mm.programs.answerable import check_answerable
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = ["Averaged", "averaged", "own_values"]


class Averaged(NamedTuple):
    """The prediction of every row.

    Attributes:
        mean: The probabilities of classes and symbols, (N, *event, C); else the mean, (N, *event).
        log_p: log p of the rows' own values, nats, (N,); None where they were not asked for.
        kind: The class of the distribution of single elements.
    """

    mean: Tensor
    log_p: Tensor | None
    kind: type

    @property
    def exclusive(self) -> bool:
        """Whether the mean is of classes that exclude each other."""
        return issubclass(self.kind, Categorical | OneHotCategorical)


def averaged(
    system: System,
    obs: Observations,
    target: str,
    given: str | Sequence[str] | None,
    num_samples: int,
    *,
    refine: str = "auto",
    seed: int = 0,
    score: bool = False,
) -> Averaged:
    """The mean of p(x_target | z) over weighted draws of p(z | x_given).

    Args:
        system: A model and a guide.
        obs: The rows.
        target: The modality to predict.
        given: The modalities to look at; None is all but the target.
        num_samples: The number of draws a row.
        refine: See :func:`ppl_mm.log_likelihood`.
        seed: The seed of the draws.
        score: Whether the rows' own values of the target are scored too.
    """
    names = (given,) if isinstance(given, str) else given
    names = tuple(n for n in obs.names if n != target) if names is None else tuple(names)
    check_answerable(system.model, obs, [target], names)
    asked = f"predictions of {target} of {len(obs)} rows by draws, seed {seed}"
    share = own_share(len(obs), asked)
    obs = obs[share].to(system)
    order, means, scores = [], [], []
    kind: type = object
    with evaluating(system, seed):
        for part in weighted_draws(system, obs, target, names, num_samples, refine, seed):
            mean, log_p, kind = _of_block(system, obs[part.rows], target, part, score)
            order.append(part.rows)
            means.append(mean)
            scores.append(log_p)
    back = torch.cat(order).argsort().to(obs.device)
    whole = [torch.cat(part)[back] for part in (means, scores)]
    if share != slice(None):
        parts = gathered([x.cpu() for x in whole])
        whole = [in_turn([part[i] for part in parts]).to(obs.device) for i in (0, 1)]
    return Averaged(whole[0], whole[1] if score else None, kind)


def own_values(base: TorchDistribution, values: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
    """Values in the form of a site that is drawn without data: one-hot rows as indices."""
    one_hot = isinstance(base, Categorical) and values.is_floating_point()
    return values.argmax(-1) if one_hot else values


def _of_block(
    system: System, obs: Observations, target: str, part: Weighted, score: bool
) -> tuple[Tensor, Tensor, type]:
    """The mean, log p and the kind of distribution, some draws at a time."""
    totals: list[Tensor] = []
    log_p = part.log_share.new_full((len(obs),), -torch.inf)
    each = max(1, part.chunk // len(obs))
    for start in range(0, len(part.log_share), each):
        share = part.log_share[start : start + each]
        latents = {n: value[start : start + each] for n, value in part.latents.items()}
        fn: TorchDistribution = target_sites(system.model, obs, [target], latents, len(share))[
            target
        ]["fn"]
        base = elementwise(fn)
        mean = base.probs if isinstance(base, Categorical | OneHotCategorical | Bernoulli) else None
        mean = (base.mean if mean is None else mean).squeeze(1).double()
        totals.append(torch.einsum("kb,kb...->b...", share.exp(), mean))
        if score:
            hit = fn.log_prob(own_values(base, obs[target])).squeeze(1).double().clamp(max=0.0)
            log_p = torch.logaddexp(log_p, (share + hit).logsumexp(0))
    return torch.stack(totals).sum(0), log_p.clamp(max=0.0), type(base)
