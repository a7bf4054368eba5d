"""Training rows as one data set or several streams, and the batches of an epoch."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from ppl_mm.arguments.shown import shown
from ppl_mm.batch import host_masks
from ppl_mm.batch.host_masks import HostTensor
from ppl_mm.batch.masked import MASKS
from ppl_mm.batch.memory_mapped import MemoryMapped
from ppl_mm.batch.observations import Observations

__all__ = ["Batch", "Streams", "resident"]

Batch = tuple[Tensor, ...]
"""The rows of one step: a tensor of indices for each stream."""


class Streams:
    """The training rows; every step has a batch of each stream.

    An epoch is one pass through the longest stream. A shorter one starts over when it is
    exhausted, in a new order.

    Args:
        data: Observations, or several of them, which are the streams. They may hold different
            modalities.

    Raises:
        TypeError: If ``data`` is anything else.
        ValueError: If there is no stream, or if the streams have no modality.
    """

    def __init__(self, data: Observations | Sequence[Observations]) -> None:
        parts: object = (data,) if isinstance(data, Observations) else data
        if not isinstance(parts, Sequence) or isinstance(parts, str):
            raise TypeError(
                f"fit, argument data: expected Observations or a sequence of Observations, got "
                f"{shown(data)}; of a data set give its part train, and wrap a dict of tensors as "
                "Observations({...})."
            )
        for i, part in enumerate(parts):
            if not isinstance(part, Observations):
                raise TypeError(
                    f"fit, argument data[{i}]: expected Observations, got {shown(part)}; wrap a "
                    "dict of tensors as Observations({...})."
                )
        if not parts:
            raise ValueError("fit: expected at least one stream of rows, got none.")
        if not any(bool(mask.any()) for part in parts for mask in part.present.values()):
            raise ValueError("fit: no row of the data holds any modality.")
        self.parts = tuple(parts)
        self.device: torch.device | None = None
        self.dtype: torch.dtype | None = None

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def told(self) -> tuple[Observations, ...]:
        """The rows whose fingerprint a checkpoint compares."""
        return self.parts

    @property
    def mapped(self) -> bool:
        """Whether any rows are read from files."""
        return any(isinstance(part, MemoryMapped) for part in self.parts)

    @property
    def one_pattern(self) -> bool:
        """Whether all rows of each stream hold the same modalities, with no element missing."""
        if any(part.elements for part in self.parts):
            return False
        masks = [m for part in self.parts for kind in MASKS for m in getattr(part, kind).values()]
        return all(bool((m == m[0]).all()) for m in masks)

    @property
    def steady(self) -> frozenset[str]:
        """The modalities that all rows hold, or none."""

        def same(name: str, kind: str) -> bool:
            masks = [getattr(part, kind).get(name) for part in self.parts]
            return all(m is not None for m in masks) and len(torch.cat(masks).unique()) == 1

        names = {name for part in self.parts for name in part.names}
        return frozenset(n for n in names if all(same(n, kind) for kind in MASKS))

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> "Streams":
        """Move the rows to a device and a dtype; rows in files move batch by batch."""
        out = Streams(self.parts)
        if not self.mapped:
            out.parts = tuple(resident(part, device, dtype) for part in self.parts)
        out.device, out.dtype = device, dtype
        return out

    def head(self, number: int) -> Observations:
        """The first rows of every stream together."""
        return Observations.collate([part[: min(number, len(part))] for part in self.parts])

    def largest(self, batch_size: int) -> int:
        """The number of rows of an epoch's first batches, which are the largest."""
        return sum(min(len(part), batch_size) for part in self.parts)

    def steps(self, batch_size: int) -> int:
        """The number of batches of an epoch."""
        return max(-(-len(part) // batch_size) for part in self.parts)

    def epoch(self, batch_size: int) -> list[Batch]:
        """Draw a random order of the rows: each batch takes ``batch_size`` rows of each stream."""
        steps = self.steps(batch_size)
        batches: list[list[Tensor]] = []
        for part in self.parts:
            own: list[Tensor] = []
            while len(own) < steps:
                own += torch.randperm(len(part)).split(batch_size)
            batches.append(own[:steps])
        return list(zip(*batches, strict=True))

    def skip(self, number: int) -> None:
        """Skip the first batches of an epoch without reading them."""

    def take(self, batch: Batch, first: int = 0, last: int | None = None) -> Observations:
        """Rows ``first`` to ``last`` of a batch, whose streams follow one another."""
        lengths = [len(rows) for rows in batch]
        last = sum(lengths) if last is None else last
        found, start = [], 0
        for part, rows, length in zip(self.parts, batch, lengths, strict=True):
            mine = rows[max(first - start, 0) : max(last - start, 0)]
            if len(mine):
                found.append(part[self._index(mine)])
            start += length
        return found[0] if len(self.parts) == 1 else Observations.collate(found)

    def _index(self, rows: Tensor) -> Tensor:
        """Return the index for masks and values; masks are looked up on the host."""
        if self.device is None or self.mapped or not host_masks.waits(self.device):
            return rows
        return HostTensor.of(rows, self.device)

    def read(self, batches: Sequence[Batch], shares: Sequence[range]) -> Iterator[Observations]:
        """Yield a share of every batch; of rows in files, the next one is read meanwhile."""
        if not self.mapped:
            for batch, share in zip(batches, shares, strict=True):
                yield self.take(batch, share.start, share.stop)
            return
        with ThreadPoolExecutor(max_workers=1) as reader:
            ahead = reader.submit(self._read, batches[0], shares[0])
            for batch, share in zip(batches[1:], shares[1:], strict=True):
                ready, ahead = ahead.result(), reader.submit(self._read, batch, share)
                yield ready
            yield ahead.result()

    def _read(self, batch: Batch, share: range) -> Observations:
        taken = self.take(batch, share.start, share.stop)
        taken = taken.in_memory() if isinstance(taken, MemoryMapped) else taken
        return taken if self.device is None else resident(taken, self.device, self.dtype)


def resident(
    obs: Observations, device: torch.device, dtype: torch.dtype | None = None
) -> Observations:
    """Move rows to a device; the host keeps their masks too, so that reading a mask never waits.

    See :class:`ppl_mm.batch.host_masks.HostTensor`. Floating-point values come in ``dtype``; None
    leaves theirs.
    """
    obs = obs if dtype is None else obs.to(dtype)
    hosted_already = any(isinstance(m, HostTensor) for m in obs.present.values())
    if hosted_already or not host_masks.waits(device):
        return obs.to(device)
    masks = {id(m): m for kind in MASKS for m in getattr(obs, kind).values()}
    hosted = {key: HostTensor.of(mask.cpu(), device) for key, mask in masks.items()}
    out = obs.to(device)
    for kind in MASKS:
        setattr(out, kind, {n: hosted[id(m)] for n, m in getattr(obs, kind).items()})
    return out
