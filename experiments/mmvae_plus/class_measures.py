"""Measures of coherence, quality, diversity and latents, for data whose rows have a class."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from typing import Any

from matplotlib.figure import Figure
from torch import nn

from ppl_mm import evaluation, generate, plotting
from ppl_mm.batch.observations import Observations
from ppl_mm.data import DataSet
from ppl_mm.systems import System

__all__ = ["Sizes", "measure", "pictures"]

_LARGEST_ALPHA = 3.0


@dataclass(frozen=True)
class Sizes:
    """The numbers of rows and draws of the costly measures.

    Attributes:
        probe_rows: The number of training rows for latent classification.
        subset_rows: The number of test rows for several inputs, and for the private latents'
            priors.
        diversity_rows: The number of test rows for diversity.
        num_samples: The number of draws of each row for diversity.
        alphas: The number of factors, up to 3, on the scale of p(w_n) of a target not given.
    """

    probe_rows: int = 10_000
    subset_rows: int = 1000
    diversity_rows: int = 500
    num_samples: int = 10
    alphas: int = 30


def measure(
    system: System,
    dataset: DataSet,
    classifiers: Mapping[str, nn.Module],
    sizes: Sizes,
    *,
    inception: nn.Module | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Make all measures, as plain numbers; estimates are [value, standard error over test rows].

    Fréchet distances are in the classifiers' features, or in those of ``inception``.
    """
    oracles = classifiers if inception is None else dict.fromkeys(classifiers, inception)

    def distances(readings: evaluation.Readings, **asked: Any) -> evaluation.Frechet:
        """Compare generations with real rows, read anew where the features are Inception's."""
        obs = asked.pop("obs", test)
        if inception is None:
            return evaluation.frechet_of(readings, obs, classifiers)
        return evaluation.frechet(system, obs, oracles, seed=seed, **asked)

    test, labels = dataset.test, dataset.classes("test")
    read = partial(
        evaluation.read_generations, system, classifiers=classifiers, like=test, seed=seed
    )
    known = evaluation.classifier_accuracy(classifiers, test, labels)
    single = read(obs=test, features=True)
    coherence = evaluation.coherence_of(single, labels)
    prior = read(obs=Observations.blank(len(test)), subsets=[()], features=True)
    few, few_labels = test[: sizes.subset_rows], labels[: sizes.subset_rows]
    more = [s for k in range(2, len(test.names)) for s in combinations(test.names, k)]
    by_size = {1: coherence.mean()}
    if more:  # With two modalities, only one can be given.
        by_size |= evaluation.coherence_of(read(obs=few, subsets=more), few_labels).by_size()
    out: dict[str, Any] = {
        "test rows": len(test),
        "sizes": asdict(sizes),
        "classifiers": {name: accuracy.to_list() for name, accuracy in known.items()},
        "coherence": coherence.to_dict(),
        "coherence by inputs": {str(k): e.to_list() for k, e in by_size.items()},
        "joint coherence": evaluation.joint_coherence_of(prior).to_list(),
        "fid": distances(single).to_dict(),
        "joint fid": distances(prior, subsets=[()]).to_dict(),
        "fid of training rows": _real_fid(dataset, oracles),
    }
    out |= _latents(system, dataset, sizes, seed)
    out |= _diversity(system, dataset, classifiers, sizes, seed)
    if _has_private(system, test):
        out["private"] = {}
        options: dict[str, dict[str, Any]] = {
            f"alpha {a:g}": {"alpha": a} for a in _alphas(sizes.alphas)
        }
        if getattr(system.guide, "auxiliary_priors", None):
            options["auxiliary"] = {"private": "auxiliary"}
        for name, option in options.items():
            readings = read(obs=few, features=True, **option)
            distance = distances(readings, obs=few, **option).cross_mean()
            mean = evaluation.coherence_of(readings, few_labels).mean().to_list()
            out["private"][name] = {"coherence": mean, "fid": distance}
    return out


def _alphas(steps: int) -> list[float]:
    return [round(_LARGEST_ALPHA * (i + 1) / steps, 3) for i in range(steps)]


def _latents(system: System, dataset: DataSet, sizes: Sizes, seed: int) -> dict[str, Any]:
    """Classify latents by MMVAE+'s protocol, and by MoPoE's, with the means of 500 rows."""
    train, test = dataset.train[: sizes.probe_rows], dataset.test
    labels = dataset.classes("train")[: len(train)], dataset.classes("test")
    probe = partial(evaluation.latent_accuracy, system, train, test, *labels, seed=seed)
    return {
        "latents": probe().to_dict(),
        "latents by means of 500 rows": probe(mean=True, num_train=500).to_dict(),
    }


def _diversity(
    system: System,
    dataset: DataSet,
    classifiers: Mapping[str, nn.Module],
    sizes: Sizes,
    seed: int,
) -> dict[str, Any]:
    """Measure the diversity of generations, and that of real images of one class."""
    rows = dataset.test[: sizes.diversity_rows]
    found = evaluation.diversity(
        system, rows, classifiers, num_samples=sizes.num_samples, seed=seed
    )
    real = evaluation.real_diversity(
        dataset.test,
        dataset.classes("test"),
        classifiers,
        num_samples=sizes.num_samples,
        num_rows=len(rows),
        seed=seed,
    )
    of_data = {name: [e.to_list() for e in pair] for name, pair in real.items()}
    return {"diversity": found.to_dict(), "diversity of data": of_data}


def _real_fid(dataset: DataSet, classifiers: Mapping[str, nn.Module]) -> float:
    """Return the mean distance of equally many training and test rows, the best possible score."""
    num = min(len(dataset.train), len(dataset.test))
    pairs = [
        [evaluation.features_of(module, part[name][:num]) for part in (dataset.train, dataset.test)]
        for name, module in classifiers.items()
    ]
    return sum(evaluation.frechet_distance(a, b) for a, b in pairs) / len(pairs)


def pictures(system: System, dataset: DataSet, *, seed: int = 0) -> dict[str, Figure]:
    """Return name -> figure: the paper's 1, 6, 7 (draws from the prior), 8 and 9."""
    test, first = dataset.test, dataset.test.names[0]
    shared = "u" if _has_private(system, test) else "z"
    out = {
        "conditional": plotting.conditional_columns(system, test[:8], seed=seed),
        "prior": plotting.prior_samples(system, like=test[:500], num_samples=20),
    }
    if shared == "z":
        out["traversal-z"] = plotting.traversal(system, test[:1], "z", given=(first,))
    else:
        for target in test.names[1:]:
            out[f"grid-{target}"] = plotting.shared_private_grid(
                system, test[:8], test[8:16], source=first, target=target, seed=seed
            )
        of_w = test[:4]  # These rows give w, and the prior gives u.
        drawn = generate(system, of_w, test.names, 4, given=(), private=of_w, mean=True, seed=seed)
        out["private"] = plotting.samples(system, of_w, drawn)
    return out


def _has_private(system: System, obs: Observations) -> bool:
    return "u" in evaluation.draw_latents(system, obs[:1])
