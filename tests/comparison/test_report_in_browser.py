"""The page of a comparison in headless Chromium: all of it is there, on any width, and no more.

The page forbids scripts, so what a browser makes of it is read from a copy with a script of ours.
"""

import base64
import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from ppl_mm import plotting
from ppl_mm.comparison import Outcome, Trial, plan, write
from ppl_mm.comparison.training import training
from ppl_mm.runs.config import write_config
from ppl_mm.runs.measures import Accuracy, Likelihood, Measures
from ppl_mm.systems import build

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-sync", "--disable-background-networking", "--disable-component-update"),
    *("--hide-scrollbars", "--enable-logging=stderr", "--virtual-time-budget=4000"),
]
SYSTEMS, MISSING = ("mvae", "mmvae_plus", "mopoe", "mvtcae", "jmvae"), (0.0, 0.25)
PHONE, DESK = 360, 1200

pytestmark = pytest.mark.skipif(not BROWSER, reason="no Chromium here: apt-get install chromium")

PROBE = """<script>
addEventListener("load", () => parent.postMessage(JSON.stringify({
  images: [...document.images].map(
    i => [i.complete, i.naturalWidth, i.getBoundingClientRect().width]),
  requests: performance.getEntriesByType("resource").map(
    r => r.name).filter(n => !n.startsWith("data:")),
  width: innerWidth,
  widest: document.documentElement.scrollWidth,
  past: [...document.querySelectorAll("main *")].filter(e => !e.closest(".wide")
    && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80)),
  cells: [...document.querySelectorAll("td")].map(e => e.innerText),
  headings: [...document.querySelectorAll("h1, h2, h3, h4")].map(e => e.innerText),
}), "*"));
</script>"""
"""What the page looks like to a browser, told to the frame around it."""

FRAME = """<!doctype html><meta charset="utf-8">
<style>body { margin: 0 } iframe { border: 0 }</style>
<iframe width="WIDTH" height="2000" src="copy.html"></iframe><pre></pre>
<script>
addEventListener("message", e => document.querySelector("pre").textContent = e.data);
</script>"""
"""A frame is as narrow as a phone; a headless window is not."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The report of a comparison of five systems whose numbers are made up."""
    folder = tmp_path_factory.mktemp("report")
    figure = Figure(figsize=(6, 4))
    figure.subplots().plot([0, 1])
    plotting.save(figure, folder / "picture.png", dpi=50)
    outcomes = []
    for i, trial in enumerate(plan(folder, "digits", SYSTEMS, missing=MISSING)):
        likelihoods = tuple(
            Likelihood(name, -123.4 - i, 0.5, 0.01, 200.0, 0.02 * i)
            for name in ("ELBO", "log p(top, bottom, label)", "log p(label | top, bottom)")
        )
        accuracies = (Accuracy("label", ("top", "bottom"), 0.9 - 0.02 * i, 0.01),)
        shares = (Accuracy("top", ("bottom", "label"), 0.8, 0.01), Accuracy("", (), 0.3, 0.01))
        coherence = {"coherences": shares, "oracles": {"top": 0.9, "bottom": 0.89}}
        measures = Measures(likelihoods, accuracies, 397, 397, 1000, True, **coherence)
        write_run(trial)
        outcomes.append(Outcome(trial, measures, training(trial.folder)))
    outcomes[-1] = Outcome(outcomes[-1].trial, failure="training diverged: the loss is nan <at> 3")
    write(folder, outcomes, "ppl-mm compare digits " + "--system mvae " * 20)
    return folder


def write_run(trial: Trial) -> None:
    """What the page reads of a run folder."""
    write_config(trial.folder, trial.config)
    system = build(trial.config.system, trial.dataset.modalities, 2)
    system.save(trial.folder / "system.safetensors")
    (trial.folder / "history.csv").write_text(
        "epoch,loss,validation_elbo,seconds\n1,2.0,-3.0,4.0\n"
    )
    for name in ("cross_generation", "prior_samples", "latent", "loss"):
        shutil.copy(trial.folder.parent / "picture.png", trial.folder / f"{name}.png")


def browse(profile: Path, *words: str) -> tuple[str, list[str]]:
    """Standard output of the browser, and what the page put on its console."""
    command = [BROWSER, *FLAGS, f"--user-data-dir={profile}", *words]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(profile), "XDG_CACHE_HOME": str(profile)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, re.findall(r".*:CONSOLE.*", done.stderr)


def probe(folder: Path, tmp_path: Path, width: int) -> dict:
    """What the probe says of the page in a frame of a width."""
    page = (folder / "report.html").read_text()
    page = re.sub(r'<meta http-equiv="Content-Security-Policy".*\n', "", page)
    (tmp_path / "copy.html").write_text(page.replace("</body>", PROBE + "</body>"))
    (tmp_path / "frame.html").write_text(FRAME.replace("WIDTH", str(width)))
    html, said = browse(tmp_path / "profile", "--dump-dom", f"file://{tmp_path}/frame.html")
    assert said == []
    return json.loads(unescape(re.search(r"<pre>(.*)</pre>", html, re.DOTALL)[1]))


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_all_of_it_is_there_and_fits(folder, tmp_path, width):
    found = probe(folder, tmp_path, width)
    page = (folder / "report.html").read_text()
    assert found["width"] == width
    assert found["widest"] <= width
    assert found["past"] == []
    assert found["requests"] == []
    assert len(found["images"]) == page.count("<img ") == 6 + (len(SYSTEMS) * len(MISSING) - 1) * 4
    for complete, natural, shown in found["images"]:
        assert complete
        assert natural > 100
        assert 100 < shown <= width
    assert any("± " in text for text in found["cells"])
    assert len(found["cells"]) == page.count("<td>")
    assert "failed" in found["cells"]
    assert "25% of training values missing" in found["headings"]


def test_the_page_itself_says_nothing_to_the_console_and_is_drawn(folder, tmp_path):
    picture = tmp_path / "page.png"
    words = ["--window-size=1200,1600", f"--screenshot={picture}"]
    _, said = browse(tmp_path / "profile", *words, f"file://{folder}/report.html")
    assert said == []
    pixels = imread(picture)[..., :3]
    dark = (pixels < 0.5).all(-1)
    assert pixels.shape[:2] == (1600, 1200)
    assert 0.005 < dark.mean() < 0.3
    assert dark.reshape(8, 200, 1200).any((1, 2)).all()  # from top to bottom
    assert (np.abs(pixels - [0, 0.447, 0.698]) < 0.02).all(-1).any()  # the rules under headings


def test_the_browser_would_tell_of_a_script_and_of_a_picture_from_elsewhere(folder, tmp_path):
    """So that the tests above could fail: the page's policy refuses both, on the console."""
    (tmp_path / "dot.png").write_bytes(base64.b64decode(_DOT))
    page = (folder / "report.html").read_text()
    for foreign in ("<script>document.title = 'x'</script>", '<img src="dot.png" alt="">'):
        (tmp_path / "page.html").write_text(page.replace("</body>", foreign + "</body>"))
        _, said = browse(tmp_path / "profile", "--dump-dom", f"file://{tmp_path}/page.html")
        assert any("Content Security Policy" in line for line in said)


_DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJg"
    "gg=="
)
