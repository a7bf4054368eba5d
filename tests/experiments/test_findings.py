"""Every section of a paper's findings stands on some page, and no page asks for another."""

import ast
from pathlib import Path

import pytest

from ppl_mm.experiments import findings, papers


@pytest.mark.parametrize("paper", papers.TABLES)
def test_pages_ask_for_the_sections_that_there_are(paper):
    folder = Path(findings.__file__).with_name(paper)
    asked = {
        tuple(argument.value for argument in call.args)
        for path in folder.glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and getattr(call.func, "id", "") in (findings.finding.__name__, findings.page_head.__name__)
    }
    text = (folder / "findings.md").read_text()
    sections = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert len(sections) == len(set(sections))
    assert asked == {(paper, title) for title in sections}


def test_a_section_under_its_title():
    text = findings.page_head("meme", "Table 2")
    assert text.startswith('# Table 2\n\n"Alone" is the modality explained')
    assert text.endswith("prior.\n")
    with pytest.raises(KeyError, match="Table 99"):
        findings.finding("meme", "Table 99")
