"""The records on three modalities of a digit as tables 5, H.1, 6 and H.2, beside the paper's."""

from collections.abc import Mapping, Sequence
from math import ceil

from ppl_mm.experiments.cmmd.three import OMEGA
from ppl_mm.experiments.findings import page_head
from ppl_mm.experiments.tables import Record, cell, commands, spread, table

__all__ = ["TITLES", "cost", "render", "table_5", "table_6", "table_h2"]

TITLES = {"cmmd": "CMMD", "mvae": "MVAE", "mmvae": "MMVAE", "mopoe": "MoPoE"}
SUBSETS = ("m", "s", "t", "ms", "mt", "st", "mst")
# Table H.1, on MNIST-SVHN-Text; Table 5 has the means.
LATENT = {
    "mvae": (0.90, 0.44, 0.85, 0.89, 0.97, 0.81, 0.96),
    "mmvae": (0.95, 0.79, 0.99, 0.87, 0.93, 0.84, 0.86),
    "mopoe": (0.95, 0.80, 0.99, 0.97, 0.98, 0.99, 0.98),
    "cmmd": (0.98, 0.80, 1.00, 0.99, 1.00, 1.00, 0.99),
}
# Table 6, by target and given modalities.
COLUMNS = ("m|s", "m|t", "m|st", "s|m", "s|t", "s|mt", "t|m", "t|s", "t|ms")
COHERENCE = {
    "mvae": (0.24, 0.20, 0.32, 0.43, 0.30, 0.75, 0.28, 0.17, 0.29),
    "mmvae": (0.75, 0.99, 0.87, 0.31, 0.30, 0.30, 0.96, 0.76, 0.84),
    "mopoe": (0.74, 0.99, 0.94, 0.36, 0.34, 0.37, 0.96, 0.76, 0.93),
    "cmmd": (0.75, 1.00, 1.00, 0.66, 0.87, 0.87, 0.98, 0.69, 0.98),
}
# The same with impartial optimisation, after Javaloy et al. 2022, and table 5's means of it.
IMPARTIAL_COHERENCE = {
    "mvae": (0.11, 0.26, 0.28, 0.50, 0.33, 0.30, 0.61, 0.12, 0.64),
    "mmvae": (0.49, 0.79, 0.64, 0.87, 0.76, 0.82, 0.97, 0.58, 0.77),
    "mopoe": (0.11, 0.63, 0.52, 0.28, 0.47, 0.43, 0.80, 0.11, 0.90),
}
IMPARTIAL_LATENT = {"mvae": 0.700, "mmvae": 0.908, "mopoe": 0.915}

DEVIATIONS = (0.02, 0.0, 0.0, 0.07, 0.07, 0.10, 0.002, 0.02, 0.004)
"""CMMD's coherence over five runs: table H.2."""


def render(records: list[Record]) -> str:
    """Return this part of the page of results, from records that have measures."""
    lines = [page_head("cmmd", "CMMD: three modalities of a digit")]
    for dataset in sorted({r["config"]["dataset"] for r in records}):
        own = [r for r in records if r["config"]["dataset"] == dataset]
        lines += [*table_5(own), *table_6(own)]
    return "\n".join([*lines, *commands(records)])


def table_5(records: list[Record]) -> list[str]:
    """Show latent accuracy from every subset, and its mean, on one data set."""
    title = f"### {records[0]['config']['dataset']}: latent accuracy (tables 5 and H.1)\n"
    rows = _rows(records, SUBSETS, LATENT, "latents")
    shown = {r["config"]["system"] for r in records if r["config"].get("impartial")}
    for system, value in IMPARTIAL_LATENT.items():
        if system in shown and _published(records):
            name = f"*{TITLES[system]}, impartial, paper*"
            rows.append([name, "", *("" for _ in SUBSETS), f"{value:.3f}"])
    return [title, *table(rows)]


def table_6(records: list[Record]) -> list[str]:
    """Show coherence of each modality generated from each subset of the others, on one data set."""
    title = f"### {records[0]['config']['dataset']}: coherence, generated | given (table 6)\n"
    rows = _rows(records, COLUMNS, COHERENCE, "coherence")
    shown = {r["config"]["system"] for r in records if r["config"].get("impartial")}
    for system, values in IMPARTIAL_COHERENCE.items():
        if system in shown and _published(records):
            cells = [f"{x:.2f}" for x in (*values, sum(values) / len(values))]
            rows.append([f"*{TITLES[system]}, impartial, paper*", "", *cells])
    return [title, *table(rows)]


def table_h2(records: list[Record]) -> list[str]:
    """Show CMMD's coherence with its spread, and omega, on one data set."""
    own = [r for r in records if r["config"]["system"] == "cmmd"]
    rows = [["", *(column.replace("|", "\\|") for column in COLUMNS)]]
    cells = [[c for r in own if (c := _cell(r, "coherence", column))] for column in COLUMNS]
    rows.append(["CMMD", *(spread(c) if c else "" for c in cells)])
    paper = [
        f"{value:.2f} ± {sd:g}" for value, sd in zip(COHERENCE["cmmd"], DEVIATIONS, strict=True)
    ]
    rows.append(["omega", *(f"{_omega(own, column):g}" for column in COLUMNS)])
    if _published(records):
        known = [OMEGA[_observed(column)] for column in COLUMNS]
        rows += [["*CMMD, paper*", *paper], ["*omega, paper*", *(f"{o:g}" for o in known)]]
    return ["### CMMD: coherence, generated \\| given (table H.2)\n", *table(rows)]


def _observed(column: str) -> str:
    """Return the letters of the subset that a column of coherence is given.

    Example:
        >>> _observed("m|ts")
        'st'
    """
    return "".join(sorted(column.partition("|")[2]))


def _omega(records: list[Record], column: str) -> float:
    """Return the omega with which the column's run trained."""
    omegas = {
        "".join(sorted(name[0].replace("f", "s") for name in c["observed"].split("+"))): c["omega"]
        for c in (r["config"] for r in records)
    }
    asked = omegas.get(_observed(column), -1.0)
    return OMEGA[_observed(column)] if asked < 0 else float(asked)


def cost(records: list[Record]) -> list[str]:
    """Show the time of a training step by omega, as section 4.4 gives it."""
    published = _published(records)
    rows = [["omega", "divergence", "ms a step, here", *(["ms a step, paper"] * published)]]
    for r in sorted(records, key=lambda r: r["config"]["omega"]):
        c = r["config"]
        steps = c["epochs"] * ceil(r["train_rows"] / c["batch_size"])
        kind, paper = ("KL alone", "10.59") if c["omega"] == 1 else ("MMD too", "11.04")
        ours = f"{1000 * r['train_seconds'] / steps:.2f}"
        rows.append([f"{c['omega']:g}", kind, ours, *([paper] * published)])
    first = records[0]
    note = f"Batches of {first['config']['batch_size']} rows on {first['hardware']}.\n"
    return ["### The cost of the MMD (section 4.4)\n", *table(rows), note]


def _published(records: list[Record]) -> bool:
    """Return whether the paper's numbers are of these records' data."""
    return bool(records[0]["config"]["dataset"] == "mnist_svhn_text")


def _rows(
    records: list[Record],
    columns: tuple[str, ...],
    paper: Mapping[str, Sequence[float]],
    kind: str,
) -> list[list[str]]:
    heads = [column.replace("|", "\\|") for column in columns]  # A bar would end the cell.
    rows = [["system", "epochs", *heads, "mean"]]
    for system, title in TITLES.items():
        own = [r for r in records if r["config"]["system"] == system]
        for setting in sorted({_setting(r) for r in own}):
            runs = [r for r in own if _setting(r) == setting]
            cells = [[c for r in runs if (c := _cell(r, kind, column))] for column in columns]
            shown = [spread(c) if c else "" for c in cells]
            means = [sum(v[0] for v in c) / len(c) for c in cells if c]
            mean = f"{sum(means) / len(means):.3f}" if len(means) == len(columns) else ""
            epochs, mean_label, rule = setting
            name = f"{title}, mean label" if mean_label else title
            name += f", impartial ({rule})" if rule else ""
            rows.append([name, str(epochs), *shown, mean])
        if own and _published(own):
            numbers = paper[system]
            mean = f"{sum(numbers) / len(numbers):.3f}"
            rows.append([f"*{title}, paper*", "", *(f"{n:.2f}" for n in numbers), mean])
    return rows


def _setting(record: Record) -> tuple[int, bool, str]:
    """Return the epochs, whether CMMD's label counts by its mean, and how gradients are shared."""
    config = record["config"]
    mean_label = config["system"] == "cmmd" and config["label_reduction"] == "mean"
    return config["epochs"], mean_label, config.get("impartial", "")


def _cell(record: Record, kind: str, column: str) -> list[float] | None:
    """Return value and standard error of one column; None where the record does not have it."""
    names = dict(zip("mst", record["measures"]["classifiers"], strict=True))
    if kind == "latents":
        subset = "+".join(names[letter] for letter in column)
        found: list[float] | None = record["measures"]["latents"].get(subset)
        return found
    target, given = column.split("|")
    coherence = record["measures"].get("coherence")
    if coherence is None:
        return None
    known = [names[letter] for letter in given]
    if known not in coherence["given"] or names[target] not in coherence["targets"]:
        return None
    return cell(coherence, known, names[target])
