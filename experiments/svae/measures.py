"""The measures of the SVAE experiment: what classifiers read in generations, and pictures."""

from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import nn

from ppl_mm import data, evaluation, generate, plotting
from ppl_mm.batch.observations import Observations
from ppl_mm.experiments import captions
from ppl_mm.experiments.generated import one_of_each
from ppl_mm.systems import System

__all__ = ["classifiers", "measure", "oracle", "reconstructions"]

Config = Any  # The options of the main experiment.


def measure(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Make the measures of the data set, which the experiment's module describes."""
    if dataset.vocabulary is not None:
        test = dataset.test[: config.num_test]
        scores = captions.measure(system, dataset, test, seed=config.seed)
        examples = captions.examples(system, dataset, test, seed=config.seed)
        return {"test": {"rows": len(test), "correlation": scores, "examples": examples}}
    return (
        _pairs(system, dataset, config) if dataset.join is None else _parts(system, dataset, config)
    )


def _pairs(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Measure joint and cross coherence by a classifier of each modality, and its accuracy."""
    readers = classifiers(dataset, config, system.device)
    test = dataset.test[: config.num_test]
    labels = dataset.classes("test")[: len(test)]
    cross = evaluation.cross_coherence(system, test, labels, readers, seed=config.seed)
    joint = evaluation.joint_coherence(system, readers, config.prior_samples, seed=config.seed)
    real = evaluation.classifier_accuracy(readers, test, labels)
    found = {"rows": len(test), "coherence": cross.to_dict(), "joint coherence": joint.to_list()}
    return {"test": found | {"coherence_of_real": {name: e.to_list() for name, e in real.items()}}}


def classifiers(
    dataset: data.DataSet, config: Config, device: str | torch.device = "cpu"
) -> dict[str, nn.Module]:
    """Return a classifier of each picture of a pair, from its file where there is one."""
    return evaluation.train_classifiers(
        dataset,
        epochs=config.oracle_epochs,
        folder=Path(config.out) / "classifiers",
        device=device,
    )


def _parts(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Measure the classifier's accuracy on rebuilt and on real pictures, and draw pictures."""
    reader = oracle(dataset, config, system.device)
    assert dataset.join is not None
    out: dict[str, Any] = {}
    for split in ("test", "validation"):
        obs = getattr(dataset, split)[: config.num_test]
        labels = dataset.classes(split)[: len(obs)]
        found = evaluation.whole_coherence(
            system, obs, labels, reader, dataset.join, seed=config.seed
        )
        pictures = Observations({"whole": dataset.join(obs.values)})
        real = evaluation.classifier_accuracy({"whole": reader}, pictures, labels)["whole"]
        out[split] = {
            "rows": len(obs),
            "coherence": found.to_dict(),
            "coherence_of_real": real.to_list(),
        }
    drawn = evaluation.joint_confidence(
        system, reader, dataset.join, config.prior_samples, seed=config.seed
    )
    real = evaluation.confidence(reader, dataset.join(dataset.test[: config.prior_samples].values))
    out["confidence"] = {"prior": drawn.to_list(), "test": real.to_list()}
    _draw(system, dataset, config)
    return out


def oracle(dataset: data.DataSet, config: Config, device: str | torch.device) -> nn.Module:
    """Return the classifier of whole pictures, from its file where there is one."""
    return evaluation.train_oracle(
        dataset,
        epochs=config.oracle_epochs,
        folder=Path(config.out) / "classifiers",
        device=device,
    )


def _draw(system: System, dataset: data.DataSet, config: Config) -> None:
    folder = Path(config.out)
    plotting.save(reconstructions(system, dataset), folder / f"{config.name}-reconstructions.png")
    parts = [tuple(m.name for m in dataset.modalities)]
    prior = plotting.prior_samples(system, tiles=parts, like=dataset.test[:500], num_samples=20)
    plotting.save(prior, folder / f"{config.name}-prior.png")


def reconstructions(system: System, dataset: data.DataSet, *, seed: int = 0) -> Figure:
    """Draw the paper's Figure 3: test digits, and both halves rebuilt from each part and all."""
    rows = one_of_each(dataset.classes("test"))
    obs, names = dataset.test[rows], [m.name for m in dataset.modalities]
    assert dataset.join is not None
    strips = {"truth": dataset.join(obs.values)}
    for given in [*((n,) for n in names), tuple(names)]:
        drawn = generate(system, obs, names, given=given, mean=True, seed=seed)
        whole = dataset.join({n: x[0].cpu() for n, x in drawn.items()})
        strips["from " + (given[0] if len(given) == 1 else "all")] = whole
    figure = Figure(figsize=(len(rows) * 0.6, len(strips) * 0.62), layout="constrained")
    for axes, (title, pictures) in zip(
        figure.subplots(len(strips), squeeze=False)[:, 0], strips.items(), strict=True
    ):
        axes.imshow(torch.cat(list(pictures[:, 0]), 1).numpy(), cmap="gray", vmin=0, vmax=1)
        axes.set_ylabel(title, rotation=0, ha="right", va="center")
        axes.set(xticks=[], yticks=[])
    return figure
