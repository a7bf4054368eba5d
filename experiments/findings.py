"""The findings of each paper's results, in words: sections of the paper's ``findings.md``."""

from functools import cache
from pathlib import Path

__all__ = ["CLAIMS", "claims", "finding", "page_head"]

CLAIMS = "What the paper claims"
"""The section with a table: pages, the paper's claim, what ours show, and the records."""


def finding(paper: str, title: str) -> str:
    """Return the text of a section of a paper's ``findings.md``.

    Args:
        paper: The paper's folder, such as ``mvae``.
        title: The section's title.

    Raises:
        KeyError: If the paper's findings have no such section.

    Example:
        >>> print(finding("svae", "MNIST-Split: SVAE, VAEVAE, MMVAE").split(" makes")[0])
        `python -m ppl_mm.experiments.svae`
    """
    return _sections(paper)[title]


def page_head(paper: str, title: str) -> str:
    """Return a section under its title, with which a part of the page of results begins."""
    return f"# {title}\n\n{finding(paper, title)}"


def claims(paper: str, page: str) -> list[list[str]]:
    """Return the rows of the claims that a page speaks of, if there are any.

    Returns:
        The paper's claim, what ours show, and the names of the records.

    Example:
        >>> [row[0] for row in claims("svae", "table-1")][1]
        'VAEVAE rebuilds best from one half'
    """
    try:
        text = finding(paper, CLAIMS)
    except (KeyError, FileNotFoundError):  # Experiments of one's own need no findings.
        return []
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[2:]]
    return [row for pages, *row in rows if page in pages.split()]


@cache
def _sections(paper: str) -> dict[str, str]:
    text = Path(__file__).with_name(paper).joinpath("findings.md").read_text(encoding="utf-8")
    _, *sections = text.split("\n## ")
    parts = (section.partition("\n") for section in sections)
    return {title: f"{body.strip()}\n" for title, _, body in parts}
