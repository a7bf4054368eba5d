"""Train and measure the trials of a comparison: one after another, or several at a time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import cast

from rich.console import Console
from torch import nn

from ppl_mm.arguments.typed import typed
from ppl_mm.comparison.training import training
from ppl_mm.comparison.trials import Outcome, Trial
from ppl_mm.data import DataSet
from ppl_mm.files import FolderInUseError, owned
from ppl_mm.oracles.classifier import train_classifiers
from ppl_mm.runs.building import choose, load_data
from ppl_mm.runs.coherence import classifiable
from ppl_mm.runs.config import Config
from ppl_mm.runs.likelihoods import LIKELIHOODS, read
from ppl_mm.runs.measures import Measures
from ppl_mm.runs.parallel import in_parallel
from ppl_mm.runs.records import torch_device
from ppl_mm.runs.run import evaluate, load, train
from ppl_mm.training.signals import terminable

__all__ = ["run"]

_EPOCHS, _ROWS_SEEN = 10, 100_000  # The shortest training of an oracle.


@typed
def run(
    trials: Sequence[Trial],
    *,
    coherence: bool = True,
    progress: bool = True,
    num_jobs: int = 1,
    dask: str | None = None,
) -> list[Outcome]:
    """Train and measure the unfinished trials; those that were stopped continue.

    A trial that fails (it diverges, memory runs out, or one of its files is damaged) does not stop
    the others, and is tried again next time. Ctrl-C, SIGTERM and SIGHUP end the run with the
    finished trials. Each trial is made by one process: where several commands work in one folder,
    each makes those that no other has begun.

    Args:
        trials: The trials of one :func:`plan`.
        coherence: Whether to measure coherence too, if rows have classes, see
            :func:`ppl_mm.runs.measure`. Its classifiers are trained once, and kept in the folder
            ``oracles`` beside the trials' folders.
        progress: Whether to print progress.
        num_jobs: The number of processes on this machine, each with a trial at a time.
        dask: The address of the scheduler of a Dask cluster, whose workers make the trials. They
            must see the same folders. It needs the extra ``distributed``.
    """
    console = Console(highlight=False, quiet=not progress)
    names = classifiable(trials[0].dataset) if coherence else ()
    outcomes = [_recorded(trial, names) for trial in trials]
    left = [i for i, o in enumerate(outcomes) if o.measures is None and o.failure is None]
    if len(left) < len(trials):
        console.print(f"{len(trials) - len(left)} of {len(trials)} trials are done already.")
    alone = num_jobs == 1 and dask is None
    try:
        with terminable():
            classifiers = _oracles(trials[0], names, progress) if left else {}
            chosen = [trials[i] for i in left]
            if alone:
                made = _one_by_one(chosen, classifiers, console, progress)
            else:
                made = _several(chosen, names, console, num_jobs, dask)
            for i, outcome in made:
                outcomes[left[i]] = outcome
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on from here.")
    outcomes = [_looked_at_again(outcome, names) for outcome in outcomes]
    for outcome in outcomes:
        if outcome.failure is not None:
            console.print(f"failed: {outcome.failure}", style="red", markup=False)
        if outcome.elsewhere is not None:
            console.print(f"{outcome.trial}: {outcome.elsewhere}", markup=False)
    return outcomes


def _one_by_one(
    trials: Sequence[Trial],
    classifiers: Mapping[str, nn.Module],
    console: Console,
    progress: bool,
) -> Iterator[tuple[int, Outcome]]:
    for i, trial in enumerate(trials):
        console.print(f"[bold]{trial}[/bold]  ({i + 1} of {len(trials)})")
        yield i, _made(trial, classifiers, progress)


def _several(
    trials: Sequence[Trial], names: Sequence[str], console: Console, num_jobs: int, dask: str | None
) -> Iterator[tuple[int, Outcome]]:
    calls = [(trial.folder.absolute(), trial.config, tuple(names)) for trial in trials]
    folders = {str(trial): trial.folder for trial in trials}
    for i, found in in_parallel(_in_worker, calls, folders, console, num_jobs, dask):
        yield i, replace(found, trial=trials[i])


def _in_worker(folder: Path, config: Config, names: tuple[str, ...]) -> Outcome:
    """Make a trial in its own process, which reads the data itself; its outcome has no data."""
    whole = load_data(config.dataset, config.data_dir, config.data_options)
    trial = Trial(folder, config, choose(whole, config.modalities))
    found = _made(trial, _oracles(trial, names, False), False)
    nothing = cast(DataSet, None)  # The caller has the data.
    return replace(found, trial=Trial(folder, config, nothing))


def _recorded(trial: Trial, oracles: Sequence[str]) -> Outcome:
    """Return the outcome of a finished trial; an empty one for any other."""
    measures = trial.measures(oracles)
    if measures is None:
        return Outcome(trial)
    try:
        rows = read(trial.folder / LIKELIHOODS, trial.dataset.modalities)
        measures = replace(measures, results=tuple(rows))
        return Outcome(trial, measures, training(trial.folder))
    except ValueError as error:
        return Outcome(trial, failure=f"{error} {_anew(trial)}")


def _looked_at_again(outcome: Outcome, oracles: Sequence[str]) -> Outcome:
    """Return the outcome of a trial that another process has finished meanwhile."""
    if outcome.elsewhere is None:
        return outcome
    found = _recorded(outcome.trial, oracles)
    return outcome if found.measures is None and found.failure is None else found


def _made(trial: Trial, classifiers: Mapping[str, nn.Module], progress: bool) -> Outcome:
    """Train and measure a trial unless another process does, and return its outcome."""
    begun = trial.begun
    try:
        with owned(trial.folder):
            done = _recorded(trial, list(classifiers))  # Another process may have been quicker.
            if done.measures is not None:
                return done
            measures = _train_and_measure(trial, classifiers, progress)
            return Outcome(trial, measures, training(trial.folder))
    except FolderInUseError as error:
        return Outcome(trial, elsewhere=str(error))
    except Exception as error:  # The other trials continue after any error.
        text = str(error) or type(error).__name__
        damaged = begun and isinstance(error, ValueError)
        return Outcome(trial, failure=f"{text} {_anew(trial)}" if damaged else text)


def _anew(trial: Trial) -> str:
    return f"Remove {trial.folder}, and the same command makes the trial anew."


def _oracles(trial: Trial, names: Sequence[str], progress: bool) -> dict[str, nn.Module]:
    """Train the classifiers of real rows that coherence needs; none without names."""
    if not names:
        return {}
    return train_classifiers(
        trial.dataset,
        names,
        epochs=max(_EPOCHS, _ROWS_SEEN // len(trial.dataset.train)),
        folder=trial.folder.parent / "oracles",
        device=torch_device(trial.config.device),
        progress=progress,
    )


def _train_and_measure(
    trial: Trial, classifiers: Mapping[str, nn.Module], progress: bool
) -> Measures:
    config = trial.config
    if trial.trained:
        found = load(trial.folder, data_dir=config.data_dir)
        found.system.to(torch_device(config.device))
    else:
        options = asdict(config)
        system, dataset = options.pop("system"), options.pop("dataset")
        found = train(
            trial.folder, system, dataset, resume=trial.begun, progress=progress, **options
        )
    options = {"num_samples": config.num_samples, "rows": config.rows}
    return evaluate(found, classifiers=classifiers, **options)
