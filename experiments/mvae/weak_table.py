"""The records of MVAE's weak supervision as tables, beside the paper's numbers."""

from pathlib import Path
from statistics import mean, stdev

from ppl_mm import plotting
from ppl_mm.experiments.findings import finding, page_head
from ppl_mm.experiments.mvae.readings import reading
from ppl_mm.experiments.tables import Record, Runs, grouped, length, made, point, table

__all__ = ["PAPER", "draw", "figure_3", "render", "table_8", "table_9", "table_10"]

# Wu & Goodman 2018, tables 8 to 10: the share of paired rows -> accuracy of the label.
FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
PAPER = {
    "mnist": {
        "mvae": (0.2842, 0.6254, 0.8593, 0.8838, 0.9394, 0.9584, 0.9711, 0.9678, 0.9681),
        "jmvae": (0.2342, 0.2809, 0.3386, 0.6116, 0.7869, 0.8638, 0.9051, 0.9498, 0.9572),
        "nn": (0.6618, 0.6964, 0.7971, 0.8499, 0.8838, 0.9235, 0.9455, 0.9806, 0.9857),
        "logreg": (0.6565, 0.7014, 0.7907, 0.8391, 0.8510, 0.8713, 0.8665, 0.9217, 0.9255),
        "rbm": (0.7152, 0.7496, 0.8288, 0.8614, 0.8946, 0.917, 0.9257, 0.9365, 0.9379),
        "ae": (0.4143, 0.5429, 0.6448, 0.788, 0.8519, 0.9124, 0.9269, 0.9423, 0.9369),
        "vae": (0.2547, 0.284, 0.4026, 0.6369, 0.8016, 0.8717, 0.8989, 0.9183, 0.9311),
    },
    "fashion_mnist": {
        "mvae": (0.4548, 0.5189, 0.7619, 0.8619, 0.9201, 0.9243, 0.9239, 0.9478, 0.947),
        "jmvae": (0.5284, 0.5737, 0.6641, 0.6996, 0.7437, 0.7937, 0.8212, 0.8514, 0.8828),
        "nn": (0.6755, 0.701, 0.7654, 0.7944, 0.8102, 0.8439, 0.862, 0.8998, 0.9318),
        "logreg": (0.6612, 0.7005, 0.7624, 0.7627, 0.7728, 0.7802, 0.8015, 0.8377, 0.8412),
        "rbm": (0.6708, 0.7214, 0.7628, 0.7690, 0.7805, 0.7943, 0.8021, 0.8088, 0.8115),
        "vae": (0.5316, 0.6502, 0.7221, 0.7324, 0.7576, 0.7697, 0.7765, 0.7914, 0.8311),
    },
    "multimnist": {
        "mvae": (0.09363, 0.1189, 0.1098, 0.2287, 0.3805, 0.4289, 0.4999, 0.5121, 0.5288),
        "jmvae": (0.0603, 0.0603, 0.0888, 0.1531, 0.1699, 0.1772, 0.4765, 0.4962, 0.4955),
    },
}
TITLES = {
    "mvae": "MVAE",
    "jmvae": "JMVAE",
    "nn": "NN",
    "logreg": "LOGREG",
    "rbm": "RBM",
    "ae": "AE",
    "vae": "VAE",
}
_PANELS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "multimnist": "MultiMNIST"}
_PICTURE = "accuracy-by-share.png"
_WATCHED = ", with held-out rows"
"""What tells a run that measured held-out rows from one that did not."""


def render(records: list[Record]) -> str:
    """Return this part of the page of results, from records that have measures."""
    parts = (table_8, table_9, table_10, _runs)
    return "\n".join(
        [
            page_head("mvae", "MVAE: labels for a few images"),
            *(line for part in parts for line in part(records)),
        ]
    )


def table_8(records: list[Record]) -> list[str]:
    """Show accuracy by the share of paired rows of MNIST."""
    return [*_table("### Table 8: MNIST\n", "mnist", records), *_chosen(records, "mnist")]


def table_9(records: list[Record]) -> list[str]:
    """Show accuracy by the share of paired rows of FashionMNIST."""
    found = _table("### Table 9: FashionMNIST\n", "fashion_mnist", records)
    return [*found, *_chosen(records, "fashion_mnist")]


def table_10(records: list[Record]) -> list[str]:
    """Show accuracy of strings by the share of paired rows of MultiMNIST."""
    digits = _table("Digits alone:\n", "multimnist", records, "accuracy of digits")
    every = _table("All positions:\n", "multimnist", records)
    return (
        ["### Table 10: MultiMNIST\n", finding("mvae", "Table 10"), *digits, *every]
        if digits
        else []
    )


def figure_3(records: list[Record]) -> list[str]:
    """Show the curves of tables 8 to 10, which ``draw`` draws."""
    del records
    return [finding("mvae", "Figure 3"), f"![Accuracy by the share of pairs]({_PICTURE})\n"]


def draw(records: list[Record], folder: Path) -> None:
    """Write the curves, with the paper's dashed; strings have the accuracy of all positions."""
    ours: dict[str, dict[str, list[tuple[float, float, float]]]] = {}
    paper: dict[str, dict[str, list[tuple[float, float, float]]]] = {}
    for dataset, panel in _PANELS.items():
        own = [r for r in records if r["config"]["dataset"] == dataset]
        for method in TITLES:
            kinds = _kinds(own, method)
            for kind, runs in kinds.items():
                lengths = {k[-1] for k in kinds}
                name = f"{kind[0]}, epochs: {kind[-1]}" if len(lengths) > 1 else kind[0]
                cells: dict[float, list[list[float]]] = {}
                for r in runs:
                    share = 100 * r["config"]["fraction"]
                    cells.setdefault(share, []).append(r["measures"]["accuracy"])
                points = [point(share, found) for share, found in cells.items()]
                ours.setdefault(panel, {})[name] = points
                if method in PAPER[dataset]:
                    numbers = zip(FRACTIONS, PAPER[dataset][method], strict=True)
                    known = [(100 * share, value, 0.0) for share, value in numbers]
                    paper.setdefault(panel, {})[name] = known
    figure = plotting.error_curves(
        ours, xlabel="pairs, %", ylabel="accuracy", beside=paper, logarithmic=True
    )
    plotting.save(figure, folder / _PICTURE)


def _table(title: str, dataset: str, records: list[Record], measure: str = "accuracy") -> list[str]:
    """Make a table: each method's runs, then the paper's, with a column for each share."""
    own = [r for r in records if r["config"]["dataset"] == dataset]
    if not own:
        return []
    shares = sorted({r["config"]["fraction"] for r in own})
    rows = [
        ["method", "λ label", "image term", "epochs", *(f"{share * 100:g} %" for share in shares)]
    ]
    for method, name in TITLES.items():
        kinds = _kinds(own, method)
        for kind in kinds:
            cells = [_cell(kinds[kind], share, measure) for share in shares]
            rows.append([*kind, *cells])
        paper = PAPER[dataset].get(method)
        if kinds and paper:
            known = dict(zip(FRACTIONS, paper, strict=True))
            cells = [f"{known[share]:.4f}" if share in known else "" for share in shares]
            weight = "50" if method in ("mvae", "jmvae") else ""
            epochs = "" if method == "logreg" else "500" if dataset == "mnist" else "100"
            term = "image" if method == "mvae" else ""
            rows.append([f"*{name}, paper*", weight, term, epochs, *cells])
    return [title, *table(rows)]


def _chosen(records: list[Record], dataset: str) -> list[str]:
    """Show the test accuracy at the epochs that held-out rows choose, where they were measured."""
    rows = [["method", "λ label", "share", "epochs", "last epoch"]]
    rows[0] += ["best held-out loss (epoch)", "best held-out accuracy (epoch)"]
    own = [r for r in records if r["config"]["dataset"] == dataset and "chosen" in r]
    for runs in grouped(own):
        name, weight, _, epochs = _kind(runs[0])
        share = f"{runs[0]['config']['fraction'] * 100:g} %"
        last = _values([r["measures"]["accuracy"][0] for r in runs])
        told = []
        for by in ("loss", "accuracy"):
            chosen = [r["chosen"][by] for r in runs]
            known = ", ".join(str(c["epoch"]) for c in chosen)
            told.append(f"{_values([c['test accuracy'] for c in chosen])} ({known})")
        rows.append([name.removesuffix(_WATCHED), weight, share, epochs, last, *told])
    note = (
        "Test accuracy by the epoch that counts; the held-out rows are pairs that do not train. "
        "Several seeds have an epoch each, and ± is the deviation over them.\n"
    )
    return [note, *table(rows)] if len(rows) > 1 else []


def _values(found: list[float]) -> str:
    """Format the value of one seed, or mean ± deviation over several."""
    return f"{mean(found):.4f}" + (f" ± {stdev(found):.4f}" if len(found) > 1 else "")


def _kinds(records: list[Record], method: str) -> dict[tuple[str, ...], Runs]:
    """Return name, label weight, image-only term and epochs -> the runs."""
    found: dict[tuple[str, ...], Runs] = {}
    for record in records:
        if record["config"]["method"] == method:
            found.setdefault(_kind(record), []).append(record)
    shortest_first = sorted(found, key=lambda kind: (*kind[:-1], len(kind[-1]), kind[-1]))
    return {kind: found[kind] for kind in shortest_first}


def _kind(record: Record) -> tuple[str, ...]:
    """Return name, label weight, image-only term and epochs (of rows, if it takes few)."""
    config = record["config"]
    method, terms = config["method"], config.get("terms", "own")
    weight = f"{config['label_weight']:g}" if method in ("mvae", "jmvae") else ""
    term = {"own": "image", "image_all": "image, label"}[terms] if method == "mvae" else ""
    name = TITLES[method] + (f", {reading(config)}" if method == "mvae" else "")
    name += ", pairs in every step" if config.get("every_step") else ""
    name += _WATCHED if config.get("held_out") else ""
    return name, weight, term, "" if method == "logreg" else length(config)


def _cell(records: list[Record], share: float, measure: str) -> str:
    """Format ± over test rows of one run, or over seeds of several."""
    found = [r["measures"][measure] for r in records if r["config"]["fraction"] == share]
    if not found:
        return ""
    value = mean(accuracy for accuracy, _ in found)
    error = found[0][1] if len(found) == 1 else stdev(accuracy for accuracy, _ in found)
    seeds = f" ({len(found)} seeds)" if len(found) > 1 else ""
    return f"{value:.4f} ± {error:.4f}{seeds}"


def _runs(records: list[Record]) -> list[str]:
    lines = ["### Runs\n"]
    for r in sorted(records, key=lambda r: list(TITLES).index(r["config"]["method"])):
        lines.append(f"- `{r['command']}`: {made(r)}; {r['measures']['test rows']:,} test rows.")
    return [*lines, ""]
