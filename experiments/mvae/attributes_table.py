"""MVAE19's records as figures 9 and 10 of the MVAE paper, which prints no numbers of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ppl_mm import plotting
from ppl_mm.arguments.wording import counted
from ppl_mm.experiments.findings import finding, page_head
from ppl_mm.experiments.tables import Record, made, point, table

__all__ = ["draw", "draw_9", "draw_10", "figure_9", "figure_10", "render"]

Points = list[tuple[float, float, float]]

BY = {"x1": "q(z | x1)", "x1x2": "q(z | x1, x2)"}
_KEPT, _TERMS = "attributes-kept.png", "attributes-terms.png"


def render(records: list[Record]) -> str:
    """Return this part of the page of results, from records that have measures."""
    parts = (figure_9, figure_10, _runs)
    return "\n".join(
        [
            page_head("mvae", "MVAE19: a face and 18 attributes"),
            *(line for part in parts for line in part(records)),
        ]
    )


def figure_9(records: list[Record]) -> list[str]:
    """Show accuracy and likelihoods by the share of modalities that training rows keep."""
    own = _kept(records)
    if not own:
        return []
    quantities = ("accuracy", *(f"{q} by {by}" for by in BY for q in ("log p(x1)", "log p(x1|x2)")))
    lines = _table("kept", "keep", own, quantities)
    picture = f"![By the share of modalities that are kept]({_KEPT})\n"
    return [
        "### Figure 9: modalities kept at random\n",
        finding("mvae", "Figure 9"),
        *lines,
        picture,
        *_each(own),
    ]


def figure_10(records: list[Record]) -> list[str]:
    """Show joint likelihoods and variances of log weights by the number of random subsets."""
    lines = []
    for shared, noise in ((False, "noise of its own"), (True, "the row's noise")):
        own = _complete(records, shared)
        quantities = [f"log p(x1,x2) by {by}{end}" for by in BY for end in ("", " variance")]
        if own:
            lines += [f"Each term with {noise}:\n", *_table("subsets k", "k", own, quantities)]
    if not lines:
        return []
    picture = f"![By the number of random subsets]({_TERMS})\n"
    return [
        "### Figure 10: random subsets among the terms\n",
        finding("mvae", "Figure 10"),
        *lines,
        picture,
    ]


def draw(records: list[Record], folder: Path) -> None:
    """Write the curves of both figures, if there are records of them."""
    draw_9(records, folder)
    draw_10(records, folder)


def draw_9(records: list[Record], folder: Path) -> None:
    """Write the curves of figure 9."""
    own = _kept(records)
    if not own:
        return
    panels = {"accuracy of attributes": _curves(own, "keep", "accuracy", {"": BY["x1"]})}
    for quantity in ("log p(x1)", "log p(x1|x2)"):
        panels[quantity] = _curves(own, "keep", quantity + " by {}")
    figure = plotting.error_curves(panels, xlabel="share kept", logarithmic=True)
    plotting.save(figure, folder / _KEPT)


def draw_10(records: list[Record], folder: Path) -> None:
    """Write the curves of figure 10."""
    own, shared = _complete(records, False), _complete(records, True)
    panels = {}
    if own:
        panels["log p(x1,x2)"] = _curves(own, "k", "log p(x1,x2) by {}")
        panels["variance of log weights"] = _curves(own, "k", "log p(x1,x2) by {} variance")
    if shared:
        panels["variance, one noise"] = _curves(shared, "k", "log p(x1,x2) by {} variance")
    if panels:
        figure = plotting.error_curves(panels, xlabel="random subsets")
        plotting.save(figure, folder / _TERMS)


def _kept(records: list[Record]) -> list[Record]:
    """Return the runs of figure 9."""
    return [r for r in records if r["config"]["k"] == 1 and not r["config"]["shared_noise"]]


def _complete(records: list[Record], shared: bool) -> list[Record]:
    """Return the runs of figure 10, on complete rows."""
    own = [r for r in records if r["config"]["keep"] == 1]
    return [r for r in own if r["config"]["shared_noise"] == shared]


def _kinds(records: list[Record]) -> dict[tuple[float, int], list[Record]]:
    """Group the runs by label weight and epochs."""
    kinds: dict[tuple[float, int], list[Record]] = {}
    for r in records:
        kinds.setdefault((r["config"]["label_weight"], r["config"]["epochs"]), []).append(r)
    return dict(sorted(kinds.items()))


def _curves(
    records: list[Record],
    option: str,
    measure: str,
    titles: Mapping[str, str] = BY,
) -> dict[str, Points]:
    """Return a curve for each title, whose key stands in the measure's name, and kind of runs."""
    kinds, curves = _kinds(records), {}
    for (weight, epochs), own in kinds.items():
        kind = f", λ {weight:g}, {counted(epochs, 'epoch')}" if len(kinds) > 1 else ""
        for by, title in titles.items():
            curves[title + kind] = _points(own, option, measure.format(by))
    return curves


def _points(records: list[Record], option: str, measure: str) -> Points:
    """Return an option's values -> the measure, as mean and deviation over seeds."""
    cells: dict[float, list[list[float]]] = {}
    for r in records:
        found = r["measures"]
        error = found.get(f"{measure} se", 0.0)
        cells.setdefault(r["config"][option], []).append([found[measure], error])
    return [point(x, found) for x, found in sorted(cells.items())]


def _table(head: str, option: str, records: list[Record], measures: Sequence[str]) -> list[str]:
    """Make a table with a row for each value of the option, label weight and number of epochs."""
    rows = [[head, "λ label", "epochs", *(m.replace("|", "\\|") for m in measures)]]
    for (weight, epochs), own in _kinds(records).items():
        columns = [_points(own, option, measure) for measure in measures]
        for cells in zip(*columns, strict=True):
            shown = [_shown(m, cell) for m, cell in zip(measures, cells, strict=True)]
            rows.append([f"{cells[0][0]:g}", f"{weight:g}", str(epochs), *shown])
    return table(rows)


def _shown(measure: str, cell: tuple[float, float, float]) -> str:
    _, value, error = cell
    digits = 4 if measure == "accuracy" else 2
    return f"{value:.{digits}f}" + (f" ± {error:.{digits}f}" if error else "")


def _each(records: list[Record]) -> list[str]:
    """Show each attribute's accuracy by the share kept, beside that of its commoner value."""
    kinds = _kinds(records)
    lines: list[str] = []
    for (weight, epochs), own in kinds.items():
        lines += [f"λ {weight:g}, {counted(epochs, 'epoch')}:\n"] if len(kinds) > 1 else []
        shares = sorted({r["config"]["keep"] for r in own})
        rows = [["attribute", "commoner value", *(f"kept {share:g}" for share in shares)]]
        for name, value in own[0]["measures"]["commoner"].items():
            points = _points(own, "keep", f"accuracy of {name}")
            cells = [f"{accuracy:.3f}" for _, accuracy, _ in points]
            rows.append([name.replace("_", " "), f"{value:.3f}", *cells])
        lines += table(rows)
    return lines


def _runs(records: list[Record]) -> list[str]:
    lines = ["### Runs\n"]
    for r in records:
        c = r["config"]
        lines.append(
            f"- `{r['command']}`: {c['num_samples']} draws, {c['test_rows']:,} "
            f"test rows; {made(r)}."
        )
    return [*lines, ""]
