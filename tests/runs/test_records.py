"""Records of runs: the command that repeats them, options that may differ, tables as CSV."""

import json
import math
import platform
import shlex
from pathlib import Path

import pytest
import torch

import ppl_mm
from ppl_mm.runs.records import Files, check_same, command, facts, torch_device, write_csv


def test_a_command_repeats_every_flag_and_quotes_what_a_shell_would_part():
    given = {
        "seed": 3,
        "learning_rate": 0.001,
        "modality": ["left eye", "top"],
        "weight": [],
        "beta": None,
        "resume": False,
        "evaluate": True,
        "out": Path("my runs/a"),
        "option": ['prior="laplace"', "x=null"],
    }
    found = command(["ppl-mm", "train"], given)
    assert found == (
        "ppl-mm train --seed 3 --learning-rate 0.001 --modality 'left eye' --modality top "
        "--no-resume --evaluate --out 'my runs/a' --option 'prior=\"laplace\"' --option x=null"
    )
    assert shlex.split(found)[-3:] == ['prior="laplace"', "--option", "x=null"]
    assert command(["program"], {}) == "program"
    assert command(["p"], {"zero": 0, "text": ""}) == "p --zero 0 --text ''"


def test_options_are_compared_as_json_stores_them():
    saved = {"epochs": 3, "hidden": [4, 4], "beta": None, "own": {"a": [1]}}
    check_same(Path("run"), saved, {"epochs": 3, "hidden": (4, 4), "own": {"a": (1,)}}, "")
    check_same(Path("run"), saved, {"unknown": None}, "")  # as if it had been saved as nothing


def test_a_difference_names_both_values_and_the_remedy():
    with pytest.raises(ValueError, match=r"^epochs: the run in a/b has 3, asked to go on with 4\. "
                                         r"Try again\.$"):  # fmt: skip
        check_same(Path("a/b"), {"epochs": 3}, {"seed": None, "epochs": 4}, "Try again.")
    with pytest.raises(ValueError, match=r"^name: the run in r has None, asked .* with 'x'\."):
        check_same(Path("r"), {}, {"name": "x"}, "")


@pytest.mark.parametrize(
    "name", ["device", "step", "threads", "data_dir", "checkpoint_every", "out"]
)
def test_where_and_how_fast_a_run_trains_may_differ(name):
    check_same(Path("r"), {name: "a"}, {name: "b"}, "")
    with pytest.raises(ValueError, match=f"^{name}: "):
        check_same(Path("r"), {name: "a"}, {name: "b"}, "", may_differ=["seed"])
    check_same(Path("r"), {"seed": 1}, {"seed": 2}, "", may_differ=["seed"])


def files(folder):
    return Files(folder / "record.json", folder / "checkpoint", folder / "system")


def test_a_record_comes_back_and_is_empty_where_there_is_none(tmp_path):
    kept = files(tmp_path)
    assert kept.read() == {}
    record = {"options": {"a": [1, None]}, "ünï": 0.1, "measures": {"elbo": -math.inf}}
    kept.write(record)
    assert kept.read() == record
    assert kept.record.read_text().endswith("}\n")
    json.loads(kept.record.read_text(), parse_constant=pytest.fail)
    kept.write({})
    assert kept.read() == {}


@pytest.mark.parametrize("content", ["{", "", "3", "null", "[1]"])
def test_a_damaged_record_says_what_to_do(tmp_path, content):
    kept = files(tmp_path)
    kept.record.write_text(content)
    message = r"record\.json: damaged \(.*\)\. Remove it, and the run is made anew\.$"
    with pytest.raises(ValueError, match=message):
        kept.read()


def test_facts_name_the_hardware_and_the_versions():
    found = facts("cpu")
    assert found["hardware"] == f"{platform.machine()} CPU, {torch.get_num_threads()} thread(s)"
    assert found["versions"]["ppl_mm"] == ppl_mm.__version__
    assert found["versions"]["torch"] == torch.__version__
    assert found["versions"]["python"] == platform.python_version()
    assert list(found["versions"]) == ["ppl_mm", "torch", "pyro", "python"]
    assert facts(torch.device("cpu")) == found
    json.dumps(found)


def test_auto_is_the_best_device_that_there_is(monkeypatch):
    assert torch_device("cpu") == torch.device("cpu")
    assert torch_device("cuda:1") == torch.device("cuda", 1)
    for there, name in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        assert torch_device("auto") == torch.device(name)


def test_columns_that_some_rows_lack_are_empty_there(tmp_path):
    rows = [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "a, b": 'say "x"', "loss": 1e-20}]
    write_csv(tmp_path / "new" / "a.csv", rows)
    assert (tmp_path / "new" / "a.csv").read_bytes() == (
        b'epoch,loss,"a, b"\n1,0.5,\n2,1e-20,"say ""x"""\n'
    )
