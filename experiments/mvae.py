"""MVAE and what it is compared with, on image and label: likelihoods, variances, accuracy.

The tables 2, 3, 6 and 7 of Wu & Goodman 2018 (arXiv:1802.05335), for the six systems that they
compare: log p(x1), log p(x1, x2), log p(x1 | x2) and the variances of log weights by 1000 samples,
plus the accuracy of labels read from the image alone; and figure 2, MVAE's draws from the prior
and of images given labels. On MultiMNIST the label is a string of up to four digits. The paper
states a label weight of 50; with MVAE's objective that gives its log p(x1) but not its accuracy
(the joint term reads the label from the label's own expert, and no term asks q(z | x1) for it). So
the weight, and which modalities the image-only term reconstructs, are settings here.

    python -m ppl_mm.experiments.mvae --dataset binary_mnist --label-weight 50 --epochs 50
    python -m ppl_mm.experiments.mvae --dataset multimnist --system jmvae --epochs 500

About 15 minutes on one CPU core for 50 epochs of BinaryMNIST in bfloat16, as long again for the
likelihoods of 10,000 images; FashionMNIST takes five to ten times as long.
"""

import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import typer
from ppl_mm.experiments import runner
from ppl_mm.experiments.options import Options
from torch import Tensor

from ppl_mm import data, generate, plotting, systems
from ppl_mm.data.multimnist import FILL
from ppl_mm.evaluation import (
    Estimate,
    LogLikelihood,
    UnreliableLikelihoodWarning,
    elbo,
    log_likelihood,
    log_likelihoods,
    predict,
)
from ppl_mm.objectives import Term, subset_terms
from ppl_mm.observations import Observations
from ppl_mm.systems import System

__all__ = ["SMOKE", "SYSTEMS", "TERMS", "Config", "accuracy", "build", "main", "train"]

SYSTEMS = ("vae", "cvae", "bivcca", "jmvae", "mvae_q", "mvae")
"""VAE has no label, and CVAE no density of it."""
TERMS = ("own", "image_all")
"""What the image-only term reconstructs: the image, as in the paper, or the label too."""
_OF_MEASURES = ("num_samples", "joint_rows", "test_rows")


@dataclass(frozen=True)
class Config(Options):
    """One run.

    Attributes:
        system: A name of ``SYSTEMS``.
        dataset: binary_mnist (fresh binarisation of every batch, fixed test set), mnist,
            fashion_mnist or multimnist.
        label_weight: lambda of the label; the image's is 1. VAE and CVAE do not score labels.
        terms: Of mvae and mvae_q: what singleton terms reconstruct, one of ``TERMS``.
        epochs: Of the training rows; beta grows over 40 % of them.
        num_samples: K of the likelihoods.
        joint_rows: Test rows for the second proposal, q(z | x1, x2).
        test_rows: Test rows for everything else.
        train_rows: Training rows; None for all.
    """

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

    @property
    def name(self) -> str:
        """The record's name."""
        parts = [self.dataset, *([] if self.system == "mvae" else [self.system])]
        parts += [self.terms] if self.system in ("mvae", "mvae_q") else []
        parts += [] if self.system in ("vae", "cvae") else [f"{self.label_weight:g}"]
        return "-".join([*parts, str(self.epochs), str(self.seed)])


SMOKE = Config(
    epochs=1,
    num_samples=3,
    joint_rows=4,
    test_rows=6,
    train_rows=50,
    batch_size=25,
    device="cpu",
)


def main(config: Config, *, train_only: bool = False) -> dict[str, Any]:
    """Train, measure, write record, pictures and system; return the measures.

    What an earlier, interrupted run has done is not done again.
    """
    steps = load, build, train, measure
    return runner.run("mvae", config, *steps, of_measures=_OF_MEASURES, train_only=train_only)


def load(config: Config) -> data.DataSet:
    """The data set."""
    options = {"binarisation": "dynamic"} if config.dataset == "binary_mnist" else {}
    return data.load(config.dataset, **options)


def build(config: Config, dataset: data.DataSet) -> System:
    """The system with the paper's networks, untrained."""
    if config.system not in SYSTEMS:
        raise ValueError(f"system: expected one of {', '.join(SYSTEMS)}, got {config.system!r}.")
    options: dict[str, Any] = {}
    image, label = dataset.modalities
    if config.system in ("mvae", "mvae_q"):
        options["terms"] = _terms(config.terms, image.name, label.name)
    elif config.terms != "own":
        raise ValueError(f"terms: an option of mvae and mvae_q, got {config.system!r}.")
    modalities = [image, replace(label, weight=config.label_weight)]
    if config.system == "vae":
        modalities = [image]
    elif config.system == "cvae":  # one-hot labels enter the image encoder's first dense layer
        encoder: Any = image.encoder
        features: Any = image.features
        modalities = [
            replace(image, features=partial(features, hidden=())),
            replace(label, features=None),
        ]
        options["hidden"] = encoder.keywords["hidden"]
    elif config.system == "jmvae":
        options |= {"alpha": 0.01, "activation": "silu"}
    return systems.build(config.system, modalities, dataset.latent_dim, **options)


def _terms(kind: str, image: str, label: str) -> Any:
    if kind not in TERMS:
        raise ValueError(f"terms: expected one of {', '.join(TERMS)}, got {kind!r}.")
    if kind == "own":
        return subset_terms()
    both = (image, label)
    return [Term(both, both), Term((image,), both), Term((label,), (label,))]


def train(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Train the system, from its checkpoint where there is one; the record so far."""
    rows = dataset.train[: config.train_rows]
    described = runner.train(
        "mvae",
        system,
        rows.drop(dataset.modalities[1].name) if config.system == "vae" else rows,
        config,
        annealing_epochs=round(0.4 * config.epochs),
        transform=dataset.transform,
    )
    return described | {"train_rows": len(rows)}


def measure(system: System, dataset: data.DataSet, config: Config) -> dict[str, float]:
    """The measures of the tables that the system defines, with standard errors over test rows."""
    test, both = dataset.test[: config.test_rows], dataset.test[: config.joint_rows]
    image, label = (m.name for m in dataset.modalities)
    options: Any = {"num_samples": config.num_samples, "seed": config.seed}
    out: dict[str, float] = {}
    with warnings.catch_warnings():  # the number of unreliable rows is recorded
        warnings.simplefilter("ignore", UnreliableLikelihoodWarning)
        if config.system == "vae":
            test = test.drop(label)
            _add(out, "log p(x1) by x1", log_likelihood(system, test, **options))
        elif config.system == "cvae":
            found = log_likelihood(system, both, image, label, **options)
            _add(out, "log p(x1|x2) by x1x2", found)
        else:
            proposals = {"x1": ((image,), test), "x1x2": ((image, label), both)}
            if config.system == "bivcca":  # of which no term trains q(z | x1, x2)
                del proposals["x1x2"]
            rows = max((rows for _, rows in proposals.values()), key=len)
            of_label = _label_marginal(system, rows[label], label, config)
            for by, (proposal, rows) in proposals.items():
                marginal, joint = log_likelihoods(
                    system, rows, [(image,), (image, label)], proposal=proposal, **options
                )
                conditional = joint.value - of_label[: len(rows)]
                _add(out, f"log p(x1) by {by}", marginal)
                _add(out, f"log p(x1,x2) by {by}", joint)
                _add(out, f"log p(x1|x2) by {by}", replace(joint, value=conditional))
    if config.system not in ("vae", "cvae"):
        shares = accuracy(predict(system, test, label, (image,)), test[label])
        for name, share in shares.items():
            out |= {name: share.value, f"{name} se": share.standard_error}
    if config.system != "bivcca":
        out["elbo"] = elbo(system, test, seed=config.seed).mean().item()
    if config.system == "mvae":
        _draw(system, dataset, config)
    return out


def _label_marginal(system: System, labels: Tensor, label: str, config: Config) -> Tensor:
    """log p(x2) of every row, by prior samples of each distinct label."""
    distinct, which = labels.unique(dim=0, return_inverse=True)
    result = log_likelihood(
        system,
        Observations({label: distinct}),
        label,
        num_samples=5 * config.num_samples,
        proposal="prior",
    )
    return result.value[which.to(result.value.device)]


def accuracy(predicted: Tensor, truth: Tensor) -> dict[str, Estimate]:
    """The share of right labels (N,), or of right positions of strings (N, 4), with its error.

    Half of all positions are fillings; of strings also the share of those that are digits.

    Example:
        >>> truth = torch.tensor([[7, 3, FILL, FILL], [1, FILL, FILL, FILL]])
        >>> found = torch.tensor([[7, 5, FILL, FILL], [FILL, FILL, FILL, FILL]])
        >>> [round(estimate.value, 3) for estimate in accuracy(found, truth).values()]
        [0.75, 0.333]
    """
    right = (predicted.to(truth.device) == truth).reshape(len(truth), -1).double()
    out = {"accuracy": Estimate.of(right.mean(1))}
    if truth.dim() > 1:
        digits = (truth != FILL).double()
        hits, count = (right * digits).sum(1), digits.sum(1)
        share = hits.sum() / count.sum()  # a ratio of means: its error by the rows' deviations
        out["accuracy of digits"] = Estimate.of(share + (hits - share * count) / count.mean())
    return out


def _draw(system: System, dataset: data.DataSet, config: Config) -> None:
    """The paper's Figure 2: 64 draws from the prior, and images given labels, a row each."""
    image, label = (m.name for m in dataset.modalities)
    labels = torch.arange(10)
    if config.dataset == "multimnist":
        labels = torch.full((4, 4), FILL)
        for row, string in enumerate(("1773", "204", "58", "6")):
            labels[row, : len(string)] = torch.tensor([int(digit) for digit in string])
    asked, like = Observations({label: labels}), dataset.test[:500]
    images = generate(system, asked, image, 8, given=label, mean=True, seed=config.seed)
    pictures = {
        "prior": plotting.prior_samples(system, like=like, num_samples=64, columns=8),
        "conditional": plotting.samples(system, asked, images, (label,), like=like),
    }
    for name, figure in pictures.items():
        plotting.save(figure, Path(config.out) / f"{config.name}-{name}.png")


def _add(out: dict[str, float], name: str, result: LogLikelihood) -> None:
    summary = result.summary()
    out[name] = summary["mean"]
    out[f"{name} se"] = summary["standard_error"]
    out[f"{name} monte carlo"] = summary["monte_carlo_error"]
    out[f"{name} variance"] = summary["log_weight_variance"]
    out[f"{name} unreliable"] = summary["unreliable_rows"] / summary["rows"]


run = runner.command_line(main, Config)

if __name__ == "__main__":
    typer.run(run)
