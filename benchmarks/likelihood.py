r"""Measure how many log-likelihoods are reliable, and how long they take.

    PPL_MM_DATA=... python benchmarks/likelihood.py --only "quick start, binary" \
        --out benchmarks/results/likelihood.json
    python benchmarks/likelihood.py --only "systems, agreement" --rows 50 --agreeing-rows 50 \
        --chains 32 --out benchmarks/results/likelihood-systems.json
    python benchmarks/likelihood.py --only peers --rows 50 \
        --out benchmarks/results/likelihood-peers.json
    python benchmarks/likelihood.py --only certify \
        --out benchmarks/results/likelihood-certify.json

The trained systems are the quick start (MVAE on digits, with its five questions), every system
after 30 epochs on digits, and MVAE on BinaryMNIST with the paper's networks, 64 latents and label
weight. Each question is answered by the guide with 1,000 draws a row (the papers' estimator), by
the guide with 10 and with 100 times as many draws, by the refined default, and by annealing from
the guide's posterior. The slower ways use fewer rows, the first ones; "refined there" is the
refined mean of the same rows. The last table compares the refined estimates with annealing from the
prior over many temperatures, which uses neither the guide nor refined proposals. "peers" are the
systems whose joint likelihood the package ``multivae`` estimates with the same networks, beside the
guide and the refined default. "certify" counts how many intervals of the quick start hold on rows
that its model simulates.

A run that is missing in ``--folder`` is trained there first.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import multivae_models
import pyro
import torch
import typer
from timing import clock, setting, table, timer, write

from ppl_mm import log_likelihood, runs, systems
from ppl_mm.evaluation import (
    LogLikelihood,
    UnreliableLikelihoodWarning,
    annealed_log_likelihood,
    certify,
)
from ppl_mm.programs.answerable import conditioned_on
from ppl_mm.runs import Run

LABEL = ("top", "bottom", "label")
QUICK = [(LABEL, ()), (LABEL[:1], ()), (LABEL[1:2], ()), (LABEL[2:], ()), (LABEL[2:], LABEL[:2])]
OWN: dict[str, dict[str, Any]] = {
    "cmmd": {"options": {"observed": ["top"], "label": "label"}},
    "vae": {"modalities": ("top",)},
}
"""The settings on digits of systems that differ from the others."""
BINARY = {
    "epochs": 30,
    "annealing_epochs": 12,
    "weights": {"label": 50.0},
    "terms": 0,
    "precision": "bf16-mixed",
    "data_options": {"binarisation": "dynamic"},
}
AGREEING = ("mvae", "mopoe", "mmvae_plus")

Question = tuple[Sequence[str], Sequence[str]]
Way = Callable[..., LogLikelihood]


@dataclass(frozen=True)
class Subject:
    """A trained system, and the questions that are asked about it.

    Attributes:
        name: The name in the tables.
        run: The system and its data.
        questions: The target and the given modalities of each question.
        rows: The number of test rows for the guide and for refined proposals.
        apart: Whether each question has a table of its own.
    """

    name: str
    run: Run
    questions: Sequence[Question]
    rows: int
    apart: bool = True


WAYS: dict[str, tuple[Way, float]] = {
    "guide": (partial(log_likelihood, refine="none"), 1.0),
    "guide, 10 times the draws": (
        partial(log_likelihood, refine="none", num_samples=10_000),
        0.25,
    ),
    "guide, 100 times the draws": (
        partial(log_likelihood, refine="none", num_samples=100_000),
        0.05,
    ),
    "refined": (partial(log_likelihood, refine="auto"), 1.0),
    "annealed": (
        partial(annealed_log_likelihood, start="posterior", num_temperatures=50, num_leaps=5),
        0.04,
    ),
}
"""Way -> how a result is made, and the share of the rows that it is made for."""


def subjects(folder: Path, small: bool, only: str) -> list[Subject]:
    """Return the trained systems; those that are missing are trained first."""
    brief = {"epochs": 1} if small else {}
    found = []
    if "quick" in only:
        run = trained(folder / "quick", "mvae", "digits", brief)
        found.append(Subject("quick start", run, QUICK, 397))
    if "binary" in only:
        run = trained(folder / "binary_mnist", "mvae", "binary_mnist", BINARY | brief)
        found.append(Subject("BinaryMNIST", run, [(("image",), ())], 200))
    if "systems" in only or "peers" in only:
        names = multivae_models.SCORED if "peers" in only else systems.available()
        for name in list(names)[: 2 if small else None]:
            options = {"epochs": 30} | OWN.get(name, {}) | brief
            run = trained(folder / "digits" / f"{name}-0-0", name, "digits", options)
            fixed = conditioned_on(run.system.model)
            target = tuple(n for n in run.config.modalities if n not in fixed)
            found.append(Subject(name, run, [(target, fixed)], 100, apart=False))
    return found


def trained(folder: Path, system: str, dataset: str, options: Mapping[str, Any]) -> Run:
    """Return the run in a folder; a missing one is trained first."""
    if not (folder / "system.safetensors").is_file():
        resume = (folder / "config.json").is_file()
        runs.train(folder, system, dataset, resume=resume, progress=False, **options)
    return runs.load(folder)


def ask(subject: Subject, question: Question, way: str, rows: int, seconds: Any) -> dict[str, Any]:
    """Return the result of one question, with its time."""
    make, share = WAYS[way]
    test = subject.run.dataset.test[: max(2, round(share * min(rows, subject.rows)))]
    start = seconds()
    found = make(subject.run.system, test, *question)
    spent = seconds() - start
    return {"way": way, "result": found, "milliseconds": 1e3 * spent / len(test)}


def peer(subject: Subject, rows: int, seconds: Any, refined: LogLikelihood) -> list[str]:
    """Return the table cells of ``multivae`` with the same networks; it tells no error and no k."""
    test = subject.run.dataset.test[: min(rows, subject.rows)]
    start = seconds()
    values = {n: test[n] for n in test.names}
    kind = subject.run.config.system
    found = multivae_models.joint_log_likelihood(kind, subject.run.system, values, 1000)
    spent = 1e3 * (seconds() - start) / len(test)
    there = refined.value[: len(test)].mean().item()
    mean = f"{found.mean().item():.2f}"
    return ["multivae", str(len(test)), "", "", mean, f"{there:.2f}", f"{spent:.1f}"]


def line(found: dict[str, Any], refined: LogLikelihood) -> list[str]:
    """Return the table cells of a result, with the refined mean of the same rows."""
    result: LogLikelihood = found["result"]
    n = len(result.value)
    good = (result.pareto_k <= 0.7).double().mean().item()
    ess = 1000 * (result.ess / result.draws).median().item()
    below = (result.value - result.low).square().sum().sqrt().item() / n
    above = (result.high - result.value).square().sum().sqrt().item() / n
    mean = result.mean()
    return [
        found["way"],
        str(n),
        f"{100 * good:.1f}",
        f"{ess:.0f}",
        f"{mean:.2f} [{mean - below:.2f}, {mean + above:.2f}]",
        f"{refined.value[:n].mean().item():.2f}",
        f"{found['milliseconds']:.1f}",
    ]


def agreement(
    subject: Subject, rows: int, temperatures: int, chains: int
) -> tuple[list[str], dict[str, Any]]:
    """Compare refined estimates with long annealing from the prior."""
    test = subject.run.dataset.test[:rows]
    refined = log_likelihood(subject.run.system, test, *subject.questions[0])
    long = annealed_log_likelihood(
        subject.run.system,
        test,
        *subject.questions[0],
        num_chains=chains,
        num_temperatures=temperatures,
        num_leaps=5,
        seed=1,
    )
    gap = refined.value - long.value
    below = torch.hypot(refined.value - refined.low, long.high - long.value)
    above = torch.hypot(refined.high - refined.value, long.value - long.low)
    within = ((gap <= below) & (-gap <= above)).double().mean().item()
    error = gap.std().item() / len(gap) ** 0.5
    cells = [subject.name, str(len(gap)), f"{refined.mean():.3f}", f"{long.mean():.3f}"]
    cells += [f"{gap.mean().item():+.3f} ± {error:.3f}", f"{100 * within:.0f}"]
    return cells, {"refined": refined.value.tolist(), "annealed": long.value.tolist()}


def certificates(run: Run, num_rows: int, seconds: Any) -> dict[str, Any]:
    """Return the table of how many intervals hold on rows that a run's model simulates."""
    lines = []
    for target in (LABEL, *((n,) for n in LABEL)):
        start = seconds()
        found = certify(run.system, num_rows, target)
        lines.append(
            [
                found.estimate.quantity,
                f"{int(found.holds.sum())} of {num_rows}",
                "{} to {}".format(*found.expected()),
                f"{int(found.certain.sum())}",
                f"{int(found.contradicted.sum())}",
                f"{found.bounds.gap[0].mean().item():.3f}",
                f"{found.error.mean().item():+.3f}",
                f"{seconds() - start:.0f}",
            ]
        )
    columns = ["quantity", "intervals hold in", "expected", "certainly in", "certainly not in"]
    columns += ["bounds apart, nats", "estimate less their middle, nats", "s"]
    title = f"Intervals on simulated rows of the quick start, by certify(system, {num_rows})"
    return table(title, columns, lines)


def main(
    folder: Path = Path("runs/likelihood"),
    rows: int = 1000,
    agreeing_rows: int = 50,
    temperatures: int = 300,
    chains: int = 32,
    only: str = "quick start, binary, systems, agreement",
    small: bool = False,
    threads: int = 1,
    out: str = "",
) -> None:
    """Estimate all log-likelihoods, print the tables and write the record.

    Args:
        folder: The folder of the trained runs.
        rows: The most test rows of a question.
        agreeing_rows: The number of rows that are annealed over many temperatures.
        temperatures: The number of temperatures.
        chains: The number of chains for each of these rows.
        only: The parts to run.
        small: Whether to train only two systems, for one epoch.
        threads: The number of torch's threads.
        out: The file of the record.
    """
    torch.set_num_threads(threads)
    pyro.enable_validation(False)
    warnings.simplefilter("ignore", UnreliableLikelihoodWarning)
    record: dict[str, Any] = {
        "title": f"Log-likelihoods: {only}",
        "setting": setting(threads, 0, rows=rows, temperatures=temperatures, chains=chains),
        "tables": [],
        "measured": {},
    }
    columns = ["way", "rows", "k < 0.7, %", "ESS per 1,000", "mean, nats a row", "refined there"]
    columns.append("ms a row")
    seconds = timer(threads)
    together, agreeing = [], []
    ways = ("guide", "refined") if "peers" in only else tuple(WAYS)
    if "certify" in only:
        run = trained(folder / "quick", "mvae", "digits", {"epochs": 1} if small else {})
        record["tables"].append(certificates(run, min(rows, 100), seconds))
    for subject in subjects(folder, small, only):
        for question in subject.questions:
            found = [ask(subject, question, way, rows, seconds) for way in ways]
            refined = next(f["result"] for f in found if f["way"] == "refined")
            lines = [line(f, refined) for f in found]
            peers = question == (LABEL, ()) and subject.run.config.system in multivae_models.SCORED
            if peers and multivae_models.available("mvae"):
                lines.append(peer(subject, rows, seconds, refined))
            quantity = refined.quantity
            record["measured"][f"{subject.name}, {quantity}"] = [_numbers(f) for f in found]
            if subject.apart:
                title = f"{subject.name}, {quantity}, {clock(threads)}"
                record["tables"].append(table(title, columns, lines))
            else:
                together += [[subject.name, *cells] for cells in lines]
            write(record, out)
        if subject.name in AGREEING and "agreement" in only:
            cells, numbers = agreement(subject, min(rows, agreeing_rows), temperatures, chains)
            agreeing.append(cells)
            record["measured"][f"agreement, {subject.name}"] = numbers
    if together:
        which = "Systems of multivae" if "peers" in only else "Every system"
        title = f"{which} on digits, log p of everything, {clock(threads)}"
        record["tables"].append(table(title, ["system", *columns], together))
    if agreeing:
        title = f"Refined against {temperatures} temperatures from the prior"
        columns = ["system", "rows", "refined", "annealed", "difference", "within both, %"]
        record["tables"].append(table(title, columns, agreeing))
    write(record, out)


def _numbers(found: dict[str, Any]) -> dict[str, Any]:
    result: LogLikelihood = found["result"]
    columns = ("value", "low", "high", "pareto_k")
    rounded = {n: [round(x, 3) for x in getattr(result, n).tolist()] for n in columns}
    return {"way": found["way"], "milliseconds": found["milliseconds"], **rounded} | {
        "stage": list(result.stage)
    }


if __name__ == "__main__":
    typer.run(main)
