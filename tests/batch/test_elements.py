"""Elements that are missing of rows that are present go wherever the rows go."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ppl_mm import Observations, data
from ppl_mm.training.batches import Streams

NAN = float("nan")
X = torch.tensor([[1.0, NAN, 3.0], [4.0, 5.0, 6.0], [NAN, NAN, NAN], [NAN, 8.0, NAN]])
Y = torch.tensor([[1.0], [2.0], [3.0], [4.0]])


def rows() -> Observations:
    """Row 0 and row 3 miss elements of x, row 2 all of them, row 1 misses y."""
    present = {"y": torch.tensor([True, False, True, True])}
    return Observations({"x": X, "y": Y}, present, {"x": ~X.isnan(), "y": torch.ones_like(Y) > 0})


def same(obs: Observations, other: Observations) -> bool:
    """Whether two batches hold the same, element by element."""
    pairs = [
        (kind_a, kind_b)
        for kind in ("values", "present", "evidence", "scored", "source", "elements")
        for kind_a, kind_b in [(dict(getattr(obs, kind)), dict(getattr(other, kind)))]
    ]
    return all(a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a) for a, b in pairs)


def test_what_is_missing_is_zero_and_a_row_without_elements_misses_the_modality() -> None:
    obs = rows()
    assert obs["x"].tolist() == [[1, 0, 3], [4, 5, 6], [0, 0, 0], [0, 8, 0]]
    assert obs.present["x"].tolist() == [True, True, False, True]
    assert obs.elements["x"].tolist() == [
        [True, False, True],
        [True, True, True],
        [True, True, True],  # a row that misses the modality has no hole
        [False, True, False],
    ]
    assert list(obs.elements) == ["x"], "a modality that is whole has no masks"
    assert repr(obs) == "Observations(4 rows; x(3,): 3 present, 2 in parts, y(1,): 3 present)"
    again = Observations(obs.values, obs.present, obs.elements)
    assert same(obs, again)


def test_an_observed_element_must_be_finite() -> None:
    with pytest.raises(ValueError, match=r"'x': row 2 is observed but holds NaN.*elements"):
        Observations({"x": X}, elements={"x": ~X.isnan() | (torch.arange(3) == 0)})


def test_scalars_have_no_elements_of_their_own() -> None:
    held = torch.tensor([True, False])
    obs = Observations({"x": torch.tensor([1.0, NAN])}, elements={"x": held})
    assert obs.present["x"].tolist() == [True, False]
    assert not obs.elements


@pytest.mark.parametrize("index", [slice(1, 4), [3, 0], torch.tensor([3]), torch.arange(4) > 1])
def test_rows_take_their_elements_along(index: Any) -> None:
    taken = rows()[index]
    assert torch.equal(taken.elements["x"], rows().elements["x"][index])
    assert torch.equal(taken["x"], rows()["x"][index])


def test_other_masks_and_devices_leave_elements_alone() -> None:
    obs = rows()
    for changed in (obs.only("x"), obs.without("y"), obs.given("y"), obs.scoring("x")):
        assert torch.equal(changed.elements["x"], obs.elements["x"])
    assert obs.drop("x").elements == {}
    assert list(obs.drop("y").elements) == ["x"]
    assert obs.to("meta").elements["x"].device.type == "meta"
    assert obs.to(torch.float64).elements["x"].dtype == torch.bool
    assert obs.strata([("x",), ("y",)]).elements["x"].shape == (4, 3)


def test_joined_batches_keep_their_elements() -> None:
    obs = rows()
    whole = Observations({"x": torch.ones(2, 3), "y": torch.ones(2, 1)})
    other = Observations({"y": torch.ones(1, 1)})
    joined = Observations.collate([obs, whole, other])
    assert torch.equal(joined.elements["x"][:4], obs.elements["x"])
    assert joined.elements["x"][4:].all()
    assert joined.elements["x"].shape == (7, 3)
    assert Observations.collate([whole, other]).elements == {}
    assert same(Observations.collate([obs[:2], obs[2:]]), obs)


def test_other_values_have_the_same_holes() -> None:
    obs = rows().replace("x", torch.full((4, 3), 7.0))
    assert obs["x"].tolist() == [[7, 0, 7], [7, 7, 7], [0, 0, 0], [0, 7, 0]]
    rows().replace("x", X)  # NaN where it is missing
    with pytest.raises(ValueError, match=r"'x': expected elements of the shape of its values"):
        rows().replace("x", torch.ones(4, 2))


def test_pickled_rows_keep_their_elements() -> None:
    assert same(pickle.loads(pickle.dumps(rows())), rows())


@pytest.mark.parametrize("stored", [False, True])
def test_rows_in_files(tmp_path: Path, stored: bool) -> None:
    arrays: dict[str, Any] = {"x": X.numpy(), "y": Y.numpy()}
    elements: Any = (~X.isnan()).numpy()
    if stored:
        for name, array in arrays.items():
            np.save(tmp_path / f"{name}.npy", array)
        np.save(tmp_path / "held.npy", elements)
        arrays = {n: tmp_path / f"{n}.npy" for n in arrays}
        elements = tmp_path / "held.npy"
    present = {"y": rows().present["y"]}
    mapped = data.MemoryMapped(arrays, present, elements={"x": elements})
    assert same(mapped.in_memory(), rows())
    assert same(mapped[[3, 1]].in_memory(), rows()[[3, 1]])
    assert torch.equal(mapped[1:].elements["x"], rows().elements["x"][1:])
    assert mapped.drop("x").elements == {}
    assert same(mapped.to("cpu").in_memory(), rows())
    assert same(pickle.loads(pickle.dumps(mapped)).in_memory(), rows())


def test_files_refuse_elements_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"'x': expected elements of the shape of its values"):
        data.MemoryMapped({"x": np.ones((3, 2))}, elements={"x": np.eye(3, dtype=bool)})
    with pytest.raises(
        TypeError, match=r"'x': expected elements as 3 rows of booleans, got 3 of f"
    ):
        data.MemoryMapped({"x": np.ones((3, 2))}, elements={"x": np.ones((3, 2))})


def test_weaker_supervision_keeps_elements() -> None:
    obs = rows()
    assert torch.equal(data.keep_modalities(obs, 1.0).elements["x"], obs.elements["x"])
    assert torch.equal(data.keep_pairs(obs, 1.0).elements["x"], obs.elements["x"])
    for part in (data.weakly_supervised(obs, 1.0), data.weakly_supervised(obs, 0.25, seed=1)):
        for row, held in zip(part["x"], part.elements["x"], strict=True):
            source = (obs["x"] == row).all(1).nonzero()[0, 0]
            assert torch.equal(held, obs.elements["x"][source])


def test_streams_take_elements() -> None:
    obs = rows()
    streams = Streams([obs, obs.drop("y")])
    assert not streams.one_pattern
    taken = streams.take((torch.tensor([3, 1]), torch.tensor([0])))
    assert torch.equal(taken.elements["x"], obs.elements["x"][[3, 1, 0]])
