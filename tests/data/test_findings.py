"""Where each thing that looks wrong begins, to the row; data sets are made of plain tensors."""

from functools import partial

import pytest
import torch

from ppl_mm import Modality, Observations, likelihoods, networks
from ppl_mm.data import Columns, DataSet, Provenance

N = 60
GENERATOR = torch.Generator().manual_seed(0)


def noise(rows, columns):
    return torch.randn(rows, columns, generator=GENERATOR, dtype=torch.float64)


def numbers(name, size, likelihood=None):
    shape = (size,) if isinstance(size, int) else size
    return Modality(
        name,
        likelihood or likelihoods.Normal(scale=1.0),
        partial(networks.MLPEncoder, event_shape=shape, hidden=()),
        partial(networks.MLPDecoder, event_shape=shape, hidden=()),
    )


def classes(name, number):
    return Modality(
        name,
        likelihoods.Categorical(),
        partial(networks.LabelEncoder, num_classes=number, hidden=(2,)),
        partial(networks.MLPDecoder, event_shape=(number,), hidden=()),
    )


def findings(values, present=None, elements=None, *, modality=None, test=None, provenance=None):
    """What is said of a modality ``x``, but for test rows that are equal to training rows."""
    x = values.double() if values.is_floating_point() else values
    train = Observations({"x": x}, present, elements)
    declared = modality or numbers("x", tuple(x.shape[1:]))
    rows = train[-1:] if test is None else test
    dataset = DataSet("d", train, None, rows, (declared,), 2, None, None, provenance=provenance)
    return [f for f in dataset.describe().findings if "test rows are equal" not in f]


# ------------------------------------------------------------------ numbers


@pytest.mark.parametrize(("lacking", "said"), [(30, False), (31, True)])
def test_a_modality_that_more_than_half_of_the_rows_lack(lacking, said):
    held = torch.arange(N - 1) >= lacking
    test = Observations({"x": noise(1, 2)})
    found = findings(noise(N - 1, 2), {"x": held}, test=test)  # 60 rows in all
    assert found == (["x: 52% of the rows lack it; check index and files."] if said else [])


@pytest.mark.parametrize(("empty", "said"), [(30, False), (31, True)])
def test_a_column_that_is_empty_in_more_than_half_of_the_rows(empty, said):
    elements = torch.ones(N - 1, 2, dtype=torch.bool)
    elements[:empty, 1] = False
    test = Observations({"x": noise(1, 2)})
    found = findings(noise(N - 1, 2), None, {"x": elements}, test=test)
    assert len(found) == said
    assert all(f.startswith("x, column 1: empty in more than 50% of the rows") for f in found)


@pytest.mark.parametrize(("rows", "said"), [(100, False), (103, True)])
def test_an_outlier_lies_more_than_ten_deviations_from_the_mean(rows, said):
    """One 1 among zeros lies sqrt(n - 1) deviations from the mean; the test row is a zero."""
    x = torch.zeros(rows, 1)
    x[7] = 1.0
    test = Observations({"x": torch.zeros(1, 1)})
    for values in (x, -x):
        found = findings(values, test=test)
        assert len(found) == said
        assert all("column 0: more than 10 standard deviations from the mean" in f for f in found)
        assert all('check the units, or say kind = "positive"' in f for f in found)


@pytest.mark.parametrize(("shift", "said"), [(0.9e5, False), (1.1e5, True), (-1.1e5, True)])
def test_columns_whose_digits_float32_would_lose(shift, said):
    x = torch.tensor([-1.0, 1.0]).repeat(30)[:, None] + shift
    test = Observations({"x": torch.tensor([[shift - 1.0], [shift + 1.0]])})
    found = findings(x, test=test)
    assert len(found) == said
    assert all("so far from 0 for its spread that float32 loses digits" in f for f in found)


@pytest.mark.parametrize(
    ("size", "highest", "least", "whole", "said"),
    [
        *[(16, 255, 0, True, True), (15, 255, 0, True, False), (16, 101, 0, True, True)],
        *[(16, 100, 0, True, False), (16, 256, 0, True, False), (16, 255, -1, True, False)],
        *[((4, 4), 255, 0, True, True), (16, 255, 0, False, False)],
    ],
)
def test_whole_numbers_of_a_picture_look_like_pixels(size, highest, least, whole, said):
    shape = (N, size) if isinstance(size, int) else (N, *size)
    x = torch.randint(10, 90, shape, generator=GENERATOR).double()
    x[0], x[1] = highest, least
    if not whole:
        x[2] = x[2] + 0.5
    found = findings(x)
    assert any("look like pixels" in f for f in found) == said
    if said:
        assert found == [
            f"x: whole numbers from {least} to {highest} look like pixels; give bytes with "
            'kind = "image", or divide by 255.'
        ]


def test_pictures_may_have_constant_pixels():
    x = noise(N, 12).reshape(N, 3, 4)
    x[:, 0] = 0.0
    assert findings(x) == []
    assert findings(x.flatten(1)) == ["x, columns 0, 1, 2 and 1 more: constant; leave it out."]


@pytest.mark.parametrize(("rows", "said"), [(19, False), (20, True)])
def test_as_many_whole_numbers_as_rows_look_like_identifiers(rows, said):
    """The test row is one of so many rows."""
    order = torch.randperm(rows - 1, generator=GENERATOR).double()
    x = torch.stack([order + 500, noise(rows - 1, 1)[:, 0]], 1)
    test = Observations({"x": torch.tensor([[500.0 + rows, 0.0]])})
    found = findings(x, test=test)
    assert len(found) == said
    assert all("column 0: another whole number in every row, as ident" in f for f in found)


def test_numbers_twice_and_numbers_with_many_gaps_are_no_identifiers():
    test = Observations({"x": torch.tensor([[31.0]])})
    twice = torch.arange(30.0)[:, None].clone()
    twice[4] = 5.0
    assert findings(twice, test=test) == []
    gaps = torch.arange(30.0)[:, None] * 2
    for largest, said in ((61.0, True), (62.0, False)):  # of 31 rows
        assert bool(findings(gaps, test=Observations({"x": torch.tensor([[largest]])}))) == said


def test_columns_are_told_by_their_names():
    x = noise(N, 5)
    x[:, 1:] = 2.0
    columns = Columns("real", ("age", "bmi", "a b", "d", "e"), (), "cohort.csv", False)
    provenance = Provenance(None, "", None, {}, {"x": columns})
    test = Observations({"x": x[:1]})
    (found,) = findings(x, test=test, provenance=provenance)
    assert found == "x, columns 'bmi', 'a b', 'd' and 1 more: constant; leave it out."


# ------------------------------------------------------------------ classes


def of_classes(labels, number, **options):
    return findings(labels, modality=classes("x", number), **options)


def test_a_class_of_fewer_than_five_training_rows_is_small():
    labels = torch.tensor([0] * 20 + [1] * 4 + [2] * 5 + [4])  # nothing of class 3
    expected = "x: levels with fewer than 5 training rows: 1, 4; join them with others."
    assert of_classes(labels, 5) == [expected]
    assert of_classes(torch.eye(5)[labels], 5) == [expected]
    named = Columns("category", ("x",), ("a", "b c", "c", "d", "e"), "cohort.csv", False)
    provenance = Provenance(None, "", None, {}, {"x": named})
    assert "rows: 'b c', 'e'; join" in of_classes(labels, 5, provenance=provenance)[0]


def test_at_most_three_small_classes_are_told():
    three = torch.tensor([0] * 20 + [1, 2, 3])
    four = torch.tensor([0] * 20 + [1, 2, 3, 4])
    assert "training rows: 1, 2, 3; join" in of_classes(three, 5)[0]
    assert "training rows: 1, 2, 3, ...; join" in of_classes(four, 5)[0]


def test_rows_without_a_class_belong_to_no_level():
    labels, held = torch.tensor([0] * 30 + [1] * 10), torch.arange(40) < 30
    one = "x: all training rows have one level; leave it out."
    assert of_classes(labels, 2, present={"x": held}) == [one]
    assert of_classes(labels, 2) == []


@pytest.mark.parametrize(("rows", "levels", "said"), [(60, 30, False), (60, 31, True),
                                                      (30, 20, False), (30, 21, True)])  # fmt: skip
def test_levels_of_more_than_half_of_the_rows_look_like_an_identifier(rows, levels, said):
    found = of_classes(torch.arange(rows) % levels, levels)
    expected = f"x: {levels} levels in {rows} training rows look like an identifier; leave it out."
    assert (found == [expected]) == said


# ------------------------------------------------------------------ rows that repeat


def repeated(train, test):
    """What is said of test rows that training rows equal."""
    modalities = tuple(numbers(n, 1) for n in ("x", "y"))
    dataset = DataSet("d", train, None, test, modalities, 2, None, None)
    return [f for f in dataset.describe().findings if "test rows are equal" in f]


def test_a_test_row_is_equal_where_it_holds_the_same_values():
    x, y = noise(30, 1), noise(30, 1)
    held = torch.arange(30) != 3
    train = Observations({"x": x, "y": y}, {"y": held})
    same = Observations({"x": x[[2, 3, 4]], "y": y[[2, 3, 4]]}, {"y": held[[2, 3, 4]]})
    (found,) = repeated(train, same)
    assert found.startswith("3 of 3 test rows are equal to training rows in every value; remove")
    other = Observations({"x": x[[2, 3, 4]], "y": y[[2, 3, 5]]}, {"y": torch.ones(3).bool()})
    assert repeated(train, other)[0].startswith("1 of 3")  # row 3 holds more, row 4 another value


def test_rows_that_hold_nothing_are_equal_to_none():
    none = {n: torch.arange(30) > 0 for n in "xy"}
    train = Observations({n: noise(30, 1) for n in "xy"}, none)
    test = Observations(
        {n: noise(2, 1) for n in "xy"}, {n: torch.tensor([False, True]) for n in "xy"}
    )
    assert repeated(train, test) == []
