"""The parts of a row's proposal: their shares, their density, and the prior alone."""

import math
from dataclasses import replace

import pyro
import pyro.distributions as dist
import pytest
import torch
from linear_gaussian import LinearGaussian
from torch import nn

from ppl_mm import System, guides, log_likelihood, objectives
from ppl_mm.distributions.pseudo_inputs import EncodedMixture
from ppl_mm.likelihood.importance import log_weights_of
from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined import Refined
from ppl_mm.likelihood.refined.pilot import Pilot
from ppl_mm.likelihood.refined.proposal import Proposal
from ppl_mm.likelihood.refined.student import Student
from ppl_mm.likelihood.row_noise import RowNoise, row_keys
from ppl_mm.programs.program import Program


def of_parts(share):
    """A proposal of two rows with the same shares, its path, and the toy."""
    toy = LinearGaussian(spread=0.6)
    system = toy.system(guides.MixtureOfExperts(toy.modalities, toy.latent_dim))
    path = Path(system.model, system.guide, toy.sample(2), 100)
    first = Student(torch.zeros(2, path.size), torch.eye(path.size).expand(2, -1, -1).clone())
    return replace(Proposal.at(first), share=torch.tensor(share)[:, None].expand(4, 2)), path


@pytest.mark.parametrize(
    "share",
    [(0.5, 0.2, 0.2, 0.1), (0.0, 0.0, 0.0, 1.0), (0.0, 0.0, 1.0, 0.0), (0.3, 0.0, 0.5, 0.2)],
)
def test_draws_of_a_proposal_have_its_density(share):
    """The mean of f / q is 1 for the density f of a Normal inside all parts, within 5 errors."""
    proposal, path = of_parts(share)
    drawn, log_pi = proposal.draw(path, 4000, RowNoise([b"a", b"b"], 0, "draws"))
    flat = drawn.flatten(0, 1)
    log_q = proposal.log_prob(flat, *path.values(flat)[:2])
    inside = dist.Normal(0.0, 0.5).log_prob(flat).sum(-1)
    ratio = (inside - log_q).exp()
    error = ratio.std(0) / math.sqrt(len(ratio))
    assert ((ratio.mean(0) - 1.0).abs() <= 5 * error).all()
    torch.testing.assert_close(log_pi.logsumexp(0), torch.zeros(2))


def test_shares_that_follow_the_posterior_keep_the_least_and_add_up_to_one():
    proposal, _ = of_parts((0.5, 0.2, 0.2, 0.1))
    mass = torch.tensor([[0.0, 0.2], [0.0, 0.3], [0.0, 0.4], [1.0, 0.1]])
    moved = proposal.sharing(mass).share
    torch.testing.assert_close(moved.sum(0), torch.ones(2))
    torch.testing.assert_close(moved[:, 0], torch.tensor([0.15, 0.05, 0.2, 0.6]))
    torch.testing.assert_close(proposal.without_prior.share.sum(0), torch.ones(2))
    assert (proposal.without_prior.share[3] == 0.0).all()


@torch.no_grad()
def test_weights_count_the_priors_part_of_a_proposal():
    """Draws leave it to the scores, which know p(z); the weights are p(x, z) over all of q."""
    toy = LinearGaussian(spread=0.6)
    system = toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim))
    obs = toy.sample(2)
    path = Path(system.model, system.guide, obs, 100)
    refined = Refined(path, row_keys(obs), 0, "laplace")
    refined.proposal.share[:] = torch.tensor([0.3, 0.1, 0.2, 0.4])[:, None]
    draws = refined.draw(torch.arange(2), 100, "draws")
    found = log_weights_of(system.model, obs, draws, 70).of(obs.names).flatten(0, 1)
    z = path.position(draws.latents)
    *bases, joint = path.values(z)
    torch.testing.assert_close(found, joint - refined.proposal.log_prob(z, *bases))


@pytest.mark.parametrize(("loc", "least"), [(1.8, 0.02), (4.0, 0.5)])
def test_the_priors_share_is_large_where_the_rest_misses_the_posterior(loc, least):
    """z ~ Normal(0, 1) above 1.3 is a tenth of it: a Student distribution covers it, or lies off.

    The guide lies far away.
    """
    z = torch.randn(2000, 1, 1, generator=torch.Generator().manual_seed(0))
    log_p = dist.Normal(0.0, 1.0).log_prob(z)[..., 0]
    joint = torch.where(z[..., 0] > 1.3, log_p, -math.inf)
    proposal = Proposal.at(Student(torch.tensor([[loc]]), torch.full((1, 1, 1), 0.4)))
    bases = torch.stack([dist.Normal(-9.0, 1.0).log_prob(z)[..., 0], log_p])
    every = torch.ones(1, dtype=torch.bool)
    pilot = Pilot([(proposal.of_prior(every), 2000)], z, bases, joint, log_p[None])
    share = pilot.weighing_prior(proposal).share
    torch.testing.assert_close(share[3], torch.tensor([least]))
    torch.testing.assert_close(share.sum(0), torch.ones(1))
    torch.testing.assert_close(share[2], proposal.share[2])


def test_draws_of_a_base_depend_on_no_other_row():
    """Rows whose bases have small and large shares are drawn in groups of their own."""
    proposal, path = of_parts((0.5, 0.2, 0.2, 0.1))
    proposal.share[:, 1] = torch.tensor([0.1, 0.1, 0.2, 0.6])
    both, _ = proposal.draw(path, 40, RowNoise([b"a", b"b"], 0, "draws"))
    for row, key in enumerate([b"a", b"b"]):
        rows = torch.tensor([row])
        alone, _ = proposal.rows(rows).draw(path.rows(rows), 40, RowNoise([key], 0, "draws"))
        torch.testing.assert_close(both[:, :, rows], alone)


class Bumps(Program):
    """z ~ an even mixture of eight narrow Normals far apart, x = z + much noise."""

    def __init__(self, toy):
        super().__init__(toy.modalities, toy.latent_dim)
        self.decoders = nn.ModuleDict({m.name: m.decoder(toy.latent_dim) for m in toy.modalities})
        self.loc = (
            3.0 * torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)[:, : self.latent_dim]
        )

    def forward(self, obs):
        prior = EncodedMixture(lambda: (self.loc, torch.full_like(self.loc, 0.2)), self.latent_dim)
        with obs.plates():
            z = pyro.sample("z", prior)
            for m in self.modalities:
                x, scored = obs.filled(m.name)
                p = dist.Normal(self.decoders[m.name](z), 20.0).to_event(1)
                pyro.sample(m.name, p.mask(scored), obs=x)


@torch.no_grad()
def test_a_row_that_says_little_under_a_prior_of_many_modes_has_the_prior_alone():
    toy = LinearGaussian(spread=0.6)
    system = toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim))
    obs = toy.sample(2)
    bumps = System(Bumps(toy), system.guide, objectives.IWAE())
    shares = [
        Refined(Path(one.model, one.guide, obs, 100), row_keys(obs), 0, "laplace").proposal.share
        for one in (system, bumps)
    ]
    assert (shares[0][3] < 0.1).all()
    assert (shares[1][3] == 1.0).all()
    found = log_likelihood(bumps, obs, num_samples=500)
    assert (found.pareto_k < 0.7).all()
    assert (found.ess > 250).all()
