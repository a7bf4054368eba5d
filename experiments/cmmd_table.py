"""The records on two views of MNIST as a table beside the paper's numbers, and collapse curves."""

from pathlib import Path

import torch
from ppl_mm.experiments import tables
from ppl_mm.experiments.tables import Record, Runs, spread, table

from ppl_mm import plotting
from ppl_mm.evaluation import Collapse

__all__ = ["PAPER", "draw", "figure_3", "render", "table_2"]

# Table 2 of Mancisidor et al. 2023, column MNIST: errors in %, as shares.
PAPER = {
    "cmmd": 0.024,
    "vcca": 0.030,
    "vcca_private": 0.024,
    "mvae": 0.060,
    "mmvae": 0.123,
    "classifier": 0.131,
    "cca": 0.191,
    "dcca": 0.047,
    "dccae": 0.044,
    "mvcl": 0.027,
}
TITLES = {
    "cmmd": "CMMD",
    "vcca": "VCCA",
    "vcca_private": "VCCA-private",
    "mvae": "MVAE",
    "mmvae": "MMVAE",
    "classifier": "classifier M-x_O",
    "matched": "classifier, CMMD's networks",
    "cca": "linear CCA",
    "dcca": "DCCA",
    "dccae": "DCCAE",
    "mvcl": "MVCL",
}
PICTURE = "two_view_mnist-collapse.png"
PANELS = {
    "observed": "KL( q(z | rotated) || N(0, 1) )",
    "all": "KL( q(z | both) || N(0, 1) )",
    "observed against all": "KL( q(z | rotated) || q(z | both) )",
}


def render(records: list[Record]) -> str:
    """The part of the page, from records that have measures."""
    return "\n".join([_HEAD, *table_2(records), *figure_3(records), *_runs(records)])


def table_2(records: list[Record]) -> list[str]:
    """Errors of the class from the view that is there."""
    settings = tables.settings(records, list(TITLES))
    rows = [["method", "epochs", "error, test", "error, validation", "paper", "RMSE, noisy digit"]]
    for runs in settings:
        config, measures = runs[0]["config"], [r["measures"] for r in runs]
        paper = PAPER.get(config["system"])
        errors = [spread([m["error"][part] for m in measures]) for part in ("test", "validation")]
        rmse = spread([m.get("rmse") for m in measures])
        epochs = "" if config["system"] == "cca" else str(config["epochs"])
        rows.append([_name(runs), epochs, *errors, "" if paper is None else f"{paper:.3f}", rmse])
    return ["### Table 2, MNIST: the class from the rotated digit\n", *table(rows)]


def figure_3(records: list[Record]) -> list[str]:
    """Curves of posterior collapse, which ``draw`` draws."""
    if not _curves(records):
        return []
    return [
        "### Figure 3: posterior collapse\n",
        "The share of coordinates of z whose divergence, in 99 % of the test rows, is at "
        "most epsilon nats. High is bad in the first two panels, good in the third.\n",
        f"![Posterior collapse]({PICTURE})\n",
    ]


def draw(records: list[Record], folder: Path) -> None:
    """Write the curves of collapse, of the first seed of each setting."""
    curves = _curves(records)
    if curves:
        panels = {
            title: {name: found[kind] for name, found in curves.items() if kind in found}
            for kind, title in PANELS.items()
        }
        shown = {title: found for title, found in panels.items() if found}
        plotting.save(plotting.collapse_curves(shown), folder / PICTURE)


def _curves(records: list[Record]) -> dict[str, dict[str, Collapse]]:
    """Setting -> kind -> curve."""
    found = {}
    for runs in tables.settings(records, list(TITLES)):
        if "collapse" in runs[0]["measures"]:
            found[_name(runs[:1])] = {
                kind: Collapse(
                    curve["quantity"],
                    torch.tensor(curve["thresholds"]),
                    curve["delta"],
                    torch.tensor(curve["epsilons"]),
                )
                for kind, curve in runs[0]["measures"]["collapse"].items()
            }
    return found


def _name(runs: Runs) -> str:
    config = runs[0]["config"]
    title = TITLES[config["system"]]
    if config["system"] == "cmmd":
        title += f", omega {config['omega']:g}"
        title += "" if config["label_reduction"] == "sum" else ", mean label"
    return f"{title} ({len(runs)} seeds)" if len(runs) > 1 else title


def _runs(records: list[Record]) -> list[str]:
    lines = ["### Runs\n"]
    for r in records:
        minutes = r["train_seconds"] / 60
        lines.append(
            f"- `{r['command']}`: {r['train_rows']:,} rows, {minutes:.0f} min of training on a "
            f"busy {r['hardware']}, torch {r['versions']['torch']}; "
            f"{r['measures']['test rows']:,} test rows."
        )
    return [*lines, ""]


_HEAD = """# CMMD: two views of MNIST

Made by `experiments/cmmd.py`. One view, a rotated digit, is there in use; the other, a noisy digit
of the same class, in training alone. CMMD and the classifiers learn from labels; of the others a
linear support vector machine reads the latent's mean (or projection) given the rotated digit. One
seed: ± is the standard error over test rows; several: the deviation between them.
"""
