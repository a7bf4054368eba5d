"""Findings stand on pages, and rest on records: a number that no record has is red."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ppl_mm.experiments import findings, papers

RECORDS = Path(__file__).parents[2] / "experiments" / "results"
GIVEN = {
    "mvae": {"0.7", "0.01", "76.9", "73.9", "0.06"},
    "svae": set(),
    "mmvae_plus": {"0.1", "0.01", "0.0001", "92.81"},
    "meme": set(),
    "cmmd": {"4.2", "0.6", "0.4", "0.2"},
}
"""Numbers in prose that no run found: chances, thresholds, options of runs, and the paper's."""


def text_of(paper: str) -> str:
    return Path(findings.__file__).with_name(paper).joinpath("findings.md").read_text()


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
    sections = [line[3:] for line in text_of(paper).splitlines() if line.startswith("## ")]
    assert len(sections) == len(set(sections))
    assert asked == {(paper, title) for title in sections}


def test_a_section_under_its_title():
    text = findings.page_head("meme", "Table 2")
    assert text.startswith('# Table 2\n\n"Alone" is the modality explained')
    assert text.endswith("few pairs.\n")
    with pytest.raises(KeyError, match="Table 99"):
        findings.finding("meme", "Table 99")


@pytest.mark.parametrize("paper", papers.TABLES)
def test_every_page_has_a_claim_of_the_paper_and_every_claim_a_page(paper):
    rows = findings.finding(paper, findings.CLAIMS).splitlines()
    named = {n for row in rows if row.startswith("| ") for n in row.split(" |")[0][2:].split()}
    assert named - {"pages", "---"} == set(papers.TABLES[paper])
    assert not findings.claims(paper, "no-page")


def numbers_of(found: Any) -> Iterator[float]:
    """Every number of a record."""
    if isinstance(found, dict | list):
        for part in found.values() if isinstance(found, dict) else found:
            yield from numbers_of(part)
    elif isinstance(found, int | float) and not isinstance(found, bool):
        yield float(found)


def is_of(text: str, known: list[float]) -> bool:
    """Whether a printed number is one of these, rounded as it is."""
    digits = len(text.partition(".")[2])
    return any(f"{number:.{digits}f}" == text for number in known)


def quoted(text: str) -> set[str]:
    """The decimal numbers of a text that are not shares in %."""
    plain = re.sub(r"`[^`]*`", "", text)
    return set(re.findall(r"(?<![\w.])-?\d+\.\d+(?![\d.]* %)(?!\w)", plain))


def without_source(text: str, given: set[str]) -> set[str]:
    """The numbers of a text that neither the records that it names have, nor ``given``."""
    paths = [RECORDS / f"{name}.json" for name in re.findall(r"`([\w.+-]+-\d+)`", text)]
    assert [path for path in paths if not path.exists()] == []
    known = [number for path in paths for number in numbers_of(json.loads(path.read_text()))]
    return {number for number in quoted(text) - given if not is_of(number, known)}


@pytest.mark.parametrize("paper", papers.TABLES)
def test_numbers_of_claims_are_those_of_the_records(paper):
    rows = [line for line in findings.finding(paper, findings.CLAIMS).splitlines() if "|" in line]
    for row in rows[2:]:
        _, _, _, shown, records, _ = row.split("|")
        assert without_source(f"{shown} {records}", set()) == set(), row


@pytest.mark.parametrize("paper", papers.TABLES)
def test_numbers_in_prose_are_those_of_the_records_that_it_names(paper):
    prose = text_of(paper).partition(f"## {findings.CLAIMS}")[0]
    for block in prose.split("\n\n"):
        assert without_source(block, GIVEN[paper]) == set(), block


def test_a_number_that_no_record_has_is_found():
    named = "`mnist-weak-nn-0.01-5-0`"
    assert (
        without_source(f"NN has 0.7907, or 0.79, after 5 epochs of 1.5 % {named}", set()) == set()
    )
    assert without_source(f"NN has 0.7917 {named}, chance 0.1", {"0.1"}) == {"0.7917"}
    assert without_source("NN has 0.7907", set()) == {"0.7907"}
    with pytest.raises(AssertionError):
        without_source("0.5 `mnist-weak-nn-0.01-99-0`", set())
