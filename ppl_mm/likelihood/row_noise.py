"""Random numbers that depend on a row and a seed alone.

An estimate is then the same whatever rows stand beside it, in whatever order, however they are cut
into batches and chunks, and on whatever device. Rows that hold the same have the same numbers.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int, Shaped
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor
from torch.distributions import Independent, Laplace, Normal

from ppl_mm.batch.observations import Observations
from ppl_mm.distributions.mixture import RandomMixture
from ppl_mm.distributions.pseudo_inputs import EncodedMixture
from ppl_mm.distributions.site_noise import SiteNoise
from ppl_mm.programs.answerable import conditioned_on

__all__ = ["RowNoise", "add_holes", "equal_rows", "first_of_each", "row_keys", "same_draws"]


def row_keys(obs: Observations) -> list[bytes]:
    """A fingerprint of each row: the values and masks that a program may look at or score."""
    digests = [hashlib.blake2b(digest_size=16) for _ in range(len(obs))]
    for name in sorted(obs.names):
        seen, scored = obs.evidence[name], obs.scored[name]
        masks = torch.stack([seen, scored], -1).cpu().numpy()
        used = (seen | scored).reshape(-1, *[1] * (obs.values[name].dim() - 1))
        values = obs.values[name].masked_fill(~used, 0).cpu().contiguous()
        for digest, mask, value in zip(digests, masks, values.numpy(), strict=True):
            digest.update(name.encode() + mask.tobytes() + value.tobytes())
    add_holes(digests, obs, obs.names)
    for name, x in sorted(obs.covariates.items()):
        for digest, value in zip(digests, x.cpu().contiguous().numpy(), strict=True):
            digest.update(name.encode() + value.tobytes())
    return [digest.digest() for digest in digests]


def same_draws(obs: Observations) -> Int[Tensor, " N"]:
    """Whole numbers, (N,), equal in rows with the same fingerprint, and so the same draws."""
    keys = row_keys(obs)
    numbers = {key: i for i, key in enumerate(dict.fromkeys(keys))}
    return torch.tensor([numbers[key] for key in keys], device=obs.device)


def equal_rows(
    model: object, obs: Observations, names: Sequence[str], evidence: Sequence[str]
) -> Int[Tensor, " N"]:
    """Whole numbers, (N,), equal in rows whose posterior of x_names has one and the same proposal.

    They hold the same of x_names, of what the guide looks at, and of what the model conditions on.
    """
    seen = {*evidence, *(set(conditioned_on(model)) & set(obs.names))}
    return same_draws(obs.scoring(*names).given(*sorted(seen)))


def first_of_each(which: Int[Tensor, " N"]) -> Int[Tensor, " M"]:
    """The first row of each of the M numbers of :func:`equal_rows`, (M,)."""
    rows = torch.arange(len(which), device=which.device)
    number = int(which.max()) + 1 if len(which) > 0 else 0
    return rows.new_full((number,), len(rows)).scatter_reduce(0, which, rows, "amin")


def add_holes(digests: Sequence[Any], obs: Observations, names: Sequence[str]) -> None:
    """Add to each row's fingerprint which elements it misses; to that of a whole row, nothing."""
    for name in sorted(set(names) & set(obs.elements)):
        masks = obs.elements[name].flatten(1).cpu().numpy()
        for digest, mask in zip(digests, masks, strict=True):
            if not mask.all():
                digest.update(name.encode() + mask.tobytes())


class RowNoise(SiteNoise):
    """Draws every row's latents from generators of the row's own.

    Sites that are no location and scale of standard noise, nor mixtures of such, are drawn from
    torch's own stream, and so depend on the rows beside them.

    Args:
        keys: A fingerprint of each row, see :func:`row_keys`.
        seed: The seed of all rows.
        purpose: The purpose of the numbers; different purposes have independent numbers.

    Example:
        >>> both, one = RowNoise([b"a", b"b"], 0, "pilot"), RowNoise([b"b"], 0, "pilot")
        >>> like = torch.zeros(())
        >>> torch.equal(both.normal(3, 2, like)[:, 1:], one.normal(3, 2, like))
        True
    """

    def __init__(self, keys: Sequence[bytes], seed: int, purpose: str) -> None:
        super().__init__()
        self.keys, self.seed, self.purpose, self.calls = keys, seed, purpose, 0

    def of(self, rows: Int[Tensor, " B"], what: str) -> "RowNoise":
        """The noise of some rows for a part of the purpose."""
        return RowNoise([self.keys[i] for i in rows.tolist()], self.seed, f"{self.purpose} {what}")

    def normal(
        self, num: int, size: int, like: Float[Tensor, "..."]
    ) -> Float[Tensor, "{num} B {size}"]:
        """Independent standard Normals (K, B, D), with the dtype and device of ``like``."""
        return self._stack(torch.randn, (num,), (size,), like)

    def standard(
        self,
        family: type[TorchDistribution],
        shape: torch.Size,
        event: torch.Size,
        like: Float[Tensor, "..."],
    ) -> Float[Tensor, "*batch_D"]:
        """Draws of the standard Normal or Laplace."""
        if issubclass(family, Laplace):
            u = self._stack(torch.rand, shape[:-1], event, like)
            return Laplace(torch.zeros_like(u), torch.ones_like(u)).icdf(u.clamp(1e-7, 1 - 1e-7))
        return self._stack(torch.randn, shape[:-1], event, like)

    def uniform(self, shape: torch.Size, like: Float[Tensor, "..."]) -> Float[Tensor, "*batch"]:
        """Draws between 0 and 1."""
        return self._stack(torch.rand, shape[:-1], (), like)

    def component(self, log_weight: Float[Tensor, "*batch C"]) -> Int[Tensor, "*batch"]:
        """A component of every row."""
        u = self._stack(torch.rand, log_weight.shape[:-2], (), log_weight)
        below = log_weight.softmax(-1).cumsum(-1)[..., :-1]
        return (u[..., None] >= below).sum(-1)

    def _draw(self, fn: TorchDistribution) -> Tensor:
        """As in the class above; one draw of noise serves all components of a family."""
        parts = fn.components if isinstance(fn, RandomMixture) else ()
        bases = [part.base_dist for part in parts if isinstance(part, Independent)]
        family = {type(base) for base in bases}
        if len(bases) < max(1, len(parts)) or family not in ({Normal}, {Laplace}):
            return super()._draw(fn)
        index = self.component(fn.log_weight.movedim(0, -1))[..., None]
        loc, scale = bases[0].loc, bases[0].scale
        for i, base in enumerate(bases[1:], 1):
            loc = torch.where(index == i, base.loc, loc)
            scale = torch.where(index == i, base.scale, scale)
        return loc + scale * self.standard(type(bases[0]), fn.batch_shape, fn.event_shape, loc)

    def other(self, fn: TorchDistribution) -> Shaped[Tensor, "*batch_D"]:
        """Draws of a mixture over pseudo-inputs; of other kinds from torch's own stream."""
        if isinstance(fn, EncodedMixture):
            loc, scale = fn.encoded()
            u = self.uniform(fn.batch_shape, loc)
            which = (u * len(loc)).long().clamp(max=len(loc) - 1)
            noise = self.standard(Normal, fn.batch_shape, fn.event_shape, loc)
            return loc[which] + scale[which] * noise
        drawn: Tensor = fn.rsample() if fn.has_rsample else fn.sample()
        return drawn

    def _stack(
        self, draw: Callable[..., Tensor], lead: Sequence[int], event: Sequence[int], like: Tensor
    ) -> Tensor:
        rows = [draw(*lead, *event, generator=g, dtype=like.dtype) for g in self._generators()]
        return torch.stack(rows, len(lead)).to(like.device)

    def _generators(self) -> list[torch.Generator]:
        """One of each row, for this call alone."""
        self.calls += 1
        what = f"{self.seed} {self.purpose} {self.calls}".encode()
        seeds = (hashlib.blake2b(key + what, digest_size=8).digest() for key in self.keys)
        return [torch.Generator().manual_seed(int.from_bytes(s, "big", signed=True)) for s in seeds]
