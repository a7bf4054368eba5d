"""What a page must not say whose data stand in for the paper's."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from ppl_mm.experiments.reproduction import Table

RECORDS = Path(__file__).parents[1] / "experiments" / "results"
# Words in which "paper" is MEME's preset of that name.
_PRESET = r"\(paper\)|\*paper\*|meme-paper-|\| paper, (both ways|\w+ alone)"
_NUMBER = r"\d\.\d|\d ?%|\d e\b"


def stands_in(table: Table) -> bool:
    """Whether the page is of other data than the paper's: PolyMNIST is composed where tests run."""
    return bool(table.stands_in) or "polymnist" in table.data


def of_claims(rows: Sequence[Sequence[str]], table: Table) -> list[str]:
    """The cells of claims with a value of the paper, or a record of other data."""
    wrong = []
    for said, shown, names in rows:
        wrong += [said] if re.search(_NUMBER, said) else []
        for name in re.findall(r"`([^`]+)`", f"{shown} {names}"):
            record = json.loads((RECORDS / f"{name}.json").read_text())
            if record["config"]["dataset"] not in table.data:
                wrong.append(name)
    return wrong


def of_body(text: str) -> list[str]:
    """The lines below a page's head that speak of the paper, which had other data."""
    below = text.partition("| option | these runs | the paper |")[2] or text
    lines = re.sub(_PRESET, "", below).splitlines()
    return [line for line in lines if re.search(r"\bpapers?\b|published|Shi et al", line)]
