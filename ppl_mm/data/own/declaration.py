"""The declaration of a user's own data set: its keys and their allowed values."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, get_args

from ppl_mm import likelihoods
from ppl_mm.arguments.shown import shown
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.likelihoods import Likelihood

__all__ = ["Declaration", "Declared", "Kind", "Splitting", "Symbols", "parse"]

Kind = Literal["real", "positive", "counts", "binary", "category", "label set", "image", "text"]
Symbols = Literal["words", "characters"]


@dataclass(frozen=True)
class Declared:
    """One modality as the user declares it; the library chooses where a value is None.

    Attributes:
        name: The modality's name.
        file: A file or a folder of images, beside the declaration, or ``package.module:function``,
            which returns the content that a file would have.
        part: The part of a file that holds several: the array of an NPZ; ``X``, ``obs``,
            ``layers/NAME`` or ``obsm/NAME`` of an H5AD, with ``NAME/`` before it for an H5MU.
        index: The column that matches rows across files; for an NPZ, the array of labels; for an
            NPY or MatrixMarket file, a text file with one label per line.
        columns: Names of columns, with the wildcards ``*``, ``?`` and ``[...]``.
        kind: One of :data:`Kind`.
        likelihood: The likelihood.
        hidden: The sizes of the networks' hidden layers.
        weight: The factor of the modality's log-likelihood in training.
        symbols: Whether text is words or characters.
        length: The number of symbols that texts are cut to.
        size: The height and width that images are resized to.
        encoder, decoder: Networks of the user's own, as ``package.module:Class``, which is called
            with the size of the latent, or of the decoder's input.
    """

    name: str
    file: str | None = None
    part: str | None = None
    index: str | None = None
    columns: tuple[str, ...] | None = None
    kind: Kind | None = None
    likelihood: Likelihood | None = None
    hidden: tuple[int, ...] | None = None
    weight: float = 1.0
    symbols: Symbols | None = None
    length: int | None = None
    size: tuple[int, int] | None = None
    encoder: str | None = None
    decoder: str | None = None


@dataclass(frozen=True)
class Splitting:
    """The split of the rows: shares drawn with a seed, or a column of train, validation and test.

    Raises:
        ValueError: If the shares leave no rows to train on.
    """

    validation: float = 0.1
    test: float = 0.2
    seed: int = 0
    column: str | None = None


@dataclass(frozen=True)
class Declaration:
    """A whole declaration.

    Attributes:
        name: The data set's name.
        where: The declaration's name in messages, which is the file's name.
        folder: The folder that its files are relative to.
        label: The modality that is predicted; None for no label.
        split: The split of the rows.
        latent_dim: The size of the latent; None for the library's choice.
        modalities: The modalities.
        covariates: The column that networks read and nothing scores -> "category" or "real"; None
            for the library's choice.
    """

    name: str
    where: str
    folder: Path
    label: str | None
    split: Splitting
    latent_dim: int | None
    modalities: tuple[Declared, ...]
    covariates: Mapping[str, Literal["category", "real"] | None]


_TOP = (
    *("name", "label", "split", "latent_dim", "hidden", "file", "index", "covariates"),
    "modalities",
)
_OF_MODALITY = (*(f.name for f in fields(Declared) if f.name != "name"), "latent_dim")
_OF_SPLIT = tuple(f.name for f in fields(Splitting))


def parse(content: Mapping[str, Any], where: str, folder: Path) -> Declaration:
    """Read a declaration from the content of its file.

    Args:
        content: The keys of the declaration.
        where: The declaration's name in messages.
        folder: The folder that its files are relative to.

    Raises:
        ValueError: If a key is unknown (the message has the nearest known one), or a value has
            another type.
    """
    top = _Table(content, where, _TOP)
    tables = top.get("modalities", Mapping, {})
    if not tables:
        raise ValueError(
            f"{where}: expected a table [modalities.NAME] for each modality, got none."
        )
    shared = {key: top.get(key, kind) for key, kind in (("file", str), ("index", str))}
    shared["hidden"] = top.numbers("hidden")
    found, sizes = [], {where: top.number("latent_dim")}
    for name, table in tables.items():
        heading = f"{where}, [modalities.{name}]"
        if not isinstance(table, Mapping):
            raise ValueError(f"{heading}: expected a table, got {shown(table)}.")
        read = _Table(table, heading, _OF_MODALITY)
        found.append(_modality(str(name), read, shared))
        sizes[heading] = read.number("latent_dim")
    label = top.get("label", str)
    names = [m.name for m in found]
    if label is not None and label not in names:
        raise ValueError(f"{where}, label: {unknown_name('modality', label, names)}")
    name = top.get("name", str, Path(where).stem)
    split = _split(_Table(top.get("split", Mapping, {}), f"{where}, split", _OF_SPLIT))
    beside = _covariates(top)
    return Declaration(name, where, folder, label, split, _one(sizes), tuple(found), beside)


def _covariates(top: "_Table") -> Mapping[str, Any]:
    """Read the columns of covariates: a list, or a table of column -> kind."""
    given = top.get("covariates", str | Collection, ())
    if isinstance(given, Mapping):
        table = _Table(given, f"{top.where}, covariates", [str(column) for column in given])
        return {str(column): table.choice(column, ("category", "real")) for column in given}
    return dict.fromkeys(top.names("covariates", given)) if len(given) else {}


def _modality(name: str, table: "_Table", shared: Mapping[str, Any]) -> Declared:
    columns = table.get("columns", str | Collection)
    size = table.numbers("size")
    if size is not None and len(size) != 2:
        raise ValueError(f"{table.where}, size: expected [height, width], got {list(size)}.")
    return Declared(
        name,
        table.get("file", str, shared["file"]),
        table.get("part", str),
        table.get("index", str, shared["index"]),
        None if columns is None else table.names("columns", columns),
        table.choice("kind", get_args(Kind)),
        _likelihood(table.get("likelihood", str | Mapping), f"{table.where}, likelihood"),
        table.numbers("hidden") or shared["hidden"],
        table.share("weight", 1.0, most=float("inf")),
        table.choice("symbols", get_args(Symbols)),
        table.number("length"),
        None if size is None else (size[0], size[1]),
        table.get("encoder", str),
        table.get("decoder", str),
    )


def _split(table: "_Table") -> Splitting:
    column = table.get("column", str)
    if column is not None and len(table.content) > 1:
        raise ValueError(f"{table.where}: column excludes {', '.join(_OF_SPLIT[:-1])}; leave out.")
    default = Splitting()
    validation = table.share("validation", default.validation)
    test = table.share("test", default.test)
    if not test > 0 or validation + test >= 1:
        raise ValueError(
            f"{table.where}: expected shares with test above 0 and validation + test below 1, got "
            f"validation = {validation:g}, test = {test:g}."
        )
    return Splitting(validation, test, table.number("seed", 0, least=0) or 0, column)


def _likelihood(given: str | Mapping[str, Any] | None, where: str) -> Likelihood | None:
    """Build a likelihood from its name, or from a table of its name and options."""
    if given is None:
        return None
    options = {"name": given} if isinstance(given, str) else dict(given)
    name = str(options.pop("name", None))
    known = {n.lower(): n for n in likelihoods.__all__ if n != "Likelihood"}
    plain = re.sub(r"[\s_-]", "", name).lower()
    if plain not in known:
        raise ValueError(f"{where}: {unknown_name('likelihood', name, known.values())}")
    try:
        made: Likelihood = getattr(likelihoods, known[plain])(**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: {error}") from error
    return made


def _one(sizes: Mapping[str, int | None]) -> int | None:
    """Read the size of the latent, which all modalities share."""
    given = {where: size for where, size in sizes.items() if size is not None}
    if len(set(given.values())) > 1:
        said = " and ".join(f"{size} in {where}" for where, size in given.items())
        raise ValueError(f"latent_dim: modalities share one latent, got {said}; keep one.")
    return next(iter(given.values()), None)


class _Table:
    """Read a table of the declaration; check its keys and the types of its values."""

    def __init__(self, content: Mapping[str, Any], where: str, known: Sequence[str]) -> None:
        for key in content:
            if key not in known:
                raise ValueError(f"{where}: {unknown_name('key', key, known)}")
        self.content, self.where = content, where

    def get(self, key: str, kind: Any, default: Any = None) -> Any:
        value = self.content.get(key)
        if value is None:
            return default
        if not isinstance(value, kind):
            words = {str: "text in quotes", Mapping: "a table"}.get(kind, "text or a list of it")
            raise self.wrong(key, words)
        return value

    def names(self, key: str, value: str | Iterable[object]) -> tuple[str, ...]:
        found = (value,) if isinstance(value, str) else tuple(value)
        plain = all(isinstance(x, str | Integral) for x in found)
        if isinstance(value, Mapping) or not found or not plain:
            raise self.wrong(key, "a list of at least one name")
        return tuple(map(str, found))

    def choice(self, key: str, choices: tuple[str, ...]) -> Any:
        value = self.get(key, str)
        if value is not None and value not in choices:
            raise ValueError(f"{self.where}: {unknown_name(key, value, choices)}")
        return value

    def number(self, key: str, default: int | None = None, least: int = 1) -> int | None:
        value = self.content.get(key, default)
        whole = isinstance(value, Integral) and not isinstance(value, bool)
        if value is not None and not (whole and value >= least):
            raise self.wrong(key, f"an integer of at least {least}")
        return None if value is None else int(value)

    def numbers(self, key: str) -> tuple[int, ...] | None:
        value = self.content.get(key)
        if value is None:
            return None
        listed = isinstance(value, list | tuple)
        if not (listed and value and all(type(size) is int and size >= 1 for size in value)):
            raise self.wrong(key, "a list of integers of at least 1")
        return tuple(value)

    def share(self, key: str, default: float, most: float = 1.0) -> float:
        value = self.content.get(key, default)
        number = isinstance(value, Real) and not isinstance(value, bool)
        if not (number and 0 <= value <= most and value < float("inf")):
            limits = "from 0 to 1" if most == 1 else "of at least 0"
            raise self.wrong(key, f"a number {limits}")
        return float(value)

    def wrong(self, key: str, expected: str) -> ValueError:
        got = shown(self.content[key])
        return ValueError(f"{self.where}, {key}: expected {expected}, got {got}.")
