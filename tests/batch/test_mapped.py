"""Rows in files: the same results as rows in memory, and little memory."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from every_system import KINDS, build, modalities

from ppl_mm import Observations, fit, generate, log_likelihood
from ppl_mm.data import MemoryMapped, keep_modalities, streams
from ppl_mm.evaluation import accuracy, elbo

QUIET = {"device": "cpu", "precision": "64-true", "progress": False, "batch_size": 7}
NAMES = ("bernoulli", "categorical", "normal")


class Watched:
    """An array that writes down which rows are read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.reads: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.reads.append(rows.tolist())
        return self.array[rows]


@pytest.fixture
def stored(tmp_path: Path) -> tuple[MemoryMapped, Observations]:
    """Rows of bytes, classes and float32 in files, some missing; and the same in memory."""
    values = {name: KINDS[name].draw(40) for name in NAMES}
    present = dict(zip(NAMES, torch.rand(3, 40) > 0.3, strict=True))
    values["normal"][~present["normal"]] = torch.nan
    types = {"bernoulli": np.uint8, "categorical": np.int16, "normal": ">f4"}
    for name, x in values.items():
        np.save(tmp_path / name, x.numpy().astype(types[name]))
    values["normal"] = values["normal"].float().double()
    return (
        MemoryMapped(
            {name: tmp_path / f"{name}.npy" for name in NAMES},
            present,
            convert={"bernoulli": lambda x: x.double()},
        ),
        Observations(values, present),
    )


def assert_same_fit(mapped, memory, name="mvae", epochs=2):
    found = []
    for rows in (mapped, memory):
        torch.manual_seed(0)
        system = build(name)
        result = fit(system, rows, epochs=epochs, **QUIET)
        found.append((system.state_dict(), [row["loss"] for row in result.history]))
    (state, losses), (expected, expected_losses) = found
    assert losses == expected_losses
    for key, value in expected.items():
        assert torch.equal(state[key], value), key


def test_kept_at_random_trains_like_rows_in_memory(stored):
    mapped, memory = (keep_modalities(rows, 0.5, seed=3) for rows in stored)
    assert isinstance(mapped, MemoryMapped)
    for name in NAMES:
        assert torch.equal(mapped.present[name], memory.present[name])
        assert mapped.evidence[name] is mapped.present[name]
        assert mapped.present[name].sum() < stored[0].present[name].sum()
    every = mapped.masked({name: torch.ones(40, dtype=torch.bool) for name in NAMES})
    assert all(torch.equal(every.present[name], mapped.present[name]) for name in NAMES)
    assert_same_fit(mapped, memory)


def test_keeping_at_random_reads_nothing():
    watched = Watched(np.arange(20.0))
    keep_modalities(MemoryMapped({"x": watched}), 0.5)
    assert watched.reads == []


def test_rows_are_those_in_memory(stored):
    mapped, memory = stored
    assert len(mapped) == 40
    assert mapped.names == NAMES
    for index in (slice(3, 17), torch.tensor([9, 2, 2, 39]), memory.present["normal"], [-1], 5):
        batch, expected = mapped[index], memory[index]
        assert len(batch) == len(expected)
        for name in NAMES:
            assert torch.equal(batch[name], expected[name])
            assert batch[name].dtype == expected[name].dtype
            assert torch.equal(batch.present[name], expected.present[name])
    nested = mapped[10:30][torch.tensor([4, 0])].drop("normal")
    assert nested.names == NAMES[:2]
    assert torch.equal(nested["categorical"], memory["categorical"][[14, 10]])
    assert mapped.to(torch.float32)[:2]["bernoulli"].dtype == torch.float32
    assert repr(mapped).startswith("MemoryMapped(40 rows; bernoulli(1, 3, 3): ")
    with pytest.raises(IndexError, match="rows from -40 to 39"):
        mapped[40]


def test_what_is_asked_for_is_read_in_the_order_of_the_file_and_once():
    array = Watched(np.arange(20.0)[:, None])
    present = np.arange(20) != 5
    mapped = MemoryMapped({"x": array, "y": Watched(np.arange(20))}, {"x": present})
    batch = mapped[2:].to("cpu").given("x").without("y")[torch.tensor([7, 3, 0])]
    assert array.reads == []
    assert batch["x"].tolist() == [[9.0], [0.0], [2.0]]
    assert batch["x"] is batch["x"]
    assert array.reads == [[2, 9]]  # row 5 is missing


@pytest.mark.parametrize("name", ["mvae", "mopoe"])
def test_training_is_that_of_rows_in_memory(stored, name):
    assert_same_fit(*stored, name)


def test_training_with_a_transform_and_validation(stored):
    mapped, memory = stored

    def noisy(obs):
        return obs.replace("normal", obs["normal"] + torch.randn_like(obs["normal"]))

    found = []
    for rows in (mapped, memory):
        torch.manual_seed(0)
        result = fit(build("mvae"), rows, epochs=2, transform=noisy, validation=rows, **QUIET)
        found.append([(row["loss"], row["validation_elbo"]) for row in result.history])
    assert found[0] == found[1]


def test_training_on_streams(stored):
    mapped, memory = (streams(rows, 0.4, unpaired="disjoint") for rows in stored)
    assert all(isinstance(part, MemoryMapped) for part in mapped)
    assert_same_fit(mapped, memory)
    assert_same_fit([mapped[0], *memory[1:]], memory)


def test_a_resumed_run_equals_an_uninterrupted_one(stored, tmp_path):
    mapped, memory = stored
    path = tmp_path / "checkpoint.pt"
    torch.manual_seed(0)
    fit(build("mvae"), mapped, epochs=1, checkpoint=path, **QUIET)
    torch.manual_seed(0)
    resumed, whole = build("mvae"), build("mvae")
    fit(resumed, mapped, epochs=3, checkpoint=path, resume=True, **QUIET)
    torch.manual_seed(0)
    whole = build("mvae")
    fit(whole, memory, epochs=3, **QUIET)
    for key, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value)


def test_measures_are_those_of_rows_in_memory(stored):
    mapped, memory = stored
    system = build("mvae")
    assert torch.equal(elbo(system, mapped, batch_size=9), elbo(system, memory, batch_size=9))
    both = [log_likelihood(system, rows, given="normal", num_samples=20) for rows in stored]
    assert torch.equal(both[0].value, both[1].value)
    assert accuracy(system, mapped, "categorical") == accuracy(system, memory, "categorical")
    draws = [generate(system, rows, ["normal"], 2, given=["bernoulli"]) for rows in stored]
    assert torch.equal(draws[0]["normal"], draws[1]["normal"])


def test_rows_that_do_not_fit_are_found_when_they_are_first_read(stored):
    _, memory = stored
    bad = memory["categorical"].numpy().copy()
    bad[torch.arange(40)[memory.present["categorical"]][-1]] = 7
    rows = MemoryMapped({"categorical": bad}, {"categorical": memory.present["categorical"]})
    system = build("mvae", modalities("categorical"))
    with pytest.raises(ValueError, match="modality 'categorical': expected values in"):
        fit(system, rows, epochs=1, **QUIET)
    with pytest.raises(ValueError, match="modality 'categorical': expected values in"):
        elbo(system, rows)


def test_an_observed_row_of_nan_is_named():
    values = np.random.default_rng(0).normal(size=(40, 3))
    values[33, 1] = np.nan
    with pytest.raises(ValueError, match="'normal': row 33 of the array is observed but holds NaN"):
        fit(
            build("mvae", modalities("normal")), MemoryMapped({"normal": values}), epochs=1, **QUIET
        )


def test_files_and_arrays_that_are_no_data_are_refused(tmp_path):
    whole, broken, text = tmp_path / "whole.npy", tmp_path / "broken.npy", tmp_path / "text.npy"
    np.save(whole, np.zeros((50, 10)))
    broken.write_bytes(whole.read_bytes()[:-8])
    text.write_text("no array")
    for path in (broken, text):
        with pytest.raises(ValueError, match=f"'x': .*{path.name}: truncated, or no .npy file"):
            MemoryMapped({"x": path})
    with pytest.raises(FileNotFoundError, match=r"'x': .*missing.npy: no such file"):
        MemoryMapped({"x": tmp_path / "missing.npy"})
    with pytest.raises(ValueError, match=r"disagree on the number of rows: {'x': 50, 'y': 3}"):
        MemoryMapped({"x": whole, "y": np.zeros(3)})
    with pytest.raises(TypeError, match="'x': expected numbers, got <U1"):
        MemoryMapped({"x": np.array(["a"])})
    with pytest.raises(TypeError, match=r"'x': expected a .npy file's name or an array"):
        MemoryMapped({"x": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"'x': expected mask of shape \(B,\) = \(50,\)"):
        MemoryMapped({"x": whole}, {"x": np.ones(49, dtype=bool)})
    with pytest.raises(ValueError, match="'y'"):
        MemoryMapped({"x": whole}, convert={"y": torch.Tensor.float})


STORED = {
    "big-endian": np.arange(6, dtype=">i4").reshape(3, 2),
    "longdouble": np.arange(3, dtype=np.longdouble),
    "uint64": np.arange(3, dtype=np.uint64),
    "bool": np.array([True, False, True]),
    "float16": np.arange(3, dtype=np.float16),
    "Fortran": np.asfortranarray(np.arange(6.0).reshape(3, 2)),
    "reversed": np.arange(3.0)[::-1],
}


@pytest.mark.parametrize("kind", STORED)
def test_arrays_of_every_kind_are_read_as_into_memory(kind, tmp_path):
    array = STORED[kind]
    np.save(tmp_path / "x.npy", array)
    expected = Observations.from_arrays({"x": array})["x"]
    for source in (array, tmp_path / "x.npy"):
        mapped = MemoryMapped({"x": source})
        assert mapped["x"].dtype == expected.dtype
        assert torch.equal(mapped[[2, 0, 2]]["x"], expected[[2, 0, 2]])
        converted = MemoryMapped({"x": source}, convert={"x": lambda x: 2.0 * x.double()})
        assert torch.equal(converted["x"], 2.0 * expected.double())


class Strict(Watched):
    """An array that takes rows in an increasing order alone, as files of HDF5 do."""

    def __getitem__(self, rows):
        assert (np.diff(rows) > 0).all()
        return super().__getitem__(rows)


def test_a_row_is_read_once_however_often_it_is_asked_for():
    array = Strict(np.arange(10.0))
    mapped = MemoryMapped({"x": array}, {"x": np.arange(10) != 3})
    assert mapped[[7, 2, 7, 3, 2]]["x"].tolist() == [7.0, 2.0, 7.0, 0.0, 2.0]
    assert array.reads == [[2, 7]]


def test_numbers_beyond_a_tensors_are_refused_when_they_are_read():
    with pytest.raises(ValueError, match=r"'x': 18446744073709551615 is beyond what torch.int64"):
        MemoryMapped({"x": np.array([2**64 - 1], dtype=np.uint64)})["x"]


@pytest.mark.parametrize(
    "x",
    [
        np.ma.array([1, 999], mask=[0, 1]),
        pd.Series([1, 2], index=[1, 0]),
        pd.DataFrame({"a": [1, 2]}),
        sp.csr_array(np.eye(2)),
        torch.ones(2),
    ],
    ids=lambda x: type(x).__name__,
)
def test_what_is_in_memory_with_a_mask_or_labels_is_read_there(x):
    with pytest.raises(TypeError, match=r"'x'.*Observations.from_arrays reads it") as refused:
        MemoryMapped({"x": x})
    assert len(Observations.from_arrays({"x": x})) == 2
    if isinstance(x, np.ma.MaskedArray):
        line = "~np.ma.getmaskarray(x).reshape(len(x), -1).any(1)"
        assert line in str(refused.value)
        assert "give x.data" in str(refused.value)
        mapped = MemoryMapped({"x": x.data}, {"x": eval(line)})
        assert mapped.present["x"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("convert", "kind", "message"),
    [
        (lambda x: x.numpy(), TypeError, "'x': expected a tensor"),
        (lambda x: x.sum(), ValueError, "'x'.*got a scalar"),
        (lambda x: torch.cat([x, x]), ValueError, "'x': expected convert to return a row for each"),
    ],
    ids=["array", "sum", "twice"],
)
def test_conversions_give_a_row_for_each(convert, kind, message):
    with pytest.raises(kind, match=message):
        MemoryMapped({"x": np.ones(3)}, convert={"x": convert})["x"]


LITTLE_MEMORY = """
import resource, sys
from functools import partial
from pathlib import Path
import lightning_fabric  # which fit imports, before the memory is limited
import numpy as np
from ppl_mm import Modality, fit, likelihoods, networks, systems
from ppl_mm.data import MemoryMapped

path = sys.argv[1]
data = next(line for line in open("/proc/self/status") if line.startswith("VmData"))
limit = int(data.split()[1]) * 1024 + 25 * 10**7  # 250 MB more than now, mapped files aside
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    np.load(path)
except MemoryError:
    print("too large for memory")
x = Modality(
    "x",
    likelihoods.Normal(scale=1.0),
    partial(networks.MLPEncoder, event_shape=(4,), hidden=(8,)),
    partial(networks.MLPDecoder, event_shape=(4,), hidden=(8,)),
)
rows = MemoryMapped({"x": path}, convert={"x": lambda v: v[:, :: 2**18]})
system = systems.vae([x], 2)
options = dict(epochs=1, batch_size=4, device="cpu", progress=False)
print(fit(system, rows, validation=rows[:40], **options).history[0]["loss"])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no limits of memory here")
def test_training_on_more_data_than_memory(tmp_path):
    path = tmp_path / "large.npy"
    large = np.lib.format.open_memmap(path, "w+", dtype=np.float32, shape=(100, 2**20))
    values = np.random.default_rng(0).normal(size=(100, 4))
    large[:, :: 2**18] = values  # 420 MB, 400 pages of it on disk
    large.flush()
    command = [sys.executable, "-c", LITTLE_MEMORY, str(path)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    refused, loss = run.stdout.split("\n")[:2]
    assert refused == "too large for memory"
    assert np.isfinite(float(loss))
