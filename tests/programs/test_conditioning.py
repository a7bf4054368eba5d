"""What a conditional model can be asked, of which rows, and the features that it conditions on."""

import pytest
import torch
from torch import nn

from ppl_mm import Modality, Observations, likelihoods
from ppl_mm.programs.answerable import answerable, check_answerable, check_held, conditioned_on
from ppl_mm.programs.conditioning import (
    Context,
    check_given,
    check_label,
    holds,
    joined,
    nan_unless_held,
    undrawable,
)

NAMES = ("a", "b", "c")


class On(nn.Module):
    """A model that conditions on some modalities."""

    def __init__(self, *names):
        super().__init__()
        self.conditions_on = names

    def forward(self, obs):
        pass


def rows(**held):
    """Three rows of a and b; ``held`` says which rows hold them."""
    values = {"a": torch.arange(6.0).reshape(3, 2), "b": torch.arange(3.0)[:, None]}
    return Observations(values, {n: torch.tensor(m) for n, m in held.items()})


# ---------------------------------------------------------------- which rows


def test_which_rows_hold_all_of_some_modalities():
    obs = rows(a=[True, False, True], b=[True, True, False])
    assert holds(obs, ["a"]).tolist() == [True, False, True]
    assert holds(obs, ["a", "b"]).tolist() == [True, False, False]
    assert holds(obs, []).tolist() == [True] * 3
    assert holds(obs, ["a", "c"]).tolist() == [False] * 3


def test_rows_that_a_model_can_answer_for():
    obs = rows(a=[True, False, True])
    assert answerable(nn.Identity(), obs) is obs
    assert answerable(On(), obs) is obs
    found = answerable(On("a"), obs)
    assert found["b"].tolist() == [[0.0], [2.0]]
    with pytest.raises(ValueError, match="no row holds a and c, which the model conditions on"):
        answerable(On("a", "c"), obs)


def test_most_models_condition_on_nothing():
    assert conditioned_on(nn.Identity()) == conditioned_on(On()) == ()
    assert conditioned_on(On("a", "b")) == ("a", "b")


def test_what_is_measured_is_held_by_some_row():
    obs = rows(a=[False, False, True], b=[False] * 3)
    check_held(obs, ["a"])
    check_held(obs, [])
    with pytest.raises(ValueError, match="modality 'b': none of the 3 rows holds it, so there is"):
        check_held(obs, ["a", "b"])
    with pytest.raises(ValueError, match="unknown target 'd'; known: a, b"):
        check_held(obs, ["d"], "target")


def test_a_model_answers_for_others_given_what_it_conditions_on():
    whole = rows()
    check_answerable(On("a"), whole, ("b",), ("a",))
    check_answerable(On(), whole, ("a", "b"), ())
    check_answerable(On("a"), rows(b=[True, False, True]), ("b",), ("a", "b"))


@pytest.mark.parametrize(
    ("obs", "targets", "given", "words"),
    [
        (rows(), ("a", "b"), ("a",), r"no density of it; ask for the others given=\['a'\]"),
        (rows(), ("b",), (), r"it must be among what is given: given=\['a'\]"),
        (
            rows(a=[True, False, True]),
            ("b",),
            ("a",),
            r"row 1 lacks it, .*obs\[obs.present\['a'\]\]",
        ),
        (Observations({"b": torch.zeros(2)}), ("b",), ("a",), "it must be among what is given"),
    ],
    ids=["target", "not given", "a row lacks it", "the data lack it"],
)
def test_what_a_model_cannot_answer_is_refused_with_the_way_to_ask(obs, targets, given, words):
    with pytest.raises(ValueError, match=f"modality 'a': .*{words}"):
        check_answerable(On("a"), obs, targets, given)


# ---------------------------------------------------------------- names


def test_given_names_are_sorted_and_named_once():
    assert check_given(NAMES, ("c", "a", "c")) == ("a", "c")
    assert check_given(NAMES, ["b"]) == ("b",)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ("a", TypeError, "observed: expected a tuple of names, got the string 'a'"),
        ((), ValueError, r"observed: expected some of the modalities a, b, c.*got \[\]"),
        (NAMES, ValueError, "and not all of them, got"),
        (("a", "x"), ValueError, "unknown modality in observed 'x'; known: a, b, c"),
    ],
    ids=["string", "none", "all", "unknown"],
)
def test_given_names_are_some_of_those_declared(given, error, words):
    with pytest.raises(error, match=words):
        check_given(NAMES, given, "observed")


def test_a_label_is_declared_and_predicted():
    assert check_label(None, NAMES, ("a",)) is None
    assert check_label("c", NAMES, ("a",)) == "c"
    with pytest.raises(ValueError, match="unknown label 'x'; known: a, b, c"):
        check_label("x", NAMES, ("a",))
    with pytest.raises(ValueError, match="modality 'a' is both observed and the label"):
        check_label("a", NAMES, ("a",))


# ---------------------------------------------------------------- tensors


def test_what_is_not_known_is_nan():
    x = torch.ones(2, 3, 1)
    assert nan_unless_held(torch.ones(3, dtype=torch.bool), x) is x
    found = nan_unless_held(torch.tensor([True, False, True]), x)
    assert found.isnan()[..., 0].tolist() == [[False, True, False]] * 2


@pytest.mark.parametrize("lead", [(), (4,), (5, 4)], ids=str)
def test_a_latent_is_joined_with_its_rows_context_under_any_plates(lead):
    z, context = torch.randn(*lead, 3, 2), torch.randn(3, 5)
    found = joined(z, context)
    assert found.shape == (*lead, 3, 7)
    assert torch.equal(found[..., :2], z)
    assert torch.equal(found[..., 2:], context.expand(*lead, 3, 5))


def test_a_latent_that_all_rows_share_is_joined_with_each():
    found = joined(torch.tensor([[1.0, 2.0]]), torch.arange(3.0)[:, None])
    assert found.tolist() == [[1.0, 2.0, 0.0], [1.0, 2.0, 1.0], [1.0, 2.0, 2.0]]
    half = joined(torch.zeros(3, 2, dtype=torch.float32), torch.zeros(3, 1, dtype=torch.float64))
    assert half.dtype == torch.float32


def test_why_a_modality_cannot_be_drawn():
    part = rows(a=[True, False, True])
    assert undrawable("b", part, ("a",)) is None  # the data hold it
    assert undrawable("c", rows(), ("a",)) is None  # every row holds what it needs
    why = undrawable("c", part, ("b", "a"))
    assert "modality 'a': row 1 lacks it" in why
    assert "modality 'c', which the data do not hold" in why
    assert "Give rows that hold it: obs[obs.present['a']]." in why
    why = undrawable("c", Observations({"b": torch.zeros(2)}), ("a",))
    assert "modality 'a': row 0 lacks it" in why
    assert why.endswith("Give rows that hold it.")


# ---------------------------------------------------------------- the context


def modality(name, size, features=None):
    return Modality(
        name,
        likelihoods.Normal(scale=1.0),
        lambda latent_dim: nn.Linear(size, latent_dim),
        lambda in_features: nn.Linear(in_features, size),
        features=features,
    )


def test_a_context_has_the_features_of_its_modalities_side_by_side():
    torch.manual_seed(0)
    trunk = nn.Linear(2, 4)
    declared = [modality("b", 1), modality("a", 2, lambda: trunk), modality("c", 1)]
    context = Context(declared, 3, ("b", "a"))
    assert (context.names, context.out_features) == (("a", "b"), 5)
    obs = rows()
    features, known = context(obs)
    torch.testing.assert_close(features, torch.cat([trunk(obs["a"]), obs["b"]], -1))
    assert known.all()


def test_rows_that_lack_a_given_modality_have_no_features():
    declared = [modality("a", 2), modality("b", 1), modality("c", 1)]
    context = Context(declared, 3, ("a", "b"))
    features, known = context(rows(b=[True, False, True]))
    assert known.tolist() == [True, False, True]
    assert features.isnan().all(-1).tolist() == [False, True, False]
    features, known = context(Observations({"a": torch.zeros(2, 2)}))
    assert features.isnan().all()
    assert features.shape == (2, 3)
    assert not known.any()


def test_what_the_guide_may_look_at_does_not_matter_to_a_context():
    context = Context([modality("a", 2), modality("b", 1)], 3, ("a",))
    features, known = context(rows().given("b"))
    assert known.all()
    assert torch.equal(features, rows()["a"])


def test_a_context_checks_the_supports_and_the_trunks():
    binary = Modality(
        "a",
        likelihoods.Bernoulli(),
        lambda size: nn.Linear(2, size),
        lambda size: nn.Linear(size, 2),
        features=lambda: nn.Linear(2, 3),
    )
    context = Context([binary, modality("b", 1)], 3, ("a",))
    context.check(Observations({"a": torch.ones(2, 2)}))
    context.check(Observations({"b": torch.ones(2, 1)}))
    with pytest.raises(ValueError, match="modality 'a': expected values 0 or 1"):
        context.check(rows())
    wrong = Modality("a", binary.likelihood, binary.encoder, binary.decoder, features=Narrow)
    with pytest.raises(ValueError, match=r"modality 'a': expected features of shape .* \(2, 3\)"):
        Context([wrong, modality("b", 1)], 3, ("a",)).check(Observations({"a": torch.ones(2, 2)}))


class Narrow(nn.Linear):
    """A trunk that says another width than it has."""

    def __init__(self):
        super().__init__(2, 2)
        self.out_features = 3
