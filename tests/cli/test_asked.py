"""What commands ask of the library by their flags, and what they tell of its answers."""

import json
import shlex

from comparing import call

from ppl_mm.cli.compare import _table
from ppl_mm.comparison import Block, Entry, Outcome


def test_the_terminal_shows_the_best_in_bold_and_doubt_in_grey():
    entries = {
        ("log p(x)", "a"): Entry(-3.0, 0.5, 2, 2),
        ("log p(x)", "b"): Entry(-9.0, 0.5, 2, 2),
        ("ELBO", "a"): Entry(-4.0, 0.5, 2, 2, unreliable=0.06),
    }
    block = Block(0.25, ("a", "b"), ("ELBO", "log p(x)"), entries)
    table = _table(block, ["a", "b"])
    minus = "\N{MINUS SIGN}"
    assert table.title == "missing 0.25"
    assert [list(c.cells) for c in table.columns] == [
        ["ELBO", "log p(x)"],
        [f"[bright_black]{minus}4.00 ± 0.50[/]?", f"[bold]{minus}3.00 ± 0.50[/]"],
        ["", f"{minus}9.00 ± 0.50"],
    ]
    assert [c.header for c in _table(block, ["b"]).columns] == ["held-out rows", "b"]


def test_a_comparison_tells_its_command_and_what_failed(tmp_path, monkeypatch):
    """Trials that break at once; the command on the page makes the same ones again."""
    commands, asked = [], []

    def broken(trials, **options):
        asked.append([(str(trial), trial.config) for trial in trials])
        return [Outcome(trial, failure="it broke") for trial in trials]

    monkeypatch.setattr("ppl_mm.comparison.run", broken)
    monkeypatch.setattr(
        "ppl_mm.comparison.write", lambda folder, outcomes, told: commands.append(told) or []
    )
    words = ["compare", "digits", "--system", "mvae", "--missing", 0.25, "--seed", 3, "--seed", 4]
    words += ["--option", "mvae.prior=null", "--no-coherence", "--epochs", 5, "--modality", "top"]
    result = call(*words, "--modality", "label", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr == (
        "failed: mvae, missing 0.25, seed 3 (it broke); mvae, missing 0.25, seed 4 (it broke)\n"
    )
    (told,) = commands
    assert told.startswith(
        "ppl-mm compare digits --system mvae --missing 0.25 --seed 3 --seed 4 "
        "--option mvae.prior=null --no-coherence --modality top --modality label "
    )
    assert f"--epochs 5 --out {tmp_path / 'out'}" in told
    assert call(*shlex.split(told)[1:], "--quiet").exit_code == 1
    assert asked[0] == asked[1]
    assert commands[1] == told


def test_a_description_is_written_beside_the_picture_of_what_is_missing(tmp_path, few_pixels):
    result = call("data", "describe", "digits", "--out", tmp_path / "new")
    text, _, written = result.stdout.rstrip("\n").rpartition("\n")
    assert (tmp_path / "new" / "description.txt").read_text() == f"{text}\n"
    assert (tmp_path / "new" / "missing.png").read_bytes()[:4] == b"\x89PNG"
    assert written.startswith("written: ")
    assert call("data", "describe", "digits").stdout == f"{text}\n"


def test_the_default_folder_of_a_run_has_the_name_of_its_data(tmp_path, monkeypatch):
    seen_ = []

    def trained(out, system, dataset, **options):
        seen_.append((out.as_posix(), dataset))
        raise ValueError("enough")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ppl_mm.runs.train", trained)
    for dataset in ("digits", "studies/cohort.toml", str(tmp_path / "other.toml")):
        assert call("train", "mvae", dataset).stderr == "error: enough\n"
    assert seen_ == [
        ("runs/mvae-digits", "digits"),
        ("runs/mvae-cohort", "studies/cohort.toml"),
        ("runs/mvae-other", str(tmp_path / "other.toml")),
    ]


def test_what_is_trained_for_is_what_the_flags_say(tmp_path, monkeypatch):
    seen_ = {}

    def trained(out, system, dataset, **options):
        seen_.update(options)
        raise ValueError("enough")

    monkeypatch.setattr("ppl_mm.runs.train", trained)
    words = {
        "--modality": "top", "--latent-dim": 3, "--weight": "label=2", "--terms": 4,
        "--beta": 0.5, "--option": "a=1", "--data-option": "b=2", "--paired": 0.25,
        "--missing": 0.125, "--epochs": 5, "--batch-size": 6, "--learning-rate": 0.75,
        "--scheduler": "cosine", "--monitor": "loss", "--annealing-epochs": 7, "--patience": 8,
        "--clip-norm": 9.0, "--impartial": "mgda", "--seed": 10, "--device": "cpu",
        "--precision": "64-true", "--step": "eager", "--data-dir": "here", "--num-samples": 11,
        "--rows": 12,
    }  # fmt: skip
    flat = [word for pair in words.items() for word in pair]
    call("train", "mvae", "digits", "--out", tmp_path / "run", *flat, "--resume", "--quiet")
    assert seen_ == {
        "modalities": ["top"], "latent_dim": 3, "weights": {"label": 2.0}, "terms": 4,
        "beta": 0.5, "options": {"a": 1}, "data_options": {"b": 2}, "paired": 0.25,
        "missing": 0.125, "epochs": 5, "batch_size": 6, "learning_rate": 0.75,
        "scheduler": "cosine", "monitor": "loss", "annealing_epochs": 7, "patience": 8,
        "clip_norm": 9.0, "impartial": "mgda", "seed": 10, "device": "cpu",
        "precision": "64-true", "step": "eager", "data_dir": "here", "num_samples": 11,
        "rows": 12, "resume": True, "overwrite": False, "progress": False, "callbacks": [],
    }  # fmt: skip
    assert json.dumps(seen_)
