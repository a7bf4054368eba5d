"""The arguments ``target`` and ``given`` of a likelihood, log p(x_target | x_given)."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.likelihood.estimand import has_mass
from ppl_mm.likelihood.row_noise import add_holes
from ppl_mm.modality import Modality
from ppl_mm.programs.answerable import check_held
from ppl_mm.results.log_likelihood import COLUMNS, LogLikelihood

__all__ = ["asked_names", "certain", "named"]


def asked_names(
    obs: Observations, target: str | Sequence[str] | None, given: str | Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names A and B of p(x_A | x_B); a target of None is all that is not given.

    Raises:
        ValueError: For unknown modalities, one that is named twice, no target, or one of which
            no row holds anything.
    """
    given_names = named("given", given or (), obs)
    rest = tuple(n for n in obs.names if n not in given_names)
    names = named("target", rest if target is None else target, obs)
    if target is not None and not any(bool(obs.present[n].any()) for n in names):
        check_held(obs, names)  # where rows hold some of the target, it is that of these
    both = set(names) & set(given_names)
    if both:
        raise ValueError(f"modality {min(both)!r} is both target and given; choose one.")
    if not names:
        raise ValueError("expected at least one target modality, got none.")
    return names, given_names


def named(what: str, names: str | Sequence[str], obs: Observations) -> tuple[str, ...]:
    """Names of modalities, one or several, as a tuple.

    Raises:
        ValueError: For unknown modalities, or one that is named twice.
    """
    found = (names,) if isinstance(names, str) else tuple(names)
    for name in found:
        if name not in obs.names:
            raise ValueError(unknown_name(f"{what} modality", name, obs.names))
        if found.count(name) > 1:
            raise ValueError(f"{what} modality {name!r} is named twice.")
    return found


def certain(
    result: LogLikelihood, obs: Observations, modalities: Sequence[Modality]
) -> LogLikelihood:
    """The result with what is known for certain, and all rows' ids.

    log p is exactly 0, without error, in the rows that hold nothing of the target, and never above
    0 where the target is discrete.
    """
    if has_mass(modalities, result.target):
        ends: dict[str, Any] = {f: getattr(result, f).clamp(max=0.0) for f in ("value", "high")}
        result = replace(result, **ends)
    held = torch.stack([obs.present[n] for n in result.target]).any(0)
    ess = torch.where(held, result.ess, float(result.num_samples))
    fields = [f for f in (*COLUMNS, "shared_error") if f not in ("ess", "draws")]
    zeroed: dict[str, Any] = {f: torch.where(held, getattr(result, f), 0.0) for f in fields}
    ids = _row_ids(obs, (*result.target, *result.given))
    parts = tuple(part.masked(held) for part in result.parts)
    return replace(result, ess=ess, row_ids=ids, parts=parts, **zeroed)


def _row_ids(obs: Observations, names: Sequence[str]) -> tuple[str, ...]:
    """A fingerprint of what each row holds of some modalities, whatever its dtype and device."""
    digests = [hashlib.blake2b(digest_size=8) for _ in range(len(obs))]
    for name in sorted(names):
        held, values = obs.present[name], obs.values[name]
        values = values.masked_fill(~held.reshape(-1, *[1] * (values.dim() - 1)), 0)
        numbers = (values.float() if values.is_floating_point() else values.long()).cpu()
        for digest, mask, value in zip(digests, held.cpu().numpy(), numbers.numpy(), strict=True):
            digest.update(name.encode() + mask.tobytes() + value.tobytes())
    add_holes(digests, obs, names)
    return tuple(digest.hexdigest() for digest in digests)
