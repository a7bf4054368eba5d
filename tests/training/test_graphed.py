"""Steps as CUDA graphs: equal to eager ones, and eager with a reason where they cannot be.

Without a device a recording stands for the graph, see ``recorded.py``: it repeats what was done
with tensors and nothing that Python did.
"""

from functools import partial

import pytest
import torch
from every_system import SYSTEMS, build, complete, kinds_of, mixed
from recorded import Recorder
from toy_runs import content_of, write_content

from ppl_mm import Observations, fit, objectives
from ppl_mm.batch import host_masks as known
from ppl_mm.batch.host_masks import HostTensor
from ppl_mm.objectives import subset_terms
from ppl_mm.training import graphed

QUIET = {"batch_size": 8, "device": "cpu", "precision": "64-true", "progress": False}
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


@pytest.fixture
def as_if_cuda(monkeypatch):
    """The CPU taken for a device whose steps can be captured."""
    monkeypatch.setattr(known, "waits", lambda device: True)
    monkeypatch.setattr(graphed, "CUDA", Recorder)


def trained(name, data, **options):
    torch.manual_seed(0)
    system = build(name)
    result = fit(system, data, **{"epochs": 3, "step": "recorded", **QUIET, **options})
    return result, dict(system.state_dict()), system


def assert_same(one, other):
    (a, first, _), (b, second, _) = one, other
    for row, same in zip(a.history, b.history, strict=True):
        assert row["loss"] == pytest.approx(same["loss"], rel=1e-12)
    for key, value in first.items():
        torch.testing.assert_close(value, second[key], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["mvae", "mmvae", "jmvae", "meme", "cmmd", "svae"])
def test_replayed_steps_equal_eager_ones(name, as_if_cuda):
    data = complete(27, *kinds_of(name))  # 3 batches of 8 and one of 3
    eager = trained(name, data, step="eager")
    replayed = trained(name, data)
    assert eager[0].step == "eager: step='eager'"
    assert replayed[0].step == "captured: 5 steps replayed"  # of 9, after 1 + 3 eager ones
    assert_same(eager, replayed)


def test_a_replay_draws_new_numbers_and_reads_new_rows(as_if_cuda):
    still = partial(torch.optim.SGD, lr=0.0)
    result, _, _ = trained("mvae", complete(8), epochs=8, optimizer=still)
    losses = {row["loss"] for row in result.history}
    assert result.step == "captured: 4 steps replayed"
    assert len(losses) == 8


def test_clipping_and_a_transform_are_part_of_it(as_if_cuda):
    def shifted(obs):
        return obs.replace("normal", obs["normal"] + torch.rand(()))

    options = {"clip_norm": 0.5, "transform": shifted}
    data = complete(24)
    replayed = trained("mvae", data, **options)
    assert replayed[0].step.startswith("captured")
    assert_same(trained("mvae", data, step="eager", **options), replayed)


def test_beta_that_grows_is_captured_and_a_constant_one_too(as_if_cuda):
    data, options = complete(16), {"epochs": 8, "annealing_epochs": 4}
    replayed = trained("mvae", data, **options)
    # 6 steps in which beta grows and 10 at 1, of either one sets the shape and 3 warm up
    assert replayed[0].step == "captured: 8 steps replayed"
    assert_same(trained("mvae", data, **{**options, "step": "eager"}), replayed)


def test_each_stage_is_captured_by_itself(as_if_cuda):
    def staged(**options):
        torch.manual_seed(0)
        system = build("mvae")
        parts = [objectives.ELBOTerms(subset_terms(None)), objectives.ELBOTerms(subset_terms(0))]
        system.objective = objectives.Stages(parts, epochs=[3])
        result = fit(system, complete_rows, epochs=6, **{"step": "recorded", **QUIET, **options})
        return result, dict(system.state_dict()), system

    complete_rows = complete(16)
    replayed = staged()
    assert replayed[0].step == "captured: 4 steps replayed"  # 2 of 6 in either stage
    assert_same(staged(step="eager"), replayed)


def test_a_checkpoint_goes_on_with_the_optimisers_own_way_of_counting(as_if_cuda, tmp_path):
    optimizer = partial(torch.optim.Adam, lr=1e-3, fused=False)
    data, path = complete(16), tmp_path / "checkpoint.pt"
    _, whole, _ = trained("mvae", data, epochs=2, optimizer=optimizer, step="eager")
    trained("mvae", data, epochs=1, optimizer=optimizer, step="eager", checkpoint=path)
    content = content_of(path)
    content["optimizer"]["now"][0]["capturable"] = True  # as from a captured run
    write_content(path, content)
    _, resumed, _ = trained(
        "mvae", data, epochs=2, optimizer=optimizer, step="eager", checkpoint=path, resume=True
    )
    assert all(torch.equal(value, resumed[key]) for key, value in whole.items())


class Own(torch.optim.Adam):
    """An optimiser of the user's."""


@pytest.mark.parametrize(
    ("data", "options", "reason"),
    [
        (mixed, {}, "rows hold different modalities"),
        (complete, {"impartial": lambda products: 1 / products.diagonal()}, "impartial"),
        (complete, {"optimizer": partial(Own, lr=1e-3)}, "optimiser Own has no option"),
        (complete, {"optimizer": partial(torch.optim.Adagrad, lr=1e-3)}, "Adagrad has no option"),
    ],
)
def test_what_cannot_be_captured_is_eager_and_says_why(data, options, reason, as_if_cuda):
    rows = mixed() if data is mixed else complete(8)
    result, _, _ = trained("mvae", rows, epochs=1, **options)
    assert result.step.startswith("eager: ")
    assert reason in result.step


def test_masks_that_only_the_device_knows_are_eager(as_if_cuda):
    def dropped(obs):
        return Observations(obs.values, {"normal": torch.rand(len(obs)) < 0.5})

    result, _, _ = trained("mvae", complete(16), epochs=4, transform=dropped)
    assert "masks whose values only the device has" in result.step


def test_a_capture_that_fails_trains_on_eagerly(as_if_cuda, monkeypatch):
    def fails(self, run):
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(Recorder, "capture", fails)
    data = complete(24)
    result = trained("mvae", data)
    assert result[0].step.endswith("operation not permitted when stream is capturing")
    assert_same(trained("mvae", data, step="eager"), result)


@pytest.mark.parametrize("ends", ["the capture failed: no", "copies something new"])
def test_a_constant_that_a_capture_makes_is_not_read_by_eager_steps(as_if_cuda, monkeypatch, ends):
    def capture(self, run):
        with monkeypatch.context() as inside:  # a copy that is captured does not arrive
            inside.setattr(known, "_send", lambda host, target: torch.zeros_like(host))
            late.copied()
        if "failed" in ends:
            raise RuntimeError("no")
        return run(), lambda: None

    late = HostTensor.of(torch.ones(3), torch.device("cpu"))
    monkeypatch.setattr(Recorder, "capture", capture)
    kept = []
    watched = Recorder.watched
    monkeypatch.setattr(
        Recorder, "watched", lambda *args: kept.append(known._kept[-1]) or watched(*args)
    )
    result, _, _ = trained("mvae", complete(24))
    assert ends in result.step
    with known.constants(kept[0]):
        assert late.copied().tolist() == [1, 1, 1]


def test_numbers_drawn_on_the_host_are_noticed():
    assert graphed.draws_on_host(lambda: torch.randn(2))[1]
    assert not graphed.draws_on_host(lambda: torch.zeros(2))[1]


@needs_cuda
@pytest.mark.parametrize("name", SYSTEMS)
def test_a_cuda_graph_equals_eager_steps(name):
    data = complete(40, *kinds_of(name))
    eager = trained(name, data, device="cuda", step="eager")
    replayed = trained(name, data, device="cuda", step="recorded")
    assert replayed[0].step.startswith("captured")
    for key, value in eager[1].items():
        torch.testing.assert_close(value, replayed[1][key], rtol=1e-8, atol=1e-9)


@needs_cuda
def test_random_subsets_are_eager_on_cuda():
    torch.manual_seed(0)
    system = build("mvae", terms=subset_terms(1))
    options = {**QUIET, "device": "cuda", "step": "recorded"}
    result = fit(system, complete(40), epochs=3, **options)
    assert result.step == "eager: a step draws random numbers on the host"
