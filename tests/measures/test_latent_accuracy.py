"""Latent classification where the class is in u alone, and draws against the guide's own."""

from functools import partial

import pytest
import rich
import torch
from linear_gaussian import LinearGaussian

from ppl_mm import Observations, guides
from ppl_mm.evaluation import draw_latents, latent_accuracy


@pytest.fixture
def probe(classes):
    train, test = classes(num_rows=300), classes(num_rows=200, seed=1)
    return partial(latent_accuracy, train.system, train.obs, test.obs, train.labels, test.labels)


def test_class_in_the_shared_latent_alone(probe):
    found = probe()
    assert found.groups == (("u",), ("w",), ("u", "w"))
    assert found.subsets == (("a",), ("b",), ("c",))
    assert found.mean("u").value == 1.0
    assert found.mean(("u", "w")).value == 1.0
    w = found.mean("w")
    assert abs(w.value - 0.25) < 4 * max(w.standard_error, 0.02)


def test_several_inputs_and_groups_of_choice(probe):
    found = probe(["w", ("u", "w")], ["a", ("a", "b")])
    assert found.hits.shape == (2, 2, 200)
    assert found.cell(("u", "w"), ("a", "b")).value == 1.0


def test_private_latents_of_all_that_is_given(classes):
    toy = classes(num_rows=200)
    values = dict(toy.obs.values)
    values["b"] = values["b"][:, [1, 0]]  # b's class is in w_b now
    arguments = (toy.system, *[Observations(values)] * 2, toy.labels, toy.labels)
    found = latent_accuracy(*arguments, ["w"], ["a", ("a", "b")])
    assert found.cell("w", ("a", "b")).value == 1.0
    assert found.cell("w", "a").value < 0.5


def test_means_of_few_rows(classes):
    toy = classes(num_rows=200)
    wrong_later = torch.where(torch.arange(200) < 60, toy.labels, 0)
    arguments = (toy.system, toy.obs, toy.obs, wrong_later, toy.labels, ["u"], ["a"])
    assert latent_accuracy(*arguments, mean=True, num_train=60).mean("u").value == 1.0
    assert latent_accuracy(*arguments).mean("u").value < 1.0


def test_rows_without_a_class_are_left_out(classes):
    train, test = classes(num_rows=200), classes(num_rows=60, seed=1)
    some = torch.where(torch.arange(200) % 2 == 0, train.labels, -1)
    few = torch.where(torch.arange(60) < 50, test.labels, -1)
    found = latent_accuracy(train.system, train.obs, test.obs, some, few, ["u"], ["a"])
    assert found.hits.shape == (1, 1, 50)
    assert found.mean("u").value == 1.0
    kept = some >= 0
    options = {"sites": ["w"], "subsets": ["a"], "num_train": 30}
    same = latent_accuracy(
        train.system, train.obs[kept], test.obs[:50], some[kept], few[:50], **options
    )
    again = latent_accuracy(train.system, train.obs, test.obs, some, few, **options)
    assert torch.equal(same.hits, again.hits)


def test_one_shared_latent():
    toy = LinearGaussian()
    system = toy.system(guides.ProductOfExperts(toy.modalities, 2))
    obs = toy.sample(120)
    labels = (obs["a"][:, 0] > 0).long()
    found = latent_accuracy(system, obs, obs, labels, labels)
    assert found.groups == (("z",),)
    assert found.mean("z").value > 0.5


def test_draws_are_the_guides(classes):
    toy = classes()
    latents = draw_latents(toy.system, toy.obs, ("b",), batch_size=11)
    assert set(latents) == {"u", "w_a", "w_b", "w_c"}
    torch.testing.assert_close(latents["u"], toy.obs["b"][:, 0, 0], atol=1e-6, rtol=0)
    torch.testing.assert_close(latents["w_b"], toy.obs["b"][:, 1, 0], atol=1e-6, rtol=0)
    assert latents["w_a"].std() > 0.5
    means = draw_latents(toy.system, toy.obs, ("b",), mean=True)
    assert bool((means["w_a"] == 0).all())
    assert torch.equal(means["u"], toy.obs["b"][:, 0, 0])


def test_batches_do_not_repeat_their_noise(classes):
    toy = classes()
    w = draw_latents(toy.system, toy.obs, (), batch_size=20)["w_a"]
    assert not torch.equal(w[:20], w[20:])


def test_table_and_numbers(probe, capsys):
    found = probe(["u"])
    rich.print(found.table())
    assert "1.000 ± 0.000" in capsys.readouterr().out
    assert found.to_dict() == {
        "u": {"mean": [1.0, 0.0], "given": {n: [1.0, 0.0] for n in ("a", "b", "c")}}
    }


def test_what_does_not_fit_is_refused(classes, probe):
    with pytest.raises(ValueError, match="latent site 'z'"):
        probe(["z"])
    toy = classes()
    options = {"subsets": [()]}
    with pytest.raises(ValueError, match="w is the private latents of what is given"):
        latent_accuracy(toy.system, toy.obs, toy.obs, toy.labels, toy.labels, **options)
    with pytest.raises(ValueError, match=r"test_labels: expected one class a row, \(40,\)"):
        latent_accuracy(toy.system, toy.obs, toy.obs, toy.labels, toy.labels[1:])


def test_training_and_test_rows_have_draws_of_their_own(classes, monkeypatch):
    toy, seeds = classes(), []

    def drawn(*args, seed=0, **options):
        seeds.append(seed)
        return draw_latents(*args, seed=seed, **options)

    monkeypatch.setattr("ppl_mm.measures.latents.draw_latents", drawn)
    for seed in (0, 1, 2):
        arguments = (toy.system, toy.obs, toy.obs, toy.labels, toy.labels, ["u"], ["a"])
        latent_accuracy(*arguments, seed=seed)
    pairs = [seeds[3 * i + 1 : 3 * i + 3] for i in range(3)]  # the first only tells the sites
    assert len({s for pair in pairs for s in pair}) == 6
