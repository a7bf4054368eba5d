"""The guide's posterior against a long Markov chain of the model's own."""

from collections.abc import Sequence

import torch
from pyro.infer import MCMC, NUTS
from pyro.infer.autoguide.initialization import init_to_sample
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.sites import gradients_of
from ppl_mm.likelihood.targets import named
from ppl_mm.objectives.handlers import SkipAbsent
from ppl_mm.objectives.weights import absent_names, guide_trace, particles
from ppl_mm.programs.answerable import check_answerable, conditioned_on
from ppl_mm.programs.contracts import Model
from ppl_mm.results.posterior_check import PosteriorCheck
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = ["posterior_check"]

_MOST_ROWS = 100


@typed
def posterior_check(
    system: System,
    obs: Observations,
    given: str | Sequence[str] | None = None,
    *,
    num_samples: int = 500,
    num_warmup: int = 300,
    num_chains: int = 2,
    seed: int = 0,
) -> PosteriorCheck:
    """Draw p(z | x_given) of a few rows by NUTS, and hold the guide against it.

    A likelihood's proposal, a latent's picture and an imputation are all as good as q(z | x); the
    chains need no guide, and say how good that is. All rows move together in one chain, and the
    time grows with their number and with the differences between their posteriors. Use few rows.

    Args:
        system: A trained model and guide.
        obs: The rows, at most 100; any modality may be missing.
        given: The modalities to condition on; with None, all that each row holds.
        num_samples: The number of draws of each chain. The guide gives as many as all chains.
        num_warmup: The number of earlier draws, which find step sizes and scales.
        num_chains: The number of chains, which start at draws of the prior; R-hat needs two.
        seed: The seed of the draws; torch's own generators keep their states.

    Raises:
        ValueError: If there are more than 100 rows, a number below 1, or an unknown modality.

    Source: Hoffman & Gelman 2014, arXiv:1111.4246, by ``pyro.infer.NUTS``.
    """
    system.check(obs)
    if len(obs) > _MOST_ROWS:
        raise ValueError(
            f"posterior_check: expected at most {_MOST_ROWS} rows, got {len(obs)}; they share one "
            "chain. Take some: obs[:5]."
        )
    names = named("given", obs.names if given is None else given, obs)
    if not names:
        raise ValueError("given: expected at least one modality, got none.")
    fixed = conditioned_on(system.model)
    scored = [n for n in names if n not in fixed]
    check_answerable(system.model, obs, scored, [n for n in names if n in fixed])
    obs = obs.to(system).scoring(*scored).given(*names)
    absent = SkipAbsent(absent_names(system.model, obs))
    with evaluating(system, seed):
        with particles(num_chains * num_samples):
            q = guide_trace(system.guide, obs)
        with torch.enable_grad(), gradients_of(system.model):
            chains = [
                _chain(absent(system.model), obs, num_samples, num_warmup)
                for _ in range(num_chains)
            ]
    guide = {n: _by_row(q.nodes[n]["value"].squeeze(1), len(obs)) for n in q.stochastic_nodes}
    exact = {n: torch.stack([_by_row(c[n], len(obs)) for c in chains]) for n in chains[0]}
    return PosteriorCheck(exact, guide, names)


def _chain(model: Model, obs: Observations, num_samples: int, num_warmup: int) -> dict[str, Tensor]:
    kernel = NUTS(model, init_strategy=init_to_sample)
    chain = MCMC(kernel, num_samples, warmup_steps=num_warmup, disable_progbar=True)
    chain.run(obs)
    return dict(chain.get_samples())


def _by_row(draws: Tensor, num_rows: int) -> Tensor:
    """Draws (K, B, *event), or (K, *event) of what all rows share, as (K, B, D)."""
    if draws.dim() > 1 and draws.shape[1] in (1, num_rows):
        draws = draws.reshape(*draws.shape[:2], -1)
    else:
        draws = draws.reshape(len(draws), 1, -1)
    return draws.detach().expand(-1, num_rows, -1)
