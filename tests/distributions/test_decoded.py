"""Decoding only the rows that count equals decoding them all and masking."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from ppl_mm import likelihoods
from ppl_mm.distributions import Decoded

S, B, Z, D = 3, 5, 2, 4
WHERES = {
    "some rows": torch.tensor([True, False, True, True, False]),
    "one row": torch.tensor([False, False, True, False, False]),
    "no row": torch.zeros(B, dtype=torch.bool),
    "every row": torch.ones(B, dtype=torch.bool),
    "some rows of strata": torch.tensor(
        [[True, False, True, True, False], [False] * 5, [False, True, True, False, True]]
    ),
    "whole strata": torch.tensor([[True], [False], [True]]).expand(S, B),
    "no row of strata": torch.zeros(S, B, dtype=torch.bool),
    "every row of strata": torch.ones(S, B, dtype=torch.bool),
}
every_where = pytest.mark.parametrize("where", WHERES.values(), ids=WHERES)


class PairDecoder(nn.Module):
    """loc and scale of a Normal."""

    def __init__(self):
        super().__init__()
        self.loc, self.scale = nn.Linear(Z, D), nn.Linear(Z, D)

    def forward(self, z):
        return self.loc(z), nn.functional.softplus(self.scale(z)) + 0.1


def latents(where, num_particles, strata=S):
    lead = () if num_particles is None else (num_particles,)
    inner = (strata, B) if where.dim() == 2 or num_particles is not None else (B,)
    return torch.randn(*lead, *inner, Z, requires_grad=True)


CASES = {
    "Normal": (likelihoods.Normal(), PairDecoder, lambda: torch.randn(B, D)),
    "Bernoulli": (
        likelihoods.Bernoulli(),
        lambda: nn.Linear(Z, D),
        lambda: torch.randint(2, (B, D)).double(),
    ),
    "Categorical": (
        likelihoods.Categorical(),
        lambda: nn.Linear(Z, D),
        lambda: torch.arange(B) % D,
    ),
    "one-hot": (
        likelihoods.Categorical(),
        lambda: nn.Linear(Z, D),
        lambda: torch.eye(D)[torch.arange(B) % D],
    ),
}


@every_where
@pytest.mark.parametrize("num_particles", [None, 1, 2])
@pytest.mark.parametrize(("likelihood", "decoder", "data"), CASES.values(), ids=CASES)
def test_equals_decoding_everything_in_value_and_gradient(
    where, num_particles, likelihood, decoder, data
):
    decoder, x = decoder(), data()
    z = latents(where, num_particles)
    shape = x.shape[1:]
    lazy = Decoded(likelihood, decoder, z, where, shape).log_prob(x)
    whole = likelihood(decoder(z), z.dim() - 1, shape).log_prob(x)
    masked = torch.where(where, whole, 0.0)
    assert lazy.shape == z.shape[:-1]
    torch.testing.assert_close(lazy, masked, atol=1e-12, rtol=1e-12)
    assert (lazy[..., ~where] == 0).all()
    cotangent = torch.randn_like(masked)
    inputs = [z, *decoder.parameters()]
    expected = torch.autograd.grad(masked, inputs, cotangent)
    if not lazy.requires_grad:  # nothing was decoded
        assert not where.any()
        return
    found = torch.autograd.grad(lazy, inputs, cotangent)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("lead", [(B,), (S, B), (1, B), (2, S, B), (2, 1, B)])
def test_values_with_batch_dimensions_of_their_own(lead):
    decoder, where = nn.Linear(Z, D), WHERES["some rows of strata"]
    z, x = torch.randn(2, S, B, Z), torch.randn(*lead, D)
    found = Decoded(likelihoods.Normal(1.0), decoder, z, where, torch.Size([D])).log_prob(x)
    whole = dist.Normal(decoder(z), 1.0).to_event(1).log_prob(x)
    torch.testing.assert_close(found, torch.where(where, whole, 0.0), atol=1e-12, rtol=1e-12)


@every_where
@pytest.mark.parametrize("junk", [float("nan"), float("inf"), 1e300])
def test_junk_in_rows_that_do_not_count_touches_nothing(where, junk):
    decoder = PairDecoder()
    x = torch.randn(B, D)
    unseen = ~(where.any(0) if where.dim() == 2 else where)
    dirty = torch.where(unseen[:, None], junk, x)
    results = []
    for values in (x, dirty):
        torch.manual_seed(1)
        z = latents(where, 2)
        log_prob = Decoded(likelihoods.Normal(), decoder, z, where, torch.Size([D]))
        log_prob = log_prob.log_prob(values)
        gradients = (
            torch.autograd.grad(log_prob.sum(), [z, *decoder.parameters()])
            if log_prob.requires_grad
            else ()
        )
        results.append((log_prob.detach(), *gradients))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    assert all(r.isfinite().all() for r in results[1])


def test_only_the_rows_that_count_are_decoded():
    decoder, seen = nn.Linear(Z, D), []
    decoder.register_forward_hook(lambda _, args, __: seen.append(tuple(args[0].shape)))
    x = torch.randn(B, D)
    for where in WHERES.values():
        z = latents(where, 2)
        Decoded(likelihoods.Normal(1.0), decoder, z, where, torch.Size([D])).log_prob(x)
    counts = [2 * int(w.expand(S, B).sum()) for w in WHERES.values() if w.any()]
    assert seen == [(count, Z) for count in counts]


def test_batch_norm_sees_the_rows_that_count_and_one_row_uses_running_statistics():
    decoder = nn.Sequential(nn.BatchNorm1d(Z), nn.Linear(Z, D))
    z, x = torch.randn(B, Z), torch.randn(B, D)
    where = WHERES["some rows"]
    found = Decoded(likelihoods.Normal(1.0), decoder, z, where, torch.Size([D])).log_prob(x)
    assert decoder[0].num_batches_tracked == 1
    torch.testing.assert_close(decoder[0].running_mean, 0.1 * z[where].mean(0))
    reference = nn.functional.batch_norm(z[where], None, None, training=True)
    expected = dist.Normal(decoder[1](reference), 1.0).to_event(1).log_prob(x[where])
    torch.testing.assert_close(found[where], expected)
    running = decoder[0].running_mean.clone()
    where = WHERES["one row"]
    found = Decoded(likelihoods.Normal(1.0), decoder, z, where, torch.Size([D])).log_prob(x)
    assert found[where].isfinite().all()
    assert decoder[0].training
    assert torch.equal(decoder[0].running_mean, running)
    where = WHERES["no row"]
    assert (
        not Decoded(likelihoods.Normal(1.0), decoder, z, where, torch.Size([D])).log_prob(x).any()
    )
    assert torch.equal(decoder[0].running_mean, running)


def test_draws_come_from_every_row_and_expansion_keeps_the_latents():
    decoder = nn.Linear(Z, D)
    z = torch.randn(B, Z)
    lazy = Decoded(likelihoods.Normal(1e-9), decoder, z, WHERES["some rows"])
    assert lazy.event_shape == (D,)
    draws = lazy.sample((6,))
    torch.testing.assert_close(draws, decoder(z).expand(6, B, D).detach(), atol=1e-7, rtol=0)
    wide = lazy.expand((3, B))
    assert wide.batch_shape == (3, B)
    torch.testing.assert_close(wide.sample()[1], decoder(z).detach(), atol=1e-7, rtol=0)


def test_is_a_pyro_distribution_in_a_plate():
    decoder = nn.Linear(Z, D)
    x = torch.randn(B, D)

    def model():
        with pyro.plate("data", B, dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(Z), 1.0).to_event(1))
            likelihood = likelihoods.Normal(1.0)
            where = WHERES["some rows"]
            pyro.sample("x", Decoded(likelihood, decoder, z, where, x.shape[1:]), obs=x)

    trace = pyro.poutine.trace(model).get_trace()
    trace.compute_log_prob()
    assert trace.nodes["x"]["log_prob"].shape == (B,)
    assert (trace.nodes["x"]["log_prob"] != 0).equal(WHERES["some rows"])
