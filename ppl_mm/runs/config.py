"""The options of a run: each data set's defaults, and the file that keeps them."""

import dataclasses
import inspect
import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ppl_mm import systems
from ppl_mm.arguments.typed import typed
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.data import DataSet
from ppl_mm.data.running import defaults_of
from ppl_mm.runs.records import PLACES, Files, check_same, command, facts, torch_device

__all__ = [
    "CONFIG_FILE",
    "Config",
    "DamagedRecordError",
    "configure",
    "files",
    "has_terms",
    "read_config",
    "read_facts",
    "resumed",
    "write_config",
]

CONFIG_FILE = "config.json"


class DamagedRecordError(ValueError):
    """The file of a run's options cannot be read."""


_CHANGEABLE = ("learning_rate", "clip_norm", "patience")
"""Options that a resumed run may change; its record says from which epoch on."""

_SEVERAL = ("weights", "options", "data_options")  # These flags may be repeated.


@typed
@dataclass(frozen=True)
class Config:
    """All options of a run; :func:`configure` fills in a data set's defaults.

    Attributes:
        system: A name of ``systems.available()``.
        dataset: A name of ``data.available()``, or the path of a declaration.
        modalities: The modalities of the data set that are used.
        latent_dim: Z, the size of the latent.
        epochs: The number of passes through the training rows.
        batch_size: The number of rows per step.
        learning_rate: The learning rate of Adam.
        scheduler: How the learning rate changes: "cosine" or "linear" to 0 over all epochs,
            "exponential:GAMMA" by a factor an epoch, or "plateau"; None leaves it as it is.
        monitor: The measure that decides the best epoch: "elbo", "loss", "accuracy:LABEL" or
            "log_likelihood:TARGET|GIVEN"; None takes the ELBO if rows are held out.
        weights: The factors lambda_m in training; a modality that is not named has the data set's.
        terms: The number of random subsets besides everything and each modality alone, or "all"
            subsets; None for a system that has no such choice.
        beta: The factor of the KL in training; None for the system's own.
        options: Further options of the system, such as private_dim or num_particles.
        data_options: Options of the data set, such as num_train or arch of polymnist.
        annealing_epochs: The number of epochs over which beta grows from 0.
        paired: The share of training rows whose modalities are paired. The others come apart; for
            the systems of SVAE's paper each modality also has a stream of all rows.
        missing: The share of the modalities of training rows that are left out at random, once, see
            :func:`ppl_mm.data.keep_modalities`. This comes before any rows come apart.
        patience: The number of epochs without a better validation ELBO after which training stops.
        clip_norm: The largest norm of the whole gradient.
        impartial: How the modalities' gradients are combined, see :func:`ppl_mm.fit`.
        seed: The seed of networks, order, noise, pairs and missing modalities.
        precision: Fabric's flag.
        step: How steps are taken, see :func:`ppl_mm.fit`.
        device: "auto", "cpu", "cuda" or "cuda:1".
        data_dir: The folder of the data; None for the default folder.
        num_samples: The number of draws per row for likelihoods.
        rows: The number of test rows for likelihoods; None takes all.
    """

    system: str
    dataset: str
    modalities: tuple[str, ...]
    latent_dim: int
    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-3
    scheduler: str | None = None
    monitor: str | None = None
    weights: dict[str, float] = field(default_factory=dict)
    terms: int | str | None = None
    beta: float | None = None
    options: dict[str, Any] = field(default_factory=dict)
    data_options: dict[str, Any] = field(default_factory=dict)
    annealing_epochs: int = 0
    paired: float = 1.0
    missing: float = 0.0
    patience: int | None = None
    clip_norm: float | None = None
    impartial: str | None = None
    seed: int = 0
    precision: str = "32-true"
    step: str = "auto"
    device: str = "auto"
    data_dir: str | None = None
    num_samples: int = 1000
    rows: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate: expected a number above 0, got {self.learning_rate}.")
        if not 0 <= self.missing < 1:
            raise ValueError(f"missing: expected a share from 0 to below 1, got {self.missing}.")
        count = isinstance(self.terms, int) and self.terms >= 0
        if not (self.terms in (None, "all") or count):
            raise ValueError(f"terms: expected 'all' or a number of subsets, got {self.terms!r}.")

    def command(self, folder: Path) -> str:
        """Return the command line that repeats the run."""
        several = {"option": self.options, "data_option": self.data_options}
        given = {
            "out": folder,
            "modality": list(self.modalities),
            "weight": [f"{name}={weight}" for name, weight in self.weights.items()],
            **{
                flag: [f"{name}={json.dumps(value)}" for name, value in options.items()]
                for flag, options in several.items()
            },
        }
        rest = [f.name for f in dataclasses.fields(self)[3:] if f.name not in _SEVERAL]
        given |= {name: getattr(self, name) for name in rest}
        return command(["ppl-mm", "train", self.system, self.dataset], given)


@typed
def configure(system: str, dataset: DataSet, **options: Any) -> Config:
    """Return the options of a run; an option that is not given has the data set's default.

    Raises:
        ValueError: If a name is unknown, or an option is out of range.
    """
    _check_names("option", options, [f.name for f in dataclasses.fields(Config)])
    _check_names("system", [system], systems.available())
    names = [m.name for m in dataset.modalities]
    chosen = options.pop("modalities", None) or names
    _check_names("modality", chosen, names)
    _check_names("modality in weights", options.get("weights", ()), chosen)
    defaults = defaults_of(dataset)
    settings = {"latent_dim": dataset.latent_dim, **defaults.options(), **options}
    if has_terms(system):
        settings.setdefault("terms", 0)
    elif settings.pop("terms", None) is not None and "terms" in options:
        raise ValueError(f"terms: system {system!r} leaves no choice of terms.")
    settings.setdefault("annealing_epochs", round(defaults.annealing * settings["epochs"]))
    if dataset.provenance is not None:
        kept = {"fingerprint": dataset.provenance.fingerprint}
        settings["data_options"] = {**settings.get("data_options", {}), **kept}
    return Config(system, dataset.reference, tuple(n for n in names if n in chosen), **settings)


def has_terms(system: str) -> bool:
    """Whether a system leaves the choice of subsets of modalities in training."""
    return "terms" in inspect.signature(getattr(systems, system)).parameters


def resumed(folder: Path, options: Mapping[str, Any]) -> Config:
    """Return the saved options of a run, once those given again are the same.

    Raises:
        FileNotFoundError: If there is no run.
        ValueError: If an option differs. Those that say where and how fast it runs may differ,
            those that help where training diverged or ends too late, and the number of epochs,
            unless the learning rate reaches 0 after them.
    """
    config = read_config(folder)
    if Path(options["dataset"]).name == Path(config.dataset).name:  # The data may have moved.
        config = dataclasses.replace(config, dataset=options["dataset"])
    _check_names("option", options, [f.name for f in dataclasses.fields(Config)])
    remedy = "Leave the option out, or start a run in another folder."
    to_zero = config.scheduler in ("cosine", "linear")
    may_differ = (*PLACES, *_CHANGEABLE, *(() if to_zero else ("epochs",)))
    check_same(folder, asdict(config), options, remedy, may_differ=may_differ)
    return dataclasses.replace(config, **{n: options[n] for n in may_differ if n in options})


def files(folder: Path) -> Files:
    """Return the places of a run folder's record, checkpoint and trained system."""
    return Files(folder / CONFIG_FILE, folder / "checkpoint.pt", folder / "system.safetensors")


def write_config(folder: Path, config: Config, epoch: int = 0) -> None:
    """Write the options, the command that repeats the run, the hardware and the versions.

    A run that is resumed with another learning rate, norm or patience also records the former ones,
    and the number of epochs after which they changed. A run of more epochs than it had is the same
    as one that had them from the beginning.
    """
    content: dict[str, Any] = {"command": config.command(folder), "options": asdict(config)}
    if epoch > 0:
        before = files(folder).read()
        content["changes"] = before.get("changes", [])
        former = {name: before["options"][name] for name in _CHANGEABLE}
        if former != {name: getattr(config, name) for name in _CHANGEABLE}:
            content["changes"].append({"after_epochs": epoch, "former": former})
    if Path(config.dataset).is_absolute():
        content["note"] = (
            "The data set is the declaration at an absolute path. Where it has moved with its "
            "files, give their folder as --data-dir."
        )
    files(folder).write(content | facts(torch_device(config.device)))


def read_config(folder: Path) -> Config:
    """Return the options of the run in a folder.

    Raises:
        FileNotFoundError: If there is no run.
        ValueError: If the file is damaged, or of another version.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no run here, it has no {CONFIG_FILE}.")
    try:
        options = files(folder).read()["options"]
        return Config(**{**options, "modalities": tuple(options["modalities"])})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        told = f"{path}: damaged, or of another version ({error}). Train in another folder."
        raise DamagedRecordError(told) from error


def read_facts(folder: Path) -> tuple[str, str]:
    """Return the hardware and the versions that a run was trained with, in words."""
    content = files(folder).read()
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    return content.get("hardware", "not recorded"), versions


def _check_names(what: str, given: Iterable[str], names: Collection[str]) -> None:
    for name in given:
        if name not in names:
            raise ValueError(unknown_name(what, name, names))
