"""The runs of a table at a scale: the smallest that take every branch, short ones, the paper's."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args, get_origin

from ppl_mm.arguments.wording import unknown_name
from ppl_mm.experiments.options import changed, lacks

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from ppl_mm.experiments.reproduction import Table

__all__ = ["KINDS", "SCALES", "each", "not_of_all", "repeated", "runs_of"]

Config = Any
Run = TypeVar("Run", bound="DataclassInstance")

SCALES = ("smoke", "short", "paper")
SHARES = ("fraction", "supervision", "keep")
_KIND_OF: dict[str, Callable[[Any], Any]] = {
    "scheme": lambda scheme: scheme == "split",
    "observed": lambda names: "+" in names,
    "split": bool,
    "omega": lambda omega: (omega > 0) + (omega == 1),
    "num_particles": lambda number: number > 1,
    "strata": lambda number: number is None,
    **dict.fromkeys(SHARES, lambda share: share == 1),
}
"""An option of many values -> the function to its kind."""
_KEPT = ("objective", "num_particles", "strata")
"""What a run at the scale ``smoke`` keeps of the run that it stands for."""
KINDS = (
    *("system", "method", "dataset", "terms", "objective", "preset", "direction", "family"),
    *("shared_noise", "impartial", "scale"),
    *_KIND_OF,
)
"""The options that distinguish kinds of runs, not only their sizes."""


def each(runs: Sequence[Run], **options: Any) -> list[Run]:
    """Return the runs with these options, each where it has an effect.

    Example:
        >>> from ppl_mm.experiments.svae import Config
        >>> [run.epochs for run in each([Config(), Config(system="vaevae")], epochs=3)]
        [3, 3]
    """
    return [changed(run, **options) for run in runs]


def repeated(runs: Sequence[Run], number: int) -> list[Run]:
    """Return the runs once for each of this number of seeds.

    Example:
        >>> from ppl_mm.experiments.svae import Config
        >>> [(run.system, run.seed) for run in repeated([Config(), Config(system="mmvae")], 2)]
        [('svae', 0), ('svae', 1), ('mmvae', 0), ('mmvae', 1)]
    """
    return [changed(run, seed=seed) for run in runs for seed in range(number)]


def runs_of(
    table: "Table", scale: str = "short", *, seeds: Sequence[int] = (), **options: Any
) -> list[Config]:
    """Return the table's runs at a scale, with further options and once for each seed.

    An option of some of the runs, such as one system's, does not change the others; see
    :func:`not_of_all`.

    Example:
        >>> from ppl_mm.experiments.papers import TABLES
        >>> table = TABLES["svae"]["table-1"]
        >>> [run.system for run in runs_of(table, "paper")]
        ['svae', 'vaevae', 'vaevae_star', 'mmvae']
        >>> len(runs_of(table, "paper", seeds=[0, 1, 2]))
        12

    Raises:
        ValueError: If the scale is unknown, no run has an option, or its value is unknown or has
            another type.
    """
    if scale not in SCALES:
        raise ValueError(f"scale: expected {', '.join(SCALES)}, got {scale!r}.")
    runs = {"smoke": _smoke(table), "short": table.short, "paper": table.paper}[scale]
    known = {field.name: field.type for field in fields(runs[0])}
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"{name}: no option of these runs; they have {', '.join(known)}.")
        if get_origin(known[name]) is Literal:
            if value not in (choices := get_args(known[name])):
                raise ValueError(unknown_name(name, value, choices))
            continue
        kinds = get_args(known[name]) or (known[name],)
        if type(value) not in (*kinds, int if float in kinds else None):
            told = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"{name}: expected a value of type {told}, got {value!r}.")
    chosen = [
        changed(run, **{**options, "seed": seed}) for run in runs for seed in seeds or (run.seed,)
    ]
    for name in options:
        if all(reasons := [lacks(run, name) for run in chosen]):
            raise ValueError(f"{name}: {reasons[0]}.")
    return list(dict.fromkeys(chosen))  # The runs may have differed only in a replaced option.


def not_of_all(runs: Sequence[Config], options: Iterable[str]) -> list[str]:
    """Return a sentence for each option that some of the runs do not have.

    Example:
        >>> from ppl_mm.experiments.mvae import Config
        >>> not_of_all([Config(system="vae"), Config(system="mvae")], ["epochs", "terms"])
        ["terms: an option of mvae and mvae_q, got 'vae'; 1 of 2 runs are without it."]
    """
    told = []
    for name in options:
        reasons = [reason for run in runs if (reason := lacks(run, name))]
        if reasons:
            told.append(f"{name}: {reasons[0]}; {len(reasons)} of {len(runs)} runs are without it.")
    return told


def _smoke(table: "Table") -> list[Config]:
    """Return the first short run of each kind, and the paper's that add a kind, at smallest sizes.

    A few steps in bfloat16 take seconds on processors that have to emulate it, so they are in
    float32.
    """
    smoke = table.experiment.SMOKE
    default = asdict(type(smoke)())
    sizes = {name: value for name, value in asdict(smoke).items() if value != default[name]}
    sizes |= getattr(table.experiment, "SMOKE_OF_OTHERS", {})
    sizes |= {"precision": default["precision"]} if "precision" in default else {}
    sizes = {name: value for name, value in sizes.items() if name not in _KEPT}
    first: dict[str, Config] = {}
    for run in each(table.short, **sizes):
        first.setdefault(str([_kind(run, name) for name in KINDS]), run)
    chosen = list(first.values())
    seen = {kind for run in chosen for kind in _kinds(run)}
    # Tables of one paper share the runs of a folder: theirs have the short runs' learning rate.
    rate = {"lr": table.short[0].lr} if hasattr(table.short[0], "lr") else {}
    for run in each(table.paper, **sizes, **rate):
        if not _kinds(run) <= seen:
            chosen.append(run)
            seen |= _kinds(run)
    return [_few_particles(run) for run in chosen]


def _kind(run: Config, name: str) -> Any:
    """Return the kind of an option, None if the run does not have it."""
    if not hasattr(run, name) or lacks(run, name):
        return None
    return _KIND_OF.get(name, lambda same: same)(getattr(run, name))


def _kinds(run: Config) -> set[tuple[str, str, Any]]:
    """Return the kinds of a run's options, each with the system."""
    system = getattr(run, "system", getattr(run, "method", ""))
    return {(system, name, _kind(run, name)) for name in KINDS}


def _few_particles(run: Config) -> Config:
    """Return the run with at most two particles, which are several already."""
    number = getattr(run, "num_particles", 1)
    return changed(run, num_particles=2) if number > 2 else run
