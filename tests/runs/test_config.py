"""Options of runs: defaults, ranges, the command, and what a resumed run may change."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ppl_mm import data
from ppl_mm.runs import Config, configure
from ppl_mm.runs.config import (
    DamagedRecordError,
    files,
    has_terms,
    read_config,
    read_facts,
    resumed,
    write_config,
)


@pytest.fixture(scope="module")
def digits():
    return data.digits()


def config(**options):
    return Config("mvae", "digits", ("top", "label"), 2, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing": 1.0}, r"missing: expected a share from 0 to below 1, got 1\.0\.$"),
        ({"terms": "some"}, r"terms: expected 'all' or a number of subsets, got 'some'\.$"),
        ({"terms": -1}, r"terms: expected 'all' or a number of subsets, got -1\.$"),
    ],
)
def test_options_out_of_range_are_told_by_name(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        config(**options)


@pytest.mark.parametrize("options", [{"missing": 0.0}, {"missing": 0.99}, {"terms": 0},
                                     {"terms": "all"}, {"terms": None}])  # fmt: skip
def test_options_at_the_ends_of_their_range_are_taken(options):
    for name, value in options.items():
        assert getattr(config(**options), name) == value


def test_options_of_a_run_are_the_data_sets_unless_they_are_given(digits):
    defaults = configure("mvae", digits)
    assert (defaults.system, defaults.dataset) == ("mvae", "digits")
    assert defaults.modalities == ("top", "bottom", "label")
    chosen = configure("mvae", digits, modalities=["label", "top"], latent_dim=3, terms=2, beta=2.0)
    assert chosen.modalities == ("top", "label")  # in the order of the data
    assert (chosen.latent_dim, chosen.terms, chosen.beta) == (3, 2, 2.0)
    assert chosen.epochs == defaults.epochs
    assert configure("mvae", digits, modalities=[]) == defaults


def test_terms_are_an_option_of_the_systems_that_have_a_choice(digits):
    assert [has_terms(name) for name in ("mvae", "vae", "mmvae")] == [True, False, False]
    assert configure("mmvae", digits).terms is None
    message = r"^terms: system 'mmvae' leaves no choice of terms\.$"
    with pytest.raises(ValueError, match=message):
        configure("mmvae", digits, terms=1)


def test_annealing_is_the_data_sets_share_of_the_epochs(monkeypatch, digits):
    from ppl_mm.runs import config as module

    own = replace(module.defaults_of(digits), annealing=0.25)
    monkeypatch.setattr(module, "defaults_of", lambda dataset: own)
    assert configure("mvae", digits, epochs=10).annealing_epochs == 2  # 2.5 to the even one
    assert configure("mvae", digits, epochs=100).annealing_epochs == 25
    assert configure("mvae", digits, epochs=100, annealing_epochs=0).annealing_epochs == 0


@pytest.mark.parametrize(
    ("rows", "batch_size", "epochs", "measured"),
    [(10, 32, 300, None), (600, 64, 300, None), (1500, 128, 300, None), (2000, 128, 256, 500)],
)
def test_own_data_have_options_by_their_size_and_a_fingerprint(
    tmp_path, rows, batch_size, epochs, measured
):
    lines = [f"{i / 7},{i % 5}" for i in range(rows * 5 // 4)]
    (tmp_path / "x.csv").write_text("\n".join(["a,b", *lines]))
    (tmp_path / "own.toml").write_text(
        'file = "x.csv"\nsplit = {validation = 0, test = 0.2}\n[modalities.x]\nkind = "real"\n'
    )
    own = data.from_file(tmp_path / "own.toml", quiet=True)
    own = replace(own, test=own.test[[0] * 501] if measured else own.test)
    made = configure("mvae", own, data_options={"quiet": True})
    assert len(own.train) == rows
    assert (made.batch_size, made.epochs, made.rows) == (batch_size, epochs, measured)
    assert made.dataset == str(tmp_path / "own.toml")
    assert made.data_options == {"quiet": True, "fingerprint": own.provenance.fingerprint}


@pytest.mark.parametrize(
    ("system", "options", "message"),
    [
        ("mave", {}, "unknown system 'mave'; .* Did you mean 'mvae'"),
        ("mvae", {"epoch": 1}, "unknown option 'epoch'; .* Did you mean 'epochs'"),
        ("mvae", {"modalities": ["tip"]}, "unknown modality 'tip'; known: top, bottom, label"),
        (
            "mvae",
            {"modalities": ["top"], "weights": {"label": 2.0}},
            "unknown modality in weights 'label'; known: top",
        ),
    ],
)
def test_unknown_names_are_told_with_the_known_ones(digits, system, options, message):
    with pytest.raises(ValueError, match=message):
        configure(system, digits, **options)


def test_the_command_has_every_option_that_is_not_nothing():
    made = config(
        weights={"label": 5.0},
        terms="all",
        options={"prior": None, "hidden": [8], "kind": "a b"},
        data_options={"num_train": 50},
        clip_norm=1.5,
    )
    assert made.command(Path("my runs")) == (
        "ppl-mm train mvae digits --out 'my runs' --modality top --modality label "
        "--weight label=5.0 --option prior=null --option 'hidden=[8]' --option 'kind=\"a b\"' "
        "--data-option num_train=50 --latent-dim 2 --epochs 100 --batch-size 128 "
        "--learning-rate 0.001 --terms all --annealing-epochs 0 --paired 1.0 --missing 0.0 "
        "--clip-norm 1.5 --seed 0 --precision 32-true --step auto --device auto "
        "--num-samples 1000"
    )


def test_options_come_back_from_their_file(tmp_path):
    made = config(weights={"label": 5.0}, options={"hidden": [8]}, rows=7, device="cpu")
    write_config(tmp_path, made)
    assert read_config(tmp_path) == made
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["command"] == made.command(tmp_path)
    assert "note" not in content
    assert "changes" not in content
    hardware, versions = read_facts(tmp_path)
    assert "CPU" in hardware
    assert f"torch {torch.__version__}" in versions.split(", ")
    assert list(tmp_path.iterdir()) == [tmp_path / "config.json"]
    names = [path.name for path in vars(files(tmp_path)).values()]
    assert names == ["config.json", "checkpoint.pt", "system.safetensors"]


def test_a_record_without_hardware_says_so(tmp_path):
    (tmp_path / "config.json").write_text('{"versions": {"a": "1", "b": "2"}}')
    assert read_facts(tmp_path) == ("not recorded", "a 1, b 2")


def test_a_declaration_at_an_absolute_path_has_a_note(tmp_path):
    path = tmp_path / "own.toml"
    write_config(tmp_path, replace(config(device="cpu"), dataset=str(path)))
    assert "--data-dir" in json.loads((tmp_path / "config.json").read_text())["note"]


def test_no_run_and_a_damaged_one_are_told_apart(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere: no run here, it has no config\.json\.$"):
        read_config(tmp_path / "nowhere")
    whole = {"system": "mvae", "dataset": "digits", "modalities": ["top"], "latent_dim": 2}
    changed = ({"modalities": 3}, {"depth": 3}, {"epochs": 0})
    for wrong in ({}, {"options": 3}, *({"options": {**whole, **more}} for more in changed)):
        (tmp_path / "config.json").write_text(json.dumps(wrong))
        message = r"config\.json: damaged, or of another version \(.*\)\. Train in another folder"
        with pytest.raises(DamagedRecordError, match=message):
            read_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"options": whole}))
    assert read_config(tmp_path) == Config("mvae", "digits", ("top",), 2)


def test_a_resumed_run_has_its_own_options_and_may_change_a_few(tmp_path):
    made = config(learning_rate=0.01, epochs=5)
    write_config(tmp_path, made)
    same = {"system": "mvae", "dataset": "digits"}
    assert resumed(tmp_path, same) == made
    assert resumed(tmp_path, {**same, "epochs": 5, "modalities": ["top", "label"]}) == made
    changed = {"learning_rate": 0.001, "clip_norm": 2.0, "device": "cpu", "data_dir": "x"}
    changed |= {"epochs": 7, "patience": 2}
    found = resumed(tmp_path, {**same, **changed, "step": "eager"})
    assert found == replace(made, step="eager", **changed)
    remedy = r"Leave the option out, or start a run in another folder\.$"
    message = rf"^seed: the run in .* has 0, asked to go on with 1\. {remedy}"
    with pytest.raises(ValueError, match=message):
        resumed(tmp_path, {**same, "seed": 1})
    with pytest.raises(ValueError, match=r"unknown option 'sed'; .* Did you mean 'seed'"):
        resumed(tmp_path, {**same, "sed": 1})
    with pytest.raises(ValueError, match=r"^dataset: the run in "):
        resumed(tmp_path, {"system": "mvae", "dataset": "mnist"})


@pytest.mark.parametrize("scheduler", ["cosine", "linear"])
def test_a_learning_rate_that_goes_to_0_is_of_a_number_of_epochs(tmp_path, scheduler):
    write_config(tmp_path, config(epochs=5, scheduler=scheduler))
    with pytest.raises(ValueError, match=r"^epochs: the run in .* has 5, asked to go on with 7\."):
        resumed(tmp_path, {"system": "mvae", "dataset": "digits", "epochs": 7})


def test_a_declaration_that_moved_is_the_same_data_set(tmp_path):
    write_config(tmp_path, replace(config(), dataset="/old/place/own.toml"))
    found = resumed(tmp_path, {"system": "mvae", "dataset": "/new/own.toml"})
    assert found.dataset == "/new/own.toml"
    with pytest.raises(ValueError, match=r"^dataset: "):
        resumed(tmp_path, {"system": "mvae", "dataset": "/old/place/other.toml"})


def test_a_record_says_from_which_epoch_on_an_option_changed(tmp_path):
    write_config(tmp_path, config(learning_rate=0.01))
    write_config(tmp_path, config(learning_rate=0.01, device="cpu"), epoch=2)
    assert json.loads((tmp_path / "config.json").read_text())["changes"] == []
    write_config(tmp_path, config(learning_rate=0.001), epoch=3)
    write_config(tmp_path, config(learning_rate=0.001, patience=5, clip_norm=1.0), epoch=7)
    content = json.loads((tmp_path / "config.json").read_text())
    still = {"clip_norm": None, "patience": None}
    assert content["changes"] == [
        {"after_epochs": 3, "former": {"learning_rate": 0.01, **still}},
        {"after_epochs": 7, "former": {"learning_rate": 0.001, **still}},
    ]
    assert content["options"]["clip_norm"] == 1.0
