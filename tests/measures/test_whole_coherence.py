"""Coherence of whole pictures, where a picture's class is written in the brightness of its parts.

Modality m is a strip of brightness 2 + bit m of the label. The guide reads the bits of what is
given, and takes bit 0 for the others; the decoder gives strips of brightness bit m, with much
noise around it. So a rebuilt picture shows the label if and only if all bits not given are 0,
and a strip that was copied from the data shows no bit at all.
"""

from itertools import combinations

import pyro
import pyro.distributions as dist
import pytest
import rich
import torch
from torch import nn
from torch.nn import functional as F

from ppl_mm import Modality, Observations, System, likelihoods, objectives
from ppl_mm.evaluation import (
    Estimate,
    confidence,
    joint_confidence,
    read_generations,
    whole_coherence,
)
from ppl_mm.programs.program import Program

EPS = 1e-9


class Strips(Program):
    """The model: brightness of strip m is z_m, or with ``same`` z_1 of them all."""

    same = False

    def forward(self, obs: Observations) -> None:
        prior = dist.Normal(torch.zeros(self.latent_dim), 1.0).to_event(1)
        with obs.plates():
            z = pyro.sample("z", prior)
            for i, name in enumerate(self.names):
                loc = z[..., 0 if self.same else i, None, None, None].expand(*z.shape[:-1], 1, 1, 2)
                x, scored = obs.filled(name)
                pyro.sample(name, dist.Normal(loc, 100.0).to_event(3).mask(scored), obs=x)


class ReadsBits(Program):
    """The guide: bits of what is given, and Normal(0, ``scale``) for the others."""

    scale = EPS

    def forward(self, obs: Observations) -> None:
        loc = torch.zeros(len(obs), self.latent_dim)
        scale = torch.full_like(loc, self.scale)
        for i, name in enumerate(self.names):
            if name in obs.names:
                on = obs.source[name]
                loc[on, i], scale[on, i] = obs[name][on, 0, 0, 0] - 2, EPS
        with obs.plates():
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))


class Number(nn.Module):
    """The oracle: the number whose bits are the rows' brightness."""

    def forward(self, pictures):
        bits = (pictures[:, 0, :, 0] > 0.5).long()
        powers = 2 ** torch.arange(bits.shape[1])
        return F.one_hot((bits * powers).sum(-1), int(powers.sum()) + 1).double()

    def features(self, pictures):
        return pictures.flatten(1)


class Toy:
    def __init__(self, names, num_rows=40):
        self.labels = torch.randint(2 ** len(names), (num_rows,))
        self.bits = {n: self.labels // 2**i % 2 for i, n in enumerate(names)}
        values = {n: 2.0 + b.reshape(-1, 1, 1, 1).expand(-1, 1, 1, 2) for n, b in self.bits.items()}
        self.obs, self.names, self.oracle = Observations(values), names, Number()
        missing = lambda *_, **__: nn.Identity()  # noqa: E731 - networks that are never run
        declared = [Modality(n, likelihoods.Normal(0.1), missing, missing) for n in names]
        self.model, self.guide = Strips(declared, len(names)), ReadsBits(declared, len(names))
        self.model.unused = nn.Parameter(torch.zeros(()))
        self.system = System(self.model, self.guide, objectives.IWAE())

    def join(self, values):
        """(..., 1, 1, 2) each to (..., 1, M, 2)."""
        return torch.cat([values[n] for n in self.names], dim=-2)

    def right_from(self, subset):
        """Whether all bits that are not given are 0."""
        unknown = [b for n, b in self.bits.items() if n not in subset]
        return torch.stack(unknown).eq(0).all(0) if unknown else torch.ones(40, dtype=torch.bool)

    def coherence(self, *arguments, **options):
        return whole_coherence(
            self.system, self.obs, self.labels, self.oracle, self.join, *arguments, **options
        )


@pytest.fixture(params=[("a", "b"), ("a", "b", "c")])
def toy(request):
    return Toy(request.param)


def test_every_row_of_every_subset_is_as_its_bits_say(toy):
    found = toy.coherence(batch_size=7)
    sizes = range(1, len(toy.names) + 1)
    assert found.subsets == tuple(s for k in sizes for s in combinations(toy.names, k))
    assert found.targets == ("whole",)
    for i, subset in enumerate(found.subsets):
        assert torch.equal(found.hits[i, 0], toy.right_from(subset))
    assert 0 < found.cell("a", "whole").value < 1
    assert found.cell(toy.names, "whole") == Estimate(1.0, 0.0)


def test_only_the_subsets_that_are_asked_for():
    toy = Toy(("a", "b", "c"))
    obs = toy.obs.drop("b")
    found = whole_coherence(
        toy.system, obs, toy.labels, toy.oracle, toy.join, ["c", ("c", "a"), ()]
    )
    assert found.subsets == (("c",), ("c", "a"), ())
    for i, subset in enumerate(found.subsets):
        assert torch.equal(found.hits[i, 0], toy.right_from(subset))


@pytest.mark.parametrize("given", ["a", ()])
def test_parts_of_a_picture_are_of_one_draw(toy, given):
    class Uniform(nn.Module):
        """Class 1 for pictures of one brightness, which is not 0."""

        def forward(self, pictures):
            pixels = pictures.flatten(1)
            same = (pixels == pixels[:, :1]).all(1) & (pixels[:, 0].abs() > 1e-6)
            return F.one_hot(same.long(), 2).double()

    toy.model.same, toy.guide.scale = True, 1.0
    toy.oracle, toy.labels = Uniform(), (toy.bits["a"] if given == "a" else torch.ones(40)).long()
    assert bool(toy.coherence([given]).hits.all())


def test_z_is_drawn_and_not_its_mean(toy):
    toy.guide.scale = 1.0
    first, same, other = (toy.coherence(["a"], seed=s).hits for s in (0, 0, 1))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_averages_and_table(toy, capsys):
    found = toy.coherence()
    cells = [found.cell(s, "whole").value for s in found.subsets]
    assert found.mean().value == pytest.approx(sum(cells) / len(cells))
    assert found.per_target() == {"whole": found.mean()}
    singles = cells[: len(toy.names)]
    by_size = found.by_size()
    assert list(by_size) == list(range(1, len(toy.names) + 1))
    assert by_size[1].value == pytest.approx(sum(singles) / len(singles))
    assert by_size[len(toy.names)].value == 1.0
    rich.print(found.table())
    printed = capsys.readouterr().out
    assert "whole" in printed
    assert "brackets" not in printed
    numbers = found.to_dict()
    assert numbers["targets"] == ["whole"]
    assert [row[0][0] for row in numbers["cells"]] == cells
    assert numbers["by size"][str(len(toy.names))] == [1.0, 0.0]


def test_options_reach_the_generation(toy):
    with pytest.raises(ValueError, match="private"):
        toy.coherence(private="prior")


def test_features_are_of_parts_cut_to_their_range(toy):
    whole = {"whole": toy.oracle}
    like = Observations({n: toy.obs[n] - (1.5 if n == "a" else 3.0) for n in toy.names})
    arguments = (toy.system, toy.obs, whole, [toy.names])
    read = read_generations(*arguments, join=toy.join, features=True, like=like)
    key = (toy.names, "whole")
    assert torch.equal(read.predictions[key], toy.labels)
    bits = torch.stack(list(toy.bits.values()), 1).double()
    bits[:, 0].clamp_(0.5, 1.5)
    bits[:, 1:].clamp_(-1.0, 0.0)
    torch.testing.assert_close(read.features[key], bits.repeat_interleave(2, 1))


def test_each_part_is_given_by_default_where_parts_are_joined(toy):
    read = read_generations(toy.system, toy.obs, {"whole": toy.oracle}, join=toy.join)
    assert read.subsets == tuple((n,) for n in toy.names)


class HalfSure(nn.Module):
    """Probabilities 3/4 and 1/4 for pictures above 0, 1/2 each for the others."""

    def forward(self, pictures):
        logit = torch.where(pictures.mean((1, 2, 3)) > 0, torch.tensor(3.0).log(), 0.0)
        return torch.stack([torch.zeros_like(logit), logit], -1)


def test_confidence_is_the_mean_of_the_largest_probability():
    pictures = torch.tensor([1.0, -1.0, -1.0, 2.0, 5.0]).reshape(5, 1, 1, 1)
    found = confidence(HalfSure(), pictures)
    assert found.value == pytest.approx((3 * 0.75 + 2 * 0.5) / 5)
    assert found.standard_error > 0


def test_confidence_of_draws_from_the_prior(toy):
    toy.model.same, toy.guide.scale = True, 1.0
    found = joint_confidence(toy.system, HalfSure(), toy.join, 2000, batch_size=300)
    assert abs(found.value - 0.625) < 4 * found.standard_error
    assert found.standard_error == pytest.approx(0.125 / 2000**0.5, rel=0.01)
    assert found == joint_confidence(toy.system, HalfSure(), toy.join, 2000, batch_size=300)
    other = joint_confidence(toy.system, HalfSure(), toy.join, 2000, batch_size=300, seed=1)
    assert found != other


def test_what_is_wrong_is_named(toy):
    toy.labels = toy.labels[1:]
    with pytest.raises(ValueError, match=r"one class a row, \(40,\), got \(39,\)"):
        toy.coherence()
    present = {"b": torch.arange(40) > 2}
    toy.obs = Observations(toy.obs.values, present)
    with pytest.raises(ValueError, match="modality 'b': 3 of 40 rows lack it"):
        toy.coherence()
    toy.obs = toy.obs.drop("b")
    with pytest.raises(ValueError, match="modality to give 'b'"):
        toy.coherence()
    toy.join = None
    with pytest.raises(TypeError, match=r"join: expected a function .* got None"):
        toy.coherence()
    with pytest.raises(TypeError, match=r"join: expected a function .* got None"):
        joint_confidence(toy.system, toy.oracle, None)
    with pytest.raises(ValueError, match=r"num_samples: .*at least 1, got 0"):
        joint_confidence(toy.system, toy.oracle, lambda values: values["a"], 0)
