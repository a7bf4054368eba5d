"""The rows of a step: batches of every stream, shares of them, and batches of the user's own."""

from collections import Counter

import pytest
import torch
from toy_runs import QUIET, rows, toy

from ppl_mm import Observations, fit
from ppl_mm.data import MemoryMapped
from ppl_mm.training.batches import Streams
from ppl_mm.training.loader import Loader, streams_of


def numbered(size, start=0, **more):
    """Rows whose value is their number."""
    return Observations({"x": torch.arange(start, start + size)[:, None] * 1.0, **more})


def values(obs):
    return obs["x"][:, 0].tolist()


# ------------------------------------------------------------------ streams


@pytest.mark.parametrize(
    ("sizes", "batch_size", "steps", "largest"),
    [((10,), 4, 3, 4), ((8,), 4, 2, 4), ((3,), 4, 1, 3), ((10, 3), 4, 3, 7), ((2, 3, 1), 1, 3, 3)],
)
def test_an_epoch_has_each_row_of_the_longest_stream_once(sizes, batch_size, steps, largest):
    streams = Streams([numbered(size) for size in sizes])
    assert len(streams) == sum(sizes)
    assert streams.steps(batch_size) == steps
    assert streams.largest(batch_size) == largest
    batches = streams.epoch(batch_size)
    assert len(batches) == steps
    assert sum(len(own) for own in batches[0]) == largest
    longest = sizes.index(max(sizes))
    seen = torch.cat([batch[longest] for batch in batches])
    assert sorted(seen.tolist()) == list(range(max(sizes)))


def test_a_shorter_stream_starts_over_in_a_new_order():
    streams = Streams([numbered(60), numbered(6)])
    second = torch.cat([own for _, own in streams.epoch(2)])
    passes = second.split(6)
    assert len(passes) == 10
    assert all(sorted(order.tolist()) == list(range(6)) for order in passes)
    assert len({tuple(order.tolist()) for order in passes}) > 1


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (0, None, [2, 0, 1, 101, 100]),
        (0, 3, [2, 0, 1]),
        (1, 4, [0, 1, 101]),
        (3, 5, [101, 100]),
        (2, 3, [1]),
        (4, 9, [100]),
    ],
)
def test_a_share_of_a_batch_goes_through_its_streams_one_after_the_other(first, last, expected):
    streams = Streams([numbered(3), numbered(2, 100)])
    batch = (torch.tensor([2, 0, 1]), torch.tensor([1, 0]))
    assert values(streams.take(batch, first, last)) == expected


def test_reading_ahead_from_files_gives_the_same_rows():
    memory = numbered(7)
    mapped = MemoryMapped({"x": memory["x"].numpy()})
    found = []
    for obs in (memory, mapped):
        torch.manual_seed(0)
        streams = Streams(obs).to(torch.device("cpu"), torch.float32)
        batches = streams.epoch(3)
        shares = [range(len(own)) for (own,) in batches]
        read = list(streams.read(batches, shares))
        assert {part["x"].dtype for part in read} == {torch.float32}
        found.append([values(part) for part in read])
    assert found[0] == found[1]
    assert [len(part) for part in found[0]] == [3, 3, 1]
    assert Streams(mapped).mapped
    assert not Streams(memory).mapped
    assert Streams([memory, mapped]).mapped


HELD = torch.tensor([True, False, True, True])


def pattern(**present):
    obs = {name: torch.zeros(4, 2) for name in ("x", "y")}
    return Observations(obs, present)


def test_streams_know_which_modalities_every_row_holds():
    whole, some = pattern(), pattern(y=HELD)
    assert Streams(whole).one_pattern
    assert not Streams(some).one_pattern
    assert Streams(some).steady == {"x"}
    assert Streams([whole, some]).steady == {"x"}
    assert Streams(whole).steady == {"x", "y"}
    without = pattern(y=~HELD & HELD)
    assert Streams(without).one_pattern
    assert Streams(without).steady == {"x", "y"}
    # in each stream all rows are alike, and the streams differ
    assert Streams([whole, without]).one_pattern
    assert Streams([whole, without]).steady == {"x"}
    assert Streams([whole, whole.only("x")]).steady == {"x"}
    # y is there in all rows, and in those of one stream no network may look at it
    assert Streams([whole, whole.given("x")]).steady == {"x"}
    assert Streams(whole.given("x")).steady == {"x", "y"}


def test_a_missing_element_is_no_one_pattern():
    holes = {"x": torch.ones(4, 2, dtype=torch.bool)}
    holes["x"][1, 0] = False
    assert not Streams(Observations({"x": torch.zeros(4, 2)}, elements=holes)).one_pattern


def test_the_first_rows_of_every_stream_stand_together():
    streams = Streams([numbered(5), numbered(2, 100)])
    assert values(streams.head(3)) == [0, 1, 2, 100, 101]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ("rows", TypeError, "expected Observations or a sequence of Observations, got 'rows'"),
        ({"x": torch.zeros(2)}, TypeError, r"a dict of tensors as Observations\(\{...\}\)"),
        (3, TypeError, "argument data: expected Observations or a sequence"),
        ([numbered(2), {"x": 1}], TypeError, r"data\[1\]: expected Observations, got a? ?dict"),
        ((), ValueError, "at least one stream of rows, got none"),
        (pattern(x=HELD & ~HELD, y=HELD & ~HELD), ValueError, "no row of the data holds any"),
    ],
    ids=["text", "dict", "number", "list", "none", "nothing"],
)
def test_what_holds_no_rows_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        fit(toy(), given, epochs=1, **QUIET)


# ------------------------------------------------------------------ batches of the user's own


class Batches:
    """An iterable that starts anew, with other batches in each pass if it is told so."""

    def __init__(self, *passes):
        self.passes, self.number = passes, 0

    def __iter__(self):
        yield from self.passes[min(self.number, len(self.passes) - 1)]
        self.number += 1


def test_sizes_of_a_loader_are_those_of_its_batches():
    loader = streams_of(Batches([numbered(2), numbered(5), numbered(1)]))
    assert isinstance(loader, Loader)
    assert len(loader) == 8
    assert loader.steps(100) == 3
    assert loader.largest(100) == 5
    assert [len(own) for (own,) in loader.epoch(100)] == [2, 5, 1]
    assert loader.told == ()
    assert (loader.mapped, loader.one_pattern, loader.steady) == (True, False, frozenset())


def test_a_loader_goes_on_after_the_batches_that_are_skipped():
    loader = Loader(Batches([numbered(2), numbered(3, 10), numbered(2, 20)]))
    batches = loader.epoch(1)
    loader.skip(1)
    found = loader.read(batches[1:], [range(1, 3), range(0, 1)])
    assert [values(obs) for obs in found] == [[11, 12], [20]]


def test_the_rows_that_are_checked_hold_every_modality_of_any_batch():
    y = torch.arange(2)
    first, second = numbered(2), numbered(2, 10)
    last = numbered(2, 20, y=y)
    loader = Loader(Batches([first, second, last]))
    (rows_looked_at,) = loader.parts
    assert set(rows_looked_at.names) == {"x", "y"}
    assert values(rows_looked_at) == [0, 1, 20, 21]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ([rows()[:8], rows()[:4]], "gave 4 rows where its first pass gave 8 rows"),
        ([rows()[:8]], "gave no more where its first pass gave 8 rows"),
    ],
)
def test_a_second_pass_of_other_sizes_is_refused(second, message):
    first = [rows()[:8], rows()[8:16]]
    with pytest.raises(ValueError, match=message):
        fit(toy(), Batches(first, second), epochs=1, **QUIET)


def test_an_iterable_without_batches_is_refused():
    with pytest.raises(ValueError, match="at least one stream of rows, got none"):
        fit(toy(), Batches([]), epochs=1, **QUIET)


def test_each_batch_of_a_loader_is_a_step_whatever_the_batch_size():
    seen = Counter()

    def count(obs):
        seen[len(obs)] += 1
        return obs

    parts = [rows()[:5], rows()[5:7], rows()[7:]]
    fit(toy(), Batches(parts), epochs=2, batch_size=1, transform=count, **QUIET)
    assert seen == {5: 3, 2: 2, 17: 2}  # the first rows are looked at before
