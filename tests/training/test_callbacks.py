"""Callbacks that fail, stop and save; options of the optimiser in a resumed run."""

from functools import partial

import pytest
import torch
from toy_runs import QUIET, content_of, go_on, rows, same, start, toy

from ppl_mm import fit
from ppl_mm.training import Callback
from ppl_mm.training.moments import options_of, restore, state_of


class Named(Callback):
    """Notes its beginning and its end; fails at the beginning if it is told so."""

    def __init__(self, name, notes, fails=False):
        self.name, self.notes, self.fails = name, notes, fails

    def before_fit(self, training):
        self.notes.append(f"+{self.name}")
        if self.fails:
            raise ZeroDivisionError

    def after_fit(self, training):
        self.notes.append(f"-{self.name}")


def test_callbacks_end_in_the_reverse_order():
    notes = []
    fit(toy(), rows(), epochs=1, callbacks=[Named("a", notes), Named("b", notes)], **QUIET)
    assert notes == ["+a", "+b", "-b", "-a"]


def test_where_one_fails_to_begin_those_that_have_begun_are_ended():
    notes = []
    callbacks = [Named("a", notes), Named("b", notes, fails=True), Named("c", notes)]
    with pytest.raises(ZeroDivisionError):
        fit(toy(), rows(), epochs=1, callbacks=callbacks, **QUIET)
    assert notes == ["+a", "+b", "-b", "-a"]


class Place(Callback):
    """Where a run is at each call; it may stop there."""

    def __init__(self, stop=None):
        self.seen, self.stop = [], stop

    def _note(self, what, training):
        self.seen.append((what, training.epoch, training.step))
        if self.seen[-1] == self.stop:
            training.stop()

    def before_epoch(self, training):
        self._note("epoch", training)

    def before_step(self, training):
        self._note("step", training)

    def after_step(self, training):
        self._note("stepped", training)

    def after_epoch(self, training):
        self._note("done", training)
        assert training.steps == 2
        assert training.history[-1]["epoch"] == training.epoch


def place(**options):
    found = Place(options.pop("stop", None))
    result = fit(toy(), rows(), epochs=2, batch_size=12, callbacks=[found], **options, **QUIET)
    return found.seen, result


def test_a_run_counts_finished_epochs_and_steps():
    seen, result = place()
    epoch = [("epoch", 0), ("step", 0), ("stepped", 1), ("step", 1), ("stepped", 2)]
    first = [(what, 0, step) for what, step in epoch]
    second = [(what, 1, step) for what, step in epoch]
    assert seen == [*first, ("done", 1, 0), *second, ("done", 2, 0)]
    assert len(result.history) == 2


@pytest.mark.parametrize(
    ("stop", "epochs", "last"),
    [
        (("done", 1, 0), 1, ("done", 1, 0)),
        (("stepped", 0, 1), 0, ("stepped", 0, 1)),
        (("stepped", 0, 2), 1, ("done", 1, 0)),  # the last step of an epoch ends it
        (("epoch", 1, 0), 1, ("stepped", 1, 1)),  # the epoch that has begun takes its step
    ],
)
def test_a_stopped_run_ends_after_its_step(stop, epochs, last):
    seen, result = place(stop=stop)
    assert len(result.history) == epochs
    assert seen[-1] == last


def test_a_stopped_run_without_a_monitor_has_the_state_that_it_stopped_in():
    class Stop(Callback):
        def after_step(self, training):
            training.stop()

    system, whole = toy(), toy()
    sgd = partial(torch.optim.SGD, lr=1e-3)
    result = fit(system, rows(), epochs=2, batch_size=12, optimizer=sgd, callbacks=[Stop()],
                 **QUIET)  # fmt: skip
    assert (result.history, result.best_epoch) == ([], 0)
    for name, value in system.state_dict().items():
        assert torch.equal(value, result.best_state[name])
    assert not same(system, whole)


# ------------------------------------------------------------------ checkpoints


@pytest.mark.parametrize(("every", "writes"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (9, [5])])
def test_a_checkpoint_is_written_every_few_epochs_and_at_the_end(tmp_path, every, writes):
    found = []

    class Look(Callback):
        def before_epoch(self, training):
            self.look()

        def after_fit(self, training):
            self.look()

        def look(self):
            path = tmp_path / "run"
            if path.exists() and (epoch := content_of(path)["epoch"]) not in found:
                found.append(epoch)

    start(tmp_path / "run", epochs=5, batch_size=24, checkpoint_every=every, callbacks=[Look()])
    assert found == writes


def test_a_checkpoint_that_is_asked_for_after_an_epoch_is_written(tmp_path):
    class Ask(Callback):
        def after_epoch(self, training):
            if training.epoch == 2:
                training.save()

        def before_epoch(self, training):
            if training.epoch == 2:
                assert content_of(tmp_path / "run")["epoch"] == 2

    start(tmp_path / "run", epochs=3, batch_size=24, callbacks=[Ask()])


# ------------------------------------------------------------------ the optimiser's options


def groups(rates, **options):
    def make(parameters):
        parameters = list(parameters)
        parts = [parameters[: i + 1] if i == 0 else parameters[i:] for i in range(len(rates))]
        return torch.optim.Adam(
            [{"params": p, "lr": lr} for p, lr in zip(parts, rates, strict=True)], **options
        )

    return make


def test_each_group_keeps_its_own_rate(tmp_path):
    start(tmp_path / "run", optimizer=groups([1e-3, 1e-4]))
    with pytest.warns(UserWarning, match=r"lr=0\.01 in place of 0\.0001") as told:
        go_on(tmp_path / "run", optimizer=groups([1e-3, 1e-2]))
    assert "in place of 0.001" not in str(told[0].message)
    now = content_of(tmp_path / "run")["optimizer"]["now"]
    assert [group["lr"] for group in now] == [1e-3, 1e-2]


def test_another_number_of_groups_is_refused(tmp_path):
    start(tmp_path / "run", optimizer=groups([1e-3, 1e-4]))
    with pytest.raises(ValueError, match=r"saved with 2 groups of parameters .*, resumed with 1"):
        go_on(tmp_path / "run", optimizer=groups([1e-3]))


def restored(before, now):
    """What is told of options that differ, and the options of the second optimiser."""
    system = toy()
    first = torch.optim.Adam(system.parameters(), **before)
    second = torch.optim.Adam(system.parameters(), **now)
    saved = state_of(first, system, options_of(first))
    told = restore(second, system, saved, options_of(second), "run")
    return told, second.param_groups[0]


def test_equal_options_are_not_told_even_as_a_list():
    told, group = restored({"betas": (0.8, 0.9)}, {"betas": [0.8, 0.9]})
    assert told == []
    assert tuple(group["betas"]) == (0.8, 0.9)


def test_options_that_differ_are_told_and_those_given_now_win():
    told, group = restored({"lr": 0.1, "eps": 1e-6}, {"lr": 0.1, "eps": 1e-5, "betas": (0.5, 0.6)})
    assert sorted(told) == ["betas=(0.5, 0.6) in place of (0.9, 0.999)",
                            "eps=1e-05 in place of 1e-06"]  # fmt: skip
    assert (group["lr"], group["eps"], group["betas"]) == (0.1, 1e-5, (0.5, 0.6))


def test_how_a_step_is_computed_is_no_difference():
    told, group = restored({"foreach": True}, {"foreach": False})
    assert told == []
    assert group["foreach"] is False
