"""The data set, the training rows and the untrained system of a run, from its options."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from ppl_mm import data, systems
from ppl_mm.arguments.typed import typed
from ppl_mm.batch.observations import Observations
from ppl_mm.data import DataSet
from ppl_mm.modality import Modality
from ppl_mm.objectives import subset_terms
from ppl_mm.processes import one_thread
from ppl_mm.runs.config import Config, configure
from ppl_mm.systems import System
from ppl_mm.systems.paired import STREAMED
from ppl_mm.training.batches import Streams
from ppl_mm.training.checks import check_data, check_options

__all__ = ["build", "check", "choose", "load_data", "training_rows", "untrained", "weighted"]

_FEW = 100  # The number of rows for the trial of a system.


def load_data(dataset: str, folder: str | None, options: Mapping[str, Any]) -> DataSet:
    """Load a data set by name.

    Raises:
        ValueError: If the data set does not have an option.
    """
    try:
        return data.load(dataset, folder, **options)
    except TypeError as error:  # The data set does not have an option.
        raise ValueError(f"data set {dataset!r}: {error}") from error


def choose(dataset: DataSet, names: Sequence[str]) -> DataSet:
    """Return the data set with these modalities alone; the classes of its rows stay known."""
    if dataset.num_classes is not None and dataset.label not in names:
        dataset = dataset.without_label()
    rest = [m.name for m in dataset.modalities if m.name not in names]
    held_out = dataset.validation
    return replace(
        dataset,
        train=dataset.train.drop(*rest),
        validation=None if held_out is None else held_out.drop(*rest),
        test=dataset.test.drop(*rest),
        modalities=tuple(m for m in dataset.modalities if m.name in names),
    )


def weighted(config: Config, dataset: DataSet) -> list[Modality]:
    """Return the data set's modalities with the run's weights."""
    return [replace(m, weight=config.weights.get(m.name, m.weight)) for m in dataset.modalities]


def build(config: Config, dataset: DataSet, rows: Observations | list[Observations]) -> System:
    """Build the untrained system, with networks initialised from the seed; it trains on ``rows``.

    Raises:
        ValueError: If the system does not have an option.
    """
    modalities = weighted(config, dataset)
    options = dict(config.options)
    if config.paired < 1 and config.system in STREAMED:
        options["unpaired"] = "disjoint"
    if config.system == "meme":
        options["pseudo_inputs"] = rows
    if config.beta is not None:
        options["beta"] = config.beta
    if config.terms is not None:
        options["terms"] = subset_terms(None if config.terms == "all" else int(config.terms))
    with one_thread(), torch.random.fork_rng():
        torch.manual_seed(config.seed)
        try:
            return systems.build(config.system, modalities, config.latent_dim, **options)
        except TypeError as error:  # The system does not have an option.
            raise ValueError(f"system {config.system!r}: {error}") from error


def training_rows(config: Config, dataset: DataSet) -> Observations | list[Observations]:
    """Return all rows, or a share of them paired and the rest apart, as streams where papers do so.

    Values are left out before that. With the same seed, a larger share leaves out what a smaller
    share does, and more.
    """
    rows = dataset.train
    if config.missing > 0:
        rows = data.keep_modalities(rows, 1 - config.missing, seed=config.seed)
    if config.paired < 1 and config.system in STREAMED:
        unpaired: Any = config.options.get("unpaired", "all")
        return data.streams(rows, config.paired, unpaired=unpaired, seed=config.seed)
    return data.weakly_supervised(rows, config.paired, seed=config.seed)


def check(config: Config, whole: DataSet) -> DataSet:
    """Return the data set with the run's modalities, once a system is built that can take its rows.

    Raises:
        ValueError: If the system, its options or the data are refused, as in :func:`train`.
    """
    chosen = choose(whole, config.modalities)
    rows = training_rows(config, chosen)
    built = build(config, chosen, rows)
    check_options(built, config.annealing_epochs)
    few = [part[:_FEW] for part in (rows if isinstance(rows, list) else [rows])]
    with one_thread(), torch.random.fork_rng():
        check_data(built, Streams(few), chosen.transform, None)
    return chosen


@typed
def untrained(system: str, dataset: str, **options: Any) -> tuple[System, Observations]:
    """Build the system that :func:`ppl_mm.runs.train` starts from, and load its training rows.

    Args:
        system: A name of ``systems.available()``.
        dataset: A name of ``data.available()``.
        **options: Options of :class:`ppl_mm.runs.Config`.

    Returns:
        The system, and the rows of the data set's training part with the chosen modalities.

    Raises:
        ValueError: If a name or an option is unknown, or an option is out of range.
    """
    whole = load_data(dataset, options.get("data_dir"), options.get("data_options", {}))
    config = configure(system, whole, **options)
    chosen = choose(whole, config.modalities)
    return build(config, chosen, training_rows(config, chosen)), chosen.train
