"""Signal to noise of MEME's gradients: against its definition, and end to end."""

from dataclasses import replace

import pytest
import torch

from ppl_mm import data, systems
from ppl_mm.experiments.meme import gradients as meme_gradients
from ppl_mm.objectives import MutualSupervisionELBO


def test_signal_to_noise_is_its_definition():
    torch.manual_seed(0)
    digits = data.load("digits")
    train = digits.train.drop("label")
    halves = [m for m in digits.modalities if m.name != "label"]
    system = systems.meme(halves, 2, num_pseudo_inputs=5, pseudo_inputs=train)
    objective = MutualSupervisionELBO(3)
    obs = train[:4]
    found = meme_gradients.signal_to_noise(system, obs, objective, draws=6, seed=1)
    torch.manual_seed(1)
    each = []
    for _ in range(6):
        loss = objective.differentiable_loss(system.model, system.guide, obs)
        decoders = list(system.model.decoders.parameters())
        gradients = torch.autograd.grad(loss, decoders)
        each.append(torch.cat([g.flatten() for g in gradients]))
    each = torch.stack(each)
    moving = each.std(0) > 0
    expected = (each.mean(0).abs() / each.std(0))[moving].mean().item()
    assert found["decoders"] == pytest.approx(expected)
    assert all(p.grad is None for p in system.parameters())


def test_smoke(tmp_path):
    config = replace(meme_gradients.SMOKE, out=str(tmp_path))
    measured = meme_gradients.main(config)
    assert measured["epochs"] == [0, 1]
    for part in meme_gradients.PARTS:
        assert set(measured[part]) == set(meme_gradients.SETTINGS.values())
        assert all(value > 0 for values in measured[part].values() for value in values)
    assert (tmp_path / f"{config.name}.png").stat().st_size > 5000
