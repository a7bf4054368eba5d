"""What a run returns, and what it tells a logger."""

import pytest
import torch
from matplotlib.figure import Figure
from rich.console import Console
from toy_runs import QUIET, rows, toy

from ppl_mm import fit
from ppl_mm.training import (
    Callback,
    DivergedError,
    FitResult,
    Log,
    LossParts,
    elbo_by_site,
    loss_parts,
)


def cells(table):
    return [list(column.cells) for column in table.columns]


def test_the_table_has_a_column_for_each_number_and_none_for_parts_of_the_loss():
    history = [{"epoch": 1, "loss": 123.4567891, "share/a": 2.0}, {"epoch": 2, "seen": 1e-7}]
    table = FitResult(history, 2, {}).table()
    assert [column.header for column in table.columns] == ["epoch", "loss", "seen"]
    assert cells(table) == [["1", "2"], ["123.457", ""], ["", "1e-07"]]


def test_a_diverged_run_holds_its_result():
    result = FitResult([], 0, {})
    error = DivergedError("too fast", result)
    assert isinstance(error, FloatingPointError)
    assert (str(error), error.result) == ("too fast", result)


class Memory:
    """A logger that takes everything that there is."""

    def __init__(self):
        self.told, self.saved, self.pictures = [], 0, []

    def log_metrics(self, metrics, step):
        self.told.append((step, metrics))

    def log_image(self, key, images, step):
        self.pictures.append((step, key, images))

    def save(self):
        self.saved += 1

    def epochs(self):
        return [(step, told) for step, told in self.told if "epoch_loss" in told]


def logged(*callbacks, epochs=2, **options):
    system = toy()
    given = {"batch_size": 8, **QUIET, **options}
    return system, fit(system, rows(), epochs=epochs, callbacks=callbacks, **given)


@pytest.mark.parametrize(("every", "steps"), [(1, [1, 2, 3, 4, 5, 6]), (3, [3, 6]), (4, [4])])
def test_steps_are_logged_as_often_as_asked(every, steps):
    class Rate(Callback):
        def before_step(self, training):
            training.optimizer.param_groups[0]["lr"] = 1e-3 * (training.epoch + 1)

    memory = Memory()
    logged(Log(memory, every=every), Rate())
    told = [(step, m) for step, m in memory.told if "learning_rate" in m]
    assert [step for step, _ in told] == steps
    assert [m["learning_rate"] for _, m in told] == [1e-3 if s <= 3 else 2e-3 for s in steps]
    assert [step for step, _ in memory.epochs()] == [3, 6]
    assert memory.saved == 1


def test_a_step_is_logged_with_the_mean_loss_of_its_epoch_and_its_gradient():
    class Look(Callback):
        def __init__(self):
            self.found = []

        def after_step(self, training):
            self.found.append((training.loss, training.gradient_norm()))

    memory, look = Memory(), Look()
    _, result = logged(Log(memory, every=1), look)
    told = [m for _, m in memory.told if "learning_rate" in m]
    assert [(m["loss"], m["gradient_norm"]) for m in told] == look.found
    assert told[2]["loss"] == pytest.approx(result.history[0]["loss"])


def test_without_rows_that_are_held_out_no_elbo_is_logged():
    memory = Memory()
    logged(Log(memory))
    for _, told in memory.epochs():
        assert not [name for name in told if name.startswith("validation")]
        assert "epoch" not in told
        assert "loss" not in told


def test_the_elbo_by_site_is_that_of_the_first_256_rows_given():
    many = rows(5)[torch.arange(300) % 24]
    memory = Memory()
    system, _ = logged(Log(memory, rows=many), epochs=1, validation=rows(3))
    expected = elbo_by_site(system, many[:256])
    told = memory.epochs()[0][1]
    found = {n.removeprefix("validation/"): x for n, x in told.items() if "validation/" in n}
    assert found == {name: pytest.approx(value) for name, value in expected.items()}
    assert found["KL/z"] != pytest.approx(elbo_by_site(system, rows(3))["KL/z"])


def test_names_that_a_logger_refuses_are_changed():
    class Odd(Callback):
        def after_epoch(self, training):
            training.history[-1]["log_likelihood:a|b, c (é)"] = 1.0

    memory = Memory()
    logged(Odd(), Log(memory), epochs=1)
    assert "log_likelihood_a_b_ c _é_" in memory.epochs()[0][1]


@pytest.mark.parametrize(("every", "steps"), [(1, [3, 6, 9]), (2, [6])])
def test_pictures_come_as_often_as_asked(every, steps):
    memory = Memory()
    logged(
        Log(memory, picture=lambda _: Figure((2, 1), dpi=10), picture_every=every),
        epochs=3,
    )
    assert [step for step, _, _ in memory.pictures] == steps
    (picture,) = memory.pictures[0][2]
    assert memory.pictures[0][1] == "picture"
    assert picture.shape == (10, 20, 4)


def test_a_logger_with_a_folder_gets_a_file(tmp_path):
    class Folder(Memory):
        log_image = property(lambda self: self.nothing)  # it has none
        log_dir = str(tmp_path / "deep" / "logs")

    logged(Log(Folder(), picture=lambda _: Figure((1, 1), dpi=10), picture_every=1))
    found = sorted(path.name for path in (tmp_path / "deep" / "logs").iterdir())
    assert found == ["picture-3.png", "picture-6.png"]


def test_parts_of_the_loss_are_those_of_the_rows_given():
    given = rows(7)
    system, result = logged(LossParts(given), epochs=1)
    expected = loss_parts(system, given)
    row = result.history[0]
    assert {n: row[n] for n in expected} == {n: pytest.approx(x) for n, x in expected.items()}
    assert row["KL/z"] == pytest.approx(elbo_by_site(system, given)["KL/z"])
    assert not [name for name in row if name.startswith("log p/")]


def test_measures_with_square_brackets_in_their_names_are_headings_as_they_are():
    console = Console(width=100, record=True)
    console.print(FitResult([{"epoch": 1, "error [mm]": 0.5}], 1, {}).table())
    assert "error [mm]" in console.export_text()


def test_parts_of_the_loss_are_those_of_the_first_rows_as_steps_get_them():
    def shifted(obs):
        return obs.replace("a", obs["a"] + 10.0)

    system, result = logged(LossParts(), epochs=1, transform=shifted)
    expected = loss_parts(system, shifted(rows()))
    assert result.history[0]["share/a"] == pytest.approx(expected["share/a"])
    assert expected["share/a"] > 2 * loss_parts(system, rows())["share/a"]
