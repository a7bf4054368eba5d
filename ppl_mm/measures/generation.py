"""Samples of any modalities given any others."""

from collections.abc import Sequence
from typing import Any, TypedDict

import torch
from jaxtyping import Shaped
from pyro import poutine
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.distributions import Decoded
from ppl_mm.measures.latent_sampler import LatentSampler
from ppl_mm.measures.private import private_draws
from ppl_mm.objectives.options import PrivateSource
from ppl_mm.objectives.weights import absent_names, guide_trace, model_trace, particles
from ppl_mm.programs.answerable import check_answerable
from ppl_mm.programs.asked import declared_names
from ppl_mm.programs.contracts import Model
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = [
    "GenerationOptions",
    "central_value",
    "elementwise",
    "generate",
    "generate_checked",
    "target_sites",
]


class GenerationOptions(TypedDict, total=False):
    """The options of :func:`generate` that measures of generated values hand on to it."""

    private: PrivateSource | Observations
    alpha: float
    prior: LatentSampler | None


@typed
def generate(
    system: System,
    obs: Observations,
    targets: str | Sequence[str],
    num_samples: int = 1,
    given: str | Sequence[str] | None = None,
    *,
    mean: bool = False,
    private: PrivateSource | Observations = "posterior",
    alpha: float = 1.0,
    prior: LatentSampler | None = None,
    seed: int = 0,
) -> dict[str, Shaped[Tensor, "{num_samples} N ..."]]:
    """Draw modalities given others: z ~ q(z | x_given), x_target ~ p(x_target | z).

    With shared and private latents, u ~ q(u | x_given), and w_target as ``private`` says.

    Args:
        system: The system, a model and a guide.
        obs: The rows. They need hold only what is given; ``Observations.blank(n)`` holds
            nothing, for draws from the prior.
        targets: The modalities to generate, held by ``obs`` or not.
        num_samples: The number of draws per row.
        given: The modalities to condition on; None is all that each row has (the target too, where
            it is there: a reconstruction), ``()`` is nothing: the prior.
        mean: Return the likelihood's mean (its mode for classes and symbols) at each z instead
            of a sample.
        private: The source of the targets' private latents w_m. ``"posterior"``: q(w_m | x_m)
            in rows that hold x_m where it is given, else p(w_m). ``"prior"``: p(w_m) everywhere.
            ``"auxiliary"``: the guide's auxiliary priors (MMVAE+). Other observations of as many
            rows: q(w_m | x_m) of those, so that u is one input's and w another's.
        alpha: The factor of the scale of the prior (or auxiliary prior) of w_m: below 1 the draws
            are nearer to its centre, at 0 they are there.
        prior: The distribution that draws the latents in place of the model's prior, where
            nothing is given, see :func:`ppl_mm.evaluation.fit_latent_sampler`.
        seed: The seed of the draws.

    Returns:
        Target -> (num_samples, N, *event_shape); classes as indices, one-hot data too.

    Raises:
        ValueError: For modalities that the model, or for ``given`` the data, do not have, or what
            a conditional model conditions on where it is a target, not given or missing; for
            fewer than one sample, alpha below 0, or ``private`` without private latents.

    Sources: Wu & Goodman 2018, arXiv:1802.05335, figures 5 to 8; Palumbo et al. 2023 (MMVAE+),
    figures 1, 8 and 9 and appendix G (alpha).
    """
    system.check(obs)
    names = (targets,) if isinstance(targets, str) else tuple(targets)
    known = (given,) if isinstance(given, str) else obs.names if given is None else tuple(given)
    return generate_checked(
        system,
        obs,
        names,
        num_samples,
        known,
        mean=mean,
        private=private,
        alpha=alpha,
        prior=prior,
        seed=seed,
    )


@typed
def generate_checked(
    system: System,
    obs: Observations,
    targets: Sequence[str],
    num_samples: int,
    given: Sequence[str],
    *,
    mean: bool = False,
    private: PrivateSource | Observations = "posterior",
    alpha: float = 1.0,
    prior: LatentSampler | None = None,
    seed: int = 0,
) -> dict[str, Shaped[Tensor, "{num_samples} N ..."]]:
    """:func:`generate` for rows that ``system.check`` has seen, as batches of checked rows have."""
    obs = obs.to(system)
    check_answerable(system.model, obs, targets, given)
    evidence = obs.given(*given)
    with evaluating(system, seed):
        with particles(num_samples), private_draws(system, evidence, private, alpha):
            q = guide_trace(system.guide, evidence)
        latents = {n: q.nodes[n]["value"] for n in q.stochastic_nodes}
        if prior is not None:
            latents = _sampled(prior, evidence, latents)
        sites = target_sites(system.model, obs, targets, latents, num_samples)
        return {
            n: (central_value(site["fn"]) if mean else site["value"]).squeeze(1)
            for n, site in sites.items()
        }


def _sampled(
    prior: LatentSampler, evidence: Observations, latents: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Draws of another prior, of the shapes of these latents."""
    if any(bool(mask.any()) for mask in evidence.evidence.values()):
        raise ValueError(
            "prior: latents come from a fitted density only where nothing is given; pass given=()."
        )
    sizes = {name: value.shape[-1] for name, value in latents.items()}
    if sizes != dict(prior.sizes):
        raise ValueError(
            f"prior: expected a density of the latents {sizes}, got one of {dict(prior.sizes)}; "
            "fit it to this system."
        )
    first = next(iter(latents.values()))
    drawn = prior.sample(first.shape[:-1].numel())
    return {name: value.reshape(latents[name].shape) for name, value in drawn.items()}


def target_sites(
    model: Model,
    obs: Observations,
    targets: Sequence[str],
    latents: dict[str, Shaped[Tensor, "{num_samples} ..."]],
    num_samples: int,
) -> dict[str, Any]:
    """The model's sites of the targets, drawn with the latents held fixed.

    Batch shapes (num_samples, 1, N).
    """
    obs = obs.drop(*(n for n in targets if n in obs.names))
    absent = absent_names(model, obs) - frozenset(targets)
    with particles(num_samples):
        p = model_trace(poutine.condition(model, data=latents), obs, absent)
    for name in targets:
        if name not in p.nodes:
            observed = declared_names(model) or tuple(p.stochastic_nodes)
            raise ValueError(unknown_name("modality to generate", name, observed))
    return {name: p.nodes[name] for name in targets}


def central_value(fn: TorchDistribution) -> Shaped[Tensor, "*batch_D"]:
    """A distribution's mean; its mode where the mean of an index means nothing."""
    fn = elementwise(fn)
    categorical = torch.distributions.Categorical | torch.distributions.OneHotCategorical
    return fn.mode if isinstance(fn, categorical) else fn.mean


def elementwise(fn: TorchDistribution) -> TorchDistribution:
    """The distribution of single elements inside a site's, such as Normal or Categorical."""
    while isinstance(fn, Decoded) or hasattr(fn, "base_dist"):
        fn = fn.whole if isinstance(fn, Decoded) else fn.base_dist
    return fn
