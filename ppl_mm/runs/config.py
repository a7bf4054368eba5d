"""The options of a run: each data set's defaults, and the file that they are kept in."""

import dataclasses
import inspect
import json
import math
import platform
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyro
import torch

import ppl_mm
from ppl_mm import flags, systems
from ppl_mm.data import DataSet
from ppl_mm.files import write_atomically
from ppl_mm.modality import unknown_name
from ppl_mm.typed import typed

__all__ = [
    "CONFIG_FILE",
    "Config",
    "check_same",
    "configure",
    "has_terms",
    "read_config",
    "read_facts",
    "resumed",
    "torch_device",
    "write_config",
]

CONFIG_FILE = "config.json"

_MNIST_FAMILY = ("mnist", "binary_mnist", "fashion_mnist", "multimnist")
_DEFAULTS: dict[str, dict[str, Any]] = {
    "digits": {"epochs": 200, "batch_size": 128, "learning_rate": 2e-3, "terms": "all"},
    **{name: {"epochs": 50, "batch_size": 100, "rows": 500} for name in _MNIST_FAMILY},
    "polymnist": {"epochs": 50, "rows": 200},
    **{name: {"epochs": 30, "rows": 500} for name in ("svhn", "mnist_svhn", "mnist_fashion")},
    **{
        name: {"epochs": 50, "batch_size": 100, "learning_rate": 2e-4, "rows": 500}
        for name in ("mnist_split", "mnist_split_3")
    },
    "cub_captions": {"epochs": 50, "batch_size": 100, "rows": 200},
    "cub": {"epochs": 50, "batch_size": 100, "learning_rate": 1e-4, "rows": 200},
    "cub_images": {"epochs": 50, "batch_size": 32, "rows": 100},
}
"""What a data set is trained with where nothing is said."""

_ANNEALED = 0.4  # of the epochs on the MNIST family, after Wu & Goodman 2018
_SEVERAL = ("weights", "options", "data_options")  # flags that repeat
_PLACES = ("device", "cuda_graph", "compile", "data_dir")  # may differ where a run goes on


@typed
@dataclass(frozen=True)
class Config:
    """Everything that a run depends on; :func:`configure` fills in a data set's defaults.

    Attributes:
        system: A name of ``systems.available()``.
        dataset: A name of ``data.available()``.
        modalities: Which of the data set's to use.
        latent_dim: Z.
        epochs: Passes through the training rows.
        batch_size: Rows per step.
        learning_rate: Of Adam.
        weights: The factors lambda_m in training, the data set's own where not named.
        terms: Random subsets besides everything and each modality alone, or "all" subsets; None
            for a system that has no such choice.
        beta: The factor of the KL in training; None for the system's own.
        options: Further options of the system, such as private_dim or num_particles.
        data_options: Options of the data set, such as num_train or arch of polymnist.
        annealing_epochs: Epochs over which beta grows from 0.
        paired: The share of training rows whose modalities are paired. The others come apart;
            for the systems of SVAE's paper each modality has a stream of all rows besides.
        missing: The share of the modalities of training rows that are left out at random, once,
            see :func:`ppl_mm.data.keep_modalities`; before any rows come apart.
        patience: Stop after so many epochs without a better validation ELBO.
        clip_norm: Largest norm of the whole gradient.
        impartial: How the modalities' gradients are combined, see :func:`ppl_mm.fit`.
        seed: Of networks, order, noise, pairs, and what is missing.
        precision: Fabric's flag.
        cuda_graph: Whether to replay steps as a CUDA graph, see :func:`ppl_mm.fit`; None: where
            that can be.
        compile: Whether ``torch.compile`` compiles the networks while they train.
        device: "auto", "cpu", "cuda" or "cuda:1".
        data_dir: Where the data lie; None for the default folder.
        num_samples: Draws per row for likelihoods.
        rows: Test rows for likelihoods; None for all.
    """

    system: str
    dataset: str
    modalities: tuple[str, ...]
    latent_dim: int
    epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 1e-3
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
    cuda_graph: bool | None = None
    compile: bool = False
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
        """The command line that repeats the run."""
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
        return shlex.join(["ppl-mm", "train", self.system, self.dataset, *flags.words(given)])


@typed
def configure(system: str, dataset: DataSet, **options: Any) -> Config:
    """The options of a run, with the data set's defaults for those that are not given.

    Raises:
        ValueError: For unknown names, or options out of range.
    """
    _check_known("option", options, [f.name for f in dataclasses.fields(Config)])
    _check_known("system", [system], systems.available())
    names = [m.name for m in dataset.modalities]
    chosen = options.pop("modalities", None) or names
    _check_known("modality", chosen, names)
    _check_known("modality in weights", options.get("weights", ()), chosen)
    settings = {"latent_dim": dataset.latent_dim, **_DEFAULTS.get(dataset.name, {}), **options}
    if has_terms(system):
        settings.setdefault("terms", 0)
    elif settings.pop("terms", None) is not None and "terms" in options:
        raise ValueError(f"terms: system {system!r} leaves no choice of terms.")
    if dataset.name in _MNIST_FAMILY:
        settings.setdefault("annealing_epochs", round(_ANNEALED * settings["epochs"]))
    return Config(system, dataset.name, tuple(n for n in names if n in chosen), **settings)


def has_terms(system: str) -> bool:
    """Whether a system leaves the choice of subsets of modalities in training."""
    return "terms" in inspect.signature(getattr(systems, system)).parameters


def resumed(folder: Path, options: Mapping[str, Any]) -> Config:
    """The saved options of a run, once those given again are the same.

    Raises:
        FileNotFoundError: If there is no run.
        ValueError: For an option that differs, but for where and how fast it runs.
    """
    config = read_config(folder)
    _check_known("option", options, [f.name for f in dataclasses.fields(Config)])
    check_same(folder, config, options, "Leave the option out, or start a run in another folder.")
    return dataclasses.replace(config, **{n: options[n] for n in _PLACES if n in options})


def check_same(folder: Path, config: Config, options: Mapping[str, Any], remedy: str) -> None:
    """Raise for an option that differs from the run's, but for where and how fast it runs."""
    for name, value in options.items():
        saved = getattr(config, name)
        value = tuple(value) if isinstance(value, list) else value
        if name not in _PLACES and value != saved:
            raise ValueError(
                f"{name}: the run in {folder} has {saved!r}, asked to go on with {value!r}. "
                f"{remedy}"
            )


def torch_device(name: str) -> torch.device:
    """The device of a name; "auto" is CUDA where there is one."""
    cuda = torch.cuda.is_available()
    return torch.device(("cuda" if cuda else "cpu") if name == "auto" else name)


def _hardware(device: torch.device) -> str:
    if device.type == "cuda" and torch.cuda.is_available():
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s)"


def write_config(folder: Path, config: Config) -> None:
    """Write the options, the command that repeats the run, the hardware and the versions."""
    content = {
        "command": config.command(folder),
        "options": asdict(config),
        "hardware": _hardware(torch_device(config.device)),
        "versions": {
            "ppl_mm": ppl_mm.__version__,
            "torch": torch.__version__,
            "pyro": pyro.__version__,
            "python": platform.python_version(),
        },
    }
    write_atomically(folder / CONFIG_FILE, json.dumps(content, indent=1).encode())


def read_config(folder: Path) -> Config:
    """The options of the run in a folder.

    Raises:
        FileNotFoundError: If there is no run.
        ValueError: If the file is damaged, or of another version.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder}: no run here, it has no {CONFIG_FILE}.")
    try:
        options = json.loads(path.read_text())["options"]
        return Config(**{**options, "modalities": tuple(options["modalities"])})
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged, or of another version ({error}).") from error


def read_facts(folder: Path) -> tuple[str, str]:
    """The hardware and the versions that a run was trained with, in words."""
    content = json.loads((folder / CONFIG_FILE).read_text())
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    return content.get("hardware", "not recorded"), versions


def _check_known(what: str, given: Any, known: Any) -> None:
    for name in given:
        if name not in known:
            raise ValueError(unknown_name(what, name, known))
