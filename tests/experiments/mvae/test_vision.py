"""The vision experiment runs end to end at smoke scale on files of the true format."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_celeba import write_celeba, write_masks

from ppl_mm import data, evaluation
from ppl_mm.experiments.mvae import vision as mvae_vision
from ppl_mm.experiments.mvae import vision_table as mvae_vision_table
from ppl_mm.objectives import subset_terms


@pytest.fixture
def views(tmp_path: Path) -> data.DataSet:
    """Of eight pictures of plain colours for training, a stored mask each."""
    torch.set_default_dtype(torch.float32)
    rng = np.random.default_rng(0)
    write_celeba(tmp_path / "celeba", (8, 1, 3), rng)
    write_masks(tmp_path / "celeba", 12, rng)
    return data.load("celeba_vision", tmp_path)


@pytest.fixture
def three_views(views: data.DataSet, narrowed: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Half of the views, and their pictures: all of them are tested with the other papers'."""
    others = ("edge", "mask", "watermark")
    kept = tuple(m for m in views.modalities if m.name not in others)
    rows = {part: getattr(views, part).drop(*others) for part in ("train", "validation", "test")}
    few = narrowed(replace(views, modalities=kept, **rows))
    monkeypatch.setattr(mvae_vision.data, "load", lambda name: few)
    for name in ("views", "edges", "watermarks"):
        monkeypatch.delitem(mvae_vision.FIGURES, name)
    return [m.name for m in kept]


def test_smoke(three_views, tmp_path, numbers):
    config = replace(mvae_vision.SMOKE, out=str(tmp_path / "out"))
    measures = mvae_vision.main(config)
    assert np.isfinite(numbers(measures)).all()
    assert list(measures["rmse"]) == ["nothing", *three_views, "everything"]
    for errors in measures["rmse"].values():
        assert list(errors) == three_views
        assert all(0 < value < 1 and error >= 0 for value, error in errors.values())
    made = {p.stem.removeprefix(f"{config.name}-") for p in (tmp_path / "out").glob("*.png")}
    assert made == set(mvae_vision.FIGURES)
    record = json.loads((tmp_path / "out" / f"{config.name}.json").read_text())
    assert (record["data"], record["train_rows"]) == ("aligned pictures", 8)
    page = "\n".join(mvae_vision_table.figure("colours", "halves")([record]))
    assert re.findall(r"\]\((.*?)\)", page) == [
        f"{config.name}-{n}.png" for n in ("colours", "halves")
    ]
    value, error = measures["rmse"]["gray"]["image"]
    (row,) = (line for line in page.splitlines() if line.startswith("| gray |"))
    assert row.startswith(f"| gray | {value:.3f} ± {error:.3f} |")


def test_the_system_is_the_papers(views):
    system = mvae_vision.build(mvae_vision.Config(), views)
    count = {
        part: sum(p.numel() for p in getattr(system, part).parameters())
        for part in ("guide", "model")
    }
    assert count == {"guide": 25_343_160, "model": 13_776_000}
    assert system.objective.terms == subset_terms(1)
    assert len(system.objective.terms(views.train.names)) == 8
    assert all(m.weight == 1 for m in system.modalities)


def test_sizes_are_the_papers(views, monkeypatch):
    seen = []
    watched = lambda *args, **options: seen.append(options) or {}  # noqa: E731
    monkeypatch.setattr(mvae_vision.runner, "train", watched)
    config = mvae_vision.Config()
    assert (config.epochs, config.batch_size, config.lr) == (100, 50, 1e-4)
    mvae_vision.train(None, views, config)
    assert seen == [{"annealing_epochs": 20}]


def test_views_are_generated_by_what_is_given(views, monkeypatch):
    asked = []
    found = evaluation.Estimate(0.1, 0.01)
    watched = lambda system, rows, *question: asked.append((rows.names, *question)) or found  # noqa: E731
    monkeypatch.setattr(mvae_vision, "rmse", watched)
    assert mvae_vision._error(None, views.test, "image", ("gray",)) == [0.1, 0.01]
    assert asked == [(("image", "gray"), "image", ("gray",))]
    given = {name: known for name, (known, _) in mvae_vision.FIGURES.items()}
    del given["views"], given["edges"]
    expected = {"colours": "gray", "halves": "obscured", "watermarks": "watermark"}
    assert given == {name: (view,) for name, view in expected.items()}


def test_the_obscured_half_alone_is_filled_in():
    half, whole = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 64, 64)
    filled = mvae_vision.filled_in(half, whole)
    assert torch.equal(filled[..., :32], half[..., :32])
    assert torch.equal(filled[..., 32:], whole[..., 32:])
