"""Parts that the pages of results share: records of several seeds as one row, Markdown tables."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from statistics import mean, stdev
from typing import Any

from ppl_mm.runs.records import PLACES, Record

__all__ = [
    "Record",
    "Runs",
    "cell",
    "commands",
    "composed",
    "filled",
    "first_seed",
    "grouped",
    "length",
    "made",
    "pictures",
    "point",
    "settings",
    "spread",
    "table",
    "trained",
]

Runs = list[Record]
"""The records of one setting, one for each seed."""


def settings(records: list[Record], order: Sequence[str]) -> list[Runs]:
    """Group the records that differ in the seed alone, with the systems in the given order."""
    return grouped(sorted(records, key=lambda r: order.index(r["config"]["system"])))


def filled(records: list[Record], config: type) -> list[Record]:
    """Give records the defaults of the options that they lack, which are newer than the records."""
    default = {field.name: field.default for field in fields(config)}
    return [r | {"config": {**default, **r["config"]}} for r in records]


def grouped(records: list[Record]) -> list[Runs]:
    """Group the records that differ in the seed alone, in their order."""
    groups: dict[str, Runs] = {}
    for record in records:
        config = sorted(record["config"].items())
        key = str([(k, v) for k, v in config if k not in ("seed", *PLACES)])
        groups.setdefault(key, []).append(record)
    return list(groups.values())


def composed(records: Sequence[Record]) -> bool:
    """Whether the data of these records were composed where the published files are missing.

    Example:
        >>> composed([{"data": "composed of MNIST and photographs of scikit-image, seed 0"}])
        True
    """
    return any((record.get("data") or "").startswith("composed") for record in records)


def first_seed(records: list[Record]) -> list[Record]:
    """Return the records of the smallest seed, whose pictures are shown.

    Example:
        >>> first_seed([{"config": {"seed": 2}}, {"config": {"seed": 1}}])
        [{'config': {'seed': 1}}]
    """
    first = min((r["config"]["seed"] for r in records), default=0)
    return [r for r in records if r["config"]["seed"] == first]


def length(config: Mapping[str, Any]) -> str:
    """Return the number of epochs of a run, and of rows where it takes the first few.

    Example:
        >>> length({"epochs": 3}), length({"epochs": 3, "num_train": 20_000, "rows": None})
        ('3', '3 of 20,000 rows')
    """
    taken = [config[name] for name in ("num_train", "rows") if config.get(name)]
    return str(config["epochs"]) + (f" of {min(taken):,} rows" if taken else "")


def spread(values: list[Any]) -> str:
    """Format value ± standard error of one run, or mean ± standard deviation over several seeds."""
    if None in values:
        return ""
    if len(values) > 1:
        numbers = [v[0] if isinstance(v, list) else v for v in values]
        return f"{mean(numbers):.3f} ± {stdev(numbers):.3f}"
    (value,) = values
    return f"{value[0]:.3f} ± {value[1]:.3f}" if isinstance(value, list) else f"{value:.2f}"


def cell(found: Record, given: Sequence[str], target: str | None = None) -> list[float]:
    """Return value and error of a target given some modalities; by default of the first target.

    Example:
        >>> found = {"given": [["a"], ["b"]], "targets": ["a", "b"]}
        >>> found["cells"] = [[[0.1, 0.0], [0.2, 0.0]], [[0.3, 0.0], [0.4, 0.0]]]
        >>> cell(found, ["b"]), cell(found, ["a"], "b")
        ([0.3, 0.0], [0.2, 0.0])
    """
    column = 0 if target is None else found["targets"].index(target)
    estimate: list[float] = found["cells"][found["given"].index(list(given))][column]
    return estimate


def point(x: float, cells: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Return a curve's point at x, with a value and its error.

    One run gives its value and standard error, several give their mean and deviation.

    Example:
        >>> point(0.1, [[0.5, 0.01]]), point(0.1, [[0.5, 0.01], [0.7, 0.01]])[1]
        ((0.1, 0.5, 0.01), 0.6)
    """
    values = [value for value, _ in cells]
    return x, mean(values), stdev(values) if len(values) > 1 else cells[0][1]


def table(rows: list[list[str]]) -> list[str]:
    """Return the lines of a Markdown table; the first row is its head."""
    head, *body = rows
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body)] + [""]


def trained(record: Record) -> str:
    """Say in which precision a run trained, and how its steps were taken if the record has that.

    Example:
        >>> run = {"config": {"precision": "bf16-mixed"}, "step": "recorded: 900 steps replayed"}
        >>> trained(run), trained({"config": {"precision": "32-true"}})
        ('in bfloat16 by recorded steps', 'in float32')
    """
    precision = _PRECISIONS.get(record["config"]["precision"], record["config"]["precision"])
    kind = record.get("step", "").partition(":")[0]
    return f"in {precision}" + (f" by {kind} steps" if kind else "")


_PRECISIONS = {"32-true": "float32", "bf16-mixed": "bfloat16", "16-mixed": "float16"}


def made(record: Record) -> str:
    """Say a run's seed, how it trained, how long training and measures took, and on what."""
    minutes = [record["train_seconds"] / 60, record.get("evaluation_seconds", 0.0) / 60]
    training, measures = (f"{m:.0f}" if m >= 10 else f"{m:.1f}" for m in minutes)
    return (
        f"seed {record['config']['seed']}; training {trained(record)} {training} min, measures "
        f"{measures} min on a busy {record['hardware']}, torch {record['versions']['torch']}"
    )


def commands(records: list[Record]) -> list[str]:
    """Return the lines that say how each run was made."""
    lines = ["### Runs\n"]
    for r in records:
        measures = r["measures"]
        tested = measures["test rows"] if "test rows" in measures else measures["test"]["rows"]
        lines.append(
            f"- `{r['command']}`: {r['train_rows']:,} rows; {made(r)}; {tested:,} test rows."
        )
    return [*lines, ""]


def pictures(runs: Mapping[str, str], kinds: Mapping[str, str]) -> list[str]:
    r"""The lines that show pictures of runs, each under its caption.

    Args:
        runs: The name of a run's files -> the run in words.
        kinds: The end of a picture's name -> what it shows, in words.

    Example:
        >>> pictures({"mnist-own-50-500-0": "MVAE"}, {"prior": "from the prior"})
        ['MVAE: from the prior\n\n![MVAE: from the prior](mnist-own-50-500-0-prior.png)\n']
    """
    lines = []
    for name, title in runs.items():
        for kind, what in kinds.items():
            lines.append(f"{title}: {what}\n\n![{title}: {what}]({name}-{kind}.png)\n")
    return lines
