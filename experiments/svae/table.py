"""The SVAE experiment's records as tables, beside the paper's numbers where it gives any."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ppl_mm.experiments import captions, tables
from ppl_mm.experiments.findings import finding, page_head
from ppl_mm.experiments.svae.experiment import PAIRS, Config
from ppl_mm.experiments.tables import (
    Record,
    Runs,
    cell,
    commands,
    first_seed,
    length,
    spread,
    table,
)

__all__ = [
    "PAPER",
    "Reads",
    "figure_3",
    "figure_4",
    "figure_6",
    "figure_7",
    "figure_8",
    "name_of",
    "pictures",
    "reads",
    "render",
    "settings_of",
    "table_1",
]

Reads = Mapping[str, Callable[[Record], Any]]
"""Title -> the function that reads a value with its standard error from the test's measures."""

# Table 1 of Kutuzova et al. 2021: accuracy from both halves, from the top, from the bottom, after
# 200 epochs, all rows paired. MMVAE's two columns may be exchanged, as its release labels them so.
PAPER = {
    "svae": (0.948, 0.872, 0.816),
    "vaevae": (0.956, 0.887, 0.830),
    "vaevae_star": (0.958, 0.863, 0.778),
    "mmvae": (0.539, 0.221, 0.283),
}

TITLES = {
    "svae": "SVAE",
    "vaevae": "VAEVAE",
    "vaevae_star": "VAEVAE*",
    "svae_star": "SVAE*",
    "vaevae_a": "VAEVAE (a)",
    "mmvae": "MMVAE",
}  # Others have their names in capitals.
_STAND_IN = "FashionMNIST stands in for SVHN.\n"
_HALVES = (("top", "bottom"), ("top",), ("bottom",))


def render(records: list[Record]) -> str:
    """Return this part of the page of results, from records that have measures."""
    parts = (table_1, figure_4, figure_6, figure_7, figure_8, figure_3)
    lines = [line for part in parts for line in part(records)]
    return "\n".join(
        [
            page_head("svae", "MNIST-Split: SVAE, VAEVAE, MMVAE"),
            finding("svae", "What the paper claims"),
            *lines,
            *commands(records),
        ]
    )


def settings_of(records: list[Record], **options: Any) -> list[Runs]:
    """Return the settings of the records that have these options."""
    own = [r for r in records if all(r["config"][k] == v for k, v in options.items())]
    others = sorted({r["config"]["system"] for r in own} - set(TITLES))
    return tables.settings(own, [*TITLES, *others])


def reads(record: Record) -> Reads:
    """Return the measures that the figures by the share of pairs show, for a data set."""
    test = record["measures"]["test"]
    if "correlation" in test:
        words = {
            "drawn together": (),
            "image to caption": (captions.IMAGE,),
            "caption to image": (captions.TEXT,),
        }
        return {title: partial(_correlation, given=names) for title, names in words.items()}
    if "joint coherence" in test:
        first, second = test["coherence"]["targets"]
        crossed = {
            f"{s} to {t}": partial(_coherence, given=(s,), target=t)
            for s, t in ((first, second), (second, first))
        }
        return {"joint coherence": lambda m: m["joint coherence"], **crossed}
    return {
        "from " + " + ".join(given): partial(_coherence, given=given)
        for given in test["coherence"]["given"]
    }


def _coherence(test: Record, given: Sequence[str], target: str | None = None) -> list[float]:
    return cell(test["coherence"], given, target)


def _correlation(test: Record, given: Sequence[str]) -> list[float]:
    return cell(test["correlation"], given)


def table_1(records: list[Record]) -> list[str]:
    """Show the accuracy of digits rebuilt from both halves and from one, with all rows paired."""
    found = settings_of(records, dataset="mnist_split", supervision=1.0)
    if not found:
        return []
    rows = [["system", "epochs", "both (synergy)", "from top", "from bottom", "paper: both"]]
    rows[0] += ["paper: from top", "paper: from bottom", "prior draws"]
    for runs in found:
        system = runs[0]["config"]["system"]
        cells = [_cell(runs, given) for given in _HALVES]
        paper = [f"{value:.3f}" for value in PAPER.get(system, ())] or [""] * 3
        sure = spread([r["measures"]["confidence"]["prior"] for r in runs])
        rows.append([name_of(runs), length(runs[0]["config"]), *cells, *paper, sure])
    measures = found[0][0]["measures"]
    real, sure = measures["test"]["coherence_of_real"], measures["confidence"]["test"]
    note = (
        f"Real test pictures: {real[0]:.3f} read right, confidence {sure[0]:.3f}. "
        '"Prior draws" is the mean confidence of the classifier in pictures drawn from the prior.\n'
    )
    return ["### Table 1: halves, all rows paired\n", note, *table(rows)]


def figure_4(records: list[Record]) -> list[str]:
    """Show the accuracy of digits rebuilt from halves, by the share of paired rows."""
    found = settings_of(records, dataset="mnist_split")
    if not found:
        return []
    names = ("both (synergy)", "from top", "from bottom")
    columns = {name: partial(_coherence, given=h) for name, h in zip(names, _HALVES, strict=True)}
    rows = _by_share(found, columns)
    return ["### Figure 4: halves, a share of the rows paired\n", *table(rows)]


def figure_6(records: list[Record]) -> list[str]:
    """Show the accuracy of digits rebuilt from each third, each pair and all thirds."""
    found = settings_of(records, dataset="mnist_split_3")
    if not found:
        return []
    names = ("top", "middle", "bottom")
    subsets = [(n,) for n in names] + [(a, b) for a, b in (names[:2], names[::2], names[1:])]
    rows = [["system", "paired", "epochs", *(" + ".join(s) for s in subsets), "all"]]
    for runs in found:
        rows.append([*_setting(runs), *(_cell(runs, given) for given in [*subsets, names])])
    return ["### Figure 6: thirds\n", *table(rows)]


def figure_7(records: list[Record]) -> list[str]:
    """Show joint and cross coherence of pairs of pictures, by the share of rows that are paired."""
    lines: list[str] = []
    for dataset in ("mnist_svhn", "mnist_fashion"):
        found = settings_of(records, dataset=dataset)
        if not found:
            continue
        real = found[0][0]["measures"]["test"]["coherence_of_real"]
        rows = _by_share(found, reads(found[0][0]))
        known = ", ".join(f"{name} {accuracy:.3f}" for name, (accuracy, _) in real.items())
        note = f"Real test pictures read right: {known}.\n"
        title = f"### Figure 7: {dataset}, a share of the rows paired\n"
        stand_in = [_STAND_IN] if dataset == "mnist_fashion" else []
        lines += [title, *stand_in, note, *table(rows)]
    return lines


def figure_8(records: list[Record]) -> list[str]:
    """Show canonical correlation of birds' pictures and captions, by the share that is paired."""
    found = settings_of(records, dataset="cub")
    if not found:
        return []
    real = {"real pairs": partial(_correlation, given=(captions.IMAGE, captions.TEXT))}
    rows = _by_share(found, {**reads(found[0][0]), **real})
    head = "### Figure 8: correlation of image and caption, a share of the rows paired\n"
    return [head, *table(rows)]


def _by_share(found: list[Runs], columns: Reads) -> list[list[str]]:
    """Return the rows of a table, with the largest share first."""
    rows = [["system", "paired", "epochs", *columns]]
    for runs in sorted(found, key=lambda runs: -runs[0]["config"]["supervision"]):
        tests = [r["measures"]["test"] for r in runs]
        cells = [spread([read(test) for test in tests]) for read in columns.values()]
        rows.append([*_setting(runs), *cells])
    return rows


def _setting(runs: Runs) -> list[str]:
    config = runs[0]["config"]
    return [name_of(runs), f"{config['supervision'] * 100:g} %", length(config)]


def _cell(runs: Runs, given: tuple[str, ...]) -> str:
    return spread([_coherence(r["measures"]["test"], given) for r in runs])


def name_of(runs: Runs) -> str:
    """Return a setting's name in tables and pictures."""
    config = runs[0]["config"]
    title = TITLES.get(config["system"], config["system"].upper()) + (
        ", as released" if config["released"] else ""
    )
    return f"{title} ({len(runs)} seeds)" if len(runs) > 1 else title


def figure_3(records: list[Record]) -> list[str]:
    """Show rebuilt digits, for the first seed of each setting of halves."""
    halves = [r for r in records if r["config"]["dataset"] == "mnist_split"]
    return ["### Figure 3: rebuilt from a part\n", *pictures(halves)]


def pictures(records: list[Record]) -> list[str]:
    """Show pictures of digits rebuilt, or of pairs drawn together, for the first seed."""
    lines = []
    for record in first_seed(records):
        config = Config(**record["config"])
        kind = "together" if config.dataset in PAIRS else "reconstructions"
        name = f"{name_of([record])}, {config.supervision * 100:g} % paired"
        lines.append(f"{name}:\n\n![{name}]({config.name}-{kind}.png)\n")
    return lines
