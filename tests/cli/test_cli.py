"""The command, on digits with hardly any training: what it writes, prints and refuses."""

import csv
import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from typer.testing import CliRunner, Result

from ppl_mm import System
from ppl_mm.cli.app import app
from ppl_mm.runs.folder import FILES
from ppl_mm.training import fit

FAST = ["--epochs", "1", "--batch-size", "400", "--num-samples", "30", "--rows", "9"]


def call(*words: object) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def fails(*words: object) -> str:
    """The one line on standard error of a command that is refused."""
    result = call(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    return line


def state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, str]:
    """A run folder, and what the command printed."""
    torch.set_default_dtype(torch.float64)
    folder = tmp_path_factory.mktemp("runs") / "trained"
    result = call("train", "mvae", "digits", "--out", folder, *FAST)
    assert result.exit_code == 0
    assert result.stderr == ""  # no warning of any library
    return folder, result.stdout


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures take most of the time."""
    monkeypatch.setattr("ppl_mm.runs.run.draw", lambda run: None)


def test_train_writes_the_whole_folder_and_prints_one_table(trained):
    folder, printed = trained
    assert {path.name for path in folder.iterdir()} == set(FILES)
    for part in (
        "log p(top, bottom, label)",
        "log p(label | top, bottom)",
        "ELBO",
        "k>0.7",
        "guide 100%",
    ):
        assert part in printed
    assert "from top, bottom" in printed
    assert "9 rows, 30" in printed
    measures = json.loads((folder / "metrics.json").read_text())
    assert (measures["rows"], measures["likelihood_rows"]) == (397, 9)
    assert [a["given"] for a in measures["accuracies"]] == [["top", "bottom"], ["top"], ["bottom"]]


def test_pictures_are_full_of_different_pixels(trained):
    folder, _ = trained
    for name in ("loss", "prior_samples", "cross_generation", "latent"):
        pixels = imread(folder / f"{name}.png")
        assert min(pixels.shape[:2]) > 400, name
        assert max(pixels.shape[:2]) < 1400, name
        assert (pixels[..., :3] < 0.9).any(-1).mean() > 0.01, name
        assert pixels[:3, :, :3].min() == 1.0, name  # nothing is cut off at the upper edge


def test_config_holds_options_versions_and_a_command_that_is_understood(trained, tmp_path, undrawn):
    folder, _ = trained
    content = json.loads((folder / "config.json").read_text())
    assert content["options"]["epochs"] == 1
    assert content["options"]["terms"] == "all"  # the data set's default
    assert content["versions"]["torch"] == torch.__version__
    program, *words = content["command"].split()
    assert program == "ppl-mm"
    words[words.index("--out") + 1] = str(tmp_path / "again")
    assert call(*words, "--no-evaluate", "--quiet").stdout == ""
    again = json.loads((tmp_path / "again" / "config.json").read_text())
    assert again["options"] == content["options"]
    first, second = (
        System.load(run / "system.safetensors").state_dict() for run in (folder, tmp_path / "again")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not (tmp_path / "again" / "metrics.json").exists()


def test_a_run_is_not_replaced_unasked(trained):
    folder, _ = trained
    before = state(folder)
    line = fails("train", "mvae", "digits", "--out", folder, *FAST)
    assert "--resume" in line
    assert "--overwrite" in line
    assert state(folder) == before


@pytest.mark.parametrize(
    "wrong",
    [
        ("--beta", "-1"),
        ("--clip-norm", "0"),
        ("--device", "abacus"),
        ("--impartial", "all"),
        ("--paired", "2"),
        ("--cuda-graph", "--device", "cpu"),
    ],
)
def test_overwrite_with_wrong_options_loses_nothing(trained, wrong):
    folder, _ = trained
    before = state(folder)
    fails("train", "mvae", "digits", "--out", folder, "--overwrite", *FAST, *wrong)
    assert state(folder) == before


def test_how_fast_it_trains_reaches_fit_and_may_change_where_a_run_goes_on(
    tmp_path, monkeypatch, undrawn
):
    seen = []

    def eager(*args, **options):
        seen.append(options["step"])
        return fit(*args, **{**options, "step": "eager"})

    monkeypatch.setattr("ppl_mm.runs.records.fit", eager)
    words = ["train", "mvae", "digits", "--out", tmp_path, "--no-evaluate"]
    assert call(*words, *FAST).exit_code == 0
    command = json.loads((tmp_path / "config.json").read_text())["command"]
    assert "--step auto" in command
    assert call(*words, "--resume", "--step", "compiled").exit_code == 0
    assert seen == ["auto", "compiled"]
    command = json.loads((tmp_path / "config.json").read_text())["command"]
    assert "--step compiled" in command


def test_impartial_training_is_kept_and_changes_the_encoders_alone_at_first(tmp_path, undrawn):
    pytest.importorskip("torchjd")
    options = ["--latent-dim", "4", "--no-evaluate", "--epochs", "1", "--batch-size", "2000"]
    systems = []
    for flags in ([], ["--impartial", "mgda"]):
        out = tmp_path / f"run{len(flags)}"
        result = call("train", "mvae", "digits", "--out", out, *options, *flags)
        assert result.exit_code == 0, result.stderr
        systems.append(System.load(out / "system.safetensors").state_dict())
    assert "--impartial mgda" in json.loads((out / "config.json").read_text())["command"]
    for name, value in systems[0].items():  # one step
        if value.is_floating_point() and value.any():
            assert torch.equal(value, systems[1][name]) == (not name.startswith("guide.enc")), name


def test_an_extra_that_is_not_installed_is_named_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchjd", None)
    line = fails("train", "mvae", "digits", "--out", tmp_path / "run", "--impartial", "mgda")
    assert "pip install 'ppl-mm[impartial]'" in line


def test_a_system_gets_its_own_options_and_keeps_them(tmp_path, undrawn):
    options = ["--option", "private_dim=3", "--option", "objective=iwae", "--option", "strata=1"]
    options += ["--option", "num_particles=2", "--latent-dim", "4", "--no-evaluate"]
    result = call("train", "mmvae_plus", "digits", "--out", tmp_path, *FAST, *options)
    assert result.exit_code == 0, result.stderr
    saved = json.loads((tmp_path / "config.json").read_text())
    chosen = {"private_dim": 3, "objective": "iwae", "strata": 1, "num_particles": 2}
    assert saved["options"]["options"] == chosen
    assert "--option private_dim=3" in saved["command"]
    system = System.load(tmp_path / "system.safetensors")
    assert system.model.private_dim == {"top": 3, "bottom": 3, "label": 3}
    assert (system.objective.strata, system.objective.num_particles) == (1, 2)
    with (tmp_path / "history.csv").open() as file:
        assert "surrogate" in next(csv.DictReader(file))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--option", "private_dim"), "expected NAME=VALUE such as private_dim=8"),
        (("--option", "particles=3"), "unknown argument 'particles'"),
        (("--option", "objective=drag"), "Did you mean 'dreg'?"),
        (("--option", "private_dim=0"), "argument private_dim: expected an integer of at least 1"),
        (("--data-option", "crops=3"), "unknown argument 'crops'"),
    ],
)
def test_options_that_do_not_exist_are_refused(tmp_path, wrong, said):
    out = tmp_path / "run"
    assert said in fails("train", "mmvae_plus", "digits", "--out", out, *FAST, *wrong)
    assert not out.exists()


def test_overwrite_replaces_the_run_and_leaves_other_files(tmp_path, undrawn):
    (tmp_path / "metrics.json").write_text("old")
    (tmp_path / "notes.txt").write_text("mine")
    options = ["--epochs", "1", "--modality", "top", "--modality", "label", "--no-evaluate"]
    options += ["--weight", "label=5", "--terms", "0", "--paired", "0.5", "--quiet"]
    result = call("train", "mvae", "digits", "--out", tmp_path, "--overwrite", *options)
    assert result.exit_code == 0, result.stderr
    assert not (tmp_path / "metrics.json").exists()
    assert (tmp_path / "notes.txt").read_text() == "mine"
    saved = json.loads((tmp_path / "config.json").read_text())["options"]
    assert saved["modalities"] == ["top", "label"]
    assert saved["weights"] == {"label": 5.0}
    assert saved["terms"] == 0
    assert saved["paired"] == 0.5


def test_resume_refuses_other_options_by_name(trained):
    folder, _ = trained
    out = ["train", "mvae", "digits", "--out", folder, "--resume"]
    assert fails(*out, "--batch-size", "7").startswith("error: batch_size: ")
    assert fails(*out, "--weight", "label=2").startswith("error: weights: ")
    assert fails("train", "mvae_q", *out[2:]).startswith("error: system: ")
    assert "choose one" in fails(*out, "--overwrite")


def test_evaluate_measures_again(trained):
    folder, _ = trained
    result = call("evaluate", folder, "--num-samples", "26", "--rows", "5")
    assert "5 rows, 26" in result.stdout
    measures = json.loads((folder / "metrics.json").read_text())
    assert (measures["likelihood_rows"], measures["num_samples"]) == (5, 26)


def test_generate_writes_picture_and_values(trained, tmp_path):
    folder, _ = trained
    png, npz = tmp_path / "drawn.png", tmp_path / "drawn.npz"
    words = ["--target", "top,bottom", "--given", "label", "--num", "3", "--rows", "4"]
    assert call("generate", folder, *words, "--out", png, "--npz", npz).exit_code == 0
    assert png.read_bytes().startswith(b"\x89PNG")
    values = np.load(npz)
    assert {name: values[name].shape for name in values} == {
        "top": (3, 4, 4, 8),
        "bottom": (3, 4, 4, 8),
    }
    call("generate", folder, "--target", "label", "--out", png)  # from the prior
    call("generate", folder, "--target", "label", "--given", "label", "--out", png)


def test_loglik_prints_the_summary_and_writes_rows(trained, tmp_path):
    folder, _ = trained
    path = tmp_path / "rows.csv"
    options = ["--given", "label", "--rows", "6", "--num-samples", "40", "--csv", path]
    result = call("loglik", folder, "--target", "top,bottom", *options, "--proposal", "top,label")
    assert "log p(top, bottom | label)" in result.stdout
    assert "posterior of top, label" in result.stdout
    assert result.stderr == ""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == list("012345")
    mean = np.mean([float(row["value"]) for row in rows])
    assert f"= {mean:.3f} " in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("train mave digits", "unknown system 'mave'.* Did you mean 'mvae'"),
        ("train mvae digit", "unknown data set 'digit'.* Did you mean 'digits'"),
        ("train mvae digits --modality tip", "unknown modality 'tip'.* Did you mean 'top'"),
        ("train mvae digits --weight labl=2", "'labl'.* Did you mean 'label'"),
        ("train mvae digits --weight label", "expected NAME=VALUE"),
        ("train mvae digits --terms some", "terms: expected 'all' or a number"),
        ("train mvae digits --epochs 0", "epochs: expected an integer of at least 1, got 0"),
        ("train mvae digits --epochs many", "--epochs"),
        ("train mvae digits --epohcs 3", "--epohcs.*--epochs"),
        ("train mvae digits --resume", "no run here"),
        ("train vae digits --modality top --terms all", "terms: system 'vae' leaves no choice"),
        ("train mvae mnist --data-dir nowhere", "ppl-mm data get mnist"),
        ("trian mvae digits", "'trian'.*'train'"),
        ("data get digit", "unknown data set 'digit'.* Did you mean 'digits'"),
        ("evaluate nowhere", "no run here"),
        ("evaluate RUN --rows 0", "rows: expected an integer of at least 1"),
        ("generate RUN --target labels", "'labels'.* Did you mean 'label'"),
        ("generate RUN --target label --given tpo", "'tpo'.* Did you mean 'top'"),
        ("loglik RUN", "--target"),
        ("loglik RUN --target label --given label", "both target and given"),
        ("loglik RUN --target label --proposal priro", "'priro'.* Did you mean 'prior'"),
    ],
)
def test_mistakes_are_told_in_one_line(words, message, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = fails(*(trained[0] if word == "RUN" else word for word in words.split()))
    assert re.search(message, line), line
    assert not list(tmp_path.iterdir())


def test_a_bug_keeps_its_traceback(trained, monkeypatch):
    def broken(*args: object, **options: object) -> None:
        raise KeyError("bug")

    monkeypatch.setattr("ppl_mm.runs.load", broken)
    with pytest.raises(KeyError, match="bug"):
        call("evaluate", trained[0])


def test_unfinished_run_says_how_to_go_on(trained, tmp_path):
    (tmp_path / "config.json").write_bytes((trained[0] / "config.json").read_bytes())
    assert "--resume" in fails("evaluate", tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert "damaged" in fails("evaluate", tmp_path)


def test_lists():
    assert "mvae_q" in call("systems").stdout
    table = call("data", "list", "--folder", "nowhere").stdout
    assert "digits" in table
    assert "missing" in table
    assert "nothing to download" in call("data", "get", "digits").stdout


@pytest.mark.parametrize(
    "words", ["", "train", "evaluate", "generate", "loglik", "systems", "data", "data get"]
)
def test_help(words):
    result = call(*words.split(), "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.stdout


def test_python_m(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ppl_mm", "systems"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("ppl_mm", run_name="__main__")
    assert end.value.code == 0
    assert "mvae" in capsys.readouterr().out
