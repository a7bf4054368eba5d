"""PolyMNIST: which of MMVAE+, MMVAE, MoPoE, MVAE, MMJSD and DMVAE is both coherent and diverse?

This is the PolyMNIST experiment of Palumbo, Daunhawer & Vogt 2023 (MMVAE+): five images of one
digit on five kinds of background. Does the class survive from one modality to another (coherence),
do the generations look like the data (FID) and unlike each other (diversity), and which latents
know the class (latent classification)? The paper claims in its figures that MVAE is hardly
coherent, that MMVAE and MoPoE are coherent but all their draws look alike, and that MMVAE+ is
coherent and diverse. MMJSD (on PolyMNIST) and DMVAE (on MNIST-SVHN) take a shortcut: the larger
their private latents, the more of the class these hold, and the less coherent are the modalities.
On MNIST-SVHN the networks are DMVAE's; MNIST with FashionMNIST may stand in its place.

    python -m ppl_mm.experiments.mmvae_plus --system mmvae_plus --objective dreg --num-particles 10
    python -m ppl_mm.experiments.mmvae_plus --system dmvae --dataset mnist_fashion --shared-dim 10

The Fréchet distance is that of features of the digit classifier, which is called FID-clf and does
not compare with a paper's FID. ``--features inception`` takes those of Inception.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch

from ppl_mm import Modality, data, evaluation, likelihoods, plotting, systems
from ppl_mm.experiments import runner
from ppl_mm.experiments.mmvae_plus import class_measures, pictures
from ppl_mm.experiments.mmvae_plus.class_measures import Sizes
from ppl_mm.experiments.options import Only, Options, of
from ppl_mm.networks import presets
from ppl_mm.systems import System

__all__ = [
    *("MIXTURES", "PRIVATE", "SMOKE", "SMOKE_OF_OTHERS"),
    *("Config", "build", "load", "main", "train"),
]

PRIVATE = ("mmvae_plus", "mmjsd", "dmvae")
"""The systems with private latents."""
MIXTURES = ("mmvae_plus", "mmvae")
"""The systems whose objective and number of draws can be chosen."""
STRATIFIED = ("mmvae_plus", "mmvae", "mopoe", "mmjsd")
"""The systems whose posterior is a mixture."""
SYSTEMS = ("mmvae_plus", "mmvae", "mopoe", "mvae", "mmjsd", "dmvae")


@dataclass(frozen=True)
class Config(Options):
    """The options of one run.

    Attributes:
        system: mmvae_plus, mmvae, mopoe, mvae, mmjsd or dmvae.
        dataset: polymnist, mnist_svhn or mnist_fashion.
        arch: The networks of polymnist: conv (small, MoPoE's) or residual (MMVAE+'s).
        num_train: The number of training rows, the first of the data set; None takes all.
        num_test: The number of test rows, the first of the data set; None takes all.
        shared_dim: The size of u, in the systems with private latents (``PRIVATE``).
        private_dim: The size of each w_m, in the same systems.
        other_private_dim: The size of w_m of the last modality; None takes ``private_dim``.
        latent_dim: The size of z, in the other systems.
        beta: The weight of the latents.
        objective: elbo, iwae or dreg, each as the average over strata (mmvae_plus, mmvae).
        num_particles: K, the number of draws from each expert (mmvae_plus, mmvae).
        strata: How many components each row draws from in a step, at random. None takes all, as the
            papers do for mixtures of experts (MoPoE's release draws one). MVAE and DMVAE have none.
        classifier_epochs: The number of epochs of the digit classifiers.
        probe_rows: The number of training rows for latent classification.
        subset_rows: The number of test rows for several inputs, and for the private latents'
            priors.
        diversity_rows: The number of test rows for diversity.
        num_samples: The number of draws of each row for diversity.
        alphas: The number of factors on the scale of p(w_n), up to 3, for systems with private
            latents.
        features: The features of Fréchet distances: classifier (FID-clf), or inception (FID), which
            needs the extra ``ppl-mm[fid]`` and its weights.
    """

    experiment: ClassVar[str] = "mmvae_plus"
    of_measures: ClassVar[tuple[str, ...]] = (
        *("classifier_epochs", "probe_rows", "subset_rows", "diversity_rows"),
        *("num_samples", "num_test", "alphas", "features"),
    )
    choices: ClassVar[Mapping[str, Sequence[str]]] = {
        "system": SYSTEMS,
        "dataset": ("polymnist", "mnist_svhn", "mnist_fashion"),
        "arch": ("conv", "residual"),
        "objective": ("elbo", "iwae", "dreg"),
        "features": ("classifier", "inception"),
    }
    only: ClassVar[Only] = {
        **of("arch", dataset=("polymnist",)),
        **of("shared_dim", "private_dim", "other_private_dim", "alphas", system=PRIVATE),
        **of("latent_dim", system=tuple(name for name in SYSTEMS if name not in PRIVATE)),
        **of("objective", system=MIXTURES),
        **of("num_particles", system=MIXTURES, objective=("iwae", "dreg")),
        **of("strata", system=STRATIFIED),
    }

    system: str = "mmvae_plus"
    dataset: str = "polymnist"
    arch: str = "conv"
    num_train: int | None = None
    num_test: int | None = None
    epochs: int = 50
    batch_size: int = 128
    shared_dim: int = 32
    private_dim: int = 32
    other_private_dim: int | None = None
    latent_dim: int = 64
    beta: float = 1.0
    objective: str = "elbo"
    num_particles: int = 1
    strata: int | None = None
    classifier_epochs: int = 10
    probe_rows: int = 10_000
    subset_rows: int = 1000
    diversity_rows: int = 500
    num_samples: int = 10
    alphas: int = 30
    features: str = "classifier"
    out: str = "runs/mmvae_plus"

    @property
    def name(self) -> str:
        """The name of the files of the run."""
        parts = [self.dataset, *([self.arch] if self.dataset == "polymnist" else []), self.system]
        if self.system in MIXTURES:
            parts += [self.objective, str(self.num_particles)]
        sizes = (self.shared_dim, self.private_dim, self.other_private_dim)
        if self.system in PRIVATE and sizes != (32, 32, None):
            parts += ["+".join(str(size) for size in sizes if size is not None)]
        parts += [f"{self.beta:g}", str(self.epochs), str(self.seed)]
        return "-".join(parts)


SMOKE = Config(
    num_train=40,
    num_test=100,  # Every class has some of them.
    epochs=1,
    rows=500,
    batch_size=20,
    shared_dim=2,
    private_dim=2,
    classifier_epochs=1,
    probe_rows=40,
    subset_rows=10,
    diversity_rows=4,
    num_samples=2,
    alphas=3,
    device="cpu",
)
SMOKE_OF_OTHERS = {"latent_dim": 4}


def main(config: Config, *, train_only: bool = False) -> dict[str, Any]:
    """Train, measure, write record, pictures and system; return the measures."""
    return runner.run(config, load, build, train, measure, train_only=train_only)


def load(config: Config) -> data.DataSet:
    """Load the data set, with the networks of ``arch``, or with DMVAE's."""
    if config.dataset == "polymnist":
        sizes: dict[str, Any] = {"num_train": config.num_train, "num_test": config.num_test}
        return data.load(config.dataset, arch=config.arch, **sizes)
    whole = data.load(config.dataset)
    train, test = whole.train[: config.num_train], whole.test[: config.num_test]
    labels = {
        "train": whole.classes("train")[: len(train)],
        "test": whole.classes("test")[: len(test)],
    }
    return replace(
        whole,
        train=train,
        test=test,
        labels=labels,
        modalities=tuple(_of_pair(m, config.system) for m in whole.modalities),
        origin=f"pairs of {' and '.join(train.names)} of one class",
    )


def _of_pair(modality: Modality, system: str) -> Modality:
    """Give MNIST and SVHN DMVAE's networks; for DMVAE itself, its likelihood and weights too."""
    name = modality.name
    if name in ("mnist", "svhn"):
        encoder, decoder = (
            getattr(presets, f"mnist_svhn_dmvae_{name}_{part}") for part in ("encoder", "decoder")
        )
        if system == "dmvae":
            decoder = partial(decoder, sigmoid=False)
        modality = replace(modality, encoder=encoder, decoder=decoder)
    if system != "dmvae":
        return modality
    weight = 50.0 if name == "mnist" else 1.0
    return replace(modality, likelihood=likelihoods.SoftBernoulli(), weight=weight)


def build(config: Config, dataset: data.DataSet) -> System:
    """Build the system, untrained."""
    options: dict[str, Any] = {"beta": config.beta}
    size, modalities = config.latent_dim, dataset.modalities
    if config.system in STRATIFIED:
        options["strata"] = config.strata
    if config.system in MIXTURES:
        options |= {"objective": config.objective, "num_particles": config.num_particles}
    if config.system in PRIVATE:
        size, private = config.shared_dim, {m.name: config.private_dim for m in modalities}
        if config.other_private_dim is not None:
            private[modalities[-1].name] = config.other_private_dim
        options["private_dim"] = private
    # Laplace experts have a budget of scales, Normal experts have log-variances.
    laplace = config.system in MIXTURES
    scale: dict[str, Any] = {"scale": "softmax" if laplace else "exp"}
    declared = [replace(m, encoder=partial(m.encoder, **scale)) for m in modalities]
    return systems.build(config.system, declared, size, **options)


def train(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Train the system, from its checkpoint where there is one; return its record."""
    described = runner.train(
        system,
        dataset.train,
        config,
        optimizer=partial(torch.optim.Adam, lr=config.lr, amsgrad=True, fused=True),
        transform=dataset.transform,
    )
    return described | {"data": dataset.origin, "train_rows": len(dataset.train)}


def measure(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Measure coherence, quality, diversity and latents; draw pictures of PolyMNIST."""
    classifiers = evaluation.train_classifiers(
        dataset,
        epochs=config.classifier_epochs,
        folder=Path(config.out) / "classifiers",
        device=system.device,
    )
    of_sizes = ("probe_rows", "subset_rows", "diversity_rows", "num_samples", "alphas")
    sizes = Sizes(**{name: getattr(config, name) for name in of_sizes})
    inception = (
        evaluation.Inception(device=system.device) if config.features == "inception" else None
    )
    if config.dataset == "polymnist":
        figures = class_measures.pictures(system, dataset, seed=config.seed)
        if config.system == "mmvae_plus":
            figures |= pictures.of_digits(system, dataset.test, seed=config.seed)
        for name, figure in figures.items():
            plotting.save(figure, Path(config.out) / f"{config.name}-{name}.png")
    options: dict[str, Any] = {"inception": inception, "seed": config.seed}
    return class_measures.measure(system, dataset, classifiers, sizes, **options)


run = runner.command_line(main, Config)
