"""Plans of trials, runs that are taken for one, and which recorded measures count."""

import json
import stat
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from ppl_mm import plotting
from ppl_mm.comparison import adopt, plan
from ppl_mm.comparison.training import PICTURES, training
from ppl_mm.files import write_atomically
from ppl_mm.runs import FILES, Measures
from ppl_mm.runs.config import write_config
from ppl_mm.systems import build

SMALL = {"modalities": ["top", "label"], "latent_dim": 2, "num_samples": 30, "rows": 5}


def finished(folder, trial):
    """What the trials' files are, but for the content of most of them."""
    for name in FILES:
        write_atomically(folder / name, b"x")
    write_config(folder, trial.config)
    return folder


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        ([], {}, r"^system: expected at least one\.$"),
        (["mvae"], {"missing": []}, r"^missing: expected at least one\.$"),
        (["mvae"], {"seeds": []}, r"^seed: expected at least one\.$"),
        (["mvae"], {"seeds": [1, 2, 1]}, r"^seed: 1 is given twice\.$"),
        (["mvae"], {"missing": [0.1, 0.10000000001]}, r"^missing: 0\.1 is given twice\.$"),
        (["mvae"], {"own": {"vae": {}}}, "^option of 'vae': the comparison has only mvae"),
        (["mvae"], {"missing": [1.0]}, "^missing: expected a share from 0 to below 1, got 1"),
        (["mvae"], {"epoch": 3}, "^unknown option 'epoch'"),
    ],
)
def test_plans_that_make_no_sense_are_told(tmp_path, names, options, message):
    with pytest.raises(ValueError, match=message):
        plan(tmp_path, "digits", names, **SMALL, **options)
    assert list(tmp_path.iterdir()) == []


def test_trials_stand_by_system_share_and_seed_with_their_own_options(tmp_path):
    own = {"mmvae": {"strata": 1}}
    shared = {"terms": 1, "options": {"prior": None}}
    trials = plan(tmp_path, "digits", ["mvae", "mmvae"], missing=[0.0, 0.5], seeds=[3, 1],
                  own=own, **SMALL, **shared)  # fmt: skip
    names = [f"{s}-{m}-{n}" for s in ("mvae", "mmvae") for m in ("0", "0.5") for n in (3, 1)]
    assert [trial.folder.relative_to(tmp_path).as_posix() for trial in trials] == names
    first, *_, last = trials
    assert (first.config.terms, first.config.options) == (1, {"prior": None})
    assert (last.config.terms, last.config.options) == (None, {"prior": None, "strata": 1})
    assert (last.config.missing, last.config.seed, last.config.latent_dim) == (0.5, 1, 2)
    assert all(trial.dataset.test.names == ("top", "label") for trial in trials)
    assert not any(trial.begun or trial.trained for trial in trials)


def test_a_trained_run_is_copied_whole_and_nothing_else_of_its_folder(tmp_path):
    (trial,) = plan(tmp_path / "out", "digits", ["mvae"], **SMALL)
    source = finished(tmp_path / "source", trial)
    (source / "notes.txt").write_text("mine")
    adopt([trial], [source])
    assert {path.name for path in trial.folder.iterdir()} == set(FILES)
    assert stat.S_IMODE(trial.folder.stat().st_mode) == 0o755
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mvae-0-0"]
    assert (trial.begun, trial.trained) == (True, True)
    (trial.folder / "latent.png").write_text("own")
    adopt([trial], [source])  # it is trained: nothing is copied
    assert (trial.folder / "latent.png").read_text() == "own"


def test_a_run_that_is_no_trained_trial_is_not_taken(tmp_path):
    (trial,) = plan(tmp_path / "out", "digits", ["mvae"], **SMALL)
    source = finished(tmp_path / "source", trial)
    with pytest.raises(FileNotFoundError, match="nowhere: no run here"):
        adopt([trial], [tmp_path / "nowhere"])
    write_config(source, replace(trial.config, seed=4))
    message = r"source: mvae, missing 0, seed 4 is no trial of this comparison; add its system, "
    with pytest.raises(ValueError, match=message):
        adopt([trial], [source])
    write_config(source, replace(trial.config, epochs=7))
    with pytest.raises(ValueError, match=r"^epochs: .* Compare with the same settings, or give "):
        adopt([trial], [source])
    write_config(source, trial.config)
    (source / "latent.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"training has not ended; go on with --resume\.$"):
        adopt([trial], [source])
    assert not (tmp_path / "out").exists()
    (source / "latent.png").write_text("x")
    trial.folder.mkdir(parents=True)
    message = r"mvae-0-0: this trial has begun; remove it to load another\.$"
    with pytest.raises(FileExistsError, match=message):
        adopt([trial], [source])


def test_posteriors_and_measures_are_not_needed_of_a_trained_run(tmp_path):
    (trial,) = plan(tmp_path, "digits", ["mvae"], **SMALL)
    finished(trial.folder, trial)
    later = ("checkpoint.pt", "metrics.json", "posterior.png", "likelihoods.npz")
    for name in later:
        (trial.folder / name).unlink()
    assert trial.trained
    for name in set(FILES) - {*later}:
        content = (trial.folder / name).read_bytes()
        (trial.folder / name).unlink()
        assert not trial.trained, name
        (trial.folder / name).write_bytes(content)


def test_recorded_measures_count_with_the_draws_rows_and_oracles_that_are_asked_for(tmp_path):
    (trial,) = plan(tmp_path, "digits", ["mvae"], **SMALL)
    finished(trial.folder, trial)
    path = trial.folder / "metrics.json"
    assert trial.measures() is None  # the file is damaged

    def measured(asked=trial, oracles=(), **changed):
        numbers = {"rows": 397, "likelihood_rows": 5, "num_samples": 30} | changed
        found = Measures((), (), **numbers, normalised=True, oracles={"top": 0.9, "label": 1.0})
        path.write_text(json.dumps(found.to_dict()))
        return asked.measures(oracles)

    assert measured().likelihood_rows == 5
    assert measured(num_samples=29) is None
    assert measured(likelihood_rows=4) is None
    assert measured(oracles=["top"]) is not None
    assert measured(oracles=["top", "bottom"]) is None
    whole = replace(trial, config=replace(trial.config, rows=None))
    assert measured(whole, likelihood_rows=397) is not None
    assert measured(whole, likelihood_rows=5) is None
    many = replace(trial, config=replace(trial.config, rows=1000))
    assert measured(many, likelihood_rows=397) is not None
    for name in ("likelihoods.npz", "latent.png"):
        content = (trial.folder / name).read_bytes()
        (trial.folder / name).unlink()
        assert measured() is None, name
        (trial.folder / name).write_bytes(content)
    path.unlink()
    assert trial.measures() is None


def test_a_trial_of_other_settings_in_the_folder_is_told_before_anything_runs(tmp_path):
    (trial,) = plan(tmp_path, "digits", ["mvae"], **SMALL)
    write_config(trial.folder, trial.config)
    assert plan(tmp_path, "digits", ["mvae"], **SMALL)[0].begun
    with pytest.raises(ValueError, match=r"^latent_dim: the run in .*mvae-0-0 has 2, asked to go "):
        plan(tmp_path, "digits", ["mvae"], **{**SMALL, "latent_dim": 3})
    (trial.folder / "config.json").write_text("{")  # only this trial fails, later
    assert plan(tmp_path, "digits", ["mvae"], **SMALL)[0].begun


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("latent.png", b"no picture"),
        ("history.csv", b""),
        ("history.csv", b"epoch,loss\n1,2.0\n"),
        ("history.csv", b"epoch,seconds\n1,soon\n"),
        ("system.safetensors", b"x"),
        ("config.json", b"{}"),
        ("loss.png", None),
        ("loss.png", -30),  # all but the last bytes
    ],
)
def test_facts_of_a_training_are_read_and_damage_names_the_folder(tmp_path, name, content):
    (trial,) = plan(tmp_path, "digits", ["mvae"], **SMALL)
    write_config(trial.folder, trial.config)
    system = build("mvae", trial.dataset.modalities, 2)
    system.save(trial.folder / "system.safetensors")
    (trial.folder / "history.csv").write_text(
        "epoch,seconds,validation_elbo\n1,1.5,-5\n2,2.0,-3\n3,0.5,-4\n"
    )
    for picture in PICTURES:
        plotting.save(Figure(figsize=(0.1, 0.1)), trial.folder / f"{picture}.png", dpi=50)
    found = training(trial.folder)
    number = sum(p.numel() for p in system.parameters())
    assert (found.epochs, found.best_epoch, found.seconds, found.parameters) == (3, 2, 4.0, number)
    assert "torch " in found.versions
    if content is None:
        (trial.folder / name).unlink()
    else:
        whole = (trial.folder / name).read_bytes()
        (trial.folder / name).write_bytes(whole[:content] if isinstance(content, int) else content)
    with pytest.raises(ValueError, match=r"mvae-0-0: a file is damaged \(.*\)\.$"):
        training(trial.folder)
