"""Entries in words and digits, tables in Markdown and CSV, the curve of one measure."""

import math

import pytest
from matplotlib.colors import to_hex

from ppl_mm.comparison import Block, Entry, Outcome, plan, summarise
from ppl_mm.comparison.curves import curve
from ppl_mm.comparison.facts import facts
from ppl_mm.comparison.summary import is_share, to_csv, to_markdown
from ppl_mm.comparison.training import Training
from ppl_mm.runs.measures import Accuracy, Likelihood, Measures


def entry(mean, error=0.5, **more):
    return Entry(mean, error, **{"seeds": 2, "planned": 2, **more})


def test_a_mean_is_written_with_its_error_and_a_minus_sign():
    assert entry(-12.345, 0.5).text(2) == "\N{MINUS SIGN}12.35 ± 0.50"  # the float is above
    assert entry(3.0, None).text(1) == "3.0"
    assert entry(-math.inf, None).text(2) == "\N{MINUS SIGN}inf"
    assert entry(0.5, 0.0).text(0) == "0 ± 0"


def test_an_error_is_over_seeds_or_over_rows_of_the_only_one():
    assert [entry(0.0, seeds=n).over for n in (1, 2)] == ["test rows", "seeds"]
    assert [entry(0.0, unreliable=x).doubtful for x in (None, 0.05, 0.051)] == [False, False, True]


@pytest.mark.parametrize(
    ("errors", "decimals"),
    [
        ([0.5], 2),
        ([12.0], 0),
        ([9.9, 120.0], 1),
        ([1.0], 1),
        ([0.0999], 3),
        ([0.00001], 3),
        ([None], 3),
        ([0.0, None], 3),
        ([0.0, 25.0], 0),
        ([345.0], 0),
    ],
)
def test_two_digits_of_the_smallest_error_are_shown(errors, decimals):
    names = tuple("abc"[: len(errors)])
    entries = {("m", n): entry(1.0, error) for n, error in zip(names, errors, strict=True)}
    assert Block(0.0, names, ("m",), entries).decimals("m") == decimals


def test_the_best_of_three_leads_both_others_by_both_errors_and_draws():
    def best(*means, **more):
        entries = {("m", n): entry(x, 0.25, **more) for n, x in zip("abc", means, strict=True)}
        return Block(0.0, tuple("abc"), ("m",), entries).best("m")

    assert best(1.0, 3.0, 2.0) == "b"
    assert best(1.0, 3.0, 2.5) is None  # the lead equals the errors
    assert best(-5.0, -9.0, -9.0) == "a"
    assert best(1.0, 3.0, 2.25, monte_carlo_error=0.1) == "b"
    assert best(1.0, 3.0, 2.25, monte_carlo_error=0.125) is None


BLOCKS = [
    Block(
        0.25,
        ("mvae", "mmvae"),
        ("ELBO", "log p(x | y)"),
        {
            ("ELBO", "mvae"): entry(-10.0, 1.0),
            ("ELBO", "mmvae"): entry(-20.0, 1.0, seeds=1, unreliable=0.0),
            ("log p(x | y)", "mmvae"): entry(-3.25, 0.5, unreliable=0.125, monte_carlo_error=0.25),
        },
    ),
    Block(0.0, ("mvae", "mmvae"), ("m",), {("m", "mvae"): entry(1.0), ("m", "mmvae"): entry(3.0)}),
]


def test_markdown_word_by_word():
    minus = "\N{MINUS SIGN}"
    assert to_markdown(BLOCKS).splitlines() == [
        "missing 0.25",
        "",
        "| measure | mvae | mmvae |",
        "|---|---:|---:|",
        f"| ELBO | {minus}10.0 ± 1.0 | {minus}20.0 ± 1.0 (1 of 2 seeds) |",
        f"| log p(x \\| y) |  | {minus}3.25 ± 0.50 (k > 0.7: 12.5%) |",
        "",
        "missing 0",
        "",
        "| measure | mvae | mmvae |",
        "|---|---:|---:|",
        "| m | 1.00 ± 0.50 | **3.00 ± 0.50** |",
    ]


def test_csv_has_every_digit_and_nothing_for_what_is_not_known():
    assert to_csv(BLOCKS).splitlines() == [
        "missing,system,measure,mean,standard_error,over,seeds,monte_carlo_error,unreliable",
        "0.25,mvae,ELBO,-10.0,1.0,seeds,2,,",
        "0.25,mmvae,ELBO,-20.0,1.0,test rows,1,,0.0",
        "0.25,mmvae,log p(x | y),-3.25,0.5,seeds,2,0.25,0.125",
        "0,mvae,m,1.0,0.5,seeds,2,,",
        "0,mmvae,m,3.0,0.5,seeds,2,,",
    ]


def measures(*likelihoods, accuracies=(), coherences=()):
    return Measures(likelihoods, accuracies, 5, 5, 30, True, coherences)


def outcomes(found, names=("mvae",), **options):
    trials = plan("nowhere", "digits", list(names), **options)
    return [Outcome(trial, measured) for trial, measured in zip(trials, found, strict=True)]


def test_one_seed_has_the_error_over_its_rows_and_others_are_still_planned():
    one = measures(Likelihood("log p(top)", -3.0, 0.25, 0.5, 10.0, None))
    (block,) = summarise(outcomes([one, None], seeds=[0, 1]))
    assert block.entries["log p(top)", "mvae"] == Entry(-3.0, 0.25, 1, 2, 0.5, None)


def test_seeds_of_which_one_is_infinite_have_no_error():
    found = [measures(Likelihood("log p(top)", x, 0.25, None)) for x in (-3.0, -math.inf)]
    (block,) = summarise(outcomes(found, seeds=[0, 1]))
    assert block.entries["log p(top)", "mvae"] == Entry(-math.inf, None, 2, 2, None, None)


def test_measures_stand_by_their_kind_and_keep_their_order():
    found = measures(
        Likelihood("log p(b)", 0.0, 0.1),
        Likelihood("log p(a)", 0.0, 0.1),
        Likelihood("ELBO", 0.0, 0.1),
        accuracies=(Accuracy("label", ("b", "a"), 0.5, 0.1), Accuracy("label", ("a",), 0.5, 0.1)),
        coherences=(Accuracy("", (), 0.5, 0.1), Accuracy("top", ("a",), 0.5, 0.1)),
    )
    (block,) = summarise(outcomes([found]))
    assert block.measures == (
        "ELBO",
        "log p(b)",
        "log p(a)",
        "accuracy of label from b, a",
        "accuracy of label from a",
        "joint coherence",
        "coherence of top from a",
    )
    assert [is_share(name) for name in block.measures] == [False] * 3 + [True] * 4
    assert block.row("joint coherence") == {"mvae": Entry(0.5, 0.1, 1, 1)}


def test_blocks_stand_in_the_order_of_the_shares_that_were_asked_for():
    found = [measures(Likelihood("ELBO", x, 0.1)) for x in (1.0, 2.0, 3.0, 4.0)]
    blocks = summarise(outcomes(found, ("mvae", "mmvae"), missing=[0.5, 0.0]))
    assert [block.missing for block in blocks] == [0.5, 0.0]
    means = [{s: e.mean for s, e in block.row("ELBO").items()} for block in blocks]
    assert means == [{"mvae": 1.0, "mmvae": 3.0}, {"mvae": 2.0, "mmvae": 4.0}]


def test_marks_of_doubtful_estimates_are_hollow():
    blocks = [
        Block(x, ("a", "b"), ("m", "accuracy of l from a"),
              {("m", "a"): entry(x, unreliable=x), ("accuracy of l from a", "b"): entry(x, None)})
        for x in (0.0, 0.5)
    ]  # fmt: skip
    (axes,) = curve(blocks, "m").axes
    assert axes.get_legend_handles_labels()[1] == ["a"]  # b has no such measure
    marks = [line for line in axes.lines if len(line.get_xdata()) == 1]
    faces = [to_hex(line.get_markerfacecolor()) for line in marks]
    assert faces == [to_hex(marks[0].get_color()), "#ffffff"]
    assert (axes.get_ylabel(), axes.get_title()) == ("nats a row", "m")
    assert axes.get_xticks().tolist() == [0.0, 0.5]
    assert axes.get_xlabel() == "share of training values missing"
    (shares,) = curve(blocks, "accuracy of l from a").axes
    assert shares.get_ylabel() == "share"
    (bars,) = shares.containers
    assert bars.lines[0].get_color() != marks[0].get_color()  # b's own
    ends = [segment[:, 1].tolist() for segment in bars.lines[2][0].get_segments()]
    assert ends == [[0.0, 0.0], [0.5, 0.5]]


def test_all_that_changes_training_is_among_the_settings():
    options = {"scheduler": "cosine", "clip_norm": 2.0, "impartial": "mgda"}
    (one,) = outcomes([None], precision="64-true", **options)
    told = facts([one])["Settings"]
    assert "; scheduler cosine; clip_norm 2.0; impartial mgda; precision 64-true; mvae: " in told
    (plain,) = outcomes([None])
    assert "scheduler" not in facts([plain])["Settings"]
    assert "precision" not in facts([plain])["Settings"]


def test_the_state_of_a_trial_in_words():
    (trial,) = plan("nowhere", "digits", ["mvae"], missing=[0.25], seeds=[7])
    done = Training(1, 1, 2.0, 30, "CPU", "torch")
    assert str(trial) == "mvae, missing 0.25, seed 7"
    assert trial.folder.as_posix() == "nowhere/mvae-0.25-7"
    states = [
        Outcome(trial).state,
        Outcome(trial, training=done).state,
        Outcome(trial, training=done, elsewhere="process 3").state,
        Outcome(trial, training=done, failure="it broke", elsewhere="process 3").state,
    ]
    assert states == ["not run yet", "done", "in work elsewhere", "failed"]
