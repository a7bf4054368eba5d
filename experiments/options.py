"""The options that the experiments share, and which options a run has."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from ppl_mm.arguments.wording import every, unknown_name

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = [
    "Below",
    "CountingOptions",
    "Only",
    "Options",
    "changed",
    "lacks",
    "of",
    "without_effect",
]

Run = TypeVar("Run", bound="DataclassInstance")
Only = Mapping[str, Mapping[str, Collection[Any]]]
"""Option -> another option -> the values of the other with which it has an effect."""


@dataclass(frozen=True)
class Below:
    """The numbers below a limit, as a collection.

    Example:
        >>> 0.5 in Below(1), 1 in Below(1), list(Below(1))
        (True, False, ['below 1'])
    """

    limit: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and value < self.limit

    def __iter__(self) -> Iterator[str]:
        return iter([f"below {self.limit:g}"])

    def __len__(self) -> int:
        return 1


@dataclass(frozen=True)
class Options:
    """The options of every run: how it trains, and where.

    The ``Config`` of an experiment adds the options that the experiment varies.

    Attributes:
        experiment: The experiment's module, within ``ppl_mm.experiments``.
        of_measures: The options that only the measures depend on. They may differ from those of an
            earlier run of the same name, whose trained system is then measured again.
        choices: Option -> its values, for options of few values.
        only: The options that some runs do not have, such as those of one system. An experiment's
            own option is refused where training does not have it. Where measures do not have it, or
            a method does not train as others do (``epochs``, ``lr``), the run says so.
        epochs: The number of passes through the training rows, in total. A run that was stopped
            continues.
        batch_size: The number of rows per step.
        lr: The learning rate of Adam.
        clip_norm: The largest norm of the gradient; None sets no bound.
        precision: Fabric's flag for training; measures are always in float32.
        step: How steps are taken, see :func:`ppl_mm.fit`; the record says how they were.
        rows: The number of rows of each part of the data that the run takes, the first; None takes
            all. Smoke runs take few, so that their classifiers train fast too.
        seed: The seed of data, networks, order, noise and draws.
        device: auto, cpu or cuda.
        threads: The number of threads that torch uses.
        checkpoint_every: The number of epochs between checkpoints.
        out: The folder of the record ``<out>/<name>.json``, of pictures, and of the trained system.
    """

    experiment: ClassVar[str]
    of_measures: ClassVar[tuple[str, ...]] = ()
    choices: ClassVar[Mapping[str, Sequence[str]]] = {}
    only: ClassVar[Only] = {}

    epochs: int = 100
    batch_size: int = 100
    lr: float = 1e-3
    clip_norm: float | None = None
    precision: str = "32-true"
    step: str = "auto"
    rows: int | None = None
    seed: int = 0
    device: str = "auto"
    threads: int = 1
    checkpoint_every: int = 1
    out: str = "runs"

    def __post_init__(self) -> None:
        """Refuse unknown values and what the run does not have, before anything is read."""
        for name, known in self.choices.items():
            if getattr(self, name) not in known:
                raise ValueError(unknown_name(name, getattr(self, name), known))
        shared = {field.name for field in fields(Options)}
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if value != field.default and name not in (*shared, *self.of_measures):
                reason = lacks(self, name)
                if reason:
                    raise ValueError(f"{name}: {reason}.")

    @property
    def name(self) -> str:
        """The name of the run's files."""
        raise NotImplementedError


def of(*names: str, **conditions: Collection[Any]) -> Only:
    """Return what says that these options have an effect under these conditions alone.

    Example:
        >>> of("terms", "k", system=("mvae", "mvae_q"))
        {'terms': {'system': ('mvae', 'mvae_q')}, 'k': {'system': ('mvae', 'mvae_q')}}
    """
    return dict.fromkeys(names, conditions)


def lacks(run: Any, name: str) -> str:
    """Return why an option has no effect in a run; the text is empty where it has.

    Example:
        >>> from ppl_mm.experiments.mvae import Config
        >>> lacks(Config(system="vae"), "terms"), lacks(Config(system="mvae"), "terms")
        ("an option of mvae and mvae_q, got 'vae'", '')
    """
    for other, values in getattr(run, "only", {}).get(name, {}).items():
        got = getattr(run, other)
        if got not in values:
            kind = "" if other in ("system", "method", "dataset") else f"{other} "
            return f"an option of {kind}{every([str(value) for value in values])}, got {got!r}"
    return ""


def changed(run: Run, **options: Any) -> Run:
    """Return the run with these options, each where it has an effect.

    Options that the run then does not have get their defaults.

    Example:
        >>> from ppl_mm.experiments.mvae import Config
        >>> asked = {"epochs": 3, "terms": "image_all"}
        >>> runs = [changed(Config(system=name), **asked) for name in ("vae", "mvae")]
        >>> [(run.epochs, run.terms) for run in runs]
        [(3, 'own'), (3, 'image_all')]
        >>> changed(runs[1], system="jmvae").terms
        'own'
    """
    found = SimpleNamespace(only=getattr(run, "only", {}), **{**vars(run), **options})
    default = {f.name: f.default for f in fields(run) if lacks(found, f.name)}
    return replace(run, **{**options, **default})


def without_effect(run: Any) -> list[str]:
    """Return the options that were set in a run which does not have them, each with the reason.

    Example:
        >>> from ppl_mm.experiments.mvae.weak import Config
        >>> without_effect(Config(method="rbm", precision="bf16-mixed"))
        ["precision: an option of mvae, jmvae and vae, got 'rbm'"]
    """
    set_ = [field.name for field in fields(run) if getattr(run, field.name) != field.default]
    return [f"{name}: {reason}" for name in set_ if (reason := lacks(run, name))]


@dataclass(frozen=True)
class CountingOptions:
    """The options of a run that counts parameters and trains nothing.

    Attributes:
        experiment: The experiment's module, within ``ppl_mm.experiments``.
        seed: A number in the record's name; nothing that is counted depends on it.
        out: The folder of the record.
    """

    experiment: ClassVar[str]

    seed: int = 0
    out: str = "runs"

    @property
    def name(self) -> str:
        """The name of the files of the run."""
        return f"parameters-{self.seed}"
