"""``fit`` on several streams: every step has a batch of each, and the shorter ones start over."""

from functools import partial

import pytest
import torch
from every_system import complete, modalities
from linear_gaussian import LinearGaussian

from ppl_mm import Observations, fit, objectives, systems
from ppl_mm.data import streams
from ppl_mm.objectives import Term
from ppl_mm.training.batches import Streams

QUIET = {"device": "cpu", "precision": "64-true", "progress": False}


def numbered(name: str, size: int, first: int = 0) -> Observations:
    return Observations({name: torch.arange(first, first + size).double()[:, None]})


def values(batches: list[Observations], name: str) -> list[float]:
    return [v for b in batches for v in b[name][b.present[name]][:, 0].tolist()]


def test_an_epoch_goes_once_through_the_longest_stream() -> None:
    data = Streams([numbered("a", 3), numbered("b", 10, 100), numbered("a", 4, 50)])
    torch.manual_seed(0)
    batches = [data.take(batch) for batch in data.epoch(2)]
    assert len(batches) == 5
    assert sorted(values(batches, "b")) == [100.0 + i for i in range(10)]
    of_a = values(batches, "a")
    short = [v for v in of_a if v < 50]
    # 3 rows in batches of 2: 2, 1, 2, 1, 2
    assert len(short) == 8
    assert sorted(short[:3]) == sorted(short[3:6]) == [0.0, 1.0, 2.0]
    assert len([v for v in of_a if v >= 50]) == 10
    assert [len(batch) for batch in batches] == [6, 5, 6, 5, 6]


def test_streams_are_shuffled_independently_and_anew() -> None:
    data = Streams([numbered("a", 50), numbered("b", 50)])
    torch.manual_seed(0)
    first, second = ([data.take(b) for b in data.epoch(5)] for _ in range(2))
    assert values(first, "a") != values(first, "b")
    assert values(first, "a") != values(second, "a")


@pytest.mark.parametrize("world", [1, 2, 3])
def test_shares_of_a_batch_make_up_the_whole(world: int) -> None:
    data = Streams([numbered("a", 3), numbered("b", 4)])
    (batch,) = data.epoch(4)
    bounds = torch.arange(7).tensor_split(world)
    shares = [data.take(batch, int(b[0]), int(b[-1]) + 1) for b in bounds]
    whole = data.take(batch)
    joined = Observations.collate(shares)
    for name in "ab":
        assert torch.equal(joined[name], whole[name])
        assert torch.equal(joined.present[name], whole.present[name])


def test_a_term_is_the_mean_over_its_own_stream() -> None:
    toy = LinearGaussian({"a": 3, "b": 4})
    both, single = toy.sample(6), toy.sample(30, seed=1).drop("b")
    terms = [Term(("a", "b"), ("a", "b")), Term(("a",), ("a",), alone=True)]
    objective = objectives.ELBOTerms(terms, rows="require", mean="rows")
    system = toy.system(toy.exact_guide(), objective)
    frozen = partial(torch.optim.SGD, lr=0.0)
    result = fit(system, [both, single], epochs=1, batch_size=30, optimizer=frozen, **QUIET)
    expected = toy.log_p(both, "ab").mean() + toy.log_p(single, "a").mean()
    assert result.history[0]["bound"] == pytest.approx(expected.item(), abs=1e-9)


def test_a_term_that_would_count_on_several_streams_is_refused() -> None:
    system = systems.svae(modalities("bernoulli", "normal"), 2)
    rows = complete(20, "bernoulli", "normal")
    with pytest.raises(ValueError, match=r"'bernoulli' alone .* on 2 of the streams.*'disjoint'"):
        fit(system, streams(rows, 0.2), epochs=1, **QUIET)
    fit(system, rows, epochs=1, **QUIET)


def test_few_pairs_count_as_much_as_many() -> None:
    """At 1 % supervision the paired rows' terms still have weight 1 in every step."""
    declared = modalities("bernoulli", "normal")
    system = systems.svae(declared, 2, unpaired="disjoint")
    data = streams(complete(200, "bernoulli", "normal"), 0.01)
    batches = Streams(data)
    for batch in batches.epoch(20):
        obs = batches.take(batch)
        bounds = system.objective.term_bounds(system.model, system.guide, obs)
        active = (bounds != 0).sum(1).tolist()
        assert active == [2, 2, 20, 20, 2, 2]


def test_a_resumed_run_on_streams_equals_an_uninterrupted_one(tmp_path) -> None:
    results = []
    for stops in ((4,), (1, 4)):
        torch.manual_seed(0)
        system = systems.vaevae(modalities("bernoulli", "normal"), 2, unpaired="disjoint")
        data = streams(complete(24, "bernoulli", "normal"), 0.25)
        for epochs in stops:
            fit(
                system,
                data,
                epochs=epochs,
                batch_size=5,
                checkpoint=tmp_path / f"{len(stops)}",
                resume=epochs == 4 and len(stops) == 2,
                **QUIET,
            )
        results.append(system.state_dict())
    for name, value in results[0].items():
        assert torch.equal(value, results[1][name])


def test_a_transform_sees_the_joined_batch() -> None:
    system = systems.svae(modalities("bernoulli", "normal"), 2, unpaired="disjoint")
    seen: list[tuple[str, ...]] = []

    def watch(obs: Observations) -> Observations:
        seen.append(obs.names)
        return obs

    data = streams(complete(8, "bernoulli", "normal"), 0.5)
    fit(system, data, epochs=1, batch_size=4, transform=watch, **QUIET)
    assert seen[-2:] == [("bernoulli", "normal")] * 2
