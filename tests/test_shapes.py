"""What a decoder or an encoder returns means the same for every number of rows."""

from collections import namedtuple

import pytest
import torch
from lean_decoders import ByName, Decoder, Mixture, StudentT, modality, whole
from torch import nn

from ppl_mm import (
    Observations,
    fit,
    generate,
    likelihoods,
    log_likelihood,
    systems,
)
from ppl_mm.batch.shapes import aligned, spread
from ppl_mm.distributions import Decoded
from ppl_mm.evaluation import elbo

EXACT = {"rtol": 1e-12, "atol": 1e-12}
Z = 2
ROWS = range(1, 13)


SECOND = {
    (4, 5): [
        *[("rows", 1), ("rows", 1, 1), ("rows", 4, 1), ("rows", 1, 5)],
        *[(), (4, 5), 0.7, ("rows", 4, 5)],
    ],
    (4,): [("rows", 1), (), (4,), 0.7],
    (4, 1): [("rows", 1, 1), (4, 1), ()],
    (1, 4): [("rows", 4), ("rows", 1), (1, 4)],
    (1,): [("rows",), (1,), ()],
    (): [("rows",), (), 0.7],
    (3, 4, 5): [("rows", 5), ("rows", 3, 1, 1), ("rows", 1, 4, 5), (3, 4, 5)],
}
KINDS = {
    "normal": (likelihoods.Normal(None), {}),
    "laplace": (likelihoods.Laplace(None), {}),
    "negative_binomial": (likelihoods.NegativeBinomial(), {"swap": True}),
    "student": (StudentT(), {}),
    "by_name": (ByName(), {"as_dict": True}),
}
CASES = [
    (kind, event, which, second)
    for event, seconds in SECOND.items()
    for second in seconds
    for kind, which in [
        *[("normal", "loc"), ("normal", "scale"), ("laplace", "scale"), ("by_name", "scale")],
        *[("negative_binomial", "loc"), ("negative_binomial", "scale"), ("student", "loc")],
    ]
]


def shapes_of(kind, event, which, second):
    shapes = {"loc": whole(event), "scale": whole(event)} | {which: second}
    if isinstance(KINDS[kind][0], StudentT):
        shapes["df"] = second
    return shapes


def decoder_of(kind, event, shapes, by_hand=False):
    return Decoder(Z, event, shapes, by_hand, **KINDS[kind][1])


def values_of(kind, rows, event):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(12, *event, generator=generator, dtype=torch.float64)[:rows]
    return x.exp().round() if kind == "negative_binomial" else x


# ---------------------------------------------------------------- one distribution


@pytest.mark.parametrize(("kind", "event", "which", "second"), CASES)
def test_each_number_of_rows_gives_what_each_row_alone_does(kind, event, which, second):
    likelihood = KINDS[kind][0]
    shapes = shapes_of(kind, event, which, second)
    decoder, by_hand = (decoder_of(kind, event, shapes, hand) for hand in (False, True))
    z, x = torch.randn(12, Z), values_of(kind, 12, event)
    size = torch.Size(event)
    alone = [
        Decoded(likelihood, by_hand, z[i : i + 1], True, size).log_prob(x[i : i + 1])
        for i in range(12)
    ]
    expected = torch.cat(alone).detach()
    for rows in ROWS:
        p = Decoded(likelihood, decoder, z[:rows], True, size)
        torch.testing.assert_close(p.log_prob(x[:rows]), expected[:rows], **EXACT)
        blank = Decoded(likelihood, decoder, z[:rows])  # no data say what the event's shape is
        assert (blank.event_shape, blank.whole.batch_shape) == (size, (rows,))
        assert blank.sample((2,)).shape == (2, rows, *event)
        if not isinstance(likelihood, StudentT):  # ours are right where they are called directly
            direct = likelihood(decoder(z[:rows]), 1, size)
            torch.testing.assert_close(direct.log_prob(x[:rows]), expected[:rows], **EXACT)


@pytest.mark.parametrize("lead", [(4,), (4, 5), (5, 4), (2, 4, 5)])
@pytest.mark.parametrize("second", SECOND[4, 5], ids=str)
def test_plates_as_large_as_the_event_change_nothing(second, lead):
    """Strata and particles of 4 and 5 beside events (4, 5), with rows gathered too."""
    shapes = {"loc": whole((4, 5)), "scale": second}
    decoder, by_hand = (decoder_of("normal", (4, 5), shapes, hand) for hand in (False, True))
    z, x = torch.randn(*lead, Z), torch.randn(lead[-1], 4, 5)
    for where in (True, torch.rand(lead[-1]) < 0.5, torch.rand(lead[-2:]) < 0.5):
        found, expected = (
            Decoded(likelihoods.Normal(None), d, z, where, torch.Size([4, 5])).log_prob(x)
            for d in (decoder, by_hand)
        )
        torch.testing.assert_close(found, expected, **EXACT)
        parameters = [*decoder.parameters()]
        if found.requires_grad:
            ours = torch.autograd.grad(found.sum(), parameters)
            theirs = torch.autograd.grad(expected.sum(), [*by_hand.parameters()])
            for a, b in zip(ours, theirs, strict=True):
                torch.testing.assert_close(a, b, **EXACT)


def test_parameters_with_shapes_of_their_own_keep_them():
    """What all rows share is a number; K as large as an event's dimension is no matter."""
    Parameters = namedtuple("Parameters", "logits locs scale")
    weights = [nn.Linear(Z, 5), nn.Linear(Z, 5 * 20)]

    def decoder(z):
        return Parameters(weights[0](z), weights[1](z).reshape(-1, 5, 4, 5), 0.5)

    z, x = torch.randn(12, Z), torch.randn(12, 4, 5)
    size = torch.Size([4, 5])
    each = torch.cat(
        [Decoded(Mixture(), decoder, z[[i]], True, size).log_prob(x[[i]]) for i in ROWS if i < 12]
    )
    for rows in ROWS:
        found = Decoded(Mixture(), decoder, z[:rows].expand(3, 2, rows, Z), True, size)
        expected = each[: rows - 1].expand(3, 2, -1)
        torch.testing.assert_close(found.log_prob(x[:rows])[..., 1:], expected, **EXACT)


def test_one_scale_a_row_belongs_to_its_row():
    """By hand: the squared error of row b is divided by the scale of row b."""
    loc, scale, x = torch.zeros(4, 4, 5), torch.tensor([0.5, 1.0, 2.0, 4.0]), torch.ones(4, 4, 5)
    p = likelihoods.Normal(None)((loc, scale[:, None]))
    expected = -20 * (scale.log() + 0.5 * scale**-2 + 0.5 * torch.log(torch.tensor(2 * torch.pi)))
    torch.testing.assert_close(p.log_prob(x), expected, **EXACT)


# ---------------------------------------------------------------- whole systems


def system_of(second, by_hand, name="mvae"):
    """Two modalities: loc and a scale of some shape, and the dispersion of each of four genes."""
    torch.manual_seed(3)
    counts = {"loc": whole((4,)), "scale": (4,)}
    return systems.build(
        name,
        [
            modality(
                "x",
                (4, 5),
                lambda d: Decoder(d, (4, 5), {"loc": whole((4, 5)), "scale": second}, by_hand),
            ),
            modality(
                "genes",
                (4,),
                lambda d: Decoder(d, (4,), counts, by_hand, swap=True),
                likelihoods.NegativeBinomial(),
            ),
        ],
        Z,
    )


def rows_of(rows):
    torch.manual_seed(5)
    values = {"x": torch.randn(12, 4, 5), "genes": torch.poisson(torch.ones(12, 4))}
    present = {"x": torch.arange(12) % 3 != 1, "genes": torch.arange(12) % 4 != 2}
    return Observations(values, present)[:rows]


SECONDS = [("rows", 1), ("rows", 4, 1), (4, 5), (), 0.7]


@pytest.mark.parametrize(
    ("name", "second"),
    [
        *[("mvae", second) for second in SECONDS],
        *[("mmvae", (4, 5)), ("mvtcae", ("rows", 1)), ("mmvae_plus", ("rows", 4, 1))],
    ],
)
def test_systems_with_missing_rows_and_any_number_of_them(name, second):
    ours, by_hand = (system_of(second, hand, name) for hand in (False, True))
    for rows in ROWS:
        obs = rows_of(rows)
        found, expected = [], []
        for system, out in ((ours, found), (by_hand, expected)):
            torch.manual_seed(rows)
            out += [system(obs), elbo(system, obs, seed=1)]
            if rows in (4, 5, 12):
                result = log_likelihood(system, obs, num_samples=8, seed=2, chunk=4)
                out += [result.value, *generate(system, obs, ("x", "genes"), 2).values()]
                out += generate(system, Observations.blank(rows), ("x", "genes"), 2).values()
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, **EXACT)


@pytest.mark.parametrize("second", SECONDS, ids=str)
def test_training_is_that_of_parameters_spread_by_hand(second):
    states = []
    for by_hand in (False, True):
        system = system_of(second, by_hand)
        fit(system, rows_of(12), epochs=2, batch_size=5, seed=0, progress=False)
        states.append(system.state_dict())
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=1e-9, atol=1e-9)


# ---------------------------------------------------------------- the rule itself


def test_spread_reads_a_shape_alike_for_every_number_of_rows():
    """Brute force: whatever is allowed for one B is what numpy would say within each row."""
    shapes = [(), (1,), (4,), (5,), (1, 1), (4, 1), (1, 5), (4, 5), (1, 1, 1), (3, 4, 5)]
    for event in ((4, 5), (4,), (5,), (4, 1), (1, 5), (), (1,)):
        for rest in shapes:
            allowed = set()
            for rows in range(2, 13):
                x = torch.randn(rows, *rest)
                view = spread(x, (rows,), event)
                if rows in event and tuple(x.shape) == event:
                    continue  # the twin of a shared tensor
                allowed.add(view is not None)
                if view is not None:
                    each = torch.stack([row.expand(event) for row in x])
                    assert torch.equal(view, each)
            assert len(allowed) == 1


def test_aligned_of_plates_and_of_none():
    scale = torch.rand(2, 3, 1)
    loc, found = aligned([torch.zeros(2, 3, 4, 5), scale], 2)
    assert loc.shape == found.shape == (2, 3, 4, 5)
    assert torch.equal(found[..., 0, 0], scale[..., 0])
    assert [x.shape for x in aligned([torch.zeros(4, 5), 1.0], 0)] == [(4, 5), (4, 5)]
    with pytest.raises(ValueError, match=r"have the shapes \(\)"):
        aligned([torch.zeros(()), torch.zeros(())], 1)
