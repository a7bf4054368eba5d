"""Lists with one entry per line, cut off at the width of the terminal."""

import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence

__all__ = ["page", "plain", "table", "width"]

_NARROWEST, _GAP = 40, 2


def width() -> int:
    """Return the number of columns of the terminal; 80 where the output goes elsewhere."""
    return max(shutil.get_terminal_size((80, 24)).columns, _NARROWEST)


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Return one line per entry with aligned cells; the last cell is cut to fit.

    Example:
        >>> print(table(("system", "what it is"), [("mvae", "MVAE: a product of experts.")]))
        system  what it is
        mvae    MVAE: a product of experts.
    """
    lines = [tuple(heading), *map(tuple, rows)]
    sizes = [max(map(len, cells)) for cells in list(zip(*lines, strict=True))[:-1]]
    found = []
    for *cells, last in lines:
        padded = [cell.ljust(size + _GAP) for cell, size in zip(cells, sizes, strict=True)]
        found.append(_cut("".join([*padded, last]).rstrip()))
    return "\n".join([*found, *([caption] if caption else [])])


def page(documentation: str, needs: str, options: Iterable[Sequence[str]]) -> str:
    """Return the page of a system: what it is, what data it needs, and its options.

    Args:
        documentation: The description of the system, in paragraphs and indented formulas.
        needs: The modalities that the system takes.
        options: Name, default and meaning of each option.
    """
    wide = min(width(), 100)
    parts = [_wrapped(paragraph, wide) for paragraph in documentation.split("\n\n")]
    parts.append(textwrap.fill(f"Modalities: {needs}", wide))
    lines = ["Options, --option NAME=VALUE, with their defaults:"]
    for name, default, what in options:
        meaning = textwrap.wrap(what, wide - 6) or [""]
        lines += [_cut(f"  {name} = {default}"), *(f"      {line}" for line in meaning)]
    return "\n\n".join([*parts, "\n".join(lines)])


def _wrapped(paragraph: str, wide: int) -> str:
    """Fill a paragraph of prose, or wrap each line of a formula or list separately."""
    if not paragraph.startswith((" ", "-")):
        return textwrap.fill(paragraph, wide)
    lines = paragraph.split("\n")
    return "\n".join(textwrap.fill(x, wide, subsequent_indent=8 * " ") for x in lines)


def plain(text: str) -> str:
    """Return documentation without its markup.

    Example:
        >>> plain("See :class:`ppl_mm.guides.Experts` and ``None``.")
        'See Experts and None.'
    """
    return re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"\1", text).replace("``", "")


def _cut(line: str) -> str:
    return line if len(line) <= width() else f"{line[: width() - 1].rstrip()}…"
