"""Make the library's docstrings reStructuredText: formulas as blocks, stars and bars as they are.

In a docstring an indented block is a formula, and ``(B, *D)`` a shape. Both are written for a
reader of the code; a reader of the site sees the same characters.
"""

import re
from typing import Any

_SECTION = re.compile(r"^[A-Z][a-z]+s?:$")
_LITERAL = re.compile(r"(``.+?``|:\w+:`.+?`|\*\*[^*\s][^*]*\*\*)")


def mend(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText; what napoleon reads stays as it is."""
    found: list[str] = []
    inside = formula = False  # a section such as "Args:", or a formula
    for line in lines:
        indented = line.startswith("    ")
        if line.strip() and not indented:
            inside, formula = bool(_SECTION.match(line)), False
        if indented and not inside and not formula and found and not found[-1].strip():
            found += ["::", ""]
            formula = True
        example = line.lstrip().startswith((">>>", "..."))
        found.append(line if formula or example else _escaped(line))
    return found


def _escaped(line: str) -> str:
    """A line without emphasis by single stars, and without substitutions."""
    parts = _LITERAL.split(line)
    parts[::2] = [re.sub(r"(?<!\\)([*|])", r"\\\1", part) for part in parts[::2]]
    return "".join(parts)


def _process(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = mend(lines)


def setup(app: Any) -> dict[str, bool]:
    """Make this a Sphinx extension; it runs before napoleon."""
    app.connect("autodoc-process-docstring", _process, priority=100)
    return {"parallel_read_safe": True}
