"""Every result prints, plots and becomes a data frame, and says the same in all three."""

import io
import math

import pytest
import rich
import torch
from matplotlib.image import imread
from rich.console import Console

from ppl_mm import evaluation, plotting
from ppl_mm.evaluation import (
    CanonicalCorrelation,
    Coherence,
    Correlation,
    Diversity,
    Estimate,
    Frechet,
    LatentAccuracy,
    MutualInformation,
    Relatedness,
    Result,
    average_precision_of,
    calibration_of,
    collapse_of,
)
from ppl_mm.results.result import number

COLUMNS = ["measure", "observed", "target", "value", "standard_error"]
SUBSETS = (("a",), (), ("a", "b"))
CELLS = SUBSETS, ("a", "b")


@pytest.fixture
def results():
    """One of every class."""
    labels = torch.tensor([0, 1] * 10)
    return {
        "Estimate": Estimate(0.75, 0.25),
        "Coherence": Coherence(*CELLS, torch.rand(3, 2, 20) < 0.7),
        "MutualInformation": MutualInformation(*CELLS, torch.rand(3, 2, 20)),
        "Diversity": Diversity(*CELLS, torch.rand(3, 2, 20), torch.rand(3, 2, 20)),
        "Frechet": Frechet(*CELLS, torch.rand(3, 2), "FID"),
        "LatentAccuracy": LatentAccuracy((("u",), ("u", "w")), SUBSETS, torch.rand(2, 3, 20) < 0.7),
        "Relatedness": Relatedness((("a",), ("b",)), torch.rand(20, 20), labels),
        "Collapse": collapse_of(torch.rand(20, 4), quantity="KL"),
        "AveragePrecision": average_precision_of(torch.rand(20, 3), torch.eye(3)[labels]),
        "Calibration": calibration_of(torch.rand(20, 3).softmax(-1), labels),
        "CanonicalCorrelation": CanonicalCorrelation.fit(torch.randn(20, 3), torch.randn(20, 4), 2),
        "Correlation": Correlation(SUBSETS, (("a", "b"),), torch.rand(3, 1, 20)),
    }


def test_every_class_of_results_says_what_its_numbers_are(results):
    found = {n for n in evaluation.__all__ if _is_result(getattr(evaluation, n))}
    assert results.keys() <= found
    for name in sorted(found):
        assert not getattr(evaluation, name).__abstractmethods__, name


def _is_result(thing):
    return isinstance(thing, type) and issubclass(thing, Result) and thing is not Result


def test_frames_have_the_same_columns_and_every_number(results):
    for name, found in results.items():
        frame = found.to_pandas()
        assert list(frame.columns[:5]) == COLUMNS, name
        assert len(frame) == len(list(found.numbers())) > 0, name
        assert frame["value"].dtype == float
        assert frame["standard_error"].dtype == float
        assert (frame["measure"] != "").all()


def test_frames_hold_what_the_results_say(results):
    def of(name, measure, observed, target):
        frame = results[name].to_pandas().set_index(COLUMNS[:3])
        row = frame.loc[(measure, observed, target)]
        return Estimate(float(row["value"]), float(row["standard_error"]))

    cells = results["Coherence"]
    assert of("Coherence", "coherence", "a", "b") == cells.cell("a", "b")
    assert of("Coherence", "coherence", "nothing", "b") == cells.cell((), "b")
    assert of("Coherence", "mean coherence", "", "b") == cells.per_target()["b"]
    information = results["MutualInformation"]
    assert of("MutualInformation", "mutual information", "a + b", "a") == information.cell(
        ("a", "b"), "a"
    )
    diversity = results["Diversity"]
    assert of("Diversity", "pixel deviation", "a", "b") == Estimate.of(diversity.deviations[0, 1])
    latents = results["LatentAccuracy"]
    expected = latents.cell(("u", "w"), ("a", "b"))
    assert of("LatentAccuracy", "latent accuracy", "a + b", "u, w") == expected
    assert of("LatentAccuracy", "mean latent accuracy", "", "u") == latents.mean("u")
    related = results["Relatedness"]
    assert of("Relatedness", "AUROC", "a and b", "class") == related.auroc("class")
    distance = of("Frechet", "FID", "a + b", "b")
    assert distance.value == results["Frechet"].cells[2, 1].item()
    assert math.isnan(distance.standard_error)
    curve = results["Collapse"].to_pandas()
    assert curve["value"].tolist() == results["Collapse"].fractions.tolist()
    assert curve["epsilon"].tolist() == results["Collapse"].epsilons.tolist()
    precision = of("AveragePrecision", "mean average precision", "", "macro").value
    assert precision == results["AveragePrecision"].macro


def test_all_print_the_same_by_print_and_by_rich(results):
    for name, found in results.items():
        if name in ("Estimate", "AveragePrecision"):  # one line by print
            assert len(str(found).splitlines()) == 1
            continue
        console = Console(file=io.StringIO(), width=100, color_system=None)
        console.print(found)
        assert console.file.getvalue().rstrip() == str(found).rstrip()
        assert len(str(found).splitlines()) > 3


def test_the_common_table_leaves_out_what_is_empty(capsys):
    rich.print(Estimate(0.75, 0.25))
    text = capsys.readouterr().out
    assert "0.75" in text
    assert "standard error" in text
    assert "observed" not in text
    row = number("loss", 2, target="x")
    assert (row["value"], row["observed"]) == (2.0, "")
    assert number("loss", 2, ())["observed"] == "nothing"


def test_all_plot_themselves(results, tmp_path):
    assert all(found.figure().axes for found in results.values())
    figure = results["Coherence"].plot(tmp_path / "coherence.png")
    assert len(figure.axes) == 2
    assert imread(tmp_path / "coherence.png").ndim == 3


def test_a_panel_shows_each_number_with_its_error(results):
    found = results["Coherence"]
    first, second = plotting.estimates(found).axes
    assert (first.get_title(), second.get_title()) == ("coherence", "mean coherence")
    (points,) = first.containers
    rows = found.to_pandas().query("measure == 'coherence'")
    assert points.lines[0].get_xdata().tolist() == rows["value"].tolist()
    bars = [segment[:, 0] for segment in points.lines[2][0].get_segments()]
    halves = [(high - low) / 2 for low, high in bars]
    assert halves == pytest.approx(rows["standard_error"].tolist())
    told = [label.get_text() for label in first.get_yticklabels()]
    assert told[:3] == ["a → a", "a → b", "nothing → a"]
    (axes,) = plotting.estimates(results["Correlation"]).axes
    assert axes.get_yticklabels()[0].get_text() == "a → a and b, generated b"


def test_coherence_of_reconstructions_alone_prints():
    assert "(1.000 ± 0.000)" in str(Coherence((("a",),), ("a",), torch.ones(1, 1, 3).bool()))
