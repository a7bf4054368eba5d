"""Canonical correlation against known answers."""

import math

import pytest
import torch
from every_system import SYSTEMS, build, complete, modalities
from sklearn.cross_decomposition import CCA

from ppl_mm import Observations, generate
from ppl_mm.evaluation import CanonicalCorrelation, SentenceEmbedding, correlation
from ppl_mm.programs.answerable import conditioned_on


def pairs(rows=500, shared=2, noise=0.5):
    z = torch.randn(rows, shared)
    first = torch.cat([z, torch.randn(rows, 2)], 1) @ torch.randn(4, 4)
    second = torch.cat([z + noise * torch.randn(rows, shared), torch.randn(rows, 1)], 1)
    return first, second @ torch.randn(3, 3) + 5.0


def test_invertible_maps_of_each_other_correlate_fully():
    first = torch.randn(300, 6)
    second = first @ torch.randn(6, 6) + 3.0
    found = CanonicalCorrelation.fit(first, second, 6)
    torch.testing.assert_close(found.correlations, torch.ones(6), rtol=0, atol=1e-9)
    assert found.score(first, second).min() > 1 - 1e-9


def test_population_values():
    found = CanonicalCorrelation.fit(*pairs(rows=200_000, noise=0.5), 3)
    rho = 1 / math.sqrt(1.25)  # of z with z + noise; the third coordinates are unrelated
    error = 4 / math.sqrt(200_000)
    assert found.correlations[:2].tolist() == pytest.approx([rho, rho], abs=error)
    assert found.correlations[2] < error


def test_coordinates_have_variance_one_and_one_partner_each():
    first, second = pairs()
    found = CanonicalCorrelation.fit(first, second, 3)
    (a, b), n = (
        [(x - m) @ w for x, m, w in zip((first, second), found.means, found.maps, strict=True)],
        len(first) - 1,
    )
    for x, y, expected in (
        (a, a, torch.eye(3)),
        (b, b, torch.eye(3)),
        (a, b, found.correlations.diag()),
    ):
        torch.testing.assert_close(x.T @ y / n, expected, rtol=0, atol=1e-9)


def test_it_agrees_with_scikit_learn():
    first, second = pairs()
    other = CCA(2, max_iter=10_000, tol=1e-12).fit(first.numpy(), second.numpy())
    a, b = (torch.as_tensor(x) for x in other.transform(first.numpy(), second.numpy()))
    theirs = [torch.corrcoef(torch.stack([a[:, k], b[:, k]]))[0, 1].item() for k in range(2)]
    found = CanonicalCorrelation.fit(first, second, 2)
    assert found.correlations.tolist() == pytest.approx(theirs, abs=1e-6)


def test_unrelated_pairs_score_zero_and_related_ones_more():
    found = CanonicalCorrelation.fit(*pairs(2000), 2)
    torch.manual_seed(1)
    first, second = pairs(2000)
    found = CanonicalCorrelation.fit(first[:1000], second[:1000], 2)
    related = found.mean_score(first[1000:], second[1000:])
    shuffled = found.mean_score(first[1000:], second[1000:].roll(1, 0))
    assert related.value > 0.8
    assert abs(shuffled.value) < 4 * shuffled.standard_error


def test_a_score_does_not_depend_on_the_other_rows():
    first, second = pairs()
    found = CanonicalCorrelation.fit(first, second, 2)
    a, b = ((x[7] - x.mean(0)) @ w for x, w in zip((first, second), found.maps, strict=True))
    expected = (a @ b / (a.norm() * b.norm())).item()
    assert found.score(first, second)[7].item() == pytest.approx(expected)
    assert found.score(first[6:8], second[6:8])[1].item() == pytest.approx(expected)


def test_constant_and_repeated_features_do_no_harm():
    first, second = pairs()
    padded = torch.cat([first, first, torch.full((500, 1), 7.0)], 1)
    plain, found = (CanonicalCorrelation.fit(x, second, 3) for x in (first, padded))
    torch.testing.assert_close(found.correlations, plain.correlations, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.score(padded, second), plain.score(first, second))
    with pytest.raises(ValueError, match="only 4 independent features in 500 rows"):
        CanonicalCorrelation.fit(padded, padded, 5)


def test_what_does_not_fit_is_refused():
    first, second = pairs(20)
    with pytest.raises(ValueError, match=r"\(20, 4\) and \(19, 3\)"):
        CanonicalCorrelation.fit(first, second[1:], 2)
    with pytest.raises(ValueError, match="num_components: expected an integer"):
        CanonicalCorrelation.fit(first, second, 0)
    first[3, 1] = math.nan
    with pytest.raises(ValueError, match="the first features hold values that are not finite"):
        CanonicalCorrelation.fit(first, second, 2)
    found = CanonicalCorrelation.fit(*pairs(20), 2)
    with pytest.raises(ValueError, match=r"expected features of size 4, got \(3,\)"):
        found.score(second, second)


# ---------------------------------------------------- generated modalities


def pixels(images):
    return images[:, 0, 0]


NOTHING, ALL = (), ("a", "b", "c")


def test_what_shares_its_latent_belongs_together_and_noise_does_not(classes):
    toy, noise = classes(num_rows=400), classes(num_rows=400, shared=0.0, private=1.0)
    embeddings = dict.fromkeys(ALL, pixels)
    options = {"num_components": 3}  # four pixels of a one-hot row are three independent ones
    subsets = [NOTHING, "a", "c", ("a", "b"), ALL]
    found = correlation(toy.system, toy.obs, toy.obs, embeddings, subsets, **options)
    assert found.pairs == (("a", "b"), ("a", "c"), ("b", "c"))
    torch.testing.assert_close(found.scores, torch.ones(5, 3, 400), atol=1e-6, rtol=0)
    found = correlation(noise.system, noise.obs, noise.obs, embeddings, subsets, **options)
    for subset in found.subsets:
        for pair in found.pairs:
            cell = found.cell(subset, pair)
            if set(pair) <= set(subset):  # nothing generated: real pairs
                assert cell.value == pytest.approx(1.0)
            else:
                assert abs(cell.value) < 4 * cell.standard_error


def test_each_cell_is_scored_by_the_maps_of_real_training_pairs():
    kinds = ("normal", "tokens")
    train, test, system = (
        complete(60, *kinds),
        complete(9, *kinds),
        build("mvae", modalities(*kinds)),
    )
    train = Observations(train.values, {"tokens": torch.arange(60) > 9})  # ten rows teach nothing
    embed = SentenceEmbedding.fit(train["tokens"], 5, num_components=3, ends=(4,))
    embeddings = {"normal": torch.Tensor.double, "tokens": embed}
    found = correlation(system, train, test, embeddings, num_components=2, batch_size=9, seed=3)
    assert found.subsets == ((), ("normal",), ("tokens",), kinds)
    maps = CanonicalCorrelation.fit(train["normal"][10:], embed(train["tokens"][10:]), 2)
    for subset, row in zip(found.subsets, found.scores, strict=True):
        drawn = generate(system, test, kinds, given=subset, mean=True, seed=3 * 1_000_003)
        x, y = (test[n] if n in subset else drawn[n][0] for n in kinds)
        torch.testing.assert_close(row[0], maps.score(x, embed(y)))
    assert found.cell("normal", kinds).value == found.scores[1, 0].mean().item()
    frame = found.to_pandas()
    assert frame["generated"].tolist() == ["normal + tokens", "tokens", "normal", "nothing"]
    assert frame["value"][1] == found.to_dict()["cells"][1][0][0]
    assert "tokens" in str(found)


@pytest.mark.parametrize("name", sorted(set(SYSTEMS) - {"vae"}))
def test_any_system(name):
    system, obs = build(name), complete(30)
    embeddings = {"normal": torch.Tensor.double, "bernoulli": lambda x: x.flatten(1)}
    if name == "cvae":  # asks for the label too
        found = correlation(system, obs, obs, embeddings, [("categorical",)], num_components=2)
    else:
        found = correlation(system, obs, obs, embeddings, num_components=2)
    assert found.scores.isfinite().all()
    assert found.subsets[-1] == (("categorical",) if name == "cvae" else ("normal", "bernoulli"))
    assert all(set(conditioned_on(system.model)) <= set(s) for s in found.subsets)


def test_what_cannot_be_compared_is_refused(classes):
    toy = classes(("a", "b"))
    with pytest.raises(ValueError, match="at least two modalities, got 1"):
        correlation(toy.system, toy.obs, toy.obs, {"a": pixels})
    with pytest.raises(ValueError, match="unknown modality to embed 'd'"):
        correlation(toy.system, toy.obs, toy.obs, {"a": pixels, "d": pixels})
    lacking = Observations(toy.obs.values, {"b": torch.arange(40) > 0})
    with pytest.raises(ValueError, match="1 of 40 rows lack it"):
        correlation(toy.system, toy.obs, lacking, dict.fromkeys("ab", pixels), num_components=3)
