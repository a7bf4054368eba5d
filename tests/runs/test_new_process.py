"""A run on data of one's own that another process loads gives the same numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch

from ppl_mm import data, runs

ASK = """
import json, sys, torch
from ppl_mm import log_likelihood, runs
torch.set_default_dtype(torch.float32)
run = runs.load(sys.argv[1], data_dir=sys.argv[2] if len(sys.argv) > 2 else None)
test = run.dataset.test
found = {
    "value": log_likelihood(run.system, test, num_samples=20).value.tolist(),
    "given": log_likelihood(run.system, test, "b", given=["a"], num_samples=20).value.tolist(),
    "mean": run.system.posterior(test).mean.tolist(),
    "rows": {n: test[n].tolist() for n in test.names},
}
print(json.dumps(found))
"""


def declared(folder: Path) -> Path:
    """Forty rows of two modalities with holes, in two files of other orders, and a class."""
    generator = np.random.default_rng(0)
    frame = pandas.DataFrame(generator.normal(3.0, 2.0, (40, 4)), columns=["a1", "a2", "b1", "b2"])
    frame = frame.mask(generator.random(frame.shape) < 0.1)
    frame["sort"] = [("red", "blue")[i % 2] for i in range(40)]
    frame.insert(0, "id", [f"r{i}" for i in range(40)])
    frame[["id", "a1", "a2", "sort"]].to_csv(folder / "one.csv", index=False)
    frame[["id", "b1", "b2"]].sample(frac=1, random_state=1).to_csv(folder / "two.csv", index=False)
    (folder / "rows.toml").write_text(
        'index = "id"\nhidden = [8]\nlabel = "sort"\n'
        '[modalities.a]\nfile = "one.csv"\ncolumns = "a*"\nkind = "real"\n'
        '[modalities.b]\nfile = "two.csv"\ncolumns = "b*"\nkind = "real"\n'
        '[modalities.sort]\nfile = "one.csv"\ncolumns = "sort"\nkind = "category"\n'
    )
    return folder / "rows.toml"


def asked_anew(*words: object) -> dict:
    """What a new process finds."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_new_process_finds_the_same_numbers(tmp_path, monkeypatch, capsys):
    torch.set_default_dtype(torch.float32)
    (tmp_path / "data").mkdir()
    path = declared(tmp_path / "data")
    folder = tmp_path / "run"
    runs.train(
        folder, "mvae", str(path), epochs=1, latent_dim=2, num_samples=20, rows=4, progress=False
    )
    monkeypatch.setattr(sys, "argv", ["ask", str(folder)])
    capsys.readouterr()
    exec(compile(ASK, "ask", "exec"), {"__name__": "ask"})
    here = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert np.isfinite(here["value"]).all()
    assert asked_anew(folder) == here
    assert data.from_file(path, quiet=True).test.names == ("a", "b", "sort")

    (tmp_path / "data").rename(tmp_path / "moved")  # the declaration with its files
    assert asked_anew(folder, tmp_path / "moved") == here
