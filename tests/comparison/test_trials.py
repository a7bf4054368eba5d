"""Comparisons of systems: trials as run folders, one table of all, one page, honest errors."""

import csv
import io
import itertools
import json
import math
import re
import shutil
from pathlib import Path

import pytest
import torch
from comparing import MINUS, MISSING, SEEDS, SYSTEMS, Page, call, compare, spare_pictures

from ppl_mm import System
from ppl_mm.comparison import plan
from ppl_mm.comparison.training import training
from ppl_mm.runs import FILES
from ppl_mm.runs import run as runs
from ppl_mm.runs.building import training_rows
from ppl_mm.training.loop import Loop


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> tuple[Path, str]:
    """The folder of a comparison, and what the command printed."""
    torch.set_default_dtype(torch.float32)
    folder = tmp_path_factory.mktemp("compared") / "all"
    with pytest.MonkeyPatch.context() as patch:
        spare_pictures(patch)
        result = compare(folder)
    assert result.exit_code == 0, result.stderr
    return folder, result.stdout


@pytest.fixture
def untrained(monkeypatch):
    """Training is an error."""
    monkeypatch.setattr(Loop, "epoch", lambda *args: pytest.fail("trained again"))


def test_every_trial_is_a_run_folder(compared, tmp_path):
    folder, printed = compared
    names = {"-".join(trial) for trial in itertools.product(SYSTEMS, MISSING, SEEDS)}
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {*names, "oracles"}
    for name in names:
        assert {path.name for path in (folder / name).iterdir()} == set(FILES)
    copy = shutil.copytree(folder / "mvae-0.5-1", tmp_path / "copy")
    assert call("evaluate", copy).exit_code == 0
    assert "(8 of 8)" in printed
    assert "accuracy of label from top" in printed


def test_systems_share_what_is_missing_and_more_is_missing_at_larger_shares():
    trials = plan("nowhere", "digits", SYSTEMS, missing=[0.3, 0.6], seeds=[0, 1])
    masks = {}
    for trial in trials:
        rows = training_rows(trial.config, trial.dataset)
        key = (trial.config.system, trial.config.missing, trial.config.seed)
        masks[key] = torch.stack([rows.present[name] for name in rows.names])
        expected, number = 1 - trial.config.missing, masks[key].numel()
        deviation = math.sqrt(expected * (1 - expected) / number)
        assert abs(masks[key].double().mean() - expected) < 5 * deviation
    for share, seed in itertools.product((0.3, 0.6), (0, 1)):
        assert torch.equal(masks["mvae", share, seed], masks["mmvae", share, seed])
    assert not (masks["mvae", 0.6, 0] & ~masks["mvae", 0.3, 0]).any()
    assert not torch.equal(masks["mvae", 0.3, 0], masks["mvae", 0.3, 1])


def test_a_system_is_tried_on_what_each_share_leaves_it():
    assert len(plan("nowhere", "digits", ["meme"], missing=[0, 0.8])) == 2
    with pytest.raises(ValueError, match="pseudo-inputs of modality 'top': expected at least 128"):
        plan("nowhere", "digits", ["meme"], missing=[0, 0.95])


def test_the_same_command_again_trains_nothing_and_says_the_same(compared, untrained):
    folder, _ = compared
    before = (folder / "table.csv").read_text()
    result = compare(folder)
    assert "8 of 8 trials are done already" in result.stdout
    assert (folder / "table.csv").read_text() == before


def test_the_page_needs_nothing_but_itself(compared):
    folder, _ = compared
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    assert not {"script", "link", "a", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    assert "url(" not in text
    assert "@import" not in text
    assert "http://" not in text
    assert "https://" not in text
    pictures = page.of("img")
    curves, pictures_of_a_run = len(page.tables[0]) - 1, 5
    assert len(pictures) == curves + len(MISSING) * len(SYSTEMS) * pictures_of_a_run
    assert all(p["src"].startswith("data:image/png;base64,") for p in pictures)
    assert all(len(p["alt"]) > 20 for p in pictures)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert all(th["scope"] in ("row", "col") for th in page.of("th"))
    assert page.of("html") == [{"lang": "en"}]
    likelihoods = sum(row[0].startswith("log p(") for row in page.tables[0])
    compared_by_row = len(MISSING) * likelihoods
    assert len(page.of("caption")) == len(page.tables) == len(MISSING) + 1 + compared_by_row


def test_numbers_of_the_page_and_the_tables_are_those_of_the_records(compared):
    folder, _ = compared
    page = Page((folder / "report.html").read_text())
    lines = list(csv.DictReader(io.StringIO((folder / "table.csv").read_text())))
    found = {(line["missing"], line["system"], line["measure"]): line for line in lines}
    checked = 0
    for share, table in zip(MISSING, page.tables[:2], strict=True):
        assert table[0] == ["measure", *SYSTEMS]
        for measure, *texts in table[1:]:
            for system, text in zip(SYSTEMS, texts, strict=True):
                values = [recorded(folder / f"{system}-{share}-{s}", measure) for s in SEEDS]
                mean, error = sum(values) / 2, abs(values[0] - values[1]) / 2
                line = found[share, system, measure]
                assert float(line["mean"]) == pytest.approx(mean, rel=1e-12)
                assert float(line["standard_error"]) == pytest.approx(error, abs=1e-12)
                assert (line["over"], line["seeds"]) == ("seeds", "2")
                shown = re.match(rf"({MINUS}?[\d.]+) ± ([\d.]+)", text)
                digits = len(shown[1].partition(".")[2])
                told = [float(part.replace(MINUS, "-")) for part in shown.groups()]
                assert told == pytest.approx([mean, error], abs=0.5000001 * 10**-digits)
                checked += 1
    assert checked == len(lines)
    markdown = (folder / "table.md").read_text()
    assert markdown.count("\n| ") == len(lines) / 2 + 2


def recorded(folder: Path, measure: str) -> float:
    content = json.loads((folder / "metrics.json").read_text())
    values = {found["quantity"]: found["mean"] for found in content["likelihoods"]}
    for found in content["accuracies"]:
        name = f"accuracy of {found['label']} from {', '.join(found['given'])}"
        values[name] = found["value"]
    for found in content["coherences"]:
        values[f"coherence of {found['label']} from {', '.join(found['given'])}"] = found["value"]
    return values[measure]


def test_coherence_is_measured_by_one_classifier_for_all_trials(compared):
    folder, printed = compared
    assert "coherence of top from label" in printed
    (path,) = (folder / "oracles").iterdir()
    assert path.name == "digits-top-1200-83-0.safetensors"
    told = {
        json.loads((folder / f"{s}-{m}-{seed}" / "metrics.json").read_text())["oracles"]["top"]
        for s, m, seed in itertools.product(SYSTEMS, MISSING, SEEDS)
    }
    (share,) = told
    assert share > 0.7
    assert f"it reads right: top {share:.3f};" in (folder / "report.html").read_text()


def test_no_coherence_unless_wanted_and_then_without_training_again(tmp_path, monkeypatch):
    options = {"systems": ("mvae",), "missing": ("0",), "seeds": ("0",)}
    result = compare(tmp_path, "--no-coherence", **options)
    assert result.exit_code == 0, result.stderr
    assert not (tmp_path / "oracles").exists()
    assert "coherence of" not in result.stdout
    assert "--no-coherence" in (tmp_path / "report.html").read_text()
    monkeypatch.setattr(Loop, "epoch", lambda *args: pytest.fail("trained again"))
    assert "coherence of" in compare(tmp_path, **options).stdout
    assert "1 of 1 trials are done" in compare(tmp_path, "--no-coherence", **options).stdout


@pytest.mark.parametrize("name", ["metrics.json", "history.csv", "latent.png"])
def test_damaged_files_cost_their_trial_alone(compared, untrained, tmp_path, name):
    folder = shutil.copytree(compared[0], tmp_path / "all")
    whole = (folder / "table.csv").read_text()
    damaged = folder / "mvae-0-1" / name
    damaged.write_bytes(damaged.read_bytes()[:60])
    result = compare(folder)
    if name == "metrics.json":  # measured again
        assert result.exit_code == 0
        assert (folder / "table.csv").read_text() == whole
        return
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert re.search(r"mvae, missing 0, seed 1 \(.*mvae-0-1: a file is damaged .* Remove ", line)
    states = [row[3] for row in Page((folder / "report.html").read_text()).tables[-1][1:]]
    assert states == ["done", "failed", *["done"] * 6]


def test_a_stopped_comparison_goes_on_as_if_it_had_not_been(compared, tmp_path, monkeypatch):
    epoch, begun = Loop.epoch, []

    def stopped(self, state, *args):
        begun.append(state.epoch)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return epoch(self, state, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "epoch", stopped)
        result = compare(tmp_path, missing=("0.5",))
    assert result.exit_code == 130
    assert "the same command goes on" in result.stdout
    page = Page((tmp_path / "report.html").read_text())
    states = [row[3] for row in page.tables[-1][1:]]
    assert states == ["done", *["not run yet"] * 3]
    assert "1 of 2 seeds" in (tmp_path / "table.md").read_text()
    assert compare(tmp_path, missing=("0.5",)).exit_code == 0
    whole = (compared[0] / "table.csv").read_text().splitlines()
    expected = [line for line in whole if not line.startswith("0,")]
    assert (tmp_path / "table.csv").read_text().splitlines() == expected


def test_more_systems_add_trials_and_only_those_are_trained(compared, monkeypatch):
    folder, _ = compared
    trained = []
    train = runs.train
    monkeypatch.setattr(
        "ppl_mm.comparison.making.train",
        lambda folder, *names, **options: (
            trained.append(folder.name) or train(folder, *names, **options)
        ),
    )
    (folder / "mvae-0-1" / "system.safetensors").unlink()
    result = compare(folder, systems=("mvae", "jmvae"), missing=("0",), seeds=("1",))
    assert result.exit_code == 0, result.stderr
    assert trained == ["mvae-0-1", "jmvae-0-1"]


def test_a_changed_setting_is_one_error_that_names_it(compared):
    folder, _ = compared
    before = (folder / "report.html").read_bytes()
    result = compare(folder, "--epochs", "2")
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert re.search(r"error: epochs: the run in .*mvae-0-0 has 1, .* with 2\. .*--out", line)
    assert (folder / "report.html").read_bytes() == before


def test_a_trained_run_is_loaded_for_its_trial(tmp_path, untrained, compared):
    source = compared[0] / "mvae-0-0"
    options = {"systems": ("mvae",), "missing": ("0",), "seeds": ("0",)}
    result = compare(tmp_path / "out", "--load", source, **options)
    assert result.exit_code == 0, result.stderr
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / "table.csv").read_text())))
    assert {line["over"] for line in lines} == {"test rows"}
    content = json.loads((source / "metrics.json").read_text())
    assert float(lines[0]["standard_error"]) == content["likelihoods"][0]["standard_error"]
    assert "There is one seed" in (tmp_path / "out" / "report.html").read_text()
    other = compare(tmp_path / "other", "--load", compared[0] / "mmvae-0-0", **options)
    assert "mmvae, missing 0, seed 0 is no trial of this comparison" in other.stderr
    longer = compare(tmp_path / "longer", "--load", source, "--beta", "2", **options)
    assert longer.stderr.startswith("error: beta: the run in ")
    assert not (tmp_path / "longer").exists()


def test_a_diverged_trial_is_told_and_leaves_the_others(tmp_path, monkeypatch):
    epoch = Loop.epoch

    def diverging(self, state, *args):
        if type(self.system.objective).__name__ == "ELBOTerms":  # MVAE's
            with torch.no_grad():
                next(self.system.parameters()).fill_(math.nan)
        return epoch(self, state, *args)

    monkeypatch.setattr(Loop, "epoch", diverging)
    result = compare(tmp_path, missing=("0",), seeds=("0",))
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "failed: mvae, missing 0, seed 0 (training diverged in epoch 1: "
    )
    text = (tmp_path / "report.html").read_text()
    assert "<li>mvae, missing 0, seed 0: training diverged in epoch 1: " in text
    page = Page(text)
    assert [row[3] for row in page.tables[-1][1:]] == ["failed", "done"]
    assert page.tables[0][1][1] == "none"
    assert page.tables[0][1][2] != "none"


def test_the_epoch_that_was_kept_is_the_best_or_the_last(compared, tmp_path):
    folder = shutil.copytree(compared[0] / "mvae-0-0", tmp_path / "trial")
    lines = ["epoch,validation_elbo,seconds", "1,-5.0,1.5", "2,-3.0,2.0", "3,-4.0,2.5"]
    (folder / "history.csv").write_text("\n".join(lines))
    found = training(folder)
    assert (found.epochs, found.best_epoch, found.seconds) == (3, 2, 6.0)
    system = System.load(folder / "system.safetensors")
    assert found.parameters == sum(p.numel() for p in system.parameters())
    (folder / "history.csv").write_text(
        "\n".join(line.replace("validation_", "") for line in lines)
    )
    assert training(folder).best_epoch == 3
