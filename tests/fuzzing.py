"""All that a user calls, each with arguments that are right, made by their name or annotation.

A public name joins by being in a module's ``__all__``. Results, which measures make, are left out.
"""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib.figure
import pyro.distributions as dist
import torch
from every_system import build, complete, modalities
from torch import nn

import ppl_mm
from ppl_mm import Observations, baselines, data, evaluation, guides, likelihoods, objectives
from ppl_mm.distributions import ObservedPrior
from ppl_mm.objectives import Term

MODULES = (
    *("ppl_mm", "ppl_mm.likelihoods", "ppl_mm.models", "ppl_mm.guides", "ppl_mm.objectives"),
    *("ppl_mm.evaluation", "ppl_mm.systems", "ppl_mm.data", "ppl_mm.networks"),
    *("ppl_mm.baselines", "ppl_mm.plotting"),
)
METHODS = {
    "Observations": ("blank", "collate", "only", "without", "given", "scoring", "drop", "to"),
    "System": ("save", "load", "start_from"),
}
NORMAL, LABEL = "normal", "categorical"
ROWS = 6


@dataclass(frozen=True, eq=False)
class Public:
    """A public function, class or method."""

    name: str
    call: Callable[..., Any]
    parameters: Mapping[str, inspect.Parameter]

    def arguments(self) -> dict[str, Any]:
        """Right ones, for every parameter that needs one or whose default takes long."""
        own = OWN.get(self.name, OWN.get(self.name.rpartition(".")[2], {}))
        found = {}
        for name, parameter in self.parameters.items():
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                continue
            if name in own:
                found[name] = own[name]()
            elif name in QUICK or parameter.default is parameter.empty:
                made = {**RIGHT, **QUICK}.get(name)
                fits = made is not None and name not in own
                found[name] = made() if fits else by_annotation(parameter.annotation)
        return found | {name: own[name]() for name in own if name not in found}


def public() -> list[Public]:
    """All of it."""
    things: dict[str, Any] = {}
    for module in MODULES:
        package = importlib.import_module(module)
        for name in package.__all__:
            thing = getattr(package, name)
            if is_called(thing) and thing not in things.values():
                things[f"{module}.{name}"] = thing
    for owner, names in METHODS.items():
        start = system() if owner == "System" else rows()
        things |= {f"{owner}.{name}": getattr(start, name) for name in names}
    return [Public(n, t, inspect.signature(t).parameters) for n, t in things.items()]


RESULTS = (
    *(evaluation.Result, evaluation.Readings, evaluation.Reliability, objectives.LossParts),
    *(
        evaluation.GaussianProcessClassifier,
        data.Columns,
        data.Provenance,
        evaluation.Difference,
        evaluation.Embedding,
        evaluation.Imputation,
        data.Summary,
        baselines.LabelClassifier,
    ),
    *(baselines.LinearSVM, baselines.LogisticRegression, baselines.Projection, Warning),
)
"""What functions return, which no user makes."""


def is_called(thing: Any) -> bool:
    """Whether a public thing is a function, or a class that a user makes."""
    return inspect.isfunction(thing) or (inspect.isclass(thing) and not issubclass(thing, RESULTS))


class Classifier(nn.Module):
    """Three classes of three numbers, which are its features."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        return x


def system(name: str = "mvae", **options: Any) -> ppl_mm.System:
    return build(name, modalities(NORMAL, LABEL), **options)


def rows(number: int = ROWS) -> Observations:
    return complete(number, NORMAL, LABEL)


def labels() -> torch.Tensor:
    return torch.arange(ROWS) % 3


def numbers() -> torch.Tensor:
    return torch.rand(ROWS, 3)


def dataset() -> data.DataSet:
    return data.DataSet(
        "tiny", rows(), rows(), rows(), tuple(modalities(NORMAL, LABEL)), 2, LABEL, 3
    )


def readings(given: str | tuple[str, ...] = LABEL) -> evaluation.Readings:
    return evaluation.read_generations(
        system(), rows(), {NORMAL: Classifier()}, [given], features=True
    )


def frame() -> dict[str, Any]:
    return {"x": numbers()[:, 0].tolist()}


def pictures() -> torch.Tensor:
    return torch.rand(ROWS, 1, 8, 8)


def first(values: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return values[NORMAL]


def found() -> evaluation.Relatedness:
    return evaluation.relatedness(system(), rows(), NORMAL, LABEL, labels())


def sandwich() -> evaluation.Sandwich:
    few = {"num_temperatures": (2,), "num_chains": 2, "num_leaps": 1}
    return evaluation.sandwich(system(), 2, **few)


def likelihood() -> evaluation.LogLikelihood:
    return ppl_mm.log_likelihood(system(), rows(), num_samples=30)


def comparison() -> evaluation.Comparison:
    return evaluation.compare(dict.fromkeys("ab", likelihood()))


def just(value: Any) -> Callable[[], Any]:
    return lambda: value


RIGHT: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(("system",), system),
    **dict.fromkeys(("labels", "train_labels", "test_labels", "classes", "tune_classes"), labels),
    **dict.fromkeys(("train", "test", "obs", "shared", "private", "real", "like"), rows),
    **{"latent_dim": just(2), "in_features": just(2), "label": just(LABEL), "omega": just(0.5)},
    **{"num_classes": just(3), "epochs": just(1), "target": just(NORMAL), "given": just((LABEL,))},
    **{"targets": just((NORMAL,)), "observed": just((NORMAL,)), "private_dim": just(2)},
    **{"classifiers": lambda: {NORMAL: Classifier()}, "site": just("z"), "fraction": just(0.5)},
    **{"names": just((NORMAL, LABEL)), "path": just(Path("no-such-file")), "dataset": dataset},
    **{"features": numbers, "tune_features": numbers, "images": numbers, "first": just(NORMAL)},
    **{"second": just(LABEL), "readings": readings, "found": found, "digits": labels},
    **{"model": lambda: system().model, "guide": lambda: system().guide, "classifier": Classifier},
    **{"name": just("mvae"), "layers": just(((4, 1, 1, 0),)), "event_shape": just((3,))},
    **{"join": just(None), "oracle": Classifier, "num_particles": just(2), "width": just(1.0)},
}
QUICK: dict[str, Callable[[], Any]] = {
    **dict.fromkeys(("epochs", "num_leaps", "num_warmup", "num_steps", "num_components"), just(1)),
    **dict.fromkeys(("num_temperatures", "num_chains", "num_samples", "columns"), just(2)),
    **{"num_inducing": just(2), "num_draws": just(3), "base_url": just("file:///no/such/folder")},
    **{"folder": just(Path("no-such-folder")), "max_samples": just(4)},
    **{"steps": just(2), "max_iterations": just(2), "num_rows": just(2)},
}
"""What a call is given though there is a default, so that it is quick, and finds no files."""


def experts() -> guides.ProductOfExperts:
    return guides.ProductOfExperts(modalities(NORMAL, LABEL), 2)


UNITS = {"centre": just((0.0, 1.0)), "spread": just((1.0, 2.0))}
OWN: dict[str, dict[str, Callable[[], Any]]] = {
    "Modality": {"likelihood": likelihoods.Normal, "encoder": lambda: nn.Linear, "name": just("x")}
    | {"decoder": lambda: nn.Linear},
    "Observations": {"values": lambda: rows().values},
    "System": {"objective": lambda: system().objective},
    "fit": {"data": rows, "progress": just(False)},
    "Mixture": {"guide": experts, "family": just(((NORMAL,), (LABEL,)))},
    "SharedPrivate": {"shared": experts},
    "ConditionalPosterior": {
        "prior": lambda: ObservedPrior(modalities(NORMAL, LABEL), 2, (NORMAL,)),
        "label": just(LABEL),
    },
    "JointNetwork": {"hidden": just(3)},
    "ZeroFilledNetwork": {"hidden": just(3)},
    "jmvae": {"hidden": just(3)},
    "jmvae_zero": {"hidden": just(3)},
    "telbo": {"hidden": just(3)},
    "vaevae": {"hidden": just(3)},
    "vaevae_star": {"hidden": just(3)},
    "vae": {"modalities": lambda: modalities(NORMAL)},
    "cvae": {"given": just((LABEL,))},
    "ELBOTerms": {"terms": lambda: [Term((NORMAL,), (NORMAL,))]},
    "Term": {"source": just((NORMAL,)), "scored": just((NORMAL,))},
    "Reweighted": {"elbo": objectives.IWAE},
    "Stages": {"objectives": lambda: [objectives.IWAE(), objectives.IWAE()], "epochs": just((1,))},
    "WithMMD": {"objective": lambda: system().objective, "mmd_weight": just(1.0)},
    "iwae_bound": {"log_w": numbers},
    "kernel_width": {"kernel": just(1.0)},
    "linear_annealing": {"step": just(1), "steps_per_epoch": just(2)},
    "squared_mmd_of_normals": {
        "x": lambda: (numbers(), numbers()),
        "y": lambda: (numbers(), numbers()),
    },
    "row_elbo": {"p": lambda: traces()[0], "q": lambda: traces()[1]},
    "average_precision_of": {"scores": numbers, "truth": lambda: torch.eye(3).repeat(2, 1)},
    "calibration_of": {"probabilities": lambda: numbers().softmax(-1), "truth": labels},
    "mutual_information_of": {"probabilities": lambda: torch.rand(2, ROWS, 3).softmax(-1)},
    "mutual_information": {"classifiers": lambda: {NORMAL: process()}},
    "real_mutual_information": {"classifiers": lambda: {NORMAL: process()}},
    "correlation": {"embeddings": lambda: {n: partial(embed, n) for n in (NORMAL, LABEL)}},
    "draw_latents": {"given": just((NORMAL,))},
    "log_likelihoods": {"targets": just([(NORMAL,)])},
    "posterior_collapse": {"given": just(NORMAL)},
    "compare": {"results": lambda: dict.fromkeys("ab", likelihood())},
    "paired_differences": {"found": comparison},
    "certified_intervals": {"found": lambda: evaluation.certify(system(), 2, **FEW)},
    "rank_curves": {"found": lambda: evaluation.posterior_ranks(system(), 2, num_draws=3)},
    "upper_bound_curves": {"found": lambda: evaluation.upper_bounds(system(), rows(2), **FEW)},
    "sandwich": {"rows": just(2)},
    "spread": {"samples": lambda: torch.rand(2, ROWS, 3)},
    "collapse_of": {"values": numbers},
    "calibration": {"num_samples": just(None)},
    "DataSet": {"modalities": lambda: tuple(modalities(NORMAL, LABEL)), "validation": just(None)},
    "TableEncoder": UNITS,
    "TableFeatures": UNITS,
    "TableDecoder": UNITS,
    "RatesDecoder": {"log_mean": just((0.0, 1.0))},
    "from_frame": {"frame": frame, "modalities": just({"x": {"columns": ["x"], "kind": "real"}})}
    | {"label": just(None), "index": just(None), "split": just(None), "hidden": just((2,))},
    "from_file": {"fingerprint": just(None)},
    "MemoryMapped": {"arrays": lambda: {NORMAL: numbers().numpy()}},
    "Vocabulary": {"words": just(("a", "b"))},
    "SentenceEmbedding": {"ends": just(())},
    "get": {"name": just("mnist")},
    "load": {"name": just("digits"), "path": just(Path("no-such-file"))},
    "keep_modalities": {"probability": just(0.5)},
    "pair_by_class": {"labels_a": labels, "labels_b": labels},
    "spell": {"strings": lambda: torch.zeros(2, 4, dtype=torch.long)},
    "ConvEncoder": {"event_shape": just((1, 4, 4))},
    "ConvFeatures": {"event_shape": just((1, 4, 4))},
    "ConvDecoder": {"start": just((4, 4, 4))},
    "contrastive_loss": {"first": numbers, "second": numbers, "margin": just(0.5)},
    "label_classifier": {"modalities": lambda: modalities(NORMAL, LABEL)},
    "autoencoder": {"modality": lambda: modalities(NORMAL)[0]},
    "rbm": {"modality": lambda: modalities("bernoulli")[0], "hidden": just(2)}
    | {"train": lambda: complete(ROWS, "bernoulli")},
    "collapse_curves": {"panels": lambda: {"a": {"b": evaluation.collapse_of(numbers())}}},
    "error_curves": {"panels": lambda: {"a": {"b": [(1.0, 2.0, 0.5)]}}},
    "estimates": {"found": likelihood},
    "likelihood_intervals": {"result": likelihood},
    "losses": {"history": just([{"epoch": 1.0, "loss": 2.0}])},
    "posterior": {"row": just(1), "given": just(NORMAL)},
    "posterior_intervals": {"check": lambda: evaluation.posterior_check(system(), rows(2), **NUTS)},
    "reliability_diagram": {"found": lambda: evaluation.calibration_of(numbers(), labels())},
    "samples": {"drawn": lambda: ppl_mm.generate(system(), rows(), NORMAL)},
    "sandwich_curves": {"panels": lambda: {"a": sandwich()}},
    "save": {"figure": matplotlib.figure.Figure, "path": just(Path("saved"))},
    "shared_private_grid": {"system": lambda: system("mmvae_plus"), "source": just(NORMAL)},
    "conditional_columns": {"system": lambda: system("mmvae_plus")},
    "traversal": {"obs": lambda: rows(1)},
    "joint_coherence_of": {"readings": partial(readings, ())},
    "joint_confidence": {"join": just(first)},
    "whole_coherence": {"join": just(first)},
    "train_classifier": {"images": pictures},
    "ResidualEncoder": {"event_shape": just((1, 8, 8))},
    "ResidualFeatures": {"event_shape": just((1, 8, 8))},
    "ResidualDecoder": {"event_shape": just((1, 8, 8))},
    "CaptionDecoder": {"private_features": just(1)},
    "dccae": {"epochs": just(1), "batch_size": just(ROWS), "hidden": just((3,))},
    "train_classifiers": {"progress": just(False)},
    "train_gaussian_processes": {"progress": just(False)},
    "train_oracle": {"progress": just(False)},
    "ppl_mm.models.SharedPrivate": {},
    "System.save": {},
    "System.load": {},
    "collate": {"batches": lambda: [rows(), rows()]},
    "blank": {"num_rows": just(2)},
    "to": {"target": just("cpu")},
    "start_from": {"stage": system},
}
FEW = {"num_temperatures": 2, "num_chains": 2, "num_leaps": 1}
NUTS = {"num_samples": 4, "num_warmup": 2, "num_chains": 1}


def traces() -> Any:
    return objectives.trace_pair(system().model, system().guide, rows())


def embed(name: str, values: torch.Tensor) -> torch.Tensor:
    return values if name == NORMAL else nn.functional.one_hot(values, 3).double()


def process() -> evaluation.GaussianProcessClassifier:
    few = {"num_inducing": 2, "num_steps": 1}
    return evaluation.train_gaussian_process(Classifier(), numbers(), labels(), 3, **few)


def by_annotation(annotation: Any) -> Any:
    """Some value of a type."""
    text = str(annotation)
    for kind, make in (
        ("Observations", rows),
        ("Modality", partial(modalities, NORMAL, LABEL)),
        ("Module", Classifier),
        ("Distribution", lambda: dist.Normal(torch.zeros(2), 1.0)),
        ("Tensor", numbers),
        ("bool", just(True)),
        ("float", just(0.5)),
        ("int", just(2)),
        ("str", just(NORMAL)),
    ):
        if kind in text:
            return make()
    return None
