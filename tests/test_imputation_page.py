"""What the page on missing cells says: its code runs, and its comparison has not grown worse."""

import importlib
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def benchmark(monkeypatch):
    torch.set_default_dtype(torch.float32)
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("imputation")


def test_the_code_runs() -> None:
    torch.set_default_dtype(torch.float32)
    text = (ROOT / "docs" / "imputation.md").read_text()
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", text, re.S):
        exec(code, names)


def test_a_few_steps_fill_in_better_than_columns_means(benchmark) -> None:
    cohort = benchmark.Cohort(0)
    means = cohort.by_sklearn(benchmark.SKLEARN["column means"])
    few = {"linear": True, "epochs": 40, "learning_rate": 2e-2}
    found = cohort.by_us(0, **few)
    assert found["rmse"] < 0.75 * means["rmse"]
    assert found["mae"] < 0.75 * means["mae"]
    assert found["within 95 %"] > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_factor_analysis_beats_nearest_neighbours(benchmark, seed: int) -> None:
    cohort = benchmark.Cohort(seed)
    neighbours = cohort.by_sklearn(benchmark.SKLEARN["KNNImputer"])
    found = cohort.by_us(seed, **benchmark.OURS["linear"])
    assert found["rmse"] < neighbours["rmse"]
    assert found["mae"] < neighbours["mae"]
    assert 0.9 < found["within 95 %"] < 0.99
