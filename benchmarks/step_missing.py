"""Time one training step on rows that lack half of their modalities, at random.

    python benchmarks/step_missing.py --out benchmarks/results/step-missing.json

Data, networks and systems are those of step.py. Steps on complete rows take turns with them. An
eager step gives networks the rows that count, a recorded one all rows, with masks among its inputs.
``fit(step="auto")`` counts floating-point operations after the first 20 steps of a run, and takes
the recorded one where they are few; in runs of 20,000 steps or more it takes the faster.
"""

import statistics
from typing import Annotated, Any

import multivae_models
import pyro
import torch
import typer
from declared import SYSTEMS, declared
from step import PEER, WIDTHS, Values, ours, packaged, scene
from timing import Step, alternate, clock, ratios, setting, spread, table, write

from ppl_mm import Observations

SIDES = {
    "eager": "complete, eager",
    "recorded": "complete, recorded (auto)",
    "half, eager": "half missing, eager",
    "half, recorded": "half missing, recorded",
    "half, auto": "half missing, auto",
}
UNRECORDED = {"cmmd": 2, "svae": 3}  # from so many modalities on, a step reads who holds what
# Those that multivae trains on such rows; its MoPoE takes no row that lacks everything.
WITH_MASKS = ("mvae", "mmvae iwae", "mmvae dreg", "mmvae_plus iwae", "mmvae_plus dreg")


def half_missing(xs: Values) -> Observations:
    """Mark each value as missing with probability 1/2."""
    return Observations(xs, {n: torch.rand(len(x)) > 0.5 for n, x in xs.items()})


def pairs(obs: Observations) -> float:
    """Return the share of all (expert, decoder) pairs that a mixture of experts computes."""
    held = torch.stack([obs.present[n] for n in obs.names]).float()
    return (held.sum(0) ** 2).mean().item() / len(held) ** 2


def sides(
    name: str, xs: Values, half: Observations, layers: tuple[int, ...], latent_dim: int
) -> dict[str, Step]:
    """Return the steps that take turns."""
    found: dict[str, Step] = {}
    for side in SIDES:
        if side != "half, recorded" or len(xs) < UNRECORDED.get(name, len(xs) + 1):
            torch.manual_seed(0)
            obs = half if side.startswith("half") else Observations(xs)
            system = declared(name, xs, layers, latent_dim)
            found[side] = ours(system, obs, side.removeprefix("half, "))
    if name in WITH_MASKS and multivae_models.available(name):
        torch.manual_seed(0)
        found[PEER] = packaged(name, xs, layers, latent_dim, dict(half.present))
    return found


def main(
    rounds: int = 40,
    rounds_of_five: int = 10,
    warmup: int = 2,
    threads: int = 1,
    seed: int = 0,
    batch: int = 128,
    pixels: int = 784,
    width: Annotated[list[int], typer.Option()] = WIDTHS,
    latent_dim: int = 64,
    modalities: Annotated[list[int], typer.Option()] = [2, 5],  # noqa: B006
    only: Annotated[list[str], typer.Option()] = [],  # noqa: B006
    out: str = "",
) -> None:
    """Time the steps, print the tables and write the record; the options are those of step.py."""
    torch.set_num_threads(threads)
    pyro.enable_validation(False)
    sizes = {"batch": batch, "pixels": pixels, "width": width, "latent_dim": latent_dim}
    record: dict[str, Any] = {
        "title": "One training step, rows that miss half",
        "setting": setting(
            threads, seed, rounds=rounds, rounds_of_five=rounds_of_five, sizes=sizes
        ),
        "tables": [],
        "milliseconds": {},
    }
    for number in modalities:
        count = rounds if number == 2 else rounds_of_five
        for each in width:
            torch.manual_seed(seed)
            xs = scene(number, batch, each, pixels)
            half, rows = half_missing(xs), []
            for name in only or SYSTEMS:
                steps = sides(name, xs, half, (each, each), latent_dim)
                times = alternate(steps, count, warmup, threads)
                record["milliseconds"][f"{number}, {name}, width {each}"] = times
                rows.append(_row(name, times, f"{pairs(half):.2f}"))
            columns = ["system", *(f"{label}, ms" for label in SIDES.values())]
            columns += ["half missing, multivae, ms"]
            columns += ["half missing, auto / complete, recorded"]
            columns += ["auto / the faster", "auto / multivae", "share of decoded pairs"]
            title = f"{number} modalities, half of them missing, width {each}, {clock(threads)}"
            record["tables"].append(table(title, columns, rows))
            write(record, out)  # keeps the tables so far if a later one fails


def _row(name: str, times: dict[str, list[float]], share: str) -> list[str]:
    def ratio(side: str, other: str) -> str:
        there = side in times and other in times
        return spread(ratios(times[side], times[other])) if there else ""

    there = [side for side in ("half, eager", "half, recorded") if side in times]
    best = min(there, key=lambda side: statistics.median(times[side]))
    shown = [spread(times[s], 1) if s in times else "" for s in (*SIDES, PEER)]
    auto = [ratio("half, auto", other) for other in ("recorded", best, PEER)]
    return [name, *shown, *auto, share * name.startswith("mmvae")]


if __name__ == "__main__":
    typer.run(main)
