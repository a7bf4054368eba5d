"""Schedulers, monitors, batches of the user's own, accumulated gradients, callbacks and logs."""

import re
import warnings
from collections import Counter
from functools import partial

import pytest
import torch
from linear_gaussian import LinearGaussian
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)
from torch.utils.data import DataLoader
from toy_runs import QUIET, go_on, rows, same, start, toy

from ppl_mm import fit, log_likelihood
from ppl_mm.evaluation import elbo
from ppl_mm.training import Callback, Log, elbo_by_site


class Rates(Callback):
    def __init__(self):
        self.seen = []

    def before_step(self, training):
        self.seen.append(training.optimizer.param_groups[0]["lr"])


SGD = partial(torch.optim.SGD, lr=1e-3)


def several(optimizer):
    parts = [CosineAnnealingLR(optimizer, 2), LambdaLR(optimizer, lambda epoch: 0.5**epoch)]
    return SequentialLR(optimizer, parts, milestones=[2])


PLATEAU = partial(ReduceLROnPlateau, patience=0, threshold_mode="abs", threshold=1e9)
SCHEDULERS = {
    "cosine": (partial(CosineAnnealingLR, T_max=4), "epoch"),
    "steps": (partial(MultiStepLR, milestones=[1, 2]), "epoch"),
    "one_cycle": (partial(OneCycleLR, max_lr=1e-2, total_steps=12), "step"),
    "several": (several, "epoch"),
    "plateau": (PLATEAU, "epoch"),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_sets_the_rate_and_goes_on_exactly(tmp_path, name):
    scheduler, every = SCHEDULERS[name]
    options = {"scheduler": scheduler, "scheduler_every": every, "optimizer": SGD}
    options |= {"validation": rows(3)}
    rates, (whole, stopped, resumed) = Rates(), (toy() for _ in range(3))
    fit(whole, rows(), epochs=4, batch_size=8, callbacks=[rates], **options, **QUIET)
    assert len(set(rates.seen)) > 1
    start(tmp_path / "run", stopped, epochs=2, **options)
    again = Rates()
    go_on(tmp_path / "run", resumed, epochs=4, callbacks=[again], **options)
    assert again.seen == rates.seen[6:]
    assert same(whole, resumed)


def test_a_scheduler_is_torchs_own_step_for_step():
    rates = Rates()
    options = {"scheduler": partial(CosineAnnealingLR, T_max=6), "scheduler_every": "step"}
    fit(toy(), rows(), epochs=2, batch_size=8, callbacks=[rates], optimizer=SGD, **options, **QUIET)
    parameter = torch.nn.Parameter(torch.zeros(()))
    optimizer = SGD([parameter])
    scheduler, expected = CosineAnnealingLR(optimizer, T_max=6), []
    for _ in range(6):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates.seen == expected


def test_a_rate_given_now_scales_what_a_schedule_has_lowered(tmp_path):
    options = {"scheduler": partial(CosineAnnealingLR, T_max=4)}
    rates, lower = Rates(), Rates()
    start(tmp_path / "run", epochs=2, optimizer=SGD, callbacks=[rates], **options)
    with pytest.warns(UserWarning, match=r"lr=0\.0001 in place of 0\.001"):
        go_on(
            tmp_path / "run",
            epochs=4,
            optimizer=partial(torch.optim.SGD, lr=1e-4),
            callbacks=[lower],
            **options,
        )
    whole = Rates()
    fit(toy(), rows(), epochs=4, batch_size=8, optimizer=SGD, callbacks=[whole], **options, **QUIET)
    assert lower.seen == pytest.approx([rate / 10 for rate in whole.seen[6:]])


# ---------------------------------------------------------------------------------------- monitors


def test_the_best_state_is_that_of_any_function_largest_or_smallest():
    seen = []

    def norm(system, obs):
        assert len(obs) == 24
        seen.append(next(system.parameters()).norm().item())
        return seen[-1]

    for mode, best in (("max", max), ("min", min)):
        seen.clear()
        result = fit(
            toy(),
            rows(),
            epochs=4,
            batch_size=8,
            validation=rows(3),
            monitor=norm,
            mode=mode,
            **QUIET,
        )
        assert [row["norm"] for row in result.history] == seen
        assert result.best_epoch == 1 + seen.index(best(seen))


def test_patience_counts_epochs_without_a_better_value():
    values = iter([3.0, 2.0, 2.5, 2.1, 9.0])
    result = fit(
        toy(),
        rows(),
        epochs=9,
        batch_size=8,
        validation=rows(3),
        monitor=lambda system, obs: next(values),
        mode="min",
        patience=3,
        **QUIET,
    )
    assert (result.best_epoch, len(result.history)) == (2, 5)


def test_a_log_likelihood_is_watched_by_its_name():
    name, system = "log_likelihood:a|b,c", toy()
    options = {"validation": rows(3), "monitor": name, **QUIET}
    result = fit(system, rows(), epochs=1, batch_size=8, seed=5, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = log_likelihood(system, rows(3), ["a"], ["b", "c"], 100, seed=5)
    assert result.history[0][name] == pytest.approx(float(found.value.mean()))


def test_the_training_loss_needs_no_rows_that_are_held_out():
    result = fit(toy(), rows(), epochs=3, batch_size=8, monitor="loss", **QUIET)
    losses = [row["loss"] for row in result.history]
    assert result.best_epoch == 1 + losses.index(min(losses))
    with pytest.raises(ValueError, match="monitor needs validation="):
        fit(toy(), rows(), epochs=3, monitor="log_likelihood:a", **QUIET)
    with pytest.raises(ValueError, match="monitor: expected 'elbo', 'loss'"):
        fit(toy(), rows(), epochs=3, monitor="accuracy", validation=rows(), **QUIET)


# ------------------------------------------------------------------------ batches of the user's own


def loader(obs, size=8, **options):
    return DataLoader(range(len(obs)), size, collate_fn=lambda some: obs[some], **options)


def test_batches_in_order_train_as_the_same_rows_would():
    obs = rows()
    chunks = [obs[i : i + 8] for i in range(0, 24, 8)]

    class Chunks:
        def __iter__(self):
            return iter(chunks)

    one, other = toy(), toy()
    fit(one, Chunks(), epochs=2, **QUIET)
    fit(other, loader(obs, generator=torch.Generator()), epochs=2, **QUIET)
    assert same(one, other)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_shuffled_loader_goes_on_within_an_epoch_exactly(tmp_path, step):
    class Stop(Callback):
        def after_step(self, training):
            if (training.epoch, training.step) == (1, step):
                training.stop()

    whole, stopped, resumed = toy(), toy(), toy()
    given = partial(loader, rows(), shuffle=True)
    fit(whole, given(), epochs=3, **QUIET)
    options = {"checkpoint": tmp_path / "run", **QUIET}
    fit(stopped, given(), epochs=3, callbacks=[Stop()], **options)
    fit(resumed, given(), epochs=3, resume=True, **options)
    assert same(whole, resumed)


def test_what_gives_no_observations_or_only_once_is_refused():
    with pytest.raises(TypeError, match="can be passed through once"):
        fit(toy(), iter([rows()]), epochs=1, **QUIET)
    with pytest.raises(TypeError, match="iterable of Observations, got one of a list"):
        fit(toy(), DataLoader(range(4), 2, collate_fn=list), epochs=1, **QUIET)


def test_values_of_a_later_batch_are_checked_before_they_train():
    obs = rows()
    obs.values["a"][20] = float("nan")
    with pytest.raises(ValueError, match="'a'"):
        fit(toy(), loader(obs), epochs=1, **QUIET)


# ------------------------------------------------------------------------------------ accumulation


def test_accumulated_gradients_are_those_of_the_mean_over_all_rows():
    class Look(Callback):
        def __init__(self):
            self.found = []

        def after_step(self, training):
            grads = [p.grad.clone() for p in training.system.parameters()]
            self.found.append((training.step, grads))

    frozen = partial(torch.optim.SGD, lr=0.0)
    one, many = Look(), Look()
    options = {"epochs": 1, "batch_size": 10, "optimizer": frozen, **QUIET}
    fit(toy(), rows(), callbacks=[one], **options)
    fit(toy(), rows(), callbacks=[many], accumulate=2, **options)
    assert [step for step, _ in many.found] == [2, 3]
    first, second, last = (grads for _, grads in one.found)
    for x, y, found in zip(first, second, many.found[0][1], strict=True):
        torch.testing.assert_close(found, (10 * x + 10 * y) / 20)
    for x, found in zip(last, many.found[1][1], strict=True):
        torch.testing.assert_close(found, x)


# ------------------------------------------------------------------------------ callbacks and logs


def test_callbacks_are_called_in_order_and_end_whatever_happens():
    called = []

    class All(Callback):
        def __getattribute__(self, name):
            if name.startswith(("before_", "after_")):
                return lambda training: called.append(name)
            return super().__getattribute__(name)

        before_fit = after_fit = before_epoch = after_epoch = before_step = after_step = None

    class Fails(Callback):
        def after_epoch(self, training):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(toy(), rows(), epochs=2, batch_size=12, callbacks=[All(), Fails()], **QUIET)
    step = ["before_step", "after_step"]
    expected = ["before_fit", "before_epoch", *step, *step, "after_epoch", "after_fit"]
    assert called == expected
    with pytest.raises(TypeError, match="expected a Callback, got a Counter"):
        fit(toy(), rows(), epochs=1, callbacks=[Counter()], **QUIET)


class Memory:
    def __init__(self):
        self.told = []

    def log_metrics(self, metrics, step):
        self.told.append((step, metrics))


def test_a_logger_gets_steps_epochs_and_the_elbo_by_site():
    memory, system = Memory(), toy()
    options = {"callbacks": [Log(memory, every=2)], "validation": rows(3), **QUIET}
    result = fit(system, rows(), epochs=2, batch_size=8, **options)
    steps = [step for step, told in memory.told if "learning_rate" in told]
    assert steps == [2, 4, 6]
    epochs = [told for _, told in memory.told if "epoch_loss" in told]
    assert [told["epoch_loss"] for told in epochs] == [row["loss"] for row in result.history]
    parts = {"share/a", "share/z", "term/a from a", "KL/z", "gradient_norm"}
    held_out = {"validation/log p/a", "validation/KL/z", "validation_elbo"}
    assert parts | held_out <= set(epochs[0])
    assert not any(re.search(r"[^\w\-. /]", name) for name in epochs[0])  # MLflow refuses it.
    sites = elbo_by_site(system, rows(3))
    whole = sum(v if name.startswith("log") else -v for name, v in sites.items())
    assert whole == pytest.approx(elbo(system, rows(3)).mean().item())


def test_fabrics_own_loggers_write_their_files(tmp_path):
    from lightning_fabric.loggers import CSVLogger, TensorBoardLogger
    from matplotlib.figure import Figure

    logs = [
        Log(CSVLogger(tmp_path / "csv"), every=1),
        Log(TensorBoardLogger(tmp_path / "board"), picture=lambda _: Figure(), picture_every=1),
    ]
    torch.set_default_dtype(torch.float32)
    fit(toy(), rows(), epochs=1, batch_size=8, callbacks=logs, progress=False, device="cpu")
    assert list((tmp_path / "csv").rglob("metrics.csv"))
    assert list((tmp_path / "board").rglob("events*"))
    with pytest.raises(TypeError, match="log_metrics"):
        Log(LinearGaussian())


def drawn(system):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2, 1), dpi=50)
    figure.subplots().plot([p.sum().item() for p in system.parameters()])
    return figure


def logged(logger):
    torch.set_default_dtype(torch.float32)
    log = Log(logger, every=1, picture=drawn, picture_every=1)
    options = {"validation": rows(3), "monitor": "log_likelihood:a|b,c", "progress": False}
    fit(toy(), rows(), epochs=2, batch_size=8, callbacks=[log], device="cpu", **options)


def test_pictures_are_files_beside_the_csv(tmp_path):
    from lightning_fabric.loggers import CSVLogger
    from PIL import Image

    logged(CSVLogger(tmp_path, name="logs", version=""))
    names = ["metrics.csv", "picture-3.png", "picture-6.png"]
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == names
    with Image.open(tmp_path / "logs" / "picture-6.png") as picture:
        assert picture.size == (100, 50)


def test_pictures_are_in_tensorboard(tmp_path):
    from lightning_fabric.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logged(TensorBoardLogger(tmp_path))
    (path,) = tmp_path.rglob("events*")
    found = EventAccumulator(str(path)).Reload()
    assert [image.step for image in found.Images("picture")] == [3, 6]
    assert found.Images("picture")[0].width == 100
    assert {"share/a", "term/a from a", "KL/z"} <= set(found.Tags()["scalars"])


@pytest.mark.filterwarnings("ignore")
def test_pictures_and_measures_are_in_mlflow(tmp_path, monkeypatch):
    from lightning.pytorch.loggers import MLFlowLogger

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    logger = MLFlowLogger(tracking_uri=f"file:{tmp_path}/mlruns")
    logged(logger)
    names = [file.path for file in logger.experiment.list_artifacts(logger.run_id)]
    assert names == ["picture-3.png", "picture-6.png"]
    metrics = logger.experiment.get_run(logger.run_id).data.metrics
    assert {"share/a", "term/a from a", "log_likelihood_a_b_c", "validation/log p/a"} <= set(
        metrics
    )


@pytest.mark.filterwarnings("ignore")
def test_pictures_and_measures_are_in_weights_and_biases(tmp_path):
    from lightning.pytorch.loggers import WandbLogger

    logger = WandbLogger(save_dir=tmp_path, offline=True)
    logged(logger)
    run = logger.experiment
    assert {"share/a", "term/a from a", "validation/log p/a", "picture"} <= set(run.summary.keys())
    run.finish()
    assert len(list(tmp_path.rglob("picture*.png"))) == 2


def test_a_logger_that_takes_no_pictures_is_refused():
    with pytest.raises(TypeError, match="a Memory takes no pictures; leave out picture="):
        logged(Memory())
