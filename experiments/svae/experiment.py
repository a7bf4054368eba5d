"""SVAE, VAEVAE and MMVAE: generation from all modalities together, and from each alone.

These are the experiments of Kutuzova et al. 2021 (SVAE), in which only a share of the training data
is paired:

    mnist_split, mnist_split_3    The halves or thirds of MNIST pictures, of which none alone tells
                                  the digit for sure, so that a joint encoder must combine them. A
                                  classifier of whole pictures reads what a system rebuilds from
                                  each part and from all (its synergy).
    mnist_svhn, mnist_fashion     Pictures of one class, of which each tells it alone. Classifiers
                                  of each read what is drawn together (joint coherence), and from
                                  the other (cross coherence).
    cub                           Features of a bird's picture and a caption. Canonical correlation
                                  tells whether what is drawn together, or from the other, fits.

    python -m ppl_mm.experiments.svae --system svae --supervision 0.01 --epochs 200
    python -m ppl_mm.experiments.svae --system vaevae --dataset mnist_split_3 --epochs 50
    python -m ppl_mm.experiments.svae --system mmvae --latent-dim 20 --batch-size 256 --lr 1e-3
    python -m ppl_mm.experiments.svae --dataset mnist_svhn --latent-dim 20 --batch-size 256

SVAE's encoders give scales (the equations, no prior expert), or with ``--released`` variances,
with a prior expert, as its authors ran it. Pixels are Bernoulli. MMVAE has Laplace prior, experts
and likelihoods, and a hidden layer of 400 for halves; of the other data, what its own paper has.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

from torch import nn

from ppl_mm import Modality, data, likelihoods, systems
from ppl_mm.experiments import runner
from ppl_mm.experiments.options import Only, Options, of
from ppl_mm.experiments.svae.measures import classifiers, measure, oracle, reconstructions
from ppl_mm.experiments.svae.validation import best_by
from ppl_mm.systems import System
from ppl_mm.systems.paired import STREAMED

__all__ = [
    "PAIRS",
    "SMOKE",
    "Config",
    "build",
    "classifiers",
    "main",
    "measure",
    "reconstructions",
    "train",
]

JOINT = ("vaevae", "vaevae_star", "jmvae", "jmvae_zero", "telbo")
"""Systems whose joint networks have their own head, softplus like the encoders'."""
PARTS = ("mnist_split", "mnist_split_3")
"""Data sets of the parts of a picture."""
PAIRS = ("mnist_svhn", "mnist_fashion")
"""Data sets of pictures that are paired by class."""


@dataclass(frozen=True)
class Config(Options):
    """The options of one run.

    Attributes:
        system: svae, svae_star, vaevae, vaevae_star, vaevae_a, mmvae, or another with a shared
            latent.
        dataset: mnist_split (halves), mnist_split_3 (thirds), mnist_svhn, mnist_fashion or cub.
        supervision: The share of training rows that are paired. Below 1, every step has a batch of
            paired rows and one of each modality of all rows, shuffled apart. At 1, one batch serves
            for all three, which is the same in expectation. Systems other than the first five train
            on the paired rows and on single modalities of the others.
        batch_size: The number of rows per step, of each stream.
        latent_dim: The size of z.
        released: Whether SVAE has a prior expert, and variances in place of scales, as in its
            release.
        best_epoch: Whether the epoch counts that is best by validation, as in the paper's appendix
            F: by the accuracy from the first part, or the joint coherence of pairs and of birds.
            Otherwise the last one counts.
        repeats: How many times each picture of mnist_svhn and mnist_fashion is paired.
        num_train: The number of training rows, the first of the data set; None takes all.
        num_test: The number of rows of the test part and of the validation part; None takes all.
        oracle_epochs: The number of epochs of the classifiers.
        prior_samples: The number of draws from the prior, for the confidence of the classifier of
            whole pictures and for joint coherence.
    """

    experiment: ClassVar[str] = "svae"
    of_measures: ClassVar[tuple[str, ...]] = ("oracle_epochs", "prior_samples")
    choices: ClassVar[Mapping[str, Sequence[str]]] = {
        "system": tuple(systems.available()),
        "dataset": (*PARTS, *PAIRS, "cub"),
    }
    only: ClassVar[Only] = {
        **of("released", system=("svae", "svae_star")),
        **of("repeats", dataset=PAIRS),
        **of("oracle_epochs", "prior_samples", dataset=(*PARTS, *PAIRS)),
    }

    system: str = "svae"
    dataset: str = "mnist_split"
    supervision: float = 1.0
    epochs: int = 200
    latent_dim: int = 64
    lr: float = 2e-4
    released: bool = False
    best_epoch: bool = False
    repeats: int = 1
    num_train: int | None = None
    num_test: int | None = None
    oracle_epochs: int = 5
    prior_samples: int = 1000
    out: str = "runs/svae"

    @property
    def name(self) -> str:
        """The name of the files of the run."""
        system = f"{self.system}-released" if self.released else self.system
        return f"{self.dataset}-{system}-{self.supervision:g}-{self.epochs}-{self.seed}"


SMOKE = Config(
    epochs=1,
    rows=500,
    batch_size=20,
    latent_dim=20,
    num_train=40,
    num_test=20,
    oracle_epochs=1,
    prior_samples=20,
    device="cpu",
)


def main(config: Config, *, train_only: bool = False) -> dict[str, Any]:
    """Train, measure, write record, pictures and system; return the measures."""
    return runner.run(config, load, build, train, measure, train_only=train_only)


def load(config: Config) -> data.DataSet:
    """Load the data set."""
    pairs: dict[str, Any] = {"repeats": config.repeats} if config.dataset in PAIRS else {}
    return data.load(config.dataset, **pairs)


def build(config: Config, dataset: data.DataSet) -> System:
    """Build the system, untrained."""
    options: dict[str, Any] = {"unpaired": "disjoint"} if _apart(config) else {}
    if config.system in JOINT:
        options["scale"] = "softplus"
        if config.dataset in PAIRS:
            options["hidden"] = None
    if config.system == "mmvae":
        options |= {"objective": "elbo", "prior": "laplace"}
        modalities = [_laplace(m, dataset) for m in dataset.modalities]
    else:
        scale = "softplus_variance" if config.released else "softplus"
        modalities = [_normal(m, dataset, scale) for m in dataset.modalities]
    if config.released:
        options["prior_expert"] = True
    return systems.build(config.system, modalities, config.latent_dim, **options)


def _apart(config: Config) -> bool:
    """Whether training takes paired rows and rows of single modalities as separate streams."""
    return config.system in STREAMED and config.supervision < 1


def _normal(modality: Modality, dataset: data.DataSet, scale: str) -> Modality:
    """Return a modality with Normal experts and Bernoulli pixels; two pictures weigh the same."""
    encoder: Callable[..., nn.Module] = modality.encoder
    decoder: Callable[..., nn.Module] = modality.decoder
    modality = replace(modality, encoder=partial(encoder, scale=scale))
    if dataset.name not in PAIRS:
        return modality
    logits = partial(decoder, sigmoid=False)
    return replace(modality, likelihood=likelihoods.SoftBernoulli(), decoder=logits, weight=1.0)


def _laplace(modality: Modality, dataset: data.DataSet) -> Modality:
    """Return modalities with Laplace experts; halves are as images in MMVAE's release.

    There the scale is 0.75, and the networks have a hidden layer of 400.
    """
    encoder: Callable[..., nn.Module] = modality.encoder
    decoder: Callable[..., nn.Module] = modality.decoder
    if dataset.join is None:
        return replace(modality, encoder=partial(encoder, scale="softmax"))
    return replace(
        modality,
        likelihood=likelihoods.Laplace(scale=0.75),
        encoder=partial(encoder, hidden=(400,), scale="softmax"),
        decoder=partial(decoder, sigmoid=True),
    )


def train(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Train the system, from its checkpoint where there is one; return its record."""
    rows = dataset.train[: config.num_train]
    share: dict[str, Any] = {"fraction": config.supervision, "seed": config.seed}
    seen = data.streams(rows, **share) if _apart(config) else data.weakly_supervised(rows, **share)
    watched = _watched(dataset, config, system) if config.best_epoch else {}
    return runner.train(system, seen, config, **watched) | {"train_rows": len(rows)}


def _watched(dataset: data.DataSet, config: Config, system: System) -> dict[str, Any]:
    """Return the options of training by which the best epoch counts."""
    if dataset.vocabulary is not None:
        return best_by(dataset, {}, config)
    if dataset.join is None:
        return best_by(dataset, classifiers(dataset, config, system.device), config)
    return best_by(dataset, {"whole": oracle(dataset, config, system.device)}, config)


run = runner.command_line(main, Config)
