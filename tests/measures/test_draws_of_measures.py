"""Measures of generated values are what the same draws give by hand: batches, seeds, options."""

import pytest
import torch
from every_system import build, complete

from ppl_mm import Observations, embed, generate
from ppl_mm.evaluation import (
    Coherence,
    collapse_of,
    correlation,
    cross_coherence,
    diversity,
    frechet,
    frechet_distance,
    joint_coherence,
    latent_accuracy,
    read_generations,
    spread,
)
from ppl_mm.measures.coherence import coherence_of, joint_coherence_of
from ppl_mm.measures.frechet import frechet_of
from ppl_mm.measures.latents import draw_latents

OPTIONS = {"batch_size": 7, "seed": 3}
NAMES = ("a", "b", "c")


def drawn(toy, obs, subset, num=1, **options):
    """Name -> means at draws of every row, (K, N, *event), seven rows at a time."""
    parts = [
        generate(
            toy.system, obs[rows], NAMES, num, subset, mean=True, seed=3 * 1_000_003 + i, **options
        )
        for i, rows in enumerate(torch.arange(len(obs)).split(7))
    ]
    return {n: torch.cat([part[n] for part in parts], 1) for n in NAMES}


def read(images):
    return images[:, 0, 0].argmax(-1)


def noisy(classes, **options):
    return classes(shared=1.0, private=1.0, **options)


def test_coherence_is_that_of_a_draw_of_each_row(classes):
    toy = noisy(classes)
    found = cross_coherence(toy.system, toy.obs, toy.labels, toy.classifiers, ["a", ()], **OPTIONS)
    for s, subset in enumerate([("a",), ()]):
        values = drawn(toy, toy.obs, subset)
        for t, name in enumerate(NAMES):
            assert torch.equal(found.hits[s, t], read(values[name][0]) == toy.labels)
    assert 0.05 < found.hits.double().mean() < 0.95
    readings = read_generations(toy.system, toy.obs, toy.classifiers, ["a", ()], **OPTIONS)
    assert torch.equal(coherence_of(readings, toy.labels).hits, found.hits)


def test_joint_coherence_is_the_share_of_draws_that_agree(classes):
    toy = noisy(classes)
    found = joint_coherence(toy.system, toy.classifiers, 40, **OPTIONS)
    values = drawn(toy, Observations.blank(40), ())
    each = torch.stack([read(values[n][0]) for n in NAMES])
    assert found.value == (each == each[0]).all(0).double().mean().item()
    assert 0 < found.value < 1
    readings = read_generations(
        toy.system, Observations.blank(40), toy.classifiers, [()], **OPTIONS
    )
    assert joint_coherence_of(readings) == found


def test_frechet_distances_are_those_of_cut_draws_and_of_real_values(classes):
    toy = noisy(classes)
    found = frechet(toy.system, toy.obs, toy.classifiers, ["b"], **OPTIONS)
    values = drawn(toy, toy.obs, ("b",))
    for t, name in enumerate(NAMES):
        real = toy.obs[name]
        cut = values[name][0].clamp(real.min().item(), real.max().item())[:, 0, 0]
        assert found.cells[0, t].item() == frechet_distance(cut, real[:, 0, 0])
    readings = read_generations(
        toy.system, toy.obs, toy.classifiers, ["b"], features=True, like=toy.obs, **OPTIONS
    )
    assert torch.equal(frechet_of(readings, toy.obs, toy.classifiers).cells, found.cells)
    assert readings.predictions.keys() == readings.features.keys()
    assert found.name == "FID-clf"
    told = list(found.numbers())
    assert [n["value"] for n in told] == found.cells.flatten().tolist()
    assert [n["target"] for n in told] == list(NAMES)


def test_diversity_is_the_spread_of_several_draws_of_each_row(classes):
    toy = noisy(classes)
    found = diversity(
        toy.system, toy.obs, toy.classifiers, ["a", ("a", "b")], num_samples=3, **OPTIONS
    )
    for s, subset in enumerate([("a",), ("a", "b")]):
        values = drawn(toy, toy.obs, subset, 3)
        for t, name in enumerate(NAMES):
            far, deviation = spread(values[name], toy.classifiers[name])
            torch.testing.assert_close(found.distances[s, t], far)
            torch.testing.assert_close(found.deviations[s, t], deviation)
    crossed = torch.stack([found.distances[0, 1], found.distances[0, 2], found.distances[1, 2]])
    assert abs(found.distance().value - crossed.mean().item()) < 1e-12
    told = list(found.numbers())
    assert [n["value"] for n in told[:6]] == found.distances.mean(-1).flatten().tolist()
    assert len(told) == 12


def test_a_caption_has_the_mean(classes):
    toy = noisy(classes)
    for subset, note in (
        ((), ""),
        ("a", "; means are without targets in brackets, which were given"),
    ):
        found = cross_coherence(
            toy.system, toy.obs, toy.labels, toy.classifiers, [subset], **OPTIONS
        )
        assert found.table().caption == f"mean {found.mean()}{note}"
    given = Coherence((("a",),), ("a",), torch.ones(1, 1, 4, dtype=torch.bool))
    assert given.table().caption is None


def test_latents_are_fitted_on_one_seed_and_scored_on_the_next(classes):
    from sklearn.linear_model import LogisticRegression

    train, test = noisy(classes, num_rows=60), noisy(classes, num_rows=30, seed=1)
    found = latent_accuracy(
        *(train.system, train.obs, test.obs, train.labels, test.labels),
        *(["w", ("u", "w")], ["b", ("a", "c")]),
        batch_size=7,
        seed=3,
    )
    for s, subset in enumerate([("b",), ("a", "c")]):
        fitted = draw_latents(train.system, train.obs, subset, batch_size=7, seed=6)
        scored = draw_latents(train.system, test.obs, subset, batch_size=7, seed=7)
        for g, group in enumerate([[], ["u"]]):
            names = [*group, *(f"w_{n}" for n in subset)]
            x, y = (torch.cat([part[n] for n in names], -1).numpy() for part in (fitted, scored))
            machine = LogisticRegression(max_iter=1000).fit(x, train.labels.numpy())
            hits = machine.predict(y) == test.labels.numpy()
            assert found.hits[g, s].tolist() == hits.tolist()
    assert found.cell(("u", "w"), ("a", "c")).value == found.hits[1, 1].double().mean()
    told = list(found.numbers())
    assert [n["target"] for n in told] == ["w", "w", "u, w", "u, w", "w", "u, w"]
    assert told[-1]["value"] == found.mean(("u", "w")).value


def test_thresholds_of_collapse_go_from_0_to_the_largest():
    values = torch.tensor([[0.0, 3.0], [1.0, 2.0], [2.0, 1.0], [5.0, 0.5]])
    found = collapse_of(values, delta=0.25)
    assert found.thresholds.tolist() == [2.0, 2.0]
    assert (found.epsilons[0].item(), found.epsilons[-1].item()) == (0.0, 2.0)
    assert len(found.epsilons) == 40
    assert collapse_of(values, delta=0.0).thresholds.tolist() == [5.0, 3.0]
    assert collapse_of(values, delta=0.74).thresholds.tolist() == [1.0, 1.0]


def test_a_pair_learns_from_the_rows_that_hold_both(classes):
    toy = noisy(classes)
    held = {"a": torch.arange(40) % 3 > 0, "b": torch.arange(40) % 5 > 0}
    junk = {n: torch.where(m[:, None, None, None], toy.obs[n], 99.0) for n, m in held.items()}
    train = Observations({**toy.obs.values, **junk}, held)
    flat = dict.fromkeys(("a", "b"), lambda x: x[:, :, 0].flatten(1))
    arguments = {"num_components": 2, **OPTIONS}
    found = correlation(toy.system, train, toy.obs, flat, [("a", "b")], **arguments)
    both = held["a"] & held["b"]
    exact = correlation(toy.system, toy.obs[both], toy.obs, flat, [("a", "b")], **arguments)
    assert torch.equal(found.scores, exact.scores)


@pytest.mark.parametrize("name", ["mmvae", "mmvae_plus", "mopoe"])
def test_the_place_of_a_stratum_is_no_latent(name):
    """A guide that draws some of its strata has a site that says which."""
    system, obs = build(name, strata=1), complete(4)
    expected = set(draw_latents(build(name), obs))
    assert set(draw_latents(system, obs)) == set(embed(system, obs).mean) == expected
