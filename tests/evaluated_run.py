"""Likelihoods and measures of a small system, in one process or in two.

Process r saves what it finds as OUT.r.
"""

import warnings
from typing import Any
from unittest import mock

import torch
from linear_gaussian import LinearGaussian
from torch import nn

from ppl_mm import Observations, System, evaluation, guides, log_likelihood, objectives, processes
from ppl_mm.likelihood import refined, sampling

NUM_ROWS = 13

QUESTIONS: dict[str, dict[str, Any]] = {
    "joint": {},
    "conditional": {"target": "a", "given": ("b", "c")},
    "by_prior": {"target": "a", "given": "b", "denominator": "prior"},
    "doubled": {"target_standard_error": 0.01, "max_samples": 800},
    "unrefined": {"refine": "none"},
    "unrefined_conditional": {"refine": "none", "target": "a", "given": ("b", "c")},
    "unrefined_doubled": {"refine": "none", "target_standard_error": 0.05, "max_samples": 800},
}


def rows() -> Observations:
    """Rows that lack a half of everything; the first holds nothing, and two are equal."""
    present = torch.rand(3, NUM_ROWS, generator=torch.Generator().manual_seed(2)) > 0.5
    present[:, 0], present[:, 1:3] = False, True
    values = LinearGaussian().sample(NUM_ROWS).values
    for x in values.values():
        x[2] = x[1]
    return Observations(values, dict(zip("abc", present, strict=True)))


def linear() -> System:
    """A system whose guide is not exact."""
    plain = LinearGaussian(spread=1.5)
    guide = guides.ProductOfExperts(plain.modalities, plain.latent_dim)
    return plain.system(guide, objectives.IWAE())


def answers(system: System) -> dict[str, Any]:
    """What is estimated of each question, and what measures find."""
    with mock.patch.object(sampling, "_DRAWS_AT_ONCE", 400):  # four rows a block
        return _answers(system)


def _answers(system: System) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, options in QUESTIONS.items():
        result = log_likelihood(system, rows(), num_samples=100, seed=3, **options)
        error = torch.tensor(result.summary()["monte_carlo_error"], dtype=torch.float64)
        columns = {"value": result.value, "high": result.high, "draws": result.draws}
        columns |= {"stage": result.refinement, "error": error}
        found[name] = (columns, result.log_weights, result.row_ids)
    classifier = Reader(3, 4, bias=False)
    with torch.no_grad():
        classifier.weight.copy_(torch.arange(12.0).reshape(4, 3).sin())
    whole, options = LinearGaussian().sample(NUM_ROWS), {"batch_size": 2, "seed": 3}
    read = (system, whole, {"a": classifier}, ["b", ()])
    found["readings"] = evaluation.read_generations(*read, **options).predictions
    found["diversity"] = evaluation.diversity(*read, num_samples=3, **options).distances
    found["elbo"] = evaluation.elbo(system, rows(), **options)
    found["means"] = evaluation.predict(system, whole, "a", **options)
    found["averages"] = evaluation.predict(system, whole, "a", num_samples=100, **options)
    return found


class Reader(nn.Linear):
    """A classifier whose features are its logits."""

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """The logits."""
        return self(x)


def refined_rows(system: System) -> int:
    """How many rows this process refines for a likelihood of all."""
    counts, own = [], refined.Refined.__init__

    def count(self: Any, path: Any, keys: Any, *rest: Any) -> None:
        counts.append(len(keys))
        own(self, path, keys, *rest)

    refined.Refined.__init__ = count  # type: ignore[method-assign]
    try:
        log_likelihood(system, rows(), num_samples=100)
    finally:
        refined.Refined.__init__ = own  # type: ignore[method-assign]
    return sum(counts)


def one_of_two(rank: int, out: str) -> None:
    """Everything together; then one process by itself, inside ``alone`` and without it."""
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    store = f"file://{out}.store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    system = linear()
    processes._WAIT = 120.0
    found = {"answers": answers(system), "together": refined_rows(system)}
    processes._WAIT = 0.1
    if rank == 0:
        with processes.alone():
            found["alone"] = refined_rows(system)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found["unasked"] = refined_rows(system)
        found["told"] = [str(w.message) for w in told]
    torch.save(found, f"{out}.{rank}")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
