"""The measures of the runs on the CMMD paper's data sets, and the methods fitted in one call.

CMMD and the classifiers predict the label themselves. For the other methods, a linear classifier
reads the mean of the latent, or the projection, given the modalities observed at test time.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ppl_mm import baselines, data, evaluation
from ppl_mm.batch.observations import Observations
from ppl_mm.evaluation import AveragePrecision, Estimate
from ppl_mm.experiments import runner
from ppl_mm.experiments.cmmd import data as cmmd_data
from ppl_mm.experiments.cmmd.config import CLASSIFIERS, LABEL, Config, task_of
from ppl_mm.measures.collapse import generated_variances
from ppl_mm.systems import System

__all__ = ["fit_baseline", "labelled", "measure"]

_MANY_TAGS = 4
_SHOWN = 20  # The number of photographs with tags, and of those without.
_READ = 50_000  # The largest number of training rows of a linear classifier, as in two-view MNIST.

Parts = dict[str, Observations]
Features = Callable[[Observations], Tensor]


def labelled(rows: Observations) -> Observations:
    """Return the rows that have a label."""
    known = rows.present[LABEL]
    return rows if bool(known.all()) else rows[known]


def measure(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Measure the label's prediction in each part, errors of missing modalities, and collapse.

    ``error`` is the error of the class, and ``mAP`` the mean average precision of several labels.
    ``rmse`` and ``variance`` belong to the last missing modality; ``variance`` has the mean of its
    elements' mean variances, and their deviation.
    """
    task, ours = task_of(config), config.system == "cmmd"
    parts = cmmd_data.parts(dataset, config, held_out=not ours)
    if ours:
        asked = evaluation.average_precision if task.several else evaluation.classification_error
        told: dict[str, Any] = {
            part: asked(system, rows, LABEL, task.observed) for part, rows in _used(parts).items()
        }
    else:

        def features(rows: Observations) -> Tensor:
            means = evaluation.draw_latents(system, rows.drop(LABEL), task.observed, mean=True)
            return means["u" if "u" in means else "z"]

        told = _read(features, parts, config)
    seen = parts["test"] if ours else parts["test"].drop(LABEL)
    target = task.missing[-1]
    found = _told(seen, told, config) | {
        "rmse": evaluation.rmse(system, seen, target, task.observed).to_list(),
        "collapse": _collapse(system, seen, config),
    }
    if task.variance:
        variances = generated_variances(system, seen, target, task.observed).mean(0)
        found["variance"] = [variances.mean().item(), variances.std().item()]
    if task.several:
        found["tags"] = _tags(system, seen, config)
    speakers = {name: rows for name, rows in parts.items() if name.startswith("speaker")}
    if speakers:
        found["rmse of speakers"] = {
            name: evaluation.rmse(
                system, rows if ours else rows.drop(LABEL), target, task.observed
            ).to_list()
            for name, rows in speakers.items()
        }
    return found


def fit_baseline(config: Config, dataset: data.DataSet) -> dict[str, Any]:
    """Fit one of the other methods; return its record."""
    task = task_of(config)
    parts = cmmd_data.parts(dataset, config, held_out=config.system not in CLASSIFIERS)
    train = parts["train"]
    options: dict[str, Any] = {
        **{"epochs": config.epochs, "batch_size": config.batch_size, "learning_rate": config.lr},
        **{"seed": config.seed, "device": "cuda" if config.device == "cuda" else "cpu"},
    }
    start = time.perf_counter()
    if config.system in CLASSIFIERS:
        fitted = _classifier(config)(train, dataset.modalities, LABEL, task.observed, **options)
        told = {part: _of_classifier(fitted, rows) for part, rows in _used(parts).items()}
    else:
        method = getattr(baselines, config.system)
        options = {} if config.system == "cca" else options
        projection = method(
            train, dataset.modalities, config.latent_dim, views=task.views, **options
        )
        told = _read(lambda rows: projection(rows, task.views[0]), parts, config)
    record = runner.describe(config, time.perf_counter() - start)
    measures = _told(parts["test"], told, config)
    return record | {"train_rows": len(train), "measures": measures}


def _classifier(config: Config) -> Callable[..., baselines.LabelClassifier]:
    task = task_of(config)
    if config.system == "classifier":
        return partial(baselines.label_classifier, hidden=task.baseline)
    return partial(
        baselines.matched_classifier,
        latent_dim=config.latent_dim,
        prior_hidden=task.networks["prior_hidden"],
        hidden=task.classifier,
    )


def _of_classifier(
    fitted: baselines.LabelClassifier, rows: Observations
) -> Estimate | AveragePrecision:
    if rows[LABEL].is_floating_point():
        scores = fitted.probabilities(rows).cpu()
        return evaluation.average_precision_of(scores, rows[LABEL])
    return Estimate.of(fitted.predict(rows).cpu() != rows[LABEL])


def _used(parts: Parts) -> Parts:
    """Return all parts except the training rows."""
    return {part: rows for part, rows in parts.items() if part != "train"}


def _told(rows: Observations, told: dict[str, Any], config: Config) -> dict[str, Any]:
    """Return the label's measures in a record."""
    if task_of(config).several:
        precision = {part: {"macro": t.macro, "micro": t.micro} for part, t in told.items()}
        return {"test rows": len(rows), "mAP": precision}
    errors = {part: error.to_list() for part, error in told.items()}
    return {"test rows": len(rows), "error": errors}


def _collapse(system: System, seen: Observations, config: Config) -> dict[str, Any]:
    """Return the curves of figure 3."""
    task, collapse = task_of(config), evaluation.posterior_collapse
    curves = {"observed": collapse(system, seen, task.observed)}
    if config.system == "vcca_private":  # w belongs to the missing view.
        site = f"w_{task.missing[-1]}"
        curves["missing"] = collapse(system, seen, task.missing, site=site)
    elif config.system != "vcca":
        more = tuple(seen.names) if config.system == "cmmd" else task.missing
        curves["missing"] = collapse(system, seen, more)
        curves["observed against missing"] = collapse(system, seen, task.observed, more)
    if task.variance:
        curves["variance"] = evaluation.variance_collapse(
            system, seen, task.missing[-1], task.observed
        )
    return {name: curve.to_dict() for name, curve in curves.items()}


def _tags(system: System, seen: Observations, config: Config) -> list[dict[str, list[int]]]:
    """Return the tags of some photographs with several tags and some without, and the tags made.

    The tags made are those with a probability above a half where the latent is at its mean.
    """
    task = task_of(config)
    real = seen[task.missing[-1]]
    many, none = (real.sum(1) >= _MANY_TAGS).nonzero()[:, 0], (real.sum(1) == 0).nonzero()[:, 0]
    rows = torch.cat([many[:_SHOWN], none[:_SHOWN]])
    if not len(rows):
        return []
    made = evaluation.predict(system, seen[rows], task.missing[-1], task.observed).cpu()
    return [
        {
            "real": (before > 0.5).nonzero()[:, 0].tolist(),
            "made": (after > 0.5).nonzero()[:, 0].tolist(),
        }
        for before, after in zip(real[rows], made, strict=True)
    ]


def _read(features: Features, parts: Parts, config: Config) -> dict[str, Any]:
    """Predict the label by a linear classifier, or several labels by logistic regressions."""
    parts = parts | {"train": labelled(parts["train"])[:_READ]}
    numbers = {part: features(rows).cpu() for part, rows in parts.items()}
    scale = numbers["train"].std(0).clamp(min=1e-6)
    numbers = {part: x / scale for part, x in numbers.items()}
    labels = {part: rows[LABEL] for part, rows in parts.items()}
    if task_of(config).several:
        machines = [
            baselines.logistic_regression(numbers["train"], yes.long()).machine
            for yes in labels["train"].unbind(1)
        ]

        def precision(part: str) -> AveragePrecision:
            x = numbers[part].numpy()
            scores = [torch.from_numpy(m.predict_proba(x)[:, 1]) for m in machines]
            return evaluation.average_precision_of(torch.stack(scores, 1), labels[part])

        return {part: precision(part) for part in _used(parts)}
    machine = baselines.linear_svm(
        numbers["train"],
        labels["train"],
        numbers["validation"],
        labels["validation"],
        seed=config.seed,
    )
    return {
        part: Estimate.of(machine.predict(numbers[part]) != labels[part]) for part in _used(parts)
    }
