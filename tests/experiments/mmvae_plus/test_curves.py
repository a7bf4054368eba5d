"""Figures 11 and 17: the right panels, curves and numbers."""

from dataclasses import asdict
from typing import Any

import pytest

from ppl_mm import plotting
from ppl_mm.experiments.mmvae_plus import curves, sizes_table
from ppl_mm.experiments.mmvae_plus.experiment import Config

pytestmark = pytest.mark.usefixtures("few_pixels")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is drawn, with its labels."""
    found: dict[str, Any] = {}
    error_curves = plotting.error_curves

    def keep(panels: Any, **options: Any) -> Any:
        found.update(options, panels=panels)
        return error_curves(panels, **options)

    monkeypatch.setattr(plotting, "error_curves", keep)
    return found


def latents(system: str, accuracy: float, **options: Any) -> dict[str, Any]:
    """A record whose u (or z) has this accuracy, w a tenth of it, and both half."""
    groups = {"u": 1.0, "w": 0.1, "u,w": 0.5} if system == "mmvae_plus" else {"z": 1.0}
    found = {group: {"mean": [accuracy * part, 0.01]} for group, part in groups.items()}
    config = asdict(Config(system=system, **options))
    return {"config": config, "measures": {"latents": found}}


def test_figure_11_has_three_panels(tmp_path, drawn):
    records = [latents("mmvae_plus", 0.8, beta=beta) for beta in (1.0, 2.5)]
    records += [latents("mmvae_plus", 0.6, shared_dim=48, private_dim=16)]
    records += [latents("mvae", 0.4)]
    curves.draw_latents(records, tmp_path)
    by_beta, by_size, nearer = drawn["panels"].values()
    assert by_beta == {
        "MMVAE+": [(1.0, 0.8, 0.01), (2.5, 0.8, 0.01)],
        "MVAE": [(1.0, 0.4, 0.01)],
    }
    assert list(by_size) == ["from u", "from w", "from u,w"]
    assert sorted(by_size["from u"]) == [(16, 0.6, 0.01), (32, 0.8, 0.01)]
    assert sorted(x for x, *_ in by_size["from w"]) == [16, 32]
    assert nearer == {name: by_size[name] for name in ("from u", "from u,w")}
    assert list(drawn["xlabel"].values()) == ["β", "size of w", "size of w"]
    assert (tmp_path / "polymnist-4-runs-latents.png").stat().st_size > 5000


def pair(system: str, beta: float, width: int, value: float) -> dict[str, Any]:
    """A record with these coherences both ways, and ten times that as the distance of SVHN."""
    options = {"private_dim": width, "other_private_dim": width + 3, "shared_dim": 10}
    config = asdict(Config(system=system, beta=beta, dataset="mnist_svhn", **options))
    names = ["mnist", "svhn"]
    coherence = {
        "given": [[n] for n in names],
        "targets": names,
        "cells": [[[1.0, 0.0], [value, 0.01]], [[value / 2, 0.02], [1.0, 0.0]]],
    }
    fid = {"cells": [[0.0, 10 * value], [7.0, 0.0]]}
    return {"config": config, "measures": {"coherence": coherence, "fid": fid}}


def test_figure_17_has_dmvae_alone_and_both_systems(tmp_path, drawn):
    records = [pair("dmvae", beta, w, 0.5 / w) for beta in (2.5, 1.0) for w in (1, 5)]
    records += [pair("mmvae_plus", 2.5, w, 0.9) for w in (1, 5)]
    curves.draw_pairs(records, tmp_path)
    panels = drawn["panels"]
    assert list(panels) == [
        *("coherence, β = 1", "FID-clf of SVHN, β = 1"),
        *("coherence, β = 2.5", "FID-clf of SVHN, β = 2.5"),
    ]
    assert panels["coherence, β = 1"] == {
        "DMVAE, MNIST to SVHN": [(4, 0.5, 0.01), (8, 0.1, 0.01)],
        "DMVAE, SVHN to MNIST": [(4, 0.25, 0.02), (8, 0.05, 0.02)],
    }
    assert panels["FID-clf of SVHN, β = 2.5"] == {
        "DMVAE, MNIST to SVHN": [(4, 5.0, 0.0), (8, 1.0, 0.0)],
        "MMVAE+, MNIST to SVHN": [(4, 9.0, 0.0), (8, 9.0, 0.0)],
    }
    assert drawn["xlabel"] == "size of SVHN's w"
    page = curves.shown("pairs", sizes_table.pairs)(records)
    assert (tmp_path / page[0].split("](")[1].split(")")[0]).exists()
    assert any(line.startswith("| DMVAE | 10 + 1, 4 | 1 |") for line in page)
