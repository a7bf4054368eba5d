"""Weaker supervision: fewer paired rows, or modalities that are kept at random."""

import math

import torch

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.memory_mapped import MemoryMapped
from ppl_mm.batch.observations import Observations
from ppl_mm.objectives.options import UnpairedRows

__all__ = ["keep_modalities", "keep_pairs", "streams", "weakly_supervised"]


@typed
def weakly_supervised(obs: Observations, fraction: float, *, seed: int = 0) -> Observations:
    """Keep a random fraction of the rows paired and take the others apart.

    P = round(fraction N) of the N rows (at least 1 if fraction > 0) stay as they are, in their
    order. Each of the other N - P rows gives one row for every modality that it holds, with that
    modality alone. The rows of each modality follow as one stream in their own random order. So
    complete data of M modalities become P + M (N - P) rows; a modality that a row lacks adds no
    row.

    Args:
        obs: The data; rows may lack modalities.
        fraction: The share of paired rows, 0 to 1.
        seed: The seed of the choice of rows and of the streams' orders.

    Returns:
        The paired rows, then one stream a modality, in the order of ``obs.names``.

    Raises:
        ValueError: If ``fraction`` is outside [0, 1], or no row is left.

    Source: Wu & Goodman 2018, arXiv:1802.05335, section 5.1. Differs: any number of modalities.

    Example:
        >>> obs = Observations({"x": torch.zeros(10, 3), "y": torch.arange(10)})
        >>> weakly_supervised(obs, 0.2)
        Observations(18 rows; x(3,): 10 present, y(): 10 present)
    """
    _check_unit_interval("weakly_supervised", "fraction", fraction)
    generator = torch.Generator().manual_seed(seed)
    num_paired = max(1, round(fraction * len(obs))) if fraction > 0 else 0
    if num_paired == len(obs):
        return Observations(
            obs.values, obs.present, obs.elements, obs.covariates
        )  # This does not copy the values.
    order = torch.randperm(len(obs), generator=generator)
    paired, rest = order[:num_paired].sort().values, order[num_paired:]
    held = {name: obs.present[name].cpu() for name in obs.names}
    streams = {}
    for name in obs.names:
        stream = rest[held[name][rest]]
        streams[name] = stream[torch.randperm(len(stream), generator=generator)]

    rows = torch.cat([paired, *streams.values()])
    values, present = {}, {}
    rows = rows.to(obs.device)
    for name in obs.names:
        parts = [torch.full((len(rows_m),), m == name) for m, rows_m in streams.items()]
        values[name] = obs[name][rows]
        present[name] = torch.cat([held[name][paired], *parts]).to(obs[name].device)
    elements = {n: mask[rows] for n, mask in obs.elements.items()}
    covariates = {n: x[rows] for n, x in obs.covariates.items()}
    return Observations(values, present, elements, covariates)


@typed
def streams(
    obs: Observations,
    fraction: float,
    *,
    unpaired: UnpairedRows = "all",
    seed: int = 0,
) -> list[Observations]:
    """Make paired rows and a stream of rows for each modality, which :func:`ppl_mm.fit` trains on.

    Let N rows hold two modalities or more; ceil(fraction N) of them are paired, chosen at random.
    The stream of a modality holds only that modality. ``fit`` takes each stream in its own random
    order, so rows of different streams are not related.

    Args:
        obs: The data; rows may lack modalities.
        fraction: The share of paired rows, 0 to 1.
        unpaired: The rows of a modality's stream: ``"all"`` rows that have it, paired ones too, as
            in the source's release, or ``"disjoint"``, those that are not paired.
        seed: The seed of the choice of rows.

    Returns:
        The paired rows if there are any, then a stream for every modality that has one.

    Raises:
        ValueError: If ``fraction`` is outside [0, 1], or ``unpaired`` is unknown.

    Source: Kutuzova et al. 2020 (SVAE), section 4 and release.

    Example:
        >>> obs = Observations({"x": torch.zeros(10, 3), "y": torch.arange(10)})
        >>> [(len(part), part.names) for part in streams(obs, 0.2)]
        [(2, ('x', 'y')), (10, ('x',)), (10, ('y',))]
    """
    _check_unit_interval("streams", "fraction", fraction)
    generator = torch.Generator().manual_seed(seed)
    several = (torch.stack([m.cpu() for m in obs.present.values()]).sum(0) > 1).nonzero()[:, 0]
    order = several[torch.randperm(len(several), generator=generator)]
    num_paired = math.ceil(fraction * len(order) - 1e-9)  # 0.55 of 100 is 55 despite rounding
    paired = order[len(order) - num_paired :].sort().values
    rest = torch.ones(len(obs), dtype=torch.bool)
    rest[paired] = unpaired == "all"
    rows = rest.nonzero()[:, 0]
    found = [obs[paired]] if num_paired else []
    for name in obs.names:
        own = rows[obs.present[name].cpu()[rows]]
        if len(own):
            alone = obs.drop(*(n for n in obs.names if n != name))
            found.append(alone if len(own) == len(obs) else alone[own])
    return found


@typed
def keep_modalities(obs: Observations, probability: float, *, seed: int = 0) -> Observations:
    """Keep each modality of each row independently with the same probability, once.

    Args:
        obs: The data; modalities that a row lacks stay missing.
        probability: The probability of keeping a modality, 0 to 1.
        seed: The seed of the draws.

    Returns:
        The same number of rows; a row that keeps no modality contributes nothing. Rows of
        :class:`ppl_mm.data.MemoryMapped` stay in their files.

    Raises:
        ValueError: If ``probability`` is outside [0, 1].

    Source: Wu & Goodman 2018, arXiv:1802.05335, appendix F. Differs: none (the
    caption of its figure says "drop" and means "keep").

    Example:
        >>> obs = Observations({"x": torch.zeros(1000, 3), "y": torch.arange(1000)})
        >>> int(keep_modalities(obs, 0.0).present["x"].sum())
        0
    """
    _check_unit_interval("keep_modalities", "probability", probability)
    generator = torch.Generator().manual_seed(seed)
    present = {}
    for name, held in obs.present.items():
        keep = torch.rand(len(obs), generator=generator) < probability
        present[name] = held & keep.to(held.device)
    if isinstance(obs, MemoryMapped):
        return obs.masked(present)
    return Observations(obs.values, present, obs.elements, obs.covariates)


@typed
def keep_pairs(
    obs: Observations, fraction: float, *, always: str | None = None, seed: int = 0
) -> Observations:
    """Keep a random fraction of the rows as they are, and one modality of each other row.

    floor(fraction N) of the N rows stay paired. The others keep MEME's "always present" modality.
    Under SPLIT each of M modalities is kept in a share 1 / M of the unpaired rows, and no row keeps
    two. The choice is made once: a row shows the same modality in every epoch. With
    :func:`weakly_supervised` every row gives all modalities that it holds, one at a time.

    Args:
        obs: The data; rows may lack modalities, which stay missing. Such a row may be among the
            paired ones. An unpaired one keeps one of the modalities that it holds, or none if it
            lacks the one that all rows keep.
        fraction: The share of paired rows, 0 to 1.
        always: The modality that all rows keep; None for SPLIT.
        seed: The seed of the choice. With the same seed, a row that is paired at one fraction is
            paired at every larger one. It keeps the same modality at all fractions at which it is
            not paired.

    Returns:
        The same number of rows, in their order.

    Raises:
        ValueError: If ``fraction`` is outside [0, 1], or the modality is unknown.

    Source: Joy et al. 2022, arXiv:2106.12570, section 4.1: MEME_MNIST is ``always="mnist"``.
    Differs: any number of modalities.

    Example:
        >>> obs = Observations({"x": torch.zeros(100, 3), "y": torch.arange(100)})
        >>> keep_pairs(obs, 0.2, always="x")
        Observations(100 rows; x(3,): 100 present, y(): 20 present)
        >>> split = keep_pairs(obs, 0.2).present
        >>> [int(mask.sum()) for mask in (split["x"], split["y"], split["x"] & split["y"])]
        [60, 60, 20]
    """
    _check_unit_interval("keep_pairs", "fraction", fraction)
    if always is not None and always not in obs.names:
        raise ValueError(unknown_name("modality", always, obs.names))
    place = torch.randperm(len(obs), generator=torch.Generator().manual_seed(seed))
    paired = place < math.floor(fraction * len(obs) + 1e-9)  # 0.29 of 100 is 29 despite rounding
    held = torch.stack([mask.cpu() for mask in obs.present.values()])
    if always is None:
        chosen = held & (held.cumsum(0) - 1 == place % held.sum(0).clamp(min=1))
    else:
        chosen = held & torch.tensor([[name == always] for name in obs.names])
    kept = dict(zip(obs.names, torch.where(paired, held, chosen), strict=True))
    present = {n: kept[n].to(obs.present[n].device) for n in obs.names}
    return Observations(obs.values, present, obs.elements, obs.covariates)


def _check_unit_interval(where: str, what: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{where}: expected {what} from 0 to 1, got {value}.")
