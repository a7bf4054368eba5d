"""The records on the CMMD paper's data sets as its tables and curves, beside its numbers."""

from collections.abc import Callable
from math import sqrt
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from matplotlib.figure import Figure

from ppl_mm import plotting
from ppl_mm.arguments.wording import counted
from ppl_mm.evaluation import Collapse
from ppl_mm.experiments.cmmd.paper import PAPER, QUOTED, by_data, name_of, settings
from ppl_mm.experiments.cmmd.speech_table import table_1, table_8
from ppl_mm.experiments.findings import finding, page_head
from ppl_mm.experiments.tables import Record, commands, spread, table

__all__ = ["collapse", "draw", "figure_3", "render", "table_2", "table_3", "table_4"]

Measures = dict[str, Any]
QUESTIONS = {
    "two_view_mnist": "MNIST: the class from the rotated digit",
    "xrmb": "XRMB: the phone from speech, of eight other speakers",
    "mir_flickr": "Flickr: 38 labels from the photograph",
}
PANELS = {
    "observed": "KL( q(z | {}) || N(0, 1) )",
    "all": "KL( q(z | both) || N(0, 1) )",
    "missing": "KL( q(z | missing*) || N(0, 1) )",
    "observed against all": "KL( q(z | {}) || q(z | both) )",
    "observed against missing": "KL( q(z | {}) || q(z | missing*) )",
    "variance": "variance of what is missing",
}
_BOTH = ("all", "observed against all")
OBSERVED = {"two_view_mnist": "rotated", "xrmb_1": "speech"}  # The file of the curves.


def render(records: list[Record]) -> str:
    """Return this part of the page of results, from records that have measures."""
    lines = [
        page_head("cmmd", "CMMD: what is missing in use"),
        finding("cmmd", "What the paper claims"),
    ]
    named = by_data(records)
    folds = [r for name, own in named.items() if name in _FOLDS for r in own]
    lines += table_1(folds) if folds else []
    for name, shown in _TABLES.items():
        lines += [line for show in shown for line in show(named[name])] if name in named else []
    lines += figure_3(records)
    return "\n".join([*lines, *commands(records)])


def table_2(records: list[Record]) -> list[str]:
    """Show how well the label is predicted from the observed view, on one data set."""
    (name,) = by_data(records)
    before, after = _COLUMNS[name]
    rows = [["method", "epochs", *before, "paper", *after]]
    for runs in settings(records):
        config, measures = runs[0]["config"], [r["measures"] for r in runs]
        paper = PAPER[name].get(config["system"])
        told = [spread([of(m) for m in measures]) for of in before.values()]
        more = [spread([of(m) for m in measures]) for of in after.values()]
        epochs = "" if config["system"] == "cca" else str(config["epochs"])
        rows.append([name_of(runs), epochs, *told, _shown(paper), *more])
    for method, numbers in QUOTED.items():
        if name in numbers:
            cells = ["" for _ in before], ["" for _ in after]
            rows.append([f"*{method}, paper*", "", *cells[0], _shown(numbers[name]), *cells[1]])
    return [f"### Table 2, {QUESTIONS[name]}\n", *table(rows)]


def _shown(number: float | None) -> str:
    return "" if number is None else f"{number:.3f}" if number < 1 else f"{number:.1f}"


def table_3(records: list[Record]) -> list[str]:
    """Show the accuracy of the digit from MNIST, where SVHN is missing."""
    paper = {"MVAE": "0.957", "MMVAE": "0.913", "CMMD": "0.976 ± 0.001"}
    return ["### Table 3, MNIST-SVHN: the digit from MNIST\n", *_accuracies(records, paper)]


def table_4(records: list[Record]) -> list[str]:
    """Show the accuracy of the digit from MNIST, with a rotated digit or without."""
    paper = {"CMMD from mnist": "0.975 ± 0.003", "CMMD from mnist+rotated": "0.989 ± 0.001"}
    title = "### Table 4, three modalities of MNIST: the digit from what is there\n"
    return [title, *_accuracies(records, paper)]


def figure_3(records: list[Record]) -> list[str]:
    """Show the curves of posterior collapse, which ``draw`` draws."""
    data = by_data(records)
    pictures = [_picture(name) for name in OBSERVED if _curves(data.get(name, []))]
    if not pictures:
        return []
    return [
        "### Figure 3: posterior collapse\n",
        "The share of coordinates of z whose divergence, in 99 % of the test rows, is at "
        "most epsilon nats. High is bad against N(0, 1), good against another posterior. As in the "
        "paper's appendix E, *missing* is what is missing in use for MVAE and MMVAE, the private "
        "latent of it for VCCA-private, and for CMMD, whose encoder sees all, both and the label; "
        "VCCA has no such posterior. The last panel, of speech, is the share of coordinates of the "
        "movements whose variance is at most epsilon.\n",
        *_lacking([r for name in OBSERVED for r in data.get(name, [])]),
        *(f"![Posterior collapse]({picture})\n" for picture in pictures),
    ]


def _lacking(records: list[Record]) -> list[str]:
    """Say which runs were measured before the figure had the paper's panels."""
    lack = [name for name, found in _curves(records).items() if "missing" not in found]
    lack = [name for name in lack if not name.startswith("VCCA,")]  # It has no such posterior.
    if not lack:
        return []
    return [
        f"The records of {'; '.join(lack)} are older than the panels of *missing\\**, and "
        "lack them until these systems are trained and measured anew. Curves given both views "
        "stand in their place, of which the paper has none.\n"
    ]


def draw(records: list[Record], folder: Path) -> None:
    """Write the curves of collapse on each data set, for the first seed of each setting."""
    data = by_data(records)
    for name, observed in OBSERVED.items():
        if _curves(data.get(name, [])):
            plotting.save(collapse(data[name], observed), folder / _picture(name))


def collapse(records: list[Record], observed: str) -> Figure:
    """Draw the curves of collapse on one data set, whose observed modalities are ``observed``."""
    curves = _curves(records)
    panels = {
        title.format(observed): {k: found[kind] for k, found in curves.items() if kind in found}
        for kind, title in PANELS.items()
    }
    return plotting.collapse_curves({title: found for title, found in panels.items() if found})


def _picture(name: str) -> str:
    return f"{name}-collapse.png"


def _curves(records: list[Record]) -> dict[str, dict[str, Collapse]]:
    """Return setting -> kind -> curve.

    Older records also have curves given both views. Of VCCA's systems these are the curves given
    the observed view, as their guides see no other.
    """
    found = {}
    for runs in settings(records):
        if "collapse" in runs[0]["measures"]:
            name = f"{name_of(runs[:1])}, {counted(runs[0]['config']['epochs'], 'epoch')}"
            found[name] = {
                kind: Collapse(
                    curve["quantity"],
                    torch.tensor(curve["thresholds"]),
                    curve["delta"],
                    torch.tensor(curve["epsilons"]),
                )
                for kind, curve in runs[0]["measures"]["collapse"].items()
                if kind not in _BOTH or not runs[0]["config"]["system"].startswith("vcca")
            }
    return found


def _accuracies(records: list[Record], paper: dict[str, str]) -> list[str]:
    """Return our accuracies, then the paper's."""
    rows = [["method", "epochs", "accuracy", "RMSE, SVHN"]]
    for runs in settings(records):
        measures = [r["measures"] for r in runs]
        errors = [m["error"]["test"] for m in measures]
        accuracy = spread([[1 - error, se] for error, se in errors])
        epochs = str(runs[0]["config"]["epochs"])
        rows.append([name_of(runs), epochs, accuracy, spread([m.get("rmse") for m in measures])])
    return table([*rows, *([f"*{title}, paper*", "", told, ""] for title, told in paper.items())])


def _error(part: str) -> Callable[[Measures], Any]:
    return lambda measures: measures["error"][part]


def _precision(part: str, kind: str) -> Callable[[Measures], Any]:
    return lambda measures: 100 * measures["mAP"][part][kind]


def _of_speakers(measures: Measures) -> Any:
    """Return the mean of the speakers' errors, and its standard error over frames."""
    cells = [cell for part, cell in measures["error"].items() if part.startswith("speaker")]
    values, errors = zip(*cells, strict=True)
    return [mean(values), sqrt(sum(e * e for e in errors)) / len(errors)]


def _rmse(measures: Measures) -> Any:
    return measures.get("rmse")


Columns = dict[str, Callable[[Measures], Any]]
_COLUMNS: dict[str, tuple[Columns, Columns]] = {  # These stand before and after the paper's number.
    "two_view_mnist": (
        {"error, test": _error("test"), "error, validation": _error("validation")},
        {"RMSE, noisy digit": _rmse},
    ),
    "xrmb": ({"error, mean of speakers": _of_speakers}, {"RMSE, movements": _rmse}),
    "mir_flickr": (
        {"mAP in %, test": _precision("test", "macro")},
        {"the same over all pairs": _precision("test", "micro"), "RMSE, tags": _rmse},
    ),
}
_TABLES = {
    "two_view_mnist": (table_2,),
    "xrmb": (table_2, table_8),
    "mir_flickr": (table_2,),
    "mnist_svhn": (table_3,),
    "mnist_rotated_svhn": (table_4,),
}


_FOLDS = ("xrmb_1", "xrmb_2", "xrmb_3", "xrmb_4")
