"""Annealed importance sampling against closed forms, for every kind of latent."""

import math
from functools import partial

import pyro
import pyro.distributions as dist
import pytest
import torch
from every_system import LATENT_DIM, SYSTEMS, build, complete, kinds_of, modality, targets
from linear_gaussian import NAMES, LinearDecoder, LinearEncoder, LinearGaussian
from linear_gaussian_prior import ExactGivenObserved, GaussianGivenObserved
from linear_gaussian_private import PrivateLinearGaussian
from plain_likelihood import log_likelihood
from torch import nn
from toy_meme import PAIR

from ppl_mm import Modality, Observations, System, guides, likelihoods
from ppl_mm.evaluation import annealed_log_likelihood
from ppl_mm.likelihood import annealing
from ppl_mm.likelihood.annealing import Schedule, anneal, temperatures, transition, tuned
from ppl_mm.likelihood.path import Path
from ppl_mm.objectives import IWAE
from ppl_mm.programs.answerable import answerable, conditioned_on
from ppl_mm.programs.program import Program
from ppl_mm.systems.evaluating import evaluating

pytestmark = pytest.mark.filterwarnings("ignore::ppl_mm.evaluation.UnreliableLikelihoodWarning")

FEW = {"num_chains": 64, "num_temperatures": 6, "num_leaps": 3}


def toy_system(spread=1.3, **options):
    toy = LinearGaussian(spread=spread, **options)
    return toy, toy.system(guides.ProductOfExperts(toy.modalities, toy.latent_dim))


def assert_within_error(found, exact, sigmas=5, largest=0.3):
    """5 of their own errors: from 64 chains an error is itself off by a tenth and more."""
    assert ((found.value - exact).abs() <= sigmas * found.standard_error + 1e-9).all()
    assert found.standard_error.max() < largest


# ---------------------------------------------------------------- agreement with the closed form


@pytest.mark.parametrize(
    ("start", "target", "given"),
    [("prior", NAMES, ()), ("posterior", NAMES, ()), ("prior", ("a",), ("b", "c"))],
)
def test_every_pattern_of_missingness(start, target, given):
    toy, system = toy_system(sizes={"a": 1, "b": 2, "c": 1})
    obs = toy.mixed()
    found = annealed_log_likelihood(system, obs, target, given, start=start, **FEW)
    exact = toy.log_p(obs, (*target, *given)) - (toy.log_p(obs, given) if given else 0.0)
    assert_within_error(found, exact, largest=0.5)
    held = torch.stack([obs.present[n] for n in target]).any(0)
    assert (found.value[~held] == 0).all()
    assert (found.standard_error[~held] == 0).all()
    assert found.proposal == f"{start}, annealed over 6 temperatures"
    assert (found.target, found.given, found.num_samples) == (target, given, 64)


def test_shared_and_private_latents():
    toy = PrivateLinearGaussian(sizes={"a": 2, "b": 1}, private_dim=1)
    system = toy.system(guides.MixtureOfExperts)
    obs = toy.mixed()
    for start in ("prior", "posterior"):
        found = annealed_log_likelihood(system, obs, start=start, **FEW)
        assert_within_error(found, toy.log_p(obs, ("a", "b")), largest=0.5)


def test_a_prior_that_sees_what_is_observed():
    toy = GaussianGivenObserved()
    system = System(toy.model(), ExactGivenObserved(toy), IWAE())
    obs = toy.sample(3)
    found = annealed_log_likelihood(system, obs, ("a", "b"), "c", **FEW)
    assert_within_error(found, toy.log_p(obs, ("a", "b")), largest=0.6)
    few = {"num_chains": 2, "num_temperatures": 2, "num_leaps": 1}
    exact = annealed_log_likelihood(system, obs, "a", ("b", "c"), start="posterior", **few)
    torch.testing.assert_close(exact.value, toy.log_p(obs, ("a", "b")) - toy.log_p(obs, ("b",)))
    with pytest.raises(ValueError, match="the model conditions on it"):
        annealed_log_likelihood(system, obs, "a", **FEW)


def test_likelihoods_put_together_from_conditionals():
    system, obs = PAIR.system(), PAIR.rows(2)
    found = annealed_log_likelihood(system, obs, num_chains=200, num_temperatures=2, num_leaps=2)
    alone = {n: PAIR.conditional(system, n, ()) for n in "st"}
    joint = [PAIR.conditional(system, i, j) + alone[j] for i, j in ("st", "ts")]
    assert_within_error(found, torch.tensor(joint).logsumexp(0) - math.log(2))


class Counts(Program):
    """rate ~ Gamma(2, 3),  x ~ Poisson(rate): x is negative binomial."""

    def forward(self, obs):
        with obs.plates():
            rate = pyro.sample("z", dist.Gamma(torch.tensor([2.0]), 3.0).to_event(1))
            x, scored = obs.filled("x")
            pyro.sample("x", dist.Poisson(rate).to_event(1).mask(scored), obs=x)


class NoGuide(nn.Module):
    """A guide that annealing from the prior has no use for."""

    def forward(self, obs):
        raise AssertionError("the prior needs no guide")


def test_latents_with_a_bounded_support():
    unused = lambda _: nn.Identity()  # noqa: E731
    counts = Modality("x", likelihoods.Poisson(), unused, unused)
    system = System(Counts([counts], 1), NoGuide(), IWAE())
    x = torch.tensor([[0.0], [1.0], [4.0]])
    found = annealed_log_likelihood(system, Observations({"x": x}), **FEW)
    exact = dist.NegativeBinomial(2.0, probs=torch.tensor(0.25)).log_prob(x.squeeze(-1))
    assert_within_error(found, exact)


class Hierarchical(Program):
    """mu ~ Normal(0, tau), z ~ Normal(mu, 1), a ~ Normal(A z + b, s)."""

    def __init__(self, toy):
        super().__init__(toy.modalities, toy.latent_dim)
        self.toy, self.unused = toy, nn.Parameter(torch.zeros(()))

    def forward(self, obs):
        toy = self.toy
        with obs.plates():
            mu = pyro.sample("mu", dist.Normal(torch.zeros(2), 0.8).to_event(1))
            z = pyro.sample("z", dist.Normal(mu, 1.0).to_event(1))
            x, scored = obs.filled("a")
            p = dist.Normal(z @ toy.weight["a"].T + toy.bias["a"], toy.noise["a"]).to_event(1)
            pyro.sample("a", p.mask(scored), obs=x)


@pytest.mark.parametrize("start", ["prior", "posterior"])
def test_latent_sites_that_the_guide_lacks(start):
    toy = LinearGaussian({"a": 2})
    system = System(Hierarchical(toy), toy.exact_guide(), IWAE())
    obs = toy.sample(3)
    weight = toy.weight["a"]
    covariance = (1 + 0.8**2) * weight @ weight.T + toy.noise["a"] ** 2 * torch.eye(2)
    exact = dist.MultivariateNormal(toy.bias["a"], covariance).log_prob(obs["a"])
    found = annealed_log_likelihood(system, obs, start=start, **FEW)
    assert_within_error(found, exact, largest=0.4)


def test_agrees_with_importance_sampling():
    toy, system = toy_system()
    obs = toy.sample(4)
    one = annealed_log_likelihood(system, obs, ("a", "c"), start="posterior", **FEW)
    two = log_likelihood(system, obs, ("a", "c"), num_samples=2000)
    error = torch.hypot(one.standard_error, two.standard_error)
    assert ((one.value - two.value).abs() < 5 * error).all()


def test_a_bad_guide_does_not_hurt_chains_from_the_prior():
    toy, bad = toy_system(spread=0.05)
    obs = toy.sample(4)
    wrong = log_likelihood(bad, obs, num_samples=300)
    exact = toy.log_p(obs, NAMES)
    assert (wrong.pareto_k > 0.7).sum() >= 3
    assert ((wrong.value - exact).abs() > 5 * wrong.standard_error).any()
    options = {**FEW, "num_temperatures": 20}
    found = annealed_log_likelihood(bad, obs, **options)
    assert_within_error(found, exact, largest=0.5)
    none = annealed_log_likelihood(System(bad.model, NoGuide(), IWAE()), obs, **options)
    assert torch.equal(found.value, none.value)


@pytest.mark.slow  # test_sandwich.py has every system with few evaluations
@pytest.mark.parametrize("name", SYSTEMS)
def test_works_for_every_system(name):
    torch.manual_seed(1)
    system, obs = build(name), complete(2, *kinds_of(name))
    rows = answerable(system.model, obs)
    for start in ("prior", "posterior"):
        found = annealed_log_likelihood(
            system,
            rows,
            targets(system),
            conditioned_on(system.model),
            num_chains=2,
            num_temperatures=2,
            num_leaps=1,
            start=start,
        )
        assert found.value.isfinite().all()


def test_strings_with_recurrent_decoders():
    text = modality("tokens")
    system = build("mvae", [text, modality("normal")], LATENT_DIM)
    options = {"num_chains": 2, "num_temperatures": 2, "num_leaps": 1}
    found = annealed_log_likelihood(system, complete(2, "tokens", "normal"), **options)
    assert found.value.isfinite().all()


# ---------------------------------------------------------------- the parts


def path_of(toy, system, obs, guide=None, chunk=10_000):
    return Path(system.model, guide, obs, chunk)


def test_one_temperature_is_importance_sampling():
    toy, system = toy_system()
    obs = toy.mixed()
    with evaluating(system, 0):
        path = path_of(toy, system, obs)
        point = path.draw(5)
        log_w, end = anneal(path, point, Schedule([0.0, 1.0], torch.zeros(0), 1))
        z = path.latents(point.position)["z"].squeeze(1)
    expected = torch.zeros(5, len(obs))
    for n in NAMES:
        normal = torch.distributions.Normal(z @ toy.weight[n].T + toy.bias[n], toy.noise[n])
        expected += torch.where(obs.present[n], normal.log_prob(obs[n]).sum(-1), 0.0)
    torch.testing.assert_close(log_w, expected)
    assert end is point
    torch.testing.assert_close(point.start, system.model.prior().log_prob(z))


def test_weights_from_the_exact_posterior_are_constant_whatever_the_temperatures():
    toy = LinearGaussian()
    system, obs = toy.system(toy.exact_guide()), toy.sample(3)
    for number in (1, 4):
        found = annealed_log_likelihood(
            system, obs, num_chains=3, num_temperatures=number, num_leaps=2, start="posterior"
        )
        torch.testing.assert_close(found.value, toy.log_p(obs, NAMES))
        assert found.standard_error.max() < 1e-6


def test_forces_are_the_gradients_of_the_densities():
    toy, system = toy_system()
    obs = toy.mixed()
    with evaluating(system, 0):
        path = path_of(toy, system, obs, system.guide, chunk=5)
        point = path.draw(2)
        aside = 1e-6 * torch.randn_like(point.position)
        up, down = path.at(point.position + aside), path.at(point.position - aside)
    for field in ("start", "rise"):
        force = getattr(point, f"{field}_force")
        slope = (getattr(up, field) - getattr(down, field)) / 2
        torch.testing.assert_close((force * aside).sum(-1), slope, atol=1e-13, rtol=1e-5)


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_transitions_leave_their_density_alone(beta):
    # f_beta of a linear-Gaussian model is Gaussian: prior times likelihood to the power beta.
    toy, system = toy_system()
    obs, number = toy.sample(1), 4000
    precision, shift = torch.eye(2), torch.zeros(2)
    for n in NAMES:
        scaled = beta * toy.weight[n] / toy.noise[n] ** 2
        precision = precision + toy.weight[n].T @ scaled
        shift = shift + (obs[n][0] - toy.bias[n]) @ scaled
    true = dist.MultivariateNormal(torch.linalg.solve(precision, shift), precision_matrix=precision)
    with evaluating(system, 0):
        path = path_of(toy, system, obs)
        point = path.at(true.sample((number, 1)))
        before = point.position
        for _ in range(5):
            point, acceptance = transition(path, point, beta, torch.tensor([0.3]), 4)
    assert 0.4 < acceptance.mean() < 0.95  # some proposals are turned down, or nothing is tested
    z = (point.position.squeeze(1) - true.loc) @ torch.linalg.cholesky(precision)
    assert (z.mean(0).abs() < 4 / math.sqrt(number)).all()
    error = torch.tensor([[2.0, 1.0], [1.0, 2.0]]).sqrt() / math.sqrt(number)
    assert ((z.T @ z / number - torch.eye(2)).abs() < 4 * error).all()
    assert ((point.position - before).abs().amax(-1) > 0).double().mean() > 0.9


def test_step_sizes_are_those_of_the_rows():
    # A row that holds nothing keeps the prior's wide steps; the acceptance is about 0.65.
    toy, system = toy_system()
    obs = toy.sample(2)
    obs = Observations(obs.values, {n: torch.tensor([True, False]) for n in NAMES})
    with evaluating(system, 0):
        path = path_of(toy, system, obs)
        schedule = tuned(path, path.draw(32), 16, 4)
        assert schedule.steps.shape == (15, 2)
        assert (schedule.steps[-1, 0] < 0.8 * schedule.steps[-1, 1]).all()
        point = path.draw(200)
        found = []
        for beta, step in zip(schedule.betas[1:-1], schedule.steps, strict=True):
            point, acceptance = transition(path, point, beta, step, 4)
            found.append(acceptance.mean(0))
    late = torch.stack(found)[5:, 0].mean()
    assert 0.5 < late < 0.8


@pytest.mark.parametrize("reverse", [False, True])
def test_each_temperature_has_its_own_step_sizes_in_both_directions(monkeypatch, reverse):
    toy, system = toy_system()
    path = path_of(toy, system, toy.sample(2))
    betas, used = temperatures(4), {}
    steps = torch.arange(6.0).reshape(3, 2)

    def stay(path, point, beta, step, num_leaps, noise):
        used[beta] = step
        return point, step

    monkeypatch.setattr(annealing, "transition", stay)
    anneal(path, path.draw(2), Schedule(betas, steps, 1), reverse=reverse)
    assert list(used) == (betas[-2:0:-1] if reverse else betas[1:-1])
    assert all(torch.equal(used[beta], step) for beta, step in zip(betas[1:-1], steps, strict=True))


@pytest.mark.parametrize("number", [1, 2, 7])
def test_temperatures_grow_from_0_to_1_symmetrically(number):
    betas = torch.tensor(temperatures(number))
    assert len(betas) == number + 1
    assert (betas[0], betas[-1]) == (0.0, 1.0)
    assert (betas.diff() > 0).all()
    torch.testing.assert_close(betas, 1 - betas.flip(0))


# ---------------------------------------------------------------- what must not matter


def test_chunks_do_not_matter():
    toy, system = toy_system()
    obs = toy.mixed()[:3]
    options = {"num_chains": 3, "num_temperatures": 2, "num_leaps": 1}
    whole = annealed_log_likelihood(system, obs, **options)
    sizes = []
    system.model.decoders["a"].register_forward_hook(lambda _, args, __: sizes.append(len(args[0])))
    cut = annealed_log_likelihood(system, obs, **options, chunk=2)
    torch.testing.assert_close(whole.value, cut.value, atol=1e-9, rtol=0)
    assert max(sizes) <= 3  # the check decodes all rows once; chains two at a time


def test_seed_makes_it_reproducible_and_torchs_generator_is_left_alone():
    toy, system = toy_system()
    few = {"num_chains": 2, "num_temperatures": 2, "num_leaps": 1}
    run = partial(annealed_log_likelihood, system, toy.sample(2), **few)
    before = torch.get_rng_state()
    one, two, other = run(seed=1), run(seed=1), run(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.value, two.value)
    assert not torch.equal(one.value, other.value)
    assert not one.value.requires_grad


# ---------------------------------------------------------------- clear errors


class Discrete(Program):
    def forward(self, obs):
        with obs.plates():
            z = pyro.sample("z", dist.Bernoulli(torch.full((2,), 0.5)).to_event(1))
            x, scored = obs.filled("a")
            pyro.sample("a", dist.Normal(z, 1.0).to_event(1).mask(scored), obs=x)


def test_discrete_latents_are_an_error():
    square = Modality(
        "a",
        likelihoods.Normal(1.0),
        lambda _: LinearEncoder(torch.eye(2), torch.zeros(2), 1.0),
        lambda _: LinearDecoder(torch.eye(2), torch.zeros(2)),
    )
    system = System(Discrete([square], 2), NoGuide(), IWAE())
    with pytest.raises(ValueError, match="latent site 'z' is discrete"):
        annealed_log_likelihood(system, Observations({"a": torch.zeros(3, 2)}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "guide"}, "start: expected .* got 'guide'"),
        ({"num_chains": 0}, "num_chains: expected an integer"),
        ({"num_temperatures": 0}, "num_temperatures: expected an integer"),
        ({"num_leaps": 0}, "num_leaps: expected an integer"),
        ({"chunk": 0}, "chunk: expected an integer"),
        ({"target": "d"}, "target modality 'd'"),
    ],
)
def test_wrong_options_are_errors(options, message):
    toy, system = toy_system()
    with pytest.raises(ValueError, match=message):
        annealed_log_likelihood(system, toy.sample(2), **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_cuda_gives_the_closed_form_too():
    toy, system = toy_system(sizes={"a": 1, "b": 2, "c": 1})
    obs = toy.mixed()
    found = annealed_log_likelihood(system.to("cuda"), obs, **FEW)
    assert found.value.device.type == "cuda"
    error = (found.value.cpu() - toy.log_p(obs, NAMES)).abs()
    assert (error <= 5 * found.standard_error.cpu() + 1e-9).all()
    strings = build("mvae", [modality("tokens"), modality("normal")], LATENT_DIM).to("cuda")
    rows = complete(2, "tokens", "normal")
    assert annealed_log_likelihood(strings, rows, **FEW).value.isfinite().all()
