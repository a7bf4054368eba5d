"""What log-likelihoods put in by hand say of themselves, in print and in warnings."""

import math
import warnings
from dataclasses import replace

import pytest
from likelihoods_by_hand import result

from ppl_mm.evaluation import UnreliableLikelihoodWarning

INF = math.inf


def test_the_printed_lines_word_by_word():
    columns = {"refinement": [0.0, 1.0, 1.0, 4.0], "draws": [1000.0, 1000.0, 1000.0, 4000.0]}
    found = result([-1.0, -2.0, -3.0, -6.0], 0.5, k=[0.1, 0.2, 0.9, 0.3], **columns)
    low, high = (found.summary()[n] for n in ("low", "high"))
    assert str(found).splitlines() == [
        "log p(x, y) = -3.000 nats a row (4 rows)",
        f"  95 % {low:.3f} to {high:.3f} over rows and draws; -3.250 to -2.750 over draws alone, "
        "too narrow: 1 row cannot be trusted",
        "  1000 to 4000 draws a row from the guide; median effective sample size 100",
        "  refined: 2 by laplace, 1 by annealed; 1 by the draws of the guide alone",
        "  Pareto k above 0.7 in 1 rows (largest 0.90): those are mostly too low by an unknown "
        "amount",
    ]


def test_the_variance_of_log_weights_is_that_of_the_guide_alone():
    """A refined proposal's is that of its draws of the prior."""
    assert "size 100; variance of log weights 1.00" in str(result([-1.0, -2.0]))
    assert "variance" not in str(result([-1.0, -2.0], refinement=[0.0, 1.0]))


def test_draws_that_hardly_differ_in_number_are_not_a_range():
    assert "1000 draws a row" in str(result([-1.0], draws=1999.0))
    assert "1000 to 2000 draws a row" in str(result([-1.0], draws=2000.0))


def test_what_is_not_known_is_said_in_words():
    few = str(result([-1.0, -2.0], k=[0.1, math.nan]))
    assert "Pareto k needs 25 draws a row" in few
    assert "above 0.7" not in few
    lost = str(result([-1.0, -INF]))
    assert lost.splitlines()[-2:] == [
        "  Pareto k above 0.7 in 1 rows (largest inf): those are mostly too low by an unknown "
        "amount",
        "  -inf in 1 rows, of which nothing is known",
    ]
    fine = str(result([-1.0, -2.0]))
    assert fine.endswith("  Pareto k above 0.7 in 0 rows (largest 0.10)")
    assert "refined" not in fine
    unrefined = replace(result([-1.0, -2.0]), reason="fewer than 100 draws a row")
    line = "  2 by the draws of the guide alone (fewer than 100 draws a row)"
    assert line in str(unrefined).splitlines()


def warned(found, *advice):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found.warn_if_unreliable(*advice)
    assert all(w.category is UnreliableLikelihoodWarning for w in caught)
    return [str(w.message) for w in caught]


def test_warnings_name_unknown_rows_and_doubtful_ones_apart():
    nothing, doubtful = warned(result([-1.0, -INF, -2.0, -3.0], k=[0.1, 0.1, 0.8, 0.7]))
    assert nothing.startswith(
        "log p(x, y): 1 of 4 rows have the value -inf, of which nothing is known: no draw gives "
        "them any probability (rows 1). They lie beyond what the decoders can give"
    )
    assert doubtful.startswith(
        "log p(x, y): 1 of 4 rows have a Pareto k above 0.7; their estimates are mostly too low "
        "by an unknown amount (rows 2). More draws alone rarely help: refine the proposals"
    )
    assert warned(result([-1.0], k=0.7)) == []
    (own,) = warned(result([-1.0], k=0.8, given=("z",)), "Ask again.")
    assert own.endswith("off to either side by an unknown amount (rows 0). Ask again.")


@pytest.mark.parametrize(
    ("stages", "k", "parts"),
    [
        ([0.0, 1.0, 4.0], [0.9, 0.1, 0.1], ["refine='auto'"]),
        ([1.0, 2.0, 3.0], 0.9, ["refine='annealed'"]),
        ([0.0, 1.0, 4.0], [0.1, 0.1, 0.9], ["start='refined'"]),
        ([0.0, 3.0, 4.0], 0.9, ["refine='auto'", "refine='annealed'", "start='refined'"]),
    ],
)
def test_the_advice_names_what_comes_after_the_stage_of_the_doubtful_rows(stages, k, parts):
    (text,) = warned(result([-1.0, -2.0, -3.0], k=k, refinement=stages))
    for advice in ("refine='auto'", "refine='annealed'", "start='refined'"):
        assert (advice in text) == (advice in parts)


def test_rows_that_could_not_be_refined_are_told_why():
    found = replace(result([-1.0], k=0.9), reason="fewer than 100 draws a row")
    (text,) = warned(found)
    assert text.endswith("They are not refined: fewer than 100 draws a row.")


@pytest.mark.parametrize(("count", "more"), [(10, ""), (11, ", ...")])
def test_a_warning_names_ten_rows_at_most(count, more):
    (text,) = warned(result([-1.0] * count, k=0.9))
    assert f"{count} of {count} rows" in text
    assert f"(rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9{more})" in text
