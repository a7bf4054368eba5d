"""Which tile a modality is in, how its value reads, and where it stands on a sheet."""

from functools import partial

import pytest
import torch
from matplotlib.colors import to_hex

from ppl_mm import Modality, Observations, likelihoods, networks, plotting, systems
from ppl_mm.plotting.values import is_image, is_number, rows_of, text_of, tiles_of
from ppl_mm.results.style import BLUE, ORANGE

NORMAL = likelihoods.Normal(0.1)


def modality(name, likelihood=NORMAL, shape=()):
    return Modality(
        name,
        likelihood,
        encoder=partial(networks.MLPEncoder, event_shape=shape, hidden=(2,)),
        decoder=partial(networks.MLPDecoder, event_shape=shape, hidden=(2,)),
    )


def label(name="label"):
    return Modality(
        name,
        likelihoods.Categorical(),
        encoder=partial(networks.LabelEncoder, num_classes=3, hidden=(2,)),
        decoder=partial(networks.MLPDecoder, event_shape=(3,), hidden=(2,)),
    )


@pytest.mark.parametrize(
    ("shape", "image"),
    [
        ((4, 6), True),
        ((1, 4, 6), True),
        ((3, 4, 6), True),
        ((2, 4, 6), False),
        ((4, 4, 6), False),
        ((5,), False),
        ((1, 1), False),  # one number
        ((1, 1, 1), False),
        ((2, 3, 4, 6), False),
    ],
)
def test_images_are_grids_of_one_or_three_channels(shape, image):
    assert is_image(modality("x"), torch.zeros(shape)) == image


@pytest.mark.parametrize("kind", [likelihoods.Categorical(), likelihoods.MultiLabel(),
                                  likelihoods.Tokens(), likelihoods.Bernoulli()])  # fmt: skip
def test_labels_and_yes_or_no_are_no_numbers(kind):
    assert not is_number(modality("x", kind), torch.tensor([1.0]))
    assert is_number(modality("x"), torch.tensor([1.0]))
    assert not is_number(modality("x"), torch.zeros(2))


def test_one_pixel_and_a_long_number_read_in_three_digits():
    assert text_of(modality("x"), torch.tensor([[[0.123456]]])) == "0.123"
    assert text_of(modality("x"), torch.tensor(123456.0)) == "1.23e+05"
    assert text_of(modality("x", likelihoods.MultiLabel()), torch.tensor([0.5, 0.51])) == "1"
    assert text_of(modality("x", likelihoods.Tokens()), torch.tensor([[2, 0], [1, 1]])) == "2 0 1 1"


def tiles(names, stacked=()):
    examples = {n: torch.zeros(2, 4, 6) if n.startswith("image") else torch.zeros(2) for n in names}
    return tiles_of(stacked, names, [modality(n) for n in names] + [modality("gone")], examples)


def test_two_small_modalities_have_a_tile_each_and_three_share_one():
    assert tiles(["a", "image", "b"]) == [("a",), ("image",), ("b",)]
    assert tiles(["a", "image", "b", "c"]) == [("image",), ("a", "b", "c")]
    names = [f"n{i}" for i in range(18)]
    assert tiles(names) == [tuple(names[:16]), tuple(names[16:])]


def test_tiles_that_are_asked_for_come_first_without_what_is_not_shown():
    stacked = [("image2", "gone"), ("gone",), ("b", "image1")]
    assert tiles(["a", "image1", "image2", "b"], stacked) == [("image2",), ("b", "image1"), ("a",)]
    # what is stacked does not count among the small ones
    assert tiles(["a", "b", "c"], [("c",)]) == [("c",), ("a",), ("b",)]


def test_rows_have_none_for_what_they_lack():
    obs = Observations({"x": torch.tensor([1.0, 2.0])}, {"x": torch.tensor([False, True])})
    assert rows_of(obs, ["y", "x"]) == [{"y": None, "x": None}, {"y": None, "x": 2.0}]


# ---------------------------------------------------------------- sheets


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def places(figure, wanted):
    found = [t for t in figure.axes[0].texts if t.get_text() in wanted]
    return [tuple(round(x, 6) for x in t.get_position()) for t in found]


def frames(figure):
    return [p for p in figure.axes[0].patches if not p.get_fill() and not p.get_hatch()]


@pytest.fixture
def images():
    """A system of two images and a label, and four rows."""
    declared = [modality("wide", shape=(4, 8)), modality("high", shape=(8, 4)), label()]
    values = {"wide": torch.rand(4, 4, 8), "high": torch.rand(4, 8, 4)}
    return systems.mvae(declared, 2), Observations({**values, "label": torch.tensor([0, 1, 2, 0])})


def test_columns_of_cross_generation_are_named_by_what_they_are_given(images):
    system, obs = images
    named = [t for t in texts(plotting.cross_generation(system, obs)) if "given\n" in t]
    assert named == ["given\nwide", "given\nhigh", "given\nlabel", "given\neverything"]
    figure = plotting.cross_generation(system, obs, label="label")
    named = [t for t in texts(figure) if "given\n" in t]
    assert named == [
        *("given\nwide", "given\nhigh", "given\nlabel", "given\nwide + high"),
        "given\neverything",
    ]
    assert texts(figure).count("truth") == 1
    assert texts(figure)[-1] == "blue frame: given      orange: not the truth"
    # a row: one frame in each column of one given modality, two for both images
    assert len(frames(figure)) == 4 * (3 + 2)


def test_one_modality_has_everything_alone(images):
    _, obs = images
    system = systems.mvae([modality("wide", shape=(4, 8))], 2)
    figure = plotting.cross_generation(system, obs.drop("high", "label"))
    assert [t for t in texts(figure) if "given" in t][:1] == ["given\neverything"]
    assert len(figure.axes[0].images) == 4 * 2


def test_the_modalities_that_a_model_conditions_on_are_the_only_source(images):
    _, obs = images
    declared = [modality("wide", shape=(4, 8)), modality("high", shape=(8, 4)), label()]
    system = systems.cvae(declared, 2, given=("label",))
    figure = plotting.cross_generation(system, obs)
    assert [t for t in texts(figure) if t.startswith("given\n")] == [
        *("given\nlabel", "given\neverything"),
    ]
    lacking = Observations(obs.values, {"label": torch.tensor([True, False, True, True])})
    shown = plotting.cross_generation(system, lacking)
    assert len(shown.axes[0].images) == 3 * 2 * 3  # rows that it can answer, two images, 3 columns


def test_images_are_as_wide_as_they_are_high_times_their_ratio(images):
    system, obs = images
    figure = plotting.samples(system, obs[:1], {"wide": obs["wide"][None, :1]}, ["high"])
    extents = [image.get_extent() for image in figure.axes[0].images]
    sizes = [(round(e[1] - e[0], 6), round(e[2] - e[3], 6)) for e in extents]
    assert sizes == [(2.0, 1.0), (0.5, 1.0), (2.0, 1.0)]  # truth and what is given, then the draw
    lefts = [round(e[0], 6) for e in extents]
    assert lefts == [0.0, pytest.approx(2.14), pytest.approx(2.14 + 0.64 + 0.14)]


def test_draws_of_the_prior_keep_their_place_in_every_block(images):
    system, obs = images
    figure = plotting.prior_samples(system, num_samples=5, columns=3, like=obs)
    corners = [(round(i.get_extent()[0], 3), round(i.get_extent()[3], 3))
               for i in figure.axes[0].images]  # fmt: skip
    wide, high = corners[:5], corners[5:]
    assert wide == [(0, 0), (2.14, 0), (4.28, 0), (0, 1.14), (2.14, 1.14)]
    start = round(3 * 2.14 + 0.5, 3)
    assert high == [(round(start + 0.64 * (i % 3), 3), 1.14 * (i // 3)) for i in range(5)]
    assert {"wide", "high", "label"} <= set(texts(figure))
    assert texts(figure)[-1] == "drawn from the prior: the same place is the same z"


def test_draws_of_a_stack_share_its_height(images):
    system, _ = images
    stacked = plotting.prior_samples(system, num_samples=1, tiles=[("wide", "high")])
    upper, lower = (image.get_extent() for image in stacked.axes[0].images)
    assert (upper[3], upper[2], lower[3], lower[2]) == pytest.approx((0, 4 / 12, 4 / 12, 1))
    assert "wide + high" in texts(stacked)


def test_a_missing_value_is_hatched_and_never_framed(images):
    system, obs = images
    lacking = Observations(obs.values, {"wide": torch.tensor([True, False, True, True])})
    drawn = {"high": torch.rand(2, 4, 8, 4)}
    figure = plotting.samples(system, lacking, drawn, ["wide"])
    assert sum(bool(p.get_hatch()) for p in figure.axes[0].patches) == 1
    assert len(frames(figure)) == 3
    assert {to_hex(p.get_edgecolor()).upper() for p in frames(figure)} == {BLUE}


def test_notes_of_samples_say_what_was_drawn_from_what(images):
    system, obs = images
    drawn = {"label": torch.tensor([[0, 2, 2, 0]])}
    figure = plotting.samples(system, obs, drawn, ["wide", "high"])
    assert texts(figure)[-1] == (
        "label given wide + high      blue frame: given      orange: not the truth"
    )
    colours = {
        (t.get_text(), to_hex(t.get_color()).upper()) for t in figure.axes[0].texts
        if t.get_text() in "012"
    }  # fmt: skip
    assert ("2", ORANGE) in colours  # the second row's class is 1
    assert ("1", ORANGE) not in colours
    unknown = plotting.samples(system, obs.only("wide"), drawn, ["wide"], like=obs)
    assert texts(unknown)[-1] == "label given wide      blue frame: given"
    prior = plotting.samples(system, Observations.blank(4), drawn, like=obs)
    assert texts(prior)[-1] == "label from the prior"
    assert "truth" not in texts(prior)
    with pytest.raises(ValueError, match=r"^samples: expected drawn values of one modality at "):
        plotting.samples(system, obs, {}, ["wide"])


def test_what_is_given_is_framed_in_the_draws_unless_it_is_drawn_again(images):
    system, obs = images
    both = {"label": torch.tensor([[0, 1, 2, 0]] * 2), "wide": torch.rand(2, 4, 4, 8)}
    figure = plotting.samples(system, obs, both, ["label"])
    assert len(frames(figure)) == 4  # beside the truth
    stacked = plotting.samples(system, obs, {"wide": both["wide"]}, ["high"],
                               tiles=[("wide", "high")])  # fmt: skip
    assert len(frames(stacked)) == 4 * 3  # beside the truth, and in each of two draws


def test_many_given_modalities_are_named_by_the_one_that_is_not():
    names = [f"n{i}" for i in range(5)]
    system = systems.mvae([*(modality(n) for n in names), label()], 2)
    values = {n: torch.zeros(1) for n in names}
    obs = Observations({**values, "label": torch.tensor([1])})
    named = [t for t in texts(plotting.cross_generation(system, obs, label="label"))
             if t.startswith("given\n")]  # fmt: skip
    alone = [f"given\n{n}" for n in (*names, "label")]
    assert named == [*alone, "given\nall but label", "given\neverything"]


def test_classes_of_the_prior_read_as_they_are_told_to(images):
    system, obs = images
    words = {"label": lambda value: ["zero", "one", "two"][int(value)]}
    shown = texts(plotting.prior_samples(system, num_samples=4, like=obs, words=words))
    assert sum(text in ("zero", "one", "two") for text in shown) == 4


def test_long_texts_are_wrapped_and_a_shared_tile_has_names():
    names = ["first", "second", "third"]
    system = systems.mvae([modality(n) for n in names], 2)
    obs = Observations({n: torch.tensor([1.5, 2.5]) for n in names})
    figure = plotting.samples(system, obs, {n: obs[n][None] for n in names}, [])
    shown = [t for t in texts(figure)[:-1] if t.startswith(("first", "second", "third"))]
    assert shown == [f"{n} {x}" for x in (1.5, 2.5) for _ in range(2) for n in names]
    words = {"first": lambda value: "a rather long text of more than a line"}
    told = plotting.samples(system, obs[:1], {"first": obs["first"][None, :1]}, [], words=words)
    assert "a rather long text\nof more than a\nline" in texts(told)


def test_numbers_and_bars_have_the_range_of_the_rows():
    system = systems.mvae([modality("x", shape=(2,))], 2)
    obs = Observations({"x": torch.tensor([[0.0, -1.0], [4.0, 1.0], [1.0, 0.0]])})
    figure = plotting.samples(system, obs[2:], {"x": torch.tensor([[[9.0, -9.0]]])}, [], like=obs)
    truth, drawn = ([bar.get_height() for bar in c] for c in figure.axes[0].containers)
    assert truth == [-0.25, -0.5]  # y grows downwards
    assert drawn == [-1.0, 0.0]  # beyond the range
    between = obs.replace("x", obs["x"].abs() / 4)
    plain = plotting.samples(system, between[1:2], {"x": torch.tensor([[[0.5, 2.0]]])}, [])
    assert [bar.get_height() for bar in plain.axes[0].containers[0]] == [-1.0, -0.25]
