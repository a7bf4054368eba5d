"""Training rows from an iterable of batches, such as a DataLoader."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import torch

from ppl_mm.batch.memory_mapped import MemoryMapped
from ppl_mm.batch.observations import Observations
from ppl_mm.training.batches import Batch, Streams, resident

__all__ = ["Loader", "streams_of"]


def streams_of(data: object) -> Streams:
    """Return the streams of the data that :func:`ppl_mm.fit` gets, of any accepted type."""
    if isinstance(data, Observations | Sequence | Mapping) or not isinstance(data, Iterable):
        return Streams(cast(Sequence[Observations], data))  # Streams refuses other types.
    if iter(data) is data:
        raise TypeError(
            f"fit: a {type(data).__name__} can be passed through once, and every epoch does so; "
            "give an iterable that starts anew, such as a DataLoader."
        )
    return Loader(data)


class Loader(Streams):
    """The batches of an iterable, one a step, in the order in which they come.

    Args:
        batches: The iterable of observations; every pass gives batches of the same sizes as the
            first.

    Raises:
        TypeError: If the iterable gives anything but observations.
    """

    def __init__(self, batches: Iterable[Observations]) -> None:
        self.sizes: list[int] = []
        some: list[Observations] = []  # Batches that together hold every modality.
        held: set[str] = set()
        for batch in batches:
            if not isinstance(batch, Observations):
                raise TypeError(
                    f"fit: expected an iterable of Observations, got one of a "
                    f"{type(batch).__name__}; give the DataLoader a collate_fn that makes them."
                )
            own = {name for name, mask in batch.present.items() if bool(mask.any())}
            some += [batch] if own - held else []
            held |= own
            self.sizes.append(len(batch))
        super().__init__(Observations.collate(some) if some else ())
        self.batches = batches
        self.passing: Iterator[Observations] = iter(())

    def __len__(self) -> int:
        return sum(self.sizes)

    @property
    def told(self) -> tuple[Observations, ...]:
        """An empty tuple: rows may come in another order in every pass, so none are compared."""
        return ()

    @property
    def mapped(self) -> bool:
        """True: rows are checked in their first epoch, and read in each."""
        return True

    @property
    def one_pattern(self) -> bool:
        """False: the masks of later rows are not known in advance."""
        return False

    @property
    def steady(self) -> frozenset[str]:
        """The empty set: the masks of later rows are not known in advance."""
        return frozenset()

    def largest(self, batch_size: int) -> int:
        """The number of rows of the largest batch."""
        return max(self.sizes)

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> "Loader":
        """Move the rows to another device, batch by batch."""
        self.device, self.dtype = device, dtype
        return self

    def steps(self, batch_size: int) -> int:
        """The number of batches of an epoch."""
        return len(self.sizes)

    def epoch(self, batch_size: int) -> list[Batch]:
        """Begin a pass; return the positions of the rows within each batch."""
        self.passing = iter(self.batches)
        return [(torch.arange(size),) for size in self.sizes]

    def skip(self, number: int) -> None:
        """Skip the first batches of the pass."""
        for _ in range(number):
            next(self.passing)

    def read(self, batches: Sequence[Batch], shares: Sequence[range]) -> Iterator[Observations]:
        """Yield a share of every remaining batch."""
        for (rows,), share in zip(batches, shares, strict=True):
            batch = next(self.passing, None)
            if batch is None or len(batch) != len(rows):
                found = "no more" if batch is None else f"{len(batch)} rows"
                raise ValueError(
                    f"fit: the iterable of batches gave {found} where its first pass gave "
                    f"{len(rows)} rows; every pass must have batches of the same sizes."
                )
            mine = batch[torch.arange(share.start, share.stop)]
            mine = mine.in_memory() if isinstance(mine, MemoryMapped) else mine
            yield mine if self.device is None else resident(mine, self.device, self.dtype)
