"""Measures of a run: their table word by word, their file, and what is given."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from likelihoods_by_hand import result

from ppl_mm import data, systems
from ppl_mm.files import read_json, write_json
from ppl_mm.runs import Measures
from ppl_mm.runs.coherence import coherences, sources
from ppl_mm.runs.likelihoods import read, write
from ppl_mm.runs.measures import Accuracy, Likelihood, measure

MEASURES = Measures(
    likelihoods=(
        Likelihood("ELBO", -12.3456, 0.5),
        Likelihood("log p(top)", -3.0, None, 0.0123, 99.6, 0.05, {"guide": 0.25, "laplace": 0.75}),
        Likelihood("log p(label | top)", -1.0, 0.25, 0.5, 3.4, 0.051, {"annealed": 1.0}),
    ),
    accuracies=(
        Accuracy("label", ("top", "bottom"), 0.98765, 0.01),
        Accuracy("label", ("top",), 0.5, None),
    ),
    rows=12345,
    likelihood_rows=1000,
    num_samples=2000,
    normalised=True,
    coherences=(
        Accuracy("top", ("label",), 0.25, 0.5),
        Accuracy("bottom", (), 0.125, 0.5),
        Accuracy("", (), 0.75, None),
    ),
    oracles={"top": 0.875},
)


def lines(table):
    columns = [list(column.cells) for column in table.columns]
    return [[cell for cell in line if cell] for line in zip(*columns, strict=True)]


def test_the_table_has_a_line_for_each_measure():
    table = MEASURES.table("mvae on digits")
    assert table.title == "mvae on digits"
    assert [column.header for column in table.columns] == [
        *("held-out rows", "nats", "± rows", "± draws", "ESS", "k>0.7", "refined by"),
    ]
    assert lines(table) == [
        ["ELBO", "-12.346", "0.500"],
        ["log p(top)", "-3.000", "≥0.012", "100", "5.0%", "guide 25%, laplace 75%"],
        ["log p(label | top)", "-1.000", "0.250", "≥0.500", "3", "5.1%", "annealed 100%"],
        ["accuracy of label", "share"],
        ["  from top, bottom", "0.988", "0.010"],
        ["  from top", "0.500"],
        ["coherence of top", "share"],
        ["  from label", "0.250", "0.500"],
        ["coherence of bottom", "share"],
        ["  from nothing", "0.125", "0.500"],
        ["coherence of draws from the prior", "share"],
        ["  from nothing", "0.750"],
    ]
    assert [row.style for row in table.rows][:3] == [None, None, "bright_black"]


BASE = (
    "ELBO and accuracy: 12,345 rows. log p: 1,000 rows, 2,000 draws a row. Errors of the mean: "
    "± rows over rows, ± draws Monte Carlo. ESS: median effective sample size. Refined by: the "
    "stage that a row's proposal comes from."
)
SHARE = (
    " k>0.7: share of rows whose Pareto k says that their log p is off by an unknown amount, "
    "mostly too low where nothing is given."
)
SCORE = (
    " Score: SoftBernoulli is no density for grey values; compare it only with models scored the "
    "same way."
)


@pytest.mark.parametrize(
    ("shares", "normalised", "more"),
    [
        ((None, None), True, ""),
        ((0.0, None), True, ""),
        ((0.05, 0.0), True, SHARE),
        ((0.05, 0.06), True, SHARE + " Grey: more than 5% of the rows are so."),
        ((0.0, 0.0), False, SCORE),
    ],
)
def test_the_caption_explains_what_is_in_the_table(shares, normalised, more):
    told = tuple(Likelihood("log p(top)", -3.0, 0.1, unreliable=share) for share in shares)
    found = replace(MEASURES, likelihoods=told, normalised=normalised)
    assert found.table("t").caption == BASE + more


@pytest.mark.parametrize(("share", "shown"), [(0.0, "0.020"), (0.001, "≥0.020"), (None, "≥0.020")])
def test_no_error_over_draws_is_bare_while_rows_are_unreliable(share, shown):
    told = (Likelihood("log p(top)", -3.0, 0.1, 0.02, 50.0, share, {}),)
    table = replace(MEASURES, likelihoods=told).table("t")
    assert shown in lines(table)[0]
    assert ("≥: or more" in table.caption) == (share != 0.0)


def test_measures_come_back_from_their_file(tmp_path):
    unsupported = Likelihood("log p(bottom)", -math.inf, math.inf)  # a row that no draw explains
    measures = replace(MEASURES, likelihoods=(*MEASURES.likelihoods, unsupported))
    write_json(tmp_path / "metrics.json", measures.to_dict())
    json.loads((tmp_path / "metrics.json").read_text(), parse_constant=pytest.fail)
    content = read_json(tmp_path / "metrics.json")
    assert Measures.of(content) == measures
    for name in ("coherences", "oracles"):
        del content[name]
    assert Measures.of(content) == replace(measures, coherences=(), oracles={})


def test_a_title_with_square_brackets_is_printed_whole():
    from rich.console import Console

    console = Console(width=100, record=True)
    console.print(MEASURES.table("mvae on cohort [a]"))
    assert "cohort [a]" in console.export_text()


def test_what_is_given_is_all_others_each_alone_and_what_is_always_given():
    assert sources(["a", "b", "c"], []) == [("a", "b", "c"), ("a",), ("b",), ("c",)]
    assert sources(["a"], []) == [("a",)]
    assert sources(["a", "b", "c"], ["c"]) == [("a", "b", "c"), ("a", "c"), ("b", "c"), ("c",)]
    assert sources(["a", "c"], ["c"]) == [("a", "c"), ("c",)]
    assert sources(["c"], ["c"]) == [("c",)]


@pytest.fixture(scope="module")
def digits():
    return data.digits()


def test_one_row_has_measures_and_no_errors_over_rows(digits):
    system = systems.mvae(digits.modalities, 2)
    found = measure(system, digits.test[:1], "label", num_samples=3)
    assert [row.standard_error for row in found.likelihoods] == [None] * len(found.likelihoods)
    assert (found.rows, found.likelihood_rows, found.num_samples) == (1, 1, 3)
    json.dumps(found.to_dict(), allow_nan=False)


def test_every_row_is_bounded_and_the_first_few_are_scored(digits):
    system = systems.mvae(digits.modalities, 2)
    found = measure(system, digits.test[:7], "label", num_samples=3, rows=2)
    assert (found.rows, found.likelihood_rows) == (7, 2)
    assert [row.quantity for row in found.likelihoods] == [
        "ELBO",
        "log p(top, bottom, label)",
        "log p(top)",
        "log p(bottom)",
        "log p(label)",
        "log p(label | top, bottom)",
    ]
    assert [len(result.value) for result in found.results] == [2] * 5
    assert [r.quantity for r in found.results] == [x.quantity for x in found.likelihoods[1:]]
    assert [a.given for a in found.accuracies] == [("top", "bottom"), ("top",), ("bottom",)]
    plain = measure(system, digits.test[:7], num_samples=3, rows=2)
    assert [row.quantity for row in plain.likelihoods] == [
        row.quantity for row in found.likelihoods[:-1]
    ]
    assert plain.accuracies == ()


def test_a_likelihood_has_the_numbers_of_its_rows(digits):
    system = systems.mvae(digits.modalities, 2)
    found = measure(system, digits.test[:6], num_samples=30)
    for told, rows in zip(found.likelihoods[1:], found.results, strict=True):
        expected = rows.summary()
        assert told == Likelihood(
            rows.quantity,
            expected["mean"],
            expected["standard_error"],
            expected["monte_carlo_error"],
            expected["median_ess"],
            len(rows.unreliable) / 6,
            {"guide": 1.0},
        )
    few = measure(system, digits.test[:6], num_samples=3).likelihoods[1]
    assert few.unreliable is None  # three draws tell nothing of a tail


def test_rows_that_all_lack_something_have_no_coherence(digits):
    system = systems.mvae(digits.modalities, 2)
    rows = digits.test[:4].without("bottom")
    assert list(coherences(system, rows, torch.zeros(4).long(), {})) == []


def test_rows_that_hold_the_same_share_their_draws_when_they_are_read_again(tmp_path):
    made = replace(result([-1.0, -2.0, -1.0], 0.5), row_ids=("a", "b", "a"))
    write(tmp_path / "rows.npz", [made, replace(made, given=("w",))])
    first, second = read(tmp_path / "rows.npz", ())
    assert first.parts[0].draws.tolist() == [0, 1, 0]
    assert first.parts[0].below.tolist() == [0.5] * 3
    assert (first.quantity, second.quantity) == ("log p(x, y)", "log p(x, y | w)")
    assert (first.num_samples, first.proposal, first.row_ids) == (1000, "guide", ("a", "b", "a"))
    write(tmp_path / "none.npz", [])
    assert read(tmp_path / "none.npz", ()) == []


def test_a_file_of_likelihoods_without_a_column_is_damaged(tmp_path):
    path = tmp_path / "rows.npz"
    write(path, [replace(result([-1.0]), row_ids=("a",))])
    with np.load(path) as file:
        arrays = dict(file)
    for lacking in ("0.value", "facts"):
        np.savez(path, **{name: x for name, x in arrays.items() if name != lacking})
        with pytest.raises(ValueError, match=r"rows\.npz: the file is damaged \(.*\)\.$"):
            read(path, ())
