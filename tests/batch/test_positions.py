"""An index names the rows that NumPy's does, and says which it is that there are not."""

import numpy as np
import pytest
import torch

from ppl_mm import Observations
from ppl_mm.batch.host_masks import HostTensor
from ppl_mm.batch.positions import positions

SIZE = 7
NUMBERS = np.arange(SIZE)

SLICES = [
    slice(start, stop, step)
    for start in (None, 0, 2, -3, 9, -9)
    for stop in (None, 0, 5, -1, 9, -9)
    for step in (None, 1, 2, -1, -3)
]
SEVERAL = {
    "one": 3,
    "from the end": -1,
    "NumPy's": np.int64(2),
    "list": [0, 6, 2],
    "tuple": (5, 1),
    "range": range(1, 6, 2),
    "twice": [1, 1, 0],
    "negative": [-7, -1, 0],
    "array": np.array([4, 0], dtype=np.int16),
    "unsigned": np.array([4, 0], dtype=np.uint8),
    "mask": [True, False, True, False, False, False, True],
    "mask of an array": NUMBERS % 3 == 0,
    "empty mask": np.zeros(SIZE, dtype=bool),
}


def rows(index):
    return positions(index, SIZE).tolist()


@pytest.mark.parametrize("index", SLICES, ids=str)
def test_a_slice_names_numpys_rows(index):
    found = positions(index, SIZE)
    assert found.dtype == torch.int64
    assert found.tolist() == NUMBERS[index].tolist()


@pytest.mark.parametrize("case", SEVERAL)
def test_other_indices_name_numpys_rows(case):
    index = SEVERAL[case]
    as_numpy = list(index) if isinstance(index, tuple | range) else index
    assert rows(index) == np.atleast_1d(NUMBERS[as_numpy]).tolist()


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int8, torch.uint8])
def test_tensors_of_any_integers_name_rows(dtype):
    assert rows(torch.tensor([3, 0], dtype=dtype)) == [3, 0]
    assert rows(torch.tensor(3, dtype=dtype)) == [3]


def test_a_boolean_tensor_is_a_mask():
    assert rows(torch.tensor([True] * 2 + [False] * 5)) == [0, 1]


@pytest.mark.parametrize("empty", [[], (), np.array([]), torch.zeros(0).long(), range(0)], ids=str)
def test_no_index_names_no_row(empty):
    found = positions(empty, SIZE)
    assert (found.dtype, found.shape) == (torch.int64, (0,))


@pytest.mark.parametrize(
    ("index", "row"),
    [(7, 7), (-8, -8), ([0, 9], 9), ([-8, 9], -8), (torch.tensor([7]), 7)],
    ids=str,
)
def test_a_row_that_is_not_there_is_named(index, row):
    with pytest.raises(IndexError, match=f"row {row} is out of bounds: expected rows from -7 to 6"):
        positions(index, SIZE)


@pytest.mark.parametrize("length", [0, 6, 8])
def test_a_mask_has_an_entry_for_each_row(length):
    if length:
        with pytest.raises(IndexError, match=rf"shape \(B,\) = \(7,\), got \({length},\)"):
            positions([True] * length, SIZE)
    with pytest.raises(IndexError, match=rf"got \({length},\)"):
        positions(torch.ones(length, dtype=torch.bool), SIZE)


def test_an_index_has_one_dimension():
    with pytest.raises(IndexError, match=r"an index of shape \(1, 2\); write x.reshape\(-1\)"):
        positions(torch.tensor([[0, 1]]), SIZE)
    with pytest.raises(IndexError, match=r"got \(7, 1\)"):
        positions(torch.ones(7, 1, dtype=torch.bool), SIZE)


@pytest.mark.parametrize(
    "index",
    [1.0, [0.5], "0", ["x"], None, [None], [[0], [1, 2]], 1j, np.ma.array([1, 2], mask=[0, 1])],
    ids=str,
)
def test_what_names_no_rows_is_refused_with_the_ways_to_write_it(index):
    with pytest.raises(
        TypeError, match=r"expected integers, booleans or a slice, .*obs\[\[0, 2\]\]"
    ):
        positions(index, SIZE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_tensors_of_other_numbers_are_refused(dtype):
    with pytest.raises(TypeError, match=rf"got {dtype}; write x.long\(\)"):
        positions(torch.zeros(2, dtype=dtype), SIZE)


@pytest.mark.parametrize("index", [slice("a"), slice(0, 2.5), slice(0, 3, 0)], ids=str)
def test_a_slice_is_of_integers(index):
    with pytest.raises(TypeError, match="expected a slice of integers, got slice"):
        positions(index, SIZE)


@pytest.mark.parametrize("index", [*SLICES[::7], *SEVERAL.values()], ids=str)
def test_rows_of_a_batch_are_those_of_its_tensors(index):
    x = torch.arange(SIZE * 2.0).reshape(SIZE, 2)
    obs = Observations({"x": x}, {"x": torch.arange(SIZE) % 2 == 0})
    named = positions(index, SIZE)
    if len(named) == 0:
        with pytest.raises(ValueError, match="expected at least one row of 7, got none"):
            obs[index]
        return
    part = obs[index]
    assert len(part) == len(named)
    assert torch.equal(part["x"], obs["x"][named])
    for kind in ("present", "scored", "evidence", "source"):
        assert torch.equal(getattr(part, kind)["x"], obs.present["x"][named])


def test_masks_of_the_host_stay_there():
    x = torch.arange(4.0)
    obs = Observations({"x": x})
    index = HostTensor.of(torch.tensor([2, 0]), torch.device("cpu"))
    assert obs[index]["x"].tolist() == [2.0, 0.0]
