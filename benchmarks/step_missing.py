"""Time one training step on rows that lack half of their modalities, at random.

    python benchmarks/step_missing.py --out benchmarks/results/step-missing.json

Data, networks and systems are those of step.py. Steps on complete rows take turns with them. An
eager step gives networks the rows that count, a recorded one all rows, with masks among its inputs.
``fit(step="auto")`` counts floating-point operations of both after the first 20 steps of a run, and
takes the recorded one where it has few more; in runs of 20,000 steps or more it takes the faster.
"""

import statistics

import multivae_models
import torch
import typer
from declared import SYSTEMS, declared
from scenes import Plan, Values, command
from step import PEER, ours, packaged
from timing import Step, alternate, clock, ratios, spread, table, write

from ppl_mm import Observations

SIDES = {
    "eager": "complete, eager",
    "recorded": "complete, recorded (auto)",
    "half, eager": "half missing, eager",
    "half, recorded": "half missing, recorded",
    "half, auto": "half missing, auto",
}
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
        torch.manual_seed(0)
        obs = half if side.startswith("half") else Observations(xs)
        system = declared(name, xs, layers, latent_dim)
        found[side] = ours(system, obs, side.removeprefix("half, "))
    if name in WITH_MASKS and multivae_models.available(name):
        torch.manual_seed(0)
        found[PEER] = packaged(name, xs, layers, latent_dim, dict(half.present))
    return found


def measure(plan: Plan) -> None:
    """Time the steps, print the tables and write the record."""
    record = plan.record("One training step, rows that miss half") | {"milliseconds": {}}
    columns = ["system", *(f"{label}, ms" for label in SIDES.values())]
    columns += ["half missing, multivae, ms"]
    columns += ["half missing, auto / complete, recorded"]
    columns += ["auto / the faster", "auto / multivae", "share of decoded pairs"]
    for number, width, xs, rounds in plan.scenes():
        half, rows = half_missing(xs), []
        for name in plan.only or SYSTEMS:
            steps = sides(name, xs, half, (width, width), plan.latent_dim)
            times = alternate(steps, rounds, plan.warmup, plan.threads)
            record["milliseconds"][f"{number}, {name}, width {width}"] = times
            rows.append(_row(name, times, f"{pairs(half):.2f}"))
        title = f"{number} modalities, half of them missing, width {width}, {clock(plan.threads)}"
        record["tables"].append(table(title, columns, rows))
        write(record, plan.out)  # keeps the tables so far if a later one fails


def _row(name: str, times: dict[str, list[float]], share: str) -> list[str]:
    def ratio(side: str, other: str) -> str:
        there = side in times and other in times
        return spread(ratios(times[side], times[other])) if there else ""

    ways = ("half, eager", "half, recorded")
    best = min(ways, key=lambda side: statistics.median(times[side]))
    shown = [spread(times[s], 1) if s in times else "" for s in (*SIDES, PEER)]
    auto = [ratio("half, auto", other) for other in ("recorded", best, PEER)]
    return [name, *shown, *auto, share * name.startswith("mmvae")]


main = command(measure)

if __name__ == "__main__":
    typer.run(main)
