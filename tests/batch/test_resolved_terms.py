"""Masks of terms and of mixture components, against their definitions row by row."""

import itertools

import pytest
import torch

from ppl_mm import Observations
from ppl_mm.batch.terms import resolve_components, resolve_terms, via_masks
from ppl_mm.objectives import Term

NAMES = ("a", "b", "c")
SUBSETS = [s for n in range(4) for s in itertools.combinations(NAMES, n)]
PRESENT = torch.tensor(list(itertools.product([True, False], repeat=3)))  # all 8 patterns


def all_patterns():
    """One row of every pattern of missing modalities."""
    values = {n: torch.zeros(8, 1) for n in NAMES}
    return Observations(values, {n: PRESENT[:, i].clone() for i, n in enumerate(NAMES)})


def random_terms(seed, number=6):
    """Terms whose every part is drawn at random, with some repetitions."""
    chance = torch.Generator().manual_seed(seed)

    def draw(options):
        return options[int(torch.randint(len(options), (), generator=chance))]

    terms = [
        Term(
            draw(SUBSETS),
            draw(SUBSETS),
            draw([(), (), *SUBSETS]),
            weight=draw([1.0, 0.5]),
            requires=draw([(), (), ("a",), ("b", "c")]),
            alone=draw([False, False, True]),
        )
        for _ in range(number)
    ]
    return [*terms, terms[0]]


def by_definition(terms, held, rows, dedupe):
    """(source, scored, reference) of each active term of one row that holds ``held``; else None."""
    found, seen = [], []
    for t in terms:
        parts = tuple(frozenset(p) & held for p in (t.source, t.scored, t.reference))
        if rows == "require":
            whole = (t.source, t.scored, t.reference)
            active = all(frozenset(p) <= held for p in whole)
        else:
            active = bool(parts[0]) or not t.source
        active = active and set(t.requires) <= held
        if t.alone:
            active = active and not (held - t.names)
        kind = (t.weight, t.via, t.requires, t.alone, dict(t.lambdas), t.fixed_model)
        if dedupe and active:
            if (kind, parts) in seen:
                active = False
            else:
                seen.append((kind, parts))
        found.append(parts if active else None)
    return found


@pytest.mark.parametrize("dedupe", [True, False], ids=["once", "repeated"])
@pytest.mark.parametrize("rows", ["restrict", "require"])
@pytest.mark.parametrize("seed", range(12))
def test_masks_of_terms_are_their_definition_in_every_pattern(seed, rows, dedupe):
    obs, terms = all_patterns(), random_terms(seed)
    source, scored, reference, active, weight = resolve_terms(terms, obs, rows=rows, dedupe=dedupe)
    assert active.shape == (len(terms), 8)
    assert weight[:, 0].tolist() == [t.weight for t in terms]
    for row, pattern in enumerate(PRESENT.tolist()):
        held = frozenset(n for n, here in zip(NAMES, pattern, strict=True) if here)
        expected = by_definition(terms, held, rows, dedupe)
        for t, parts in enumerate(expected):
            assert bool(active[t, row]) == (parts is not None)
            for masks, names in zip((source, scored, reference), parts or [()] * 3, strict=True):
                assert {n for n in NAMES if masks[n][t, row]} == set(names)


@pytest.mark.parametrize("rows", ["restrict", "require"])
def test_rows_that_are_alike_have_the_masks_of_each_alone(rows):
    terms = random_terms(3)
    for row in range(8):
        several = all_patterns()[[row, row, row]]
        masks = resolve_terms(terms, several, rows=rows, dedupe=True)
        alone = resolve_terms(terms, all_patterns()[[row]], rows=rows, dedupe=True)
        for found, one in zip(masks[:3], alone[:3], strict=True):
            for n in NAMES:
                assert torch.equal(found[n], one[n].expand(-1, 3))
        assert torch.equal(masks[3], alone[3].expand(-1, 3))


def test_what_may_be_looked_at_and_scored_bounds_every_term():
    obs = all_patterns()[[0]].given("a").scoring("b")
    term = Term(NAMES, NAMES, NAMES)
    source, scored, reference, active, _ = resolve_terms([term], obs, rows="restrict", dedupe=True)
    assert [n for n in NAMES if source[n].item()] == ["a"]
    assert [n for n in NAMES if scored[n].item()] == ["b"]
    assert [n for n in NAMES if reference[n].item()] == ["a"]
    assert active.item()
    assert not resolve_terms([term], obs, rows="require", dedupe=True)[3].item()


def test_a_term_that_requires_what_the_data_lack_is_never_active():
    obs = all_patterns()[[0]]
    for rows in ("restrict", "require"):
        found = resolve_terms([Term(("a",), ("a",), requires=("d",))], obs, rows=rows, dedupe=True)
        assert not found[3].item()
    assert not resolve_terms([Term(("a", "d"), ())], obs, rows="require", dedupe=True)[3].item()
    assert resolve_terms([Term(("a", "d"), ())], obs, rows="restrict", dedupe=True)[3].item()


def test_many_modalities_are_compared_beyond_the_bits_of_one_number():
    """70 modalities: the masks of two terms differ in the last one alone."""
    names = [f"m{i}" for i in range(70)]
    obs = Observations({n: torch.zeros(2, 1) for n in names})
    terms = [Term(tuple(names), ()), Term(tuple(names[:-1]), ()), Term(tuple(names), ())]
    active = resolve_terms(terms, obs, rows="restrict", dedupe=True)[3]
    assert active.tolist() == [[True, True], [True, True], [False, False]]
    without = obs.without(names[-1])
    active = resolve_terms(terms, without, rows="restrict", dedupe=True)[3]
    assert active.tolist() == [[True, True], [False, False], [False, False]]


@pytest.mark.parametrize(
    "other",
    [
        {"weight": 2.0},
        {"via": "a"},
        {"requires": ("a",)},
        {"alone": True},
        {"lambdas": {"a": 2.0}},
        {"fixed_model": True},
    ],
    ids=str,
)
def test_terms_that_differ_in_anything_are_no_repetition(other):
    obs = all_patterns()[[0]]
    terms = [Term(NAMES, ("a",)), Term(NAMES, ("a",), **other)]
    assert resolve_terms(terms, obs, rows="restrict", dedupe=True)[3].all()
    twice = [terms[1], terms[1]]
    assert resolve_terms(twice, obs, rows="restrict", dedupe=True)[3].tolist() == [[True], [False]]


def test_no_terms_and_unknown_rules_are_refused():
    obs = all_patterns()
    with pytest.raises(ValueError, match="expected at least one term, got none"):
        resolve_terms([], obs, rows="restrict", dedupe=True)
    with pytest.raises(ValueError, match="rows: expected 'restrict' or 'require', got 'skip'"):
        obs.terms([Term((), ())], rows="skip")


def test_stand_ins_are_named_by_those_terms_that_say_one():
    obs = all_patterns()[[0, 1]]
    assert via_masks([Term(("a",), ()), Term((), ())], obs) == {}
    found = via_masks([Term(("a",), (), via="b"), Term((), ()), Term((), (), via="a")], obs)
    assert {n: m[:, 0].tolist() for n, m in found.items()} == {
        "a": [False, False, True],
        "b": [True, False, False],
        "c": [False, False, False],
    }


# ---------------------------------------------------------------- terms themselves


def test_a_term_lists_every_name_that_it_mentions():
    term = Term(("a",), ["b"], ("c",), via="d", requires=("e",), lambdas={"f": 1.0})
    assert term.names == set("abcdef")
    assert term.scored == ("b",)
    assert Term((), ()).names == set()


@pytest.mark.parametrize("kind", ["source", "scored", "reference", "requires"])
@pytest.mark.parametrize("names", ["ab", 3, [1], torch.zeros(1)], ids=str)
def test_a_terms_modalities_are_names(kind, names):
    parts = {"source": (), "scored": ()} | {kind: names}
    with pytest.raises(TypeError, match=f"Term: {kind} must be a tuple of names, got"):
        Term(**parts)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), "1", None], ids=str)
def test_a_terms_weights_are_finite_numbers(number):
    with pytest.raises(ValueError, match="expected finite weights and lambdas, got"):
        Term((), (), weight=number)
    with pytest.raises(ValueError, match="expected finite weights and lambdas, got"):
        Term((), ("a",), lambdas={"a": number})
    with pytest.raises(TypeError, match="lambdas must be a dict of numbers"):
        Term((), (), lambdas=[1.0])


# ---------------------------------------------------------------- components


@pytest.mark.parametrize("seed", range(6))
def test_a_row_allows_the_components_that_it_can_draw_from(seed):
    chance = torch.Generator().manual_seed(seed)
    order = torch.randperm(8, generator=chance).tolist()
    family = [SUBSETS[i] for i in order[: 2 + seed % 4]]
    masks, allowed = resolve_components(family, all_patterns())
    assert allowed.shape == (len(family), 8)
    for row, pattern in enumerate(PRESENT.tolist()):
        held = {n for n, here in zip(NAMES, pattern, strict=True) if here}
        fits = [set(subset) <= held for subset in family]
        expected = fits if any(fits) else [True, *fits[1:]]
        assert allowed[:, row].tolist() == expected
        for c, subset in enumerate(family):
            drawn = {n for n in NAMES if masks[c][n][row]}
            assert drawn == (set(subset) if fits[c] else set())


def test_components_share_the_probability_equally():
    obs = all_patterns()
    _, allowed = resolve_components([("a",), ("b",), ("a", "b")], obs)
    log_weight = obs.evenly(allowed)
    torch.testing.assert_close(log_weight.exp().sum(0), torch.ones(8))
    number = allowed.sum(0)
    torch.testing.assert_close(log_weight.exp().amax(0), 1.0 / number)
    assert torch.equal(log_weight > -torch.inf, allowed)


def test_a_family_has_components_and_each_is_a_tuple_of_names():
    with pytest.raises(ValueError, match="at least one mixture component"):
        resolve_components([], all_patterns())
    with pytest.raises(TypeError, match="expected tuples of names, got the string 'ab'"):
        resolve_components(["ab"], all_patterns())


def test_a_component_of_an_unknown_modality_is_never_allowed():
    _, allowed = resolve_components([("d",), ("a",)], all_patterns())
    assert torch.equal(allowed[1], PRESENT[:, 0])
    assert torch.equal(allowed[0], ~PRESENT[:, 0])  # drawn from nothing, where none is allowed
