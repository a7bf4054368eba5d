"""A user's own plain Pyro program works with every guide, objective and measure."""

import copy
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from linear_gaussian import NAMES, LinearGaussian
from pyro.infer import SVI, TraceMeanField_ELBO
from torch import nn

from ppl_mm import Observations, System, fit, generate, guides, log_likelihood
from ppl_mm.evaluation import elbo
from ppl_mm.objectives import IWAE, ELBOTerms, Term, subset_terms

TAU = 0.8


class Hierarchical(nn.Module):
    """mu ~ Normal(0, tau), z ~ Normal(mu, 1), x_m ~ Normal(A_m z + b_m, s_m): no base class."""

    def __init__(self, toy):
        super().__init__()
        self.noise = toy.noise
        self.weight = nn.ParameterDict({n: w.clone() for n, w in toy.weight.items()})
        self.bias = nn.ParameterDict({n: b.clone() for n, b in toy.bias.items()})

    def forward(self, obs):
        zero = torch.zeros(2)
        with obs.plates():
            mu = pyro.sample("mu", dist.Normal(zero, TAU).to_event(1))
            z = pyro.sample("z", dist.Normal(mu, 1.0).to_event(1))
            for name in self.weight:
                x, scored = obs.filled(name)
                loc = z @ self.weight[name].T + self.bias[name]
                fn = dist.Normal(loc, self.noise[name]).to_event(1)
                pyro.sample(name, fn.mask(scored), obs=x)


class WithoutMask(Hierarchical):
    def forward(self, obs):
        with obs.plates():
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            x, _ = obs.filled("a")
            loc = z @ self.weight["a"].T
            pyro.sample("a", dist.Normal(loc, 1.0).to_event(1), obs=x)


class OutsideThePlate(Hierarchical):
    def forward(self, obs):
        with obs.plates():
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        x, _ = obs.filled("a")
        pyro.sample("a", dist.Normal(z @ self.weight["a"].T, 1.0).to_event(2), obs=x)


def parts():
    toy = LinearGaussian(spread=2.0)
    exact = copy.copy(toy)  # z is N(0, 1 + tau^2): the same data with longer decoder columns
    exact.weight = {n: w * math.sqrt(1 + TAU**2) for n, w in toy.weight.items()}
    return toy, exact, Hierarchical(toy), guides.ProductOfExperts(toy.modalities, 2)


@pytest.mark.parametrize("target", [NAMES, ("a",), ("b", "c")])
@pytest.mark.parametrize("proposal", ["joint", "prior", "defensive"])
def test_log_likelihood_is_the_marginal_over_the_users_hyper_prior(target, proposal):
    # p(z | mu) is bounded and experts of spread 2 are wider than the posterior, so the weights
    # p(x | z) p(z | mu) / q(z) have finite variance: 4 of their own standard errors.
    toy, exact, model, _ = parts()
    obs = exact.mixed()
    system = System(model, guides.ProductOfExperts(toy.modalities, 2, prior_expert=False), IWAE())
    found = log_likelihood(system, obs, target, num_samples=4000, proposal=proposal)
    off = (found.value - exact.log_p(obs, target)).abs()
    assert (off <= 4 * found.standard_error).all()


def test_conditional_of_a_users_model():
    toy, exact, model, _ = parts()
    obs = exact.mixed()
    system = System(model, guides.ProductOfExperts(toy.modalities, 2, prior_expert=False), IWAE())
    found = log_likelihood(system, obs, ("a",), given=("b", "c"), num_samples=4000)
    expected = exact.log_p(obs, NAMES) - exact.log_p(obs, ("b", "c"))
    assert ((found.value - expected).abs() <= 4 * found.standard_error + 1e-9).all()


@pytest.mark.parametrize("terms", [subset_terms(1), [Term(NAMES, NAMES, ("a",))]])
def test_users_model_trains_by_fit(terms):
    _, exact, model, guide = parts()
    before = copy.deepcopy(model.state_dict())
    system = System(model, guide, ELBOTerms(terms))
    with torch.no_grad():
        model.bias["a"] += 3.0
    shifted = copy.deepcopy(model.state_dict())
    result = fit(
        system,
        exact.mixed(4),
        epochs=8,
        batch_size=8,
        optimizer=lambda p: torch.optim.Adam(p, lr=0.05),
        progress=False,
        device="cpu",
        precision="64-true",
    )
    losses = [row["loss"] for row in result.history]
    assert losses[-1] < losses[0]
    assert all(not torch.equal(v, shifted[k]) for k, v in model.state_dict().items())
    wrong = (shifted["bias.a"] - before["bias.a"]).norm()
    assert (model.bias["a"] - before["bias.a"]).norm() < wrong


def test_users_model_trains_as_a_torch_module_and_by_svi_where_it_shows_its_parameters():
    _, exact, model, guide = parts()
    obs = exact.mixed()
    objective = ELBOTerms(subset_terms())
    objective(model, guide)(obs).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in model.parameters())

    def shown(obs):  # the stock way to show a plain module to SVI
        pyro.module("model", model)
        model(obs)

    before = [p.detach().clone() for p in (*model.parameters(), *guide.parameters())]
    for loss in (objective, TraceMeanField_ELBO()):
        if isinstance(loss, TraceMeanField_ELBO):
            with pytest.raises(Exception, match="mu"):  # stock mean field needs every site
                SVI(shown, guide, pyro.optim.Adam({"lr": 0.01}), loss=loss).step(obs)
        else:
            SVI(shown, guide, pyro.optim.Adam({"lr": 0.01}), loss=loss).step(obs)
    after = (*model.parameters(), *guide.parameters())
    assert all(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_measures_of_a_users_model():
    _, exact, model, guide = parts()
    obs = exact.mixed()
    system = System(model, guide, IWAE())
    assert elbo(system, obs).shape == (len(obs),)
    draws = generate(system, obs, ["a", "c"], num_samples=6, given=["b"])
    assert draws["a"].shape == (6, len(obs), 3)
    assert draws["c"].shape == (6, len(obs), 1)


def test_model_that_forgets_the_mask_gets_a_clear_error():
    toy, _, _, guide = parts()
    obs = toy.mixed()
    with pytest.raises(ValueError, match=r"'a': the model scores rows in which it is missing"):
        ELBOTerms(subset_terms()).loss(WithoutMask(toy), guide, obs)
    system = System(WithoutMask(toy), guide, ELBOTerms(subset_terms()))
    with pytest.raises(ValueError, match=r"obs\.filled"):  # fit validates once, before training
        fit(system, obs, epochs=1, progress=False, device="cpu", precision="64-true")


def test_model_that_samples_data_outside_the_plate_gets_a_clear_error():
    toy, _, _, guide = parts()
    obs = Observations({"a": torch.zeros(5, 3)})
    with pytest.raises(ValueError, match="'a': expected one log-probability a row"):
        IWAE(num_particles=2).loss(OutsideThePlate(toy), guide, obs)
