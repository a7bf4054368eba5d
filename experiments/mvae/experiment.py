"""MVAE and five other systems on image and label: likelihoods, variances, accuracy.

These are tables 2, 3, 6 and 7 of Wu & Goodman 2018 (arXiv:1802.05335), for the six systems that
they compare: log p(x1), log p(x1, x2), log p(x1 | x2) and the variances of log weights by 1000
samples. Added is the accuracy of labels read from the image alone. Figure 2 shows MVAE's draws from
the prior and of images given labels. On MultiMNIST the label is a string of up to four digits. On
CelebA it is 18 attributes, as one modality (celeba) or as 18 (celeba19: x2 is all of them, and MVAE
is MVAE19, with one more term, of a random subset). The paper states a label weight of 50; with
MVAE's objective that gives its log p(x1) but not its accuracy (the joint term reads the label from
the label's own expert, and no term asks q(z | x1) for it). So the weight, and which modalities the
image-only term reconstructs, are options here.

    python -m ppl_mm.experiments.mvae --dataset binary_mnist --label-weight 50 --epochs 50
    python -m ppl_mm.experiments.mvae --dataset multimnist --system jmvae --epochs 500

On one CPU core, 50 epochs of BinaryMNIST in bfloat16 take about 15 minutes, and the likelihoods of
10,000 images take as long again. FashionMNIST takes five to ten times as long, and CelebA needs a
GPU.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from ppl_mm import data, systems
from ppl_mm.experiments import runner
from ppl_mm.experiments.mvae.measures import accuracy, measure
from ppl_mm.experiments.mvae.readings import TERMS
from ppl_mm.experiments.options import Only, Options, of
from ppl_mm.objectives import SubsetTerms, subset_terms
from ppl_mm.systems import System

__all__ = [
    "SMOKE",
    "SYSTEMS",
    "Config",
    "accuracy",
    "build",
    "main",
    "measure",
    "train",
]

SYSTEMS = ("vae", "cvae", "bivcca", "jmvae", "mvae_q", "mvae")
"""VAE has no label, and CVAE no density of it."""
DATASETS = ("binary_mnist", "mnist", "fashion_mnist", "multimnist", "celeba", "celeba19")


@dataclass(frozen=True)
class Config(Options):
    """The options of one run.

    Attributes:
        system: A name of ``SYSTEMS``.
        dataset: binary_mnist (fresh binarisation of every batch, fixed test set), mnist,
            fashion_mnist, multimnist, celeba, or celeba19 (mvae alone).
        label_weight: The lambda of the label, or of each attribute; the image's is 1. VAE and CVAE
            do not score labels.
        terms: The modalities that singleton terms of mvae and mvae_q reconstruct, one of
            ``readings.TERMS``.
        epochs: The number of passes through the training rows; beta grows over 40 % of them
            (CelebA: 20 %).
        num_samples: The K of the likelihoods.
        joint_rows: The number of test rows for the second proposal, q(z | x1, x2).
        test_rows: The number of test rows for everything else.
        train_rows: The number of training rows; None takes all.
    """

    experiment: ClassVar[str] = "mvae"
    of_measures: ClassVar[tuple[str, ...]] = ("num_samples", "joint_rows", "test_rows")
    choices: ClassVar[Mapping[str, Sequence[str]]] = {
        "system": SYSTEMS,
        "dataset": DATASETS,
        "terms": TERMS,
    }
    only: ClassVar[Only] = {
        **of("terms", system=("mvae", "mvae_q")),
        **of("label_weight", system=("bivcca", "jmvae", "mvae_q", "mvae")),
        **of("joint_rows", system=("cvae", "jmvae", "mvae_q", "mvae")),
    }

    system: str = "mvae"
    dataset: str = "binary_mnist"
    label_weight: float = 50.0
    terms: str = "own"
    epochs: int = 50
    num_samples: int = 1000
    joint_rows: int = 2000
    test_rows: int = 10_000
    train_rows: int | None = None
    checkpoint_every: int = 10
    out: str = "runs/mvae"

    def __post_init__(self) -> None:
        """Refuse options that do not fit the system, before anything is read or trained."""
        super().__post_init__()
        if self.dataset == "celeba19" and self.system != "mvae":
            raise ValueError(f"system: expected mvae on celeba19, got {self.system!r}.")

    @property
    def of_faces(self) -> bool:
        """Whether the data set is CelebA, whose sizes differ."""
        return self.dataset.startswith("celeba")

    @property
    def annealing_epochs(self) -> int:
        """The number of epochs over which beta grows."""
        return round((0.2 if self.of_faces else 0.4) * self.epochs)

    @property
    def name(self) -> str:
        """The name of the files of the run."""
        parts = [self.dataset, *([] if self.system == "mvae" else [self.system])]
        parts += [self.terms] if self.system in ("mvae", "mvae_q") else []
        parts += [] if self.system in ("vae", "cvae") else [f"{self.label_weight:g}"]
        return "-".join([*parts, str(self.epochs), str(self.seed)])


SMOKE = Config(
    epochs=1,
    rows=500,
    num_samples=3,
    joint_rows=4,
    test_rows=6,
    train_rows=50,
    batch_size=25,
    device="cpu",
)


def main(config: Config, *, train_only: bool = False) -> dict[str, Any]:
    """Train, measure, write record, pictures and system; return the measures."""
    return runner.run(config, load, build, train, measure, train_only=train_only)


def load(config: Config) -> data.DataSet:
    """Load the data set."""
    options = {"binarisation": "dynamic"} if config.dataset == "binary_mnist" else {}
    return data.load(config.dataset, **options)


def build(config: Config, dataset: data.DataSet, **options: Any) -> System:
    """Build the system with the paper's networks; ``options`` come before the config's."""
    image, label, *more = dataset.modalities
    if config.system in ("mvae", "mvae_q"):
        names = tuple(m.name for m in dataset.modalities)
        options = {"terms": _terms(config.terms, names), **options}
    modalities = [image, *(replace(m, weight=config.label_weight) for m in (label, *more))]
    if config.system == "vae":
        modalities = [image]
    elif config.system == "cvae":  # One-hot labels enter the image encoder's first dense layer.
        encoder: Any = image.encoder
        features: Any = image.features
        modalities = [
            replace(image, features=partial(features, hidden=())),
            replace(label, features=None),
        ]
        options |= {"given": (label.name,), "hidden": encoder.keywords["hidden"]}
    elif config.system == "jmvae":
        options |= {"alpha": 0.01, "activation": "silu"}
    return systems.build(config.system, modalities, dataset.latent_dim, **options)


def _terms(kind: str, names: tuple[str, ...]) -> SubsetTerms:
    scored = {} if kind == "own" else {names[0]: names}
    return subset_terms(1 if len(names) > 2 else 0, scored=scored)


def train(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Train the system, from its checkpoint where there is one; return its record."""
    rows = dataset.train[: config.train_rows]
    described = runner.train(
        system,
        rows.drop(dataset.modalities[1].name) if config.system == "vae" else rows,
        config,
        annealing_epochs=config.annealing_epochs,
        transform=dataset.transform,
    )
    return described | {"train_rows": len(rows)}


run = runner.command_line(main, Config)
