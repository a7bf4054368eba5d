"""Pictures of every kind of modality, with missing rows; what they show is read off the axes."""

from functools import partial

import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from torch import nn

from ppl_mm import Modality, Observations, likelihoods, networks, plotting, systems
from ppl_mm.plotting.values import rows_of, text_of
from ppl_mm.results.style import BLUE, ORANGE

MLP = {"hidden": (4,)}


def modality(name, likelihood, shape):
    return Modality(
        name,
        likelihood,
        encoder=partial(networks.MLPEncoder, event_shape=shape, **MLP),
        decoder=partial(networks.MLPDecoder, event_shape=shape, **MLP),
    )


def symbols(latent_dim):
    return networks.StringEncoder(latent_dim, length=3, vocab_size=5, hidden=4)


LABEL = Modality(
    "label",
    likelihoods.Categorical(),
    encoder=partial(networks.LabelEncoder, num_classes=3, **MLP),
    decoder=partial(networks.MLPDecoder, event_shape=(3,), **MLP),
)
STRING = Modality(
    "string",
    likelihoods.Tokens(),
    encoder=symbols,
    decoder=partial(networks.MLPDecoder, event_shape=(3, 5), **MLP),
)
KINDS = {  # a modality, how to draw a value of it, and how it is shown
    "plane": (modality("plane", likelihoods.Normal(0.1), (4, 6)), torch.rand, "image"),
    "grey": (modality("grey", likelihoods.SoftBernoulli(), (1, 5, 5)), torch.rand, "image"),
    "thin": (modality("thin", likelihoods.SoftBernoulli(), (1, 4, 1)), torch.rand, "image"),
    "colour": (modality("colour", likelihoods.Laplace(), (3, 4, 4)), torch.randn, "image"),
    "label": (LABEL, lambda *s: torch.randint(3, s), "text"),
    "one_hot": (
        modality("one_hot", likelihoods.Categorical(), (3,)),
        lambda *s: torch.eye(3)[torch.randint(3, s[:1])],
        "text",
    ),
    "string": (STRING, lambda *s: torch.randint(5, s), "text"),
    "attributes": (
        modality("attributes", likelihoods.MultiLabel(), (6,)),
        lambda *s: torch.randint(2, s).double(),
        "text",
    ),
    "number": (modality("number", likelihoods.Normal(0.1), ()), torch.randn, "text"),
    "vector": (modality("vector", likelihoods.Normal(0.1), (7,)), torch.randn, "bars"),
    "counts": (
        modality("counts", likelihoods.Poisson(), (5,)),
        lambda *s: torch.randint(9, s).double(),
        "bars",
    ),
}
SHAPES = {"label": (), "string": (3,)}


def event_shape(name):
    return SHAPES.get(name, KINDS[name][0].decoder.keywords["event_shape"])


@pytest.fixture
def build():
    def build_(*names, latent_dim=2, num_rows=4):
        system = systems.mvae([KINDS[n][0] for n in names], latent_dim)
        values = {n: KINDS[n][1](num_rows, *event_shape(n)) for n in names}
        return system, Observations(values)

    return build_


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def colours(figure):
    return [to_hex(text.get_color()).upper() for text in figure.axes[0].texts]


def patches(figure):
    bars = {id(bar) for container in figure.axes[0].containers for bar in container}
    return [patch for patch in figure.axes[0].patches if id(patch) not in bars]


def frames(figure):
    return [p for p in patches(figure) if not p.get_fill() and not p.get_hatch()]


def missing(figure):
    return [p for p in patches(figure) if p.get_hatch()]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_with_a_missing_row(name, build, tmp_path):
    system, obs = build(name, "label" if name != "label" else "plane")
    present = {name: torch.tensor([True, True, False, True])}
    figure = plotting.cross_generation(system, Observations(obs.values, present))
    axes = figure.axes[0]
    # Columns: truth, given the one, given the other, given everything; one truth is missing twice.
    assert len(missing(figure)) == 2
    assert len(frames(figure)) == 3 + 4
    shown = {"image": axes.images, "bars": axes.containers, "text": axes.texts}[KINDS[name][2]]
    assert len(shown) >= 14
    plotting.save(plotting.prior_samples(system, num_samples=6), tmp_path / "prior.png")
    plotting.save(figure, tmp_path / "cross.png", dpi=100)
    pixels = imread(tmp_path / "cross.png")
    width, height = figure.get_size_inches() * 100
    assert abs(pixels.shape[0] - height) <= 1
    assert abs(pixels.shape[1] - width) <= 1
    assert pixels[..., :3].std() > 0.05


def test_values_as_text():
    def read(name, value):
        return text_of(KINDS[name][0], torch.as_tensor(value))

    assert read("label", 2) == "2"
    assert read("one_hot", [0.0, 1.0, 0.0]) == "1"
    assert read("string", [3, 0, 4]) == "3 0 4"
    assert read("attributes", [0.9, 0.1, 1.0, 0.0]) == "0 2"
    assert read("attributes", [0.0, 0.0]) == "none"
    assert read("number", 1.25) == "1.25"
    assert read("vector", [1.0, 2.0]) is None
    assert read("plane", [[1.0]]) is not None  # one pixel reads best as its value


def test_pictures_keep_their_pixels(build):
    system, obs = build("colour", "label")
    obs = obs.replace("colour", torch.zeros(4, 3, 4, 4))
    obs.values["colour"][0, 1, 2, 3] = 2.0
    obs.values["colour"][1, 0, 0, 0] = -2.0
    first = plotting.cross_generation(system, obs).axes[0].images[0].get_array()
    assert first.shape == (4, 4, 3)
    assert first[2, 3].tolist() == [0.5, 1.0, 0.5]  # the range of the data is that of the colours
    assert first[0, 0].tolist() == [0.5, 0.5, 0.5]


def test_values_between_0_and_1_are_drawn_as_they_are(build):
    system, obs = build("grey", "label")
    obs = obs.replace("grey", torch.full((4, 1, 5, 5), 0.25))  # not stretched, nor drawn flat
    first = plotting.cross_generation(system, obs).axes[0].images[0].get_array()
    assert (first == 0.25).all()


def test_given_parts_of_a_stack_are_the_truth_and_framed(build):
    system, obs = build("plane", "label")
    other = Modality("below", *(getattr(KINDS["plane"][0], k) for k in PARTS))
    system = systems.mvae([*system.modalities, other], 2)
    obs = Observations({**obs.values, "below": torch.rand(4, 4, 6)})
    figure = plotting.cross_generation(system, obs[:1], tiles=[("plane", "below")], label="label")
    pictures = [image.get_array() for image in figure.axes[0].images]
    assert len(pictures) == 2 * 6  # truth, three alone, both halves, everything
    truth, given_plane = pictures[0], pictures[2]
    assert (given_plane == truth).all()
    assert (pictures[3] != pictures[1]).any()
    upper, lower = (image.get_extent() for image in figure.axes[0].images[:2])
    assert upper[2] == lower[3] == 0.5  # the lower edge of the one is the upper of the other
    assert len(frames(figure)) == 3 + 2
    assert {to_hex(frame.get_edgecolor()).upper() for frame in frames(figure)} == {BLUE}


PARTS = ("likelihood", "encoder", "decoder")


def test_wrong_text_is_orange(build):
    class Always(nn.Module):
        def forward(self, z):
            return torch.tensor([0.0, 9.0, 0.0]).expand(*z.shape[:-1], 3)

    label = Modality("label", likelihoods.Categorical(), LABEL.encoder, lambda size: Always())
    system = systems.mvae([label, KINDS["plane"][0]], 2)
    _, obs = build("plane", num_rows=2)
    obs = Observations({**obs.values, "label": torch.tensor([1, 0])})
    figure = plotting.cross_generation(system, obs)
    read = [*zip(texts(figure), colours(figure), strict=True)]
    assert read.count(("1", "#000000")) == 4  # the first row: all right
    assert read.count(("0", "#000000")) == 2  # the second: the truth, and given the label itself
    assert read.count(("1", ORANGE)) == 2
    assert not any(text == "0" and colour == ORANGE for text, colour in read)


def test_samples_show_the_truth_and_every_draw(build):
    system, obs = build("plane", "label", "string", num_rows=3)
    drawn = {"plane": torch.rand(5, 3, 4, 6)}
    figure = plotting.samples(system, obs, drawn, ["label"])
    assert len(figure.axes[0].images) == 3 * (1 + 5)
    assert [t for t in texts(figure) if t.startswith(("truth", "draw"))] == [
        "truth",
        *(f"draw {k}" for k in range(1, 6)),
    ]
    assert len(frames(figure)) == 3  # the label, beside the truth
    assert any("plane given label" in text for text in texts(figure))
    prior = plotting.samples(system, Observations.blank(3), drawn, like=obs)
    assert len(prior.axes[0].images) == 15
    assert not frames(prior)


def test_what_rows_do_not_hold_has_no_place_before_the_draws(build):
    system, obs = build("plane", "label", num_rows=3)
    drawn = {"plane": torch.rand(5, 3, 4, 6)}
    figure = plotting.samples(system, obs.only("label"), drawn, ["label"], like=obs)
    assert len(figure.axes[0].images) == 3 * 5
    assert "given" in texts(figure)
    assert not any("truth" in text for text in texts(figure))
    assert len(frames(figure)) == 3
    wide = plotting.samples(system, obs, drawn, ["label"])
    assert figure.get_size_inches()[0] < wide.get_size_inches()[0]


def test_symbols_read_as_they_are_told_to(build):
    system, obs = build("plane", "string", num_rows=2)
    spelt = {"string": lambda value: "".join("abcdefgh"[int(i)] for i in value)}
    drawn = {"string": obs["string"].unsqueeze(0).clone()}
    drawn["string"][0, 1] = (drawn["string"][0, 1] + 1) % 3
    figure = plotting.samples(system, obs, drawn, ["plane"], words=spelt)
    expected = [spelt["string"](value) for value in (*obs["string"], *drawn["string"][0])]
    assert sorted(t for t in texts(figure) if len(t) == 3) == sorted(expected)
    assert colours(figure).count("#D55E00") == 1


def test_posterior_means_look_at_what_is_given(build):
    system, obs = build("plane", "label", "string", num_rows=3)
    (axes,) = plotting.posterior_means(system, obs, given=["string"]).axes
    loc = system.posterior(obs.given("string")).mean.detach()
    torch.testing.assert_close(torch.as_tensor(axes.collections[0].get_offsets().data), loc)
    assert "given string" in axes.get_title()
    alone, _ = build("plane", num_rows=3)  # a system without the label
    labelled = Observations({n: obs[n] for n in ("plane", "label")})
    (axes,) = plotting.posterior_means(alone, labelled, label="label").axes
    assert len(axes.collections) == len(set(obs["label"].tolist()))


@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_posterior_means_are_marked_by_their_label(build, latent_dim):
    system, obs = build("plane", "label", latent_dim=latent_dim, num_rows=30)
    present = torch.arange(30) > 3
    labelled = Observations(obs.values, {"label": present})
    (axes,) = plotting.posterior_means(system, labelled, label="label").axes
    marks = axes.collections
    assert sum(len(mark.get_offsets()) for mark in marks) == 30
    assert len(marks) == len(set(obs["label"][present].tolist())) + 1  # and those without a label
    assert len(marks[0].get_offsets()) == 4
    assert ("t-SNE" in axes.get_xlabel()) == (latent_dim > 2)
    if latent_dim == 2:
        loc = system.posterior(obs.given("plane")).mean.detach()
        torch.testing.assert_close(torch.as_tensor(marks[0].get_offsets().data), loc[:4])


def test_few_rows_in_many_dimensions(build, tmp_path):
    system, obs = build("plane", "label", latent_dim=5, num_rows=4)
    plotting.save(plotting.posterior_means(system, obs), tmp_path / "latent.png")


def test_losses_mark_the_best_epoch():
    history = [{"epoch": e, "loss": 900.0 / e, "validation_elbo": -90.0 / e} for e in range(1, 41)]
    figure = plotting.losses(history, best_epoch=38)
    loss, bound = figure.axes
    assert loss.lines[0].get_ydata()[1] == 450.0
    assert loss.get_ylim()[1] < 500.0  # the first epoch does not press the curve flat
    assert bound.texts[0].get_text() == "best: -2.4 in epoch 38"
    (alone,) = plotting.losses([{"epoch": 1, "loss": 3.0}]).axes
    low, high = alone.get_xlim()
    assert [tick for tick in alone.get_xticks() if low <= tick <= high] == [1]


def test_rows_of_tells_what_is_missing():
    obs = Observations({"x": torch.ones(2, 1)}, {"x": torch.tensor([True, False])})
    first, second = rows_of(obs, ["x", "y"])
    assert first["x"] == 1.0
    assert first["y"] is second["x"] is None


# ---------------------------------------------------------------- numbers, and sizes


class Off(nn.Module):
    """A decoder that is some way off, whatever z is."""

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, z):
        return self.value.expand(z.shape[:-1])


def of_number(likelihood, decoded):
    number = Modality(
        "number",
        likelihood,
        encoder=partial(networks.MLPEncoder, event_shape=(), **MLP),
        decoder=lambda _: Off(decoded),
    )
    return systems.mvae([number, KINDS["plane"][0]], 2)


def test_a_number_is_compared_by_its_error(build):
    system = of_number(likelihoods.Normal(0.1), 1.5)
    _, obs = build("plane", num_rows=3)
    obs = Observations({**obs.values, "number": torch.tensor([1.0, 0.0, 2.0])})  # deviation 1
    figure = plotting.cross_generation(system, obs)
    read = [*zip(texts(figure), colours(figure), strict=True)]
    assert read.count(("1.5 (+0.5)", "#000000")) == 2  # given the picture, and everything
    assert read.count(("1.5 (+1.5)", ORANGE)) == 2  # off by more than the numbers vary
    assert read.count(("1.5 (-0.5)", "#000000")) == 2
    assert read.count(("1", "#000000")) == 2  # the truth, and where it is given
    assert "a number off by more than the standard deviation" in texts(figure)[-1]


def test_one_number_has_nothing_to_vary_by(build):
    system = of_number(likelihoods.Normal(0.1), 1.5)
    _, obs = build("plane", num_rows=1)
    figure = plotting.cross_generation(
        system, Observations({**obs.values, "number": torch.ones(1)})
    )
    assert ORANGE not in colours(figure)


def test_a_yes_or_no_is_wrong_on_the_other_side_of_a_half(build):
    system = of_number(likelihoods.Bernoulli(), 1.0)  # a probability of 0.731
    _, obs = build("plane", num_rows=2)
    obs = Observations({**obs.values, "number": torch.tensor([1.0, 0.0])})
    read = plotting.cross_generation(system, obs)
    found = [*zip(texts(read), colours(read), strict=True)]
    assert found.count(("0.731", "#000000")) == 2
    assert found.count(("0.731", ORANGE)) == 2


def numbers(count):
    names = [f"number{i}" for i in range(count)]
    declared = [modality(n, likelihoods.Normal(0.1), ()) for n in names]
    return systems.mvae([*declared, LABEL], 2), names


@pytest.mark.parametrize(
    ("count", "num_rows"), [(1, 1), (1, 200), (2, 8), (8, 8), (40, 1), (17, 200)]
)
def test_pictures_have_bounded_sides(count, num_rows, tmp_path):
    system, names = numbers(count)
    values = {n: torch.randn(num_rows) for n in names}
    obs = Observations({**values, "label": torch.randint(3, (num_rows,))})
    figure = plotting.cross_generation(system, obs, label="label")
    assert max(figure.get_size_inches()) <= 24.01
    smallest = min(text.get_fontsize() for text in figure.axes[0].texts)
    assert smallest >= 4  # points: it can be read
    said = texts(figure)[-1]
    assert (f"the first 16 of {count + 1} modalities" in said) == (count > 16)
    assert (f"of {num_rows} rows" in said) == (num_rows == 200)
    prior = plotting.prior_samples(system, num_samples=num_rows, like=obs)
    assert max(prior.get_size_inches()) <= 24.01


def test_small_modalities_share_a_tile():
    system, names = numbers(8)
    obs = Observations({**{n: torch.zeros(2) for n in names}, "label": torch.tensor([1, 2])})
    figure = plotting.cross_generation(system, obs)
    assert {"number0 0", "number7 0", "label 1", "label 2"} <= set(texts(figure))
    truth = [t for t in figure.axes[0].texts if t.get_text() in ("number0 0", "number7 0")][:2]
    (x, above), (same, below) = (t.get_position() for t in truth)
    assert x == same
    assert above < below


def test_a_written_picture_has_6000_pixels_a_side_at_most(tmp_path):
    figure = Figure(figsize=(80, 2))
    plotting.save(figure, tmp_path / "wide.png")
    assert imread(tmp_path / "wide.png").shape[1] == 6000
    with pytest.raises(ValueError, match="losses: expected a history of one epoch"):
        plotting.losses([])
