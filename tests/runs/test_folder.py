"""Files of a run folder: histories that are cut off, what is there already, rows to show."""

import re
from dataclasses import replace

import pytest
import torch
from matplotlib.figure import Figure

from ppl_mm import Observations, data, runs, systems
from ppl_mm.runs.folder import (
    FILES,
    Kept,
    check_folder,
    draw,
    examples,
    numbers,
    read_history,
    write_history,
)
from ppl_mm.training import FitResult


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An untrained run on digits."""
    digits = data.digits()
    torch.manual_seed(0)
    system = systems.mvae(digits.modalities, 2)
    options = {"num_samples": 30, "rows": 9}
    config = runs.configure("mvae", digits, **options)
    return runs.Run(tmp_path_factory.mktemp("run"), config, digits, system)


def without_label(run):
    return replace(run, dataset=run.dataset.without_label())


def test_a_history_that_ends_within_a_row_has_the_rows_before(tmp_path):
    path = tmp_path / "history.csv"
    whole = "epoch,loss,validation_elbo,a/b\n1,3.5,-4.0,\n2,2.5,,7\n"
    path.write_text(whole)
    first = {"epoch": 1.0, "loss": 3.5, "validation_elbo": -4.0}
    second = {"epoch": 2.0, "loss": 2.5, "a/b": 7.0}
    assert read_history(tmp_path) == [first, second]
    for cut, rows in (
        (whole + "3,", [first, second]),
        (whole + "3,1.5", [first, second]),
        (whole + "3,1.5,-,1\n", [first, second]),
        (whole + "3,1.5,-3,1,9\n", [first, second]),
        (whole[: whole.index("2,")], [first]),
        ("epoch,lo", []),
        ("", []),
    ):
        path.write_text(cut)
        assert read_history(tmp_path) == rows
    assert read_history(tmp_path / "nowhere") == []


def test_rows_without_an_epoch_or_a_loss_are_no_history(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,loss,x\n1,,3\n,2,3\n1,2,3\n")
    assert read_history(tmp_path) == [{"epoch": 1.0, "loss": 2.0, "x": 3.0}]


def test_a_history_and_its_picture_are_written_where_there_is_one(tmp_path, few_pixels):
    write_history(tmp_path, FitResult([], 0, {}))
    assert list(tmp_path.iterdir()) == []
    rows = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0, "validation_elbo": -3.0}]
    write_history(tmp_path, FitResult(rows, 2, {}))
    assert (tmp_path / "loss.png").read_bytes()[:4] == b"\x89PNG"
    assert read_history(tmp_path) == rows


@pytest.mark.parametrize("name", FILES)
def test_any_file_of_a_run_makes_a_folder_one(tmp_path, name):
    (tmp_path / "notes.txt").write_text("mine")
    check_folder(tmp_path, resume=False, overwrite=False)
    (tmp_path / name).write_text("")
    message = (
        f"{tmp_path}: holds a run already ({name}). Go on with it by --resume, replace it by "
        "--overwrite, or give another folder."
    )
    with pytest.raises(FileExistsError, match=f"^{re.escape(message)}$"):
        check_folder(tmp_path, resume=False, overwrite=False)
    check_folder(tmp_path, resume=True, overwrite=False)
    check_folder(tmp_path, resume=False, overwrite=True)


class Told:
    """What callbacks see of a run."""

    def __init__(self, first=True, epoch=0):
        self.is_first, self.epoch, self.history = first, epoch, []


def test_a_new_run_takes_the_place_of_an_old_ones_files(tmp_path, made):
    for name in (*FILES, "notes.txt"):
        (tmp_path / name).write_text("old")
    Kept(tmp_path, made.config, resume=False).before_fit(Told())
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", "notes.txt"}
    assert (tmp_path / "config.json").read_text() != "old"


def test_a_resumed_run_keeps_its_files_and_a_second_process_writes_nothing(tmp_path, made):
    names = set(FILES) - {"config.json"}
    for name in names:
        (tmp_path / name).write_text("old")
    other = Told(first=False)
    other.history = [{"epoch": 1, "loss": 2.0}]
    kept = Kept(tmp_path, made.config, resume=False)
    for called in (kept.before_fit, kept.after_epoch, kept.after_fit):
        called(other)
    assert {path.name for path in tmp_path.iterdir()} == names
    Kept(tmp_path, made.config, resume=True).before_fit(Told())
    assert {path.name: path.read_text() == "old" for path in tmp_path.iterdir()} == {
        **dict.fromkeys(names, True),
        "config.json": False,
    }


def test_a_history_is_written_every_second_and_at_the_end(tmp_path, made, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    kept, told = Kept(tmp_path, made.config, resume=False), Told()
    seen = []
    for epoch, time in enumerate((100.0, 100.9, 101.1), start=1):
        now[0] = time
        told.history.append({"epoch": epoch, "loss": 1.0 / epoch})
        kept.after_epoch(told)
        seen.append(len(read_history(tmp_path)))
    assert seen == [1, 1, 3]
    told.history.append({"epoch": 4, "loss": 0.25})
    kept.after_fit(told)
    assert len(read_history(tmp_path)) == 4
    empty = Told()
    Kept(tmp_path / "new", made.config, resume=False).after_fit(empty)
    assert not (tmp_path / "new").exists()


def test_rows_to_show_are_the_first_of_each_class_or_the_first_few(made):
    shown = examples(made)
    labels = made.dataset.test["label"]
    first = [labels.tolist().index(kind) for kind in range(10)]
    assert torch.equal(shown["top"], made.dataset.test["top"][first])
    plain = without_label(made)
    assert plain.label is None
    assert made.label == "label"
    assert torch.equal(examples(plain)["top"], made.dataset.test["top"][:8])
    assert torch.equal(examples(plain, 3)["top"], made.dataset.test["top"][:3])
    assert len(examples(made, 2)) == 2


def test_the_pictures_of_a_run_are_of_its_test_rows(made, tmp_path, monkeypatch):
    """What is asked of each picture; the pictures themselves are tested with the others."""
    seen = {}

    def drawn(name):
        def picture(*args, **options):
            seen[name] = (args, options)
            if name == "posterior" and "posterior" in refused:
                raise ValueError("fewer than two coordinates")
            return Figure(figsize=(0.1, 0.1))

        return picture

    refused = set()
    for name in ("prior_samples", "cross_generation", "posterior_means", "posterior"):
        monkeypatch.setattr(f"ppl_mm.plotting.{name}", drawn(name))
    run = replace(made, folder=tmp_path)
    draw(run)
    names = {"prior_samples.png", "cross_generation.png", "latent.png", "posterior.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    test, system = made.dataset.test, made.system
    (of_prior,), options = seen["prior_samples"]
    assert of_prior is system
    assert torch.equal(options["like"]["top"], test["top"][:1000])
    assert options["tiles"] == made.tiles == (("top", "bottom"),)
    (of_cross, shown), options = seen["cross_generation"]
    assert of_cross is system
    assert shown["label"].tolist() == list(range(10))
    assert torch.equal(options["like"]["top"], test["top"][:1000])
    assert options["label"] == "label"
    (of_means, rows), options = seen["posterior_means"]
    assert of_means is system
    assert len(rows) == len(test[:1000])
    assert options == {"label": "label"}
    assert seen["posterior"] == ((system, test), {})
    refused.add("posterior")
    draw(replace(run, folder=tmp_path / "new"))
    assert {path.name for path in (tmp_path / "new").iterdir()} == names - {"posterior.png"}


def test_rows_without_a_class_are_not_shown_as_one(made):
    test = made.dataset.test
    held = (test["label"] != 3) & (torch.arange(len(test)) > 5)
    rows = Observations(test.values, {"label": held})
    shown = examples(replace(made, dataset=replace(made.dataset, test=rows)))
    assert shown["label"].tolist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert shown.present["label"].all()


def test_draws_and_rows_are_the_runs_unless_others_are_asked_for(made):
    assert numbers(made, None, None) == (30, 9)
    assert numbers(made, 5, 1) == (5, 1)
    every = replace(made, config=replace(made.config, rows=None))
    assert numbers(every, None, None) == (30, None)
    for wrong in ({"rows": 0}, {"num_samples": 0}):
        with pytest.raises(ValueError, match="expected an integer of at least 1 or None, got 0"):
            runs.evaluate(made, **wrong)
    assert list(made.folder.iterdir()) == []
