"""The numbers of parameters of the inference networks: Table 1 of Wu & Goodman 2018.

Nothing is trained and no data are read. The systems are those of the main experiment, with the 18
attributes of CelebA as one modality or as 18.

    python -m ppl_mm.experiments.mvae.parameters
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import typer

from ppl_mm import Modality, data, likelihoods, systems
from ppl_mm.batch.observations import Observations
from ppl_mm.experiments import runner
from ppl_mm.experiments.findings import finding
from ppl_mm.experiments.mvae import experiment
from ppl_mm.experiments.options import CountingOptions
from ppl_mm.experiments.tables import Record, table
from ppl_mm.likelihoods import Likelihood
from ppl_mm.networks import presets
from ppl_mm.systems import System

__all__ = ["PAPER", "SMOKE", "Config", "inference_parameters", "main", "table_1"]

# Table 1. BinaryMNIST is like MNIST. None stands where the table has no number.
PAPER: dict[str, Mapping[str, int | None]] = {
    "vae": {
        "mnist": 730_240,
        "fashion_mnist": 3_409_536,
        "multimnist": 1_316_936,
        "celeba": 4_070_472,
    },
    "cvae": {"mnist": 735_360, "fashion_mnist": 3_414_656, "multimnist": None, "celeba": 4_079_688},
    "jmvae": {
        "mnist": 2_061_184,
        "fashion_mnist": 7_682_432,
        "multimnist": 4_075_064,
        "celeba": 9_052_504,
    },
}
_TWO = {
    "mnist": 1_063_680,
    "fashion_mnist": 3_742_976,
    "multimnist": 1_841_936,
    "celeba": 4_447_504,
}
PAPER |= dict.fromkeys(("bivcca", "mvae_q", "mvae"), _TWO)
PAPER |= {"mvae19": {"celeba": 10_857_048}, "jmvae19": {"celeba": 3_625_900_000_000}}

TITLES = {"vae": "VAE", "cvae": "CVAE", "bivcca": "BiVCCA", "jmvae": "JMVAE", "mvae_q": "MVAE-Q"}
TITLES |= {"mvae": "MVAE", "jmvae19": "JMVAE19", "mvae19": "MVAE19"}
COLUMNS = {
    "mnist": "(Binary)MNIST",
    "fashion_mnist": "FashionMNIST",
    "multimnist": "MultiMNIST",
    "celeba": "CelebA",
}
_ATTRIBUTES = 18
_KINDS: dict[str, tuple[dict[str, Likelihood], int]] = {  # preset -> likelihood; size of z
    "mnist": ({"mnist_image": likelihoods.Bernoulli(), "label": likelihoods.Categorical()}, 64),
    "fashion_mnist": (
        {"fashion_image": likelihoods.Bernoulli(), "label": likelihoods.Categorical()},
        64,
    ),
    "multimnist": (
        {
            "multimnist_image": likelihoods.Bernoulli(),
            "multimnist_string": likelihoods.Tokens(),
        },
        100,
    ),
    "celeba": (
        {
            "celeba_image": likelihoods.Bernoulli(),
            "celeba_attributes": likelihoods.MultiLabel(),
        },
        100,
    ),
}


@dataclass(frozen=True)
class Config(CountingOptions):
    """The options of the one run."""

    experiment: ClassVar[str] = "mvae.parameters"

    out: str = "runs/mvae"


SMOKE = Config()


def main(config: Config) -> dict[str, Any]:
    """Count, and write the record."""
    counts: dict[str, dict[str, int]] = {}
    for system, paper in PAPER.items():
        known = [name for name, number in paper.items() if number and system in experiment.SYSTEMS]
        counts[system] = {name: _count(system, name) for name in known}
    counts["mvae19"]["celeba"] = inference_parameters(_mvae19())
    return runner.finish(config, {"measures": counts})


def inference_parameters(system: System) -> int:
    """Return how many numbers the guide's networks have."""
    return sum(p.numel() for p in system.guide.parameters())


def _count(system: str, name: str) -> int:
    kinds, latent_dim = _KINDS[name]
    modalities = tuple(
        _modality(called, preset, likelihood)
        for called, (preset, likelihood) in zip(("image", "label"), kinds.items(), strict=True)
    )
    rows = Observations.blank(1)
    declared = data.DataSet(name, rows, None, rows, modalities, latent_dim, None, None)
    return inference_parameters(
        experiment.build(experiment.Config(system=system, dataset=name), declared)
    )


def _modality(name: str, preset: str, likelihood: Likelihood) -> Modality:
    encoder, decoder, features = (
        getattr(presets, f"{preset}_{part}") for part in ("encoder", "decoder", "features")
    )
    return Modality(name, likelihood, encoder, decoder, features=features)


def _mvae19() -> System:
    """Build a face and 18 attributes with the release's encoders, of one input each."""
    encoder, decoder = presets.celeba19_attribute_encoder, presets.celeba19_attribute_decoder
    face = _modality("image", "celeba_image", likelihoods.Bernoulli())
    own = [
        Modality(f"attribute_{i}", likelihoods.Bernoulli(), encoder, decoder)
        for i in range(_ATTRIBUTES)
    ]
    return systems.mvae([face, *own], _KINDS["celeba"][1])


def table_1(records: list[Record]) -> list[str]:
    """Show our numbers beside the paper's, which stand in italics."""
    counts = records[0]["measures"]
    rows = [["", *COLUMNS.values()]]
    for system, title in TITLES.items():
        ours, paper = counts[system], PAPER[system]
        rows.append([title, *(_shown(ours.get(name)) for name in COLUMNS)])
        rows.append([f"*{title}, paper*", *(_shown(paper.get(name)) for name in COLUMNS)])
    return [
        "### Table 1: parameters of the inference networks\n",
        *table(rows),
        finding("mvae", "Table 1"),
    ]


def _shown(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


run = runner.command_line(main, Config)

if __name__ == "__main__":
    typer.run(run)
