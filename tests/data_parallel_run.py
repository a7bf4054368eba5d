"""Train small systems and save their parameters; alone, or in several processes by torchrun.

python data_parallel_run.py OUT STARTED

What is saved begins with OUT; STARTED is the checkpoint of a run in one process, to go on from.
"""

import atexit
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from every_system import build, complete, kinds_of
from linear_gaussian import LinearGaussian
from linear_gaussian_shared import SharedShift

from ppl_mm import Observations, System, data, fit, guides, objectives, systems
from ppl_mm.objectives import Term, WithMMD

EPOCHS = 2
RESUMED = "iwae"


@dataclass(frozen=True)
class Case:
    """What is trained: a system, its rows, and options of ``fit``.

    Eleven rows in batches of five divide unevenly and leave one row; small shares often lack a
    modality, and some rows hold nothing.
    """

    system: Callable[[], System]
    rows: Callable[[], Observations | list[Observations]]
    options: dict[str, Any] = field(default_factory=dict)


def observed(*kinds: str, empty: bool = True) -> Observations:
    """Rows that lack a half of everything; without ``empty`` no row lacks all."""
    present = torch.rand(len(kinds), 11) > 0.5
    present[0] |= ~(present.any(0) | empty)
    return Observations(complete(11, *kinds).values, dict(zip(kinds, present, strict=True)))


def in_files(rows: Observations) -> Observations:
    """As rows that are read when they are asked for."""
    arrays = {name: x.numpy() for name, x in rows.values.items()}
    return data.MemoryMapped(arrays, rows.present)


def of_system(name: str) -> Case:
    """A published system. What MEME draws for rows without anything is each process's own."""
    kinds = kinds_of(name)
    return Case(partial(build, name), partial(observed, *kinds, empty=name != "meme"))


def toy(objective: Callable[[], objectives.Objective], **options: Any) -> Case:
    """Linear decoders and encoders under any objective."""

    def system() -> System:
        plain = LinearGaussian(spread=1.5)
        guide = guides.ProductOfExperts(plain.modalities, plain.latent_dim)
        return plain.system(guide, objective())

    def rows() -> Observations:
        present = torch.rand(3, 11, generator=torch.Generator().manual_seed(2)) > 0.5
        full = LinearGaussian().sample(11)
        return Observations(full.values, dict(zip("abc", present, strict=True)))

    return Case(system, rows, options)


def with_objective(name: str, change: Callable[[Any], objectives.Objective]) -> Case:
    """A system under another objective."""

    def system() -> System:
        own = build(name)
        return System(own.model, own.guide, change(own.objective))

    return Case(system, of_system(name).rows)


def shared_system() -> System:
    """A latent that all rows share."""
    plain = SharedShift()
    return System(plain.model(), plain.guide(), objectives.ELBOTerms(objectives.subset_terms()))


def alike(products: torch.Tensor) -> torch.Tensor:
    """Impartial weights that every process agrees on, whatever its rows."""
    return torch.ones(len(products))


def cases() -> dict[str, Case]:
    """Every system, and what no system shows."""
    a_given_b = [Term(("a", "b"), ("a",), ("b",)), Term(("a",), ("a",))]
    own = ("bernoulli", "categorical", "normal")
    return {
        **{name: of_system(name) for name in sorted(systems.available())},
        "row_means": toy(partial(objectives.ELBOTerms, a_given_b, rows="require", mean="rows")),
        "iwae": toy(partial(objectives.IWAE, 3)),
        "impartial": toy(partial(objectives.IWAE, 2), impartial=alike),
        "adam": toy(objectives.IWAE, optimizer=partial(torch.optim.AdamW, lr=0.02)),
        "dreg": with_objective("mmvae", lambda _: objectives.DReG(3)),
        "some_strata": Case(
            lambda: build("mopoe", strata=2), of_system("mopoe").rows, {"batch_size": 4}
        ),
        "random_component": with_objective(
            "mopoe", lambda _: objectives.ELBOTerms(objectives.subset_terms(2))
        ),
        "median_mmd": with_objective(
            "mmvae_plus", partial(WithMMD, mmd_weight=20.0, kernel="median")
        ),
        "analytic_mmd": with_objective(
            "mvae", partial(WithMMD, mmd_weight=20.0, estimator="analytic")
        ),
        "stages": Case(
            lambda: build("telbo", first_stage=1), of_system("telbo").rows, {"batch_size": 2}
        ),
        "streams": Case(
            lambda: build("svae", unpaired="disjoint"),
            lambda: data.streams(complete(11), 0.3, unpaired="disjoint"),
        ),
        "files": Case(partial(build, "mvae"), lambda: in_files(observed(*own))),
        "shared": Case(shared_system, toy(objectives.IWAE).rows),
        "absent": Case(partial(build, "mvae"), lambda: observed(*own).drop("normal")),
    }


def train(case: Case, out: str, **options: Any) -> None:
    """Train it and save the parameters and losses to OUT.RANK."""
    torch.set_default_dtype(torch.float64)
    rank = int(os.environ.get("RANK", "0"))
    torch.manual_seed(rank)  # all start from the parameters of the first
    system = case.system()
    torch.manual_seed(2)
    rows = case.rows()
    settings: dict[str, Any] = {
        "epochs": EPOCHS,
        "batch_size": 5,
        "optimizer": partial(torch.optim.SGD, lr=0.01, momentum=0.9),
        "clip_norm": 5.0,
        "device": "cpu",
        "precision": "64-true",
        "progress": False,
    }
    with warnings.catch_warnings():  # the case "absent" is one in which no row holds a modality
        warnings.filterwarnings("ignore", "fit: no training row")
        result = fit(system, rows, **{**settings, **case.options, **options})
    losses = torch.tensor([row["loss"] for row in result.history])
    torch.save({"state": result.best_state, "losses": losses}, f"{out}.{rank}")


def write_threads(path: Path) -> None:
    """The names of the process's threads, a line each."""
    path.write_text("".join(each.read_text() for each in Path("/proc/self/task").glob("*/comm")))


def main(out: str, started: str) -> None:
    """All cases; a run that stops and leaves a checkpoint; one that goes on from ``started``."""
    atexit.register(write_threads, Path(f"{out}.threads.{os.environ['RANK']}"))
    torch.set_num_threads(1)
    for name, case in cases().items():
        train(case, f"{out}.{name}")
    stopped = cases()[RESUMED]
    train(stopped, f"{out}.stopped", checkpoint=f"{out}.checkpoint")
    train(stopped, f"{out}.resumed", epochs=2 * EPOCHS, checkpoint=started, resume=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
