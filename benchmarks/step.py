"""One training step of every system against the same computation by hand, and against ``multivae``.

    python benchmarks/step.py --out benchmarks/results/step.json

Two modalities, a 784-pixel image and a label, and five of 784 pixels; two hidden layers of 512, 64
latents (MMVAE+: 32 shared, 32 private), batch 128, fused Adam. Both sides have the same parameters
and data, and their loss and gradients for the same noise are compared before anything is timed.
Then their steps take turns in one process. Where the extra ``benchmarks`` is installed, the same
system of the package ``multivae`` takes its turn too.

Two more tables: MMVAE's and MVAE's step on rows that lack half of their modalities, at random; and
what the library adds where networks of width 8 take next to no time, the part of a step that does
not grow with them.
"""

import copy
from collections.abc import Callable
from typing import Any

import by_hand
import multivae_models
import pyro
import torch
import typer
from declared import SYSTEMS, data, declared, image_and_label
from timing import (
    Step,
    alternate,
    clock,
    optimised,
    peak_memory,
    ratios,
    setting,
    spread,
    table,
    write,
)
from torch import Tensor

from ppl_mm import Observations
from ppl_mm.systems import System

Values = dict[str, Tensor]
SIDES = ("by hand", "ppl_mm", "multivae")


def ours(system: System, obs: Observations) -> Step:
    """A step of the library's side."""
    return optimised(system.parameters(), lambda: system(obs) / len(obs))


def hand(name: str, system: System, xs: Values) -> Step:
    """A step of the hand-written side."""
    loss = by_hand.by_hand(name, system)
    return optimised(system.parameters(), lambda: loss(xs))


def packaged(name: str, xs: Values, hidden: tuple[int, ...], latent_dim: int) -> Step:
    """A step of ``multivae``'s."""
    model, loss = multivae_models.loss(name, xs, hidden, latent_dim)
    return optimised((p for p in model.parameters() if p.requires_grad), loss)


def compare(name: str, system: System, xs: Values) -> dict[str, float]:
    """Relative differences of loss and gradients for the same noise; equal, or an error."""
    other = copy.deepcopy(system)  # the same parameters
    system.zero_grad()
    torch.manual_seed(1)
    loss = system(Observations(xs)) / len(next(iter(xs.values())))
    loss.backward()
    torch.manual_seed(1)
    by_hands = by_hand.by_hand(name, other)(xs)
    by_hands.backward()
    worst = 0.0
    for p, q in zip(system.parameters(), other.parameters(), strict=True):
        own, theirs = (torch.zeros_like(p) if r.grad is None else r.grad for r in (p, q))
        if theirs.any() or own.any():
            worst = max(worst, ((own - theirs).norm() / theirs.norm()).item())
    system.zero_grad()
    found = {"loss": abs(loss.item() / by_hands.item() - 1), "gradient": worst}
    if not (found["loss"] < 1e-5 and found["gradient"] < 1e-2):
        raise SystemExit(f"{name}: not the same computation, relative differences {found}.")
    return found


def sides(
    name: str, xs: Values, hidden: tuple[int, ...], latent_dim: int
) -> dict[str, Callable[[], Step]]:
    """How to build the step of each side that there is, from the same seed."""

    def build(side: str) -> Step:
        torch.manual_seed(0)
        if side == "multivae":
            return packaged(name, xs, hidden, latent_dim)
        system = declared(name, xs, hidden, latent_dim)
        return ours(system, Observations(xs)) if side == "ppl_mm" else hand(name, system, xs)

    there = {"by hand": by_hand.written(name), "multivae": multivae_models.available(name)}
    return {s: (lambda s=s: build(s)) for s in SIDES if there.get(s, True)}


def half_missing(xs: Values) -> Observations:
    """Each value absent with probability 1/2."""
    return Observations(xs, {n: torch.rand(len(x)) > 0.5 for n, x in xs.items()})


def pairs(obs: Observations) -> float:
    """The share of (expert, decoder) pairs that a mixture of experts needs of all."""
    held = torch.stack([obs.present[n] for n in obs.names]).float()
    return (held.sum(0) ** 2).mean().item() / len(held) ** 2


def main(
    rounds: int = 40,
    rounds_of_five: int = 10,
    warmup: int = 2,
    threads: int = 1,
    seed: int = 0,
    batch: int = 128,
    pixels: int = 784,
    hidden: int = 512,
    latent_dim: int = 64,
    only: str = "",
    out: str = "",
) -> None:
    """Check that both sides compute the same, time them, print the tables, write the record.

    Args:
        rounds: Rounds of two modalities.
        rounds_of_five: Rounds of five.
        warmup: Rounds before those that count.
        threads: Of torch.
        seed: Of data and parameters.
        batch: Rows of a batch.
        pixels: Of an image.
        hidden: Width of both hidden layers.
        latent_dim: Z.
        only: One system of the list; all by default.
        out: The record's file.
    """
    torch.set_num_threads(threads)
    pyro.enable_validation(False)
    sizes = {"batch": batch, "pixels": pixels, "hidden": hidden, "latent_dim": latent_dim}
    record: dict[str, Any] = {
        "title": "One training step",
        "setting": setting(
            threads, seed, rounds=rounds, rounds_of_five=rounds_of_five, sizes=sizes
        ),
        "tables": [],
        "same computation": {},
        "milliseconds": {},
        "MiB": {},
    }
    names = [s for s in SYSTEMS if only in ("", s)]
    layers = (hidden, hidden)
    torch.manual_seed(seed)
    scenes = {
        "two": (image_and_label(batch, pixels), rounds),
        "five": (data(5, batch, pixels), rounds_of_five),
    }
    for number, (xs, count) in scenes.items():
        rows = []
        for name in names:
            key = f"{number}, {name}"
            builders = sides(name, xs, layers, latent_dim)
            memory = {side: peak_memory(build, threads) for side, build in builders.items()}
            if "by hand" in builders:
                system = declared(name, xs, layers, latent_dim)
                record["same computation"][key] = compare(name, system, xs)
            steps = {side: build() for side, build in builders.items()}
            times = alternate(steps, count, warmup, threads)
            record["milliseconds"][key], record["MiB"][key] = times, memory
            rows.append(_row(name, times, memory))
        columns = ["system", *(f"{s}, ms" for s in SIDES)]
        columns += ["ppl_mm / by hand", "ppl_mm / multivae", *(f"{s}, MiB" for s in SIDES)]
        record["tables"].append(
            table(f"A step, {number} modalities, {clock(threads)}", columns, rows)
        )
    record["tables"].append(
        _missing(record, scenes["five"], names, layers, latent_dim, warmup, threads, seed)
    )
    record["tables"].append(_fixed(record, names, batch, latent_dim, rounds, warmup, threads))
    write(record, out)


def _row(name: str, times: dict[str, list[float]], memory: dict[str, float]) -> list[str]:
    row = [name]
    row += [spread(times[s], 1) if s in times else "" for s in SIDES]
    for other in ("by hand", "multivae"):
        row.append(spread(ratios(times["ppl_mm"], times[other])) if other in times else "")
    return row + [f"{memory[s]:.0f}" if s in memory else "" for s in SIDES]


def _missing(
    record: dict[str, Any],
    scene: tuple[Values, int],
    names: list[str],
    layers: tuple[int, ...],
    latent_dim: int,
    warmup: int,
    threads: int,
    seed: int,
) -> dict[str, Any]:
    """The table of rows that lack half of their modalities."""
    xs, count = scene
    torch.manual_seed(seed)
    complete, half = Observations(xs), half_missing(xs)
    rows = []
    for name in names:
        if name not in ("mvae", "mmvae iwae", "mmvae dreg", "mmvae_plus dreg"):
            continue
        system = declared(name, xs, layers, latent_dim)
        steps = {"complete": ours(system, complete), "half": ours(system, half)}
        times = alternate(steps, count, warmup, threads)
        record["milliseconds"][f"five, {name}, missing"] = times
        share = f"{pairs(half):.2f}" if name.startswith("mmvae") else ""
        ratio = spread(ratios(times["half"], times["complete"]))
        rows.append([name, spread(times["complete"], 1), spread(times["half"], 1), ratio, share])
    columns = ["system", "complete, ms", "half missing, ms", "ratio", "share of decoded pairs"]
    title = f"A step of ppl_mm, five modalities, half of them missing, {clock(threads)}"
    return table(title, columns, rows)


def _fixed(
    record: dict[str, Any],
    names: list[str],
    batch: int,
    latent_dim: int,
    rounds: int,
    warmup: int,
    threads: int,
) -> dict[str, Any]:
    """The table of networks of width 8."""
    rows = []
    for number, xs in (("two", image_and_label(batch, 8)), ("five", data(5, batch, 8))):
        for name in names:
            if not by_hand.written(name):
                continue
            builders = sides(name, xs, (8, 8), latent_dim)
            steps = {side: builders[side]() for side in ("by hand", "ppl_mm")}
            times = alternate(steps, rounds, warmup, threads)
            record["milliseconds"][f"{number}, {name}, width 8"] = times
            own, theirs = times["ppl_mm"], times["by hand"]
            extra = [a - b for a, b in zip(own, theirs, strict=True)]
            rows.append([f"{number}, {name}", *(spread(t, 1) for t in (theirs, own, extra))])
    columns = ["modalities, system", "by hand, ms", "ppl_mm, ms", "difference, ms"]
    return table(f"A step with networks of width 8, {clock(threads)}", columns, rows)


if __name__ == "__main__":
    typer.run(main)
