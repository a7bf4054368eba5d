"""Values in files are those of the array, whichever rows are asked for, and read when asked."""

import numpy as np
import pytest
import torch

from ppl_mm.batch import lazy
from ppl_mm.batch.lazy import Column, ElementsColumn, LazyValues, event_shapes, only

ARRAY = np.arange(24.0).reshape(8, 3)
PRESENT = torch.tensor([True, True, False, True, True, False, True, True])
CPU = torch.device("cpu")


class Reads:
    """An array that remembers which rows were read, and takes increasing indices alone."""

    def __init__(self, array=ARRAY):
        self.array, self.read = array, []

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)

    def __len__(self):
        return len(self.array)

    def __getitem__(self, rows):
        assert (np.diff(rows) > 0).all()
        self.read.append(rows.tolist())
        return self.array[rows]


def column(array=ARRAY, present=PRESENT, convert=None, elements=None):
    return Column("x", Reads(array), present, convert, elements)


ASKED = [[0, 1, 3], [3, 1, 0], [2], [5, 2], [1, 1, 4, 1], [7, 2, 7, 5, 0], list(range(8)), []]


@pytest.mark.parametrize("rows", ASKED, ids=str)
def test_the_rows_that_are_asked_for_in_their_order(rows):
    found = column().read(torch.tensor(rows, dtype=torch.int64))
    expected = torch.from_numpy(ARRAY) * PRESENT[:, None]
    assert torch.equal(found, expected[rows])


@pytest.mark.parametrize("rows", ASKED[:-1], ids=str)
def test_a_row_of_the_file_is_read_once_and_missing_ones_never(rows):
    asked = column()
    asked.read(torch.tensor(rows))
    read = [row for part in asked.array.read for row in part]
    assert sorted(set(read)) == read == sorted({r for r in rows if PRESENT[r]})


def test_all_rows_are_read_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr(lazy, "BYTES_AT_ONCE", 2 * 3 * 8)
    asked = column()
    found = asked.read(None)
    assert asked.array.read == [[0, 1], [3, 4], [6, 7]]
    assert torch.equal(found, torch.from_numpy(ARRAY) * PRESENT[:, None])


def test_a_conversion_sees_the_stored_numbers_and_says_the_shape():
    stored = np.arange(16, dtype=">i2").reshape(8, 2)
    asked = column(stored, convert=lambda x: x.double().sum(1, keepdim=True) / 2.0)
    assert asked.event_shape == (1,)
    assert asked.row_bytes == 8
    assert asked.read(torch.tensor([1, 2]))[:, 0].tolist() == [2.5, 0.0]


def test_a_conversion_returns_a_row_for_each():
    with pytest.raises(ValueError, match="modality 'x': expected convert to return a row for each"):
        _ = column(convert=lambda x: torch.cat([x, x])).event_shape


def test_integers_stay_classes_and_floats_have_the_default_dtype():
    classes = column(np.arange(8, dtype=np.uint8)).read(torch.tensor([3, 1]))
    assert (classes.dtype, classes.tolist()) == (torch.int64, [3, 1])
    assert column(ARRAY.astype(np.float16)).read(None).dtype == torch.float64
    torch.set_default_dtype(torch.float32)
    assert column().read(None).dtype == torch.float32


def test_a_row_that_is_not_finite_is_named_where_it_is_observed():
    junk = ARRAY.copy()
    junk[2] = np.nan
    column(junk).read(None)  # that row is missing
    junk[4, 1] = np.inf
    column(junk).read(torch.tensor([0, 1, 3]))
    with pytest.raises(ValueError, match="modality 'x': row 4 of the array is observed but holds"):
        column(junk).read(torch.tensor([6, 4]))


# ---------------------------------------------------------------- elements

HOLES = ARRAY % 5 != 0


def test_elements_are_those_of_the_file_and_true_in_missing_rows():
    masks = ElementsColumn("x", Reads(HOLES), PRESENT)
    expected = torch.from_numpy(HOLES) | ~PRESENT[:, None]
    assert torch.equal(masks.read(None), expected)
    assert torch.equal(masks.read(torch.tensor([5, 0, 0])), expected[[5, 0, 0]])


def test_holes_hold_zeros_and_may_hold_anything_in_the_file():
    junk = np.where(HOLES, ARRAY, np.nan)
    asked = column(junk, elements=ElementsColumn("x", Reads(HOLES), PRESENT))
    expected = torch.from_numpy(np.where(HOLES, ARRAY, 0.0)) * PRESENT[:, None]
    assert torch.equal(asked.read(None), expected)
    assert torch.equal(asked.read(torch.tensor([7, 3])), expected[[7, 3]])


# ---------------------------------------------------------------- several modalities


def values(rows=None, dtype=None):
    classes = Column("y", Reads(np.arange(8)), torch.ones(8, dtype=torch.bool), None)
    return LazyValues({"x": column(), "y": classes}, rows, CPU, dtype)


def read_by(found):
    return {n: len(c.array.read) for n, c in found.columns.items()}


def test_nothing_is_read_before_it_is_asked_for_and_then_once():
    found = values()
    assert list(found) == ["x", "y"]
    assert (len(found), "x" in found, "z" in found) == (2, True, False)
    assert read_by(found) == {"x": 0, "y": 0}
    assert found["y"].tolist() == list(range(8))
    assert found["y"] is found["y"]
    assert read_by(found) == {"x": 0, "y": 1}


def test_rows_of_rows_are_rows_of_the_file():
    found = values().take(torch.tensor([6, 3, 1])).take(torch.tensor([2, 0]))
    assert found["y"].tolist() == [1, 6]
    assert torch.equal(found["x"], torch.from_numpy(ARRAY[[1, 6]]))


def test_a_dtype_is_that_of_floats_alone():
    found = values().to(torch.float32)
    assert found["x"].dtype == torch.float32
    assert found["y"].dtype == torch.int64
    assert values().to("cpu")["x"].device == CPU
    assert found.take(torch.tensor([0]))["x"].dtype == torch.float32


def test_some_modalities_and_their_shapes_need_no_read():
    found = only(values(), ["y"])
    assert list(found) == ["y"]
    assert event_shapes(found) == {"y": ()}
    assert event_shapes(values()) == {"x": (3,), "y": ()}
    assert read_by(found) == {"y": 0}
    held = {"a": torch.ones(2, 3), "b": torch.ones(2)}
    assert only(held, ["b"]) == {"b": held["b"]}
    assert event_shapes(held) == {"a": (3,), "b": ()}
