"""What each system is good at, on the same data with the same networks: a help in choosing one.

    python benchmarks/systems.py --out benchmarks/results/systems.json

Every system learns the top half, the bottom half and the label of digits for 30 epochs, with one
seed, and is asked for labels, for coherent draws, and for the likelihood of complete rows. With one
seed and one small data set, differences below 0.03 in a share mean nothing.

A run that is not in ``--folder`` is trained there first.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import typer
from likelihood import OWN, trained
from timing import setting, table, write
from torch import Tensor, nn

from ppl_mm import data, evaluation, log_likelihood, systems
from ppl_mm.evaluation import UnreliableLikelihoodWarning
from ppl_mm.programs.answerable import conditioned_on
from ppl_mm.runs import Run

HALVES = ("top", "bottom")
COLUMNS = [
    "system",
    "label from both halves",
    "label from the top",
    "halves from one modality agree",
    "prior draws agree",
    "log p, nats",
    "k < 0.7",
]


class OneHot(nn.Module):
    """A drawn label as its own reading."""

    def forward(self, label: Tensor) -> Tensor:
        """Return logits (N, 10)."""
        return 10.0 * nn.functional.one_hot(label.long(), 10).to(torch.float32)


def measured(run: Run, oracles: dict[str, nn.Module], rows: int) -> list[str]:
    """The cells of one system; a question that it does not answer is a dash."""
    system, test = run.system, run.dataset.test
    fixed = conditioned_on(system.model)
    names = [m.name for m in system.modalities]
    labels = test["label"] if "label" in test.names else torch.zeros(len(test))
    few = test[:rows]

    def cross() -> float:
        found = evaluation.cross_coherence(
            system,
            few,
            labels[:rows],
            {n: oracles[n] for n in HALVES},
            [(n,) for n in (*HALVES, "label")],
        )
        return found.mean().value

    def likelihood() -> list[str]:
        target = [n for n in names if n not in fixed]
        found = log_likelihood(system, few[: max(2, rows // 3)], target, fixed)
        good = (found.pareto_k < 0.7).double().mean()
        return [f"{found.mean():.1f}", f"{good:.0%}"]

    return [
        run.config.system,
        _share(lambda: evaluation.accuracy(system, test, "label", HALVES)),
        _share(lambda: evaluation.accuracy(system, test, "label", "top")),
        _share(cross),
        _share(lambda: evaluation.joint_coherence(system, oracles, 10 * rows).value),
        *likelihood(),
    ]


def _share(ask: Callable[[], float]) -> str:
    try:
        return f"{ask():.2f}"
    except ValueError:  # a modality that this system lacks or conditions on
        return "-"


def main(
    out: str = "",
    folder: Path = Path("runs/likelihood"),
    rows: int = 200,
    epochs: int = 30,
    only: str = "",
) -> None:
    """Train and measure every system, or those that ``only`` names with commas between.

    Args:
        out: Where to write the record.
        folder: Where the trained runs are.
        rows: The number of test rows that are generated from; a third of them for likelihoods.
        epochs: The epochs of a run that is trained here.
        only: The systems.
    """
    torch.set_num_threads(1)
    record: dict[str, Any] = {
        "title": "What each system is good at",
        "setting": setting(1, 0, rows=rows, epochs=epochs),
    }
    digits = data.digits()
    oracles: dict[str, Any] = evaluation.train_classifiers(
        digits, list(HALVES), epochs=epochs, progress=False
    )
    oracles["label"] = OneHot()
    found = []
    for name in only.split(",") if only else systems.available():
        options = {"epochs": epochs} | OWN.get(name, {})
        run = trained(folder / "digits" / f"{name}-0-0", name, "digits", options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnreliableLikelihoodWarning)
            found.append(measured(run, oracles, rows))
    record["tables"] = [table("digits, 397 test rows", COLUMNS, found)]
    write(record, out)


if __name__ == "__main__":
    typer.run(main)
