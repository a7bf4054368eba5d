"""Coherence of generators that are perfect, random, or right in known cells."""

from dataclasses import replace
from itertools import combinations

import pytest
import rich
import torch
from every_system import build, complete, modalities
from torch import nn

from ppl_mm import Observations
from ppl_mm.evaluation import (
    Coherence,
    Estimate,
    classifier_accuracy,
    cross_coherence,
    diversity,
    joint_coherence,
    read_generations,
)


def within(estimate: Estimate, value: float, sigmas: float = 4.0) -> bool:
    return abs(estimate.value - value) < sigmas * estimate.standard_error


def test_perfect_generator_scores_one(classes):
    toy = classes()
    found = cross_coherence(toy.system, toy.obs, toy.labels, toy.classifiers, batch_size=7)
    assert found.subsets == (("a",), ("b",), ("c",))
    assert bool(found.hits.all())
    assert found.mean() == Estimate(1.0, 0.0)
    assert joint_coherence(toy.system, toy.classifiers, 30, batch_size=8) == Estimate(1.0, 0.0)


@pytest.mark.parametrize("num", [2, 3])
def test_independent_uniform_classes_score_chance(classes, num):
    toy = classes("abc"[:num], 2000, shared=0.0, private=1.0)
    found = cross_coherence(toy.system, toy.obs, toy.labels, toy.classifiers)
    assert within(found.cell("a", "b"), 1 / 4)
    assert within(found.mean(), 1 / 4)
    assert within(joint_coherence(toy.system, toy.classifiers, 3000), 4.0 ** (1 - num))


def test_five_modalities_of_ten_classes_hardly_ever_agree(classes):
    toy = classes("abcde", 2, size=10, shared=0.0, private=1.0)
    assert joint_coherence(toy.system, toy.classifiers, 5000).value < 1e-3  # chance is 1e-4


def test_standard_error_counts_rows_and_not_cells(classes):
    toy = classes()
    wrong = torch.where(torch.arange(40) < 10, (toy.labels + 1) % 4, toy.labels)
    found = cross_coherence(toy.system, toy.obs, wrong, toy.classifiers)
    rows = (torch.arange(40) >= 10).double()
    expected = Estimate(0.75, rows.std().item() / 40**0.5)
    assert found.mean().value == expected.value
    assert found.mean().standard_error == pytest.approx(expected.standard_error)


def test_means_leave_out_what_was_given():
    hits = torch.zeros(3, 2, 4, dtype=torch.bool)
    hits[0, 1, :3] = True  # b from a
    hits[1, 0, :1] = True  # a from b
    hits[0, 0] = hits[1, 1] = hits[2] = True  # given
    found = Coherence((("a",), ("b",), ("a", "b")), ("a", "b"), hits)
    assert {t: e.value for t, e in found.per_target().items()} == {"a": 0.25, "b": 0.75}
    assert found.mean().value == 0.5
    assert {k: e.value for k, e in found.by_size().items()} == {1: 0.5}
    with pytest.raises(ValueError, match="every target was given"):
        replace(found, subsets=(("a", "b"),) * 3).mean()


def test_several_inputs(classes):
    toy = classes()
    pairs = list(combinations("abc", 2))
    found = cross_coherence(toy.system, toy.obs, toy.labels, toy.classifiers, ["a", *pairs])
    assert {k: e.value for k, e in found.by_size().items()} == {1: 1.0, 2: 1.0}
    assert found.cell(("a", "b"), "c").value == 1.0


def test_seed_decides(classes):
    toy = classes(shared=0.0, private=1.0)
    arguments = (toy.system, toy.obs, toy.labels, toy.classifiers)
    first, same, other = (cross_coherence(*arguments, seed=s).hits for s in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_batches_do_not_repeat_their_noise(classes):
    toy = classes(shared=0.0, private=1.0)
    read = read_generations(toy.system, toy.obs, toy.classifiers, ["a"], batch_size=20)
    predictions = read.predictions[("a",), "b"]
    assert not torch.equal(predictions[:20], predictions[20:])


def test_alpha_and_private_reach_the_generation(classes, monkeypatch):
    toy = classes(shared=1.0, private=100.0)
    seen = []

    def generate(system, obs, targets, num_samples, given, **options):
        seen.append({"given": given, **options})
        return {t: obs[t][None] for t in targets}

    monkeypatch.setattr("ppl_mm.measures.readings.generate_checked", generate)
    cross_coherence(
        toy.system, toy.obs, toy.labels, toy.classifiers, ["a"], alpha=0.5, private="prior"
    )
    (options,) = seen
    assert (options["alpha"], options["private"], options["given"]) == (0.5, "prior", ("a",))


def test_private_rows_are_taken_with_the_batch(classes, monkeypatch):
    toy = classes()
    other = toy.obs[torch.arange(40).flip(0)]
    seen = []

    def generate(system, obs, targets, num_samples, given, *, private, **options):
        seen.append((obs["a"], private["a"]))
        return {t: obs[t].expand(num_samples, *obs[t].shape) for t in targets}

    arguments = (toy.system, toy.obs, toy.classifiers, ["a"])
    for module, measure in (("readings", read_generations), ("diversity", diversity)):
        seen.clear()
        monkeypatch.setattr(f"ppl_mm.measures.{module}.generate_checked", generate)
        measure(*arguments, private=other, batch_size=15)
        assert [len(own) for own, _ in seen] == [15, 15, 10]
        assert torch.equal(torch.cat([own for own, _ in seen]), toy.obs["a"])
        assert torch.equal(torch.cat([private for _, private in seen]), other["a"])
        with pytest.raises(ValueError, match="private: expected 40 rows, as obs, got 3"):
            measure(*arguments, private=other[:3])


def test_a_system_takes_private_rows_in_several_batches():
    system = build("mmvae_plus", modalities("normal", "bernoulli"))
    obs, other = complete(5, "normal", "bernoulli"), complete(5, "normal", "bernoulli")
    classifiers = {"normal": nn.Flatten()}
    read = read_generations(system, obs, classifiers, private=other, batch_size=2)
    assert read.predictions[("normal",), "normal"].shape == (5,)


def test_table_and_numbers(classes, capsys):
    toy = classes()
    found = cross_coherence(toy.system, toy.obs, toy.labels, toy.classifiers)
    rich.print(found.table())
    assert "(1.000 ± 0.000)" in capsys.readouterr().out
    numbers = found.to_dict()
    assert numbers["mean"] == [1.0, 0.0]
    assert numbers["cells"][0][1] == [1.0, 0.0]
    assert numbers["by size"]["1"] == [1.0, 0.0]


def test_rows_without_what_they_are_given_are_refused(classes):
    toy = classes()
    present = {"a": torch.arange(40) > 2}
    obs = Observations(toy.obs.values, present)
    with pytest.raises(ValueError, match="modality 'a': 3 of 40 rows lack it"):
        cross_coherence(toy.system, obs, toy.labels, toy.classifiers)
    with pytest.raises(ValueError, match="modality to give 'd'"):
        cross_coherence(toy.system, obs, toy.labels, toy.classifiers, ["d"])


def test_rows_without_a_class_do_not_count(classes):
    toy = classes()
    unknown = torch.where(torch.arange(40) < 10, -1, toy.labels)
    found = cross_coherence(toy.system, toy.obs, unknown, toy.classifiers)
    assert found.hits.shape == (3, 3, 30)
    assert found.mean() == Estimate(1.0, 0.0)
    real = classifier_accuracy(toy.classifiers, toy.obs, unknown)
    assert real["a"] == Estimate(1.0, 0.0)


def test_one_class_of_number_0_is_a_class(classes):
    toy = classes()
    zero = toy.labels * 0
    found = cross_coherence(toy.system, toy.obs, zero, toy.classifiers)
    assert found.cell("a", "b").value == (toy.labels == 0).double().mean()


def test_what_was_all_given_has_no_mean(classes):
    toy = classes()
    found = cross_coherence(toy.system, toy.obs, toy.labels, toy.classifiers, [("a", "b", "c")])
    assert found.to_dict()["mean"] is None
    assert "(1.000 ± 0.000)" in str(found)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"labels": [0] * 40}, TypeError, "labels: expected a tensor, got"),
        ({"labels": torch.zeros(40)}, TypeError, "integers, got torch.float"),
        ({"labels": torch.full((40,), -1)}, ValueError, "no row has a class"),
        ({"classifiers": {}}, ValueError, "at least one modality, got none"),
        (
            {"classifiers": torch.nn.Flatten()},
            TypeError,
            "classifiers: expected a dict .* got a Flatten",
        ),
        ({"subsets": "a"}, TypeError, r"subsets: expected .* put it in a list, \['a'\]"),
        ({"subsets": []}, ValueError, r"subsets: expected a list .* got \[\]"),
        ({"obs": {}}, TypeError, "expected Observations, got a dict"),
    ],
)
def test_wrong_input_is_named(classes, change, error, message):
    toy = classes()
    right = {"obs": toy.obs, "labels": toy.labels, "classifiers": toy.classifiers}
    with pytest.raises(error, match=message):
        cross_coherence(toy.system, **{**right, **change})


def test_labels_of_other_rows_are_refused(classes):
    toy = classes()
    with pytest.raises(ValueError, match=r"one class a row, \(40,\), got \(39,\)"):
        cross_coherence(toy.system, toy.obs, toy.labels[1:], toy.classifiers)
