"""MVAE on six views of a face: how well does each view predict the others?

These are figures 4 and 11 to 14 of Wu & Goodman 2018 (arXiv:1802.05335). A picture of CelebA, its
grey values, its edges, a mask of the face's parts, the picture with its right half black, and the
picture under a watermark are six modalities of one latent. The model reconstructs, finds edges and
landmarks, colours, fills in and removes watermarks, each by q(z | x_given). The paper has no
numbers for this; here are root mean square errors of every view given each other one.

    python -m ppl_mm.experiments.mvae.vision --device cuda

The release encodes no random subset and divides reconstructions by 6. This experiment follows the
paper's text: one random subset a step, and weights of 1.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import typer
from jaxtyping import Float
from torch import Tensor

from ppl_mm import data, generate, plotting, systems
from ppl_mm.batch.observations import Observations
from ppl_mm.evaluation import elbo, rmse
from ppl_mm.experiments import runner
from ppl_mm.experiments.options import Options
from ppl_mm.objectives import subset_terms
from ppl_mm.systems import System

__all__ = ["FIGURES", "SMOKE", "Config", "build", "filled_in", "load", "main", "train"]

FIGURES = {
    "views": (("image",), ("image", "edge", "mask")),
    "edges": (None, ("image", "edge", "mask")),
    "colours": (("gray",), ("image",)),
    "halves": (("obscured",), ("image",)),
    "watermarks": (("watermark",), ("image",)),
}
"""Picture -> the views that are given (None for all six), and the views that are generated.

``views`` is the paper's figure 4a, ``edges`` its figure 11, the others figures 4b to 4d and 12 to
14."""


@dataclass(frozen=True)
class Config(Options):
    """The options of one run.

    Attributes:
        epochs: The number of passes through the training rows; beta grows over a fifth of them.
        test_rows: The number of test rows for the measures, the first of the data set.
        train_rows: The number of training rows, the first of the data set; None takes all.
        shown: The number of test rows in each picture.
    """

    experiment: ClassVar[str] = "mvae.vision"
    of_measures: ClassVar[tuple[str, ...]] = ("test_rows", "shown")

    epochs: int = 100
    batch_size: int = 50
    lr: float = 1e-4
    test_rows: int = 2000
    train_rows: int | None = None
    shown: int = 8
    out: str = "runs/mvae_vision"

    @property
    def name(self) -> str:
        """The name of the files of the run."""
        return f"vision-{self.epochs}-{self.seed}"


SMOKE = Config(
    epochs=1,
    rows=500,
    batch_size=10,
    test_rows=4,
    train_rows=20,
    shown=2,
    device="cpu",
)


def main(config: Config, *, train_only: bool = False) -> dict[str, Any]:
    """Train, measure, write record, pictures and system; return the measures."""
    return runner.run(config, load, build, train, measure, train_only=train_only)


def load(config: Config) -> data.DataSet:
    """Load the six views."""
    return data.load("celeba_vision")


def build(config: Config, dataset: data.DataSet) -> System:
    """Build MVAE with the paper's networks and one random subset a step, untrained."""
    return systems.build("mvae", dataset.modalities, dataset.latent_dim, terms=subset_terms(1))


def train(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Train the system, from its checkpoint where there is one; return its record."""
    rows = dataset.train[: config.train_rows]
    annealing = round(0.2 * config.epochs)
    described = runner.train(system, rows, config, annealing_epochs=annealing)
    return described | {"data": dataset.origin, "train_rows": len(rows)}


def measure(system: System, dataset: data.DataSet, config: Config) -> dict[str, Any]:
    """Measure the ELBO, and every view's error given nothing, each view and all; draw pictures."""
    test = dataset.test[: config.test_rows]
    _draw(system, dataset.test[: config.shown], config)
    bound = elbo(system, test, seed=config.seed)
    names = test.names
    given = {"nothing": (), **{name: (name,) for name in names}, "everything": names}
    errors = {
        source: {name: _error(system, test, name, known) for name in names}
        for source, known in given.items()
    }
    return {
        "elbo": bound.mean().item(),
        "elbo se": (bound.std() / len(bound) ** 0.5).item(),
        "rmse": errors,
    }


def _error(system: System, rows: Observations, target: str, given: tuple[str, ...]) -> list[float]:
    others = [name for name in rows.names if name not in (target, *given)]
    found = rmse(system, rows.drop(*others), target, given)  # The other rows are not read.
    return [found.value, found.standard_error]


def filled_in(
    half: Float[Tensor, "*batch C H W"], whole: Float[Tensor, "*batch C H W"]
) -> Float[Tensor, "*batch C H W"]:
    """Put the left half of one picture beside the right half of another, (..., C, H, W).

    Example:
        >>> filled_in(torch.zeros(1, 1, 4), torch.ones(1, 1, 4))
        tensor([[[0., 0., 1., 1.]]])
    """
    middle = half.shape[-1] // 2
    return torch.cat([half[..., :middle], whole[..., middle:]], -1)


def _draw(system: System, rows: Observations, config: Config) -> None:
    """Draw a row for each test row in each picture: the truth, then the means at one draw of z."""
    for name, (known, targets) in FIGURES.items():
        given = known or rows.names
        drawn = generate(system, rows, targets, given=given, mean=True, seed=config.seed)
        if name == "halves":
            drawn = {"image": filled_in(rows["obscured"], drawn["image"][0].cpu())[None]}
        figure = plotting.samples(system, rows, drawn, given)
        plotting.save(figure, Path(config.out) / f"{config.name}-{name}.png")


run = runner.command_line(main, Config)

if __name__ == "__main__":
    typer.run(run)
