"""The cells of a comparison, system x missing share x seed: each is an ordinary run folder."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from torch import nn

from ppl_mm import systems
from ppl_mm.comparison.training import Training, training
from ppl_mm.data import DataSet
from ppl_mm.evaluation import train_classifiers
from ppl_mm.runs.building import check, load_data
from ppl_mm.runs.coherence import classifiable
from ppl_mm.runs.config import (
    CONFIG_FILE,
    Config,
    configure,
    has_terms,
    read_config,
)
from ppl_mm.runs.measures import Measures
from ppl_mm.runs.records import check_same, torch_device
from ppl_mm.runs.run import FILES, evaluate, load, train

__all__ = ["Cell", "Outcome", "adopt", "plan", "run"]

_EPOCHS, _ROWS_SEEN = 10, 100_000  # of an oracle's training, at least
_TRAINED = [name for name in FILES if name not in ("checkpoint.pt", "metrics.json")]


@dataclass(frozen=True)
class Cell:
    """One system, trained with one share of missing values from one seed.

    Attributes:
        folder: Its run folder.
        config: Its options.
        dataset: The data set, of the modalities in use; the same of all cells.
    """

    folder: Path
    config: Config
    dataset: DataSet

    def __str__(self) -> str:
        return f"{self.config.system}, missing {self.config.missing:g}, seed {self.config.seed}"

    @property
    def trained(self) -> bool:
        """Whether training has ended, with all that it writes."""
        return all((self.folder / name).is_file() for name in _TRAINED)

    def measures(self, oracles: Sequence[str] = ()) -> Measures | None:
        """What is recorded of the trained system with this cell's draws and rows, or None.

        Args:
            oracles: The modalities whose coherence is asked for.
        """
        path = self.folder / "metrics.json"
        if not (self.trained and path.is_file()):
            return None
        try:
            found = Measures.of(json.loads(path.read_text()))
        except (KeyError, TypeError, ValueError):  # damaged, or of another version
            return None
        rows = min(found.rows, self.config.rows or found.rows)
        same = (found.num_samples, found.likelihood_rows) == (self.config.num_samples, rows)
        return found if same and set(found.oracles) >= set(oracles) else None


@dataclass(frozen=True)
class Outcome:
    """A cell's measures and training, or why it failed; neither where it has not run."""

    cell: Cell
    measures: Measures | None = None
    training: Training | None = None
    failure: str | None = None


def plan(
    folder: str | Path,
    dataset: str,
    names: Sequence[str],
    *,
    missing: Sequence[float] = (0.0,),
    seeds: Sequence[int] = (0,),
    own: Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
) -> tuple[Cell, ...]:
    """The cells, once it is known that every system can take the data; nothing is written.

    Args:
        folder: Where the cells' folders are, ``<system>-<missing>-<seed>``.
        dataset: A name of ``data.available()``.
        names: Of systems.
        missing: Shares of the modalities of training rows that are left out at random. At one
            seed and share they are the same for every system; test rows are complete.
        seeds: Of networks, order, noise and what is missing.
        own: System -> options of its own.
        settings: Other fields of :class:`ppl_mm.runs.Config`, of all systems; ``terms`` of those
            that have the choice.

    Raises:
        ValueError: For unknown names, options out of range, a system that cannot take the data,
            or a folder with a cell of other settings.
    """
    own = own or {}
    _check_once("system", names)
    _check_once("missing", [f"{share:g}" for share in missing])
    _check_once("seed", seeds)
    for name in own:
        if name not in names:
            raise ValueError(f"option of {name!r}: the comparison has only {', '.join(names)}.")
    whole = load_data(dataset, settings.get("data_dir"), settings.get("data_options", {}))
    cells = []
    for name in names:
        for share in missing:
            chosen = None
            for seed in seeds:
                config = _configure(name, whole, own.get(name, {}), settings, share, seed)
                chosen = check(config, whole) if chosen is None else chosen
                cells.append(Cell(Path(folder, f"{name}-{share:g}-{seed}"), config, chosen))
    for cell in cells:
        if (cell.folder / CONFIG_FILE).exists():
            _check_same(cell, cell.folder)
    return tuple(cells)


def adopt(cells: Iterable[Cell], folders: Iterable[str | Path]) -> None:
    """Copy trained runs to the cells that they are, which then need no training.

    Raises:
        FileNotFoundError: If a folder holds no run, or one whose training has not ended.
        FileExistsError: If the cell has been begun.
        ValueError: If a run is no cell of the comparison, or has other settings.
    """
    by_name = {str(cell): cell for cell in cells}
    for source in map(Path, folders):
        config = read_config(source)
        name = str(Cell(source, config, next(iter(by_name.values())).dataset))
        if name not in by_name:
            raise ValueError(
                f"{source}: {name} is no cell of this comparison; add its system, share or seed."
            )
        cell = by_name[name]
        _check_same(cell, source)
        if cell.trained:
            continue
        if not Cell(source, config, cell.dataset).trained:
            raise FileNotFoundError(f"{source}: its training has not ended; go on with --resume.")
        if cell.folder.exists():
            raise FileExistsError(f"{cell.folder}: this cell has begun; remove it to load another.")
        cell.folder.parent.mkdir(parents=True, exist_ok=True)
        copy = Path(tempfile.mkdtemp(dir=cell.folder.parent, prefix=f".{cell.folder.name}."))
        for file in FILES:
            if (source / file).is_file():
                shutil.copy2(source / file, copy)
        copy.chmod(0o755)
        os.replace(copy, cell.folder)


def run(cells: Sequence[Cell], *, coherence: bool = True, progress: bool = True) -> list[Outcome]:
    """Train and measure the cells that are not done; go on with those that were stopped.

    A cell that fails (it diverges, memory runs out, or a file of it is damaged) leaves the others
    alone, and is tried again next time. Pressing Ctrl-C ends the run with what there is.

    Args:
        cells: All of one :func:`plan`.
        coherence: Measure it too, where rows have classes, see :func:`ppl_mm.runs.measure`. Its
            classifiers are trained once, and kept in the folder ``oracles`` beside the cells'.
        progress: Print what is done.
    """
    console = Console(highlight=False, quiet=not progress)
    names = classifiable(cells[0].dataset) if coherence else ()
    outcomes = [_recorded(cell, names) for cell in cells]
    left = [i for i, o in enumerate(outcomes) if o.measures is None and o.failure is None]
    if len(left) < len(cells):
        console.print(f"{len(cells) - len(left)} of {len(cells)} cells are done already.")
    try:
        classifiers = _oracles(cells[0], names, progress) if left else {}
        for number, i in enumerate(left, start=1):
            console.print(f"[bold]{cells[i]}[/bold]  ({number} of {len(left)})")
            outcomes[i] = _made(cells[i], classifiers, progress)
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from here.")
    for outcome in outcomes:
        if outcome.failure is not None:
            console.print(f"failed: {outcome.failure}", style="red", markup=False)
    return outcomes


def _recorded(cell: Cell, oracles: Sequence[str]) -> Outcome:
    """The outcome of a cell that is done; an empty one of any other."""
    measures = cell.measures(oracles)
    if measures is None:
        return Outcome(cell)
    try:
        return Outcome(cell, measures, training(cell.folder))
    except ValueError as error:
        return Outcome(cell, failure=f"{error} {_anew(cell)}")


def _made(cell: Cell, classifiers: Mapping[str, nn.Module], progress: bool) -> Outcome:
    """The outcome of a cell, once it is trained and measured."""
    begun = (cell.folder / CONFIG_FILE).exists()
    try:
        measures = _train_and_measure(cell, classifiers, progress)
        return Outcome(cell, measures, training(cell.folder))
    except (ArithmeticError, RuntimeError, ValueError) as error:
        text = str(error) or type(error).__name__
        damaged = begun and isinstance(error, ValueError)
        return Outcome(cell, failure=f"{text} {_anew(cell)}" if damaged else text)


def _anew(cell: Cell) -> str:
    return f"Remove {cell.folder}, and the same command makes the cell anew."


def _oracles(cell: Cell, names: Sequence[str], progress: bool) -> dict[str, nn.Module]:
    """Classifiers of real rows, for coherence; none without names."""
    if not names:
        return {}
    return train_classifiers(
        cell.dataset,
        names,
        epochs=max(_EPOCHS, _ROWS_SEEN // len(cell.dataset.train)),
        folder=cell.folder.parent / "oracles",
        device=torch_device(cell.config.device),
        progress=progress,
    )


def _train_and_measure(
    cell: Cell, classifiers: Mapping[str, nn.Module], progress: bool
) -> Measures:
    config = cell.config
    if cell.trained:
        found = load(cell.folder, data_dir=config.data_dir)
        found.system.to(torch_device(config.device))
    else:
        options = asdict(config)
        system, dataset = options.pop("system"), options.pop("dataset")
        begun = (cell.folder / CONFIG_FILE).exists()
        found = train(cell.folder, system, dataset, resume=begun, progress=progress, **options)
    options = {"num_samples": config.num_samples, "rows": config.rows}
    return evaluate(found, classifiers=classifiers, **options)


def _configure(
    name: str,
    whole: DataSet,
    own: Mapping[str, Any],
    settings: Mapping[str, Any],
    missing: float,
    seed: int,
) -> Config:
    given = {**settings, "missing": missing, "seed": seed}
    given["options"] = {**settings.get("options", {}), **own}
    if name in systems.available() and not has_terms(name):
        given.pop("terms", None)
    return configure(name, whole, **given)


def _check_same(cell: Cell, folder: Path) -> None:
    remedy = "Compare with the same settings, or give another folder by --out."
    check_same(folder, asdict(read_config(folder)), asdict(cell.config), remedy)


def _check_once(what: str, given: Sequence[Any]) -> None:
    if not given:
        raise ValueError(f"{what}: expected at least one.")
    for value in given:
        if given.count(value) > 1:
            raise ValueError(f"{what}: {value} is given twice.")
