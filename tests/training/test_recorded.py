"""Recorded steps equal eager ones to the last bit, or are eager and say why."""

import random
import re
from functools import partial

import numpy as np
import pytest
import torch
from every_system import KINDS, SYSTEMS, build, complete, kinds_of, modalities, modality
from torch import nn

from ppl_mm import fit, networks, objectives
from ppl_mm.objectives import subset_terms
from ppl_mm.training import Callback

QUIET = {"epochs": 3, "batch_size": 8, "device": "cpu", "progress": False}


def trained(system, data, **options):
    torch.manual_seed(0)
    system = build(system) if isinstance(system, str) else system()
    result = fit(system, data, **{**QUIET, **options})
    losses = [row["loss"] for row in result.history]
    return result.step, losses, dict(system.state_dict())


def assert_equal(one, other):
    assert one[1] == other[1]
    assert all(torch.equal(value, other[2][key]) for key, value in one[2].items())


def assert_same_steps(system, data, replayed, **options):
    """Eager and recorded runs are one, and so many steps of the second were replayed."""
    recorded = trained(system, data, step="recorded", **options)
    assert recorded[0] == f"recorded: {replayed} steps replayed"
    assert_equal(trained(system, data, step="eager", **options), recorded)


def one_of_each_objective():
    """Every system; of those with the same class of objective the quick suite has the first."""
    first = {type(build(name).objective): name for name in reversed(SYSTEMS)}.values()
    return [pytest.param(n, marks=() if n in first else pytest.mark.slow) for n in SYSTEMS]


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_system_is_recorded_and_equal_to_the_last_bit(name):
    # 3 batches of 8 and one of 3 in each of 3 epochs; two of each size are taken both ways
    assert_same_steps(name, complete(27, *kinds_of(name)), 8)


@pytest.mark.parametrize("name", ["mmvae", "mopoe", "mmvae_plus"])
def test_strata_drawn_at_random(name):
    assert_same_steps(partial(build, name, strata=1), complete(16), 4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_likelihood(kind):
    assert_same_steps(partial(build, "vae", modalities(kind)), complete(16, kind), 4)


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_other_precisions(precision):
    assert_same_steps("mvae", complete(16), 4, precision=precision)


@pytest.mark.filterwarnings("ignore:fit. no training row holds modality")
def test_modalities_that_all_rows_lack_and_streams_of_different_lengths():
    assert_same_steps("mvae", complete(16, "normal", "categorical").without("normal"), 4)
    parts = [complete(16), complete(11).only("normal")]
    assert_same_steps("mvae", parts, 2)


class Normalised(nn.Module):
    """An encoder with statistics of its batches, and with noise."""

    def __init__(self, latent_dim):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3))
        self.head = networks.MLPEncoder(latent_dim, event_shape=(8,), hidden=(4,))

    def forward(self, x):
        return self.head(self.trunk(x))


def normalised():
    return build("mvae", [modality("normal", encoder=Normalised), modality("bernoulli")])


def test_batch_statistics_and_dropout():
    assert_same_steps(normalised, complete(24, "normal", "bernoulli"), 7)


def test_clipping_transforms_weights_that_decay_and_frozen_parameters():
    def shifted(obs):
        return obs.replace("normal", obs["normal"] + torch.rand(()))

    def frozen():
        system = build("mvae")
        for p in system.model.decoders["normal"].parameters():
            p.requires_grad_(False)
        return system

    optimizer = partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1)
    options = {"clip_norm": 0.5, "transform": shifted, "optimizer": optimizer}
    assert_same_steps(frozen, complete(24), 7, **options)


@pytest.mark.parametrize("name", one_of_each_objective())
def test_beta_that_grows(name):
    # two steps of each of epochs 1 and 2, in which it grows, and 4 at 1; two of both both ways
    data = complete(16, *kinds_of(name))
    assert_same_steps(name, data, 4, epochs=4, annealing_epochs=3)


def test_each_stage_is_recorded_by_itself():
    def staged():
        system = build("mvae")
        parts = [objectives.ELBOTerms(subset_terms(None)), objectives.ELBOTerms(subset_terms(0))]
        system.objective = objectives.Stages(parts, epochs=[3])
        return system

    assert_same_steps(staged, complete(16), 8, epochs=6)  # 12 steps, two of each stage both ways


@pytest.mark.parametrize("step", ["recorded", "eager"])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, step):
    data, options = complete(24), {"checkpoint": tmp_path / "checkpoint.pt", "step": step}
    whole = trained("mvae", data, epochs=4, step="recorded")
    trained("mvae", data, epochs=2, **options)
    assert_equal(whole, trained("mvae", data, epochs=4, resume=True, **options))


class Fickle(nn.Module):
    """A decoder that does what a function says."""

    def __init__(self, in_features, change):
        super().__init__()
        self.network = KINDS["normal"].decoder(in_features)
        self.change = change

    def forward(self, z):
        return self.change(self.network(z))


def fickle(change):
    return lambda: build("vae", [modality("normal", decoder=partial(Fickle, change=change))])


COUNT = iter(range(10**6))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda x: x if x.sum() > 0 else 2 * x, r"a step reads values at .*test_recorded.py:\d+"),
        (lambda x: x * random.random(), "a replayed step gives other numbers"),
        (lambda x: x * np.random.rand(), "a replayed step gives other numbers"),  # noqa: NPY002
        (lambda x: x * next(COUNT), "a replayed step gives other numbers"),
    ],
)
def test_steps_that_differ_are_eager(change, reason):
    step, *_ = trained(fickle(change), complete(16, "normal"), step="recorded")
    assert step.startswith("eager: ")
    assert re.search(reason, step)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"impartial": lambda products: 1 / products.diagonal()}, "impartial"),
        ({"step": "eager"}, "step='eager'"),
        ({"step": "auto", "epochs": 1}, "the run has fewer than 20 steps"),
        ({"epochs": 1}, "no more than 2 batches"),
    ],
)
def test_what_is_not_recorded_says_why(options, reason):
    step, *_ = trained("mvae", complete(8), **{"step": "recorded", **options})
    assert step.startswith(f"eager: {reason}")


def test_random_subsets_are_drawn_anew_and_eager():
    system, data = partial(build, "mvae", terms=subset_terms(1)), complete(16)
    eager, recorded = (trained(system, data, step=step) for step in ("eager", "recorded"))
    assert "reads values at" in recorded[0]
    assert "subset_terms.py" in recorded[0]
    assert_equal(eager, recorded)


class Changes(Callback):
    """Changes the objective, a network's behaviour and what is learned, an epoch each."""

    def before_epoch(self, training):
        system = training.system
        if training.epoch == 1:
            system.objective.beta = 0.5
        elif training.epoch == 2:
            system.model.decoders["normal"].change = lambda x: x * 2
        elif training.epoch == 3:
            for p in system.guide.parameters():
                p.requires_grad_(False)


def test_what_a_callback_changes_is_recorded_anew():
    data, system = complete(32, "normal"), fickle(lambda x: x)
    options = {"epochs": 5, "callbacks": [Changes()]}
    eager, recorded = (trained(system, data, step=s, **options) for s in ("eager", "recorded"))
    # of 4 steps an epoch: 2, 2, none or 1 as what was wrong comes first, 2, and 3 of the last
    assert recorded[0] == "recorded: 10 steps replayed"
    assert_equal(eager, recorded)


def test_an_unknown_step_is_refused():
    with pytest.raises(ValueError, match="unknown step 'quick'"):
        trained("mvae", complete(8), step="quick")


def test_auto_records():
    step, *_ = trained("mvae", complete(16), step="auto", epochs=10)
    assert step == "recorded: 18 steps replayed"
