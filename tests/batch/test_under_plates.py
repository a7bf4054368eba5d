"""The types of a batch: rows, rows under terms, rows under strata, and under some strata."""

import numpy as np
import pyro
import pytest
import torch
from torch import Tensor

from ppl_mm import Observations
from ppl_mm.batch.observations import DrawnStrata, UnderStrata, UnderTerms
from ppl_mm.data import MemoryMapped
from ppl_mm.objectives import Term

A, B, AB = ("a",), ("b",), ("a", "b")


def two() -> Observations:
    values = {"a": torch.tensor([[1.0], [2.0], [3.0]]), "b": torch.tensor([4, 5, 6])}
    return Observations(values, {"a": torch.tensor([True, True, False])})


class Watched:
    """An array that counts how often it is read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype, self.reads = array, array.shape, array.dtype, 0

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.reads += 1
        return self.array[rows]


def test_each_has_its_type_and_is_observations():
    terms, strata = two().terms([Term(AB, AB)]), two().strata([A, B])
    some = two().strata([A, B], 1)
    assert [type(x) for x in (terms, strata, some)] == [UnderTerms, UnderStrata, DrawnStrata]
    assert all(isinstance(x, Observations) for x in (terms, strata, some))
    assert isinstance(some, UnderStrata)
    assert isinstance(some.all_strata, UnderStrata)
    assert [x.plate for x in (two(), terms, strata, some)] == [None, "terms", "strata", "strata"]
    assert [x.plate_size for x in (two(), terms, strata, some)] == [None, 1, 2, 1]


def test_rows_have_nothing_of_a_plate():
    for name in ("log_weight", "active", "reference", "via", "weight", "drawn", "all_strata"):
        assert not hasattr(two(), name)


@pytest.mark.parametrize("number", [None, 2, 5])
def test_all_components_are_not_drawn(number):
    assert type(two().strata([A, B], number)) is UnderStrata


def test_the_type_is_kept_and_so_is_what_it_needs():
    for under in (two().terms([Term(A, A, B)]), two().strata([A, B]), two().strata([A, B], 1)):
        for other in (
            under.to(torch.float64),
            under.drop("b"),
            under.replace("b", torch.tensor([7, 8, 9])),
            under.components([A])[0][0],
        ):
            assert type(other) is type(under)
            assert vars(other).keys() == vars(under).keys()
            assert other.plate_size == under.plate_size


def test_the_whole_of_drawn_strata_changes_with_them():
    some = two().strata([A, B, AB], 2)
    assert some.replace("b", torch.tensor([7, 8, 9])).all_strata["b"].tolist() == [7, 8, 9]
    assert some.drop("b").all_strata.names == A
    assert some.to(torch.float64).all_strata.log_weight.dtype == torch.float64
    assert torch.equal(some.all_strata.log_weight, two().strata([A, B, AB]).log_weight)
    every = two().strata([A, B, AB])
    assert all(torch.equal(some.all_strata.source[n], every.source[n]) for n in AB)


def test_a_stand_in_is_named_by_terms_or_by_none():
    assert two().terms([Term(A, AB)]).via == {}
    via = two().terms([Term(AB, A, via="b"), Term(A, A)]).via
    assert {n: m.tolist() for n, m in via.items()} == {
        "a": [[False], [False]],
        "b": [[True], [False]],
    }


def test_plates_read_no_file_that_nobody_asks_for():
    a, b = Watched(np.array([[1.0], [2.0], [3.0]])), Watched(np.arange(3))
    rows = MemoryMapped({"a": a, "b": b})
    for under in (rows.terms([Term(AB, AB)]), rows.strata([A, B]), rows.strata([A, B], 1)):
        with under.plates():
            pyro.sample("z", pyro.distributions.Normal(0.0, 1.0))
        moved = under.drop("a").to("cpu")
        assert (under.device.type, under.dtype) == ("cpu", torch.get_default_dtype())
        assert repr(under).startswith(type(under).__name__ + "(3 rows, ")
        assert (a.reads, b.reads) == (0, 0)
        assert moved["b"].tolist() == [0, 1, 2]
        assert a.reads == 0
        b.reads = 0


class Once(torch.nn.Module):
    """An encoder that counts its runs."""

    runs = 0

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.runs += 1
        return x, torch.ones_like(x)


def test_drawn_strata_and_their_whole_share_what_is_encoded():
    some, encoder = two().strata([A, B, AB], 2), Once()
    some.encoded("a", encoder, 1)
    some.all_strata.encoded("a", encoder, 1)
    assert encoder.runs == 1


def test_terms_that_need_all_they_name_ask_the_same_of_every_row():
    terms = [Term(AB, A, B), Term(A, A), Term(("a", "c"), A)]
    under = two().terms(terms, rows="require")
    at_source = [[[True], [True], [False]], [[True], [False], [False]]]  # no row has c
    assert under.asked(AB).tolist() == at_source
    assert under.at_reference().asked(AB).tolist() == [[[False]] * 3, [[True], [False], [False]]]
    for name, asked in zip(AB, under.asked(AB), strict=True):  # so it is in rows that count
        assert torch.equal(under.source[name], asked & under.active)


def test_rows_with_less_and_components_of_mixtures_ask_for_what_they_hold():
    rows = two().terms([Term(AB, A)])
    assert torch.equal(rows.asked(AB), torch.stack([rows.source[n] for n in AB]))
    component = two().terms([Term(AB, A)], rows="require").components([A, B])[0][1]
    assert torch.equal(component.asked(AB), component.sources(AB))
    assert component.sources(AB).tolist()[0] == [[False] * 3]
    assert two().only("b").asked(("b", "c")).tolist() == [[True], [False]]
