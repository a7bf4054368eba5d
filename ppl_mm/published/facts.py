"""The facts of a data set, which need no torch: what a list of data sets shows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ppl_mm.published.sources import Source, locate

__all__ = ["Facts", "Summary", "in_order", "summaries"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts of one data set; :func:`ppl_mm.data.register` explains the attributes."""

    name: str
    modalities: tuple[str, ...]
    sizes: tuple[int, int, int] | None
    sources: tuple[Source, ...] = ()
    by_hand: str | None = None
    find: Callable[[str | Path | None], object] | None = None

    @property
    def has_files(self) -> bool:
        """Whether the data set is read from files of the data folder."""
        return bool(self.sources or self.by_hand or self.find)

    @property
    def download(self) -> str | None:
        """The name to give to ``ppl-mm data get``; None if no file is needed."""
        if len(self.sources) == 1:
            return self.sources[0].name
        return self.name if self.sources or self.by_hand else None

    def is_ready(self, folder: str | Path | None = None) -> bool:
        """Whether all files that the data set needs are in the data folder."""
        try:
            if self.find is not None and self.find(folder) is not None:
                return True
            for source in self.sources:
                locate(source, folder)
        except FileNotFoundError:
            return False
        return True


@dataclass(frozen=True)
class Summary:
    """The facts of a data set that a list of data sets shows.

    Attributes:
        name: The name of the data set for :func:`ppl_mm.data.load`.
        modalities: The names of its modalities.
        sizes: The default numbers of rows for training, validation and test; None if only the
            files tell.
        download: The name to give to ``ppl-mm data get``; None if no file is needed. If the files
            have no public address, the command says what to do.
        ready: Whether all files of the data set are there.
    """

    name: str
    modalities: tuple[str, ...]
    sizes: tuple[int, int, int] | None
    download: str | None
    ready: bool


F = TypeVar("F", bound=Facts)


def in_order(facts: Iterable[F]) -> list[F]:
    """Return the facts of data sets that need no files first, then by name."""
    return sorted(facts, key=lambda one: (one.has_files, one.name))


def summaries(facts: Iterable[Facts], folder: str | Path | None = None) -> list[Summary]:
    """Summarise data sets in order, and say which of them are ready to be read.

    Example:
        >>> summaries([Facts(name="pairs", modalities=("left", "right"), sizes=(8, 0, 2))])
        [Summary(name='pairs', modalities=('left', 'right'), sizes=(8, 0, 2), download=None, \
ready=True)]
    """
    return [
        Summary(one.name, one.modalities, one.sizes, one.download, one.is_ready(folder))
        for one in in_order(facts)
    ]
