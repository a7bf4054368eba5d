"""Proposals of posteriors with two modes, z and -z, as x = a z^2 + noise has them."""

import math
from types import SimpleNamespace

import torch
from grid_toys import GridToy
from pyro import distributions as dist

from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined.pilot import Pilot, effective_draws
from ppl_mm.likelihood.refined.proposal import Proposal
from ppl_mm.likelihood.refined.stages import Refined
from ppl_mm.likelihood.refined.student import Student
from ppl_mm.likelihood.row_noise import row_keys


def refined(num_rows=9):
    toy = GridToy.random("two modes", 3)
    obs = toy.sample(num_rows, 3)
    path = Path(toy.system.model, toy.system.guide, obs, 1000)
    return SimpleNamespace(toy=toy, obs=obs, it=Refined(path, row_keys(obs), 0, "laplace"))


def test_draws_are_divided_among_the_modes_by_their_densities():
    found = refined().it
    pilot = found._wide_and_own(torch.arange(9), "of a test")
    first, second = pilot.by_mode(found.proposal)
    two = ~found.proposal.alone
    assert two.any()
    torch.testing.assert_close(torch.logaddexp(first, second)[:, two], pilot.log_w[:, two])
    assert torch.equal(first[:, ~two], pilot.log_w[:, ~two])
    assert (second[:, ~two] == -math.inf).all()
    assert (effective_draws(second[:, ~two]) == 0.0).all()


def test_each_mode_has_the_moments_of_its_own_draws():
    """Of 0.7 Normal(-4.5, 0.6^2) + 0.3 Normal(4.3, 0.9^2) in each of two coordinates.

    The tolerance is five standard errors of means of as many draws as the weights are worth.
    """
    torch.manual_seed(0)
    size, number = 2, 4000
    eye = torch.eye(size)[None]
    first, second = (Student(torch.full((1, size), loc), eye.clone()) for loc in (-4.0, 4.0))
    share = torch.tensor([0.4, 0.4, 0.2, 0.0])[:, None]
    proposal = Proposal(first, second, torch.tensor([False]), share)
    wide = dist.Normal(torch.zeros(size), 5.0).to_event(1)
    squares = dist.Chi2(torch.tensor(10.0)).sample((2, number, 1))
    draws = [
        student.place(torch.randn(number, 1, size), squares[i])
        for i, student in enumerate((first, second))
    ]
    position = torch.cat([*draws, wide.sample((number // 2, 1))])
    sides = [
        dist.Normal(torch.full((size,), m), s).to_event(1) for m, s in ((-4.5, 0.6), (4.3, 0.9))
    ]
    joint = torch.logaddexp(
        *(s.log_prob(position) + math.log(p) for s, p in zip(sides, (0.7, 0.3), strict=True))
    )
    bases = wide.log_prob(position).expand(2, -1, -1)
    log_q = proposal.log_prob(position, *bases)[None]
    pilot = Pilot([(proposal, len(position))], position, bases, joint, log_q)
    worth = [effective_draws(log_w).item() for log_w in pilot.by_mode(proposal)]
    Refined._take_moments(SimpleNamespace(proposal=proposal), pilot)
    for student, n, mean, scale in ((first, worth[0], -4.5, 0.6), (second, worth[1], 4.3, 0.9)):
        assert ((student.loc - mean).abs() < 5 * scale / math.sqrt(n)).all()
        expected = 1.15**2 * scale**2 * eye
        off = student.tril @ student.tril.mT - expected
        assert (off.abs() < 5 * 1.15**2 * scale**2 * math.sqrt(2 / n) + 2 * size / n).all()


def test_more_draws_may_say_that_a_proposal_is_worse_than_pilots_told_and_never_better():
    found = refined().it
    before = found.quality.clone()
    away = found.proposal.rows(torch.arange(9))
    away.first.loc.add_(3.0)
    away.second.loc.add_(3.0)
    found.proposal.put(torch.tensor([2, 5]), away.rows(torch.tensor([2, 5])))
    found._look_again(torch.tensor([0, 2, 5]), "of a test")
    assert (found.quality[[2, 5]] < before[[2, 5]]).all()
    assert found.quality[0] <= before[0]
    rest = [1, 3, 4, 6, 7, 8]
    assert torch.equal(found.quality[rest], before[rest])
