"""The names that are asked, what is known for certain, and fingerprints of rows."""

import pytest
import torch
from torch import nn

from ppl_mm import Modality, Observations, likelihoods
from ppl_mm.evaluation import LogLikelihood
from ppl_mm.likelihood.estimand import has_mass, labels_alone
from ppl_mm.likelihood.targets import asked_names, certain, named
from ppl_mm.results.log_likelihood import COLUMNS

HELD = {
    "a": torch.tensor([True, False, True, False]),
    "b": torch.tensor([True, True, False, False]),
}


def rows(**changes):
    values = {"a": torch.arange(8.0).reshape(4, 2), "b": torch.arange(4), "c": torch.zeros(4, 3)}
    return Observations(values | changes, HELD)


def modalities(kind_of_b=None):
    kinds = {
        "a": likelihoods.Poisson(),
        "b": kind_of_b or likelihoods.Categorical(),
        "c": likelihoods.Normal(1.0),
    }
    return [
        Modality(n, k, lambda _: nn.Identity(), lambda _: nn.Identity()) for n, k in kinds.items()
    ]


# ------------------------------------------------------------------ names


@pytest.mark.parametrize(
    ("target", "given", "expected"),
    [
        (None, None, (("a", "b", "c"), ())),
        (None, "b", (("a", "c"), ("b",))),
        (None, ("c", "a"), (("b",), ("c", "a"))),
        ("a", None, (("a",), ())),
        (["c", "a"], "b", (("c", "a"), ("b",))),
        ("a", (), (("a",), ())),
    ],
)
def test_a_target_that_is_not_named_is_all_that_is_not_given(target, given, expected):
    assert asked_names(rows(), target, given) == expected


@pytest.mark.parametrize(
    ("target", "given", "message"),
    [
        ("d", None, "unknown target modality 'd'"),
        ("a", "d", "unknown given modality 'd'"),
        (("a", "b", "a"), None, "target modality 'a' is named twice"),
        ("a", ("c", "c"), "given modality 'c' is named twice"),
        (("a", "b"), ("b", "c"), "modality 'b' is both target and given; choose one"),
        (None, ("a", "b", "c"), "at least one target modality, got none"),
        ((), None, "at least one target modality, got none"),
    ],
)
def test_questions_without_an_answer_are_refused(target, given, message):
    with pytest.raises(ValueError, match=message):
        asked_names(rows(), target, given)


def test_a_target_that_no_row_holds_is_refused_where_it_is_named():
    obs = rows().without("a")
    with pytest.raises(ValueError, match="'a'"):
        asked_names(obs, "a", None)
    assert asked_names(obs, ("a", "c"), None)[0] == ("a", "c")
    assert asked_names(obs, None, None)[0] == ("a", "b", "c")
    assert named("given", "a b", Observations({"a b": torch.zeros(1)})) == ("a b",)


# ------------------------------------------------------------------ what is certain


def result(target, given=(), value=0.5):
    columns = {f: torch.full((4,), value, dtype=torch.float64) for f in COLUMNS}
    columns |= {"draws": torch.full((4,), 30), "refinement": torch.zeros(4).long()}
    return LogLikelihood.of(columns, 30, target, given, "", modalities())


def test_rows_that_hold_nothing_of_the_target_have_a_log_density_of_0():
    found = certain(result(("a", "b"), value=-2.0), rows(), modalities())
    assert found.value.tolist() == [-2.0, -2.0, -2.0, 0.0]
    for side in ("standard_error", "low", "high", "pareto_k", "log_weight_variance"):
        assert getattr(found, side)[3].item() == 0.0
        assert getattr(found, side)[0].item() == -2.0
    assert found.ess.tolist() == [-2.0, -2.0, -2.0, 30.0]
    assert found.draws.tolist() == [30] * 4


def test_no_mass_is_above_one_and_a_density_may_be():
    mass = certain(result(("a", "b")), rows(), modalities())
    assert mass.value.tolist() == mass.high.tolist() == [0.0] * 4
    assert mass.low.tolist() == [0.5, 0.5, 0.5, 0.0]
    density = certain(result(("a", "c")), rows(), modalities())
    assert density.value.tolist() == [0.5] * 4  # every row holds c


def test_what_has_mass_and_what_is_a_label():
    declared = modalities()
    assert has_mass(declared, ("a", "b"))
    assert not has_mass(declared, ("a", "c"))
    assert not has_mass(declared, ("unknown",))
    grey = modalities(likelihoods.SoftBernoulli())
    assert not has_mass(grey, ("b",))
    assert labels_alone(declared, rows(), ("b",))
    assert not labels_alone(declared, rows(), ("a",))  # counts are no label
    assert not labels_alone(declared, rows(), ("b", "c"))


# ------------------------------------------------------------------ fingerprints


def ids(obs, names=("a", "b")):
    return certain(result(names), obs, modalities()).row_ids


def test_rows_are_known_by_what_they_hold_of_what_is_asked():
    own = ids(rows())
    assert len(set(own)) == 4
    assert ids(rows(c=torch.ones(4, 3))) == own  # c is not asked
    junk = rows(a=torch.tensor([[0.0, 1], [9, 9], [4, 5], [9, 9]]))
    assert ids(junk) == own  # what is missing has no value
    other = ids(rows(a=torch.tensor([[0.0, 1], [2, 3], [4, 6], [6, 7]])))
    assert [x == y for x, y in zip(own, other, strict=True)] == [True, True, False, True]


def test_fingerprints_do_not_change_with_dtype_or_order_of_names():
    own = ids(rows())
    assert ids(rows(a=torch.arange(8.0).reshape(4, 2).float(), b=torch.arange(4).int())) == own
    assert ids(rows(), ("b", "a")) == own
    whole = Observations(rows().values)
    assert ids(whole)[0] == own[0]
    assert ids(whole)[3] != own[3]
