"""Measure the time to a held-out bound on PolyMNIST, with some or all of a mixture's components.

    PPL_MM_DATA=... python benchmarks/strata.py --out benchmarks/results/strata.json

The systems are MMVAE, MMVAE+ and MoPoE with K = 1 draw from each component, small convolutions and
32 latents (MMVAE+: 16 shared, 16 private). Each row of a batch draws from 1, s or all of the
components, which are chosen at random in every step; the estimate is unbiased in all three cases.
The settings of a system take turns, one epoch each, until each has had its seconds of training. The
held-out bound is the ELBO of the model, :func:`ppl_mm.evaluation.elbo`, whose own time does not
count. Each setting reaches a best bound; the target of a system is the lowest of these.
"""

import time
from functools import partial
from pathlib import Path
from typing import Any

import pyro
import torch
import typer
from timing import clock, setting, table, timer, write

from ppl_mm import Modality, Observations, data, likelihoods, networks, systems
from ppl_mm.evaluation import elbo
from ppl_mm.systems import System

Curve = list[tuple[float, float]]
"""Seconds of training, and the held-out bound then."""

SETTINGS: dict[str, tuple[tuple[int | None, ...], int]] = {
    "mmvae": ((1, 2, None), 5),
    "mmvae_plus": ((1, 2, None), 5),
    "mopoe": ((1, 4, None), 31),
}
"""The numbers of strata, and how many there are."""


class Run:
    """A system in training, with its curve of held-out bounds."""

    def __init__(self, name: str, strata: int | None, seed: int, threads: int) -> None:
        torch.manual_seed(seed)
        self.system = declared(name, strata)
        self.optimizer = torch.optim.Adam(self.system.parameters(), lr=1e-3, fused=True)
        self.seconds, self.steps, self.curve = 0.0, 0, Curve()
        self.timer = timer(threads)

    def epoch(self, rows: Observations, held_out: Observations, batch: int) -> None:
        """Train once through the rows, then measure."""
        start = self.timer()
        for index in torch.randperm(len(rows)).split(batch):
            self.optimizer.zero_grad()
            (self.system(rows[index]) / len(index)).backward()
            self.optimizer.step()
            self.steps += 1
        self.seconds += self.timer() - start
        self.curve.append((self.seconds, elbo(self.system, held_out).mean().item()))

    def reaches(self, target: float) -> float:
        """Return the seconds until the bound reaches the target, interpolated linearly."""
        before = (0.0, -float("inf"))
        for second, bound in self.curve:
            if bound >= target:
                if before[1] == -float("inf"):
                    return second
                share = (target - before[1]) / (bound - before[1])
                return before[0] + share * (second - before[0])
            before = (second, bound)
        return float("nan")


def declared(name: str, strata: int | None) -> System:
    """Return the system with small convolutions."""
    laplace = name.startswith("mmvae")
    encoder = partial(
        networks.ConvEncoder,
        event_shape=(3, 28, 28),
        layers=((8, 3, 2, 1), (16, 3, 2, 1), (32, 3, 2, 1)),
        hidden=(64,),
        bias=True,
        scale="softmax" if laplace else "exp",
    )
    decoder = partial(
        networks.ConvDecoder,
        start=(32, 4, 4),
        layers=((16, 3, 2, 1, 0), (8, 3, 2, 1, 1), (3, 3, 2, 1, 1)),
        bias=True,
    )
    modalities = [Modality(f"m{m}", likelihoods.Laplace(0.75), encoder, decoder) for m in range(5)]
    options: dict[str, Any] = {"strata": strata}
    if laplace:
        options["objective"] = "elbo"
    return systems.build(name, modalities, 16 if name == "mmvae_plus" else 32, **options)


def main(
    seconds: float = 40.0,
    num_train: int = 2000,
    num_held_out: int = 300,
    batch: int = 64,
    threads: int = 1,
    seed: int = 0,
    data_dir: str = "",
    out: str = "",
) -> None:
    """Train all settings, print the table, and write the record and its picture.

    Args:
        seconds: The seconds of training for each setting.
        num_train: The number of rows to train on.
        num_held_out: The number of rows for the bound.
        batch: The number of rows in a step.
        threads: The number of torch's threads.
        seed: The seed of parameters, order and noise.
        data_dir: The folder of MNIST's or PolyMNIST's files; the default is ``PPL_MM_DATA``.
        out: The file of the record; the picture has the same name.
    """
    torch.set_num_threads(threads)
    pyro.enable_validation(False)
    found = data.load(
        "polymnist", folder=data_dir or None, num_train=num_train, num_test=num_held_out
    )
    record: dict[str, Any] = {
        "title": "Strata",
        "setting": setting(
            threads, seed, seconds=seconds, num_train=num_train, num_held_out=num_held_out,
            batch=batch, data=found.origin,
        ),
        "curves": {},
    }  # fmt: skip
    rows = []
    for name, (choices, every) in SETTINGS.items():
        runs = {_title(s, every): Run(name, s, seed, threads) for s in choices}
        started = time.perf_counter()
        while any(run.seconds < seconds for run in runs.values()):
            for run in runs.values():
                if run.seconds < seconds:
                    run.epoch(found.train, found.test, batch)
        target = min(max(bound for _, bound in run.curve) for run in runs.values())
        record["curves"][name] = {title: run.curve for title, run in runs.items()}
        for title, run in runs.items():
            rows.append(
                [
                    f"{name}, {title}",
                    f"{1e3 * run.seconds / run.steps:.1f}",
                    f"{run.steps}",
                    f"{max(bound for _, bound in run.curve):.1f}",
                    f"{target:.1f}",
                    f"{run.reaches(target):.1f}",
                ]
            )
        record["setting"][f"{name}, wall seconds"] = round(time.perf_counter() - started)
    columns = ["system, strata", "a step, ms", "steps", "best bound", "target", "seconds to it"]
    record["tables"] = [table(f"Time to a held-out bound, {clock(threads)}", columns, rows)]
    if out:
        record["picture"] = Path(out).with_suffix(".png").name
        _draw(record["curves"], Path(out).with_suffix(".png"))
    write(record, out)


def _title(strata: int | None, every: int) -> str:
    return f"all {every}" if strata is None else f"{strata} of {every}"


def _draw(curves: dict[str, dict[str, Curve]], path: Path) -> None:
    """Draw the held-out bound against seconds, with one panel for each system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, runs) in zip(
        figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True
    ):
        for mark, (title, curve) in zip("osv", runs.items(), strict=False):
            axes.plot(*zip(*curve, strict=True), marker=mark, markersize=3, label=title)
        axes.set_title(name)
        axes.set_xlabel("seconds of training")
        axes.set_ylabel("held-out ELBO, nats")
        best = max(bound for curve in runs.values() for _, bound in curve)
        first = max(curve[0][1] for curve in runs.values())
        if best > first:  # leaves out the first epoch, which would fill the picture
            axes.set_ylim(first - 0.2 * (best - first), best + 0.05 * (best - first))
        axes.legend(frameon=False)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    typer.run(main)
