"""The records on single speakers of XRMB, and on its folds, by omega: figures 5 and 6."""

from collections.abc import Iterable
from pathlib import Path

from ppl_mm import plotting
from ppl_mm.experiments.cmmd import table as cmmd_table
from ppl_mm.experiments.cmmd.omega import ByOmega, chosen
from ppl_mm.experiments.findings import finding
from ppl_mm.experiments.tables import Record, Runs, point, spread, table

__all__ = ["draw_5", "draw_6", "figure_5", "figure_6"]

_TUNED, _ELBO, _FIXED = "omega by validation", "omega 1", "variance 0.01, omega 0.7"
_COLLAPSE, _BY_OMEGA, _BY_SPEAKER = (
    f"xrmb-speakers-{name}.png" for name in ("collapse", "by-omega", "by-speaker")
)
_PANELS = {"error": "error", "variance": "mean variance", "rmse": "RMSE"}


def figure_5(records: list[Record]) -> list[str]:
    """Show each speaker's error, the variance of the movements made, and their RMSE.

    :func:`draw_5` draws the same.
    """
    rows = [["speaker", "setting", "omega", *_PANELS.values()]]
    for setting, speakers in _settings(records).items():
        for speaker, runs in speakers.items():
            cells = [spread([_cell(r, kind) for r in runs]) for kind in _PANELS]
            omega = f"{runs[0]['config']['omega']:g}"
            rows.append([str(speaker), setting, omega, *cells])
    head, *body = rows
    ordered = [head, *sorted(body, key=lambda row: int(row[0]))]
    return [finding("cmmd", "Figure 5"), f"![By speaker]({_BY_SPEAKER})\n", *table(ordered)]


def draw_5(records: list[Record], folder: Path) -> None:
    """Write error, variance and RMSE of each speaker, with a curve for each setting."""
    panels = {
        title: {
            setting: [
                point(speaker, [_cell(r, kind) for r in runs]) for speaker, runs in speakers.items()
            ]
            for setting, speakers in _settings(records).items()
        }
        for kind, title in _PANELS.items()
    }
    plotting.save(plotting.error_curves(panels, xlabel="speaker"), folder / _BY_SPEAKER)


def figure_6(records: list[Record]) -> list[str]:
    """Show collapse at both ends of omega, and means over speakers and over folds by omega."""
    rows = [["rows", "omega", "error", "RMSE"]]
    kinds = {kind: _by_omega(records, kind) for kind in ("error", "rmse")}
    for name, cells in kinds["error"].items():
        for omega, errors in sorted(cells.items()):
            rmse = kinds["rmse"][name][omega]
            rows.append([name, f"{omega:g}", spread(errors), spread(rmse)])
    shown = [f"![By omega]({_BY_OMEGA})\n", *table(rows)]
    return [finding("cmmd", "Figure 6"), f"![Posterior collapse]({_COLLAPSE})\n", *shown]


def draw_6(records: list[Record], folder: Path) -> None:
    """Write the curves of collapse of the first speaker, and error and RMSE by omega."""
    speaker = next(r["config"]["speaker"] for r in records if r["config"]["speaker"])
    first = [r for r in records if r["config"]["speaker"] == speaker]
    omegas = [r["config"]["omega"] for r in first]
    ends = [r for r in first if r["config"]["omega"] in (min(omegas), max(omegas))]
    plotting.save(cmmd_table.collapse(ends, "speech"), folder / _COLLAPSE)
    panels = {
        f"{title}, {name}": {"CMMD": [point(omega, found) for omega, found in cells.items()]}
        for kind, title in (("error", "error"), ("rmse", "RMSE"))
        for name, cells in _by_omega(records, kind).items()
    }
    plotting.save(plotting.error_curves(panels, xlabel="omega"), folder / _BY_OMEGA)


def _settings(records: list[Record]) -> dict[str, dict[int, Runs]]:
    """Return setting -> speaker -> its runs, with the omega of the least validation error."""
    found: dict[str, dict[int, Runs]] = {}
    speakers = list(dict.fromkeys(r["config"]["speaker"] for r in records))
    for speaker in speakers:
        own = [r for r in records if r["config"]["speaker"] == speaker]
        learned = [r for r in own if r["config"]["scale"] is None]
        cells: ByOmega = {}
        for r in learned:
            error = r["measures"]["error"]["validation"]
            cells.setdefault(r["config"]["omega"], []).append(error)
        best = chosen(cells) if cells else None
        kinds: dict[str, Iterable[Record]] = {
            _TUNED: (r for r in learned if r["config"]["omega"] == best),
            _ELBO: (r for r in learned if r["config"]["omega"] == 1),
            _FIXED: (r for r in own if r["config"]["scale"] is not None),
        }
        for setting, runs in kinds.items():
            kept = list(runs)
            if kept:
                found.setdefault(setting, {})[speaker] = kept
    return found


def _by_omega(records: list[Record], kind: str) -> dict[str, ByOmega]:
    """Return rows -> omega -> the cells of all speakers, or of all folds."""
    found: dict[str, ByOmega] = {}
    for r in records:
        name = "each speaker" if r["config"]["speaker"] else "folds"
        cells = found.setdefault(name, {})
        cells.setdefault(r["config"]["omega"], []).append(_cell(r, kind))
    return found


def _cell(record: Record, kind: str) -> list[float]:
    found = record["measures"][kind]
    cell: list[float] = found["test"] if kind == "error" else found
    return cell
