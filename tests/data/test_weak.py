import pytest
import torch

from ppl_mm import Observations
from ppl_mm.data import keep_modalities, keep_pairs, weakly_supervised
from ppl_mm.data import streams as separate_streams


def numbered(num_rows: int, names: tuple[str, ...] = ("x", "y")) -> Observations:
    """Rows whose every modality holds 1 + the row's number."""
    number = torch.arange(num_rows) + 1.0
    return Observations({name: number[:, None].expand(-1, 2) for name in names})


def streams(obs: Observations, start: int) -> dict[str, list[float]]:
    """The row numbers of each modality's rows from ``start`` on, each row of one modality."""
    held = torch.stack([obs.present[name] for name in obs.names])[:, start:]
    assert (held.sum(0) == 1).all()
    return {name: obs[name][start:][obs.present[name][start:], 0].tolist() for name in obs.names}


@pytest.mark.parametrize("names", [("x", "y"), ("x", "y", "w")])
def test_paired_rows_stay_and_streams_cover_the_others_once(names: tuple[str, ...]) -> None:
    obs = weakly_supervised(numbered(50, names), 0.2)
    assert len(obs) == 10 + len(names) * 40
    paired = obs["x"][:10, 0]
    for name in names:
        assert obs.present[name][:10].all()
        assert torch.equal(obs[name][:10, 0], paired)
    rest = sorted(set(range(1, 51)) - set(paired.tolist()))
    assert len(rest) == 40
    found = streams(obs, 10)
    for stream in found.values():
        assert sorted(stream) == rest
    orders = {tuple(stream) for stream in found.values()} | {tuple(rest)}
    assert len(orders) == len(names) + 1  # shuffled, each in its own way


def test_all_paired_is_the_data_itself() -> None:
    data = numbered(20)
    obs = weakly_supervised(data, 1.0)
    for name in data.names:
        assert torch.equal(obs[name], data[name])
        assert obs.present[name].all()


def test_all_paired_copies_nothing_and_drops_other_masks() -> None:
    data = numbered(20)
    obs = weakly_supervised(data.given("x"), 1.0)
    assert obs["x"].data_ptr() == data["x"].data_ptr()
    assert obs.evidence["y"].all()


def test_none_paired() -> None:
    obs = weakly_supervised(numbered(20), 0.0)
    assert len(obs) == 40
    assert all(sorted(stream) == list(range(1, 21)) for stream in streams(obs, 0).values())


@pytest.mark.parametrize(
    ("num_rows", "fraction", "num_paired"), [(60_000, 0.001, 60), (20, 0.001, 1), (3, 0.5, 2)]
)
def test_number_of_pairs(num_rows: int, fraction: float, num_paired: int) -> None:
    obs = weakly_supervised(numbered(num_rows), fraction)
    assert int((obs.present["x"] & obs.present["y"]).sum()) == num_paired
    assert len(obs) == num_paired + 2 * (num_rows - num_paired)


def test_streams_hold_all_rows_or_the_unpaired_ones_alone() -> None:
    data = numbered(40)
    for unpaired, rest in (("all", 40), ("disjoint", 30)):
        paired, *single = separate_streams(data, 0.25, unpaired=unpaired, seed=1)
        assert len(paired) == 10
        assert torch.equal(paired["x"], paired["y"])
        assert [part.names for part in single] == [("x",), ("y",)]
        assert [len(part) for part in single] == [rest, rest]
        numbers = set(single[1]["y"][:, 0].tolist())
        assert len(numbers) == rest
        assert (set(paired["y"][:, 0].tolist()) <= numbers) == (unpaired == "all")
    again, other = (separate_streams(data, 0.25, seed=s)[0]["y"] for s in (1, 2))
    assert torch.equal(again, paired["y"])
    assert not torch.equal(other, paired["y"])


@pytest.mark.parametrize(
    ("fraction", "rows", "expected"),
    [
        (0.001, 60_000, 60),
        (0.1, 30, 3),
        (0.55, 100, 55),
        (0.01, 30, 1),
        (1.0, 30, 30),
        (0.0, 30, 0),
    ],
)
def test_the_share_of_paired_rows_is_rounded_up(fraction: float, rows: int, expected: int) -> None:
    parts = separate_streams(numbered(rows), fraction)
    assert [len(part) for part in parts] == [expected, rows, rows][0 if expected else 1 :]


def test_streams_of_rows_that_lack_something() -> None:
    held = torch.arange(40) % 4 != 0
    data = Observations(numbered(40).values, {"y": held})
    paired, x, y = separate_streams(data, 0.5)
    assert (len(paired), len(x), len(y)) == (15, 40, 30)  # of the 30 rows that hold both
    assert paired.present["y"].all()
    assert y.present["y"].all()
    paired, x, y = separate_streams(data, 0.5, unpaired="disjoint")
    assert (len(paired), len(x), len(y)) == (15, 25, 15)
    assert len(separate_streams(data.without("y"), 0.0)) == 1  # nobody holds y
    assert len(separate_streams(numbered(40), 1.0, unpaired="disjoint")) == 1
    with pytest.raises(ValueError, match=r"unpaired: .*got 'al'. Did you mean 'all'"):
        separate_streams(data, 0.5, unpaired="al")


def test_paired_rows_are_a_random_choice() -> None:
    first, again, other = (weakly_supervised(numbered(100), 0.1, seed=s) for s in (0, 0, 1))
    assert torch.equal(first["x"], again["x"])
    assert torch.equal(first["y"], again["y"])
    assert not torch.equal(first["x"][:10], other["x"][:10])
    assert first["x"][:10, 0].tolist() != list(range(1, 11))


def test_rows_that_lack_something() -> None:
    data = numbered(40)
    held = torch.arange(40) % 4 != 0
    data = Observations(data.values, {"y": held})
    obs = weakly_supervised(data, 0.25, seed=3)
    number = obs["x"][:10, 0]  # every row holds x
    assert obs.present["x"][:10].all()
    assert torch.equal(obs.present["y"][:10], held[number.long() - 1])
    rest = set(range(1, 41)) - set(number.tolist())
    found = streams(obs, 10)
    assert sorted(found["x"]) == sorted(rest)
    assert sorted(found["y"]) == sorted(n for n in rest if held[int(n) - 1])
    assert not obs.present["y"][:10].all()


def test_rows_without_anything_left() -> None:
    data = numbered(5).without("x", "y")
    with pytest.raises(ValueError, match="at least one row"):
        weakly_supervised(data, 0.0)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_shares_outside_the_unit_interval(value: float) -> None:
    with pytest.raises(ValueError, match=f"fraction: expected .* from 0 to 1, got {value}"):
        weakly_supervised(numbered(4), value)
    with pytest.raises(ValueError, match=f"fraction: expected .* from 0 to 1, got {value}"):
        separate_streams(numbered(4), value)
    with pytest.raises(ValueError, match=f"probability: expected .* from 0 to 1, got {value}"):
        keep_modalities(numbered(4), value)


def test_modalities_are_kept_independently() -> None:
    num_rows, probability = 10_000, 0.3
    obs = keep_modalities(numbered(num_rows), probability)
    x, y = obs.present["x"], obs.present["y"]
    for held, expected in ((x, 0.3), (y, 0.3), (x & y, 0.09)):
        standard_error = (expected * (1 - expected) / num_rows) ** 0.5
        assert abs(held.double().mean() - expected) < 4 * standard_error
    assert (obs["x"][~x] == 0).all()
    assert torch.equal(obs["x"][x], numbered(num_rows)["x"][x])


def test_keeping_is_seeded_and_brings_nothing_back() -> None:
    data = Observations(numbered(200).values, {"y": torch.arange(200) % 2 == 0})
    first, again, other = (keep_modalities(data, 0.5, seed=s) for s in (0, 0, 1))
    assert torch.equal(first.present["x"], again.present["x"])
    assert not torch.equal(first.present["x"], other.present["x"])
    assert not (first.present["y"] & ~data.present["y"]).any()
    everything = keep_modalities(data, 1.0)
    for name in data.names:
        assert torch.equal(everything.present[name], data.present[name])
        assert not keep_modalities(data, 0.0).present[name].any()


def held_by(obs: Observations) -> torch.Tensor:
    """Which modality each row holds, (M, N)."""
    return torch.stack([obs.present[name] for name in obs.names])


@pytest.mark.parametrize("names", [("x", "y"), ("x", "y", "w")])
@pytest.mark.parametrize("fraction", [0.0, 0.29, 0.5, 1.0])
def test_split_keeps_one_modality_of_an_unpaired_row(names: tuple[str, ...], fraction: float):
    data = numbered(100, names)
    obs = keep_pairs(data, fraction)
    held = held_by(obs)
    paired = held.all(0)
    assert paired.sum() == round(100 * fraction)
    assert (held[:, ~paired].sum(0) == 1).all()
    shares = held[:, ~paired].sum(1)
    assert shares.max() - shares.min() <= 1
    for name in names:
        there = obs.present[name]
        assert torch.equal(obs[name][there], data[name][there])
        assert (obs[name][~there] == 0).all()


@pytest.mark.parametrize("always", ["x", "y"])
def test_one_modality_is_always_there(always: str) -> None:
    obs = keep_pairs(numbered(40), 0.25, always=always)
    counts = {name: int(obs.present[name].sum()) for name in obs.names}
    assert counts == {"x": 10, "y": 10, always: 40}


@pytest.mark.parametrize("always", [None, "x"])
def test_pairs_of_a_smaller_fraction_are_among_those_of_a_larger(always: str | None) -> None:
    data = numbered(160, ("x", "y", "w"))
    few, more = (held_by(keep_pairs(data, f, always=always)) for f in (0.25, 0.5))
    assert (more >= few).all()  # who was paired stays so, and all keep what they had
    again = held_by(keep_pairs(data, 0.25, always=always))
    other = held_by(keep_pairs(data, 0.25, always=always, seed=1))
    assert torch.equal(few, again)
    assert not torch.equal(few, other)


def test_the_choice_does_not_follow_the_order_of_rows() -> None:
    paired = held_by(keep_pairs(numbered(1000), 0.5)).all(0)
    standard_error = (0.25 / 500) ** 0.5
    assert abs(paired[:500].double().mean() - 0.5) < 4 * standard_error


def test_pairs_of_rows_that_lack_something() -> None:
    lacks = torch.arange(40) % 4
    present = {"x": lacks != 1, "y": lacks != 2}
    present = {"x": present["x"] & (lacks != 3), "y": present["y"] & (lacks != 3)}
    data = Observations(numbered(40).values, present)
    held = held_by(data)
    split = held_by(keep_pairs(data, 0.0))
    assert (split <= held).all()
    assert torch.equal(split.sum(0), held.any(0).long())  # one of what there is, if there is any
    assert torch.equal(held_by(keep_pairs(data, 1.0)), held)
    only = held_by(keep_pairs(data, 0.0, always="x"))
    assert torch.equal(only[0], held[0])
    assert not only[1].any()


def test_pairs_that_cannot_be_kept() -> None:
    with pytest.raises(ValueError, match=r"keep_pairs, argument fraction: .*from 0 to 1, got 1.5"):
        keep_pairs(numbered(4), 1.5)
    with pytest.raises(ValueError, match="unknown modality 'w'"):
        keep_pairs(numbered(4), 0.5, always="w")
