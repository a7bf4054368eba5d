"""Few pairs: which of MEME, MVAE and MMVAE learn what two kinds of pictures share?

This is the experiment of Joy et al. 2022 (MEME, arXiv:2106.12570) with MNIST and SVHN, or with
FashionMNIST in the place of SVHN. Pictures are paired by class, and a fraction of the pairs stay
paired. The other pairs show one modality, always the same one or either. Does the class
survive from one modality to the other (coherence), do the latents know it, and are posteriors of
related pictures nearer to each other than those of others (relatedness)? How likely are pairs,
where MEME was trained on all of them, in one direction or both? The experiment also has features of
birds' pictures, and captions: do generations from one fit the other, by canonical correlation?

    python -m ppl_mm.experiments.meme --system meme --fraction 0.25 --scheme split --epochs 100
    python -m ppl_mm.experiments.meme --system mvae --dataset mnist_svhn --fraction 0.25
    python -m ppl_mm.experiments.meme --direction mnist --process-steps 0
    python -m ppl_mm.experiments.meme --dataset cub --scheme image --lr 1e-4 --epochs 300

All systems have Normal posteriors, and MMVAE also Laplace ones. Pictures have Laplace likelihoods
of scale 1 and no weights of modalities. Birds have the likelihoods and the weight of their data
set.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from matplotlib.figure import Figure
from torch import nn

from ppl_mm import Modality, data, evaluation, likelihoods, plotting, systems
from ppl_mm.arguments.wording import unknown_name
from ppl_mm.batch.observations import Observations
from ppl_mm.experiments import captions, runner
from ppl_mm.experiments.meme import likelihood as meme_likelihood
from ppl_mm.experiments.options import Below, Only, Options, of
from ppl_mm.objectives.options import Preset
from ppl_mm.programs.contracts import Family
from ppl_mm.systems import System

__all__ = ["SMOKE", "Config", "build", "main", "train", "training_rows"]

_MODALITIES = {
    "mnist_fashion": ("mnist", "fashion"),
    "mnist_svhn": ("mnist", "svhn"),
    "cub": ("image", "caption"),
}
_OF_CLASSES = ("mnist_fashion", "mnist_svhn")
"""The data sets of pictures that are paired by class."""


@dataclass(frozen=True)
class Config(Options):
    """The options of one run.

    Attributes:
        system: meme, mvae or mmvae.
        dataset: mnist_fashion, mnist_svhn or cub.
        fraction: The share of training pairs that stay paired.
        scheme: The modality of the other rows: split (either one, in equal shares), or the name of
            the one that all of them keep.
        preset: MEME's preset: bound, paper or code, see ``objectives.MutualSupervisionELBO``.
        direction: The direction in which MEME trains: both, or the one modality that is explained,
            from the other's encoder.
        family: The family of the prior and the experts of MMVAE: normal or laplace.
        num_particles: The M of MEME.
        num_pseudo_inputs: The N of MEME, for each modality.
        latent_dim: The size of z.
        num_train: The number of training pairs, the first of the data set; None takes all.
        num_test: The number of test pairs; None takes all.
        classifier_epochs: The number of epochs of each modality's classifier.
        process_steps: The number of steps of the Gaussian processes in the classifiers' last
            layers, for the mutual information; 0 leaves it out.
        num_inducing: The number of inducing points of each Gaussian process.
        probe_rows: The number of training rows for latent classification.
        related_rows: The number of test rows for relatedness; all pairs of them are compared.
        likelihood_rows: The number of test rows for likelihoods, if MEME trains on pairs alone; 0
            leaves them out.
        likelihood_samples: The number of draws of each of these rows.
    """

    experiment: ClassVar[str] = "meme"
    of_measures: ClassVar[tuple[str, ...]] = (
        *("classifier_epochs", "process_steps", "num_inducing", "probe_rows", "related_rows"),
        *("likelihood_rows", "likelihood_samples", "num_test"),
    )
    choices: ClassVar[Mapping[str, Sequence[str]]] = {
        "system": ("meme", "mvae", "mmvae"),
        "dataset": tuple(_MODALITIES),
    }
    only: ClassVar[Only] = {
        **of("scheme", fraction=Below(1)),
        **of("preset", "direction", "num_particles", "num_pseudo_inputs", system=("meme",)),
        **of("family", system=("mmvae",)),
        **of("classifier_epochs", "process_steps", "num_inducing", dataset=_OF_CLASSES),
        **of("probe_rows", dataset=_OF_CLASSES),
        **of(
            *("likelihood_rows", "likelihood_samples"),
            **{"system": ("meme",), "fraction": (1,), "dataset": _OF_CLASSES},
        ),
    }

    system: str = "meme"
    dataset: str = "mnist_fashion"
    fraction: float = 1.0
    scheme: str = "split"
    preset: Preset = "bound"
    direction: str = meme_likelihood.BOTH
    family: Family = "normal"
    num_particles: int = 11
    num_pseudo_inputs: int = 128
    batch_size: int = 128
    latent_dim: int = 64
    lr: float = 5e-4
    num_train: int | None = None
    num_test: int | None = None
    classifier_epochs: int = 10
    process_steps: int = 2000
    num_inducing: int = 100
    probe_rows: int = 10_000
    related_rows: int = 2000
    likelihood_rows: int = 1000
    likelihood_samples: int = 1000
    out: str = "runs/meme"

    def __post_init__(self) -> None:
        """Refuse what the run does not have, and modalities of other data."""
        super().__post_init__()
        names = _MODALITIES[self.dataset]
        for option, every in (("scheme", "split"), ("direction", meme_likelihood.BOTH)):
            if getattr(self, option) not in (known := (every, *names)):
                raise ValueError(unknown_name(option, getattr(self, option), known))

    @property
    def name(self) -> str:
        """The name of the files of the run."""
        system = f"meme-{self.preset}" if self.system == "meme" else self.system
        if self.direction != meme_likelihood.BOTH:
            system = f"{system}-{self.direction}"
        system += "" if self.family == "normal" else f"-{self.family}"
        parts = [self.dataset, system, f"{self.fraction:g}"]
        parts += [self.scheme] if self.fraction < 1 else []
        return "-".join([*parts, str(self.epochs), str(self.seed)])


SMOKE = Config(
    num_particles=2,
    num_pseudo_inputs=5,
    epochs=1,
    rows=500,
    batch_size=20,
    latent_dim=20,
    num_train=40,
    num_test=20,
    classifier_epochs=1,
    process_steps=2,
    num_inducing=10,
    probe_rows=40,
    related_rows=20,
    likelihood_rows=5,
    likelihood_samples=4,
    device="cpu",
)


def main(config: Config, *, train_only: bool = False) -> dict[str, Any]:
    """Train, measure, write record, pictures and system; return the measures."""
    return runner.run(config, load, build, train, measure, train_only=train_only)


def load(config: Config) -> data.DataSet:
    """Load the data set."""
    return data.load(config.dataset)


def training_rows(config: Config, dataset: data.DataSet) -> Observations:
    """Return the training rows: some pairs, and one modality of each of the other rows."""
    rows = dataset.train[: config.num_train]
    always = None if config.scheme == "split" else config.scheme
    return data.keep_pairs(rows, config.fraction, always=always, seed=config.seed)


def build(config: Config, dataset: data.DataSet) -> System:
    """Build the system, untrained; MEME's pseudo-inputs start at values of training rows."""
    modalities = [_normal(m, dataset) for m in dataset.modalities]
    options: dict[str, Any] = {}
    if config.system == "meme":
        options = {
            "preset": config.preset,
            "num_particles": config.num_particles,
            "num_pseudo_inputs": config.num_pseudo_inputs,
            "pseudo_inputs": training_rows(config, dataset),
        }
    if config.system == "mmvae":
        options = {"objective": "elbo", "prior": config.family}
    system = systems.build(config.system, modalities, config.latent_dim, **options)
    if config.direction == meme_likelihood.BOTH:
        return system
    return _one_way(system, config)


def _normal(modality: Modality, dataset: data.DataSet) -> Modality:
    """Give a modality Normal experts with softplus scales; a picture has Laplace of scale 1."""
    encoder: Callable[..., nn.Module] = modality.encoder
    modality = replace(modality, encoder=partial(encoder, scale="softplus", min_scale=1e-3))
    if dataset.vocabulary is not None:
        return modality
    return replace(modality, likelihood=likelihoods.Laplace(scale=1.0), weight=1.0)


def _one_way(system: System, config: Config) -> System:
    """Return MEME with the objective of one direction."""
    objective = meme_likelihood.OneDirection.preset(
        config.preset,
        target=config.direction,
        num_particles=config.num_particles,
    )
    return System(system.model, system.guide, objective)


def train(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Train the system, from its checkpoint where there is one; return its record."""
    rows = training_rows(config, dataset)
    return runner.train(system, rows, config) | {"train_rows": len(rows)}


def measure(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Make the measures of the data set, see the module."""
    test = dataset.test[: config.num_test]
    if dataset.vocabulary is not None:
        return _measure_captions(system, dataset, config, test)
    measures = _measure_classes(system, dataset, config, test)
    if config.system == "meme" and config.fraction == 1 and config.likelihood_rows:
        measures["likelihoods"] = meme_likelihood.measure(
            system,
            dataset.train[: config.num_train],
            test[: config.likelihood_rows],
            num_samples=config.likelihood_samples,
            seed=config.seed,
        )
    return measures


def _measure_captions(
    system: System, dataset: data.DataSet, config: Config, test: Observations
) -> dict[str, Any]:
    """Measure correlation and relatedness of birds' pictures and captions; make captions."""
    related = evaluation.relatedness(
        system,
        test,
        captions.IMAGE,
        captions.TEXT,
        num_rows=config.related_rows,
        seed=config.seed,
    )
    _save({"histogram": plotting.pair_distances(related)}, config)
    return {
        "test rows": len(test),
        "correlation": captions.measure(system, dataset, test, seed=config.seed),
        "relatedness": related.to_dict(),
        "examples": captions.examples(system, dataset, test, seed=config.seed),
    }


def _measure_classes(
    system: System, dataset: data.DataSet, config: Config, test: Observations
) -> dict[str, Any]:
    """Measure coherence, latent classification and relatedness; draw pictures of relatedness."""
    classifiers = evaluation.train_classifiers(
        dataset,
        epochs=config.classifier_epochs,
        folder=Path(config.out) / "classifiers",
        device=system.device,
    )
    labels = dataset.classes("test")[: len(test)]
    known = evaluation.classifier_accuracy(classifiers, test, labels)
    coherence = evaluation.cross_coherence(system, test, labels, classifiers, seed=config.seed)
    probe = dataset.train[: config.probe_rows]
    probe_labels = dataset.classes("train")[: len(probe)]
    latents = evaluation.latent_accuracy(
        system, probe, test, probe_labels, labels, seed=config.seed
    )
    first, second = (m.name for m in dataset.modalities)
    related = evaluation.relatedness(
        system, test, first, second, labels, num_rows=config.related_rows, seed=config.seed
    )
    pictures = {
        "matrix": plotting.class_distances(related),
        "histogram": plotting.pair_distances(related, "class"),
        "dendrogram": plotting.class_dendrogram(related),
        "cross": plotting.conditional_columns(system, test[:8], seed=config.seed),
    }
    _save(pictures, config)
    measures = {
        "test rows": len(test),
        "classifiers": {name: accuracy.to_list() for name, accuracy in known.items()},
        "coherence": coherence.to_dict(),
        "latents": latents.to_dict(),
        "relatedness": related.to_dict(),
    }
    if config.process_steps:
        processes = evaluation.train_gaussian_processes(
            dataset,
            classifiers,
            num_inducing=config.num_inducing,
            num_steps=config.process_steps,
            seed=config.seed,
        )
        found = evaluation.mutual_information(system, test, processes, seed=config.seed)
        measures["mutual information"] = found.to_dict()["per target"]
    return measures


def _save(pictures: dict[str, Figure], config: Config) -> None:
    for name, figure in pictures.items():
        plotting.save(figure, Path(config.out) / f"{config.name}-{name}.png")


run = runner.command_line(main, Config)
