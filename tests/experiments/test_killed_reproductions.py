"""A paper's table whose runs are killed at random moments is the table of runs that never were."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from killing import check_killed

from ppl_mm import data
from ppl_mm.experiments.mvae import experiment as mvae
from ppl_mm.experiments.reproduction import Table, reproduce


def show(records):
    return [f"- {name}: {value!r}" for r in records for name, value in r["measures"].items()]


def table(epochs):
    small = replace(mvae.SMOKE, dataset="binary_mnist", epochs=epochs, checkpoint_every=1)
    runs = [replace(small, system=name) for name in ("vae", "jmvae")]
    return Table("Killed", mvae, ("binary_mnist",), runs, runs, show)


def work(folder, epochs):
    page = reproduce(table(epochs), folder, "page")
    assert "failed" not in page.read_text()
    # the page's numbers are compared as a run's measures are
    (folder / "metrics.json").write_text(f'"{page.read_bytes().hex()}"')


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize(
    ("epochs", "kills"),
    [  # the steps of fewer than 20 are eager, of more recorded
        (4, 1),
        pytest.param(4, 13, marks=pytest.mark.slow),
        pytest.param(12, 13, marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_moment_the_table_is_the_same(tiny_mnist, monkeypatch, epochs, kills):
    torch.set_default_dtype(torch.float32)
    load = data.load
    monkeypatch.setattr(data, "load", lambda name, **o: load(name, validation=0, **o))
    check_killed(partial(work, epochs=epochs), tiny_mnist, kills)
