"""Time one training step of every system, the same step written by hand, and that of ``multivae``.

    python benchmarks/step.py --out benchmarks/results/step.json
    python benchmarks/step.py --compile --only mvae --out benchmarks/results/step-compiled.json

The data are an image of 784 pixels and a label, or five images of 784 pixels. Encoders and decoders
have two hidden layers. At width 8 the images have 8 pixels, and the networks take almost no time.
There are 64 latents (MMVAE+: 32 shared, 32 private), the batch size is 128, and the optimiser is
fused Adam. All sides have the same parameters and data. Before anything is timed, their losses and
gradients for the same noise are compared; those of recorded steps are equal to the last bit. Then
the steps take turns in one process. If the extra ``benchmarks`` is installed, the same system of
the package ``multivae`` takes part too.

``fit(step="auto")`` takes recorded steps on complete rows, and compiled ones in runs of 20,000
steps or more. Rows that miss something are in step_missing.py.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import by_hand
import multivae_models
import torch
import typer
from declared import SYSTEMS, declared
from scenes import Plan, Scene, Values, command
from timing import Step, alternate, clock, optimised, ratios, spread, table, write
from torch import Tensor

from ppl_mm import Observations
from ppl_mm.systems import System
from ppl_mm.training.plan import Missing
from ppl_mm.training.recorded import Recorded
from ppl_mm.training.step_state import mixed

HAND, HAND_COMPILED, PEER = "by hand", "by hand, compiled", "multivae"
OURS = ("eager", "recorded", "compiled")
NAMED = {"recorded": "recorded (auto)", "compiled": "compiled (auto, long runs)"}


def ours(system: System, obs: Observations, way: str) -> Step:
    """Return a training step of the library, as ``fit(step=way)`` takes it."""
    optimizer = torch.optim.Adam(system.parameters(), lr=1e-3, fused=True)
    size = len(obs)

    def eager(batch: Observations, share: range, size: int) -> Tensor:
        loss = system(batch) / size
        loss.backward()
        return loss.detach()

    gradients = Recorded(
        eager,
        system,
        system.objective,
        why_not="eager" if way == "eager" else None,
        compile=way == "compiled",
        missing=Missing(
            size, frozenset() if mixed(obs) else None, "counted" if way == "auto" else "recorded"
        ),
    )

    def step() -> None:
        optimizer.zero_grad()
        gradients(obs, range(size), size)
        optimizer.step()

    for _ in range(3):  # the first two are compared with eager ones
        step()
    if way != "auto" and not gradients.outcome.startswith(way):
        raise SystemExit(f"expected {way} steps, got {gradients.outcome}.")
    return step


def hand(name: str, system: System, xs: Values, compiled: bool) -> Step:
    """Return a training step of the hand-written side."""
    loss = by_hand.by_hand(name, system)
    if compiled:
        plain, compiled_loss = loss, torch.compile(loss, options={"fallback_random": True})
        values = []
        for one in (plain, compiled_loss):
            torch.manual_seed(1)
            values.append(one(xs).item())
        if abs(values[0] / values[1] - 1) > 1e-3:
            raise SystemExit(f"{name}: compiled by hand is not the same computation: {values}.")
        loss = compiled_loss
    step = optimised(system.parameters(), lambda: loss(xs))
    step()
    return step


def packaged(
    name: str,
    xs: Values,
    hidden: tuple[int, ...],
    latent_dim: int,
    held: dict[str, Tensor] | None = None,
) -> Step:
    """Return a training step of ``multivae``, on rows that hold what the masks say."""
    model, loss = multivae_models.loss(name, xs, hidden, latent_dim, held)
    return optimised((p for p in model.parameters() if p.requires_grad), loss)


def compare(name: str, system: System, xs: Values) -> dict[str, float]:
    """Return the relative differences of loss and gradients for the same noise; raise if large."""
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
    name: str, xs: Values, hidden: tuple[int, ...], latent_dim: int, compile: bool
) -> dict[str, Callable[[], Step]]:
    """Return a function for each available side that builds its step from the same seed."""

    def build(side: str) -> Step:
        torch.manual_seed(0)
        if side == PEER:
            return packaged(name, xs, hidden, latent_dim)
        system = declared(name, xs, hidden, latent_dim)
        if side in OURS:
            return ours(system, Observations(xs), side)
        return hand(name, system, xs, side == HAND_COMPILED)

    there = [HAND] if by_hand.written(name) else []
    # torch's compiler does not take the hooks of the hand-written DReG
    there += [HAND_COMPILED] if compile and there and not name.endswith("dreg") else []
    there += OURS if compile else OURS[:2]
    there += [PEER] if multivae_models.available(name) else []
    return {side: (lambda side=side: build(side)) for side in there}


@dataclass(frozen=True)
class StepPlan(Plan):
    """The options of this benchmark."""

    compile: Annotated[
        bool, typer.Option(help="Time compiled sides too. Building one takes a minute.")
    ] = False


def measure(plan: StepPlan) -> None:
    """Check that all sides compute the same, time them, print the tables, write the record."""
    record = plan.record("One training step")
    record |= {"same computation": {}, "milliseconds": {}, "seconds to build": {}}
    for scene in plan.scenes():
        record["tables"].append(_complete(record, plan, scene))
        write(record, plan.out)  # keeps the tables so far if a later one fails


def _complete(record: dict[str, Any], plan: StepPlan, scene: Scene) -> dict[str, Any]:
    """Return the table of all sides on complete rows."""
    rows = [_row(record, plan, scene, name) for name in plan.only or SYSTEMS]
    shown = [HAND, HAND_COMPILED, *OURS, PEER] if plan.compile else [HAND, *OURS[:2], PEER]
    columns = ["system", *(f"{NAMED.get(s, s)}, ms" for s in shown), f"recorded / {HAND}"]
    columns += [f"compiled / {HAND}", "compiler, s", "steps that repay it"] * plan.compile
    columns += ["recorded / multivae"]
    title = f"A step, {scene.number} modalities, width {scene.width}, {clock(plan.threads)}"
    return table(title, columns, rows)


def _row(record: dict[str, Any], plan: StepPlan, scene: Scene, name: str) -> list[str]:
    number, width, xs, count = scene
    layers = (width, width)
    key = f"{number}, {name}, width {width}"
    steps, built = {}, {}
    torch.compiler.reset()  # torch compiles a function at most eight times
    for side, build in sides(name, xs, layers, plan.latent_dim, plan.compile).items():
        start = time.perf_counter()
        steps[side] = build()
        built[side] = time.perf_counter() - start
    if HAND in steps:
        torch.manual_seed(0)
        found = compare(name, declared(name, xs, layers, plan.latent_dim), xs)
        record["same computation"][key] = found
    times = alternate(steps, count, plan.warmup, plan.threads)
    record["milliseconds"][key], record["seconds to build"][key] = times, built

    def ratio(side: str, other: str) -> str:
        return spread(ratios(times[side], times[other])) if other in times else ""

    shown = [HAND, HAND_COMPILED, *OURS, PEER] if plan.compile else [HAND, *OURS[:2], PEER]
    row = [name, *(spread(times[s], 1) if s in times else "" for s in shown)]
    row.append(ratio("recorded", HAND))
    if plan.compile:
        gain = sorted(times["recorded"])[count // 2] - sorted(times["compiled"])[count // 2]
        repaid = f"{1e3 * built['compiled'] / gain:.0f}" if gain > 0 else "never"
        row += [ratio("compiled", HAND), f"{built['compiled']:.0f}", repaid]
    return [*row, ratio("recorded", PEER)]


main = command(measure, StepPlan)

if __name__ == "__main__":
    typer.run(main)
