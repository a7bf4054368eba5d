"""Compare all systems on the same data with the same networks, as a help in choosing one.

    python benchmarks/systems.py --out benchmarks/results/systems.json

Every system is trained on the top half, the bottom half and the label of digits for 30 epochs, with
one seed. Labels, coherent draws and the likelihood of complete rows are then measured. With one
seed and one small data set, differences below 0.03 in a share mean nothing.

A run that is missing in ``--folder`` is trained there first.
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
    """A classifier that reads a drawn label as the label itself."""

    def forward(self, label: Tensor) -> Tensor:
        """Return logits (N, 10)."""
        return 10.0 * nn.functional.one_hot(label.long(), 10).to(torch.float32)


def measured(run: Run, oracles: dict[str, nn.Module], rows: int) -> list[str]:
    """Return the cells of one system, with a dash for each question that it does not answer."""
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
    except ValueError:  # the system lacks the modality, or conditions on it
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
        out: The file of the record.
        folder: The folder of the trained runs.
        rows: The number of test rows for draws; likelihoods use a third of them.
        epochs: The number of epochs of a run that is trained here.
        only: The systems to measure; the default is all.
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
