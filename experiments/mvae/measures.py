"""The measures of the MVAE experiment: likelihoods, variances of weights, accuracy, pictures."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from ppl_mm import generate, plotting
from ppl_mm.batch.observations import Observations
from ppl_mm.data import DataSet
from ppl_mm.data.celeba import ATTRIBUTES
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
from ppl_mm.systems import System

__all__ = ["accuracy", "label_marginal", "measure"]

Config = Any  # The numbers of the main experiment.
REFINED_ROWS = 500  # The test rows, at most, whose likelihoods are also estimated by refined draws.


def measure(system: System, dataset: DataSet, config: Config) -> dict[str, float]:
    """Make the tables' measures that the system defines, with standard errors over test rows."""
    test, both = dataset.test[: config.test_rows], dataset.test[: config.joint_rows]
    image, *labels = every = tuple(m.name for m in dataset.modalities)
    options: dict[str, Any] = {"num_samples": config.num_samples, "seed": config.seed}
    plain: dict[str, Any] = {**options, "refine": "none"}  # This is the paper's estimator.
    out: dict[str, float] = {}
    with warnings.catch_warnings():  # The number of unreliable rows is recorded.
        warnings.simplefilter("ignore", UnreliableLikelihoodWarning)
        if config.system == "vae":
            test = test.drop(*labels)
            _add(out, "log p(x1) by x1", log_likelihood(system, test, **plain))
        elif config.system == "cvae":
            given = log_likelihood(system, both, image, labels, **plain)
            _add(out, "log p(x1|x2) by x1x2", given)
            _refine(out, "log p(x1|x2)", system, both, (image, labels), given.value, config)
        else:
            proposals = {"x1": ((image,), test), "x1x2": (every, both)}
            if config.system == "bivcca":  # None of its terms trains q(z | x1, x2).
                del proposals["x1x2"]
            rows = max((rows for _, rows in proposals.values()), key=len)
            of_label = label_marginal(system, rows, labels, config)
            for by, (proposal, rows) in proposals.items():
                marginal, joint = log_likelihoods(
                    system, rows, [(image,), every], proposal=proposal, **options
                )
                conditional = joint.value - of_label[: len(rows)]
                _add(out, f"log p(x1) by {by}", marginal)
                _add(out, f"log p(x1,x2) by {by}", joint)
                _add(out, f"log p(x1|x2) by {by}", replace(joint, value=conditional))
                if by == "x1x2":
                    for name, question, value in (
                        ("log p(x1)", (image, None), marginal.value),
                        ("log p(x1,x2)", (every, None), joint.value),
                        ("log p(x1|x2)", (image, labels), conditional),
                    ):
                        _refine(out, name, system, rows, question, value, config)
    if config.system not in ("vae", "cvae"):
        found = [predict(system, test, label, (image,)) for label in labels]
        truth, names = (
            _side_by_side([test[n] for n in labels]),
            ATTRIBUTES if config.of_faces else (),
        )
        for name, share in accuracy(_side_by_side(found), truth, names).items():
            out |= {name: share.value, f"{name} se": share.standard_error}
    if config.system != "bivcca":
        out["elbo"] = elbo(system, test, seed=config.seed).mean().item()
    if config.system == "mvae" and len(labels) == 1:
        _draw(system, dataset, config)
    return out


def label_marginal(
    system: System, rows: Observations, labels: Sequence[str], config: Config
) -> Float[Tensor, " N"]:
    """Return log p(x2) of every row, by prior samples of each distinct label."""
    values = [rows[label] for label in labels]
    flat = torch.cat([x.reshape(len(rows), -1) for x in values], 1)
    distinct, which = flat.unique(dim=0, return_inverse=True)
    columns = distinct.split([x[0].numel() for x in values], 1)
    shaped = [c.reshape(-1, *x.shape[1:]) for c, x in zip(columns, values, strict=True)]
    result = log_likelihood(
        system,
        Observations(dict(zip(labels, shaped, strict=True))),
        labels,
        num_samples=(10 if config.of_faces else 5) * config.num_samples,
        proposal="prior",
        refine="none",
    )
    return result.value[which.to(result.value.device)]


def _side_by_side(columns: list[Tensor]) -> Tensor:
    """Return one modality's values, or those of several attributes side by side."""
    return columns[0] if len(columns) == 1 else torch.stack(columns, 1)


def accuracy(
    predicted: Shaped[Tensor, "N *D"], truth: Shaped[Tensor, "N *D"], names: Sequence[str] = ()
) -> dict[str, Estimate]:
    """Return the share of right labels (N,), or of right positions of strings (N, 4).

    Half of all positions of strings are fillings, so strings also have the share of right digits
    among the digits. Attributes (N, 18) are 0 or 1 and are predicted by their probabilities; they
    have the share that is right, of all and of each of these names. All shares come with their
    errors.

    Example:
        >>> truth = torch.tensor([[7, 3, FILL, FILL], [1, FILL, FILL, FILL]])
        >>> found = torch.tensor([[7, 5, FILL, FILL], [FILL, FILL, FILL, FILL]])
        >>> [round(estimate.value, 3) for estimate in accuracy(found, truth).values()]
        [0.75, 0.333]
    """
    attributes = truth.is_floating_point()
    predicted = (predicted > 0.5 if attributes else predicted).to(truth)
    right = (predicted == truth).reshape(len(truth), -1).double()
    out = {"accuracy": Estimate.of(right.mean(1))}
    for name, column in zip(names, right.T, strict=bool(names)):
        out[f"accuracy of {name}"] = Estimate.of(column)
    if truth.dim() > 1 and not attributes:
        digits = (truth != FILL).double()
        hits, count = (right * digits).sum(1), digits.sum(1)
        share = (
            hits.sum() / count.sum()
        )  # This is a ratio of means, with an error from the rows' deviations.
        out["accuracy of digits"] = Estimate.of(share + (hits - share * count) / count.mean())
    return out


def _draw(system: System, dataset: DataSet, config: Config) -> None:
    """Draw the paper's Figure 2: 64 draws from the prior, and images given labels, a row each."""
    image, label = (m.name for m in dataset.modalities)
    labels = torch.arange(10)
    if config.dataset == "multimnist":
        labels = torch.full((4, 4), FILL)
        for row, string in enumerate(("1773", "204", "58", "6")):
            labels[row, : len(string)] = torch.tensor([int(digit) for digit in string])
    elif config.of_faces:  # Only one attribute is given.
        labels = torch.eye(len(ATTRIBUTES))
    words = {label: _attributes} if config.of_faces else None
    asked, like = Observations({label: labels}), dataset.test[:500].only(image)
    images = generate(system, asked, image, 8, given=label, mean=True, seed=config.seed)
    pictures = {
        "prior": plotting.prior_samples(system, like=like, num_samples=64, columns=8),
        "conditional": plotting.samples(system, asked, images, (label,), like=like, words=words),
    }
    for name, figure in pictures.items():
        plotting.save(figure, Path(config.out) / f"{config.name}-{name}.png")


def _attributes(values: Tensor) -> str:
    held = (n for n, x in zip(ATTRIBUTES, values.tolist(), strict=True) if x > 0.5)
    return " ".join(held).replace("_", " ")


def _refine(
    out: dict[str, float],
    name: str,
    system: System,
    rows: Observations,
    question: tuple[Any, Any],
    papers: Tensor,
    config: Config,
) -> None:
    """Add what refined draws give for the first rows, and how much more than the paper's draws."""
    few = rows[:REFINED_ROWS]
    target, given = question
    options: dict[str, Any] = {"num_samples": config.num_samples, "seed": config.seed}
    found = log_likelihood(system, few, target, given, **options)
    _add(out, f"{name} refined", found)
    gain = Estimate.of(found.value - papers[: len(few)])
    out |= {f"{name} refined gain": gain.value, f"{name} refined gain se": gain.standard_error}
    out[f"{name} refined rows"] = len(few)


def _add(out: dict[str, float], name: str, result: LogLikelihood) -> None:
    summary = result.summary()
    out[name] = summary["mean"]
    out[f"{name} se"] = summary["standard_error"]
    out[f"{name} monte carlo"] = summary["monte_carlo_error"]
    out[f"{name} variance"] = summary["log_weight_variance"]
    out[f"{name} unreliable"] = summary["unreliable_rows"] / summary["rows"]
