"""The trials of a comparison: every system at every missing share with every seed.

Each trial is an ordinary run folder.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ppl_mm import systems
from ppl_mm.arguments.typed import typed
from ppl_mm.comparison.training import Training
from ppl_mm.data import DataSet
from ppl_mm.files import read_json
from ppl_mm.runs.building import check, load_data
from ppl_mm.runs.config import (
    CONFIG_FILE,
    Config,
    DamagedRecordError,
    configure,
    has_terms,
    read_config,
)
from ppl_mm.runs.folder import FILES
from ppl_mm.runs.likelihoods import LIKELIHOODS
from ppl_mm.runs.measures import Measures
from ppl_mm.runs.records import check_same

__all__ = ["Outcome", "Trial", "adopt", "plan"]

_LATER = ("checkpoint.pt", "metrics.json", "posterior.png", LIKELIHOODS)
_TRAINED = [name for name in FILES if name not in _LATER]


@dataclass(frozen=True)
class Trial:
    """One system, trained with one share of missing values from one seed.

    Attributes:
        folder: The run folder.
        config: The options of the run.
        dataset: The data set with the modalities in use, which is the same in all trials.
    """

    folder: Path
    config: Config
    dataset: DataSet

    def __str__(self) -> str:
        return f"{self.config.system}, missing {self.config.missing:g}, seed {self.config.seed}"

    @property
    def begun(self) -> bool:
        """Whether there is a run in its folder."""
        return (self.folder / CONFIG_FILE).exists()

    @property
    def trained(self) -> bool:
        """Whether training has ended, and all its files are there."""
        return all((self.folder / name).is_file() for name in _TRAINED)

    def measures(self, oracles: Sequence[str] = ()) -> Measures | None:
        """Read the recorded measures with this trial's draws and rows; None if there are none.

        Args:
            oracles: The modalities whose coherence is needed.
        """
        path = self.folder / "metrics.json"
        if not (self.trained and path.is_file()):
            return None
        try:
            found = Measures.of(read_json(path))
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
        ):  # The file is damaged or has another version.
            return None
        rows = min(found.rows, self.config.rows or found.rows)
        same = (found.num_samples, found.likelihood_rows) == (self.config.num_samples, rows)
        same = same and (self.folder / LIKELIHOODS).is_file()
        return found if same and set(found.oracles) >= set(oracles) else None


@dataclass(frozen=True)
class Outcome:
    """The measures and the training of a trial, or the reason why it failed; None if not run.

    For a trial that another process makes, ``elsewhere`` names the process. The measures hold the
    log-likelihoods row by row.
    """

    trial: Trial
    measures: Measures | None = None
    training: Training | None = None
    failure: str | None = None
    elsewhere: str | None = None

    @property
    def state(self) -> str:
        """``"failed"``, ``"in work elsewhere"``, ``"not run yet"`` or ``"done"``."""
        if self.failure is not None:
            return "failed"
        if self.elsewhere is not None:
            return "in work elsewhere"
        return "not run yet" if self.training is None else "done"


@typed
def plan(
    folder: str | Path,
    dataset: str,
    names: Sequence[str],
    *,
    missing: Sequence[float] = (0.0,),
    seeds: Sequence[int] = (0,),
    own: Mapping[str, Mapping[str, Any]] | None = None,
    **settings: Any,
) -> tuple[Trial, ...]:
    """Check that every system can take the data, and return the trials; nothing is written.

    Args:
        folder: The folder of the trials' folders ``<system>-<missing>-<seed>``.
        dataset: A name of ``data.available()``.
        names: The names of the systems.
        missing: The shares of the modalities of training rows that are left out at random. With one
            seed and share they are the same for every system; test rows are complete.
        seeds: The seeds of networks, order, noise and missing values.
        own: System -> the options of this system.
        settings: Other fields of :class:`ppl_mm.runs.Config` for all systems; ``terms`` applies to
            the systems that leave the choice.

    Raises:
        ValueError: For unknown names, options out of range, a system that cannot take the data,
            or a folder with a trial of other settings.
    """
    own = own or {}
    _check_once("system", names)
    _check_once("missing", [f"{share:g}" for share in missing])
    _check_once("seed", seeds)
    for name in own:
        if name not in names:
            raise ValueError(f"option of {name!r}: the comparison has only {', '.join(names)}.")
    whole = load_data(dataset, settings.get("data_dir"), settings.get("data_options", {}))
    trials = []
    for name in names:
        for share in missing:
            chosen = None
            for seed in seeds:
                config = _configure(name, whole, own.get(name, {}), settings, share, seed)
                chosen = check(config, whole) if chosen is None else chosen
                trials.append(Trial(Path(folder, f"{name}-{share:g}-{seed}"), config, chosen))
    for trial in trials:
        if trial.begun:
            with suppress(DamagedRecordError):  # Only this trial fails.
                _check_same(trial, trial.folder)
    return tuple(trials)


@typed
def adopt(trials: Iterable[Trial], folders: Iterable[str | Path]) -> None:
    """Copy trained runs to the trials of the same settings, which then need no training.

    Raises:
        FileNotFoundError: If a folder holds no run, or one whose training has not ended.
        FileExistsError: If the trial has begun.
        ValueError: If a run is not a trial of the comparison, or has other settings.
    """
    by_name = {str(trial): trial for trial in trials}
    for source in map(Path, folders):
        config = read_config(source)
        name = str(Trial(source, config, next(iter(by_name.values())).dataset))
        if name not in by_name:
            raise ValueError(
                f"{source}: {name} is no trial of this comparison; add its system, share or seed."
            )
        trial = by_name[name]
        _check_same(trial, source)
        if trial.trained:
            continue
        if not Trial(source, config, trial.dataset).trained:
            raise FileNotFoundError(f"{source}: its training has not ended; go on with --resume.")
        if trial.folder.exists():
            raise FileExistsError(
                f"{trial.folder}: this trial has begun; remove it to load another."
            )
        trial.folder.parent.mkdir(parents=True, exist_ok=True)
        copy = Path(tempfile.mkdtemp(dir=trial.folder.parent, prefix=f".{trial.folder.name}."))
        for file in FILES:
            if (source / file).is_file():
                shutil.copy2(source / file, copy)
        copy.chmod(0o755)
        os.replace(copy, trial.folder)


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


def _check_same(trial: Trial, folder: Path) -> None:
    remedy = "Compare with the same settings, or give another folder by --out."
    check_same(folder, asdict(read_config(folder)), asdict(trial.config), remedy)


def _check_once(what: str, given: Sequence[Any]) -> None:
    if not given:
        raise ValueError(f"{what}: expected at least one.")
    for value in given:
        if given.count(value) > 1:
            raise ValueError(f"{what}: {value} is given twice.")
