"""MVAE's list of terms: which subsets come, and how often."""

from collections import Counter
from itertools import combinations

import pytest
import torch
from scipy.stats import chisquare

from ppl_mm.objectives import subset_terms


def names(num):
    return tuple(f"m{i}" for i in range(num))


@pytest.mark.parametrize("uniform_over", ["size", "subset"])
@pytest.mark.parametrize(
    ("num", "k", "count"),
    [(1, 0, 2), (2, 0, 3), (2, 1, 3), (2, 5, 3), (19, 1, 21), (6, 1, 8), (6, 0, 7), (3, 9, 7)],
)
def test_number_of_terms(num, k, count, uniform_over):
    # One modality: the full set and the single one are the same term, dropped by dedupe later.
    assert len(subset_terms(k, uniform_over)(names(num))) == count


def test_full_set_and_single_modalities_always_come():
    terms = subset_terms(2)(names(5))
    assert [t.source for t in terms[:6]] == [names(5), *((n,) for n in names(5))]
    assert all(t.scored == t.source and t.reference == () and t.weight == 1 for t in terms)


def test_all_subsets_come_once_without_k():
    found = [t.source for t in subset_terms(None)(names(4))]
    expected = {s for size in range(1, 5) for s in combinations(names(4), size)}
    assert len(found) == 15
    assert set(found) == expected


@pytest.mark.parametrize("uniform_over", ["size", "subset"])
@pytest.mark.parametrize("k", [3, 50])
def test_random_subsets_are_distinct_and_neither_single_nor_full(uniform_over, k):
    for _ in range(20):
        random = [t.source for t in subset_terms(k, uniform_over)(names(5))[6:]]
        assert len(set(random)) == len(random)
        assert all(2 <= len(s) <= 4 for s in random)
        assert uniform_over == "size" or len(random) == min(k, 25)


# The chi-square tests reject a right sampler in one seed of 1000; the seed is fixed.


def test_sizes_are_uniform():
    terms = subset_terms(1)
    sizes = Counter(len(terms(names(19))[-1].source) for _ in range(1700))
    assert set(sizes) == set(range(2, 19))
    assert chisquare(list(sizes.values())).pvalue > 1e-3


def test_subsets_of_one_size_are_uniform():
    terms = subset_terms(1)
    drawn = [terms(names(5))[-1].source for _ in range(1500)]
    counts = Counter(s for s in drawn if len(s) == 2)
    assert len(counts) == 10
    assert chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("k", [1, 4])
def test_subsets_are_uniform_over_subsets(k):
    terms = subset_terms(k, "subset")
    counts = Counter(t.source for _ in range(1000) for t in terms(names(4))[5:])
    assert len(counts) == 10
    # Draws without replacement vary less than multinomial ones: the test is conservative.
    assert chisquare(list(counts.values())).pvalue > 1e-3


def test_subsets_are_reproducible_by_torchs_seed():
    terms = subset_terms(3)
    drawn = []
    for _ in range(2):
        torch.manual_seed(5)
        drawn.append([t.source for t in terms(names(8))])
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("k", [-1, 1.5, True])
def test_wrong_k_is_an_error(k):
    with pytest.raises((ValueError, TypeError), match="k: expected an integer from 0"):
        subset_terms(k)


def test_wrong_uniform_over_is_an_error():
    with pytest.raises(ValueError, match="uniform_over: expected 'size' or 'subset'"):
        subset_terms(1, "sizes")


def test_a_modality_s_term_may_ask_for_others():
    terms = subset_terms(1, scored={"m0": ("m0", "m2")})(names(3))
    found = {t.source: t.scored for t in terms}
    pair = terms[-1].source
    assert found == {
        tuple(names(3)): tuple(names(3)),
        ("m0",): ("m0", "m2"),
        ("m1",): ("m1",),
        ("m2",): ("m2",),
        pair: pair,
    }
    for wrong in ({"m3": ("m0",)}, {"m0": ("m3",)}):
        with pytest.raises(ValueError, match=r"scored: unknown modality 'm3'; known: m0, m1, m2"):
            subset_terms(scored=wrong)(names(3))
    with pytest.raises((TypeError, ValueError), match="scored"):
        subset_terms(scored={"m0": "m2"})
