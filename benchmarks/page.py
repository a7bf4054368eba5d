"""Write results/README.md from the records beside it.

    python benchmarks/page.py

A script in this folder writes a record with ``--out``. A record holds a title, a setting, tables
and perhaps a picture. Notes on a record are in a file of the same name that ends in ``.notes.md``.
"""

import json
from pathlib import Path
from typing import Any

import typer

RESULTS = Path(__file__).parent / "results"
ORDER = (
    "step",
    "step-five",
    "step-five-wide",
    "step-five-wide-mixtures",
    "step-compiled",
    "step-missing",
    "step-missing-64",
    "step-missing-wide",
    "training",
    "training-cuda",
    "modalities",
    "strata",
    "likelihood",
    "likelihood-certify",
    "likelihood-systems",
    "likelihood-peers",
    "likelihood-binary",
    "systems",
)
HEAD = """# Speed, and what log-likelihoods are worth

Written by `python benchmarks/page.py` from the records beside it. Times are medians, with
quartiles in brackets; ratios are taken round by round, with sides in turns within one process. With
one thread, times are those of the processor: waiting for a core that others use does not count.
"""


def page(folder: Path) -> str:
    """Return the whole page."""
    records = sorted(folder.glob("*.json"))  # docs/imputation.md shows its own
    found = {path.stem: path for path in records if "tables" in json.loads(path.read_text())}
    names = [n for n in ORDER if n in found] + [n for n in found if n not in ORDER]
    return "\n".join([HEAD, *(_section(found[n]) for n in names)])


def _section(path: Path) -> str:
    record = json.loads(path.read_text())
    parts = [f"## {record['title']}\n", _setting(record["setting"], path.name)]
    notes = path.with_suffix(".notes.md")
    if notes.is_file():
        parts.append(notes.read_text())
    if "picture" in record:
        parts.append(f"![{record['title']}]({record['picture']})\n")
    for table in record["tables"]:
        parts += [f"**{table['title']}**\n", _table(table)]
    return "\n".join(parts)


def _setting(setting: dict[str, Any], name: str) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in setting["versions"].items())
    load = f"{setting['load at the start']} at the start, {setting['load at the end']} at the end"
    return (
        f"`{setting['command']}`\n\n{setting['begun']}; {setting['hardware']}, "
        f"{setting['threads']} thread(s); {versions}; seed {setting['seed']}; load of the machine "
        f"{load}. Record: `{name}`.\n"
    )


def _table(table: dict[str, Any]) -> str:
    lines = [table["columns"], ["---"] * len(table["columns"]), *table["rows"]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(folder: Path = RESULTS) -> None:
    """Write the page."""
    (folder / "README.md").write_text(page(folder))


if __name__ == "__main__":
    typer.run(main)
