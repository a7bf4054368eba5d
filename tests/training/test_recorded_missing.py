"""Recorded steps on rows that hold different modalities: networks see all rows."""

from functools import partial

import pyro
import pytest
import torch
from every_system import SYSTEMS, build, complete, kinds_of, mixed, modality
from torch import nn

from ppl_mm import Observations, fit, networks
from ppl_mm.batch.host_masks import recording
from ppl_mm.training import plan, recorded
from ppl_mm.training.plan import Missing
from ppl_mm.training.recorded import Recorded
from ppl_mm.training.step_state import to_record

QUIET = {"epochs": 3, "batch_size": 8, "device": "cpu", "progress": False, "precision": "64-true"}


def shuffled(name="mvae", times=3):
    torch.manual_seed(1)
    data = mixed(*kinds_of(name), rows_per_pattern=times * (4 if name == "vae" else 1))
    data = data[torch.randperm(len(data))]
    return data


def trained(system, data, **options):
    torch.manual_seed(0)
    system = build(system) if isinstance(system, str) else system()
    result = fit(system, data, **{**QUIET, **options})
    return result.step, [row["loss"] for row in result.history], dict(system.state_dict())


def assert_close(one, other):
    torch.testing.assert_close(one[1], other[1], rtol=1e-9, atol=1e-9)
    for key, value in one[2].items():
        torch.testing.assert_close(value, other[2][key], rtol=1e-9, atol=1e-10)


def assert_equal(one, other):
    assert one[1] == other[1]
    assert all(torch.equal(value, other[2][key]) for key, value in one[2].items())


def numbers(system, step):
    """The loss and the gradients of a step, from a seed of its own."""
    system.zero_grad()
    torch.manual_seed(7)
    loss = step()
    return [loss, *(p.grad for p in system.parameters())]


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_program_serves_every_pattern_of_missing_modalities(name):
    data = shuffled(name).to(torch.float64)
    torch.manual_seed(0)
    system = build(name).double()
    steady = frozenset()

    def eager(batch, share, size):
        with pyro.validation_enabled(False):
            loss = system(batch) / size
        if loss.requires_grad:
            loss.backward()
        return loss.detach()

    step = Recorded(eager, system, system.objective, None, missing=Missing(8, steady))
    for rows in torch.randperm(len(data)).split(8)[:2] * 2:
        system.zero_grad()
        step(data[rows], range(8), 8)
    assert step.outcome.startswith("recorded: 2 steps replayed")
    for rows in torch.randperm(len(data)).split(8):
        batch = data[rows]
        own = numbers(system, partial(step, batch, range(8), 8))
        gathered = numbers(system, partial(eager, batch, range(8), 8))
        assert [x is None for x in own] == [x is None for x in gathered]
        for a, b in zip(own, gathered, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)
        with recording():  # the same operations one by one: to the last bit
            dense = numbers(system, partial(eager, to_record(batch, steady), range(8), 8))
        for a, b in zip(own, dense, strict=True):
            assert a is None or torch.equal(a, b)


def test_pseudo_inputs_that_no_row_of_a_batch_needs_change_no_number():
    data = shuffled("meme")
    one, other = (trained("meme", data, step=step) for step in ("eager", "recorded"))
    assert other[0].startswith(("recorded: 7", "eager: a replayed step gives other numbers"))
    assert_close((other[0], *one[1:]), other)


@pytest.mark.parametrize("name", ["mvae", "jmvae", "mmvae", "cmmd"])
def test_training_is_that_of_eager_steps_up_to_rounding(name):
    data = shuffled(name)
    step, *rest = trained(name, data, step="recorded")
    assert step.startswith("recorded: 7 steps replayed (networks see all rows")
    assert_close(trained(name, data, step="eager"), (step, *rest))


@pytest.mark.parametrize("drawn", [2, 3])
def test_strata_drawn_at_random(drawn):
    system, data = partial(build, "mmvae", strata=drawn), shuffled()
    one, other = (trained(system, data, step=step) for step in ("eager", "recorded"))
    assert other[0].startswith("recorded: 7")
    assert_close(one, other)


def test_elements_that_are_missing():
    data = shuffled()
    elements = {"normal": torch.rand(data["normal"].shape) < 0.7}
    data = Observations(data.values, data.present, elements)
    one, other = (trained("mvae", data, step=step) for step in ("eager", "recorded"))
    assert other[0].startswith("recorded: 7")
    assert_close(one, other)


def test_a_smaller_last_batch_is_eager_and_beta_grows():
    data, options = shuffled()[:21], {"epochs": 4, "annealing_epochs": 2}
    one, other = (trained("mvae", data, step=step, **options) for step in ("eager", "recorded"))
    assert other[0].startswith("recorded: 4 steps")  # of 8 in batches of 8, two of either kind
    assert_close(one, other)


def test_the_faster_way_is_taken_and_kept_in_the_checkpoint(monkeypatch, tmp_path):
    monkeypatch.setattr(plan, "_TIMED", 1)
    data, file = shuffled(times=8), tmp_path / "run.pt"
    for faster in (True, False):
        monkeypatch.setattr(Recorded, "_faster", lambda *_, faster=faster: faster)
        options = {"checkpoint": file, "step": "auto"}
        whole = trained("mvae", data, epochs=4, step="auto")
        assert whole[0].startswith("recorded" if faster else "eager: rows hold different")
        trained("mvae", data, epochs=3, **options)
        monkeypatch.setattr(Recorded, "_faster", lambda *_, faster=faster: not faster)
        assert_equal(whole, trained("mvae", data, epochs=4, resume=True, **options))


def test_small_networks_are_recorded_after_the_first_steps(monkeypatch):
    monkeypatch.delattr(Recorded, "_faster")
    data = shuffled(times=8)
    count = -(-len(data) // 8)
    first = 20 // count
    assert 0 < first < 20 / count  # The first recorded step is within an epoch.
    one, other = (trained("mvae", data, step=step, epochs=first + 2) for step in ("eager", "auto"))
    assert other[0].startswith("recorded")
    assert one[1][:first] == other[1][:first]
    assert_close(one, other)
    assert not all(torch.equal(x, other[2][key]) for key, x in one[2].items())


def test_a_run_of_small_networks_may_be_stopped_and_made_longer(tmp_path):
    data, file = shuffled(times=8), tmp_path / "run.pt"
    whole = trained("mvae", data, step="auto", epochs=6)
    assert whole[0].startswith("recorded")
    for epochs in (1, 3, 4, 6):
        found = trained(
            "mvae", data, step="auto", epochs=epochs, checkpoint=file, resume=epochs > 1
        )
    assert_equal(whole, found)


def test_large_networks_are_eager_unless_asked_otherwise(monkeypatch):
    monkeypatch.delattr(Recorded, "_faster")
    monkeypatch.setattr(recorded, "_SMALL", 10)
    data = shuffled(times=8)
    one, other = (trained("mvae", data, step=step, epochs=4) for step in ("eager", "auto"))
    assert other[0].startswith("eager: rows hold different modalities; step='recorded' gives")
    assert_equal(one, other)


def test_what_rows_that_do_not_count_cost_decides():
    data = shuffled(times=8)
    system = build("mvae")
    data = data[torch.ones(len(data), dtype=torch.bool)]
    sizes = recorded._flops(partial(system, data)), recorded._flops(partial(system, data[:4]))
    assert sizes[0] > sizes[1] > 0
    assert recorded._flops(lambda: torch.ones(4, 5) @ torch.ones(5, 3)) == 2 * 4 * 5 * 3


def test_timing_leaves_the_run_as_it_is(monkeypatch):
    monkeypatch.setattr(plan, "_TIMED", 1)
    data = shuffled(times=8)
    timed, own = (trained("mvae", data, step=step) for step in ("auto", "recorded"))
    if timed[0].startswith("eager"):
        own = trained("mvae", data, step="eager")
    assert_equal(timed, own)


def test_patterns_that_recur_have_programs_of_their_own():
    whole = complete(16, "bernoulli", "categorical", "normal")
    batches = [whole[:8], whole[8:].without("normal"), whole[8:].only("normal")]
    one, other = (trained("mvae", batches.copy(), step=step) for step in ("eager", "recorded"))
    assert other[0].startswith("recorded: ")

    class Loader:
        def __iter__(self):
            return iter(batches)

    one, other = (trained("mvae", Loader(), step=step, epochs=6) for step in ("eager", "recorded"))
    assert other[0] == "recorded: 6 steps replayed"  # the third and fourth of each are compared
    assert_equal(one, other)


class Normalised(nn.Module):
    """An encoder with statistics of its batches."""

    def __init__(self, latent_dim):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8))
        self.head = networks.MLPEncoder(latent_dim, event_shape=(8,), hidden=(4,))

    def forward(self, x):
        return self.head(self.trunk(x))


def test_statistics_of_the_rows_that_count_make_steps_eager():
    def system():
        return build("mvae", [modality("normal", encoder=Normalised), modality("categorical")])

    data = shuffled().drop("bernoulli")
    one, other = (trained(system, data, step=step) for step in ("eager", "recorded"))
    assert other[0] == "eager: batch normalisation sees no rows but those that count"
    assert_equal(one, other)


def test_masks_that_a_transform_changes():
    def dropped(obs):
        return Observations(obs.values, {"normal": torch.rand(len(obs)) < 0.5})

    data, options = complete(16), {"transform": dropped, "epochs": 15}
    one, other = (trained("mvae", data, step=step, **options) for step in ("eager", "recorded"))
    assert other[0].startswith("recorded: ")
    assert_close(one, other)


def test_a_likelihood_without_zeros_in_its_support(monkeypatch):
    monkeypatch.setattr(recorded, "_PROOFS", 100)
    kinds = ("continuous_bernoulli", "poisson", "negative_binomial")
    torch.manual_seed(1)
    data = mixed(*kinds, rows_per_pattern=3)
    system = partial(build, "mvae", [modality(kind) for kind in kinds])
    one, other = (trained(system, data, step=step) for step in ("eager", "recorded"))
    assert other[0] == "eager: no more than 100 batches of one size and stage"
    assert_close(one, other)
