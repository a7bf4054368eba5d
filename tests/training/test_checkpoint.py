"""A checkpoint belongs to its run, tells damage, and gives every parameter its own moments."""

import inspect
import random
import sys
import threading
from functools import partial

import pytest
import torch
from toy_runs import ADAM, QUIET, content_of, go_on, rows, same, start, toy, write_content

from ppl_mm import Observations, data, fit, objectives, systems
from ppl_mm.files import FolderInUseError, owned
from ppl_mm.objectives import subset_terms
from ppl_mm.training import MAY_DIFFER, Callback, DivergedError
from ppl_mm.training.moments import state_of

# ------------------------------------------------------------------ a checkpoint belongs to its run


def other_data():
    changed = rows()
    changed.values["a"][5] += 1e-9
    return changed


def less_data():
    full = rows()
    return Observations(full.values, {"a": torch.arange(24) > 0})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"obs": other_data}, r"data\.0\.a\.values"),
        ({"obs": less_data}, r"data\.0\.a\.present"),
        ({"system": lambda: toy(objective=objectives.IWAE(2))}, r"objective\.class"),
        (
            {"system": lambda: toy(objective=objectives.ELBOTerms(subset_terms(), beta=0.5))},
            r"objective\.beta=1\.0, resumed with 0\.5",
        ),
        ({"seed": lambda: 1}, "seed=0, resumed with 1"),
        ({"annealing_epochs": lambda: 3}, "annealing_epochs=0, resumed with 3"),
        ({"transform": lambda: lambda obs: obs}, "transform=None"),
        ({"validation": rows}, "validation=None"),
    ],
)
def test_another_run_is_refused_by_what_differs(tmp_path, options, told):
    start(tmp_path / "run")
    with pytest.raises(ValueError, match=rf"run: saved with {told}"):
        go_on(tmp_path / "run", **{name: make() for name, make in options.items()})


@pytest.mark.parametrize("other", ["mvae_q", "mvtcae", "mopoe"])
def test_another_system_of_the_same_data_is_refused(tmp_path, other):
    torch.set_default_dtype(torch.float32)
    digits = data.load("digits")
    given = {"batch_size": 600, "checkpoint": tmp_path / "run", "progress": False}
    build = partial(systems.build, modalities=digits.modalities, latent_dim=2)
    fit(build("mvae"), digits.train, epochs=1, **given)
    with pytest.raises(ValueError, match=r"run: saved with (recipe|objective)"):
        fit(build(other), digits.train, epochs=2, resume=True, **given)
    with pytest.raises(ValueError, match=r"run: saved with (recipe|objective).*beta"):
        fit(build("mvae", beta=2.0), digits.train, epochs=2, resume=True, **given)


def test_what_is_listed_may_differ(tmp_path):
    start(tmp_path / "run")
    step = {"step": "eager", "callbacks": [Callback()], "progress": True, "epochs": 3}
    checkpoint = {"checkpoint_every": 1, "checkpoint_minutes": 1.0}
    go_on(tmp_path / "run", clip_norm=5.0, **step, **checkpoint)
    assert {"clip_norm", *step, *checkpoint} <= set(MAY_DIFFER)


def test_every_option_of_fit_is_compared_or_may_differ(tmp_path):
    start(tmp_path / "run")
    options = set(inspect.signature(fit).parameters) - {"system", "data", "resume"}
    compared = set(content_of(tmp_path / "run")["setting"]) - {"data", "num_rows"}
    compared -= {"recipe", "programs", "objective", "parameters"}  # of the system
    compared |= {"mode"}  # of the monitor
    assert compared <= options
    assert options - compared <= {*MAY_DIFFER, "optimizer"}


def test_rows_in_files_go_on_in_memory_and_back(tmp_path):
    memory = rows()
    mapped = data.MemoryMapped({n: x.numpy() for n, x in memory.values.items()})
    start(tmp_path / "run")
    go_on(tmp_path / "run", obs=mapped)
    go_on(tmp_path / "run", obs=memory, epochs=3)


# ----------------------------------------------------------------------------------- by their names


def reordered(order):
    torch.set_default_dtype(torch.float32)
    digits = data.load("digits")
    by_name = {m.name: m for m in digits.modalities}
    torch.manual_seed(0)
    return systems.mvae([by_name[n] for n in order], 2), digits.train.only(*order)


def test_moments_follow_the_names_of_parameters_in_another_order_of_modalities(tmp_path):
    found = {}

    class Look(Callback):
        def before_fit(self, training):
            state = state_of(training.optimizer, training.system, training.given)["state"]
            found.update({n: v["exp_avg"].clone() for n, v in state.items()})

    system, obs = reordered(["top", "bottom", "label"])
    given = {"batch_size": 600, "checkpoint": tmp_path / "run", "progress": False}
    fit(system, obs, epochs=1, **given)
    saved = content_of(tmp_path / "run")["optimizer"]["state"]
    other, obs = reordered(["label", "bottom", "top"])
    names = [n for n, _ in other.named_parameters()]
    assert names != [n for n, _ in system.named_parameters()]
    fit(other, obs, epochs=1, resume=True, callbacks=[Look()], **given)
    assert set(found) == set(names)
    assert all(torch.equal(found[n], saved[n]["exp_avg"]) for n in names)
    assert same(system, other)


# -------------------------------------------------------------------------- the rate that is asked


def test_options_given_now_win_and_it_is_said(tmp_path):
    start(tmp_path / "run", optimizer=ADAM)
    used = []

    class Look(Callback):
        def after_step(self, training):
            used.append(training.optimizer.param_groups[0]["lr"])

    with pytest.warns(UserWarning, match=r"goes on with lr=1e-05 in place of 0\.001, as asked"):
        go_on(
            tmp_path / "run",
            optimizer=partial(torch.optim.Adam, lr=1e-5),
            callbacks=[Look()],
        )
    assert used == [1e-5] * 3


def test_a_rate_that_a_callback_has_changed_is_kept(tmp_path):
    class Halve(Callback):
        def after_epoch(self, training):
            training.optimizer.param_groups[0]["lr"] /= 2

    start(tmp_path / "run", callbacks=[Halve()])
    assert content_of(tmp_path / "run")["optimizer"]["now"][0]["lr"] == 5e-4
    go_on(tmp_path / "run", callbacks=[Halve()])
    assert content_of(tmp_path / "run")["optimizer"]["now"][0]["lr"] == 2.5e-4


def test_another_kind_of_optimiser_is_refused_by_name_or_starts_anew(tmp_path):
    start(tmp_path / "run")
    sgd = partial(torch.optim.SGD, lr=1e-4)
    with pytest.raises(ValueError, match=r"run: saved with optimizer=Adam, resumed with SGD"):
        go_on(tmp_path / "run", optimizer=sgd)
    result = go_on(tmp_path / "run", optimizer=sgd, resume="new optimizer")
    assert len(result.history) == 2
    assert content_of(tmp_path / "run")["optimizer"]["kind"] == "SGD"


# ------------------------------------------------------------------------------------------ damage


def test_flips_are_never_accepted_and_never_a_bare_error(tmp_path):
    path = tmp_path / "run"
    start(path)
    whole = path.read_bytes()
    system, chance = toy(), random.Random(0)
    before = {n: x.clone() for n, x in system.state_dict().items()}
    for _ in range(60):
        place = chance.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"run: .*without resume"):
            go_on(path, system)
    assert all(torch.equal(x, before[n]) for n, x in system.state_dict().items())


def test_parameters_that_are_nan_are_refused(tmp_path):
    path = tmp_path / "run"
    start(path)
    content = content_of(path)
    next(iter(content["system"].values()))[...] = float("nan")
    write_content(path, content)
    with pytest.raises(ValueError, match=r"run: the parameter .* holds NaN"):
        go_on(path)


@pytest.mark.parametrize("lost", ["optimizer", "system", "epoch", "history", "within"])
def test_a_checkpoint_that_lacks_a_part_is_refused(tmp_path, lost):
    path = tmp_path / "run"
    start(path)
    content = content_of(path)
    del content[lost]
    write_content(path, content)
    with pytest.raises(ValueError, match=r"run: truncated, damaged"):
        go_on(path)


def write_first_version(path):
    """As the earlier version wrote it."""
    content = content_of(path)
    optimizer = content["optimizer"]
    names = [n for n, _ in toy().named_parameters()]
    now = [{**group, "params": list(range(len(names)))} for group in optimizer["now"]]
    told = ("seed", "batch_size", "num_rows", "precision")
    content["setting"] = {name: content["setting"][name] for name in told}
    state = {names.index(n): values for n, values in optimizer["state"].items()}
    content["optimizer"] = {"state": state, "param_groups": now}
    for name in ("within", "system_within", "scheduler", "best_value"):
        content.pop(name)
    torch.save({"format": "ppl_mm checkpoint 1", **content}, path)


def test_a_checkpoint_of_the_earlier_version_goes_on_with_a_note(tmp_path):
    whole = toy()
    fit(whole, rows(), epochs=2, batch_size=8, **QUIET)
    start(tmp_path / "run")
    write_first_version(tmp_path / "run")
    resumed = toy()
    with pytest.warns(UserWarning, match=r"run: written by an earlier version of ppl_mm"):
        go_on(tmp_path / "run", resumed)
    assert same(whole, resumed)


# ---------------------------------------------------------------------------------- its own process


def test_a_checkpoint_that_another_run_writes_is_refused(tmp_path):
    refused = []

    def other():
        try:
            start(tmp_path / "run")
        except FolderInUseError as error:
            refused.append(str(error))

    with owned(tmp_path / "run"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert len(refused) == 1
    assert "run: in use by process" in refused[0]


def test_checkpoints_do_not_go_through_the_folder_of_temporary_files(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/nowhere")
    monkeypatch.setattr("tempfile.tempdir", None)
    start(tmp_path / "run")
    go_on(tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


# ---------------------------------------------------------------------------------- within an epoch


class SaveAt(Callback):
    def __init__(self, step, stop=False):
        self.step, self.stop = step, stop

    def after_step(self, training):
        if (training.epoch, training.step) == (1, self.step):
            training.save()
            if self.stop:
                training.stop()


@pytest.mark.parametrize("step", [1, 2])
def test_a_run_goes_on_within_an_epoch_exactly(tmp_path, step):
    whole, stopped, resumed = toy(), toy(), toy()
    options = {"epochs": 3, "validation": rows(3), "annealing_epochs": 2}
    expected = start(tmp_path / "whole", whole, **options)
    begun = start(tmp_path / "run", stopped, callbacks=[SaveAt(step, stop=True)], **options)
    assert len(begun.history) == 1
    found = go_on(tmp_path / "run", resumed, **options)
    assert same(whole, resumed)
    for one, other in zip(expected.history, found.history, strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}


def test_a_checkpoint_within_an_epoch_leaves_the_run_as_it_is(tmp_path):
    whole, saved = toy(), toy()
    start(tmp_path / "whole", whole, epochs=2)
    start(tmp_path / "run", saved, epochs=2, callbacks=[SaveAt(1)])
    assert same(whole, saved)


def test_checkpoints_come_after_minutes_within_an_epoch(tmp_path):
    seen = []

    class Look(Callback):
        def before_step(self, training):
            if (tmp_path / "run").exists():
                seen.append(content_of(tmp_path / "run")["within"])

    start(tmp_path / "run", checkpoint_minutes=1e-9, callbacks=[Look()])
    assert [within["step"] for within in seen] == [1, 2]


# ---------------------------------------------------------------------------------- what diverges


def diverging(epoch, value):
    def step(self, closure=None):
        torch.optim.SGD.step(self, closure)
        self.count = getattr(self, "count", 0) + 1
        if self.count == 3 * epoch:
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(value)

    return type("Explodes", (torch.optim.SGD,), {"step": step})


def test_what_diverged_is_said_in_a_sentence():
    with pytest.raises(DivergedError, match=r"diverged in epoch 2: a parameter is not finite\."):
        fit(
            toy(),
            rows(),
            epochs=3,
            batch_size=8,
            optimizer=partial(diverging(2, float("nan")), lr=1e-4),
            **QUIET,
        )


def test_a_loss_whose_gradients_square_overflows_has_diverged():
    with pytest.raises(
        DivergedError, match=r"diverged in epoch 2: the loss is [\d.]+e\+(19|[2-9])"
    ):
        fit(
            toy(),
            rows(),
            epochs=3,
            batch_size=8,
            optimizer=partial(diverging(1, 1e18), lr=1e-9),
            **QUIET,
        )


def test_a_validation_value_of_nan_in_the_first_epoch_disables_nothing(monkeypatch):
    values = iter([float("nan"), -3.0, -5.0, -4.0, float("nan")])
    module = sys.modules["ppl_mm.training.monitor"]
    monkeypatch.setattr(module, "_elbo", lambda training, seed: next(values))
    result = fit(toy(), rows(), epochs=9, batch_size=8, validation=rows(1), patience=3, **QUIET)
    assert result.best_epoch == 2
    assert len(result.history) == 5
