"""The findings of each paper's results, in words: sections of the paper's ``findings.md``."""

from functools import cache
from pathlib import Path

__all__ = ["finding", "page_head"]


def finding(paper: str, title: str) -> str:
    """Return the text of a section of a paper's ``findings.md``.

    Args:
        paper: The paper's folder, such as ``mvae``.
        title: The section's title.

    Raises:
        KeyError: If the paper's findings have no such section.

    Example:
        >>> print(finding("svae", "Figure 7").split(".")[0])
        The paper gives no numbers
    """
    return _sections(paper)[title]


def page_head(paper: str, title: str) -> str:
    """Return a section under its title, with which a part of the page of results begins."""
    return f"# {title}\n\n{finding(paper, title)}"


@cache
def _sections(paper: str) -> dict[str, str]:
    text = Path(__file__).with_name(paper).joinpath("findings.md").read_text(encoding="utf-8")
    _, *sections = text.split("\n## ")
    parts = (section.partition("\n") for section in sections)
    return {title: f"{body.strip()}\n" for title, _, body in parts}
