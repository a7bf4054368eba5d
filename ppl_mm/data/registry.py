'''The data sets by name, and how to add one.

A data set is a function that returns a :class:`~ppl_mm.data.DataSet`. The decorator
:func:`register` states its facts, and names it after the function. Importing ``ppl_mm`` imports
every file in the folder ``ppl_mm/data``; then :func:`load` and the commands ``data list``,
``train`` and ``compare`` know its data sets. A file elsewhere registers its data sets for
:func:`load` when it is imported.

This is the whole file of a data set of two modalities, which are noisy copies of one number::

    from functools import partial

    import torch

    from ppl_mm.data.dataset import DataSet
    from ppl_mm.data.registry import Defaults, register
    from ppl_mm.likelihoods import Normal
    from ppl_mm.modality import Modality
    from ppl_mm.networks import MLPDecoder, MLPEncoder
    from ppl_mm.batch.observations import Observations

    SIDES = ("left", "right")


    @register(modalities=SIDES, sizes=(80, 0, 20), defaults=Defaults(epochs=2, batch_size=20))
    def two_sides(*, seed: int = 0) -> DataSet:
        """Two noisy copies of one number."""
        generator = torch.Generator().manual_seed(seed)
        number = torch.randn(100, 1, generator=generator)
        noise = {side: 0.1 * torch.randn(100, 1, generator=generator) for side in SIDES}
        rows = Observations({side: number + noise[side] for side in SIDES})
        encoder = partial(MLPEncoder, event_shape=(1,), hidden=(8,))
        decoder = partial(MLPDecoder, event_shape=(1,), hidden=(8,))
        return DataSet(
            "two_sides",
            train=rows[:80],
            validation=None,
            test=rows[80:],
            modalities=tuple(Modality(s, Normal(scale=0.1), encoder, decoder) for s in SIDES),
            latent_dim=1,
            label=None,
            num_classes=None,
        )

A data set that is read from files takes the data folder as its first argument, ``folder``, and says
where its files come from: as ``sources`` with checksums, which ``ppl-mm data get`` downloads, or as
``by_hand``, the sentence that tells a user where to find them and where to put them.

The command ``data list`` needs no torch: it reads the arguments of ``@register`` in the sources
(:mod:`ppl_mm.cli.data_facts`). Those that use only names that the file assigns or imports from
:mod:`ppl_mm.published`, as all of this library's do, are read at once; for other names, such as a
function ``find`` in the same file, the command imports the data sets, which takes one to two
seconds longer. It knows the functions at the top level of the folder's files.
'''

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.data.dataset import DataSet
from ppl_mm.data.own import from_file
from ppl_mm.published.facts import Facts, Summary, in_order, summaries
from ppl_mm.published.sources import Source

__all__ = [
    "Defaults",
    "Entry",
    "available",
    "describe",
    "discover",
    "entries",
    "entry",
    "is_declaration",
    "load",
    "register",
]

Tiles = tuple[tuple[str, ...], ...]
Build = TypeVar("Build", bound=Callable[..., DataSet])


@typed
@dataclass(frozen=True)
class Defaults:
    """The training options of a run on a data set, if the user gives none.

    Attributes:
        epochs: The number of passes through the training rows.
        batch_size: The number of rows of a step.
        learning_rate: The learning rate of Adam.
        rows: The number of test rows whose likelihoods are measured; None means all of them.
        terms: The subsets in training, for systems that leave the choice: a number of random ones,
            "all", or None for no subsets besides all modalities and each single one.
        annealing: The share of the epochs over which the factor of the KL grows from 0 to 1.

    Raises:
        TypeError: If a field is of another type.
        ValueError: If a number is out of range.
    """

    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-3
    rows: int | None = None
    terms: int | str | None = None
    annealing: float = 0.0

    def options(self) -> dict[str, Any]:
        """Return the fields of a run's configuration; ``terms`` is among them only if it is set.

        Example:
            >>> Defaults(epochs=50).options()
            {'epochs': 50, 'batch_size': 128, 'learning_rate': 0.001, 'rows': None}
        """
        unset = {"annealing"} if self.terms is not None else {"annealing", "terms"}
        return {name: value for name, value in asdict(self).items() if name not in unset}


@dataclass(frozen=True, kw_only=True)
class Entry(Facts):
    """The facts of one data set and its function; :func:`register` explains the attributes."""

    build: Callable[..., DataSet]
    defaults: Defaults
    tiles: Tiles


_ENTRIES: dict[str, Entry] = {}


@typed
def register(
    *,
    modalities: tuple[str, ...],
    sizes: tuple[int, int, int] | None,
    sources: tuple[Source, ...] = (),
    by_hand: str | None = None,
    find: Callable[[str | Path | None], object] | None = None,
    defaults: Defaults | None = None,
    tiles: Tiles = (),
) -> Callable[[Build], Build]:
    """Register the decorated function as the data set of the function's name.

    Args:
        modalities: The names of the modalities, in the order of the data set.
        sizes: The default numbers of rows for training, validation and test; None if only the
            files tell.
        sources: The published files that the data set is read from.
        by_hand: The sentence that tells the user how to get files without a public address; None
            if there are no such files.
        find: A function of the data folder that looks for files in place of ``sources``. It raises
            FileNotFoundError if they are missing, and returns None to go on with ``sources``.
        defaults: The training options of runs, if the user gives none.
        tiles: Groups of modalities that pictures show as one image, from top to bottom.

    Returns:
        A decorator, which leaves the function as it is.

    Raises:
        ValueError: If another file has registered the name, or ``tiles`` names an unknown modality.
    """

    def decorate(build: Build) -> Build:
        name = build.__name__
        known = _ENTRIES.get(name)
        if known is not None and known.build.__module__ != build.__module__:
            raise ValueError(
                f"data set {name!r}: {known.build.__module__} has registered this name already; "
                "give the function another name."
            )
        for modality in (m for tile in tiles for m in tile):
            if modality not in modalities:
                raise ValueError(unknown_name(f"modality in tiles of {name}", modality, modalities))
        _ENTRIES[name] = Entry(
            name=name,
            modalities=modalities,
            sizes=sizes,
            sources=sources,
            by_hand=by_hand,
            find=find,
            build=build,
            defaults=defaults or Defaults(),
            tiles=tiles,
        )
        return build

    return decorate


def discover(package: str, path: Iterable[str]) -> None:
    """Import every module of a package, so that the data sets in them register themselves.

    Args:
        package: The name of the package.
        path: Its folders, which is the package's ``__path__``.
    """
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")


@typed
def entry(name: str) -> Entry:
    """Return the facts of a data set.

    Raises:
        ValueError: If the name is unknown; the message has the nearest known one.
        >>> entry("digits").defaults.epochs, entry("digits").tiles
        (200, (('top', 'bottom'),))
    """
    if name not in _ENTRIES:
        if Path(name).exists():
            raise ValueError(
                f"{name}: no declaration of a data set; write a TOML file that names it, such as "
                f'cohort.toml with [modalities.x] and file = "{name}", and give that.'
            )
        raise ValueError(unknown_name("data set", name, available()))
    return _ENTRIES[name]


def entries() -> list[Entry]:
    """Return all entries, those that need no files first, then by name."""
    return in_order(_ENTRIES.values())


@typed
def available() -> list[str]:
    """Return the names that :func:`load` knows, those that need no files first, then by name.

    Example:
        >>> available()[:4]
        ['digits', 'binary_mnist', 'celeba', 'celeba19']
    """
    return [entry.name for entry in entries()]


@typed
def load(name: str, folder: str | Path | None = None, **options: Any) -> DataSet:
    """Read a data set by its name, or one of the user's own by its declaration.

    Args:
        name: One of :func:`available`, or the path of a TOML file for
            :func:`~ppl_mm.data.from_file`.
        folder: The data folder, for data sets that are read from files; default ``PPL_MM_DATA``,
            or the user's cache. For a declaration that has moved with its files, their new folder.
        options: The options of the data set's own function, such as ``binarisation="dynamic"``.

    Raises:
        ValueError: If the name is unknown; the message has the nearest known one.
        FileNotFoundError: If files are missing; the message says how to get them.
    """
    if is_declaration(name):
        path = Path(name) if folder is None else Path(folder, Path(name).name)
        return from_file(path, quiet=True, **options)
    found = entry(name)
    if found.has_files:
        options["folder"] = folder
    return found.build(**options)


def is_declaration(name: str) -> bool:
    """Return whether a name is the path of a declaration of the user's own data."""
    return name.endswith(".toml")


@typed
def describe(folder: str | Path | None = None) -> list[Summary]:
    """Summarise all data sets, and say which of them are ready to be read.

    Example:
        >>> describe()[0]
        Summary(name='digits', modalities=('top', 'bottom', 'label'), sizes=(1200, 200, 397), \
download=None, ready=True)
    """
    return summaries(_ENTRIES.values(), folder)
