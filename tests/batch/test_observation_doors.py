"""What comes into Observations by other ways than arrays: tensors, indexes, new values, batches."""

import pickle
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyro
import pytest
import torch
from torch import Tensor, nn
from torch.masked import masked_tensor

from ppl_mm import Observations
from ppl_mm.batch.observations import DrawnStrata
from ppl_mm.data import DataSet, MemoryMapped
from ppl_mm.networks import LabelEncoder
from ppl_mm.networks.recipe import describe
from ppl_mm.objectives import Term

NAN = float("nan")


def quietly(make: Callable[[], Any]) -> Any:
    """What is made by a call that warns of a prototype."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make()


def three() -> Observations:
    """Three rows; x is missing in the second."""
    values = {"x": torch.arange(3.0), "y": torch.arange(3)}
    return Observations(values, {"x": torch.tensor([True, False, True])})


# ------------------------------------------------------------------ tensors that are no values


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: torch.eye(2).to_sparse(), "x.to_dense()"),
        (lambda: torch.eye(2).to_sparse_csr(), "x.to_dense()"),
        (
            lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(1)]),
            "torch.nested.to_padded_tensor(x, 0.0)",
        ),
        (
            lambda: torch.quantize_per_tensor(torch.ones(2, 2).float(), 1.0, 0, torch.qint8),
            "x.dequantize()",
        ),
        (lambda: torch.ones(2, 2, dtype=torch.complex64), "torch.view_as_real(x)"),
        (lambda: torch.ones(2, 2, dtype=torch.uint16), "x.to(torch.int64)"),
        (lambda: torch.ones(2, 2).to(torch.float8_e5m2), "x.float()"),
    ],
)
def test_tensors_that_hold_no_plain_numbers_are_refused(make: Any, line: str) -> None:
    x = quietly(make)
    obs = Observations({"x": torch.zeros(2, 2)})
    for door in (lambda: Observations({"x": x}), lambda: obs.replace("x", x)):
        with pytest.raises(TypeError, match="modality 'x': expected a dense tensor") as refused:
            door()
        assert line in str(refused.value)
    mended = quietly(lambda: eval(line, {"torch": torch, "x": x}))
    assert len(Observations({"x": mended})) == len(obs.replace("x", mended)) == 2


def test_a_masked_tensor_is_no_tensor_of_values() -> None:
    x = quietly(lambda: masked_tensor(torch.ones(2), torch.tensor([True, False])))
    with pytest.raises(TypeError, match=r"'x'.*masked tensor; use from_arrays"):
        Observations({"x": x})


def test_a_tensor_without_values_is_refused() -> None:
    with pytest.raises(ValueError, match="'x': a tensor on the device 'meta' holds no values"):
        Observations({"x": torch.ones(2, device="meta")})


# ------------------------------------------------------------------ rows by index


INDEXES = [
    (torch.tensor([2, 0, 2], dtype=torch.uint8), [2, 0, 2]),  # not a mask, whatever torch thinks
    (np.array([1, 0, 1], dtype=np.uint8), [1, 0, 1]),
    (np.array([-1, 0], dtype=">i4"), [2, 0]),
    (np.int8(-1), [2]),
    (torch.tensor([2, -3], dtype=torch.int32), [2, 0]),
    (range(2), [0, 1]),
    ((0, 2), [0, 2]),
    (slice(None, None, -1), [2, 1, 0]),
    (slice(-2, None), [1, 2]),
    (pd.Series([True, False, True], index=[7, 8, 9]), [0, 2]),
    (pd.Series([2, 0], index=[5, 6]), [2, 0]),
    ([np.True_, False, True], [0, 2]),
    ([torch.tensor(2), 0], [2, 0]),
]


@pytest.mark.parametrize("files", [False, True], ids=["in memory", "in files"])
@pytest.mark.parametrize(("index", "rows"), INDEXES, ids=lambda x: str(x)[:30])
def test_rows_of_any_index(index: Any, rows: list[int], files: bool) -> None:
    held = np.array([True, False, True])
    mapped = MemoryMapped({"x": np.arange(3.0), "y": np.arange(3)}, {"x": held})
    part = (mapped if files else three())[index]
    assert part["y"].tolist() == rows
    assert part.present["x"].tolist() == held[rows].tolist()
    assert len(part) == len(rows)


def test_a_part_in_order_is_a_view() -> None:
    obs = three()
    assert obs[1:]["x"].data_ptr() == obs["x"][1:].data_ptr()


@pytest.mark.parametrize("files", [False, True], ids=["in memory", "in files"])
@pytest.mark.parametrize(
    ("index", "kind", "message"),
    [
        (1.0, TypeError, "rows: expected integers, booleans or a slice, got float"),
        ([0.0, 1.0], TypeError, "got list of float64"),
        (torch.tensor([1.0]), TypeError, r"got torch.float32; write x.long\(\)"),
        (None, TypeError, "got NoneType"),
        (..., TypeError, "got ellipsis"),
        (["x"], TypeError, r"obs\['x'\] for the values of a modality, obs.only"),
        ({0, 1}, TypeError, "got set"),
        ([[0], [1, 2]], TypeError, "got list"),
        (pd.array([True, None, True], dtype="boolean"), TypeError, "got BooleanArray of object"),
        (np.ma.array([True] * 3, mask=[1, 0, 0]), TypeError, "got MaskedArray"),
        (slice(0.5, 2), TypeError, "slice of integers, got slice"),
        (slice(0, 2, 0), TypeError, "slice of integers, got slice"),
        (True, IndexError, r"mask of shape \(B,\) = \(3,\), got \(\)"),
        ([True, False], IndexError, r"mask of shape \(B,\) = \(3,\), got \(2,\)"),
        (torch.ones(3, 2, dtype=torch.bool), IndexError, r"\(3,\), got \(3, 2\)"),
        ([[0, 1], [1, 2]], IndexError, r"one dimension, got an index of shape \(2, 2\)"),
        (3, IndexError, "row 3 is out of bounds: expected rows from -3 to 2"),
        ([0, -4], IndexError, "row -4 is out of bounds"),
        ([], ValueError, "at least one row of 3, got none"),
        (slice(2, 1), ValueError, "at least one row of 3, got none"),
    ],
    ids=lambda x: str(x)[:30],
)
def test_other_indexes_are_refused(
    index: Any, kind: type[Exception], message: str, files: bool
) -> None:
    mapped = MemoryMapped({"x": np.arange(3.0), "y": np.arange(3)})
    with pytest.raises(kind, match=message):
        (mapped if files else three())[index]


# ------------------------------------------------------------------ other values


@pytest.mark.parametrize("value", [NAN, torch.inf])
def test_new_values_must_be_finite_where_present(value: float) -> None:
    bad = torch.tensor([0.0, value, 1.0])
    assert three().replace("x", bad)["x"].tolist() == [0.0, 0.0, 1.0]  # its row is missing
    for validation in (True, False):
        with (
            pyro.validation_enabled(validation),
            pytest.raises(ValueError, match="'x': row 2 is observed but holds NaN or infinity"),
        ):
            three().replace("x", bad[[0, 2, 1]])


def test_new_values_lie_where_the_rows_are() -> None:
    with pytest.raises(ValueError, match=r"'x': the rows are on cpu.*meta; write x.to\(obs.device"):
        three().replace("x", torch.ones(3, device="meta"))
    assert three().to("meta").replace("x", torch.ones(3, device="meta")).device.type == "meta"


class Double(nn.Module):
    """An encoder that shows what it sees."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * x[:, None], torch.ones(len(x), 1)


def test_new_values_are_encoded_anew() -> None:
    encoder = Double()
    for obs in (
        three().terms([Term(("x",), ("x",))]),
        three().strata([("x",), ("y",)], 1),
    ):
        obs.encoded("x", encoder, 1)
        other = obs.replace("x", torch.tensor([5.0, 6.0, 7.0]))
        wholes = [other.all_strata] if isinstance(other, DrawnStrata) else []
        for batch in (other, *wholes):
            assert batch.encoded("x", encoder, 1)[0].flatten().tolist() == [10.0, 0.0, 14.0]
        assert obs.encoded("x", encoder, 1)[0].flatten().tolist() == [0.0, 0.0, 4.0]


@pytest.mark.parametrize(
    ("target", "kind", "message"),
    [
        (torch.int64, TypeError, r"floating-point dtype.*obs\['x'\].to\(torch.int64\)"),
        (torch.complex64, TypeError, "floating-point dtype, got torch.complex64"),
        ("gpu", ValueError, "a device such as .*got 'gpu'"),
        ("float32", ValueError, "a device such as .*got 'float32'"),
    ],
    ids=str,
)
def test_where_rows_cannot_go(target: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        three().to(target)


# ------------------------------------------------------------------ batches and data sets


def test_batches_join_whatever_sequence_holds_them() -> None:
    joined = Observations.collate(part for part in (three(), three()))  # type: ignore[arg-type]
    assert joined["y"].tolist() == [0, 1, 2, 0, 1, 2]
    assert pickle.loads(pickle.dumps(joined)).present["x"].tolist() == [True, False, True] * 2


@pytest.mark.parametrize(
    ("other", "kind", "message"),
    [
        ({"x": torch.ones(1)}, TypeError, "batches.*expected Observations, got a dict"),
        (three().to("meta"), ValueError, "'x': batches disagree on its device"),
        (
            three().replace("x", torch.ones(3).long()),
            ValueError,
            r"'x': batches disagree on its numbers.*batch.replace\('x', batch\['x'\].long\(\)\)",
        ),
    ],
    ids=["dict", "device", "integers"],
)
def test_other_batches_are_refused(other: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        Observations.collate([three(), other])
    with pytest.raises(kind, match=message):
        Observations.collate([other, three()])


def data_set(label: Any, labels: Any = None) -> DataSet:
    obs = Observations.from_arrays({"label": label})
    return DataSet("toy", obs, None, obs, (), 2, "label", 3, labels=labels)


@pytest.mark.parametrize(
    "label",
    [
        [2, None, 0, 1],
        pd.Series([2, None, 0, 1]),  # floats
        [[0, 0, 1], None, [1, 0, 0], [0, 1, 0]],
        [[0.0, 0.0, 1.0], [NAN] * 3, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
    ],
    ids=["integers", "floats", "one-hot integers", "one-hot floats"],
)
def test_classes_of_a_label_in_any_form(label: Any) -> None:
    found = data_set(label).classes("test")
    assert found.dtype == torch.int64
    assert found.tolist() == [2, -1, 0, 1]


def test_classes_beside_the_rows_are_integers() -> None:
    x = torch.tensor([2.0, NAN])
    with pytest.raises(ValueError, match="toy: expected labels of train as integers") as refused:
        data_set([1, 0], {"train": x})
    line = "x.nan_to_num(-1).long()"
    assert line in str(refused.value)
    assert data_set([1, 0], {"train": eval(line)}).classes("train").tolist() == [2, -1]


def test_a_network_of_numpys_sizes_has_a_recipe() -> None:
    encoder = partial(LabelEncoder, num_classes=np.arange(3).max() + 1, hidden=(np.int32(4),))
    assert describe(encoder) == {
        "network": "LabelEncoder",
        "options": {"num_classes": 3, "hidden": [4]},
    }
