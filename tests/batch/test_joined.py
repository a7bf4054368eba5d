"""Batches one after another: what each holds, in order, and what none of them holds."""

import pytest
import torch

from ppl_mm import Observations
from ppl_mm.batch.covariates import check_size, covariates_for, joined_covariates

KINDS = ("present", "scored", "evidence", "source")


def batch(size, names="xy", held=None, start=0.0):
    values = {n: start + torch.arange(2.0 * size).reshape(size, 2) for n in names}
    return Observations(values, held)


def test_joined_rows_are_the_rows_of_each_in_order():
    first, second = batch(2), batch(3, start=10.0)
    both = Observations.collate([first, second])
    assert len(both) == 5
    for n in "xy":
        assert torch.equal(both[n], torch.cat([first[n], second[n]]))
    for kind in KINDS:
        assert all(m.all() for m in getattr(both, kind).values())
    assert torch.equal(both[:2]["x"], first["x"])
    assert torch.equal(both[2:]["x"], second["x"])


def test_what_one_batch_lacks_is_missing_in_its_rows():
    both = Observations.collate([batch(2, "x"), batch(1, "yx"), batch(2, "y")])
    assert both.names == ("x", "y")
    for kind in KINDS:
        assert getattr(both, kind)["x"].tolist() == [True] * 3 + [False] * 2
        assert getattr(both, kind)["y"].tolist() == [False] * 2 + [True] * 3
    assert not both["x"][3:].any()
    assert not both["y"][:2].any()


def test_each_of_the_four_masks_is_joined_by_itself():
    first = batch(2).given("x").scoring("y")
    both = Observations.collate([first, batch(1)])
    assert both.present["x"].all()
    assert both.evidence["y"].tolist() == [False, False, True]
    assert both.source["x"].tolist() == [True, True, True]
    assert both.scored["x"].tolist() == [False, False, True]


def test_rows_of_nothing_are_rows():
    both = Observations.collate([Observations.blank(2), batch(1, "x")])
    assert both.present["x"].tolist() == [False, False, True]
    assert len(Observations.collate([Observations.blank(2), Observations.blank(1)])) == 3


def test_holes_are_joined_with_whole_rows():
    holes = torch.tensor([[True, False], [True, True]])
    first = Observations({"x": torch.ones(2, 2)}, elements={"x": holes})
    both = Observations.collate([batch(1, "x"), first, batch(1, "y")])
    assert both.elements["x"].tolist() == [[True, True], [True, False], [True, True], [True, True]]
    assert "y" not in both.elements


def test_floats_are_joined_in_the_wider_dtype():
    narrow = Observations({"x": torch.ones(1, 2, dtype=torch.float32)})
    assert Observations.collate([narrow, batch(1, "x")])["x"].dtype == torch.float64


@pytest.mark.parametrize("order", [[0, 1], [1, 0]], ids=str)
def test_values_of_another_shape_or_kind_are_refused(order):
    odd = Observations({"x": torch.zeros(1, 3)})
    with pytest.raises(ValueError, match="modality 'x': batches disagree on its shape"):
        Observations.collate([[batch(1, "x"), odd][i] for i in order])
    classes = Observations({"x": torch.zeros(1, 2, dtype=torch.int64)})
    with pytest.raises(ValueError, match="modality 'x': batches disagree on its numbers"):
        Observations.collate([[batch(1, "x"), classes][i] for i in order])


# ---------------------------------------------------------------- covariates


def test_covariates_are_joined_where_every_batch_has_them():
    parts = [batch(2).with_covariates({"c": torch.tensor([0, 1])}) for _ in range(2)]
    assert Observations.collate(parts).covariates["c"].tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="covariate 'c': some of the batches to join lack it"):
        Observations.collate([*parts, batch(1)])


@pytest.mark.parametrize(
    "other", [torch.zeros(1, 2), torch.zeros(1, 1, dtype=torch.int64)], ids=["columns", "integers"]
)
def test_covariates_that_differ_are_refused(other):
    with pytest.raises(ValueError, match="covariate 'c': the batches to join have"):
        joined_covariates([{"c": torch.zeros(2, 1)}, {"c": other}])


def test_joined_covariates_keep_their_order():
    found = joined_covariates([{"b": torch.ones(1), "a": torch.zeros(1)}] * 2)
    assert list(found) == ["b", "a"]
    assert found["b"].tolist() == [1.0, 1.0]
    assert joined_covariates([]) == joined_covariates([{}, {}]) == {}


def test_a_network_is_given_what_it_names_in_its_order():
    class Reads:
        reads_covariates = ("b", "a")

    given = {"a": torch.zeros(1), "b": torch.ones(1), "c": torch.ones(1)}
    assert list(covariates_for(Reads(), given)) == ["b", "a"]
    assert covariates_for(object(), given) == {}
    with pytest.raises(ValueError, match="'b': Reads reads it, and those given are 'a'; write obs"):
        covariates_for(Reads(), {"a": torch.zeros(1)})


@pytest.mark.parametrize(
    ("x", "size"),
    [
        (torch.tensor([0, 2]), 3),
        (torch.tensor([True, False]), 2),
        (torch.zeros(2, 3), 3),
        (torch.tensor([0.5, -1.0]), 1),
        (torch.zeros(0, dtype=torch.int64), 1),
    ],
    ids=["classes", "booleans", "columns", "number", "no rows"],
)
def test_sizes_that_fit(x, size):
    check_size("c", x, size)


@pytest.mark.parametrize(
    ("x", "size", "error", "words"),
    [
        (torch.tensor([0, 3]), 3, ValueError, "knows the classes 0 to 2, got 3"),
        (torch.tensor([-1, 1]), 3, ValueError, "knows the classes 0 to 2, got -1"),
        (torch.zeros(2, 2), 3, ValueError, "the network reads 3 columns, got 2"),
        (torch.zeros(2), 3, TypeError, r"integers from 0 to 2.* x.long\(\), or x\[:, None\]"),
    ],
    ids=["above", "below", "columns", "floats"],
)
def test_sizes_that_do_not_fit_name_the_covariate(x, size, error, words):
    with pytest.raises(error, match=f"covariate 'c': .*{words}"):
        check_size("c", x, size)
