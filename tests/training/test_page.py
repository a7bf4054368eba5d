"""The page on training runs from top to bottom, and so do Lightning, plain torch and Optuna."""

import re
from pathlib import Path

import pytest
import torch

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"
BEFORE, *PARTS = re.split(r"^### (.*)\n", PAGE.read_text(), flags=re.MULTILINE)
SCRIPTS = dict(zip(PARTS[::2], PARTS[1::2], strict=True))


def run(text, names):
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    exec(compile(re.sub(r"(\bepochs=\d+,)", r"\1 progress=False,", code), str(PAGE), "exec"), names)
    return names


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """The names of the page's first block."""
    torch.set_default_dtype(torch.float32)
    monkeypatch.chdir(tmp_path)
    return run(BEFORE[: BEFORE.index("## The learning rate")], {"__name__": "training"})


def test_the_page_runs_from_top_to_bottom(begun, tmp_path):
    names = run(BEFORE[BEFORE.index("## The learning rate") :], begun)
    history = names["result"].history
    assert all(row["halves"] < 0 for row in history)
    assert (tmp_path / "digits.checkpoint").exists()
    assert list((tmp_path / "logs").rglob("metrics.csv"))


def test_plain_torch(begun):
    losses = run(SCRIPTS["Plain torch"], begun)["losses"]
    assert losses[2] < losses[1] < losses[0]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of the loader's workers, and the like
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_lightning(begun):
    pytest.importorskip("lightning")
    losses = run(SCRIPTS["Lightning"], begun)["lit"].losses
    assert len(losses) == 36
    assert sum(losses[-12:]) < sum(losses[:12])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_optuna(begun):
    pytest.importorskip("optuna")
    study = run(SCRIPTS["Optuna"], begun)["study"]
    assert len(study.trials) == 4
    best = max(t.value for t in study.trials if t.value is not None)
    assert study.best_value == best < 0
