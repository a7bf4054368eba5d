"""The MMVAE+ experiment's records as tables, beside the paper's claims."""

from collections.abc import Callable
from statistics import mean
from typing import Any

from ppl_mm.arguments.wording import counted
from ppl_mm.experiments.findings import finding, page_head
from ppl_mm.experiments.mmvae_plus.experiment import PRIVATE
from ppl_mm.experiments.mmvae_plus.sizes_table import (
    DEFAULT,
    TITLES,
    distance_name,
    pairs,
    settings,
    sizes,
    sizes_of,
)
from ppl_mm.experiments.tables import Record, Runs, composed, made, spread, table

__all__ = ["PAPER", "cells", "claims", "coherence", "latents", "private", "quality", "render"]

# Conditional coherence by the number of modalities given. The values are second-hand: a public
# re-implementation quotes them from the papers' final versions, and the text of MMVAE+ that we have
# shows figures and no number. (The same source has FID 92.81 for MMVAE+, by Inception's features.)
PAPER = {
    "mmvae_plus": {"1": 0.869},
    "mopoe": {"1": 0.66, "2": 0.77, "3": 0.81, "4": 0.83},
}


def render(records: list[Record]) -> str:
    """Return this part of the page of results, from records that have measures."""
    five = [r for r in records if r["config"]["dataset"] == "polymnist"]
    parts = (claims, coherence, quality, latents, private, cells)
    lines = [line for part in parts for line in part(five)] if five else []
    if any(r["config"]["system"] == "mmjsd" for r in five):
        lines += sizes(five)
    return "\n".join(
        [
            page_head("mmvae_plus", "MMVAE+ on PolyMNIST"),
            finding("mmvae_plus", "What the paper claims"),
            *lines,
            *pairs(records),
            *_runs(records),
        ]
    )


def claims(records: list[Record]) -> list[str]:
    """Show the paper's claims beside the measured numbers that test them."""
    groups = settings(records)

    def found(read: Callable[[Record], Any], *systems: str) -> str:
        parts = []
        for runs in groups:
            if runs[0]["config"]["system"] in (systems or TITLES):
                parts.append(f"{_name(runs)[0]} {spread([read(r['measures']) for r in runs])}")
        return "; ".join(parts)

    def mean_coherence(m: Record) -> Any:
        return m["coherence"]["mean"]

    rows = [
        ["claim", "here"],
        ["MVAE is hardly coherent", found(mean_coherence, "mvae")],
        ["MMVAE and MoPoE are coherent", found(mean_coherence, "mmvae", "mopoe")],
        ["MMVAE+ is as coherent", found(mean_coherence, "mmvae_plus")],
        [
            f"MMVAE+ has the lowest {distance_name(records)} or nearly",
            found(lambda m: m["fid"]["cross mean"]),
        ],
        [
            "draws of MMVAE and MoPoE look alike, those of MMVAE+ do not (feature distance)",
            found(lambda m: m["diversity"]["feature distance"]),
        ],
    ]
    for group, claim in (("u", "the class is in u"), ("w", "and not in w")):
        probe = found(lambda m, g=group: m["latents"][g]["mean"], "mmvae_plus")  # type: ignore[misc]
        rows.append([claim, probe])
    return [
        "## Measures of the claims\n",
        finding("mmvae_plus", "Claims"),
        *table([row for row in rows if row[1]]),
    ]


def coherence(records: list[Record]) -> list[str]:
    """Show coherence by the number of modalities given, and coherence of draws from the prior."""
    groups = settings(records)
    rows = [["system", "K, objective", "β", "epochs", "rows", *(f"{k} given" for k in range(1, 5))]]
    rows[0] += ["joint"]
    for runs in groups:
        cells = [
            spread([r["measures"]["coherence by inputs"].get(str(k)) for r in runs])
            for k in range(1, 5)
        ]
        joint = spread([r["measures"]["joint coherence"] for r in runs])
        rows.append([*_setting(runs), *cells, joint])
    for name in dict.fromkeys(runs[0]["config"]["system"] for runs in groups):
        if name in PAPER and not composed(records):
            known = [
                f"{PAPER[name][str(k)]:.3f}" if str(k) in PAPER[name] else "" for k in range(1, 5)
            ]
            rows.append([f"*{TITLES[name]}, paper*", "", "", "", "", *known, ""])
    theirs = [] if composed(records) else [finding("mmvae_plus", "Coherence: the paper's values")]
    return ["## Coherence\n", finding("mmvae_plus", "Coherence"), *theirs, *table(rows)]


def quality(records: list[Record]) -> list[str]:
    """Show Fréchet distances and diversity."""
    groups = settings(records)
    name = distance_name(records)
    head = ["system", "β", f"{name}, 20 cells", "25 cells", "joint", "of training rows"]
    rows = [[*head, "feature distance", "pixel deviation", "of data"]]
    for runs in groups:
        of = [r["measures"] for r in runs]
        real = [list(m["diversity of data"].values()) for m in of]
        distance, deviation = (
            mean(mean(pair[i][0] for pair in pairs) for pairs in real) for i in range(2)
        )
        rows.append(
            [
                *_name(runs),
                spread([m["fid"]["cross mean"] for m in of]),
                spread([m["fid"]["mean"] for m in of]),
                spread([m["joint fid"]["mean"] for m in of]),
                spread([m["fid of training rows"] for m in of]),
                spread([m["diversity"]["feature distance"] for m in of]),
                spread([m["diversity"]["pixel deviation"] for m in of]),
                f"{distance:.2f}, {deviation:.3f}",
            ]
        )
    return [
        "## Quality and diversity\n",
        finding("mmvae_plus", "Quality and diversity"),
        *table(rows),
    ]


def latents(records: list[Record]) -> list[str]:
    """Show the accuracy of logistic regression on each group of latents."""
    groups = settings(records)
    rows = [["system", "β", "u (or z)", "w", "u and w", "means of 500 rows: u (or z)"]]
    for runs in groups:
        of = [r["measures"]["latents"] for r in runs]
        few = [r["measures"]["latents by means of 500 rows"] for r in runs]
        shared = "z" if "z" in of[0] else "u"
        cells = [
            spread([m[g]["mean"] if g in m else None for m in of]) for g in (shared, "w", "u,w")
        ]
        rows.append([*_name(runs), *cells, spread([m[shared]["mean"] for m in few])])
    return [
        "## Latent classification\n",
        finding("mmvae_plus", "Latent classification"),
        *table(rows),
    ]


def private(records: list[Record]) -> list[str]:
    """Show coherence and quality by where w_n comes from."""
    groups = [runs for runs in settings(records) if "private" in runs[0]["measures"]]
    if not groups:
        return []
    distance = distance_name(records)
    columns = [" ".join([*_name(runs)[:1], f"β = {_name(runs)[1]},"]) for runs in groups]
    rows = [["w from", *(f"{c} {what}" for c in columns for what in ("coherence", distance))]]
    for name in groups[0][0]["measures"]["private"]:
        found = [[r["measures"]["private"].get(name, {}) for r in runs] for runs in groups]
        kinds = ("coherence", "fid")
        rows.append([name, *(spread([m.get(k) for m in of]) for of in found for k in kinds)])
    return [
        "## Where the private latent of a target comes from\n",
        finding("mmvae_plus", "Where the private latent of a target comes from"),
        *table(rows),
    ]


def cells(records: list[Record]) -> list[str]:
    """Show the coherence matrix of each setting, for its first seed."""
    groups = settings(records)
    lines = [
        "## Source by target\n",
        "Conditional coherence; a target's own column is the digit that a reconstruction shows.\n",
    ]
    for runs in groups:
        found = runs[0]["measures"]["coherence"]
        rows = [["given", *found["targets"]]]
        for given, cells in zip(found["given"], found["cells"], strict=True):
            rows.append([" + ".join(given), *(f"{value:.3f}" for value, _ in cells)])
        name, beta = _name(runs)
        lines += [f"{name}, β = {beta}:\n", *table(rows)]
    return lines


def _runs(records: list[Record]) -> list[str]:
    lines = ["## Runs\n"]
    for r in records:
        m, c = r["measures"], r["config"]
        accuracies = [value for value, _ in m["classifiers"].values()]
        loss = r["history"][-1]["loss"]
        lines.append(
            f"- `{r['command']}`: {_rows(r)} training and {m['test rows']:,} test rows, "
            f"{r['data']}; {c['arch']} networks; {made(r)}. Final loss {loss:.1f}. "
            "The classifiers read real "
            f"test digits {min(accuracies):.1%} to {max(accuracies):.1%} right."
            + (f" Note: {r['note']}." if "note" in r else "")
        )
    return [*lines, ""]


def _setting(runs: Runs) -> list[str]:
    c = runs[0]["config"]
    of_importance = c["system"] in ("mmvae_plus", "mmvae")
    how = f"{c['num_particles']}, {c['objective']}" if of_importance else ""
    return [_title(runs), how, f"{c['beta']:g}", str(c["epochs"]), _rows(runs[0])]


def _name(runs: Runs) -> list[str]:
    c = runs[0]["config"]
    return [f"{_title(runs)}, {counted(c['epochs'], 'epoch')}", f"{c['beta']:g}"]


def _title(runs: Runs) -> str:
    c = runs[0]["config"]
    sized = c["system"] in PRIVATE and sizes_of(c) != sizes_of(DEFAULT)
    seeds = f" ({len(runs)} seeds)" if len(runs) > 1 else ""
    residual = ", residual" if (c["dataset"], c["arch"]) == ("polymnist", "residual") else ""
    return TITLES[c["system"]] + (f" {sizes_of(c)}" if sized else "") + residual + seeds


def _rows(record: Record) -> str:
    return f"{record['train_rows']:,}"
