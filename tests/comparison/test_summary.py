"""Tables and curves: means over seeds, their standard errors, and which system is best."""

import math

import pytest

from ppl_mm.comparison import Block, Entry, Outcome, plan, summarise
from ppl_mm.comparison.curves import curve
from ppl_mm.runs.measures import Accuracy, Likelihood, Measures


def entry(mean: float, error: float | None = 0.5, **more: float) -> Entry:
    return Entry(mean, error, **{"seeds": 3, "planned": 3, **more})


@pytest.mark.parametrize(
    ("entries", "best"),
    [
        ((entry(1.0), entry(2.1)), "b"),
        ((entry(1.0), entry(1.9)), None),  # within both errors together
        ((entry(1.0), entry(2.1, unreliable=0.04)), "b"),
        ((entry(1.0), entry(2.1, unreliable=0.06)), None),
        ((entry(1.0, unreliable=0.06), entry(2.1)), None),  # may be larger than it looks
        ((entry(1.0), entry(2.1, monte_carlo_error=0.2)), None),
        ((entry(1.0), entry(2.1, seeds=2)), None),
        ((entry(1.0, seeds=1, error=None), entry(2.1, error=None)), None),
        ((entry(-math.inf), entry(2.1)), None),
        ((entry(1.0),), None),
    ],
)
def test_only_a_lead_beyond_the_errors_is_best(entries, best):
    names = ("a", "b")[: len(entries)]
    of_measure = {("m", name): found for name, found in zip(names, entries, strict=True)}
    assert Block(0.0, names, ("m",), of_measure).best("m") == best


def test_curves_show_every_system_with_its_errors():
    blocks = [
        Block(x, ("a", "b"), ("m",), {("m", n): entry(x + i) for i, n in enumerate("ab")})
        for x in (0.0, 0.5)
    ]
    (axes,) = curve(blocks, "m").axes
    assert axes.get_legend_handles_labels()[1] == ["a", "b"]
    for i, bars in enumerate(axes.containers):
        assert bars.lines[0].get_xydata().tolist() == [[0.0, i], [0.5, 0.5 + i]]
        (segments,) = bars.lines[2]
        assert [part[:, 1].tolist() for part in segments.get_segments()] == [
            [x + i - 0.5, x + i + 0.5] for x in (0.0, 0.5)
        ]


def test_summary_of_seeds_has_their_standard_error():
    trials = plan("nowhere", "digits", ["mvae"], seeds=[0, 1, 2])
    outcomes = []
    for trial, mean in zip(trials, (1.0, 2.0, 6.0), strict=True):
        likelihoods = (Likelihood("log p(top)", mean, 9.0, 0.3, 10.0, 0.1),)
        accuracies = (Accuracy("label", ("top",), mean / 10, 0.01),)
        outcomes.append(Outcome(trial, Measures(likelihoods, accuracies, 5, 5, 30, True)))
    (block,) = summarise(outcomes)
    found = block.entries["log p(top)", "mvae"]
    assert found.mean == 3.0
    assert found.standard_error == pytest.approx(math.sqrt(7 / 3))
    assert found.monte_carlo_error == pytest.approx(math.sqrt(3 * 0.3**2) / 3)
    assert found.unreliable == pytest.approx(0.1)
    assert block.measures == ("log p(top)", "accuracy of label from top")


def test_bounds_of_different_likelihoods_are_different_measures():
    trials = plan("nowhere", "digits", ["mvae", "mmvae"])
    outcomes = []
    for trial, quantity in zip(trials, ("log p(top, label)", "log p(top | label)"), strict=True):
        likelihoods = (Likelihood("ELBO", -9.0, 0.1), Likelihood(quantity, -3.0, 0.1))
        outcomes.append(Outcome(trial, Measures(likelihoods, (), 5, 5, 30, True)))
    (block,) = summarise(outcomes)
    assert set(block.row("ELBO")) == {"mvae"}
    assert set(block.row("ELBO of log p(top | label)")) == {"mmvae"}
    assert [m for m in block.measures if block.best(m)] == []
