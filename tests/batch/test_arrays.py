"""What is read as rows: as ``np.asarray`` reads it, with its masks, or refused with a remedy."""

import warnings
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch.masked import masked_tensor

from ppl_mm import Observations
from ppl_mm.data import MemoryMapped

NAN = float("nan")
QUICK = settings(derandomize=True, deadline=None, max_examples=150)
QUIET = {"epochs": 1, "batch_size": 4, "progress": False, "device": "cpu"}


def read(x: Any, present: Any = None) -> tuple[Any, list[bool], torch.dtype]:
    """The values as lists, the mask and the dtype."""
    obs = Observations.from_arrays({"x": x}, None if present is None else {"x": present})
    return obs["x"].tolist(), obs.present["x"].tolist(), obs["x"].dtype


def quietly(make: Callable[[], Any]) -> Any:
    """What is made by a call that warns, of a prototype or of something old."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


# ------------------------------------------------------------------ any array


INTEGERS = ["?", "u1", "<i2", ">i2", "<i4", ">i4", "i8", ">i8", "u2", ">u2", "u4", "u8", ">u8"]
FLOATS = ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "g"]
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)


@st.composite
def arrays(draw: st.DrawFn, shapes: Any = SHAPES) -> np.ndarray:
    """Finite numbers of any dtype, byte order, memory order and strides, perhaps read-only."""
    dtype, shape = np.dtype(draw(st.sampled_from(INTEGERS + FLOATS))), draw(shapes)
    elements = {
        "b": st.booleans(),
        "i": st.integers(-100, 100),
        "u": st.integers(0, 200),
        "f": st.floats(-1000, 1000, width=16),
    }[dtype.kind]
    x = draw(hnp.arrays(dtype.newbyteorder("="), shape, elements=elements)).astype(dtype)
    layout = draw(st.sampled_from(["C", "F", "reversed", "every second", "broadcast", "subclass"]))
    if layout in "CF":
        x = np.array(x, order=layout)  # type: ignore[call-overload]
    elif layout == "reversed":
        x = x[tuple(slice(None, None, -1) for _ in shape)]
    elif layout == "every second":
        x = np.repeat(x, 2, axis=0)[::2]
    elif layout == "broadcast":
        x = np.broadcast_to(x[:1], x.shape)
    elif x.ndim == 2:
        x = quietly(lambda: np.asmatrix(x))
    x.flags.writeable = draw(st.booleans()) and layout != "broadcast"
    return x


def assert_reads(x: Any, expected: np.ndarray, held: np.ndarray | None = None) -> None:
    expected = np.asarray(expected)
    kind = torch.int64 if expected.dtype.kind in "iu" else torch.get_default_dtype()
    held = np.ones(len(expected), dtype=bool) if held is None else held
    obs = Observations.from_arrays({"x": x})
    assert obs["x"].dtype == kind
    assert obs.present["x"].tolist() == held.tolist()
    assert obs["x"].shape == expected.shape
    found = obs["x"].numpy()[held]
    np.testing.assert_array_equal(found, expected[held].astype(found.dtype))
    assert not obs["x"][~torch.from_numpy(held)].any()


@QUICK
@given(arrays())
def test_any_array_is_read_as_numpy_reads_it(x: np.ndarray) -> None:
    assert_reads(x, x)
    assert_reads(list(np.asarray(x)), x)
    assert_reads(tuple(np.asarray(x)), x)
    assert_reads(iter(np.asarray(x)), x)
    if x.ndim < 3:
        frame = pd.DataFrame if x.ndim == 2 else pd.Series
        assert_reads(frame(np.array(x, x.dtype.newbyteorder("="))), x)
    assert_reads(x.tolist(), np.asarray(x.tolist()))


@QUICK
@given(arrays(), st.data())
def test_masks_are_kept_whatever_holds_the_numbers(x: np.ndarray, data: st.DataObject) -> None:
    held = data.draw(hnp.arrays(bool, len(x)))
    held[data.draw(st.integers(0, len(x) - 1))] = True
    masked = np.ma.array(np.asarray(x), mask=np.zeros(x.shape, dtype=bool))
    masked.mask[~held] = True
    assert_reads(masked, x, held)
    rows = [row if here else None for row, here in zip(np.asarray(x), held, strict=True)]
    assert_reads(rows, x, held)
    assert_reads([NAN if row is None else row for row in rows], x, held)
    assert_reads([np.ma.masked if row is None else row for row in rows], x, held)
    assert_reads([pd.NA if row is None else row for row in rows], x, held)
    if x.dtype.kind == "f":
        gaps = np.array(x)
        gaps[~held] = np.nan
        assert_reads(gaps, x, held)
    if x.ndim == 1 and x.dtype.kind != "f":
        native = x.dtype.newbyteorder("=")
        name = "boolean" if x.dtype == bool else native.name.replace("i", "I").replace("u", "U")
        column = pd.Series(np.array(x, native)).astype(name).where(held)
        assert_reads(column, x, held)
        assert_reads(pd.Index(column), x, held)
        assert_reads(column.array, x, held)
        if x.dtype != bool:
            pairs = pd.DataFrame({"a": column, "b": column})
            assert_reads(pairs, np.stack([x, x], 1), held)
    obs = Observations.from_arrays({"x": np.asarray(x)}, {"x": held})
    assert obs.present["x"].tolist() == held.tolist()


@settings(QUICK, max_examples=60)
@given(arrays(hnp.array_shapes(min_dims=2, max_dims=2, max_side=4)))
def test_sparse_matrices_are_read_as_dense_ones(x: np.ndarray) -> None:
    if x.dtype in (np.float16, np.longdouble) or not x.dtype.isnative:
        x = x.astype(np.float64)
    for make in (sp.csr_matrix, sp.coo_matrix, sp.csc_array, sp.lil_array, sp.coo_array):
        assert_reads(make(np.array(x)), x)
    if x.dtype == np.float64:
        dense = torch.from_numpy(np.array(x))
        assert_reads(dense.to_sparse(), x)
        assert_reads(quietly(dense.to_sparse_csr), x)


TENSORS = [torch.bool, torch.uint8, torch.int16, torch.int64, torch.uint16, torch.uint64]
TENSORS += [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn]


@pytest.mark.parametrize("dtype", TENSORS, ids=str)
def test_tensors_of_every_dtype_and_layout(dtype: torch.dtype) -> None:
    x = torch.tensor([[1, 0, 1], [0, 1, 1]]).to(dtype)
    expected = np.array([[1, 0, 1], [0, 1, 1]], float if dtype.is_floating_point else int)
    if dtype == torch.bool:
        expected = expected.astype(bool)
    views = (x, x.T.contiguous().T, x.expand(2, 2, 3).select(0, 1), list(x), [list(r) for r in x])
    for view in views:
        assert_reads(view, expected)
    if x.requires_grad is False and dtype in (torch.float32, torch.float64, torch.bfloat16):
        leaf = x.clone().requires_grad_()
        for rows in (leaf, leaf * 1, torch.nn.Parameter(x), list(leaf), [leaf[0], leaf[1]]):
            assert_reads(rows, expected)
        assert read([leaf[0], None])[1] == [True, False]


def test_tensors_that_store_their_numbers_in_another_way() -> None:
    z = torch.complex(torch.tensor([1.0, 2.0]), torch.tensor([3.0, -4.0]))
    assert read(z.conj().imag)[0] == [-3.0, 4.0]  # a view with a sign to be resolved
    q = quietly(
        lambda: torch.quantize_per_tensor(torch.tensor([0.5, 1.0]).float(), 0.5, 0, torch.quint8)
    )
    assert read(q)[0] == [0.5, 1.0]
    hidden = torch.tensor([[True, True], [False, False]])
    masked = quietly(lambda: masked_tensor(torch.full((2, 2), 7.0), hidden))
    assert quietly(lambda: read(masked)) == ([[7.0] * 2, [0.0] * 2], [True, False], torch.float64)


@pytest.mark.parametrize(
    ("x", "values", "present"),
    [
        (range(3), [0, 1, 2], "111"),
        ((i for i in range(2)), [0, 1], "11"),
        (map(float, [1, 2]), [1.0, 2.0], "11"),
        (deque([1, 2]), [1, 2], "11"),
        ({1: [1.0, 2.0]}.values(), [[1.0, 2.0]], "1"),
        (memoryview(np.eye(2)), [[1.0, 0.0], [0.0, 1.0]], "11"),
        ([[], []], [[], []], "11"),
        (np.ones((2, 0)), [[], []], "11"),
        ([NAN, 1, 2], [0, 1, 2], "011"),  # NaN among integers stands for a missing one
        ([NAN, 1, None, 2.5], [0.0, 1.0, 0.0, 2.5], "0101"),
        ([NAN, NAN], [0.0, 0.0], "00"),
        ([None, True], [0.0, 1.0], "01"),
        ([[1, 2], [NAN, NAN]], [[1.0, 2.0], [0.0, 0.0]], "10"),
        ([[1, 2], [None, None]], [[1, 2], [0, 0]], "10"),
        ([[1, 2], NAN], [[1, 2], [0, 0]], "10"),
        ([[[1], [2]], [[None], [None]], None], [[[1], [2]], [[0], [0]], [[0], [0]]], "100"),
        (np.array([[1, 2], [None, None]], dtype=object), [[1, 2], [0, 0]], "10"),
        (np.array([None, np.ones(2)], dtype=object), [[0.0, 0.0], [1.0, 1.0]], "01"),
        (np.ma.array([1, None, "?"], dtype=object, mask=[0, 0, 1]), [1, 0, 0], "100"),
        ([np.ma.array([1, 9], mask=[1, 1]), [2, 3]], [[0, 0], [2, 3]], "01"),
        (np.ma.array([2**64 - 1, 5], np.uint64, mask=[1, 0]), [0, 5], "01"),
        (np.ma.array([NAN, 1.0, np.inf], mask=[0, 0, 1]), [0.0, 1.0, 0.0], "010"),
        ([Decimal("1.5"), Fraction(1, 2), None], [1.5, 0.5, 0.0], "110"),
        (pd.Series([[1.0, 2.0], None, NAN]), [[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]], "100"),
        (pd.Series([1, None, pd.NA], dtype=object), [1, 0, 0], "100"),
        (pd.Series([0, 2], dtype=pd.SparseDtype(int, 0)), [0, 2], "11"),
        (pd.Series([1.5, None], dtype="Float64"), [1.5, 0.0], "10"),
        (pd.Index([1, 2], dtype="Int64"), [1, 2], "11"),
        (pd.RangeIndex(2), [0, 1], "11"),
        (pd.MultiIndex.from_tuples([(1, 2), (3, 4)]), [[1, 2], [3, 4]], "11"),
        (pd.DataFrame({"a": [True, False], "b": [2, 3]}), [[1, 2], [0, 3]], "11"),
        (pd.DataFrame({"a": [1, None], "b": [0.5, None]}), [[1.0, 0.5], [0.0, 0.0]], "10"),
        (pd.DataFrame(np.eye(2), columns=["a", "a"]), [[1.0, 0.0], [0.0, 1.0]], "11"),
    ],
    ids=lambda x: str(x).split(" at 0x")[0][:40],  # the same in every process
)
def test_rows_in_other_holders(x: Any, values: list[Any], present: str) -> None:
    found, mask, dtype = read(x)
    assert found == values
    assert mask == [digit == "1" for digit in present]
    assert dtype == torch.as_tensor(values).dtype


@pytest.mark.parametrize(
    "x",
    [
        np.ma.array([[1, 2], [9, 4]], mask=[[0, 0], [1, 0]]),
        np.ma.array([[1.0, 2.0], [9.0, NAN]], mask=[[0, 0], [0, 0]]),
        [[1, 2], [None, 4]],
        np.array([[1, 2], [None, 4]], dtype=object),
        pd.DataFrame({"a": pd.array([1, None], "Int64"), "b": pd.array([1.0, 2.0], "Float64")}),
        pd.DataFrame({"a": [1, 2], "b": np.array([1, None], dtype=object)}),
    ],
    ids=lambda x: type(x).__name__,
)
def test_elements_of_a_row_may_be_missing(x: Any) -> None:
    obs = Observations.from_arrays({"x": x})
    held = obs.elements["x"]
    assert obs.present["x"].all()
    assert held[0].all()
    assert int((~held).sum()) == 1
    assert obs["x"][~held].tolist() == [0]
    values, present, _ = read(x, [True, False])  # unless it is said to be missing
    assert (values[1], present) == ([0, 0], [True, False])


def test_floats_beyond_the_default_dtype_are_refused() -> None:
    torch.set_default_dtype(torch.float32)
    assert read(np.array([1e30, 1e-300]))[0] == [np.float32(1e30), 0.0]
    for x in (np.array([1.0, 1e39]), [1.0, 1e39], np.array([1e39], ">f8"), np.array([1e39], "g")):
        with pytest.raises(ValueError, match=r"'x': 1e\+39 is beyond what torch.float32 holds;"):
            read(x)
    assert read(np.array([1.0, 1e39]), [True, False])[0] == [1.0, 0.0]
    with pytest.raises(ValueError, match="row 0 is observed but holds NaN or infinity"):
        read(np.array([np.inf]))


# ------------------------------------------------------------------ masks of rows


@pytest.mark.parametrize(
    "mask",
    [
        [True, False, True],
        (True, False, True),
        np.array([True, False, True]),
        torch.tensor([True, False, True]),
        pd.Series([True, False, True], index=[7, 8, 9]),
        pd.array([True, False, True], dtype="boolean"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_masks_of_rows_are_read_too(mask: Any) -> None:
    assert read([1, 2, 3], mask)[:2] == ([1, 0, 3], [True, False, True])
    assert read([1, 2, None], mask)[:2] == ([1, 0, 0], [True, False, False])
    mapped = MemoryMapped({"x": np.arange(3)}, {"x": mask})
    assert mapped.present["x"].tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("mask", "kind", "message"),
    [
        ([1, 0, 1], TypeError, "mask of modality 'x': expected booleans, got int64"),
        (pd.array([True, None, True], dtype="boolean"), TypeError, "some are missing"),
        (np.ma.array([True] * 3, mask=[1, 0, 0]), TypeError, "'x'.*some are missing"),
        ([True, False], ValueError, r"'x': expected mask of shape \(B,\) = \(3,\), got \(2,\)"),
        ("yes", TypeError, "mask of modality 'x': expected numbers, got the str 'yes'"),
        (torch.ones(3), TypeError, r"'x': expected a boolean mask tensor, got torch.float32"),
    ],
    ids=str,
)
def test_other_masks_are_refused(mask: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        read([1, 2, 3], mask)
    with pytest.raises(kind, match=message):
        MemoryMapped({"x": np.arange(3)}, {"x": mask})


def test_a_numpy_mask_for_tensors_is_told_what_to_be() -> None:
    values, x = {"x": torch.ones(2)}, np.array([True, False])
    with pytest.raises(TypeError, match="ndarray") as refused:
        Observations(values, {"x": x})
    line = "torch.as_tensor(x, dtype=torch.bool)"
    assert line in str(refused.value)
    assert Observations(values, {"x": eval(line)}).present["x"].tolist() == [True, False]
    present = {"x": x}
    assert "from_arrays(values, present)" in str(refused.value)
    assert Observations.from_arrays(values, present).present["x"].tolist() == [True, False]


def test_frames_whose_labels_are_in_different_orders_are_refused() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=["r", "s", "t"])
    shuffled = pd.Series([0, 1, 2], index=["t", "r", "s"])
    with pytest.raises(ValueError, match="'x' and 'y': their rows have the same labels") as refused:
        Observations.from_arrays({"x": frame, "y": shuffled})
    for line, expected in (
        ("x.loc[other.index]", [1, 2, 0]),
        ("x.set_axis(other.index)", [0, 1, 2]),
    ):
        assert line in str(refused.value)
        y = eval(line, {"x": shuffled, "other": frame})
        assert Observations.from_arrays({"x": frame, "y": y})["y"].tolist() == expected
    others = shuffled.set_axis(["u", "v", "w"])  # labels of another kind say nothing
    assert Observations.from_arrays({"x": frame, "y": others})["y"].tolist() == [0, 1, 2]
