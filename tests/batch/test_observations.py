"""Observations: values, the four masks, and what changes them."""

import pickle
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ppl_mm import Observations
from ppl_mm.batch.observations import UnderTerms
from ppl_mm.objectives import Term

NAN = float("nan")
KINDS = ("present", "scored", "evidence", "source")


def mask(*rows: int) -> Tensor:
    return torch.tensor([bool(row) for row in rows])


def two() -> Observations:
    """Four rows: both, a alone, b alone, nothing."""
    return Observations(
        {"a": torch.arange(8.0).reshape(4, 2), "b": torch.tensor([3, 2, 1, 0])},
        {"a": mask(1, 1, 0, 0), "b": mask(1, 0, 1, 0)},
    )


def table(masks: dict[str, Tensor]) -> dict[str, list[str]]:
    """Masks as rows of 1 and 0."""
    return {
        n: ["".join(str(int(v)) for v in row) for row in m.reshape(-1, m.shape[-1])]
        for n, m in masks.items()
    }


# ------------------------------------------------------------------ construction


def test_masks_are_complete_by_default() -> None:
    obs = Observations({"x": torch.ones(3, 2), "y": torch.zeros(3)}, {"x": mask(1, 0, 1)})
    assert table(obs.present) == {"x": ["101"], "y": ["111"]}
    for kind in KINDS:
        assert table(getattr(obs, kind)) == table(obs.present)
    assert (len(obs), obs.names, obs.shape) == (3, ("x", "y"), (3,))
    assert obs.device == torch.device("cpu")


def test_missing_values_become_zeros_in_a_copy() -> None:
    x = torch.tensor([[1.0, 2.0], [NAN, 5.0], [torch.inf, 1.0]])
    given = x.clone()
    obs = Observations({"x": x}, {"x": mask(1, 0, 0)})
    assert obs["x"].tolist() == [[1.0, 2.0], [0.0, 0.0], [0.0, 0.0]]
    torch.testing.assert_close(x, given, rtol=0, atol=0, equal_nan=True)


def test_numbers_of_event_shape_nothing_are_values_too() -> None:
    obs = Observations({"x": torch.tensor([0.5, NAN])}, {"x": mask(1, 0)})
    assert obs["x"].tolist() == [0.5, 0.0]


def test_values_are_cut_off_from_a_graph() -> None:
    x = torch.ones(2, 3, requires_grad=True)
    assert not Observations({"x": 2 * x})["x"].requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64, torch.uint8])
def test_tensors_keep_their_dtype(dtype: torch.dtype) -> None:
    obs = Observations({"x": torch.ones(3, 2, dtype=dtype)}, {"x": mask(1, 0, 1)})
    assert obs["x"].dtype == dtype


def test_blank_holds_nothing() -> None:
    obs = Observations.blank(3)
    assert (len(obs), obs.names, obs.shape) == (3, (), (3,))
    assert len(obs[1:]) == 2
    assert repr(obs) == "Observations(3 rows; no modality)"


# ------------------------------------------------------------------ arrays


def test_arrays_get_torchs_dtypes() -> None:
    obs = Observations.from_arrays(
        {
            "float32": np.ones((2, 3), np.float32),
            "float64": np.ones((2, 3)),
            "int32": np.ones((2, 3), np.int32),
            "uint8": np.full((2, 3), 255, np.uint8),
            "bool": np.array([True, False]),
            "tensor": torch.ones(2, dtype=torch.float32),
            "list": [1, 2],
        }
    )
    dtypes = {name: obs[name].dtype for name in obs.names}
    whole = {"int32": torch.int64, "uint8": torch.int64, "list": torch.int64}
    assert dtypes == {name: whole.get(name, torch.float64) for name in obs.names}
    assert obs["uint8"].max() == 255
    assert obs["bool"].tolist() == [1.0, 0.0]
    assert all(m.all() for m in obs.present.values())


def test_floats_follow_the_default_dtype() -> None:
    torch.set_default_dtype(torch.float32)
    assert Observations.from_arrays({"x": np.ones((2, 3))})["x"].dtype == torch.float32


def test_none_and_rows_of_nan_are_missing() -> None:
    obs = Observations.from_arrays(
        {
            "list": [None, [1.0, 2.0], None],
            "nan": np.array([[[1.0, 2.0]], [[NAN, NAN]], [[3.0, 4.0]]]),
            "label": [2, None, 0],
            "object": np.array([None, 1.5, 2.5], dtype=object),
            "numbers": [0.5, NAN, None],
            "gone": None,
        }
    )
    assert obs.names == ("list", "nan", "label", "object", "numbers")
    assert table(obs.present) == {
        "list": ["010"],
        "nan": ["101"],
        "label": ["101"],
        "object": ["011"],
        "numbers": ["100"],
    }
    assert obs["label"].dtype == torch.int64
    assert obs["nan"].shape == (3, 1, 2)
    assert obs["nan"][1].tolist() == [[0.0, 0.0]]
    assert obs["label"].tolist() == [2, 0, 0]
    assert obs["numbers"].tolist() == [0.5, 0.0, 0.0]


def test_arrays_are_copied() -> None:
    array = np.array([[1.0, 2.0], [NAN, NAN]])
    obs = Observations.from_arrays({"x": array})
    array[0, 0] = 7.0
    assert obs["x"][0].tolist() == [1.0, 2.0]
    assert np.isnan(array[1]).all()


# ------------------------------------------------------------------ other masks


def test_only_and_without_change_what_is_present() -> None:
    for obs in (two().only("a"), two().without("b")):
        for kind in KINDS:
            assert table(getattr(obs, kind)) == {"a": ["1100"], "b": ["0000"]}
        assert obs.names == ("a", "b")
    for obs in (two().only(), two().without("a", "b")):
        assert not any(m.any() for m in obs.present.values())


def test_given_changes_what_the_guide_sees() -> None:
    obs = two().given("b")
    assert table(obs.evidence) == table(obs.source) == {"a": ["0000"], "b": ["1010"]}
    assert table(obs.scored) == table(obs.present) == {"a": ["1100"], "b": ["1010"]}
    assert not any(m.any() for m in two().given().evidence.values())


def test_scoring_changes_what_the_model_scores() -> None:
    obs = two().scoring("a")
    assert table(obs.scored) == {"a": ["1100"], "b": ["0000"]}
    assert table(obs.evidence) == table(obs.present) == {"a": ["1100"], "b": ["1010"]}


def test_filled_gives_the_site_its_values_and_mask() -> None:
    x, scored = two().scoring("b").filled("a")
    assert x.tolist() == [[0.0, 1.0], [2.0, 3.0], [0.0, 0.0], [0.0, 0.0]]
    assert scored.tolist() == [False] * 4
    assert two().filled("c") == (None, True)


def test_drop_takes_the_values_away() -> None:
    obs = two().given("b").drop("a")
    assert obs.names == tuple(obs.evidence) == tuple(obs.scored) == ("b",)
    assert obs.filled("a") == (None, True)
    assert len(two().drop("a", "b")) == 4


def test_replace_keeps_masks_and_hides_missing_rows() -> None:
    obs = two().given("b").replace("a", torch.full((4, 3), 7.0))
    assert obs["a"].tolist() == [[7.0] * 3, [7.0] * 3, [0.0] * 3, [0.0] * 3]
    assert table(obs.evidence) == {"a": ["0000"], "b": ["1010"]}
    assert table(obs.present) == {"a": ["1100"], "b": ["1010"]}
    assert torch.equal(obs["b"], two()["b"])


# ------------------------------------------------------------------ terms


AB, A, B = ("a", "b"), ("a",), ("b",)


def test_restricted_terms_use_what_each_row_has() -> None:
    obs = two().terms([Term(AB, AB), Term(A, A), Term(B, B)], dedupe=False)
    assert obs.active.int().tolist() == [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 1, 0]]
    assert table(obs.source) == {"a": ["1100", "1100", "0000"], "b": ["1010", "0000", "1010"]}
    assert table(obs.scored) == table(obs.source)
    assert not any(m.any() for m in obs.reference.values())
    assert (obs.plate, obs.shape, obs.weight.tolist()) == ("terms", (3, 4), [[1.0]] * 3)


def test_terms_that_a_row_makes_equal_count_once() -> None:
    obs = two().terms([Term(AB, AB), Term(A, A), Term(B, B)])
    assert obs.active.int().tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    assert table(obs.source) == {"a": ["1100", "1000", "0000"], "b": ["1010", "0000", "1000"]}
    assert table(obs.scored) == table(obs.source)


def test_equal_sources_with_other_scores_are_different_terms() -> None:
    obs = two().terms([Term(AB, AB), Term(AB, A)])
    assert obs.active.int().tolist() == [[1, 1, 1, 0], [1, 0, 1, 0]]


def test_required_terms_want_all_that_they_name() -> None:
    obs = two().terms(
        [Term(AB, A, B, weight=0.5), Term(B, B), Term(A, ("c",)), Term((), A)], rows="require"
    )
    assert obs.active.int().tolist() == [[1, 0, 0, 0], [1, 0, 1, 0], [0] * 4, [1, 1, 0, 0]]
    assert table(obs.source) == {
        "a": ["1000", "0000", "0000", "0000"],
        "b": ["1000", "1010", "0000", "0000"],
    }
    assert table(obs.scored) == {
        "a": ["1000", "0000", "0000", "1100"],
        "b": ["0000", "1010", "0000", "0000"],
    }
    assert table(obs.reference) == {"a": ["0000"] * 4, "b": ["1000", "0000", "0000", "0000"]}
    assert obs.weight.flatten().tolist() == [0.5, 1.0, 1.0, 1.0]


def test_terms_look_at_the_evidence_and_score_what_is_scored() -> None:
    obs = two().given("b").scoring("a").terms([Term(AB, AB, AB)], rows="restrict")
    assert table(obs.source) == table(obs.reference) == {"a": ["0000"], "b": ["1010"]}
    assert table(obs.scored) == {"a": ["1000"], "b": ["0000"]}


def test_the_reference_becomes_the_source() -> None:
    obs = two().terms([Term(AB, A, B), Term(A, A)], dedupe=False).at_reference()
    assert table(obs.source) == {"a": ["0000", "0000"], "b": ["1010", "0000"]}
    assert table(obs.scored) == {"a": ["1100", "1100"], "b": ["0000", "0000"]}


def test_a_term_drawn_from_nothing_is_active_everywhere() -> None:
    obs = two().terms([Term((), A)])
    assert obs.active.all()


# ------------------------------------------------------------------ strata


def test_strata_that_a_row_allows() -> None:
    obs = two().strata([A, B, AB, ()])
    assert table(obs.source) == {
        "a": ["1100", "0000", "1000", "0000"],
        "b": ["0000", "1010", "1000", "0000"],
    }
    expected = torch.tensor(
        [
            [1 / 4, 1 / 2, 0.0, 0.0],
            [1 / 4, 0.0, 1 / 2, 0.0],
            [1 / 4, 0.0, 0.0, 0.0],
            [1 / 4, 1 / 2, 1 / 2, 1.0],
        ]
    )
    torch.testing.assert_close(obs.log_weight.exp(), expected)
    assert obs.log_weight[2, 1] == -torch.inf
    assert (obs.plate, obs.shape) == ("strata", (4, 4))


def test_a_row_that_allows_no_component_keeps_the_prior() -> None:
    obs = two().strata([A, B])
    torch.testing.assert_close(
        obs.log_weight.exp(), torch.tensor([[0.5, 1.0, 0.0, 1.0], [0.5, 0.0, 1.0, 0.0]])
    )
    assert table(obs.source) == {"a": ["1100", "0000"], "b": ["0000", "1010"]}


def test_a_stratum_that_a_row_does_not_allow_is_not_scored_in_it() -> None:
    obs = two().strata([A, B])
    assert table(obs.scored) == {"a": ["1100", "1000"], "b": ["1000", "1010"]}


def test_some_strata_are_a_random_choice_of_those_that_a_row_allows() -> None:
    every = two()[[0, 1, 2, 3] * 100].strata([A, B, AB])
    some = two()[[0, 1, 2, 3] * 100].strata([A, B, AB], 2)
    assert some.shape == (2, 400)
    for slot in range(2):
        held = some.log_weight[slot] > -torch.inf
        chosen = every.log_weight.gather(0, some.drawn[slot][None])[0]
        assert torch.equal(held, chosen > -torch.inf)
    torch.testing.assert_close(some.log_weight.exp().sum(0), torch.ones(400))
    complete = some.drawn[:, ::4]  # rows that allow all three: two different ones, all pairs
    assert (complete[0] != complete[1]).all()
    counts = torch.bincount(complete.flatten(), minlength=3)
    assert ((counts - 200 / 3).abs() < 4 * (100 * 2 / 9) ** 0.5).all()  # 4 standard errors
    for name in ("a", "b"):
        expected = every.source[name].gather(0, some.drawn)
        assert torch.equal(some.source[name], expected)


def test_strata_look_at_the_evidence() -> None:
    obs = two().given("a").strata([A, B])
    torch.testing.assert_close(
        obs.log_weight.exp(), torch.tensor([[1.0] * 4, [0.0] * 4], dtype=torch.float64)
    )
    assert table(obs.source) == {"a": ["1100", "0000"], "b": ["0000", "0000"]}


def test_a_component_of_unknown_modalities_is_not_allowed() -> None:
    obs = two().strata([A, ("a", "c")])
    assert obs.log_weight[1].eq(-torch.inf).all()


def test_plates_open_at_their_dims() -> None:
    shapes = {}
    for name, obs in {
        "rows": two(),
        "terms": two().terms([Term(A, A)] * 3),
        "strata": two().strata([A, B]),
    }.items():
        with obs.plates():
            z = pyro.sample("z", pyro.distributions.Normal(0.0, 1.0))
        shapes[name] = tuple(z.shape)
    assert shapes == {"rows": (4,), "terms": (3, 4), "strata": (2, 4)}


# ------------------------------------------------------------------ rows


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (2, [2]),
        (-1, [3]),
        (np.int64(2), [2]),
        (torch.tensor(2), [2]),
        (slice(1, None), [1, 2, 3]),
        (slice(None, None, 2), [0, 2]),
        (torch.tensor([3, 0, 0]), [3, 0, 0]),
        (np.array([3, 0]), [3, 0]),
        ([2, -1], [2, 3]),
        (mask(0, 1, 0, 1), [1, 3]),
        ([True, False, False, True], [0, 3]),
    ],
    ids=str,
)
def test_rows_by_index(index: object, rows: list[int]) -> None:
    obs = two().given("a").scoring("b")
    part = obs[index]
    assert len(part) == len(rows)
    for name in obs.names:
        assert torch.equal(part[name], obs[name][rows])
        for kind in KINDS:
            assert torch.equal(getattr(part, kind)[name], getattr(obs, kind)[name][rows])


def test_masks_that_are_one_stay_one() -> None:
    part = two()[:2]
    assert part.present["a"] is part.scored["a"] is part.evidence["a"] is part.source["a"]


def test_iteration_gives_every_row() -> None:
    assert [len(row) for row in two()] == [1] * 4


# ------------------------------------------------------------------ elsewhere


def test_to_a_dtype_changes_floating_point_alone() -> None:
    obs = two().to(torch.float32)
    assert obs["a"].dtype == torch.float32
    assert obs["b"].dtype == torch.int64
    assert obs.present["a"].dtype == torch.bool


def test_to_a_device_takes_everything() -> None:
    obs = two().given("a").terms([Term(AB, AB, B)]).to("meta")
    assert obs["a"].device.type == obs.device.type == "meta"
    tensors = [obs.active, obs.weight, *obs.reference.values()]
    tensors += [m for kind in KINDS for m in getattr(obs, kind).values()]
    assert {x.device.type for x in tensors} == {"meta"}
    assert two().strata([A]).to("meta").log_weight.device.type == "meta"


class Counting(nn.Module):
    """An encoder that counts the rows that it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[int] = []

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        self.rows.append(len(x))
        return x + 1.0, torch.full_like(x, 2.0)


def test_the_encoder_sees_the_evidence_once() -> None:
    encoder, obs = Counting(), two()
    loc, scale, source = obs.encoded("a", encoder, 2)
    assert loc.tolist() == [[1.0, 2.0], [3.0, 4.0], [0.0, 0.0], [0.0, 0.0]]
    assert scale.tolist() == [[2.0, 2.0], [2.0, 2.0], [1.0, 1.0], [1.0, 1.0]]
    assert source is obs.source["a"]
    terms = obs.terms([Term(A, A, AB), Term(AB, AB)])
    for _ in range(3):
        assert terms.encoded("a", encoder, 2)[2].shape == (2, 4)
        terms.at_reference().encoded("a", encoder, 2)
    assert encoder.rows == [2, 2]
    obs.encoded("a", encoder, 2)  # no memo on the user's own
    assert encoder.rows == [2, 2, 2]
    assert obs.encoded("c", encoder, 2) is None
    assert obs.without("a").encoded("a", encoder, 2)[0].tolist() == [[0.0, 0.0]] * 4
    assert obs.given("b").encoded("a", encoder, 2)[1].tolist() == [[1.0, 1.0]] * 4
    assert encoder.rows == [2, 2, 2]


class Trunk(Counting):
    """Features of two numbers."""

    out_features = 2

    def forward(self, x: Tensor) -> Any:
        return super().forward(x)[0]


@pytest.mark.parametrize("under", ["terms", "components"])
def test_other_rows_get_an_answer_of_their_own(under: str) -> None:
    obs = two()
    seen = obs.terms([Term(A, A)]) if under == "terms" else obs.components([A])[0][0]
    first, last = (torch.arange(4) == i for i in (0, 1))
    trunk, network = Trunk(), Counting()
    for _ in range(2):
        for rows in (first, last, first.clone()):  # a mask of the same values is the same
            held = rows[:, None]
            expected = torch.where(held, obs["a"] + 1.0, 0.0)
            assert torch.equal(seen.features("a", trunk, rows), expected)
            loc, scale = seen.encoded_together(A, network, 2, rows)
            assert torch.equal(loc, expected)
            assert torch.equal(scale, torch.where(held, 2.0, 1.0).expand(4, 2))
        seen.encoded_together(A, network, 2)
    assert trunk.rows == [1, 1]
    assert network.rows == [1, 1, 2]  # once for each mask, whoever asks


def test_replaced_values_are_encoded_anew() -> None:
    encoder, seen = Counting(), two().terms([Term(A, A)])
    seen.encoded("a", encoder, 2)
    other = seen.replace("a", seen["a"] + 10.0)
    assert other.encoded("a", encoder, 2)[0][0].tolist() == [11.0, 12.0]
    assert seen.encoded("a", encoder, 2)[0][0].tolist() == [1.0, 2.0]
    assert encoder.rows == [2, 2]


def test_pickling_leaves_the_memo_behind() -> None:
    obs = two().terms([Term(AB, AB)])
    obs.encoded("a", Counting(), 2)
    assert obs.memo
    again = pickle.loads(pickle.dumps(obs))
    assert again.memo is None
    assert table(again.source) == table(obs.source)
    assert torch.equal(again["a"], obs["a"])
    assert (len(again), again.plate, again.names) == (4, "terms", obs.names)


def test_a_data_loader_joins_rows() -> None:
    obs = two().given("a")
    loader = DataLoader(obs, batch_size=3, collate_fn=Observations.collate, num_workers=0)
    batches = list(loader)
    assert [len(batch) for batch in batches] == [3, 1]
    assert torch.equal(torch.cat([batch["a"] for batch in batches]), obs["a"])
    for kind in KINDS:
        for name in obs.names:
            joined = torch.cat([getattr(batch, kind)[name] for batch in batches])
            assert torch.equal(joined, getattr(obs, kind)[name])


def test_batches_of_different_names_join() -> None:
    x = Observations({"x": torch.ones(2, 3)}, {"x": mask(1, 0)})
    y = Observations({"y": torch.tensor([5])})
    obs = Observations.collate([x, y, Observations.blank(1)])
    assert set(obs.names) == {"x", "y"}
    assert table(obs.present) == {"x": ["1000"], "y": ["0010"]}
    assert table(obs.source) == table(obs.present)
    assert obs["x"].tolist() == [[1.0] * 3, [0.0] * 3, [0.0] * 3, [0.0] * 3]
    assert obs["y"].tolist() == [0, 0, 5, 0]
    assert obs["y"].dtype == torch.int64


def test_repr_says_what_there_is() -> None:
    assert repr(two()) == "Observations(4 rows; a(2,): 2 present, b(): 2 present)"
    assert "3 terms" in repr(two().terms([Term(A, A)] * 3))


# ------------------------------------------------------------------ any chain of operations


def random_step(obs: Observations) -> Observations:
    names = [n for n in obs.names if torch.rand(()) < 0.6]
    steps = [
        lambda: obs.only(*names),
        lambda: obs.without(*names),
        lambda: obs.given(*names),
        lambda: obs.scoring(*names),
        lambda: obs[torch.randint(len(obs), (len(obs),))],
        lambda: obs[torch.rand(len(obs)) < 0.9] if len(obs) > 40 else obs,
        lambda: obs.replace("a", torch.randn(len(obs), 2)),
        lambda: obs.to(torch.float64),
        lambda: Observations.collate([obs[: len(obs) // 2], obs[len(obs) // 2 :]]),
        lambda: pickle.loads(pickle.dumps(obs)),
    ]
    return steps[int(torch.randint(len(steps), ()))]()


def snapshot(obs: Observations) -> dict[str, Tensor]:
    tensors = {f"values {n}": x.clone() for n, x in obs.values.items()}
    for kind in KINDS:
        tensors |= {f"{kind} {n}": m.clone() for n, m in getattr(obs, kind).items()}
    return tensors


def assert_nested(obs: Observations) -> None:
    for name in obs.names:
        present, evidence = obs.present[name], obs.evidence[name]
        assert not (obs.source[name] & ~evidence).any()
        assert not (evidence & ~present).any()
        assert not (obs.scored[name] & ~present).any()
        if isinstance(obs, UnderTerms):
            assert not (obs.reference[name] & ~evidence).any()


@pytest.mark.parametrize("seed", range(8))
def test_masks_nest_after_any_chain_and_nothing_is_written_into(seed: int) -> None:
    torch.manual_seed(seed)
    values = {"a": torch.randn(50, 2), "b": torch.randint(4, (50,)), "c": torch.randn(50)}
    present = {n: torch.rand(50) < 0.7 for n in values}
    kept = {n: x.clone() for n, x in (values | present).items()}
    obs = Observations(values, present)
    subsets = [A, B, AB, ("a", "c"), ()]
    for _ in range(8):
        before = snapshot(obs)
        after = random_step(obs)
        rows = "restrict" if torch.rand(()) < 0.5 else "require"
        terms = after.terms([Term(s, t, A) for s in subsets for t in subsets[:2]], rows=rows)
        number = None if torch.rand(()) < 0.5 else 2
        strata = after.strata(subsets, number)
        for derived in (after, terms, terms.at_reference(), strata):
            assert_nested(derived)
        weights = strata.log_weight.exp().sum(0)
        torch.testing.assert_close(weights, torch.ones(len(after)))
        for what, tensor in snapshot(obs).items():
            assert torch.equal(tensor, before[what]), what
        obs = after
    for name, tensor in (values | present).items():
        assert torch.equal(tensor, kept[name]), name
