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

from ppl_mm import systems
from ppl_mm.data import DataSet
from ppl_mm.runs.building import check, load_data
from ppl_mm.runs.config import (
    CONFIG_FILE,
    Config,
    check_same,
    configure,
    has_terms,
    read_config,
    torch_device,
)
from ppl_mm.runs.measures import Measures
from ppl_mm.runs.run import FILES, evaluate, load, train

__all__ = ["Cell", "Outcome", "adopt", "plan", "run"]

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

    def measures(self) -> Measures | None:
        """What is recorded of the trained system with this cell's draws and rows, or None."""
        path = self.folder / "metrics.json"
        if not (self.trained and path.is_file()):
            return None
        found = Measures.of(json.loads(path.read_text()))
        rows = min(found.rows, self.config.rows or found.rows)
        same = (found.num_samples, found.likelihood_rows) == (self.config.num_samples, rows)
        return found if same else None


@dataclass(frozen=True)
class Outcome:
    """A cell's measures, the reason of its failure, or neither where it has not run."""

    cell: Cell
    measures: Measures | None = None
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


def run(cells: Sequence[Cell], *, progress: bool = True) -> list[Outcome]:
    """Train and measure the cells that are not done; go on with those that were stopped.

    A cell that fails (it diverges, or memory runs out) leaves the others alone, and is tried again
    next time. Pressing Ctrl-C ends the run with what there is.
    """
    console = Console(highlight=False, quiet=not progress)
    outcomes = [Outcome(cell, cell.measures()) for cell in cells]
    left = [i for i, outcome in enumerate(outcomes) if outcome.measures is None]
    if len(left) < len(cells):
        console.print(f"{len(cells) - len(left)} of {len(cells)} cells are done already.")
    for number, i in enumerate(left, start=1):
        cell = cells[i]
        console.print(f"[bold]{cell}[/bold]  ({number} of {len(left)})")
        try:
            outcomes[i] = Outcome(cell, _train_and_measure(cell, progress))
        except KeyboardInterrupt:
            console.print("stopped; the same command goes on from here.")
            break
        except (ArithmeticError, RuntimeError, ValueError) as error:
            outcomes[i] = Outcome(cell, failure=str(error) or type(error).__name__)
            console.print(f"failed: {error}", style="red", markup=False)
    return outcomes


def _train_and_measure(cell: Cell, progress: bool) -> Measures:
    config = cell.config
    if cell.trained:
        found = load(cell.folder, data_dir=config.data_dir)
        found.system.to(torch_device(config.device))
    else:
        options = asdict(config)
        system, dataset = options.pop("system"), options.pop("dataset")
        begun = (cell.folder / CONFIG_FILE).exists()
        found = train(cell.folder, system, dataset, resume=begun, progress=progress, **options)
    return evaluate(found, num_samples=config.num_samples, rows=config.rows)


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
    check_same(folder, read_config(folder), asdict(cell.config), remedy)


def _check_once(what: str, given: Sequence[Any]) -> None:
    if not given:
        raise ValueError(f"{what}: expected at least one.")
    for value in given:
        if given.count(value) > 1:
            raise ValueError(f"{what}: {value} is given twice.")
