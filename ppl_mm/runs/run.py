"""Run folders: train a system on a data set, both by name, and load it again.

    run = train("runs/digits", "mvae", "digits", epochs=50)
    metrics = evaluate(run)
    run = load("runs/digits")

A run folder holds

    config.json                  the options, with versions and the command that repeats the run
    checkpoint.pt                the state from which ``resume=True`` continues
    system.safetensors           the trained system, for ``System.load``
    history.csv, loss.png        one row per epoch with the parts of the loss, and its curves
    prior_samples.png, cross_generation.png, latent.png
    posterior.png                where a posterior has two coordinates to show
    metrics.json                 likelihoods and accuracies of held-out rows
    likelihoods.npz              the likelihoods row by row

The files .json write numbers that are not finite as the strings "NaN", "Infinity" and "-Infinity".
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch import nn

from ppl_mm.arguments.typed import typed
from ppl_mm.data.running import reference
from ppl_mm.files import owned, write_json
from ppl_mm.networks.recipe import describe
from ppl_mm.processes import is_first
from ppl_mm.runs import likelihoods
from ppl_mm.runs.building import build, choose, load_data, training_rows, weighted
from ppl_mm.runs.config import (
    configure,
    files,
    read_config,
    resumed,
)
from ppl_mm.runs.folder import Kept, Run, check_folder, draw, numbers, write_history
from ppl_mm.runs.measures import Measures, measure
from ppl_mm.runs.records import command
from ppl_mm.runs.steering import check_monitor, monitor_of, scheduler_of
from ppl_mm.systems import System
from ppl_mm.training import Callback, DivergedError, LossParts, StoppedError

__all__ = ["evaluate", "load", "train"]


@typed
def train(
    folder: str | Path,
    system: str,
    dataset: str,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    **options: object,
) -> Run:
    """Train, and write the run folder with everything except ``metrics.json``.

    The first of several processes under ``torchrun`` writes.

    Args:
        folder: The run folder.
        system: A name of ``systems.available()``.
        dataset: A name of ``data.available()``, or the path of a declaration.
        resume: Whether to continue the run in ``folder``; the result equals a run that was never
            stopped. With more ``epochs`` it goes on for longer.
        overwrite: Whether to replace the run in ``folder``; its files go once the new run can
            start.
        progress: Whether to show a progress bar.
        callbacks: The callbacks around the run, see :func:`ppl_mm.fit`.
        options: Fields of :class:`Config`; the others get the data set's defaults, or with
            ``resume`` those of the saved run.

    Raises:
        FileExistsError: If the folder holds a run, without ``resume`` or ``overwrite``.
        FileNotFoundError: If there is nothing to resume, or the data are missing.
        ValueError: If a name is unknown, an option is out of range, or, with ``resume``, an option
            differs.
        FolderInUseError: If another process trains in ``folder``; it names the process and host.
        DivergedError: If training diverges, see :func:`ppl_mm.fit`; the history so far is in the
            folder.
        StoppedError: After Ctrl-C, SIGTERM or SIGHUP; the message has the command that resumes the
            run.
    """
    folder, dataset = Path(folder), reference(dataset)
    with owned(folder) if is_first() else nullcontext():
        return _train(folder, system, dataset, resume, overwrite, progress, callbacks, options)


def _train(
    folder: Path,
    system: str,
    dataset: str,
    resume: bool,
    overwrite: bool,
    progress: bool,
    callbacks: Sequence[Callback],
    options: dict[str, Any],
) -> Run:
    """Train in a folder that this process owns."""
    check_folder(folder, resume, overwrite)
    if resume:
        config = resumed(folder, {"system": system, "dataset": dataset, **options})
        whole = load_data(dataset, config.data_dir, config.data_options)
    else:
        whole = load_data(dataset, options.get("data_dir"), options.get("data_options", {}))
        config = configure(system, whole, **options)
    if progress and is_first() and whole.provenance is not None:
        print(*whole.provenance.guesses(), sep="\n", end="\n" * bool(whole.provenance.guesses()))
    chosen = choose(whole, config.modalities)
    rows = training_rows(config, chosen)
    built = build(config, chosen, rows)
    check_monitor(config.monitor, built, chosen.validation)
    kept = files(folder)
    measured = any(isinstance(callback, LossParts) for callback in callbacks)  # by a Log
    parts = [] if measured else [LossParts()]
    try:
        result = kept.train(
            built,
            rows,
            config,
            config.learning_rate,
            validation=chosen.validation,
            patience=config.patience,
            annealing_epochs=config.annealing_epochs,
            impartial=config.impartial,
            transform=chosen.transform,
            step=config.step,
            checkpoint_every=max(1, config.epochs // 20),
            resume=resume,
            scheduler=scheduler_of(config.scheduler, config.epochs),
            monitor=monitor_of(config.monitor),
            callbacks=[*parts, Kept(folder, config, resume), *callbacks],
            progress=progress,
        )
    except DivergedError as error:
        if is_first():
            write_history(folder, error.result)
        raise
    except StoppedError as error:
        words = ["ppl-mm", "train", config.system, config.dataset]
        again = command(words, {"out": folder}) + " --resume"
        raise StoppedError(error.where, f"Go on by: {again}", error.result, error.number) from None
    run = Run(folder, config, chosen, built)
    if is_first():
        built.save(kept.system)
        write_history(folder, result)
        draw(run)
    return run


@typed
def load(folder: str | Path, *, data_dir: str | None = None) -> Run:
    """Load the trained run in a folder.

    Args:
        folder: The folder that :func:`train` wrote.
        data_dir: The folder of the data, if they have moved.

    Raises:
        FileNotFoundError: If there is no trained run, or the data are missing.
        ValueError: If a file is damaged.
    """
    folder = Path(folder)
    config = read_config(folder)
    path = files(folder).system
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; has the training ended? Go on with it by the same train "
            "command and --resume."
        )
    whole = load_data(config.dataset, data_dir or config.data_dir, config.data_options)
    chosen = choose(whole, config.modalities)
    factories = [f for m in chosen.modalities for f in (m.encoder, m.decoder)]
    own = any(describe(factory) is None for factory in factories)  # networks that no file describes
    system = System.load(path, weighted(config, chosen) if own else None)
    return Run(folder, config, chosen, system)


@typed
def evaluate(
    run: Run,
    *,
    num_samples: int | None = None,
    rows: int | None = None,
    classifiers: Mapping[str, nn.Module] | None = None,
) -> Measures:
    """Measure likelihoods and accuracies on the test rows, and write ``metrics.json``.

    Args:
        run: A trained run.
        num_samples: The number of draws per row for likelihoods; the configuration's by default.
        rows: The number of test rows for likelihoods; the configuration's by default.
        classifiers: Classifiers of the modalities whose coherence is measured too.
    """
    num_samples, rows = numbers(run, num_samples, rows)
    found = measure(
        run.system,
        run.dataset.test,
        run.label,
        num_samples=num_samples,
        rows=rows,
        classifiers=classifiers,
        labels=run.dataset.classes("test") if classifiers else None,
    )
    with owned(run.folder):
        likelihoods.write(run.folder / likelihoods.LIKELIHOODS, found.results)
        write_json(run.folder / "metrics.json", found.to_dict())
    return found
