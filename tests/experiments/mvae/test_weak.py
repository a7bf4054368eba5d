"""Few pairs of image and label: every method runs end to end, and learns from what it may."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from ppl_mm import Observations, baselines, data
from ppl_mm.experiments import results_table
from ppl_mm.experiments.mvae import weak as mvae_weak
from ppl_mm.experiments.mvae import weak_baselines, weak_training
from ppl_mm.experiments.mvae import weak_table as mvae_weak_table
from ppl_mm.runs import records


@pytest.fixture
def config(tiny_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> mvae_weak.Config:
    """40 training rows of five classes, half of them paired."""
    load = data.load
    few = {"multimnist": {"num_train": 40, "num_test": 20}}
    monkeypatch.setattr(
        mvae_weak.data, "load", lambda name: load(name, validation=0, **few.get(name, {}))
    )
    return replace(mvae_weak.SMOKE, out=str(tiny_mnist / "out"))


@pytest.mark.parametrize("method", mvae_weak.METHODS)
def test_smoke(config, method):
    config = replace(config, method=method)
    measures = mvae_weak.main(config)
    accuracy, error = measures["accuracy"]
    assert 0 <= accuracy <= 1
    assert measures["test rows"] == 20
    record = json.loads((Path(config.out) / f"{config.name}.json").read_text())
    assert record["measures"] == measures
    page = results_table.render([record])
    title = mvae_weak_table.TITLES[method]
    assert f"| {accuracy:.4f} ± {error:.4f} |" in page
    assert f"| *{title}, paper* |" in page
    assert record["command"] in page


def test_a_trained_system_is_measured_without_training(config, monkeypatch):
    assert mvae_weak.main(config, train_only=True) == {}
    monkeypatch.setattr(mvae_weak, "train", lambda *_: pytest.fail("trained again"))
    assert "accuracy" in mvae_weak.main(config)


def test_strings_are_read_by_systems_alone(config):
    known = record("mvae", 0.01, dataset="multimnist")
    known["measures"]["accuracy of digits"] = [0.25, 0.02]
    page = "\n".join(mvae_weak_table.table_10([known]))
    assert page.index("| 0.2500 ± 0.0200 |") < page.index("| 0.5000 ± 0.0100 |")
    assert page.count("| *MVAE, paper* | 50 | image | 100 | 0.2287 |") == 2
    config = replace(config, dataset="multimnist")
    with pytest.raises(ValueError, match=r"method: expected mvae or jmvae on multimnist.* 'rbm'"):
        mvae_weak.main(replace(config, method="rbm"))


@pytest.mark.parametrize(
    ("method", "learner"), [("ae", "autoencoder"), ("rbm", "rbm"), ("vae", None)]
)
def test_features_are_learned_once_for_all_fractions_and_without_labels(
    config, monkeypatch, method, learner
):
    seen = []
    where, name = (records, "fit") if learner is None else (baselines, learner)
    learn = getattr(where, name)

    def watched(*args, **options):
        seen.append(next(a for a in args if isinstance(a, Observations)))
        return learn(*args, **options)

    monkeypatch.setattr(where, name, watched)
    config = replace(config, method=method)
    mvae_weak.main(config)
    mvae_weak.main(replace(config, fraction=1.0))
    assert [len(rows) for rows in seen] == [40]
    mvae_weak.main(replace(config, epochs=2))
    assert len(seen) == 2
    if method == "vae":
        assert seen[0].names == ("image",)


def test_methods_of_pairs_see_the_pairs_of_mvae_alone_as_often_as_mvae_sees_rows(
    config, monkeypatch
):
    seen = {}
    fit, nn = records.fit, baselines.matched_classifier

    def watched(key, learn, rows, options):
        seen[key] = rows, options["batch_size"]
        return learn()

    monkeypatch.setattr(
        records,
        "fit",
        lambda s, d, **o: watched(s.recipe["system"], partial(fit, s, d, **o), d, o),
    )
    monkeypatch.setattr(
        baselines,
        "matched_classifier",
        lambda d, *a, **o: watched("nn", partial(nn, d, *a, **o), d, o),
    )
    for method in ("mvae", "jmvae", "nn"):
        mvae_weak.main(replace(config, method=method, fraction=0.25))
    rows, batch_size = seen["mvae"]
    assert (len(rows), batch_size) == (10 + 2 * 30, 35)  # two steps an epoch, as of the others
    both = rows.present["image"] & rows.present["label"]
    pairs = rows["image"][both].flatten(1)
    for method in ("jmvae", "nn"):
        rows, batch_size = seen[method]
        assert (len(rows), batch_size) == (40, 20)
        same = (rows["image"].flatten(1)[:, None] == pairs).all(-1)
        assert torch.equal(same.sum(0), torch.full((10,), 4))


def test_the_network_is_the_mean_of_mvae_s_image_encoder_and_its_label_decoder(
    tiny_mnist, monkeypatch
):
    found = []
    learn = baselines.matched_classifier

    def watched(*args, **options):
        found.append(learn(*args, **options))
        return found[-1]

    monkeypatch.setattr(baselines, "matched_classifier", watched)
    for name, encoder in (("mnist", 730240), ("fashion_mnist", 3409536)):
        dataset = data.load(name, validation=0)
        weak_baselines.fit_baseline(replace(mvae_weak.SMOKE, method="nn"), dataset)
        scale = 64 * (512 + 1)  # the head that gives the encoder's scale
        parameters = sum(p.numel() for p in found.pop().parameters())
        assert parameters == encoder - scale + 563722


def test_the_image_only_term_can_read_a_pair_s_label(tiny_mnist):
    dataset = data.load("mnist", validation=0)
    for terms, scored in (("own", ("image",)), ("image_all", ("image", "label"))):
        config = replace(mvae_weak.SMOKE, terms=terms)
        system = mvae_weak.build(config, dataset)
        terms_of = system.objective.terms
        term = (terms_of(("image", "label")) if callable(terms_of) else terms_of)[1]
        assert (term.source, term.scored) == (("image",), scored)
        assert ("image_all" in config.name) == (terms == "image_all")
    with pytest.raises(ValueError, match="terms: an option of mvae"):
        mvae_weak.build(replace(mvae_weak.SMOKE, method="jmvae", terms="image_all"), dataset)


def test_the_pairs_are_those_of_weak_supervision():
    obs = Observations({"image": torch.rand(50, 2), "label": torch.arange(50)})
    for fraction in (0.02, 0.3, 1.0):
        rows = weak_training.paired_rows(50, fraction, seed=3)
        weak = data.weakly_supervised(obs, fraction, seed=3)
        assert torch.equal(weak["label"][: len(rows)], obs["label"][rows])
        assert len(rows) == round(50 * fraction)


@pytest.mark.parametrize("options", [{"method": "jmvae"}, {"every_step": True}])
def test_the_epoch_is_chosen_by_held_out_pairs(config, monkeypatch, options):
    load = data.load
    monkeypatch.setattr(data, "load", lambda name: replace(load(name), validation=load(name).test))
    config = replace(config, held_out=True, epochs=3, **options)
    mvae_weak.main(config)
    record = json.loads((Path(config.out) / f"{config.name}.json").read_text())
    rows = record["history"]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert all(row["held-out accuracy"] == row["test accuracy"] for row in rows)  # the same rows
    assert rows[-1]["test accuracy"] == record["measures"]["accuracy"][0]
    losses = [row["held-out loss"] for row in rows]
    best = record["chosen"]["loss"]["epoch"]
    assert losses[best - 1] == min(losses)
    assert record["chosen"]["accuracy"]["test accuracy"] == max(r["test accuracy"] for r in rows)


def test_measures_of_held_out_pairs_do_not_change_the_run(config):
    losses = []
    for held_out in (False, True):
        asked = replace(config, held_out=held_out, epochs=2)
        dataset = mvae_weak.load(asked)
        dataset = replace(dataset, validation=dataset.test)
        torch.manual_seed(0)
        system = mvae_weak.build(asked, dataset)
        losses.append([row["loss"] for row in mvae_weak.train(system, dataset, asked)["history"]])
    assert losses[0] == losses[1]


def test_every_step_has_a_batch_of_pairs_of_images_and_of_labels(config, monkeypatch):
    seen = []
    fit = records.fit
    monkeypatch.setattr(
        records, "fit", lambda s, rows, **o: seen.append((rows, o)) or fit(s, rows, **o)
    )
    mvae_weak.main(replace(config, every_step=True, fraction=0.25))
    ((streams, options),) = seen
    assert [(len(rows), rows.names) for rows in streams] == [
        (10, ("image", "label")),
        (40, ("image",)),
        (40, ("label",)),
    ]
    assert options["batch_size"] == config.batch_size


def test_an_unknown_method_is_refused(config):
    with pytest.raises(ValueError, match=r"unknown method 'cvae'; known: mvae, "):
        mvae_weak.main(replace(config, method="cvae"))


def record(method, fraction, accuracy=0.5, seed=0, dataset="mnist"):
    config = mvae_weak.Config(method=method, fraction=fraction, seed=seed, dataset=dataset)
    return {
        "experiment": "mvae_weak",
        "config": vars(config),
        "command": "python",
        "train_seconds": 60.0,
        "hardware": "a CPU",
        "versions": {"torch": "2"},
        "measures": {"test rows": 20, "accuracy": [accuracy, 0.01]},
    }


def test_the_table_tells_the_epochs_that_held_out_pairs_choose():
    known = record("mvae", 0.01)
    known["config"] |= {"held_out": True, "every_step": True}
    best = {"loss": {"epoch": 5, "test accuracy": 0.8}, "accuracy": {"epoch": 2}}
    best["accuracy"]["test accuracy"] = 0.9
    lines = mvae_weak_table.table_8([known | {"chosen": best}, record("jmvae", 0.01)])
    name = "MVAE, as stated, pairs in every step"
    assert f"| {name} | 50 | 1 % | 500 | 0.5000 | 0.8000 (5) | 0.9000 (2) |" in lines
    assert not any("held-out" in line for line in mvae_weak_table.table_8([record("nn", 0.01)]))


def test_runs_that_differ_in_more_than_the_seed_have_rows_of_their_own():
    records = [record("jmvae", 0.01, a, seed) for seed, a in enumerate((0.5, 0.6))]
    watched, fewer = record("jmvae", 0.01, 0.7), record("jmvae", 0.01, 0.8)
    watched["config"] |= {"held_out": True}
    fewer["config"] |= {"num_train": 3000, "epochs": 2}
    lines = mvae_weak_table.table_8([*records, watched, fewer])
    assert "| JMVAE | 50 |  | 500 | 0.5500 ± 0.0707 (2 seeds) |" in lines
    assert "| JMVAE, with held-out rows | 50 |  | 500 | 0.7000 ± 0.0100 |" in lines
    assert "| JMVAE | 50 |  | 2 of 3,000 rows | 0.8000 ± 0.0100 |" in lines
    few, many = record("jmvae", 0.01), record("jmvae", 0.01)
    few["config"] |= {"epochs": 5}
    many["config"] |= {"epochs": 30}
    lines = mvae_weak_table.table_8([many, few])
    assert [line.split(" | ")[3] for line in lines if line.startswith("| JMVAE")] == ["5", "30"]


def test_epochs_that_held_out_pairs_choose_have_their_spread_over_seeds():
    records = [record("jmvae", 0.01, a, seed) for seed, a in enumerate((0.5, 0.7))]
    for i, known in enumerate(records):
        known["config"] |= {"held_out": True}
        best = {"epoch": 2 + i, "test accuracy": 0.8 + i / 10}
        known["chosen"] = {"loss": best, "accuracy": best}
    lines = mvae_weak_table.table_8(records)
    both = "0.8500 ± 0.0707 (2, 3)"
    assert f"| JMVAE | 50 | 1 % | 500 | 0.6000 ± 0.1414 | {both} | {both} |" in lines


def test_the_tables_have_a_column_a_share_and_the_papers_rows():
    records = [record("logreg", f) for f in (0.01, 1.0)]
    records += [record("mvae", 1.0, a, seed) for seed, a in enumerate((0.8, 0.9))]
    lines = mvae_weak_table.table_8(records)
    assert "| method | λ label | image term | epochs | 1 % | 100 % |" in lines
    assert "| MVAE, as stated | 50 | image | 500 |  | 0.8500 ± 0.0707 (2 seeds) |" in lines
    assert "| *MVAE, paper* | 50 | image | 500 | 0.8838 | 0.9681 |" in lines
    assert "| LOGREG |  |  |  | 0.5000 ± 0.0100 | 0.5000 ± 0.0100 |" in lines
    assert mvae_weak_table.table_9(records) == mvae_weak_table.table_10(records) == []
    fashion = mvae_weak_table.table_9([record("ae", 1.0, dataset="fashion_mnist")])
    assert not any("paper" in line for line in fashion)  # which has no such row
    for tables in mvae_weak_table.PAPER.values():
        assert all(len(row) == len(mvae_weak_table.FRACTIONS) for row in tables.values())
