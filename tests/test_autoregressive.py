"""A decoder that reads the observed value: the string's density is autoregressive."""

from functools import partial
from itertools import product

import pytest
import torch
from pyro import poutine

from ppl_mm import (
    Modality,
    Observations,
    System,
    generate,
    guides,
    likelihoods,
    models,
    networks,
    objectives,
)
from ppl_mm.distributions.decoded import Decoded


def strings_system() -> System:
    string = Modality(
        "string",
        likelihoods.Tokens(),
        encoder=partial(networks.StringEncoder, length=3, vocab_size=4, hidden=5),
        decoder=partial(
            networks.StringDecoder,
            length=3,
            vocab_size=4,
            start=3,
            hidden=5,
            dropout=0.0,
            feedback="teacher",
        ),
    )
    model = models.SharedLatent([string], 2)
    guide = guides.ProductOfExperts([string], 2)
    return System(model, guide, objectives.IWAE(num_particles=2))


def test_teacher_forced_strings_sum_to_one_at_every_z():
    system = strings_system()
    every = torch.tensor(list(product(range(4), repeat=3)))
    z = torch.randn(2)
    decoder = system.model.decoders["string"]
    logits = decoder(z.expand(len(every), 2), every)
    with torch.no_grad():
        by_hand = torch.distributions.Categorical(logits=logits).log_prob(every).sum(-1)
    model = poutine.condition(system.model, data={"z": z.expand(len(every), 2)})
    trace = poutine.trace(model).get_trace(Observations({"string": every}))
    trace.compute_log_prob()
    found = trace.nodes["string"]["log_prob"]
    torch.testing.assert_close(found, by_hand)
    torch.testing.assert_close(found.exp().sum(), torch.ones(()))
    free = torch.distributions.Categorical(logits=decoder(z.expand(len(every), 2)))
    assert not torch.allclose(free.log_prob(every).sum(-1), found)


def test_missing_strings_and_particles():
    system = strings_system()
    strings = torch.randint(4, (5, 3))
    present = torch.tensor([True, False, True, True, False])
    whole = system(Observations({"string": strings}, {"string": present}))
    assert torch.isfinite(whole)
    whole.backward()
    assert all(torch.isfinite(p.grad).all() for p in system.parameters())


def test_draws_read_themselves():
    # A second symbol drawn by the logits after the likeliest first one would be another's.
    system = strings_system()
    decoder = system.model.decoders["string"]
    with torch.no_grad():
        decoder.output.weight.mul_(4)
    every = torch.tensor(list(product(range(4), repeat=3)))
    z = torch.randn(2)
    logits = decoder(z.expand(len(every), 2), every)
    p = torch.distributions.Categorical(logits=logits).log_prob(every).sum(-1).exp().detach()
    model = poutine.condition(system.model, data={"z": z.expand(20_000, 2)})
    draws = poutine.trace(model).get_trace(Observations.blank(20_000)).nodes["string"]["value"]
    found = torch.bincount(draws @ torch.tensor([16, 4, 1]), minlength=64) / len(draws)
    assert p.min() * len(draws) > 10  # enough of each for its error to be nearly Normal
    assert ((found - p).abs() <= 5 * (p * (1 - p) / len(draws)).sqrt()).all()


class Echo(torch.nn.Module):
    """Draws z itself."""

    reads_value = True

    def sample(self, z):
        return z.long()


def test_draws_are_of_their_own_z():
    z = torch.arange(12.0).reshape(2, 3, 2)
    fn = Decoded(likelihoods.Tokens(), Echo(), z, event_shape=torch.Size([2]))
    assert torch.equal(fn.sample(), z.long())
    assert torch.equal(fn.sample((4,)), z.long().expand(4, 2, 3, 2))


def test_a_decoder_that_reads_values_must_draw_them(monkeypatch):
    system = strings_system()
    monkeypatch.delattr(networks.StringDecoder, "sample")
    with pytest.raises(TypeError, match=r"StringDecoder: expected a method sample\(z\) that draws"):
        generate(system, Observations.blank(2), "string")
