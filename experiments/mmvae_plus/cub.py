"""MMVAE+ on birds and their captions: do pictures fit a caption and look like pictures?

This is the CUB image-captions experiment of Palumbo, Daunhawer & Vogt 2023 (MMVAE+), with true
pictures of 64 x 64 pixels in place of features. The paper shows pictures and captions, and no
number. It claims that, given a caption, MVAE, MMVAE and MoPoE paint blurred mean pictures, that
many draws of MMVAE and MoPoE from the prior are blurred too, and that MMVAE+ paints varied birds
that fit the caption. Captions should improve in all of them.

    python -m ppl_mm.experiments.mmvae_plus.cub
    python -m ppl_mm.experiments.mmvae_plus.cub --system mopoe --beta 9 --lr 5e-4 --epochs 150

Three things are measured here: the Fréchet distance of the pictures, in features of Inception (its
weights come with the extra ``ppl-mm[fid]``, and ``--features inception`` asks for them) or of a
classifier of the training pictures' 150 species (FID-clf, which does not compare with a paper's);
canonical correlation of pictures, in the same features, with captions; and the ELBO.

Priors and experts are Normal; MMVAE's prior learns its scale, as in its release. All systems have
the weights of MMVAE+'s release, 32 / 12288 for a picture and 5 for a caption. One thing differs
from the release: the scale of the priors of MMVAE+ is 1, as in the text, where the release has log
2.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch
import typer
from torch import Tensor, nn

from ppl_mm import Modality, data, evaluation, plotting, systems
from ppl_mm.batch.observations import Observations
from ppl_mm.experiments import runner
from ppl_mm.experiments.generated import evenly
from ppl_mm.experiments.mmvae_plus import pictures as mmvae_plus_pictures
from ppl_mm.experiments.options import Only, Options, of
from ppl_mm.networks import ResNet
from ppl_mm.systems import System

__all__ = ["SMOKE", "SMOKE_OF_OTHERS", "Config", "build", "load", "main", "measure", "train"]

_CAPTIONS, _SIZE_OF_WORDS, _BATCH = 10, 300, 100  # Per picture, word, batch.


@dataclass(frozen=True)
class Config(Options):
    """The options of one run.

    Attributes:
        system: mmvae_plus, mmvae, mopoe or mvae.
        num_train: The number of training pictures, each with its ten captions. They are evenly
            spread over the data set's, which are sorted by species. None takes all.
        num_test: The number of test pictures, evenly spread too, each with one caption.
        shared_dim: The size of u (mmvae_plus).
        private_dim: The size of each w_m, apart from that of u (mmvae_plus). Decoders of captions
            also read as many last entries of z in a stack of their own.
        latent_dim: The size of z (the other systems).
        beta: The weight of the latents.
        objective: elbo, iwae or dreg, each as the average over strata (mmvae_plus, mmvae).
        num_particles: K, the number of draws from each expert (mmvae_plus, mmvae).
        strata: How many components each row draws from in a step, at random; None takes all. MVAE
            has none.
        channels: The channels of the image networks at full size; the release has 64.
        features: The features of pictures: classifier or inception.
        classifier_epochs: The number of epochs of the classifier of species.
        directions: The number of canonical directions of the correlation.
    """

    experiment: ClassVar[str] = "mmvae_plus.cub"
    of_measures: ClassVar[tuple[str, ...]] = (
        "features",
        "classifier_epochs",
        "directions",
        "num_test",
    )
    choices: ClassVar[Mapping[str, Sequence[str]]] = {
        "system": ("mmvae_plus", "mmvae", "mopoe", "mvae"),
        "objective": ("elbo", "iwae", "dreg"),
        "features": ("classifier", "inception"),
    }
    only: ClassVar[Only] = {
        **of("shared_dim", system=("mmvae_plus",)),
        **of("latent_dim", system=("mmvae", "mopoe", "mvae")),
        **of("objective", "num_particles", system=("mmvae_plus", "mmvae")),
        **of("strata", system=("mmvae_plus", "mmvae", "mopoe")),
    }

    system: str = "mmvae_plus"
    num_train: int | None = None
    num_test: int | None = None
    epochs: int = 50
    batch_size: int = 32
    shared_dim: int = 48
    private_dim: int = 16
    latent_dim: int = 64
    beta: float = 1.0
    objective: str = "dreg"
    num_particles: int = 10
    strata: int | None = None
    channels: int = 64
    features: str = "classifier"
    classifier_epochs: int = 10
    directions: int = 40
    out: str = "runs/mmvae_plus_cub"

    def __post_init__(self) -> None:
        """Refuse what the run does not have; the ELBO draws once."""
        super().__post_init__()
        if self.objective == "elbo" and self.num_particles != 1:
            raise ValueError(
                f"num_particles: expected 1 with the objective elbo, got {self.num_particles}."
            )

    @property
    def name(self) -> str:
        """The name of the files of the run."""
        parts = ["cub_images", self.system]
        if self.system in ("mmvae_plus", "mmvae"):
            parts += [self.objective, str(self.num_particles)]
        return "-".join([*parts, f"{self.beta:g}", str(self.epochs), str(self.seed)])


SMOKE = Config(
    num_train=6,
    num_test=5,
    epochs=1,
    rows=500,
    batch_size=30,
    shared_dim=3,
    private_dim=2,
    objective="elbo",
    num_particles=1,
    channels=4,
    classifier_epochs=1,
    directions=2,
    device="cpu",
)
SMOKE_OF_OTHERS = {"latent_dim": 4}


def main(config: Config, *, train_only: bool = False) -> dict[str, Any]:
    """Train, measure, write record, pictures and system; return the measures."""
    return runner.run(config, load, build, train, measure, train_only=train_only)


def load(config: Config) -> data.DataSet:
    """Load the data set, with ``num_train`` and ``num_test`` pictures."""
    whole = data.load("cub_images")
    train, test = _rows(whole.train, config.num_train), _rows(whole.test, config.num_test)
    return replace(
        whole,
        train=whole.train[train],
        test=whole.test[test],
        labels={"train": whole.classes("train")[train]},
    )


def _rows(obs: Observations, number: int | None) -> Tensor:
    """Return the indices of all rows of this number of pictures."""
    total = len(obs) // _CAPTIONS
    chosen = evenly(total, total if number is None else number)
    return (_CAPTIONS * chosen[:, None] + torch.arange(_CAPTIONS)).flatten()


def build(config: Config, dataset: data.DataSet) -> System:
    """Build the system, untrained."""
    image, caption = dataset.modalities
    sizes: dict[str, Any] = {"channels": config.channels}
    image = replace(
        image, encoder=partial(image.encoder, **sizes), decoder=partial(image.decoder, **sizes)
    )
    last: dict[str, Any] = {"private_features": config.private_dim}
    caption = replace(caption, decoder=partial(caption.decoder, **last))
    options: dict[str, Any] = {"beta": config.beta}
    size = config.latent_dim
    if config.system != "mvae":
        options["strata"] = config.strata
    if config.system in ("mmvae_plus", "mmvae"):
        options |= {"objective": config.objective, "num_particles": config.num_particles}
        options["family"] = "normal"
    if config.system == "mmvae_plus":
        size, options["private_dim"] = config.shared_dim, config.private_dim
        caption = replace(caption, encoder=_towers(caption, config))
    return systems.build(config.system, [image, caption], size, **options)


def _towers(caption: Modality, config: Config) -> Callable[[int], nn.Module]:
    """Return a function from a size to the encoder of u or of w, which are two networks."""
    if config.shared_dim == config.private_dim:
        raise ValueError(
            f"private_dim: expected another size than shared_dim, got {config.private_dim} for "
            "both; captions have other networks for u than for w."
        )
    encoder: Callable[..., nn.Module] = caption.encoder

    def tower(latent_dim: int) -> nn.Module:
        kind = "private" if latent_dim == config.private_dim else "shared"
        return encoder(latent_dim, tower=kind)

    return tower


def train(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Train the system, from its checkpoint where there is one; return its record."""
    optimizer = partial(torch.optim.Adam, lr=config.lr, amsgrad=True, fused=True)
    record = runner.train(system, dataset.train, config, optimizer=optimizer)
    return record | {"train_rows": len(dataset.train)}


def measure(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Measure distances, correlation and ELBO, with one caption a test picture; draw pictures."""
    every = slice(None, None, _CAPTIONS)
    pictures = replace(
        dataset, train=dataset.train[every], labels={"train": dataset.classes("train")[every]}
    )
    test, vocabulary = dataset.test[every], dataset.vocabulary
    assert vocabulary is not None
    oracle = _oracle(pictures, system, config)
    features = partial(evaluation.features_of, oracle)
    sentences = evaluation.SentenceEmbedding.fit(
        dataset.train["caption"],
        len(vocabulary),
        num_components=min(_SIZE_OF_WORDS, len(vocabulary) - 1),
    )
    same: dict[str, Any] = {"batch_size": _BATCH, "seed": config.seed}
    subsets = [("caption",), ("image",), ()]
    distances = evaluation.frechet(system, test, {"image": oracle}, subsets, **same)
    correlation = evaluation.correlation(
        system,
        pictures.train,
        test,
        {"image": features, "caption": sentences},
        num_components=config.directions,
        **same,
    )
    others = pictures.train[evenly(len(pictures.train), len(test))]
    between = evaluation.frechet_distance(features(others["image"]), features(test["image"]))
    for name, figure in mmvae_plus_pictures.of_birds(
        system, test, vocabulary, seed=config.seed
    ).items():
        plotting.save(figure, Path(config.out) / f"{config.name}-{name}.png")
    return {
        "test rows": len(test),
        "elbo": evaluation.Estimate.of(evaluation.elbo(system, test, **same)).to_list(),
        "fid": distances.to_dict(),
        "fid of training rows": between,
        "correlation": correlation.to_dict(),
    }


def _oracle(pictures: data.DataSet, system: System, config: Config) -> nn.Module:
    """Return the network that has the features of pictures."""
    if config.features == "inception":
        return evaluation.Inception(device=system.device)
    found = evaluation.train_classifiers(
        pictures,
        networks={"image": ResNet},
        epochs=config.classifier_epochs,
        folder=Path(config.out) / "classifiers",
        device=system.device,
    )
    return found["image"]


run = runner.command_line(main, Config)

if __name__ == "__main__":
    typer.run(run)
