"""MVAE on image and label: does a large label weight cost accuracy, and what reaches both?

The tables 2, 3, 6 and 7 of Wu & Goodman 2018 (arXiv:1802.05335) for MVAE: log p(x1),
log p(x1, x2), log p(x1 | x2) and the variances of log weights by 1000 samples, plus the accuracy
of labels read from the image alone. The paper states a label weight of 50; with its objective
that gives its log p(x1) but not its accuracy (the joint term reads the label from the label's own
expert, and no term asks q(z | x1) for it). So the weight, and which modalities the image-only
term reconstructs, are settings here.

    python -m ppl_mm.experiments.mvae --dataset binary_mnist --label-weight 50 --epochs 50

About 15 minutes on one CPU core for 50 epochs of BinaryMNIST in float32, as long again for the
likelihoods of 10,000 images.
"""

import json
import platform
import time
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import typer

import ppl_mm
from ppl_mm import data, fit, systems
from ppl_mm.evaluation import (
    LogLikelihood,
    UnreliableLikelihoodWarning,
    accuracy,
    elbo,
    log_likelihood,
    log_likelihoods,
)
from ppl_mm.files import write_atomically
from ppl_mm.objectives import Term, subset_terms
from ppl_mm.observations import Observations
from ppl_mm.systems import System

__all__ = ["SMOKE", "Config", "main"]

TERMS = {
    "own": subset_terms(),  # the paper: every singleton reconstructs itself
    "image_all": [  # the image alone answers for the label too
        Term(("image", "label"), ("image", "label")),
        Term(("image",), ("image", "label")),
        Term(("label",), ("label",)),
    ],
}


@dataclass(frozen=True)
class Config:
    """One run.

    Attributes:
        dataset: binary_mnist (fresh binarisation of every batch, fixed test set), mnist,
            fashion_mnist, or digits with halves as an image (for tests).
        label_weight: lambda of the label; the image's is 1.
        terms: What singleton terms reconstruct, a key of ``TERMS``.
        epochs: Of 50,000 training rows; beta grows over 40 % of them.
        batch_size: Rows per step.
        precision: Fabric's flag for training. Likelihoods are always in float32.
        seed: Of networks, order, noise and draws.
        num_samples: K of the likelihoods.
        joint_rows: Test rows for the second proposal, q(z | x1, x2).
        test_rows: Test rows for everything else.
        train_rows: Training rows; None for all.
        threads: Of torch.
        out: Folder of the record, ``<out>/<name>.json``, and the trained system.
    """

    dataset: str = "binary_mnist"
    label_weight: float = 50.0
    terms: str = "own"
    epochs: int = 50
    batch_size: int = 100
    precision: str = "32-true"
    seed: int = 0
    num_samples: int = 1000
    joint_rows: int = 2000
    test_rows: int = 10_000
    train_rows: int | None = None
    threads: int = 1
    out: str = "runs/mvae"

    @property
    def name(self) -> str:
        """The record's name."""
        return f"{self.dataset}-{self.terms}-{self.label_weight:g}-{self.epochs}-{self.seed}"


SMOKE = Config(epochs=1, num_samples=3, joint_rows=4, test_rows=6, train_rows=50, batch_size=25)


def main(config: Config) -> dict[str, float]:
    """Train, evaluate, write the record and the system; return the measures.

    A system that an earlier, interrupted run has trained is not trained again.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    options = {"binarisation": "dynamic"} if config.dataset == "binary_mnist" else {}
    dataset = data.load(config.dataset, **options)
    modalities = [
        replace(m, weight=config.label_weight if m.name == "label" else 1.0)
        for m in dataset.modalities
    ]
    system = systems.mvae(modalities, dataset.latent_dim, terms=TERMS[config.terms])
    saved, path = (Path(config.out) / f"{config.name}{end}" for end in (".safetensors", ".json"))
    if saved.exists():
        System.load(saved, system=system)
        record = json.loads(path.read_text())
    else:
        record = train(system, dataset, config)
        system.save(saved)
        _write(path, record)
    start = time.perf_counter()
    measures = evaluate(system, dataset.test[: config.test_rows], config)
    record |= {"measures": measures, "evaluation_seconds": time.perf_counter() - start}
    _write(path, record | {"config": asdict(config), "command": _command(config)})
    return measures


def train(system: System, dataset: data.DataSet, config: Config) -> dict[str, object]:
    """Train the system; the record so far."""
    start = time.perf_counter()
    result = fit(
        system,
        dataset.train[: config.train_rows],
        epochs=config.epochs,
        batch_size=config.batch_size,
        annealing_epochs=round(0.4 * config.epochs),
        transform=dataset.transform,
        precision=config.precision,
        seed=config.seed,
        device="cpu",
    )
    return {
        "train_seconds": time.perf_counter() - start,
        "final_loss": result.history[-1]["loss"],
        "hardware": f"{platform.machine()} CPU, {config.threads} thread(s)",
        "versions": {"ppl_mm": ppl_mm.__version__, "torch": torch.__version__},
    }


def _write(path: Path, record: dict[str, object]) -> None:
    write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())


def evaluate(system: System, test: Observations, config: Config) -> dict[str, float]:
    """The measures of the tables, with standard errors over test rows."""
    out: dict[str, float] = {}
    with warnings.catch_warnings():  # the number of unreliable rows is recorded
        warnings.simplefilter("ignore", UnreliableLikelihoodWarning)
        label = _label_marginal(system, test, config)
        for proposal, rows in (
            (("image",), test),
            (("image", "label"), test[: config.joint_rows]),
        ):
            marginal, joint = log_likelihoods(
                system,
                rows,
                [("image",), ("image", "label")],
                num_samples=config.num_samples,
                proposal=proposal,
                seed=config.seed,
            )
            conditional = joint.value - label[rows["label"]]
            by = "x1" if proposal == ("image",) else "x1x2"
            _add(out, f"log p(x1) by {by}", marginal)
            _add(out, f"log p(x1,x2) by {by}", joint)
            _add(out, f"log p(x1|x2) by {by}", replace(joint, value=conditional))
    out["accuracy"] = accuracy(system, test, "label", ("image",))
    out["accuracy se"] = (out["accuracy"] * (1 - out["accuracy"]) / len(test)) ** 0.5
    out["elbo"] = elbo(system, test, seed=config.seed).mean().item()
    return out


def _label_marginal(system: System, test: Observations, config: Config) -> torch.Tensor:
    """log p(x2) of every class, by prior samples that all rows share."""
    classes = torch.arange(10)
    rows = Observations({"label": classes})
    result = log_likelihood(
        system, rows, "label", num_samples=5 * config.num_samples, proposal="prior"
    )
    return result.value


def _add(out: dict[str, float], name: str, result: LogLikelihood) -> None:
    summary = result.summary()
    out[name] = summary["mean"]
    out[f"{name} se"] = summary["standard_error"]
    out[f"{name} monte carlo"] = summary["monte_carlo_error"]
    out[f"{name} variance"] = summary["log_weight_variance"]
    out[f"{name} unreliable"] = summary["unreliable_rows"] / summary["rows"]


def _command(config: Config) -> str:
    changed = {k: v for k, v in asdict(config).items() if v != getattr(Config(), k)}
    flags = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in changed.items() if k != "out")
    return f"python -m ppl_mm.experiments.mvae {flags}".strip()


def run(
    dataset: str = Config.dataset,
    label_weight: float = Config.label_weight,
    terms: str = Config.terms,
    epochs: int = Config.epochs,
    batch_size: int = Config.batch_size,
    precision: str = Config.precision,
    seed: int = Config.seed,
    num_samples: int = Config.num_samples,
    joint_rows: int = Config.joint_rows,
    test_rows: int = Config.test_rows,
    train_rows: int | None = None,
    threads: int = Config.threads,
    out: str = Config.out,
) -> None:
    """Run one setting and print its measures."""
    measures = main(Config(**locals()))
    for name, value in measures.items():
        typer.echo(f"{name:32s} {value:.4f}")


if __name__ == "__main__":
    typer.run(run)
