"""Translation from few pairs: runs end to end, and shows what it measured."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from ppl_mm import data, evaluation
from ppl_mm.data.vocabulary import PAD
from ppl_mm.experiments import results_table
from ppl_mm.experiments.mvae import translation as mvae_translation
from ppl_mm.experiments.mvae import translation_table as mvae_translation_table
from ppl_mm.runs import records


@pytest.fixture
def config(tiny_mnist: Path) -> mvae_translation.Config:
    return replace(mvae_translation.SMOKE, out=str(tiny_mnist / "out"))


def test_smoke(config, numbers):
    config = replace(config, num_train=16)
    measures = mvae_translation.main(config)
    assert all(math.isfinite(x) for x in numbers(measures))
    assert measures["test rows"] == 6
    record = json.loads((Path(config.out) / f"{config.name}.json").read_text())
    assert record["measures"] == measures
    assert (record["train_rows"], record["paired_rows"]) == (16, 8)
    page = results_table.render([record])
    mean, error = measures["log p(en,vi)"]
    assert f"| 8 | 50 % | 16 | 18 | 1 | {mean:.3f} ± {error:.3f} |" in page
    assert record["command"] in page
    dataset = data.load("iwslt", num_words=18)
    simple = [
        mvae_translation.by_frequency(dataset.train[:16][n], dataset.test[n], 21)
        for n in ("en", "vi")
    ]
    assert measures["by frequency"][0] == pytest.approx(sum(simple).mean().item(), rel=1e-5)
    found = measures["examples"]
    for kind, rows in found.items():
        assert len(rows) == 2
        for row in rows:
            assert len(row) == 4
            cells = [text.replace("<exc>", "&lt;unk&gt;") for text in row]
            assert f"| {' | '.join(cells)} |" in page
            real = row[:2] if kind == "both" else [row[0], row[3]]
            for text, name in zip(real[::-1] if kind == "vi" else real, ("en", "vi"), strict=True):
                assert text in dataset.vocabularies[name].decode(dataset.test[name])


def test_a_trained_system_is_measured_without_training(config, monkeypatch):
    assert mvae_translation.main(config, train_only=True) == {}
    monkeypatch.setattr(mvae_translation, "train", lambda *_: pytest.fail("trained again"))
    assert "log p(en)" in mvae_translation.main(replace(config, num_samples=2))


def test_the_networks_are_the_presets_in_the_given_sizes(config):
    dataset = data.load("iwslt")
    system = mvae_translation.build(replace(config, word_dropout=0.25), dataset)
    decoder = system.model.decoders["vi"]
    assert (decoder.word_dropout, decoder.lstm.hidden_size, decoder.length) == (0.25, 8, 70)
    encoder = system.guide.encoders["en"]
    assert (encoder.features.lstm.hidden_size, encoder.features.length) == (8, 70)
    assert {m.weight for m in dataset.modalities} == {1.0}


def test_unpaired_sentences_come_apart_in_as_many_steps(config, monkeypatch):
    seen = []
    fit = records.fit

    def watched(system, rows, **options):
        seen.append((rows, options["batch_size"], options["annealing_epochs"]))
        return fit(system, rows, **options)

    monkeypatch.setattr(records, "fit", watched)
    mvae_translation.main(replace(config, fraction=0.25, epochs=5), train_only=True)
    ((rows, batch_size, annealing_epochs),) = seen
    assert (len(rows), batch_size, annealing_epochs) == (5 + 2 * 15, 18, 2)
    assert (rows.present["en"] & rows.present["vi"]).sum() == 5


def test_words_are_not_forgotten_in_measures(config):
    dataset = data.load("iwslt")
    never, always = (
        mvae_translation.build(replace(config, word_dropout=rate), dataset) for rate in (0.0, 1.0)
    )
    always.load_state_dict(never.state_dict())
    first, second = (
        evaluation.log_likelihood(system.train(), dataset.test, num_samples=5).value
        for system in (never, always)
    )
    assert torch.equal(first, second)


def test_translations_are_given_the_other_language(config, monkeypatch):
    asked, draw = [], mvae_translation.generate

    def watched(system, rows, target, **options):
        asked.append((target, options["given"], options.get("mean", False)))
        return draw(system, rows, target, **options)

    monkeypatch.setattr(mvae_translation, "generate", watched)
    dataset = data.load("iwslt")
    system = mvae_translation.build(config, dataset)
    mvae_translation.examples(system, dataset, dataset.test, config)
    both = ("en", "vi")
    ways = [(x, y, mean) for y, x in (both, both[::-1]) for mean in (False, True)]
    assert asked == [*ways, (both, both, False)]
    assert mvae_translation.Config().word_dropout == 0.5
    for name, target in mvae_translation.TARGETS.items():
        assert name == f"log p({','.join(target)})"


def test_by_frequency_is_a_count_of_symbols():
    train = torch.tensor([[3, 3, 2, PAD], [3, 2, PAD, PAD]])
    test = torch.tensor([[4, 3, 2, PAD], [2, PAD, PAD, PAD]])
    expected = torch.tensor([1 / 10 * 4 / 10 * 3 / 10, 3 / 10])
    found = mvae_translation.by_frequency(train, test, 5).exp()
    torch.testing.assert_close(found, expected.to(found))


def record(fraction, value=-400.0, seed=0, text="a"):
    config = mvae_translation.Config(fraction=fraction, seed=seed)
    names = (*mvae_translation.TARGETS, "elbo", "by frequency")
    unreliable = {f"{name} unreliable": 0.5 for name in mvae_translation.TARGETS}
    return {
        "experiment": "mvae_translation",
        "config": asdict(config),
        "command": "python",
        "train_rows": 133_317,
        "paired_rows": round(fraction * 133_317),
        "measures": {
            **{name: [value, 1.0] for name in names},
            **unreliable,
            "collapsed": 0.25,
            "examples": {kind: [[text] * 4] for kind in ("en", "vi", "both")},
        },
    }


def test_the_papers_numbers_stand_beside_ours_by_the_share_of_pairs():
    records = [record(1.0), record(0.05, -402.0, 1), record(0.05), record(0.3)]
    rows = [line for line in mvae_translation_table.table_4(records) if line.startswith("| ")][2:]
    assert rows[0].startswith("| 6,666 | 5 % | 133,317 | all | 100 | -401.000 ± 1.414 |")
    assert rows[0].endswith("| 25% | 50% | *-478.75 ± 3.00* |")
    assert rows[1].endswith("| 50% |  |")  # the paper has no such share
    assert rows[2].startswith("| 133,317 | 100 % | 133,317 | all | 100 | -400.000 ± 1.000 |")
    assert set(mvae_translation_table.PAPER) == set(mvae_translation_table.FRACTIONS)


def test_what_refined_draws_add_has_columns_where_all_runs_have_it():
    records = [record(1.0), record(0.05)]
    for i, r in enumerate(records):
        r["measures"] |= {f"{n} refined gain": [i + 2.5, 0.5] for n in mvae_translation.TARGETS}
    head, _, *rows = (
        line for line in mvae_translation_table.table_4(records) if line.startswith("| ")
    )
    for name in mvae_translation.TARGETS:
        assert f"| refined draws add, {name} |" in head
    assert [row.count("± 0.500 |") for row in rows] == [len(mvae_translation.TARGETS)] * 2
    del records[0]["measures"][f"{name} refined gain"]
    assert f"refined draws add, {name}" not in "".join(mvae_translation_table.table_4(records))


def test_sentences_are_shown_as_people_write_them():
    lines = mvae_translation_table.table_12([record(1.0, text="it &apos;s <exc> &#124; *")])
    assert "it 's &lt;unk&gt; &#124; &#42;" in lines[-2]
    assert lines[-2].count("|") == 5
