"""The page "How to add": its code runs, and what it adds gives the exact answers."""

import importlib.util
import math
import re
import sys
import warnings
from pathlib import Path

import pytest
import torch
from linear_gaussian import LinearGaussian

import ppl_mm.experiments  # noqa: F401 - the parent of the page's modules
from ppl_mm import Observations, data, guides
from ppl_mm.data import registry
from ppl_mm.evaluation import UnreliableLikelihoodWarning
from ppl_mm.experiments.reproduction import reproduce
from ppl_mm.objectives import IWAE, Term

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "how_to_add.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
FILES = {b.partition("\n")[0].removeprefix("# "): b for b in BLOCKS if b.startswith("# ")}


@pytest.fixture(scope="module")
def names():
    """What the page's script defines."""
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    found: dict[str, object] = {"__name__": "how_to_add"}
    for block in BLOCKS:
        if not block.startswith("# "):
            with warnings.catch_warnings():  # ten epochs make no good proposals
                warnings.simplefilter("ignore", UnreliableLikelihoodWarning)
                exec(compile(block, "how_to_add.md", "exec"), found)
    torch.set_default_dtype(dtype)
    return found


def module(path, folder, monkeypatch):
    """Import one of the page's files as the module that it would be in the package."""
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(FILES[path])
    parts = Path(path).with_suffix("").parts
    name = ".".join(parts if parts[0] == "ppl_mm" else ("ppl_mm", *parts))
    name = name.removesuffix(".__init__")
    spec = importlib.util.spec_from_file_location(name, file)
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, loaded)
    parent, _, last = name.rpartition(".")
    if parent in sys.modules:
        monkeypatch.setattr(sys.modules[parent], last, loaded, raising=False)
    spec.loader.exec_module(loaded)
    return loaded


def test_the_likelihood_is_that_of_waiting_times(names):
    log_rate, x = torch.randn(5, 2, 3), torch.rand(5, 2, 3)
    p = names["Exponential"]()(log_rate)
    assert (p.batch_shape, p.event_shape) == ((5,), (2, 3))
    torch.testing.assert_close(p.log_prob(x), (log_rate - log_rate.exp() * x).sum((1, 2)))
    with pytest.raises(ValueError, match="modality 'waits': expected waiting times above 0"):
        names["Exponential"]().check("waits", -x)
    assert names["result"] is not None
    wrong = names["obs"].replace("waits", torch.zeros(200, 3))
    with pytest.raises(ValueError, match="Leave out rows"):
        names["systems"].mvae(names["both"], 1).check(wrong)


def test_the_guide_is_the_geometric_mean_for_every_pattern(names):
    both = names["both"]
    guide = names["GeometricMean"](both, 1)
    obs = names["obs"][:4]
    each = [guide.posterior(obs.given(m.name)).base_dist for m in both]
    encoded = [guide.encoders[m.name](obs[m.name]) for m in both]
    for q, (loc, scale) in zip(each, encoded, strict=True):
        torch.testing.assert_close(q.loc, loc)
        torch.testing.assert_close(q.scale, scale)
    present = {
        "waits": torch.tensor([True, True, False, False]),
        "sound": torch.tensor([True, False, True, False]),
    }
    mixed = Observations(obs.values, present)
    q = guide.posterior(mixed).base_dist
    precision = (each[0].scale[0] ** -2 + each[1].scale[0] ** -2) / 2
    torch.testing.assert_close(q.scale[0], precision**-0.5)
    mean = (each[0].loc[0] / each[0].scale[0] ** 2 + each[1].loc[0] / each[1].scale[0] ** 2) / 2
    torch.testing.assert_close(q.loc[0], mean / precision)
    torch.testing.assert_close(q.loc[1], each[0].loc[1])
    torch.testing.assert_close(q.scale[2], each[1].scale[2])
    assert (q.loc[3].item(), q.scale[3].item()) == (0.0, 1.0)
    terms = mixed.terms([Term(("waits",), ("waits",)), Term(("sound",), ("sound",))])
    found = guide.posterior(terms).base_dist
    assert found.loc.shape == (2, 4, 1)
    torch.testing.assert_close(found.loc[1, 2], each[1].loc[2])
    assert found.loc[1, 1].item() == 0.0  # this row holds no sound
    assert names["posterior"].batch_shape == (200,)


def test_the_objective_is_exact_at_the_exact_posterior(names):
    toy = LinearGaussian()
    obs = toy.mixed(2)
    expected = toy.log_p(obs, obs.names)
    for alpha in (0.0, 0.5, 0.9):
        found = names["Renyi"](alpha, num_particles=3).bound(toy.model(), toy.exact_guide(), obs)
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)


def test_the_objective_is_the_importance_weighted_bound_at_zero_and_falls_with_alpha(names):
    toy = LinearGaussian()
    model, guide = toy.model(), guides.ProductOfExperts(toy.modalities, 2)
    obs, bounds = toy.mixed(2), []
    for objective in (IWAE(5), *(names["Renyi"](alpha, num_particles=5) for alpha in (0, 0.5))):
        torch.manual_seed(0)
        bounds.append(objective.bound(model, guide, obs))
    torch.testing.assert_close(bounds[1], bounds[0])
    assert (bounds[2] <= bounds[1]).all()
    assert (bounds[2] < bounds[1])[obs.any_data].all()
    with pytest.raises(ValueError, match="alpha: expected a number of at least 0 and below 1"):
        names["Renyi"](1.0)


def test_the_data_set_and_the_table(tmp_path, monkeypatch):
    torch.set_default_dtype(torch.float32)
    monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))
    module("ppl_mm/data/two_sides.py", tmp_path, monkeypatch)
    assert data.load("two_sides").train["left"].shape == (80, 1)
    assert [data.entry("two_sides").defaults.epochs, "two_sides" in data.available()] == [2, True]
    for name in ("__init__", "experiment", "pages"):
        pages = module(f"experiments/sides/{name}.py", tmp_path, monkeypatch)
    table = pages.TABLES["table-1"]
    page = reproduce(table, tmp_path / "out", "table-1", "smoke", device="cpu")
    lines = page.read_text().splitlines()
    assert lines[0] == "# One copy of a number from the other"
    rows = [line.split(" | ") for line in lines if line.startswith("| m")]
    assert [row[0] for row in rows] == ["| mvae", "| mmvae"]
    assert math.isfinite(float(rows[0][1].split(" ± ")[0]))
    assert "| epochs | 1 | 500 |" in lines
    again = reproduce(table, tmp_path / "out", "table-1", "smoke", device="cpu")
    assert again.read_text() == page.read_text()


def test_every_block_is_run():
    assert len(FILES) == 4
    assert len(BLOCKS) == 9
    for path in FILES:
        assert not (ROOT / path).exists()
