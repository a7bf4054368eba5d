"""The records on XRMB as tables 1 and 8, beside the paper's numbers."""

from statistics import mean, pstdev

from ppl_mm.experiments.cmmd.paper import FOLDS, SPEAKERS, TITLES, name_of, settings
from ppl_mm.experiments.tables import Record, Runs, spread, table

__all__ = ["table_1", "table_8"]


def table_1(records: list[Record]) -> list[str]:
    """Show errors of the phone and RMSE of the movements, on the four folds."""
    lines = []
    for kind, title, digits in (("error", "error", 3), ("rmse", "RMSE", 2)):
        rows = [["method", *(f"fold {fold}" for fold in (1, 2, 3, 4)), "mean"]]
        for system, numbers in FOLDS.items():
            own = [r for r in records if r["config"]["system"] == system]
            for folds in _but_split(settings(own)) if kind in numbers else []:
                cells = [[_test(r, kind) for r in runs] for runs in folds.values()]
                shown = {k: spread(c) for k, c in zip(folds, cells, strict=True)}
                whole = len(folds) == len(numbers[kind])
                told = f"{mean(mean(v for v, _ in c) for c in cells):.3f}" if whole else ""
                name = name_of(next(iter(folds.values())))
                rows.append([name, *(shown.get(fold, "") for fold in (1, 2, 3, 4)), told])
            if kind in numbers:
                paper = [f"{n:.{digits}f}" for n in (*numbers[kind], mean(numbers[kind]))]
                rows.append([f"*{TITLES[system]}, paper*", *paper])
        lines += [f"### Table 1, XRMB, four folds: {title}\n", *table(rows)]
    return lines


def table_8(records: list[Record]) -> list[str]:
    """Show RMSE of the movements and error of the phone, for each speaker among the test rows."""
    lines = []
    for runs in settings([r for r in records if r["config"]["system"] == "cmmd"]):
        rows, found = [["speaker", "RMSE", "paper", "error", "paper"]], []
        for speaker, paper in SPEAKERS.items():
            name = f"speaker {speaker}"
            if not all(name in r["measures"]["error"] for r in runs):
                continue
            kinds = ("rmse of speakers", "error")
            cells = [[r["measures"][kind][name] for r in runs] for kind in kinds]
            found.append([mean(v for v, _ in cell) for cell in cells])
            rmse, error = (spread(cell) for cell in cells)
            rows.append([str(speaker), rmse, f"{paper[0]:.2f}", error, f"{paper[1]:.3f}"])
        for title, of in (("mean", mean), ("standard deviation", pstdev)):
            rmse, error = (f"{of(column):.3f}" for column in zip(*found, strict=True))
            papers = [of(column) for column in zip(*SPEAKERS.values(), strict=True)]
            rows.append([title, rmse, f"{papers[0]:.2f}", error, f"{papers[1]:.3f}"])
        lines += [f"### Table 8, XRMB, each speaker: {name_of(runs)}\n", *table(rows)]
    return lines


def _test(record: Record, kind: str) -> list[float]:
    """Return value and standard error over all test rows."""
    found = record["measures"][kind]
    cell: list[float] = found["test"] if kind == "error" else found
    return cell


def _but_split(groups: list[Runs]) -> list[dict[int, Runs]]:
    """Group the settings that differ in the fold alone: fold -> its runs."""
    found: dict[str, dict[int, Runs]] = {}
    for runs in groups:
        config = {k: v for k, v in runs[0]["config"].items() if k not in ("seed", "out", "device")}
        split = config.pop("split")
        found.setdefault(str(config), {})[split] = runs
    return list(found.values())
