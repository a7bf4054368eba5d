"""The omega that validation rows choose, in each experiment of the CMMD paper: figure C.1."""

from pathlib import Path
from statistics import mean

from ppl_mm import plotting
from ppl_mm.experiments.cmmd.three import OMEGA
from ppl_mm.experiments.findings import finding
from ppl_mm.experiments.tables import Record, point, spread, table

__all__ = ["PAPER", "chosen", "draw", "figure_c1"]

ByOmega = dict[float, list[list[float]]]
"""Omega -> value and standard error, for each fold and seed."""

PAPER = {
    "XRMB, four folds": 0.8,
    "two views of MNIST": 0.4,
    "MNIST-SVHN": 0.1,
    "XRMB, all speakers": 0.7,
    "MIR Flickr": 0.5,
}
_THREE = "validation error"
_TITLES = {
    "two_view_mnist": "two views of MNIST",
    "mnist_svhn": "MNIST-SVHN",
    "mnist_rotated_svhn": "three of MNIST",
    "xrmb": "XRMB, all speakers",
    "mir_flickr": "MIR Flickr",
}


def chosen(cells: ByOmega) -> float:
    """Return the omega of the least mean error; of several, the smallest.

    Example:
        >>> chosen({0.5: [[0.2, 0.01], [0.4, 0.01]], 0.0: [[0.3, 0.01]], 1.0: [[0.7, 0.01]]})
        0.0
    """
    return min(sorted(cells), key=lambda omega: round(mean(v for v, _ in cells[omega]), 12))


def figure_c1(records: list[Record]) -> list[str]:
    """Show the chosen omegas, and the curves that ``draw`` draws."""
    published = records[0]["config"]["dataset"] != "mnist_fashion_text"
    rows = [["experiment", "omega", "validation error", *(["omega, paper"] * published)]]
    for name, cells in _experiments(records).items():
        best = chosen(cells)
        paper = _paper(name)
        told = "" if paper is None else f"{paper:g}"
        rows.append([name, f"{best:g}", spread(cells[best]), *([told] * published)])
    return [
        finding("cmmd", "Figure C.1"),
        *table(rows),
        f"![Validation error by omega]({_file(records)})\n",
    ]


def draw(records: list[Record], folder: Path) -> None:
    """Write the validation error by omega, with a curve for each experiment."""
    curves = {
        name: [point(omega, found) for omega, found in cells.items()]
        for name, cells in _experiments(records).items()
    }
    figure = plotting.error_curves({"validation error": curves}, xlabel="omega")
    plotting.save(figure, folder / _file(records))


def _experiments(records: list[Record]) -> dict[str, ByOmega]:
    found: dict[str, ByOmega] = {}
    for record in records:
        cells = found.setdefault(_name(record), {})
        cells.setdefault(record["config"]["omega"], []).append(_error(record["measures"]))
    return found


def _name(record: Record) -> str:
    """Name an experiment; its folds have one name, as in a cross-validation."""
    config = record["config"]
    if config["dataset"] not in _TITLES:
        return f"from {config['observed']}"
    if config["dataset"] == "xrmb" and config["split"]:
        return "XRMB, four folds"
    given = f", from {config['observed']}" if config["observed"] else ""
    return _TITLES[config["dataset"]] + given


def _paper(name: str) -> float | None:
    if not name.startswith("from "):
        return PAPER.get(name)
    letters = [n[0] for n in name.removeprefix("from ").split("+")]
    known = {k: v for k, v in OMEGA.items() if k != "mst"}  # The paper has it only in its figure.
    return known.get("".join(sorted(letters)))


def _error(measures: Record) -> list[float]:
    """Return the error of a class, or 1 less mean average precision of several labels."""
    if "mAP" in measures:
        return [1 - measures["mAP"]["validation"]["macro"], 0.0]
    errors = measures["error"]  # With three modalities, only test rows have it.
    cell: list[float] = errors["validation"] if isinstance(errors, dict) else measures[_THREE]
    return cell


def _file(records: list[Record]) -> str:
    datasets = {r["config"]["dataset"] for r in records}
    return f"{'cmmd' if len(datasets) > 1 else datasets.pop()}-omega.png"
