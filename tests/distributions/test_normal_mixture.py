"""The density of many draws under many Normals: against one component at a time, in some rows."""

import math

import pytest
import torch

from ppl_mm.distributions.normal_mixture import normal_mixture
from ppl_mm.training.tape import program, record

NUM, DIM, DRAWS = 20, 16, 50


def drawn(scale, shift=0.0):
    """Draws near the components, and the components."""
    loc = torch.randn(NUM, DIM) + shift
    scales = scale * (0.5 + torch.rand(NUM, DIM))
    own = torch.randint(NUM, (DRAWS,))
    return loc[own] + 3 * scales[own] * torch.randn(DRAWS, DIM), loc, scales


def directly(z, loc, scale):
    each = torch.distributions.Normal(loc, scale).log_prob(z[:, None]).sum(-1)
    return each.logsumexp(-1) - math.log(len(loc))


def with_gradients(density, inputs, out):
    inputs = [x.clone().requires_grad_() for x in inputs]
    log_prob = density(*inputs)
    return [log_prob.detach(), *torch.autograd.grad((out * log_prob).sum(), inputs)]


@pytest.mark.parametrize("shift", [0.0, 100.0])
@pytest.mark.parametrize("scale", [1e-8, 1e-4, 1.0, 1e4])
def test_density_and_gradients_at_any_scale(scale, shift):
    inputs, out = drawn(scale, shift), torch.randn(DRAWS)
    found = with_gradients(normal_mixture, inputs, out)
    expected = with_gradients(directly, inputs, out)
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() <= 1e-8 * b.norm()


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("as_mask", [True, False])
def test_some_rows(share, as_mask):
    inputs, out = drawn(0.7), torch.randn(DRAWS)
    mask = torch.rand(DRAWS) < share
    rows = mask if as_mask else mask.nonzero()[:, 0]
    found = with_gradients(lambda *x: normal_mixture(*x, rows), inputs, out)
    expected = with_gradients(lambda *x: torch.where(mask, directly(*x), 0.0), inputs, out)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-11, rtol=1e-11)
    assert torch.equal(found[0][~mask], torch.zeros(int((~mask).sum())))


def test_rows_that_need_no_density_may_hold_anything():
    z, loc, scale = drawn(0.7)
    mask = torch.arange(DRAWS) % 3 == 0
    junk = torch.where(mask[:, None], z, math.nan)
    clean = with_gradients(lambda *x: normal_mixture(*x, mask), (z, loc, scale), torch.ones(DRAWS))
    dirty = with_gradients(
        lambda *x: normal_mixture(*x, mask), (junk, loc, scale), torch.ones(DRAWS)
    )
    for a, b in zip(clean, dirty, strict=True):
        assert torch.equal(a, b)


def test_one_recording_serves_any_number_of_rows():
    z, loc, scale = drawn(0.7)

    def step(z, loc, scale, mask):
        return with_gradients(lambda *x: normal_mixture(*x, mask), (z, loc, scale), z[:, 0])

    mask = torch.rand(DRAWS) < 0.3
    run = program(*record(lambda: step(z, loc, scale, mask), [z, loc, scale, mask]))
    others = (*drawn(1.3), torch.rand(DRAWS) < 0.8)
    for a, b in zip(run(*others), step(*others), strict=True):
        assert torch.equal(a, b)


def test_the_operators_follow_torchs_rules():
    inputs = [x.requires_grad_() for x in drawn(0.7)]
    op = torch.ops.ppl_mm.normal_mixture.default
    rules = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(op, (*inputs, None), test_utils=rules)
