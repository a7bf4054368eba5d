"""Measure time and memory of a training step as the number of modalities grows.

    python benchmarks/modalities.py --out benchmarks/results/modalities.json

The data have 2, 4, 8, 16 and 32 modalities of 32 binary pixels. Networks have one hidden layer of
32, there are 8 latents, and the batch size is 32. All systems that take such modalities are
measured. Steps with different numbers of modalities take turns. A case that needs more than
``limit`` components or terms is left out, and the table states their number.
"""

from collections.abc import Callable
from functools import partial
from math import comb
from pathlib import Path
from typing import Any

import pyro
import torch
import typer
from declared import OPTIONS, data, declared
from timing import alternate, clock, optimised, peak_memory, setting, spread, table, write

from ppl_mm import Observations, objectives

Sizes = dict[str, Any]


def everything(m: int) -> int:
    """Return the number of non-empty subsets of m modalities."""
    return 2**m - 1


def chain(m: int) -> int:
    """Return the number of SVAE's terms.

    In each subset of at least two modalities, each member given the others has a term for each
    supplier.
    """
    if m == 2:
        return 6
    pairs = sum(comb(m, s) * s * (s - 1 if s > 2 else 2) for s in range(2, m))
    return pairs + m * (m - 1) + 2 * m


def systems() -> dict[str, tuple[str, Callable[[list[str]], Sizes], Callable[[int], int]]]:
    """Return a dict from row names to triples.

    A triple holds the system, its options as a function of the modalities' names, and its number of
    terms or components.
    """
    plain = {n: (n, lambda _: {}, lambda m: m + 1) for n in OPTIONS if not n.startswith("mopoe")}
    return {
        **plain,
        "mvae, k = 2": (
            "mvae",
            lambda _: {"terms": objectives.subset_terms(2)},
            lambda m: m + 3,
        ),
        "mvae, all subsets": (
            "mvae",
            lambda _: {"terms": objectives.subset_terms(None)},
            everything,
        ),
        "mopoe": ("mopoe", lambda _: {}, everything),
        "mopoe, strata = 1": ("mopoe", lambda _: {"strata": 1}, everything),
        "mopoe, 2 M - 1 subsets": (
            "mopoe",
            lambda names: {"subsets": family(names)},
            lambda m: 2 * m - 1,
        ),
        "vaevae": ("vaevae", lambda _: {}, lambda m: everything(m) - m),
        "svae": ("svae", lambda _: {}, chain),
    }


def family(names: list[str]) -> list[list[str]]:
    """Return each modality alone, and the first 2, 3, ... of them up to all."""
    return [[n] for n in names] + [names[:size] for size in range(2, len(names) + 1)]


def main(
    largest: int = 32,
    rounds: int = 9,
    warmup: int = 1,
    threads: int = 1,
    seed: int = 0,
    limit: int = 512,
    only: str = "",
    out: str = "",
) -> None:
    """Measure all systems, print the tables, and write the record and its picture.

    Args:
        largest: The largest number of modalities among 2, 4, 8, ...
        rounds: The number of measured steps of each.
        warmup: The number of steps before the measured ones.
        threads: The number of torch's threads.
        seed: The seed of data and parameters.
        limit: The most components, terms or networks that are measured.
        only: The row to measure; the default is all.
        out: The file of the record; the picture has the same name.
    """
    torch.set_num_threads(threads)
    pyro.enable_validation(False)
    numbers = [m for m in (2, 4, 8, 16, 32) if m <= largest]
    record: dict[str, Any] = {
        "title": "Number of modalities",
        "setting": setting(threads, seed, rounds=rounds, batch=32, limit=limit),
        "tables": [],
        "milliseconds": {},
        "MiB": {},
    }
    times_rows, memory_rows = [], []
    for row, (name, options, count) in systems().items():
        if only not in ("", row):
            continue
        steps, memory = {}, {}
        for m in numbers:
            if count(m) > limit:
                continue
            build = partial(_step, name, m, options, seed)
            memory[m] = peak_memory(build, threads)
            steps[str(m)] = build()
        times = {int(m): values for m, values in alternate(steps, rounds, warmup, threads).items()}
        record["milliseconds"][row], record["MiB"][row] = times, memory
        missing = {m: f"{count(m):,} terms" for m in numbers if m not in times}
        times_rows.append([row] + [missing.get(m) or spread(times[m], 1) for m in numbers])
        memory_rows.append([row] + [missing.get(m) or f"{memory[m]:.0f}" for m in numbers])
    columns = ["system", *(f"M = {m}" for m in numbers)]
    record["tables"] = [
        table(f"A step, {clock(threads)}", columns, times_rows),
        table("Memory that a step adds at its peak, MiB", columns, memory_rows),
    ]
    if out:
        record["picture"] = Path(out).with_suffix(".png").name
        _draw(record, Path(out).with_suffix(".png"))
    write(record, out)


def _step(name: str, m: int, options: Callable[[list[str]], Sizes], seed: int) -> Any:
    torch.manual_seed(seed)
    xs = data(m, 32, 32)
    system = declared(name, xs, (32,), 8, **options(list(xs)))
    obs = Observations(xs)
    return optimised(system.parameters(), lambda: system(obs) / len(obs))


def _draw(record: dict[str, Any], path: Path) -> None:
    """Draw median time and memory against the number of modalities, on logarithmic axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    marks = "osv^D<>pP*Xhd1234"
    for mark, (row, times) in zip(marks, record["milliseconds"].items(), strict=False):
        medians = [sorted(values)[len(values) // 2] for values in times.values()]
        left.plot(list(times), medians, marker=mark, label=row)
        right.plot(list(times), list(record["MiB"][row].values()), marker=mark, label=row)
    for axes, what in ((left, "a step, ms"), (right, "memory, MiB")):
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xlabel("modalities")
        axes.set_ylabel(what)
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.grid(alpha=0.3)
    right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize="small")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    typer.run(main)
