"""What an encoder or a trunk returns means the same for every number of rows."""

from math import prod

import pytest
import torch
from lean_decoders import From
from torch import nn

from ppl_mm import Modality, Observations, guides, likelihoods, networks, systems

EXACT = {"rtol": 1e-12, "atol": 1e-12}
ROWS = range(1, 13)


class Encoder(nn.Module):
    """loc (B, Z), and a scale of some shape: with rows, shared, or a number."""

    def __init__(self, latent_dim, scale, loc=None):
        super().__init__()
        self.loc, self.raw = nn.Linear(3, latent_dim), nn.Linear(3, latent_dim)
        self.scale, self.given = scale, loc

    def forward(self, x):
        found = []
        for network, shape in ((self.loc, self.given), (self.raw, self.scale)):
            y = network(x)
            if shape is None:
                found.append(y.exp())
            elif isinstance(shape, float):
                found.append(shape)
            elif shape[:1] == ("rows",):
                found.append(
                    y.exp().reshape(len(x), -1)[:, : prod(shape[1:])].reshape(len(x), *shape[1:])
                )
            else:
                shared = tuple(y.shape[-1] if n == "latent" else n for n in shape)
                found.append(torch.arange(1.0, 1.0 + prod(shared)).reshape(shared))
        return tuple(found)


def encoding(encoder):
    return [
        Modality(
            name,
            likelihoods.Normal(1.0),
            encoder=encoder,
            decoder=lambda d: networks.MLPDecoder(d, event_shape=(3,), hidden=(4,)),
        )
        for name in "xy"
    ]


@pytest.mark.parametrize("scale", [("rows", 1), ("latent",), (), 1.0], ids=str)
@pytest.mark.parametrize("name", ["mvae", "jmvae", "meme"])
def test_an_encoders_scale_may_be_smaller_or_shared(name, scale):
    def spread_by_hand(d):
        network = Encoder(d, scale)
        return From(lambda x: tuple(torch.as_tensor(p).expand(len(x), d) for p in network(x)))

    options = {}
    if name == "meme":
        inputs = Observations({n: torch.randn(4, 3) for n in "xy"})
        options = {"pseudo_inputs": inputs, "num_pseudo_inputs": 4}
    built = []
    for encoder in (lambda d: Encoder(d, scale), spread_by_hand):
        torch.manual_seed(0)
        built.append(systems.build(name, encoding(encoder), 4, **options))
    for rows in ROWS:
        obs = Observations({n: torch.randn(rows, 3) for n in "xy"}, {"x": torch.arange(rows) != 1})
        found = []
        for system in built:
            system.check(obs)
            torch.manual_seed(1)
            found.append(system(obs))
        torch.testing.assert_close(*found, **EXACT)


@pytest.mark.parametrize(
    ("loc", "scale", "part", "shape"),
    [
        (None, ("rows",), "scale", r"\(\d+,\)"),
        (None, (1, 1), "scale", r"\(1, 1\)"),
        (None, ("rows", 3), "scale", r"\(\d+, 3\)"),
        (("rows", 1), ("rows", 1), "loc", r"\(\d+, 1\)"),
        ((4,), 1.0, "loc", r"\(4,\)"),
        (0.0, 1.0, "loc", "float"),
    ],
)
def test_an_encoder_that_depends_on_the_number_of_rows_is_refused_for_all(loc, scale, part, shape):
    system = systems.mvae(encoding(lambda d: Encoder(d, scale, loc)), 4)
    for rows in ROWS:
        obs = Observations({n: torch.randn(rows, 3) for n in "xy"})
        if shape == r"\(1, 1\)" and rows == 1:
            continue
        with pytest.raises(ValueError, match=f"modality 'x': expected the encoder's {part} of"):
            system.check(obs)


def test_an_encoder_returns_numbers():
    system = systems.mvae(encoding(lambda d: From(lambda x: (x @ torch.ones(3, d), "1"))), 2)
    with pytest.raises(TypeError, match="modality 'x': expected the encoder's scale as a tensor"):
        system.check(Observations({"x": torch.ones(2, 3)}))


def test_a_trunk_returns_rows_for_any_number_of_them():
    class Trunk(nn.Linear):
        def forward(self, x):
            return super().forward(x)[:, 0]  # (B,), which is (F,) when B = F

    modalities = [
        Modality(name, m.likelihood, m.encoder, m.decoder, features=lambda: Trunk(3, 4))
        for name, m in zip("xy", encoding(lambda d: Encoder(d, 1.0)), strict=True)
    ]
    guide = guides.ZeroFilledNetwork(modalities, 2)
    for rows in ROWS:
        with pytest.raises(
            ValueError, match=r"modality 'x': expected features of shape \(B, out_f"
        ):
            guide.check(Observations({n: torch.randn(rows, 3) for n in "xy"}))
