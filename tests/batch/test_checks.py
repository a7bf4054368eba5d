"""What comes into a batch is checked once, and each refusal says the modality and the remedy."""

import pyro
import pytest
import torch

from ppl_mm import Observations
from ppl_mm.batch import checks
from ppl_mm.batch.holes import check_elements, folded, observed_values, without_holes

X = torch.arange(6.0, dtype=torch.float64).reshape(3, 2)
HELD = torch.tensor([True, False, True])


# ---------------------------------------------------------------- masks of rows


def test_no_mask_is_true_everywhere():
    assert checks.check_mask("x", None, X).tolist() == [True] * 3
    assert checks.check_mask("x", HELD, X) is HELD


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        ([True], TypeError, r"got list; write torch.as_tensor\(x, dtype=torch.bool\)"),
        (HELD.float(), TypeError, r"got torch.float\d\d of the layout .*; write x.bool\(\)"),
        (HELD.to_sparse(), TypeError, r"torch.sparse_coo; write x.to_dense\(\)"),
        (HELD[:2], ValueError, r"mask of shape \(B,\) = \(3,\), got \(2,\)"),
        (HELD[:, None].expand(3, 2), ValueError, r"got \(3, 2\).*\.flatten\(1\)\.all\(1\)"),
        (
            torch.ones(3, dtype=torch.bool, device="meta"),
            ValueError,
            "are on cpu, the mask on meta",
        ),
    ],
    ids=["list", "floats", "sparse", "short", "elements", "device"],
)
def test_a_mask_of_rows_that_does_not_fit_is_refused(mask, error, words):
    with pytest.raises(error, match=f"modality 'x': .*{words}"):
        checks.check_mask("x", mask, X)


# ---------------------------------------------------------------- values


def test_missing_rows_hold_zeros_whatever_was_there():
    junk = X.clone()
    junk[1] = torch.nan
    found = checks.check_values("x", junk, HELD)
    assert found.tolist() == [[0.0, 1.0], [0.0, 0.0], [4.0, 5.0]]
    assert junk[1].isnan().all()


def test_values_without_missing_rows_are_not_copied():
    found = checks.check_values("x", X, torch.ones(3, dtype=torch.bool))
    assert found.data_ptr() == X.data_ptr()


@pytest.mark.parametrize("junk", [float("nan"), float("inf"), -float("inf")])
def test_an_observed_row_that_is_not_finite_is_named(junk):
    values = X.clone()
    values[2, 1] = junk
    with pytest.raises(ValueError, match="modality 'x': row 2 is observed but holds NaN or inf"):
        checks.check_values("x", values, HELD)


def test_values_whose_sum_alone_is_infinite_are_finite():
    large = torch.full((2, 2), torch.finfo(torch.float64).max)
    assert torch.equal(checks.check_values("x", large, torch.ones(2, dtype=torch.bool)), large)


def test_values_have_no_gradient_and_lie_on_a_device_that_holds_them():
    assert not checks.check_values("x", X.clone().requires_grad_(), HELD).requires_grad
    with pytest.raises(ValueError, match="on the device 'meta' holds no values"):
        checks.check_values("x", X.to("meta"), HELD)


def test_zeroed_is_a_copy_of_any_number_of_dimensions():
    for x in (torch.ones(3), torch.ones(3, 2), torch.ones(3, 2, 2, dtype=torch.int64)):
        found = checks.zeroed(x, ~HELD)
        assert bool((found[1] == 0).all())
        assert bool((found[HELD] == 1).all())
        assert bool((x == 1).all())


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ({1: X}, TypeError, "expected modality names to be strings, got 1"),
        ({"x": [1.0]}, TypeError, "modality 'x': expected a tensor .* got list; use .*from_arrays"),
        (
            {"x": torch.tensor(1.0)},
            ValueError,
            r"modality 'x': expected shape \(B, \*D\), got a sc",
        ),
        ({"x": X, "y": X[:2]}, ValueError, "disagree on the number of rows: {'x': 3, 'y': 2}"),
        ({"x": X, "y": X.to("meta")}, ValueError, "different devices: {'x': 'cpu', 'y': 'meta'}"),
        ({"x": X[:0]}, ValueError, "expected at least one row, got none"),
        ({"x": X.to(torch.complex64)}, TypeError, r"got torch.complex64; use torch.view_as_real"),
        ({"x": X.to_sparse()}, TypeError, r"got the layout torch.sparse_coo; use x.to_dense\(\)"),
        (
            {"x": torch.nested.nested_tensor([X[0], X[0, :1]], layout=torch.jagged)},
            TypeError,
            "got a nested tensor; use torch.nested.to_padded_tensor",
        ),
        ({"x": X.to(torch.float8_e5m2)}, TypeError, r"float8_e5m2; use x.float\(\)"),
        ({"x": X.to(torch.uint16)}, TypeError, r"uint16; use x.to\(torch.int64\)"),
    ],
    ids=[
        *("name", "list", "scalar", "lengths", "devices", "none", "complex", "sparse", "nested"),
        *("float8", "uint16"),
    ],
)
def test_values_that_are_no_rows_of_numbers_are_refused(values, error, words):
    with pytest.raises(error, match=words):
        checks.common_length(values)


def test_the_common_length_is_the_number_of_rows():
    assert checks.common_length({"x": X, "y": torch.zeros(3, 1, 1, dtype=torch.bool)}) == 3


# ---------------------------------------------------------------- other values for some


def test_replaced_values_are_zero_where_missing_and_finite_elsewhere():
    new = X + 10.0
    holes = torch.tensor([[True, False], [True, True], [True, True]])
    found = checks.check_replacement("x", new, HELD, holes, X.device)
    assert found.tolist() == [[10.0, 0.0], [0.0, 0.0], [14.0, 15.0]]
    new[1] = torch.nan
    checks.check_replacement("x", new, HELD, None, X.device)
    new[0, 0] = torch.nan
    with pytest.raises(ValueError, match="row 0 is observed but holds NaN"):
        checks.check_replacement("x", new, HELD, None, X.device)


def test_replaced_values_fit_the_rows():
    with pytest.raises(ValueError, match="modality 'x': expected 3 rows, got 2"):
        checks.check_replacement("x", X[:2], HELD, None, X.device)
    with pytest.raises(ValueError, match=r"on cpu, the new values on meta; write x.to\(obs.dev"):
        checks.check_replacement("x", X.to("meta"), HELD, None, X.device)
    with pytest.raises(ValueError, match=r"elements of the shape of its values, \(3, 1\), got"):
        checks.check_replacement("x", X[:, :1], HELD, torch.ones(3, 2).bool(), X.device)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([X, X[:, :1]], "disagree on its shape: .*reshape or pad"),
        ([X, X.to("meta")], r"disagree on its device: .*write batch.to\(device\)"),
        ([X, X.long()], r"disagree on its numbers: .*batch.replace\('x', batch\['x'\].long\(\)\)"),
    ],
    ids=["shape", "device", "numbers"],
)
def test_batches_that_cannot_be_joined_say_how_they_could(parts, words):
    with pytest.raises(ValueError, match=f"modality 'x': batches {words}"):
        checks.check_joinable("x", parts)


def test_batches_of_other_lengths_and_floats_can_be_joined():
    checks.check_joinable("x", [X, X[:1].float()])
    checks.check_joinable("x", [X.long(), X > 0])
    checks.check_joinable("x", [])


# ---------------------------------------------------------------- devices and dtypes


@pytest.mark.parametrize("target", ["cpu", "cuda:1", "meta", torch.device("cpu"), torch.float16])
def test_a_target_is_a_device_or_a_dtype_of_floats(target):
    checks.check_target(target)


@pytest.mark.parametrize("target", ["gpu", "cpu:x", 1.5, None])
def test_another_target_is_refused(target):
    with pytest.raises(
        ValueError, match="expected a device such as 'cpu' or 'cuda', or a floating"
    ):
        checks.check_target(target)


def test_an_integer_dtype_is_no_target_of_a_batch():
    with pytest.raises(TypeError, match=r"obs.replace\('x', obs\['x'\].to\(torch.int64\)\)"):
        checks.check_target(torch.int64)


def test_floats_change_their_dtype_and_integers_do_not():
    assert checks.in_dtype("x", X, torch.float32).dtype == torch.float32
    assert checks.in_dtype("x", X, torch.float64) is X
    classes = torch.tensor([1, 2])
    assert checks.in_dtype("x", classes, torch.float32) is classes


def test_values_beyond_a_narrower_dtype_are_refused_and_infinity_is_not_made():
    with pytest.raises(ValueError, match=r"up to 1e\+39 are beyond the range of torch.float32"):
        checks.in_dtype("x", torch.tensor([0.0, -1e39]), torch.float32)
    with pytest.raises(ValueError, match=r"system.double"):
        checks.in_dtype("x", torch.tensor([7e4], dtype=torch.float32), torch.float16)
    wide = checks.in_dtype("x", torch.tensor([1e38], dtype=torch.float32), torch.float64)
    assert wide.item() == pytest.approx(1e38)


# ---------------------------------------------------------------- what networks return


def test_an_encoders_scale_is_above_zero_where_pyro_validates():
    pair = (torch.zeros(3, 2), torch.tensor([1.0, 0.0]))
    with pytest.raises(ValueError, match=r"modality 'x': .*above 0, got values from 0.0. Pass"):
        checks.check_encoded("x", pair, 2, 3)
    with pyro.validation_enabled(False):
        loc, scale = checks.check_encoded("x", pair, 2, 3)
    assert loc.shape == scale.shape == (3, 2)


@pytest.mark.parametrize(
    ("output", "came"),
    [
        (torch.zeros(3, 4), r"\(3, 4\)"),
        (torch.zeros(3), r"\(3,\)"),
        ((torch.zeros(3, 5),), "tuple"),
        (None, "NoneType"),
    ],
    ids=["width", "flat", "tuple", "none"],
)
def test_features_have_the_width_that_their_trunk_says(output, came):
    with pytest.raises(ValueError, match=rf"\(B, out_features\) = \(3, 5\), got {came}"):
        checks.check_features("x", output, 5, 3)
    good = torch.zeros(3, 5)
    assert checks.check_features("x", good, 5, 3) is good


@pytest.mark.parametrize("number", [0, -1, 1.0, True, "1"], ids=str)
def test_numbers_of_things_are_at_least_one(number):
    with pytest.raises(ValueError, match="transforms: expected an integer of at least 1, got"):
        checks.check_at_least_one("transforms", number)


# ---------------------------------------------------------------- elements


def test_a_row_without_any_element_misses_the_modality():
    present = torch.tensor([True, True, False])
    elements = torch.tensor([[True, False], [False, False], [False, False]])
    held, holes = folded(present, elements)
    assert held.tolist() == [True, False, False]
    assert holes.tolist() == [[True, False], [True, True], [True, True]]


def test_elements_that_are_all_there_are_no_holes():
    present = torch.tensor([True, False])
    assert folded(present, torch.tensor([[True], [False]]))[1] is None
    assert folded(present, torch.ones(2, 0, dtype=torch.bool)) == (present, None)


def test_holes_are_filled_with_zeros_in_a_copy():
    assert without_holes(X, None) is X
    found = without_holes(X, torch.tensor([[True, False]] * 3))
    assert found.tolist() == [[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]]
    assert X[0, 1] == 1.0


@pytest.mark.parametrize(
    ("elements", "error", "words"),
    [
        ([True], TypeError, "expected elements as a dict .* got list"),
        ({"y": X > 0}, ValueError, "unknown modality in elements 'y'; known: x"),
        ({"x": X}, TypeError, r"got torch.float64; write ~x.isnan\(\)"),
        ({"x": [[True]]}, TypeError, "got list; write"),
        ({"x": HELD}, ValueError, r"\(3, 2\), got \(3,\). A mask of rows, \(B,\), goes to present"),
        ({"x": (X > 0).to("meta")}, ValueError, "values are on cpu, elements on meta"),
    ],
    ids=["no dict", "name", "floats", "list", "rows", "device"],
)
def test_elements_that_do_not_fit_are_refused(elements, error, words):
    with pytest.raises(error, match=words):
        check_elements(elements, {"x": X})
    assert check_elements(None, {"x": X}) == {}


def test_what_is_checked_of_holes_lies_in_the_support():
    """Values above 1: a zero in place of a hole would be out of the support."""
    values = torch.tensor([[2.0, 3.0, 4.0], [5.0, 6.0, 7.0], [8.0, 9.0, 1.5]])
    elements = torch.tensor([[False, True, False], [True, False, False], [True, True, False]])
    obs = Observations({"x": values}, elements={"x": elements})
    found = observed_values(obs, "x")
    assert torch.equal(found[elements], values[elements])
    assert set(found[~elements].tolist()) <= set(values[elements].tolist())
    assert found[0, 0] == 5.0  # of the first row that holds the element
    assert found[1, 1] == 3.0
    assert bool((found[:, 2] == values[elements][0]).all())  # no row holds it


def test_without_holes_the_observed_rows_are_what_is_checked():
    obs = Observations({"x": X}, {"x": HELD})
    assert torch.equal(observed_values(obs, "x"), X[HELD])
    none = Observations({"x": X}, {"x": torch.zeros(3, dtype=torch.bool)})
    assert observed_values(none, "x").shape == (0, 2)
