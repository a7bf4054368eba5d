"""Words of monitors and schedulers: what they make, and wrong ones before a run begins."""

import math

import pytest
import torch
from torch.optim import SGD, lr_scheduler

from ppl_mm import Observations, data, runs, systems
from ppl_mm.runs.folder import check_folder
from ppl_mm.runs.steering import check_monitor, monitor_of, scheduler_of


@pytest.fixture(scope="module")
def digits():
    return data.digits()


@pytest.fixture
def system(digits):
    torch.manual_seed(0)
    return systems.mvae(digits.modalities, 2)


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("linear", [1.0, 0.75, 0.5, 0.25, 0.0]),
        ("exponential:0.5", [1.0, 0.5, 0.25, 0.125, 0.0625]),
        ("cosine", [(1 + math.cos(math.pi * i / 4)) / 2 for i in range(5)]),
    ],
)
def test_rates_by_epoch(text, rates):
    optimizer = SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
    scheduler = scheduler_of(text, 4)(optimizer)
    found = []
    for _ in rates:
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert found == pytest.approx(rates, abs=1e-12)


def test_a_plateau_waits_for_a_larger_value():
    assert scheduler_of(None, 3) is None
    made = scheduler_of("plateau", 3)
    assert made.func is lr_scheduler.ReduceLROnPlateau
    assert made.keywords == {"mode": "max"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cosin", r"unknown scheduler 'cosin'; known: cosine, .* Did you mean 'cosine'"),
        ("exponential", r"expected exponential:GAMMA .* such as exponential:0.95, got ''"),
        ("exponential:", r"expected exponential:GAMMA"),
        ("exponential:fast", r"expected exponential:GAMMA .*, got 'fast'"),
        ("exponential:0", r"expected exponential:GAMMA with a factor above 0"),
        ("exponential:-1", r"expected exponential:GAMMA"),
        ("exponential:nan", r"expected exponential:GAMMA"),
        ("exponential:inf", r"expected exponential:GAMMA"),
        ("cosine:3", r"scheduler: cosine takes no factor, got 'cosine:3'; write 'cosine'"),
    ],
)
def test_wrong_schedulers(text, message):
    with pytest.raises(ValueError, match=message):
        scheduler_of(text, 4)


@pytest.mark.parametrize("text", [None, "elbo", "loss", "log_likelihood:label|top"])
def test_monitors_of_fit_are_left_to_it(text):
    assert monitor_of(text) == (text or "elbo")


def test_an_accuracy_is_a_function_of_its_name(system, digits):
    monitor = monitor_of("accuracy:label")
    assert monitor.__name__ == "accuracy:label"
    assert 0 <= monitor(system, digits.validation) <= 1


@pytest.mark.parametrize(
    "text", [None, "elbo", "loss", "accuracy:label", "log_likelihood:label|top,bottom"]
)
def test_right_monitors_pass_and_draw_nothing(text, system, digits):
    before = torch.random.get_rng_state()
    check_monitor(text, system, digits.validation)
    check_monitor(text, system, None)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("accuracy:top", r"monitor 'accuracy:top': modality 'top': expected a label"),
        ("accuracy:lable", r"monitor 'accuracy:lable': .*unknown .*'lable'.*Did you mean 'label'"),
        ("accuracy:", r"monitor 'accuracy:': .*unknown .*''"),
        ("log_likelihood:", r"expected at least one target modality"),
        ("log_likelihood:lab|top", r"unknown target modality 'lab'"),
        ("log_likelihood:label|tip", r"unknown .*'tip'"),
        ("log_likelihood:top|top", r"modality 'top' is both target and given"),
    ],
)
def test_wrong_monitors_are_told_before_a_run_begins(text, message, system, digits):
    with pytest.raises(ValueError, match=message):
        check_monitor(text, system, digits.validation)


def test_a_run_with_a_wrong_monitor_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match=r"monitor 'accuracy:top'"):
        runs.train(tmp_path / "run", "mvae", "digits", monitor="accuracy:top", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_rows_without_the_label_do_not_stop_a_monitor(system, digits):
    rows = digits.validation
    present = {**rows.present, "label": torch.arange(len(rows)) >= 150}
    check_monitor("accuracy:label", system, Observations(rows.values, present))


def test_a_run_folder_that_is_a_file_is_refused(tmp_path):
    path = tmp_path / "run"
    path.write_text("notes")
    for options in ({"resume": False, "overwrite": False}, {"resume": False, "overwrite": True}):
        with pytest.raises(NotADirectoryError, match=r"run: is a file, and a run needs a folder"):
            check_folder(path, **options)
    assert path.read_text() == "notes"
    with pytest.raises(ValueError, match="resume and overwrite exclude each other"):
        check_folder(tmp_path / "new", resume=True, overwrite=True)
