"""A stand-in's page says that it is one, and has no value and no finding of the paper's data."""

import json
from typing import Any

import pytest
from stand_ins import RECORDS, of_body, of_claims, stands_in

from ppl_mm.experiments import findings
from ppl_mm.experiments.earlier_names import name_now
from ppl_mm.experiments.page import head
from ppl_mm.experiments.papers import TABLES
from ppl_mm.experiments.reproduction import runs_of

STAND_INS = [
    (paper, name) for paper, tables in TABLES.items() for name in tables if stands_in(tables[name])
]


def recorded(paper: str, name: str) -> list[dict[str, Any]]:
    """The recorded runs of the page's experiment on its data."""
    table = TABLES[paper][name]
    experiment = table.experiment.SMOKE.experiment
    records = [json.loads(path.read_text()) for path in sorted(RECORDS.glob("*.json"))]
    return [
        record
        for record in records
        if name_now(record.get("experiment", "mvae")) == experiment
        and record["config"].get("dataset") in table.data
        and record["config"].get("held_out", False) == getattr(table.paper[0], "held_out", False)
    ]


@pytest.mark.parametrize(("paper", "name"), STAND_INS)
def test_its_head_says_that_it_is_one(paper, name):
    table, composed = TABLES[paper][name], {"data": "composed of MNIST and photographs"}
    runs = runs_of(table, "smoke")
    records = [composed for _ in runs] if "polymnist" in table.data else []
    text = "\n".join(head(table, name, "smoke", runs, records))
    assert "**This page is a stand-in.** The paper's is of " in text
    assert f"| the paper says of {table.stands_in or 'the published files of polymnist'} |" in text
    assert of_claims(findings.claims(paper, name), table) == []


SHOWN = [page for page in STAND_INS if recorded(*page)]


@pytest.mark.parametrize(("paper", "name"), SHOWN)
def test_its_tables_are_of_its_own_data(paper, name):
    lines = TABLES[paper][name].show(recorded(paper, name))
    assert of_body("\n".join(lines)) == []


def test_tables_of_four_papers_are_read():
    assert {paper for paper, _ in SHOWN} == {"svae", "mmvae_plus", "meme", "cmmd"}


@pytest.mark.parametrize(
    "line",
    [
        "| *MMVAE+, paper* | 0.869 |",
        "| omega, paper |",
        "As in the paper, MEME is ahead.",
        "75 % (Shi et al. 2019)",
    ],
)
def test_a_value_of_other_data_is_found(line):
    assert of_body(line) == [line]
    assert (
        of_body("| MEME (paper) | 0.1 |\n*paper* is the objective as the equations print it") == []
    )


def test_a_finding_of_other_data_is_found():
    table = TABLES["meme"]["table-4-fashion"]
    own, other = "mnist_fashion-mvae-1-3-0", "mnist-own-1-5-0"
    assert of_claims([["of MNIST with SVHN: MEME is ahead", "no: 0.6", f"`{own}`"]], table) == []
    assert of_claims([["MEME has 0.856", "no", f"`{own}` `{other}`"]], table) == [
        "MEME has 0.856",
        other,
    ]
