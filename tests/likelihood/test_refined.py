"""Refined proposals: unbiased in every stage, the same for any company of rows, and much better."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from grid_toys import GridToy
from linear_gaussian import LinearGaussian
from torch import nn

from ppl_mm import Observations, System, guides, log_likelihood, models, objectives
from ppl_mm.distributions.gaussianised import NormalToLaplace
from ppl_mm.likelihood.path import Path
from ppl_mm.likelihood.refined import Refined, estimate, stages
from ppl_mm.likelihood.refined.laplace import Start, approached, laplace
from ppl_mm.likelihood.refined.student import Student
from ppl_mm.likelihood.row_noise import row_keys
from ppl_mm.programs.program import Program
from ppl_mm.results.log_likelihood import STAGES

pytestmark = pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")

NAMES = ("a", "b", "c")
FIELDS = ("value", "standard_error", "low", "high", "ess", "pareto_k")


def product(spread=0.6):
    """Experts that are too narrow, so the guide's own weights have heavy tails."""
    toy = LinearGaussian(spread=spread)
    return toy, toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim))


def mixture():
    toy = LinearGaussian(spread=0.6)
    return toy, toy.system(guides.MixtureOfExperts(toy.modalities, toy.latent_dim))


def assert_unbiased(build, stage, rows, num_seeds):
    """The mean over seeds of estimate over truth is 1 within 5 of its standard errors.

    The weights are at most five times those of the guide alone, whose variance is finite here, or
    p(x | z), which is bounded.
    """
    toy, system = build()
    obs = toy.mixed()[rows]
    exact = toy.log_p(obs, NAMES)
    ratios = torch.stack(
        [
            (log_likelihood(system, obs, num_samples=100, refine=stage, seed=i).value - exact).exp()
            for i in range(num_seeds)
        ]
    )
    error = ratios.std(0) / math.sqrt(num_seeds)
    assert ((ratios.mean(0) - 1).abs() <= 5 * error + 1e-12).all()
    assert ratios.std() < 0.2


@pytest.mark.parametrize("build", [product, mixture])
def test_the_weights_of_the_laplace_stage_are_unbiased(build):
    assert_unbiased(build, "laplace", [0, 3], 12)


@pytest.mark.slow  # forty estimates of each
@pytest.mark.parametrize("build", [product, mixture])
@pytest.mark.parametrize("stage", STAGES[1:])
def test_the_weights_of_every_stage_and_pattern_are_unbiased(build, stage):
    assert_unbiased(build, stage, slice(None), 40)


@pytest.mark.parametrize("stage", STAGES[2:])
def test_every_later_stage_agrees_with_the_closed_form(stage):
    toy, system = product()
    obs = toy.mixed()
    found = log_likelihood(system, obs, num_samples=100, refine=stage)
    assert ((found.value - toy.log_p(obs, NAMES)).abs() <= 5 * found.standard_error + 1e-9).all()
    assert set(found.stage[:-1]) == {stage}  # the last row holds nothing: its log p is 0


@pytest.mark.parametrize("build", [product, mixture])
@pytest.mark.parametrize(("target", "given"), [(NAMES, ()), (("a",), ("b", "c")), (("b",), ())])
def test_it_agrees_with_the_closed_form_and_says_what_it_did(build, target, given):
    toy, system = build()
    obs = toy.mixed()
    found = log_likelihood(system, obs, target, given, num_samples=500, refine="auto")
    exact = toy.log_p(obs, (*target, *given)) - toy.log_p(obs, given)
    assert ((found.value - exact).abs() <= 5 * found.standard_error + 1e-9).all()
    assert (found.pareto_k < 0.7).all()
    assert set(found.stage) <= set(STAGES)
    assert "laplace" in found.stage
    plain = log_likelihood(system, obs, target, given, num_samples=500, refine="none")
    assert set(plain.stage) == {"guide"}
    assert found.standard_error.mean() < 0.5 * plain.standard_error.mean()


@pytest.mark.parametrize("build", [product, mixture])
def test_a_row_has_the_same_number_in_any_company(build):
    toy, system = build()
    obs = toy.mixed()[[0, 2, 5, 7]]
    whole = log_likelihood(system, obs, num_samples=100, refine="auto")
    order = torch.tensor([2, 0])
    few = log_likelihood(system, obs[order], num_samples=100, refine="auto")
    cut = log_likelihood(system, obs, num_samples=100, refine="auto", chunk=7)
    other = log_likelihood(system, obs, num_samples=100, refine="auto", seed=1)
    for field in FIELDS:
        torch.testing.assert_close(
            getattr(few, field), getattr(whole, field)[order], atol=1e-9, rtol=1e-9
        )
        torch.testing.assert_close(getattr(cut, field), getattr(whole, field), atol=1e-9, rtol=1e-9)
    assert not torch.allclose(other.value, whole.value, atol=1e-6)


def test_a_mode_depends_on_no_other_row():
    """Not even if the search for the others takes more steps than its own."""
    toy, system = product()
    path = Path(system.model, system.guide, toy.sample(3), 100)
    ones = torch.ones(3, path.size)
    near = laplace(path, Start(0.0 * ones, ones, ones)).loc
    away = torch.tensor([0.1, 0.4, 9.0])[:, None]
    start = Start(near + away, ones, ones)
    together = laplace(path, start)
    for row in range(3):
        rows = torch.tensor([row])
        alone = laplace(path.rows(rows), Start(*(x[rows] for x in start)))
        torch.testing.assert_close(together.loc[rows], alone.loc, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("build", [product, mixture])
def test_equal_rows_are_estimated_once_and_have_the_same_error(build):
    toy, system = build()
    obs = toy.mixed()[[0, 2, 0, 5, 2]]
    found = log_likelihood(system, obs, num_samples=100, refine="auto")
    apart = log_likelihood(system, obs[[0, 1, 3]], num_samples=100, refine="auto")
    which = torch.tensor([0, 1, 0, 2, 1])
    for field in FIELDS:
        torch.testing.assert_close(
            getattr(found, field), getattr(apart, field)[which], atol=1e-9, rtol=1e-9
        )
    torch.testing.assert_close(found.log_weights, apart.log_weights[:, which])
    assert [part.draws.tolist() for part in found.parts] == [which.tolist()]
    assert found.row_ids[0] == found.row_ids[2] != found.row_ids[1]


def test_more_draws_come_until_the_error_is_small():
    toy, system = product()
    found = log_likelihood(
        system, toy.mixed(), num_samples=100, refine="auto", target_standard_error=0.02
    )
    assert (found.standard_error <= 0.02).all()
    assert found.draws.max() >= 200


class Hierarchical(Program):
    """mu ~ Normal(0, 1), z ~ Normal(mu, 1), x = z + noise: the guide knows nothing of mu."""

    def __init__(self, toy):
        super().__init__(toy.modalities, toy.latent_dim)
        self.decoders = nn.ModuleDict({m.name: m.decoder(toy.latent_dim) for m in toy.modalities})

    def forward(self, obs):
        zero = torch.zeros(self.latent_dim)
        with obs.plates():
            mu = pyro.sample("mu", dist.Normal(zero, 1.0).to_event(1))
            z = pyro.sample("z", dist.Normal(mu, 1.0).to_event(1))
            for m in self.modalities:
                x, scored = obs.filled(m.name)
                p = m.likelihood(self.decoders[m.name](z), batch_dims=z.dim() - 1)
                pyro.sample(m.name, p.mask(scored), obs=x)


def test_a_latent_that_the_guide_lacks_is_refined_with_the_others():
    toy = LinearGaussian()
    guide = guides.ProductOfExperts(toy.modalities, toy.latent_dim)
    system = System(Hierarchical(toy), guide, objectives.IWAE())
    obs = toy.sample(4)
    weight = torch.cat([toy.weight[n] for n in NAMES])
    noise = torch.cat([torch.full((len(toy.weight[n]),), toy.noise[n] ** 2) for n in NAMES])
    covariance = 2.0 * weight @ weight.T + torch.diag(noise)  # z has variance 2
    x = torch.cat([obs[n] - toy.bias[n] for n in NAMES], -1)
    exact = dist.MultivariateNormal(torch.zeros(len(noise)), covariance).log_prob(x)
    found = log_likelihood(system, obs, num_samples=500, refine="auto")
    assert ((found.value - exact).abs() <= 5 * found.standard_error).all()
    assert (found.pareto_k < 0.7).all()


def test_a_laplace_prior_by_quadrature():
    toy = LinearGaussian({"a": 2}, latent_dim=1, spread=0.6)
    model = models.SharedLatent(toy.modalities, 1, prior="laplace")
    guide = guides.MixtureOfExperts(toy.modalities, 1, prior="laplace")
    obs = toy.sample(5)
    grid = torch.linspace(-12, 12, 40_001)
    loc = grid[:, None, None] * toy.weight["a"].T + toy.bias["a"]
    log_p = dist.Normal(loc, toy.noise["a"]).log_prob(obs["a"]).sum(-1)
    log_p = log_p + dist.Laplace(0.0, 1.0).log_prob(grid)[:, None]
    exact = torch.trapezoid(log_p.exp(), grid, dim=0).log()
    found = log_likelihood(System(model, guide, objectives.IWAE()), obs, refine="auto")
    assert ((found.value - exact).abs() <= 5 * found.standard_error).all()
    assert (found.pareto_k < 0.7).all()


def test_coordinates_in_which_a_laplace_is_normal():
    change = NormalToLaplace(torch.tensor(0.3), torch.tensor(2.0))
    u = torch.linspace(-30, 30, 601)
    z = change(u)
    torch.testing.assert_close(change.inv(z), u, atol=1e-10, rtol=0)
    log_p = dist.Laplace(0.3, 2.0).log_prob(z) + change.log_abs_det_jacobian(u, z)
    torch.testing.assert_close(log_p, dist.Normal(0.0, 1.0).log_prob(u), atol=1e-7, rtol=1e-7)


def test_a_mode_that_the_guide_does_not_know_is_found():
    """Of x = a z^2 + noise, whose guide hardly reaches the modes: either alone is log 2 too low."""
    toy = GridToy.random("two modes", 3)
    obs = toy.sample(9, 3)
    found = log_likelihood(toy.system, obs, "x", num_samples=200)
    with torch.no_grad():
        exact = toy.log_p(obs, ("x",))
    assert ((found.value - exact).abs() <= 5 * found.standard_error + 1e-6).all()
    assert (found.standard_error < 0.1).all()
    assert (found.pareto_k < 0.7).all()


def test_heavy_pilot_draws_tell_of_a_mode(monkeypatch):
    """Of x = a z^2 + noise there are two, opposite to each other; no draw of the prior may tell."""
    monkeypatch.setattr(stages, "_TELLING", math.inf)
    toy = GridToy.random("two modes", 3)
    obs = toy.sample(9, 3)
    path = Path(toy.system.model, toy.system.guide, obs, 1000)
    proposal = Refined(path, row_keys(obs), 0, "auto").proposal
    found = ~proposal.alone & (proposal.share[3] < 1.0)
    assert found.any()
    first, second = proposal.first.loc[found], proposal.second.loc[found]
    assert (path.rows(found.nonzero().squeeze(-1)).joint(second[None]) > -math.inf).all()
    assert ((first - second).norm(dim=-1) > 0.1).all()


@torch.no_grad()
def test_pilot_draws_give_the_first_part_their_moments_where_one_mode_is_known():
    """The second part keeps the mode. The posterior is Normal: both have its mean, about."""
    toy, system = product()
    obs = toy.sample(3)
    path = Path(system.model, system.guide, obs, 100)
    refined = Refined(path, row_keys(obs), 0, "laplace")
    first, second, mode = refined.proposal.first, refined.proposal.second, refined.laplace
    assert refined.proposal.alone.all()
    torch.testing.assert_close(second.loc, mode.loc)
    assert (first.loc != mode.loc).all()
    assert (mode.squares(first.loc[None]) < 0.5).all()


@torch.no_grad()
def test_the_first_part_keeps_the_mode_where_coordinates_are_many_for_the_draws():
    """With 464 pilot draws of 120 coordinates, moments would be off by a quarter and more."""
    toy = LinearGaussian(latent_dim=120, spread=0.6)
    system = toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim))
    obs = toy.sample(3)
    path = Path(system.model, system.guide, obs, 100)
    refined = Refined(path, row_keys(obs), 0, "laplace")
    assert refined.proposal.alone.all()
    assert torch.equal(refined.proposal.first.loc, refined.laplace.loc)


@torch.no_grad()
def test_a_heavy_draw_leads_back_to_the_mode_that_is_known():
    toy, system = product()
    obs = toy.sample(3)
    path = Path(system.model, system.guide, obs, 100)
    mode = Refined(path, row_keys(obs), 0, "annealed").laplace
    away = mode.place(torch.randn(1, 3, path.size), torch.ones(1, 3))[0]
    found = approached(path, away, mode)
    torch.testing.assert_close(found, mode.loc, atol=1e-3, rtol=0)


@pytest.mark.parametrize("build", [product, mixture])
def test_the_slope_of_the_joint_density_is_that_of_the_whole_path(build):
    toy, system = build()
    path = Path(system.model, system.guide, toy.mixed(), 5)
    z = torch.randn(3, len(path.obs), path.size)
    point = path.at(z)
    value, force = path.slope(z)
    torch.testing.assert_close(value, point.start + point.rise)
    torch.testing.assert_close(force, point.start_force + point.rise_force)
    torch.testing.assert_close(path.joint(z), value)
    start, prior, joint = path.values(z)
    torch.testing.assert_close((start, joint), (point.start, value))
    torch.testing.assert_close(path.base(z), start)
    torch.testing.assert_close(prior, path.from_prior.at(z).start)


def test_encoders_run_once_for_a_path():
    toy, system = product()
    calls = []
    hook = system.guide.encoders["a"].register_forward_hook(lambda *_: calls.append(1))
    log_likelihood(system, toy.sample(3), num_samples=100, refine="laplace")
    hook.remove()
    assert len(calls) <= 6


def test_a_student_distribution():
    loc, factor = torch.randn(3, 2), torch.randn(3, 2, 2)
    tril = torch.linalg.cholesky(factor @ factor.mT + torch.eye(2))
    student = Student(loc, tril)
    z = torch.randn(4, 3, 2, requires_grad=True)
    expected = dist.MultivariateStudentT(torch.tensor(10.0), loc, tril).log_prob(z)
    found, slope = student.with_gradient(z)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(student.log_prob(z), expected)
    torch.testing.assert_close(student.squares(z), (student.whitened(z) ** 2).sum(-1))
    torch.testing.assert_close(slope, torch.autograd.grad(expected.sum(), z)[0])
    squares = dist.Chi2(torch.tensor(10.0)).sample((40_000, 3))
    draws = student.place(torch.randn(40_000, 3, 2), squares)
    error = draws.std(0) / math.sqrt(len(draws))
    assert ((draws.mean(0) - loc).abs() < 5 * error).all()


def test_what_does_not_go_together_is_refused():
    toy, system = product()
    with pytest.raises(ValueError, match="refine: a refined proposal keeps a share of the guide"):
        log_likelihood(system, toy.sample(2), refine="laplace", proposal="defensive")
    with pytest.raises(ValueError, match=r"refine.*expected"):
        log_likelihood(system, toy.sample(2), refine="laplase")


def test_observed_rows_are_told_apart_by_what_they_hold():
    toy, system = product()
    obs = toy.sample(1)
    twice = Observations({n: x.expand(2, -1) for n, x in obs.values.items()})
    found = log_likelihood(system, twice, num_samples=100, refine="auto")
    assert found.value[0] == found.value[1]


@pytest.mark.parametrize("refine", ["auto", "adaptive", "annealed"])
def test_equal_rows_have_one_proposal_and_the_same_draws_whatever_their_block(refine, monkeypatch):
    monkeypatch.setattr(estimate, "_TOGETHER", 2)
    toy, system = mixture()
    obs = toy.mixed()[:3]
    twice = obs[torch.arange(2 * len(obs)) % len(obs)]
    found = log_likelihood(system, twice, num_samples=100, refine=refine, chunk=100)
    assert torch.equal(found.value[: len(obs)], found.value[len(obs) :])
    assert found.stage[: len(obs)] == found.stage[len(obs) :]
    alone = log_likelihood(system, obs, num_samples=100, refine=refine)
    torch.testing.assert_close(found.value[: len(obs)], alone.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
@pytest.mark.parametrize(("target", "given"), [(None, None), ("a", "b")])
@pytest.mark.parametrize("build", [product, mixture])
def test_cuda_gives_the_numbers_of_the_cpu_for_any_chunk(build, target, given):
    """All noise is made on the CPU, row by row, so the two differ by rounding alone."""
    toy, system = build()
    obs = toy.mixed()
    own = log_likelihood(system, obs, target, given, num_samples=200)
    for chunk in (None, 100):
        found = log_likelihood(
            system.to("cuda"), obs, target, given, num_samples=200, chunk=chunk, refine="auto"
        )
        assert found.value.device.type == "cuda"
        assert found.stage == own.stage
        for field in FIELDS:
            here = getattr(found, field).cpu()
            torch.testing.assert_close(here, getattr(own, field), atol=1e-5, rtol=1e-5)
