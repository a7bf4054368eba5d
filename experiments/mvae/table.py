"""The MVAE experiment's records as tables, beside the paper's."""

from statistics import mean, stdev
from typing import Any

from ppl_mm.experiments import tables
from ppl_mm.experiments.findings import finding, page_head
from ppl_mm.experiments.mvae.experiment import Config
from ppl_mm.experiments.mvae.paper import ACCURACY, LIKELIHOODS, VARIANCES
from ppl_mm.experiments.mvae.readings import READINGS, reading
from ppl_mm.experiments.tables import Record, Runs, made, table

__all__ = ["figure_2", "render", "tables_2_and_3", "tables_6_and_7"]

QUANTITIES = ("log p(x1)", "log p(x1,x2)", "log p(x1|x2)")
TITLES = {
    "binary_mnist": "BinaryMNIST",
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "multimnist": "MultiMNIST",
    "celeba": "CelebA",
}
SYSTEMS = {
    "vae": "VAE",
    "cvae": "CVAE",
    "bivcca": "BiVCCA",
    "jmvae": "JMVAE",
    "mvae_q": "MVAE-Q",
    "mvae": "MVAE",
    "mvae19": "MVAE19",
}


def render(records: list[Record]) -> str:
    """Return this part of the page of results, from records that have measures."""
    parts = (tables_2_and_3, tables_6_and_7, _runs)
    return "\n".join(
        [
            page_head("mvae", "MVAE"),
            finding("mvae", "What the paper claims"),
            *(line for part in parts for line in part(records)),
        ]
    )


def tables_2_and_3(records: list[Record]) -> list[str]:
    """Show likelihoods and variances of log weights by draws from q(z | x1)."""
    return _by("## Tables 2 and 3: proposal q(z | x1)", records, "x1")


def tables_6_and_7(records: list[Record]) -> list[str]:
    """Show likelihoods and variances of log weights by draws from q(z | x1, x2).

    Runs that have them also show how many nats refined draws add, paired by test row.
    """
    return _by("## Tables 6 and 7: proposal q(z | x1, x2)", records, "x1x2")


def figure_2(records: list[Record]) -> list[str]:
    """Show the pictures of draws from the prior, and given labels."""
    runs = {}
    for record in records:
        config = record["config"]
        title = f"{SYSTEMS[config['system']]}, {reading(config)}, on {TITLES[config['dataset']]}"
        runs[Config(**config).name] = title
    one = "an attribute" if records[0]["config"]["dataset"] == "celeba" else "a label"
    kinds = {"prior": "drawn from the prior", "conditional": f"drawn given {one}"}
    return tables.pictures(runs, kinds)


def _by(title: str, records: list[Record], by: str) -> list[str]:
    draws = sorted({r["config"]["num_samples"] for r in tables.filled(records, Config)})
    made = f"{title}, {' or '.join(f'{number:,}' for number in draws)} draws a row\n"
    found = [line for dataset in TITLES for line in _table(records, dataset, by)]
    return [made, finding("mvae", "Conditional rows"), *found]


def _settings(records: list[Record], dataset: str) -> list[Runs]:
    """Group the runs of one data set; a record lacks the options that are newer than it."""
    own = [
        r
        for r in tables.filled(records, Config)
        if r["config"]["dataset"].removesuffix("19") == dataset
    ]
    order = list(READINGS)
    own.sort(key=lambda r: (_place(reading(r["config"]), order), r["config"]["epochs"]))
    return tables.settings(own, list(SYSTEMS))


def _table(records: list[Record], dataset: str, by: str) -> list[str]:
    """Show our numbers of each system, then the paper's."""
    settings = [s for s in _settings(records, dataset) if _measured(s, by)]
    if not settings:
        return []
    names = [q.replace("|", "\\|") for q in QUANTITIES]  # A bar would end the cell.
    rows = [["system", "λ label", "epochs", "test rows", *names]]
    rows[0] += [*(f"variance, {n.removeprefix('log ')}" for n in names), "Pareto k > 0.7"]
    gains = _refined(settings, by)
    rows[0] += [
        f"refined draws add, {n}" for q, n in zip(QUANTITIES, names, strict=True) if q in gains
    ]
    rows[0] += _accuracies(dataset) if by == "x1" else []
    for system in SYSTEMS:
        own = [s for s in settings if _system(s[0]["config"]) == system]
        rows += [_row(runs, by, gains) for runs in own]
        paper = LIKELIHOODS[dataset][by].get(system)
        weight = "" if system in ("vae", "cvae") else "50"
        sizes = ["100", "19,962"] if dataset == "celeba" else ["500", "10,000"]
        if own and paper:
            cells = [f"*{SYSTEMS[system]}, paper*", weight, *sizes]
            cells += [_number(x) for x in (*paper, *VARIANCES[dataset][by][system])]
            accuracy = ACCURACY.get(dataset, {}).get(system)
            last = ["" if accuracy is None else f"{accuracy:.4f}" for _ in _accuracies(dataset)]
            rows.append([*cells, "", *("" for _ in gains), *(last if by == "x1" else [])])
        printed = _printed(dataset, by, system)
        if own and printed:
            cells = [f"*{SYSTEMS[system]}, paper as printed*", weight, *sizes]
            cells += ["", "", _number(printed[0]), "", "", _number(printed[1])]
            rest = ["" for _ in _accuracies(dataset)] if by == "x1" else []
            rows.append([*cells, "", *("" for _ in gains), *rest])
    return [f"### {TITLES[dataset]}\n", *table(rows)]


def _printed(dataset: str, by: str, system: str) -> tuple[float, float] | None:
    """Return the conditional row as the paper prints it beside this proposal, and its variance."""
    other = {"x1": "x1x2", "x1x2": "x1"}[by]
    value, variance = (
        part[dataset][other].get(system, (None, None, None))[2] for part in (LIKELIHOODS, VARIANCES)
    )
    return None if value is None or variance is None else (value, variance)


def _place(name: str, order: list[str]) -> int:
    return order.index(name) if name in order else len(order)


def _system(config: dict[str, Any]) -> str:
    """Return a key of ``SYSTEMS``; the paper names MVAE with attributes as modalities apart."""
    return config["system"] + ("19" if config["dataset"] == "celeba19" else "")


def _accuracies(dataset: str) -> list[str]:
    """Return the names of accuracies: of labels, of all positions of strings, of digits alone."""
    return ["accuracy", *(["accuracy of digits"] if dataset == "multimnist" else [])]


def _measured(runs: Runs, by: str) -> list[str]:
    """Return the quantities that the runs have with this proposal."""
    return [q for q in QUANTITIES if f"{q} by {by}" in runs[0]["measures"]]


def _refined(settings: list[Runs], by: str) -> list[str]:
    """The quantities that some run has also by refined draws, which need no other proposal."""
    gains = [
        q for q in QUANTITIES if any(f"{q} refined gain" in s[0]["measures"] for s in settings)
    ]
    return gains if by == "x1x2" else []


def _row(runs: Runs, by: str, gains: list[str]) -> list[str]:
    config, measures = runs[0]["config"], [r["measures"] for r in runs]
    weight = "" if config["system"] in ("vae", "cvae") else f"{config['label_weight']:g}"
    name = SYSTEMS[_system(config)]
    name += f", {reading(config)}" if config["system"] in ("mvae", "mvae_q") else ""
    name += f" ({len(runs)} seeds)" if len(runs) > 1 else ""
    num_rows = config["test_rows" if by == "x1" else "joint_rows"]
    cells = [name, weight, str(config["epochs"]), f"{num_rows:,}"]
    cells += [_spread(measures, f"{q} by {by}", 2) for q in QUANTITIES]
    variances = [[m.get(f"{q} by {by} variance") for m in measures] for q in QUANTITIES]
    cells += [_number(None if None in found else mean(found)) for found in variances]
    first = _measured(runs, by)[0]
    cells.append(f"{mean([m[f'{first} by {by} unreliable'] for m in measures]):.0%}")
    cells += [_spread(measures, f"{q} refined gain", 2) for q in gains]
    accuracies = _accuracies(config["dataset"]) if by == "x1" else []
    return [*cells, *(_spread(measures, name, 4) for name in accuracies)]


def _spread(measures: list[Record], name: str, digits: int) -> str:
    """Format ± over test rows of one run, or over seeds of several; "" where it is not measured."""
    if name not in measures[0]:
        return ""
    values = [m[name] for m in measures]
    error = measures[0][f"{name} se"] if len(values) == 1 else stdev(values)
    return f"{mean(values):.{digits}f} ± {error:.{digits}f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _runs(records: list[Record]) -> list[str]:
    lines = ["## Runs\n"]
    for r in records:
        c = r["config"]
        lines.append(
            f"- `{r['command']}`: {c['num_samples']} draws; {made(r)}."
            + (f" Note: {r['note']}." if "note" in r else "")
        )
    return [*lines, ""]
