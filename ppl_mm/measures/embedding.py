"""The mean and the scale of every row's posterior, for any subset of its modalities."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.chunk import check_and_size
from ppl_mm.likelihood.posterior_draws import Refine, latents_given, scored_and_given
from ppl_mm.likelihood.targets import named
from ppl_mm.objectives.weights import guide_trace
from ppl_mm.results.embedding import Embedding
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = ["embed"]

_ROWS_AT_ONCE = 1000

Moments = tuple[Tensor, dict[str, tuple[Tensor, Tensor]]]
"""The positions of some rows, and site -> mean and standard deviation, (B, D) each."""


@typed
def embed(
    system: System,
    obs: Observations,
    given: str | Sequence[str] | None = None,
    *,
    refine: Refine = "none",
    num_draws: int = 1000,
    seed: int = 0,
) -> Embedding:
    """The mean and the standard deviation of every latent, given any modalities of each row.

    Those of the guide's q(z | x_given), in closed form; of a mixture, the moments of the whole
    mixture. Private latents w_m have q(w_m | x_m) in rows that hold x_m, and p(w_m) elsewhere.

    Args:
        system: A trained model and guide.
        obs: The rows; any of them may lack anything.
        given: The modalities to look at; None is all that each row holds, ``()`` the prior.
        refine: ``"none"``: the guide's moments. ``"auto"``: those of the model's own
            p(z | x_given), by draws from a proposal of each row's own, see :func:`ppl_mm.impute`;
            slower.
        num_draws: The draws of a row, where moments are not in closed form.
        seed: The seed of the draws.

    Returns:
        Means and scales by row, see :class:`ppl_mm.evaluation.Embedding`.

    Raises:
        ValueError: For unknown modalities, or rows that lack what the model conditions on.

    Example:
        >>> from ppl_mm import data, systems
        >>> digits = data.digits()
        >>> system = systems.mvae(digits.modalities, 4)
        >>> found = embed(system, digits.test[:5], ["top"])
        >>> found.mean["z"].shape, list(found.to_frame().columns)[3:5]
        (torch.Size([5, 4]), ['z[3]', 'z[0] scale'])
    """
    chunk = check_and_size(system, obs, None)
    names = obs.names if given is None else named("given", given, obs)
    obs = obs.to(system)
    with evaluating(system, seed):
        if refine == "auto":
            draws = latents_given(
                system, obs, names, num_draws, refine=refine, seed=seed, chunk=chunk
            )
            parts = [(rows, _of_draws(latents)) for rows, latents in draws]
        else:
            parts = list(_of_guide(system, scored_and_given(system, obs, names), num_draws))
    back = torch.cat([rows for rows, _ in parts]).argsort()
    sites = parts[0][1]
    mean, scale = (
        {n: torch.cat([found[n][i] for _, found in parts])[back.to(obs.device)] for n in sites}
        for i in (0, 1)
    )
    return Embedding(mean, scale, tuple(names))


def _of_guide(system: System, obs: Observations, num_draws: int) -> Iterator[Moments]:
    for rows in torch.arange(len(obs)).split(_ROWS_AT_ONCE):
        batch = obs[rows]
        q = guide_trace(system.guide, batch)
        found = {}
        for name in q.stochastic_nodes:
            fn = q.nodes[name]["fn"]
            if q.nodes[name]["infer"].get("is_auxiliary"):
                continue
            try:
                moments = fn.mean, fn.variance.sqrt()
            except NotImplementedError:  # such as a flow's
                drawn = fn.sample((num_draws,))
                moments = drawn.mean(0), drawn.std(0)
            shape = (len(rows), *fn.event_shape)
            mean, scale = (x.expand(shape).reshape(len(rows), -1) for x in moments)
            found[name] = (mean, scale)
        yield rows, found


def _of_draws(latents: Mapping[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """The moments of draws (K, 1, B, *event)."""
    flat = {n: x.squeeze(1).flatten(2) for n, x in latents.items()}
    return {n: (x.mean(0), x.std(0)) for n, x in flat.items()}
