"""Words of a comparison's page: what pictures show, in numbers, and which systems have which."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from comparing import MINUS, Page, tiny
from PIL import Image

from ppl_mm.comparison import Outcome, plan, write
from ppl_mm.comparison.training import Training
from ppl_mm.runs.measures import Accuracy, Likelihood, Measures

DONE = Training(3, 2, 61.0, 30, "CPU", "torch")


def measures(mean):
    likelihoods = (Likelihood("ELBO", mean, 0.25), Likelihood("log p(top)", mean + 1, 2.0))
    accuracies = (Accuracy("label", ("top",), 0.75, None),)
    return Measures(likelihoods, accuracies, 397, 40, 1000, normalised=False)


def picture(path, shade):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((2, 3, 3), shade, dtype=np.uint8)).save(path)


@pytest.fixture
def outcomes(tmp_path):
    """Two systems, shares and seeds; a first seed failed, and one system has a posterior."""
    trials = plan(tmp_path, "digits", ["mvae", "mmvae"], missing=[0.0, 0.125], seeds=[5, 6])
    found = []
    for i, trial in enumerate(trials):
        for name in ("cross_generation", "prior_samples", "latent", "loss"):
            picture(trial.folder / f"{name}.png", 10 * i)
        found.append(Outcome(trial, measures(-10.0 - i), DONE))
    picture(trials[1].folder / "posterior.png", 200)
    found[0] = Outcome(trials[0], failure="it broke")
    return found


@pytest.fixture
def page(outcomes, tmp_path, monkeypatch):
    monkeypatch.setattr("ppl_mm.comparison.page.curve", tiny)
    blocks = write(tmp_path / "out", outcomes, "ppl-mm compare digits")
    assert [block.missing for block in blocks] == [0.0, 0.125]
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {"report.html", "table.md", "table.csv"}
    return Page((tmp_path / "out" / "report.html").read_text())


def test_curves_are_told_in_numbers(page):
    first, second, third, *_ = (p["alt"] for p in page.of("img"))
    assert first == (
        "ELBO against the share of missing values. "
        f"0 missing: mvae {MINUS}11.00 ± 0.25, mmvae {MINUS}14.50 ± 0.50; "
        f"0.125 missing: mvae {MINUS}12.50 ± 0.50, mmvae {MINUS}16.50 ± 0.50."
    )
    assert second.startswith("log p(top) against the share of missing values. 0 missing: mvae ")
    assert third.startswith("accuracy of label from top against")
    assert "0 missing: mvae 0.750, mmvae 0.750 ± 0.000" in third


def test_pictures_are_of_the_first_finished_seed_of_each_system(page):
    titles = [p["alt"].partition(". ")[0] for p in page.of("img")][3:]
    of = {
        0: ["mvae, missing 0, seed 6", "mmvae, missing 0, seed 5"],
        1: ["mvae, missing 0.125, seed 5", "mmvae, missing 0.125, seed 5"],
    }
    names = ["Cross generation", "Draws from the prior", "Latent space", "Training"]
    expected = []
    for block, systems in of.items():
        for name in names:
            if name == "Training" and block == 0:  # the one posterior comes before it
                expected.append(f"The posterior of one row of {systems[0]}")
            expected += [f"{name} of {system}" for system in systems]
    assert titles == expected


def test_a_picture_keeps_its_pixels_and_size(page):
    shown = page.of("img")[3]
    assert (shown["width"], shown["height"]) == ("3", "2")
    code = shown["src"].removeprefix("data:image/png;base64,")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(code))).convert("RGB"))
    assert pixels.shape == (2, 3, 3)
    assert set(pixels.flatten()) == {10}  # of the second trial, the first that is finished


def test_the_page_counts_trials_and_says_what_failed(page, outcomes, tmp_path):
    text = " ".join((tmp_path / "out" / "report.html").read_text().split())
    assert "<h1>mvae, mmvae on digits</h1>" in text
    assert "7 of 8 trials (system, missing share, seed) are done, 1 failed." in text
    assert "<li>mvae, missing 0, seed 5: it broke</li>" in text
    assert "of 397 test rows, log-likelihoods of 40, with 1,000 draws a row" in text
    assert "The standard error is over 2 seeds" in text
    assert "SoftBernoulli is no density" in text
    assert "7 min 7 s of training in all" in text  # seven trials of 61 s
    assert "12.5% of training values missing" in text
    captions = re.findall(r"<caption>(Mean [^<]*)</caption>", text)
    assert captions[0].startswith("Mean ± standard error over seeds or over test rows; ")
    assert captions[1].startswith("Mean ± standard error over seeds; ")
    assert page.tables[0][0] == ["measure", "mvae", "mmvae"]
    assert "1 of 2 seeds" in page.tables[0][1][1]
    assert "seeds" not in page.tables[0][1][2]


def test_a_page_of_one_share_has_no_curves_and_one_of_nothing_no_pictures(outcomes, tmp_path):
    one = [o for o in outcomes if o.trial.config.missing == 0]
    write(tmp_path / "one", one)
    alts = [p["alt"] for p in Page((tmp_path / "one" / "report.html").read_text()).of("img")]
    assert len(alts) == 4 * 2 + 1
    assert not any("against" in alt for alt in alts)
    none = [replace(o, measures=None, training=None, failure=None) for o in one]
    write(tmp_path / "none", none)
    text = (tmp_path / "none" / "report.html").read_text()
    assert "<img" not in text
    assert "No trial is done." in text
    assert "0 of 4 trials (system, missing share, seed) are done." in text
