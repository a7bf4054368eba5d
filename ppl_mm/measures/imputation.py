"""Imputation of missing elements and modalities, given what a row holds."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from pyro import poutine
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.distributions import Decoded
from ppl_mm.likelihood.chunk import check_and_size
from ppl_mm.likelihood.posterior_draws import Refine, latents_given
from ppl_mm.measures.generation import elementwise, target_sites
from ppl_mm.objectives.sites import Site
from ppl_mm.objectives.weights import absent_names, model_trace, particles
from ppl_mm.programs.answerable import conditioned_on
from ppl_mm.results.imputation import Imputation
from ppl_mm.systems import System
from ppl_mm.systems.evaluating import evaluating

__all__ = ["impute"]

_NUMBERS = 2**22  # The most numbers in the draws that are held together.
_ROWS = 256
_CLASSES = (torch.distributions.Categorical, torch.distributions.OneHotCategorical)


@typed
def impute(
    system: System,
    obs: Observations,
    targets: str | Sequence[str] | None = None,
    *,
    num_draws: int = 200,
    level: float = 0.95,
    refine: Refine = "auto",
    keep_draws: bool = True,
    chunk: int | None = None,
    seed: int = 0,
) -> Imputation:
    """Fill in what rows lack, elements and modalities alike, given all that each row holds.

        z_k ~ p(z | x_held),    x_k ~ p(x_missing | z_k),    k = 1, ..., K

    The mean is the average of E[x_missing | z_k]; classes and symbols have the one with the highest
    average probability. Intervals are those of the draws x_k.

    Args:
        system: A trained model and guide.
        obs: The rows; any of them may lack anything.
        targets: The modalities to fill in; None is all that the model has a density of.
        num_draws: K.
        level: The share of p(x_missing | x_held) that an interval holds, between 0 and 1.
        refine: The source of z. ``"auto"``: a proposal of each row's own, resampled by its
            importance weights, as behind ``log_likelihood(..., refine="auto")``: draws of the
            model's own posterior, whatever the guide. ``"none"``: the guide's draws, which are
            faster, and as good as the guide. Where a latent is discrete, they are the guide's.
        keep_draws: Whether the result holds the draws: K numbers an element.
        chunk: The most (draw, row) pairs that are decoded at a time; None as in
            :func:`ppl_mm.log_likelihood`.
        seed: The seed of the draws.

    Returns:
        Values without holes, see :class:`ppl_mm.evaluation.Imputation`.

    Raises:
        ValueError: For unknown targets, or what the model conditions on, which it cannot fill in.

    Example:
        >>> from ppl_mm import Observations, data, systems
        >>> digits = data.digits()
        >>> system = systems.mvae(digits.modalities, 4)
        >>> found = impute(system, digits.test[:3].without("label"), "label", num_draws=20)
        >>> found.mean["label"].shape, bool(found.observed["label"].any())
        (torch.Size([3]), False)
    """
    if not 0 < level < 1:
        raise ValueError(f"level: expected a share between 0 and 1, got {level}.")
    chunk = check_and_size(system, obs, chunk)
    names = _targets(system, targets)
    obs = obs.to(system)
    order, parts = [], []
    with evaluating(system, seed):
        held = [n for n in obs.names if bool(obs.present[n].any())]
        draws = latents_given(
            system,
            obs,
            held,
            num_draws,
            refine=refine,
            seed=seed,
            chunk=chunk,
            rows_at_once=_rows_at_once(system, obs, names, held, num_draws),
        )
        for rows, latents in draws:
            order.append(rows)
            filled = _filled(system, obs[rows], names, latents, level)
            parts.append(
                {n: x if keep_draws else x._replace(draws=None) for n, x in filled.items()}
            )
    back = torch.cat(order).argsort()

    def joined(kind: str) -> dict[str, Tensor]:
        dim = int(kind == "draws")
        found = {n: [getattr(part[n], kind) for part in parts] for n in names}
        return {
            n: torch.cat(x, dim).index_select(dim, back.to(x[0].device))
            for n, x in found.items()
            if x[0] is not None
        }

    return Imputation(**{kind: joined(kind) for kind in _Filled._fields}, level=level)


class _Filled(NamedTuple):
    """The values of a block of rows of one modality, see :class:`Imputation`."""

    observed: Tensor
    mean: Tensor
    low: Tensor | None
    high: Tensor | None
    draws: Tensor | None


def _targets(system: System, targets: str | Sequence[str] | None) -> tuple[str, ...]:
    fixed = conditioned_on(system.model)
    known = tuple(m.name for m in system.modalities if m.name not in fixed)
    names = known if targets is None else (targets,) if isinstance(targets, str) else tuple(targets)
    for name in names:
        if name in fixed:
            raise ValueError(
                f"modality {name!r}: the model conditions on it and has no density of it, so it "
                "cannot be filled in."
            )
        if name not in known:
            raise ValueError(unknown_name("modality to fill in", name, known))
    return names


def _rows_at_once(
    system: System, obs: Observations, names: Sequence[str], held: Sequence[str], num_draws: int
) -> int:
    """The number of rows whose draws fit in ``_NUMBERS`` numbers, by the draws of one row."""
    one = latents_given(system, obs[:1], held, 1, refine="none", seed=0, chunk=1)
    sites = target_sites(system.model, obs[:1], names, next(one)[1], 1)
    size = sum(site["value"].numel() for site in sites.values())
    return max(1, min(_ROWS, _NUMBERS // (num_draws * size)))


def _filled(
    system: System,
    obs: Observations,
    names: Sequence[str],
    latents: Mapping[str, Tensor],
    level: float,
) -> dict[str, _Filled]:
    """Every modality of a block of rows, of which latents (K, 1, B, *event) are drawn."""
    missing = [n for n in names if n not in obs.names or not bool(obs.observed(n).all())]
    num_draws = len(next(iter(latents.values())))
    found = {
        n: _Filled(obs.observed(n), obs[n], None, None, obs[n].expand(num_draws, *obs[n].shape))
        for n in names
        if n not in missing
    }
    if missing:
        sites = target_sites(system.model, obs, missing, dict(latents), num_draws)
        for name in missing:
            own = _read_by_decoder(system, obs, name, dict(latents), num_draws)
            found[name] = _of_site(obs, name, sites[name], own)
    return {n: _with_interval(system, x, level) for n, x in found.items()}


def _of_site(obs: Observations, name: str, site: Site, own: TorchDistribution | None) -> _Filled:
    """The draws of a modality and their mean, with the observed values in their place."""
    drawn, centre = site["value"].squeeze(1), _centre(site["fn"])
    if name not in obs.names:
        return _Filled(torch.zeros_like(centre, dtype=torch.bool), centre, None, None, drawn)
    x, observed = obs[name], obs.observed(name)
    if x.dim() > centre.dim():  # one-hot rows, of which classes are drawn
        drawn, centre = (torch.nn.functional.one_hot(y, x.shape[-1]) for y in (drawn, centre))
    if own is not None:  # the rows that hold some elements, which the decoder has read
        some = obs.present[name].reshape(-1, *[1] * (x.dim() - 1))
        drawn = torch.where(some, own.sample().squeeze(1), drawn)
        centre = torch.where(some, _centre(own), centre)
    return _Filled(
        observed,
        torch.where(observed, x.to(centre.dtype), centre),
        None,
        None,
        torch.where(observed, x.to(drawn.dtype), drawn),
    )


def _read_by_decoder(
    system: System, obs: Observations, name: str, latents: dict[str, Tensor], num_draws: int
) -> TorchDistribution | None:
    """p(x | z) of all elements by a decoder that reads the observed ones; None by any other."""
    if name not in obs.elements:
        return None
    with particles(num_draws):
        p = model_trace(
            poutine.condition(system.model, data=latents), obs, absent_names(system.model, obs)
        )
    fn = p.nodes[name]["fn"]
    return fn.having_read(obs[name]) if isinstance(fn, Decoded) and fn.reads_value else None


def _centre(fn: TorchDistribution) -> Tensor:
    """The average mean over draws (K, 1, B); the most probable of classes and symbols."""
    fn = elementwise(fn)
    if isinstance(fn, _CLASSES):
        return fn.probs.mean((0, 1)).argmax(-1)
    return fn.mean.mean((0, 1))


def _with_interval(system: System, x: _Filled, level: float) -> _Filled:
    """The same with the interval of the draws, if they are numbers."""
    assert x.draws is not None
    if not x.mean.is_floating_point():
        return x
    ends = x.mean.new_tensor([0.5 - 0.5 * level, 0.5 + 0.5 * level])
    low, high = torch.quantile(x.draws.to(x.mean.dtype), ends, 0)
    low, high = (torch.where(x.observed, x.mean, end) for end in (low, high))
    return x._replace(low=low, high=high)
